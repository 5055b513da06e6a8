//! Logins that the card has lost, and logins that must end there.

use super::*;
use crate::emulator::local::Incident;

/// A ground with the authentication token logged in and its certificate read.
fn logged_in(change: impl FnOnce(&mut Config)) -> (Ground, CK_SESSION_HANDLE) {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER))], change);
    let session = ground.session(AUTH);
    ground.flags(AUTH);
    ground.login(session, PIN).unwrap();
    ground.sign(session, b"first").unwrap();
    (ground, session)
}

#[test]
fn after_a_rivals_logout_an_authentication_signature_costs_five_more_apdus_and_no_prompt() {
    let (ground, session) = logged_in(|_| {});
    let key = ground.key(session);
    for leave in [vec![SELECT_ISD], vec![SELECT_ISD, SELECT_JPKI]] {
        leave.iter().for_each(|command| assert_eq!(ground.rival(command), Sw::OK));
        ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
        let (count, result) = ground.apdus(|| output(Some(512), |out| ground.module.sign(session, b"x", out)));
        assert_eq!((count, result.unwrap().len()), (6, 256));
    }
}

#[test]
fn after_a_rivals_reset_a_signature_costs_one_more_apdu() {
    let (ground, session) = logged_in(|_| {});
    ground.readers.reset(READER);
    let (count, result) = ground.apdus(|| ground.sign(session, b"x"));
    assert_eq!((count, result.unwrap().len()), (2, 256));
}

#[test]
fn after_a_rivals_selection_of_a_file_a_signature_is_still_by_the_right_key() {
    let (ground, session) = logged_in(|_| {});
    assert_eq!(ground.rival("00A4020C02001A"), Sw::OK);
    assert_eq!(ground.apdus(|| ground.sign(session, b"x").unwrap().len()), (1, 256));
}

#[test]
fn the_held_pin_is_not_presented_if_somebody_mistyped_it_since() {
    let (ground, session) = logged_in(|_| {});
    ground.rival(SELECT_ISD);
    ground.rival(SELECT_JPKI);
    assert_eq!(ground.rival("002000980439393939").tries_left(), Some(2));
    let verifies = ground.readers.verifies();
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(ground.readers.verifies(), verifies);
}

#[test]
fn the_held_pin_is_not_presented_to_a_card_whose_token_information_differs() {
    let (ground, session) = logged_in(|_| {});
    ground.rival(SELECT_ISD);
    ground.readers.on_command(READER, |command| {
        if (command.ins, command.p1) == (crate::apdu::READ_BINARY, 0x86) {
            let mut file = [b' '; 162];
            file[..15].copy_from_slice(b"JPKIAPICCTOKEN2");
            file[160..].copy_from_slice(&[0x90, 0x00]);
            return Incident::Answer(file.to_vec());
        }
        Incident::None
    });
    let verifies = ground.readers.verifies();
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(ground.readers.verifies(), verifies);
}

#[test]
fn the_held_pin_is_presented_at_most_once_a_signature() {
    let (ground, session) = logged_in(|_| {});
    let isd = hex(SELECT_ISD);
    // The rival is there again before every signature command.
    ground.readers.on_command(READER, move |command| {
        if command.ins == crate::apdu::COMPUTE_DIGITAL_SIGNATURE {
            Incident::Rival(vec![isd.clone()])
        } else {
            Incident::None
        }
    });
    let verifies = ground.readers.verifies();
    assert!(ground.sign(session, b"x").is_err());
    assert!(ground.readers.verifies() <= verifies + 1);
}

#[test]
fn the_held_pin_is_presented_only_where_the_card_says_that_the_login_is_lost() {
    for (answer, after_a_reset) in
        [("6985", true), ("6985", false), ("6581", true), ("6F00", true), ("6400", true), ("6700", true)]
    {
        let (ground, session) = logged_in(|_| {});
        if after_a_reset {
            ground.readers.reset(READER);
        }
        ground.readers.on_command(READER, move |command| match command.ins {
            crate::apdu::COMPUTE_DIGITAL_SIGNATURE => Incident::Answer(hex(answer)),
            _ => Incident::None,
        });
        let verifies = ground.readers.verifies();
        assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_ERROR), "{answer}");
        assert_eq!(ground.readers.verifies(), verifies, "{answer}");
    }
}

#[test]
fn the_held_pin_is_not_presented_after_a_logout_that_came_before_the_signature() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    let key = ground.key(session);
    ground.attribute(session, key, CKA_MODULUS).unwrap();
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    let reader = ground.module.known.read()[0].clone();
    let epoch = ground.module.slots.lock().epoch(0);
    let token = reader.token(crate::card::Key::Authentication);
    // The card is at work for somebody when the signature is asked for.
    let mut connection = reader.connection.lock();
    let login = std::thread::scope(|threads| {
        let signature = threads.spawn(|| output(Some(256), |out| ground.module.sign(session, b"x", out)));
        // Nothing else takes that from a login: the signature was allowed, and waits for the card now.
        while token.with(epoch, |state| state.login().unwrap().is_fresh()).unwrap() {
            std::thread::yield_now();
        }
        // The logout, from here on as C_Logout does it.
        let login = token.with(epoch, |state| state.end(true)).unwrap();
        connection.as_mut().unwrap().card.end_logins().unwrap();
        drop(connection);
        assert_eq!(signature.join().unwrap(), Err(Rv::USER_NOT_LOGGED_IN));
        login
    });
    assert!(login.is_some());
    assert_eq!(ground.readers.verifies(), 1, "that of the login");
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED);
}

#[test]
fn the_held_pin_is_not_presented_where_the_counter_falls_by_being_asked() {
    let (ground, session) = logged_in(|_| {});
    let key = ground.key(session);
    let mut left = 4;
    ground.readers.on_command(READER, move |command| {
        let asked = command.ins == crate::apdu::VERIFY && command.data.is_empty();
        left -= u8::from(asked && left > 1);
        if asked { Incident::Answer(vec![0x63, 0xC0 | left]) } else { Incident::None }
    });
    ground.flags(AUTH);
    ground.flags(AUTH);
    let (queries, verifies) = (ground.readers.queries(), ground.readers.verifies());
    ground.rival(SELECT_ISD);
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    assert_eq!(output(Some(256), |out| ground.module.sign(session, b"x", out)), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!((ground.readers.queries(), ground.readers.verifies()), (queries, verifies));
}

#[test]
fn without_hold_pin_a_lost_login_makes_the_token_public_before_the_call_returns() {
    let (ground, session) = logged_in(|config| config.hold_pin = false);
    let key = ground.key(session);
    let (public, verifies) = (ground.class(session, CKO_CERTIFICATE), ground.readers.verifies());
    ground.rival(SELECT_ISD);
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION);
    assert_eq!(ground.attribute(session, key, CKA_CLASS), Err(Rv::OBJECT_HANDLE_INVALID));
    assert_eq!(ground.class(session, CKO_CERTIFICATE), public, "public objects keep their handles");
    assert_eq!(ground.readers.verifies(), verifies);
    ground.login(session, PIN).unwrap();
    assert_eq!(ground.readers.verifies(), verifies + 1, "the next login presents the secret");
    assert_eq!(ground.attribute(session, key, CKA_CLASS), Err(Rv::OBJECT_HANDLE_INVALID), "old handles stay dead");
    ground.sign(session, b"x").unwrap();
}

#[test]
fn the_signature_password_is_never_presented_again() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(SIGN);
    ground.login(session, PASSWORD).unwrap();
    ground.sign(session, b"x").unwrap();
    ground.rival(SELECT_ISD);
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION);
    assert_eq!(ground.readers.verifies(), 1);
}

#[test]
fn a_signature_certificate_that_can_no_longer_be_read_makes_the_token_public() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(SIGN);
    ground.login(session, PASSWORD).unwrap();
    ground.rival(SELECT_ISD);
    assert!(ground.class(session, CKO_PRIVATE_KEY).is_empty());
    assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION);
}

/// What another program gets from the card with this key, without a secret.
fn rival_signs(ground: &Ground, key: &str) -> Sw {
    ground.rival(SELECT_JPKI);
    ground.rival(&format!("802A00{key}020102 00").replace(' ', ""))
}

#[test]
fn after_logout_nobody_signs_without_the_secret() {
    for end in ["C_Logout", "C_CloseSession", "C_CloseAllSessions", "C_Finalize"] {
        let (ground, session) = logged_in(|_| {});
        assert_eq!(rival_signs(&ground, "97"), Sw::OK, "while logged in the card signs for everybody");
        match end {
            "C_Logout" => ground.module.logout(session).unwrap(),
            "C_CloseSession" => ground.module.close_session(session).unwrap(),
            "C_CloseAllSessions" => ground.module.close_all_sessions(AUTH).unwrap(),
            _ => ground.module.disconnect(),
        }
        assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED, "{end}");
    }
}

#[test]
fn a_logout_does_not_end_the_other_tokens_login() {
    let (ground, auth) = logged_in(|_| {});
    let sign = ground.session(SIGN);
    ground.login(sign, PASSWORD).unwrap();
    ground.module.logout(auth).unwrap();
    assert_eq!(ground.sign(sign, b"x").unwrap().len(), 256);
    assert_eq!(ground.state(auth), CKS_RW_PUBLIC_SESSION);
    ground.module.logout(sign).unwrap();
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED, "the last one logs out both");
    assert_eq!(rival_signs(&ground, "9A"), Sw::NOT_VERIFIED);
}

#[test]
fn without_a_place_to_meet_the_other_tokens_login_counts_all_the_same() {
    let (ground, auth) = logged_in(|config| config.places.clear());
    let sign = ground.session(SIGN);
    ground.login(sign, PASSWORD).unwrap();
    ground.module.logout(auth).unwrap();
    ground.sign(sign, b"x").unwrap();
    ground.module.logout(sign).unwrap();
    assert_eq!(rival_signs(&ground, "9A"), Sw::NOT_VERIFIED);
}

#[test]
fn of_two_processes_the_first_logout_does_not_end_the_others_login_and_the_last_ends_the_cards() {
    let (ground, first) = logged_in(|_| {});
    let module = Module::over(ground.module.config.clone(), Tokens::Both, Box::new(ground.readers.clone()));
    let second = module.open_session(AUTH, CKF_SERIAL_SESSION).unwrap();
    module.login(second, CKU_USER, Some(PIN)).unwrap();
    ground.module.logout(first).unwrap();
    assert_eq!(rival_signs(&ground, "97"), Sw::OK, "the other process is still logged in");
    module.logout(second).unwrap();
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED);
}

#[test]
fn a_login_whose_answer_was_lost_is_ended_on_the_card() {
    use crate::emulator::fault::{Aim, Fault, Faults, FaultyCard};
    let faults = Faults::default();
    let ground = Ground::new(FaultyCard::new(card(&MY_NUMBER), &faults));
    let session = ground.session(AUTH);
    faults.begin(Aim::Verify, Fault::Mute);
    assert_eq!(ground.login(session, PIN), Err(Rv::DEVICE_ERROR));
    faults.end();
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED);
}

#[test]
fn a_card_that_refuses_the_issuer_security_domain_is_logged_out_by_another_application_or_without_power() {
    let ground = Ground::new(with(&MY_NUMBER, |switches| switches.isd = false));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.module.logout(session).unwrap();
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED);

    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    ground.readers.on_command(READER, |command| {
        let others = command.ins == crate::apdu::SELECT && command.data.as_slice() != hex("D392F000260100000001");
        if others { Incident::Answer(vec![0x6A, 0x82]) } else { Incident::None }
    });
    ground.module.logout(session).unwrap();
    assert_eq!(ground.readers.rival(READER, &hex(SELECT_JPKI)), None, "the card is without power");
    ground.login(session, PIN).unwrap();
}

#[test]
fn a_logout_beside_a_login_that_fails_leaves_no_login_on_the_card() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    // Another process is logged in with the signature key.
    let present = ground.module.token(ground.module.slot(AUTH).unwrap()).unwrap();
    let logins = ground.module.logins(&present);
    let others = logins.announce(crate::card::Key::Signature, &crate::logins::Wait::NONE).unwrap();
    ground.rival(SELECT_JPKI);
    assert_eq!(ground.rival("0020009B06414243313233"), Sw::OK);
    ground.readers.on_command(READER, move |command| {
        // The wrong PIN is under way when it logs out, and leaves the card to the login that has been announced.
        if command.is_secret() {
            others.release();
            assert!(logins.last(crate::card::Key::Authentication).is_none());
        }
        Incident::None
    });
    assert_eq!(ground.login(session, b"9999"), Err(Rv::PIN_INCORRECT));
    ground.readers.on_command(READER, |_| Incident::None);
    assert_eq!(rival_signs(&ground, "9A"), Sw::NOT_VERIFIED);
}

#[test]
fn nobody_announces_a_login_while_the_card_is_being_logged_out() {
    use crate::logins::{Error, Wait};
    use std::sync::{Arc, Mutex};
    let (ground, session) = logged_in(|_| {});
    let present = ground.module.token(ground.module.slot(AUTH).unwrap()).unwrap();
    let logins = ground.module.logins(&present);
    let announced = Arc::new(Mutex::new(Vec::new()));
    ground.readers.on_command(READER, {
        let announced = Arc::clone(&announced);
        move |command| {
            // This one ends whatever login there is on the card.
            if command.ins == crate::apdu::SELECT {
                let tried = [crate::card::Key::Authentication, crate::card::Key::Signature]
                    .map(|key| logins.announce(key, &Wait::NONE).err());
                announced.lock().unwrap().push(tried);
            }
            Incident::None
        }
    });
    ground.module.logout(session).unwrap();
    assert_eq!(*announced.lock().unwrap(), [[Some(Error::Held), Some(Error::Held)]]);
}

#[test]
fn a_login_that_is_over_ends_on_the_card_whatever_is_asked_next() {
    type Ask = fn(&Ground, [CK_SESSION_HANDLE; 2]);
    let asks: [(&str, Ask); 9] = [
        ("C_GetSessionInfo", |ground, [auth, _]| assert!(ground.module.session_info(auth).is_ok())),
        ("C_GetSlotInfo", |ground, _| assert!(ground.module.slot_info(AUTH).is_ok())),
        ("C_GetTokenInfo", |ground, _| assert!(ground.module.token_info(AUTH).is_ok())),
        // Nor with the other token.
        ("C_GetSessionInfo, signature", |ground, [_, sign]| assert!(ground.module.session_info(sign).is_ok())),
        ("C_GetSlotInfo, signature", |ground, _| assert!(ground.module.slot_info(SIGN).is_ok())),
        ("C_GetTokenInfo, signature", |ground, _| assert!(ground.module.token_info(SIGN).is_ok())),
        ("C_OpenSession, signature", |ground, _| assert!(ground.session(SIGN) > 0)),
        ("C_CloseSession, signature", |ground, [_, sign]| assert!(ground.module.close_session(sign).is_ok())),
        ("C_Logout, signature", |ground, [_, sign]| {
            assert_eq!(ground.module.logout(sign), Err(Rv::USER_NOT_LOGGED_IN));
        }),
    ];
    for (name, ask) in asks {
        let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER))], |config| {
            config.max_login = Some(Duration::ZERO);
        });
        let sessions = [AUTH, SIGN].map(|slot| ground.session(slot));
        ground.login(sessions[0], PIN).unwrap();
        ask(&ground, sessions);
        assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED, "{name}");
    }
}

#[test]
fn max_login_ends_an_old_login() {
    let (ground, session) = logged_in(|config| config.max_login = Some(Duration::from_secs(3600)));
    assert_eq!(ground.state(session), CKS_RW_USER_FUNCTIONS);
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER))], |config| {
        config.max_login = Some(Duration::ZERO);
    });
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION);
    assert_eq!(ground.module.logout(session), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED, "the card was told");
}

#[test]
fn a_login_whose_answer_makes_no_sense_leaves_no_login_on_the_card() {
    use crate::emulator::fault::{Aim, Fault, Faults, FaultyCard};
    for fault in [Fault::Status(Sw::NO_DIAGNOSIS), Fault::EndlessMore, Fault::OneByte, Fault::Mute] {
        // With a place to meet other processes, and without one.
        for meets in [true, false] {
            let faults = Faults::default();
            let faulty = FaultyCard::new(card(&MY_NUMBER), &faults);
            let ground = Ground::set(Tokens::Both, vec![Box::new(faulty)], |config| {
                config.places.retain(|_| meets);
            });
            let session = ground.session(AUTH);
            // The card takes the PIN, and its answer does not get through.
            faults.begin(Aim::Verify, fault.clone());
            assert_eq!(ground.login(session, PIN), Err(Rv::DEVICE_ERROR));
            faults.end();
            assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED, "{fault}, meets others: {meets}");
        }
    }
}

/// A ground with both tokens logged in, whose card has then forgotten the password alone: a rival has mistyped it.
fn with_a_signature_login_lost() -> (Ground, CK_SESSION_HANDLE, CK_SESSION_HANDLE) {
    let (ground, auth) = logged_in(|config| config.hold_pin = false);
    let sign = ground.session(SIGN);
    ground.login(sign, PASSWORD).unwrap();
    ground.sign(sign, b"x").unwrap();
    assert_eq!(ground.rival("0020009B0657524F4E4731").tries_left(), Some(4));
    (ground, auth, sign)
}

#[test]
fn a_signature_login_that_is_found_lost_leaves_nothing_open_that_was_left_to_it() {
    let (ground, auth, sign) = with_a_signature_login_lost();
    ground.module.logout(auth).unwrap();
    assert_eq!(rival_signs(&ground, "97"), Sw::OK, "it closes with the signature's");
    assert_eq!(ground.sign(sign, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED);
}

#[test]
fn a_signature_login_that_is_found_lost_does_not_take_the_authentication_login_along() {
    let (ground, auth, sign) = with_a_signature_login_lost();
    assert_eq!(ground.sign(sign, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    // A look, which pays what is owed: nothing.
    ground.session(AUTH);
    ground.flags(AUTH);
    assert_eq!(ground.sign(auth, b"x").unwrap().len(), 256);
}
