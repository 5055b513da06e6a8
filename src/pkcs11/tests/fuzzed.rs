//! What fuzzing found, as behaviour.

use super::*;
use crate::emulator::local::Incident;
use std::sync::mpsc;

#[test]
fn c_finalize_comes_back_though_the_card_does_not_answer_to_the_logout() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.readers.on_command(READER, |_| Incident::Silence);
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        ground.module.close();
        ground.module.disconnect();
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(30)).expect("C_Finalize hangs");
}

#[test]
fn the_held_pin_is_presented_once_although_a_bad_signature_is_asked_for_again() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.sign(session, b"x").unwrap();
    ground.readers.forget();
    let isd = hex(SELECT_ISD);
    let mut signatures = 0;
    // The login is lost before the first and the third command; the second gets a signature that is none.
    ground.readers.on_command(READER, move |command| {
        if command.ins != crate::apdu::COMPUTE_DIGITAL_SIGNATURE {
            return Incident::None;
        }
        signatures += 1;
        match signatures {
            1 | 3 => Incident::Rival(vec![isd.clone()]),
            2 => Incident::Answer([&[0x5A; 256][..], &[0x90, 0x00]].concat()),
            _ => Incident::None,
        }
    });
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(ground.readers.verifies(), 1);
}

#[test]
fn a_held_pin_that_was_changed_meanwhile_costs_one_try_and_typing_it_none() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.sign(session, b"x").unwrap();
    for command in ["002000980431323334", "002401980435363738", SELECT_ISD] {
        assert_eq!(ground.rival(command), Sw::OK);
    }
    ground.readers.forget();
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(ground.login(session, PIN), Err(Rv::PIN_INCORRECT));
    assert_eq!(ground.readers.verifies(), 1, "the same wrong PIN was sent twice");
    ground.login(session, b"5678").unwrap();
    ground.sign(session, b"x").unwrap();
}

#[test]
fn a_card_that_hands_out_a_file_byte_by_byte_is_given_up_in_time() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    let mut head = Some([0x30, 0x82, 0x7F, 0x00, 0x90, 0x00].to_vec());
    ground.readers.on_command(READER, move |command| match command.ins {
        crate::apdu::READ_BINARY => Incident::Answer(head.take().unwrap_or(vec![0x5A, 0x90, 0x00])),
        _ => Incident::None,
    });
    ground.readers.forget();
    let found = ground.module.find_init(session, &template(&[(CKA_ID, &[1])]));
    assert_eq!(found, Err(Rv::DEVICE_ERROR));
    assert!(ground.readers.apdus() < 3000, "{} commands", ground.readers.apdus());
}
