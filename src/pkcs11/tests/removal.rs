//! Cards that come, go and are changed for others.

use super::*;
use crate::emulator::local::Incident;

#[test]
fn removal_in_the_middle_of_a_signature_is_told_once_and_then_the_session_is_gone() {
    for incident in [Incident::RemoveBefore, Incident::RemoveAfter] {
        let ground = Ground::new(card(&MY_NUMBER));
        let session = ground.session(AUTH);
        ground.login(session, PIN).unwrap();
        ground.key(session);
        let incident = incident.clone();
        ground.readers.on_command(READER, move |command| match command.ins {
            crate::apdu::COMPUTE_DIGITAL_SIGNATURE => incident.clone(),
            _ => Incident::None,
        });
        assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_REMOVED));
        assert_eq!(ground.module.session_info(session).err(), Some(Rv::SESSION_HANDLE_INVALID));
        assert_eq!(ground.module.slot_info(AUTH).unwrap().flags & CKF_TOKEN_PRESENT, 0);
        ground.readers.insert(READER, Box::new(card(&MY_NUMBER)));
        ground.readers.on_command(READER, |_| Incident::None);
        let again = ground.session(AUTH);
        assert_ne!(again, session);
        assert_eq!(ground.state(again), CKS_RW_PUBLIC_SESSION, "a card put back in is not logged in");
        assert_eq!(ground.module.session_info(session).err(), Some(Rv::SESSION_HANDLE_INVALID));
        ground.login(again, PIN).unwrap();
        ground.sign(again, b"x").unwrap();
    }
}

#[test]
fn who_has_seen_that_a_card_has_left_does_not_look_logged_in_once_it_is_back() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    let card = ground.readers.remove(READER).unwrap();
    assert_eq!(ground.module.slot_info(AUTH).unwrap().flags & CKF_TOKEN_PRESENT, 0);
    ground.readers.insert(READER, card);
    let other = Module::over(ground.module.config.clone(), Tokens::Both, Box::new(ground.readers.clone()));
    let session = other.open_session(AUTH, CKF_SERIAL_SESSION).unwrap();
    other.login(session, CKU_USER, Some(PIN)).unwrap();
    other.logout(session).unwrap();
    ground.rival(SELECT_JPKI);
    assert_eq!(ground.rival("802A009702010200"), Sw::NOT_VERIFIED);
}

#[test]
fn a_card_swapped_between_two_calls_gets_no_secret_and_no_signature_of_the_first() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.sign(session, b"x").unwrap();
    let serial = text(&ground.module.token_info(AUTH).unwrap().serialNumber);
    let key = ground.key(session);
    let verifies = ground.readers.verifies();
    ground.readers.insert(READER, Box::new(card(&OTHER)));
    // What was found before is still known; the card is not reached under the old session.
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    let signed = output(Some(256), |out| ground.module.sign(session, b"x", out));
    assert_eq!(signed, Err(Rv::DEVICE_REMOVED));
    assert_eq!(ground.module.session_info(session).err(), Some(Rv::SESSION_HANDLE_INVALID));
    assert_eq!(ground.readers.verifies(), verifies);
    assert_ne!(text(&ground.module.token_info(AUTH).unwrap().serialNumber), serial);
}

#[test]
fn a_search_does_not_find_what_was_on_a_card_that_has_left() {
    let private = CKO_PRIVATE_KEY.to_ne_bytes();
    for arrives in [None, Some(&*OTHER)] {
        let ground = Ground::new(card(&MY_NUMBER));
        let session = ground.session(AUTH);
        ground.login(session, PIN).unwrap();
        ground.key(session);
        drop(ground.readers.remove(READER));
        if let Some(other) = arrives {
            ground.readers.insert(READER, Box::new(card(other)));
        }
        let found = ground.module.find_init(session, &template(&[(CKA_CLASS, &private)]));
        assert_eq!(found, Err(Rv::SESSION_HANDLE_INVALID));
    }
}

#[test]
fn one_readers_removal_does_not_disturb_the_other() {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER)), Box::new(card(&OTHER))], |_| {});
    let (first, second) = (ground.session(0), ground.session(2));
    ground.login(first, PIN).unwrap();
    ground.login(second, PIN).unwrap();
    ground.readers.remove(READER);
    assert_eq!(ground.module.session_info(first).err(), Some(Rv::SESSION_HANDLE_INVALID));
    ground.sign(second, b"x").unwrap();
    ground.readers.unplug(READER);
    assert_eq!(ground.module.slot_list(false, true).unwrap(), [0, 1, 2, 3], "the list never shrinks");
    ground.sign(second, b"x").unwrap();
    ground.readers.insert(READER, Box::new(card(&MY_NUMBER)));
    assert_eq!(ground.module.slot_list(true, true).unwrap(), [0, 1, 2, 3], "a reader has its slots again");
}

#[test]
fn a_busy_card_is_no_verdict_and_no_lost_login() {
    use crate::transport::{Readers, Transaction};
    let ground = Ground::new(card(&MY_NUMBER));
    let mut rival = ground.readers.connect(READER).unwrap();
    let held = Transaction::begin(&mut *rival).unwrap();
    assert!(ground.module.slot_list(true, true).unwrap().is_empty());
    drop(held);
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.key(session);
    let held = Transaction::begin(&mut *rival).unwrap();
    assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_ERROR));
    drop(held);
    assert_eq!(ground.state(session), CKS_RW_USER_FUNCTIONS);
    ground.sign(session, b"x").unwrap();
}

#[test]
fn another_card_behind_a_connection_made_anew_ends_the_epoch_though_nothing_was_seen_to_move() {
    use crate::emulator::local::Incident;
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    let key = ground.key(session);
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    // The card falls silent, which costs the connection; when it speaks again it is another one.
    ground.readers.on_command(READER, |_| Incident::Silence);
    assert_eq!(output(Some(256), |out| ground.module.sign(session, b"x", out)), Err(Rv::DEVICE_ERROR));
    let mut other = with(&OTHER, |_| {});
    other.power_on();
    let verifies = ground.readers.verifies();
    ground.readers.on_command(READER, move |command| Incident::Answer(other.transmit(&command.encode())));
    assert_eq!(ground.state(session), CKS_RW_USER_FUNCTIONS);
    assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_REMOVED));
    assert_eq!(ground.module.session_info(session).err(), Some(Rv::SESSION_HANDLE_INVALID));
    assert_eq!(ground.readers.verifies(), verifies, "the held PIN is not for that card");
    let serial = text(&ground.module.token_info(AUTH).unwrap().serialNumber);
    assert_eq!(serial, OTHER.serial);
}

#[test]
fn each_insertion_and_removal_is_an_event_and_what_was_there_is_none() {
    let ground = Ground::new(card(&MY_NUMBER));
    let event = || ground.event(true);
    assert_eq!(event(), Err(Rv::NO_EVENT));
    ground.readers.remove(READER);
    assert_eq!((event(), event(), event()), (Ok(AUTH), Ok(SIGN), Err(Rv::NO_EVENT)));
    ground.readers.insert(READER, Box::new(card(&MY_NUMBER)));
    assert_eq!((event(), event(), event()), (Ok(AUTH), Ok(SIGN), Err(Rv::NO_EVENT)));
}

#[test]
fn a_blocked_wait_sees_an_insertion_and_ends_with_the_module() {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER))], |_| {});
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| ground.event(false));
        ground.readers.remove(READER);
        assert_eq!(waiter.join().unwrap(), Ok(AUTH));
        assert_eq!(ground.event(true), Ok(SIGN));
        let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| ground.event(false))).collect();
        ground.module.close();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(Rv::CRYPTOKI_NOT_INITIALIZED));
        }
    });
}

#[test]
fn a_token_counts_no_sessions_with_the_card_that_lay_there_before() {
    let ground = Ground::new(card(&MY_NUMBER));
    ground.session(AUTH);
    ground.readers.insert(READER, Box::new(card(&OTHER)));
    let info = ground.module.token_info(AUTH).unwrap();
    assert_eq!((info.ulSessionCount, info.ulRwSessionCount), (0, 0));
}
