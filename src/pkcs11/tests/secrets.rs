//! PIN discipline: a VERIFY is never wasted, and what a program is told makes it stop in time.

use super::*;
use crate::emulator::local::Incident;
use crate::emulator::switches::Locked;

#[test]
fn malformed_secrets_cost_no_try() {
    let ground = Ground::new(card(&MY_NUMBER));
    for (slot, typed) in [
        (AUTH, &b""[..]),
        (AUTH, b"123"),
        (AUTH, b"12345"),
        (AUTH, b"12a4"),
        (SIGN, b""),
        (SIGN, b"ABC12"),
        (SIGN, b"ABC-123"),
        (SIGN, b"ABCDEFGH123456789"),
    ] {
        let session = ground.session(slot);
        let (count, result) = ground.apdus(|| ground.login(session, typed));
        assert!(matches!(result, Err(Rv::PIN_INCORRECT | Rv::FUNCTION_CANCELED)), "{typed:?}: {result:?}");
        assert_eq!(count, 0, "{typed:?}");
    }
    assert_eq!(ground.module.login(ground.session(AUTH), CKU_USER, None), Err(Rv::ARGUMENTS_BAD), "no pinpad");
}

#[test]
fn a_password_in_small_letters_is_the_password() {
    let ground = Ground::new(card(&MY_NUMBER));
    ground.login(ground.session(SIGN), b"abc123").unwrap();
}

#[test]
fn the_same_wrong_pin_is_not_sent_twice() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    assert_eq!(ground.login(session, b"9999"), Err(Rv::PIN_INCORRECT));
    // The application, its counter, and the end of a login that was announced.
    let (count, result) = ground.apdus(|| ground.login(session, b"9999"));
    assert_eq!((count, result), (3, Err(Rv::PIN_INCORRECT)));
    assert_eq!(ground.readers.verifies(), 1);
    assert_eq!(ground.login(session, b"8888"), Err(Rv::PIN_INCORRECT), "another one is");
    assert_eq!(ground.readers.verifies(), 2);
    ground.login(session, PIN).unwrap();
    ground.module.logout(session).unwrap();
    assert_eq!(ground.login(session, b"9999"), Err(Rv::PIN_INCORRECT), "forgotten at success");
    assert_eq!(ground.readers.verifies(), 4);
}

#[test]
fn a_refused_pin_is_forgotten_when_the_counter_is_fuller_or_the_card_another() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    assert_eq!(ground.login(session, b"9999"), Err(Rv::PIN_INCORRECT));
    // Elsewhere the holder presents the right one.
    ground.rival(SELECT_JPKI);
    assert_eq!(ground.rival("0020009804 31323334".replace(' ', "").as_str()), Sw::OK);
    ground.flags(AUTH);
    assert_eq!(ground.login(session, b"9999"), Err(Rv::PIN_INCORRECT));
    assert_eq!(ground.readers.verifies(), 2);
    ground.readers.insert(READER, Box::new(card(&MY_NUMBER)));
    assert_eq!(ground.login(ground.session(AUTH), b"9999"), Err(Rv::PIN_INCORRECT));
    assert_eq!(ground.readers.verifies(), 3);
}

#[test]
fn the_third_refusal_in_a_row_without_a_verify_ends_a_clients_loop() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    let answers: Vec<_> = (0..3).map(|_| ground.login(session, b"12").unwrap_err()).collect();
    assert_eq!(answers, [Rv::PIN_INCORRECT, Rv::PIN_INCORRECT, Rv::FUNCTION_CANCELED]);
    ground.login(session, PIN).unwrap();
}

#[test]
fn the_call_that_locks_says_so_and_so_does_every_later_one() {
    for locked in [Locked::KeyLocked, Locked::Blocked] {
        let ground = Ground::new(with(&MY_NUMBER, |switches| switches.locked = locked));
        let session = ground.session(AUTH);
        assert_eq!(ground.login(session, b"1111"), Err(Rv::PIN_INCORRECT));
        assert_eq!(ground.flags(AUTH) & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY), CKF_USER_PIN_COUNT_LOW);
        assert_eq!(ground.login(session, b"2222"), Err(Rv::PIN_INCORRECT));
        let last = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY;
        assert_eq!(ground.flags(AUTH) & last, last);
        assert_eq!(ground.login(session, b"3333"), Err(Rv::PIN_LOCKED), "63C0");
        assert_ne!(ground.flags(AUTH) & CKF_USER_PIN_LOCKED, 0);
        assert_eq!(ground.login(session, PIN), Err(Rv::PIN_LOCKED));
        assert_eq!(ground.readers.verifies(), 3, "what is known to be locked is not tried");
        assert_eq!(ground.flags(SIGN) & CKF_USER_PIN_LOCKED, 0, "the other secret stands");
        ground.login(ground.session(SIGN), PASSWORD).unwrap();
    }
}

#[test]
fn a_locked_secret_is_locked_whatever_is_typed() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    let said =
        [&b"1111"[..], b"2222", b"3333", b"3333", b"1111", PIN, PIN, b"12"].map(|pin| ground.login(session, pin));
    let locked = Err(Rv::PIN_LOCKED);
    let wrong = Err(Rv::PIN_INCORRECT);
    assert_eq!(said, [wrong, wrong, locked, locked, locked, locked, locked, locked]);
    assert_eq!(ground.readers.verifies(), 3);
}

#[test]
fn a_secret_locked_by_another_program_is_locked_at_the_first_call() {
    for locked in [Locked::KeyLocked, Locked::Blocked] {
        let ground = Ground::new(with(&MY_NUMBER, |switches| switches.locked = locked));
        let session = ground.session(AUTH);
        assert_eq!(ground.flags(AUTH) & CKF_USER_PIN_LOCKED, 0);
        for pin in ["31313131", "32323232", "33333333"] {
            ground.rival(&format!("0020009804{pin}"));
        }
        assert_eq!(ground.login(session, PIN), Err(Rv::PIN_LOCKED), "6984 or 6983");
    }
}

#[test]
fn no_layer_repeats_a_verify_whatever_the_card_says() {
    for answer in ["6F00", "6108", "6C04", "6982", "6985", "6A86", "6D00", "6300", "", "90", "900000"] {
        let ground = Ground::new(card(&MY_NUMBER));
        let session = ground.session(AUTH);
        ground.flags(AUTH);
        let bytes = hex(answer);
        ground.readers.on_command(READER, move |command| {
            if command.is_secret() { Incident::Answer(bytes.clone()) } else { Incident::None }
        });
        let result = ground.login(session, PIN);
        assert!(result.is_err(), "{answer}: {result:?}");
        assert_eq!(ground.readers.verifies(), 1, "{answer}");
        assert!(matches!(ground.state(session), CKS_RW_PUBLIC_SESSION), "{answer}");
    }
}

#[test]
fn no_layer_repeats_a_change_whatever_the_card_says() {
    for answer in ["6F00", "6108", "6C04", "6982", "6985", "6A86", "6D00", "6300", "63C2", "", "90"] {
        let ground = Ground::new(card(&MY_NUMBER));
        let session = ground.session(AUTH);
        ground.flags(AUTH);
        let bytes = hex(answer);
        ground.readers.on_command(READER, move |command| match command.ins {
            crate::apdu::CHANGE_REFERENCE_DATA => Incident::Answer(bytes.clone()),
            _ => Incident::None,
        });
        let result = ground.module.set_pin(session, Some(PIN), Some(b"5678"));
        assert!(result.is_err(), "{answer}: {result:?}");
        let log = ground.readers.log();
        let sent = |start: &str| log.iter().filter(|exchange| exchange.command.starts_with(start)).count();
        assert_eq!((sent("00 24 "), sent("00 C0 ")), (1, 0), "{answer}");
    }
}

#[test]
fn of_two_threads_with_the_right_pin_one_sends_it() {
    use std::sync::mpsc::channel;
    let ground = Ground::new(card(&MY_NUMBER));
    let (first, second) = (ground.session(AUTH), ground.session(AUTH));
    let (begin, begun) = channel();
    let (tell, told) = channel::<PathBuf>();
    // While the card compares the secret of the one, the other comes as far as it can.
    let mut other = Some((begin, told));
    ground.readers.on_command(READER, move |command| {
        if command.is_secret()
            && let Some((begin, told)) = other.take()
        {
            begin.send(()).unwrap();
            await_sleep(&told.recv().unwrap());
        }
        Incident::None
    });
    let ground = &ground;
    std::thread::scope(|scope| {
        let one = scope.spawn(|| ground.login(first, PIN));
        let other = scope.spawn(move || {
            begun.recv().unwrap();
            tell.send(this_thread()).unwrap();
            ground.login(second, PIN)
        });
        assert_eq!(one.join().unwrap(), Ok(()));
        assert_eq!(other.join().unwrap(), Err(Rv::USER_ALREADY_LOGGED_IN));
    });
    assert_eq!(ground.readers.verifies(), 1);
    ground.sign(first, b"x").unwrap();
}

#[test]
fn more_tries_than_the_secret_has_are_another_applications() {
    let ground = Ground::new(card(&MY_NUMBER));
    ground.flags(AUTH);
    // A rival has left another application, in which a secret of ten tries answers to the same short id.
    let mut first = true;
    ground.readers.on_command(READER, move |command| {
        let is_query = command.ins == crate::apdu::VERIFY && command.data.is_empty();
        if is_query && std::mem::take(&mut first) { Incident::Answer(vec![0x63, 0xCA]) } else { Incident::None }
    });
    let (count, flags) = ground.apdus(|| ground.flags(AUTH));
    assert_eq!(flags & CKF_USER_PIN_COUNT_LOW, 0);
    assert_eq!(count, 3, "the application is selected, and asked once more");
    let (count, flags) = ground.apdus(|| ground.flags(AUTH));
    assert_eq!((count, flags & CKF_USER_PIN_COUNT_LOW), (1, 0), "nothing has fallen");
}

#[test]
fn a_verify_goes_out_only_right_after_the_application_was_selected() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.flags(AUTH);
    // A rival leaves the card in another application, whose secrets would answer to the same short id.
    ground.rival(SELECT_ISD);
    ground.login(session, PIN).unwrap();
    let log = ground.readers.log();
    let at = log.iter().position(|exchange| exchange.command.contains("[secret]")).unwrap();
    assert!(log[at - 1].command.starts_with("00 A4 04 0C D392F000260100000001"), "{:?}", log[at - 1]);
    assert_eq!(log[at - 1].sw, Some(Sw::OK));
}

#[test]
fn a_select_that_fails_keeps_the_secret_back() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.readers.on_command(READER, |command| match command.ins {
        crate::apdu::SELECT => Incident::Answer(vec![0x6A, 0x82]),
        _ => Incident::None,
    });
    assert_eq!(ground.login(session, PIN), Err(Rv::DEVICE_ERROR));
    assert_eq!(ground.readers.verifies(), 0);
}

#[test]
fn a_card_whose_counter_falls_by_asking_is_asked_no_more() {
    let ground = Ground::new(card(&MY_NUMBER));
    let mut left: u8 = 4;
    ground.readers.on_command(READER, move |command| {
        if command.ins == crate::apdu::VERIFY && command.data.is_empty() {
            left = left.saturating_sub(1);
            Incident::Answer(vec![0x63, 0xC0 | left])
        } else {
            Incident::None
        }
    });
    assert_eq!(ground.flags(AUTH) & CKF_USER_PIN_COUNT_LOW, 0);
    assert_ne!(ground.flags(AUTH) & CKF_USER_PIN_COUNT_LOW, 0);
    let (count, flags) = ground.apdus(|| ground.flags(AUTH));
    assert_eq!(count, 0);
    assert_ne!(flags & CKF_USER_PIN_COUNT_LOW, 0, "the last value is told");
    ground.login(ground.session(AUTH), PIN).unwrap();
    assert_eq!(ground.apdus(|| ground.flags(AUTH)).0, 2, "a VERIFY of ours has settled it, so that it is asked again");
}

#[test]
fn c_set_pin_changes_the_secret_in_one_transaction_and_leaves_no_login() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(SIGN);
    ground.module.set_pin(session, Some(b"abc123"), Some(b"new456")).unwrap();
    let commands: Vec<String> = ground.readers.log().iter().map(|exchange| exchange.command.clone()).collect();
    let tail = &commands[commands.len() - 5..];
    assert_eq!(
        tail,
        [
            "00 A4 04 0C D392F000260100000001",
            "00 20 00 9B",
            "00 20 00 9B [secret]",
            "00 24 01 9B [secret]",
            &format!("00 A4 04 0C {}", "A0000001510000")
        ]
    );
    assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION);
    assert_eq!(ground.login(session, PASSWORD), Err(Rv::PIN_INCORRECT));
    ground.login(session, b"NEW456").unwrap();
    ground.module.set_pin(session, Some(b"NEW456"), Some(b"ABC123")).unwrap();
    assert_eq!(ground.state(session), CKS_RW_USER_FUNCTIONS, "who was logged in stays so");
    ground.sign(session, b"x").unwrap();
}

#[test]
fn c_set_pin_tells_which_secret_is_malformed_and_sends_neither() {
    let ground = Ground::new(card(&MY_NUMBER));
    let (auth, sign) = (ground.session(AUTH), ground.session(SIGN));
    let (count, ()) = ground.apdus(|| {
        let set = |session, old: &[u8], new: &[u8]| ground.module.set_pin(session, Some(old), Some(new)).unwrap_err();
        assert_eq!(set(auth, b"1234", b"12345"), Rv::PIN_LEN_RANGE);
        assert_eq!(set(auth, b"1234", b"12a4"), Rv::PIN_INVALID);
        assert_eq!(set(sign, PASSWORD, b"ABCDEFG"), Rv::PIN_INVALID, "letters only");
        assert_eq!(set(sign, b"ABC", b"NEW456"), Rv::PIN_INCORRECT);
        assert_eq!(ground.module.set_pin(auth, None, Some(b"1234")), Err(Rv::ARGUMENTS_BAD));
        let read_only = ground.module.open_session(AUTH, CKF_SERIAL_SESSION).unwrap();
        assert_eq!(set(read_only, b"1234", b"5678"), Rv::SESSION_READ_ONLY);
    });
    assert_eq!(count, 0);
}

#[test]
fn c_set_pin_with_a_wrong_old_secret_spends_one_try_and_changes_nothing() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    assert_eq!(ground.module.set_pin(session, Some(b"9999"), Some(b"5678")), Err(Rv::PIN_INCORRECT));
    assert_eq!(ground.module.set_pin(session, Some(b"9999"), Some(b"5678")), Err(Rv::PIN_INCORRECT));
    assert_eq!(ground.readers.verifies(), 1, "the second time it was not sent");
    ground.login(session, PIN).unwrap();
}

#[test]
fn only_the_user_logs_in_and_only_once() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    assert_eq!(ground.module.login(session, CKU_SO, Some(PIN)), Err(Rv::USER_TYPE_INVALID));
    assert_eq!(ground.module.login(session, 99, Some(PIN)), Err(Rv::USER_TYPE_INVALID));
    assert_eq!(ground.module.login(session, CKU_CONTEXT_SPECIFIC, Some(PIN)), Err(Rv::OPERATION_NOT_INITIALIZED));
    assert_eq!(ground.module.login_user(session, CKU_USER, Some(PIN), b"taro"), Err(Rv::ARGUMENTS_BAD));
    ground.module.login_user(session, CKU_USER, Some(PIN), b"").unwrap();
    assert_eq!(ground.login(session, PIN), Err(Rv::USER_ALREADY_LOGGED_IN));
    assert_eq!(ground.readers.verifies(), 1);
}

#[test]
fn the_security_officer_is_refused_for_the_reason_the_standard_gives() {
    let ground = Ground::new(card(&MY_NUMBER));
    let read_only = ground.module.open_session(AUTH, CKF_SERIAL_SESSION).unwrap();
    let session = ground.session(AUTH);
    let officer = || ground.module.login(session, CKU_SO, Some(PIN)).unwrap_err();
    assert_eq!(officer(), Rv::SESSION_READ_ONLY_EXISTS);
    ground.module.close_session(read_only).unwrap();
    assert_eq!(officer(), Rv::USER_TYPE_INVALID);
    ground.login(session, PIN).unwrap();
    assert_eq!(officer(), Rv::USER_ANOTHER_ALREADY_LOGGED_IN);
    assert_eq!(ground.readers.verifies(), 1);
}

#[test]
fn after_a_change_whose_answer_was_lost_the_old_pin_is_not_presented_again() {
    use crate::emulator::fault::{Aim, Fault, Faults, FaultyCard};
    let faults = Faults::default();
    let ground = Ground::new(FaultyCard::new(card(&MY_NUMBER), &faults));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.key(session);
    faults.begin(Aim::Change, Fault::Mute);
    assert_eq!(ground.module.set_pin(session, Some(PIN), Some(b"5678")), Err(Rv::DEVICE_ERROR));
    faults.end();
    ground.rival(SELECT_ISD);
    let verifies = ground.readers.verifies();
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(ground.readers.verifies(), verifies, "the card has the new PIN, and the old one would cost a try");
    ground.login(session, b"5678").unwrap();
}

#[test]
fn removal_in_the_middle_of_c_set_pin_is_removal() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.readers.on_command(READER, |command| match command.ins {
        crate::apdu::CHANGE_REFERENCE_DATA => Incident::RemoveBefore,
        _ => Incident::None,
    });
    assert_eq!(ground.module.set_pin(session, Some(PIN), Some(b"5678")), Err(Rv::DEVICE_REMOVED));
}

#[test]
fn a_pin_that_the_card_did_not_compare_is_not_remembered_as_wrong() {
    use crate::emulator::fault::{Aim, Fault, Faults, FaultyCard};
    let faults = Faults::default();
    let ground = Ground::new(FaultyCard::new(card(&MY_NUMBER), &faults));
    let session = ground.session(AUTH);
    faults.begin(Aim::Verify, Fault::Status(Sw::NOT_FOUND));
    assert_eq!(ground.login(session, PIN), Err(Rv::USER_PIN_NOT_INITIALIZED));
    faults.end();
    ground.login(session, PIN).unwrap();
}
