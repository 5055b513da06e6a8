//! Signatures: what is sent, what leaves, and how an operation lives.

use super::*;
use crate::apdu::READ_BINARY;
use crate::cert::Certificate;
use crate::emulator::local::{Exchange, Incident};
use crate::emulator::switches::{PssSalt, Schemes, UnknownScheme};
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Verifier;
use sha2::Sha256;

fn logged_in(device: PracticeCard, slot: CK_SLOT_ID) -> (Ground, CK_SESSION_HANDLE) {
    let ground = Ground::new(device);
    let session = ground.session(slot);
    ground.login(session, if slot == AUTH { PIN } else { PASSWORD }).unwrap();
    (ground, session)
}

/// Checks with the key of the certificate that the module hands out, by the library itself.
fn assert_sound(ground: &Ground, session: CK_SESSION_HANDLE, pss: bool, message: &[u8], signature: &[u8]) {
    let key = ground.key(session);
    let info = ground.attribute(session, key, CKA_PUBLIC_KEY_INFO).unwrap();
    let key = rsa::PublicKey::from_public_key_der(&info).unwrap();
    if pss {
        let signature = rsa::pss::Signature::try_from(signature).unwrap();
        rsa::pss::VerifyingKey::<Sha256>::new(key).verify(message, &signature).unwrap();
    } else {
        let signature = rsa::pkcs1v15::Signature::try_from(signature).unwrap();
        rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &signature).unwrap();
    }
}

#[test]
fn both_keys_sign_by_both_schemes_in_one_apdu_each() {
    for slot in [AUTH, SIGN] {
        let (ground, session) = logged_in(card(&MY_NUMBER), slot);
        ground.key(session);
        for (mechanism, pss) in [(sha256_pkcs1(), false), (sha256_pss(), true)] {
            let (count, signature) = ground.apdus(|| ground.sign_with(session, mechanism, b"message").unwrap());
            assert_eq!(count, 1);
            assert_sound(&ground, session, pss, b"message", &signature);
        }
    }
}

#[test]
fn the_first_signature_with_infos_certificate_and_logout_stays_within_its_budget() {
    for (slot, pin) in [(AUTH, PIN), (SIGN, PASSWORD)] {
        let ground = Ground::new(card(&MY_NUMBER));
        let (count, n) = ground.apdus(|| {
            ground.module.slot_list(true, true).unwrap();
            ground.flags(AUTH);
            ground.flags(SIGN);
            let session = ground.session(slot);
            ground.login(session, pin).unwrap();
            let id = [if slot == AUTH { 1 } else { 2 }];
            let own = ground.find(session, &[(CKA_CLASS, &CKO_CERTIFICATE.to_ne_bytes()), (CKA_ID, &id)])[0];
            let n = ground.attribute(session, own, CKA_VALUE).unwrap().len();
            ground.sign(session, b"message").unwrap();
            ground.module.logout(session).unwrap();
            n
        });
        assert!(count <= 9 + n.div_ceil(256), "{count} APDUs, certificate of {n} bytes");
    }
}

#[test]
fn a_message_in_parts_is_signed_as_one() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    ground.module.sign_init(session, sha256_pkcs1(), ground.key(session)).unwrap();
    for part in [&b"mes"[..], b"", b"sage"] {
        ground.module.sign_update(session, part).unwrap();
    }
    let signature = output(Some(256), |out| ground.module.sign_final(session, out)).unwrap();
    assert_sound(&ground, session, false, b"message", &signature);
    let public = ground.class(session, CKO_PUBLIC_KEY)[0];
    ground.module.verify_init(session, sha256_pkcs1(), public).unwrap();
    ground.module.verify_update(session, b"message").unwrap();
    ground.module.verify_final(session, &signature).unwrap();
    ground.module.verify_init(session, sha256_pkcs1(), public).unwrap();
    assert_eq!(ground.module.verify(session, b"massage", &signature), Err(Rv::SIGNATURE_INVALID));
}

#[test]
fn verifying_takes_neither_a_login_nor_a_command_in_whichever_order_data_and_signature_come() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    let signature = ground.sign(session, b"message").unwrap();
    ground.module.logout(session).unwrap();
    let public = ground.class(session, CKO_PUBLIC_KEY)[0];
    let (count, ()) = ground.apdus(|| {
        ground.module.verify_init(session, sha256_pkcs1(), public).unwrap();
        ground.module.verify(session, b"message", &signature).unwrap();
        ground.module.verify_signature_init(session, sha256_pkcs1(), public, &signature).unwrap();
        ground.module.verify_signature(session, b"message").unwrap();
    });
    assert_eq!(count, 0);
}

#[test]
fn asking_for_the_length_or_too_little_room_keeps_the_operation_and_everything_else_ends_it() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    let key = ground.key(session);
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    let (count, ()) = ground.apdus(|| {
        assert_eq!(output(None, |out| ground.module.sign(session, b"x", out)).unwrap().len(), 256);
        assert_eq!(output(Some(255), |out| ground.module.sign(session, b"x", out)), Err(Rv::BUFFER_TOO_SMALL));
        assert_eq!(ground.module.sign_init(session, sha256_pkcs1(), key), Err(Rv::OPERATION_ACTIVE));
    });
    assert_eq!(count, 0);
    output(Some(256), |out| ground.module.sign(session, b"x", out)).unwrap();
    let ended = output(Some(256), |out| ground.module.sign(session, b"x", out));
    assert_eq!(ended, Err(Rv::OPERATION_NOT_INITIALIZED));

    let raw = Parsed::new((CKM_RSA_PKCS, &[])).unwrap();
    for data in [&[][..], &[7; 246]] {
        let (count, result) = ground.apdus(|| ground.sign_with(session, raw, data));
        assert_eq!((count, result), (0, Err(Rv::DATA_LEN_RANGE)));
        let ended = output(Some(256), |out| ground.module.sign(session, b"x", out));
        assert_eq!(ended, Err(Rv::OPERATION_NOT_INITIALIZED), "an error ends it");
    }
    assert_eq!(ground.sign_with(session, raw, b"hello\n").unwrap().len(), 256, "verbatim padding is real");
}

#[test]
fn an_error_in_an_update_ends_the_operation() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    let raw = Parsed::new((CKM_RSA_PKCS, &[])).unwrap();
    ground.module.sign_init(session, raw, ground.key(session)).unwrap();
    ground.module.sign_update(session, b"x").unwrap();
    let (count, ()) = ground.apdus(|| {
        // More than any key signs.
        assert_eq!(ground.module.sign_update(session, &[7; 512]), Err(Rv::DATA_LEN_RANGE));
        assert_eq!(ground.module.sign_update(session, b"x"), Err(Rv::OPERATION_NOT_INITIALIZED));
        let ended = output(Some(256), |out| ground.module.sign_final(session, out));
        assert_eq!(ended, Err(Rv::OPERATION_NOT_INITIALIZED));
    });
    assert_eq!(count, 0);
    let public = ground.class(session, CKO_PUBLIC_KEY)[0];
    ground.module.verify_init(session, raw, public).unwrap();
    assert_eq!(ground.module.verify_update(session, &[7; 512]), Err(Rv::DATA_LEN_RANGE));
    assert_eq!(ground.module.verify_update(session, b"x"), Err(Rv::OPERATION_NOT_INITIALIZED));
    assert_eq!(ground.module.verify_final(session, &[0; 256]), Err(Rv::OPERATION_NOT_INITIALIZED));
}

#[test]
fn sessions_have_operations_of_their_own_and_c_session_cancel_ends_them() {
    let (ground, first) = logged_in(card(&MY_NUMBER), AUTH);
    let second = ground.session(AUTH);
    let key = ground.key(first);
    ground.module.sign_init(first, sha256_pkcs1(), key).unwrap();
    ground.module.sign_init(second, sha256_pkcs1(), key).unwrap();
    ground.module.session_cancel(first, CKF_SIGN).unwrap();
    let cancelled = output(Some(256), |out| ground.module.sign(first, b"x", out));
    assert_eq!(cancelled, Err(Rv::OPERATION_NOT_INITIALIZED));
    output(Some(256), |out| ground.module.sign(second, b"x", out)).unwrap();
}

#[test]
fn a_key_handle_of_the_wrong_class_or_of_nobody_does_not_sign() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    let (public, certificate) = (ground.class(session, CKO_PUBLIC_KEY)[0], ground.class(session, CKO_CERTIFICATE)[0]);
    let init = |key| ground.module.sign_init(session, sha256_pkcs1(), key);
    assert_eq!(init(public), Err(Rv::KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(init(certificate), Err(Rv::KEY_HANDLE_INVALID));
    assert_eq!(init(0), Err(Rv::KEY_HANDLE_INVALID));
    assert_eq!(init(CK_ULONG::MAX), Err(Rv::KEY_HANDLE_INVALID));
    let key = ground.key(session);
    ground.module.logout(session).unwrap();
    assert_eq!(init(key), Err(Rv::KEY_HANDLE_INVALID));
}

#[test]
fn a_signature_that_does_not_fit_the_certificate_never_leaves() {
    let lies: [fn(&mut Vec<u8>); 4] = [
        |signature| signature[0] ^= 1,
        |signature| signature.truncate(255),
        |signature| signature.clear(),
        |signature| signature.extend_from_slice(&[0; 1000]),
    ];
    for lie in lies {
        let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
        let mut signature = ground.sign(session, b"x").unwrap();
        lie(&mut signature);
        signature.extend_from_slice(&[0x90, 0x00]);
        ground.readers.on_command(READER, move |command| match command.ins {
            crate::apdu::COMPUTE_DIGITAL_SIGNATURE => Incident::Answer(signature.clone()),
            _ => Incident::None,
        });
        let verifies = ground.readers.verifies();
        assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_ERROR));
        assert_eq!(ground.readers.verifies(), verifies);
    }
}

#[test]
fn a_signature_that_is_wrong_once_is_asked_for_again() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    ground.key(session);
    let mut first = true;
    ground.readers.on_command(READER, move |command| {
        if command.ins == crate::apdu::COMPUTE_DIGITAL_SIGNATURE && std::mem::take(&mut first) {
            return Incident::Answer([vec![1; 256], vec![0x90, 0x00]].concat());
        }
        Incident::None
    });
    let signature = ground.sign(session, b"x").unwrap();
    assert_sound(&ground, session, false, b"x", &signature);
}

#[test]
fn a_pss_signature_with_another_salt_does_not_leave() {
    let (ground, session) = logged_in(with(&MY_NUMBER, |switches| switches.pss_salt = PssSalt::Twenty), AUTH);
    assert_eq!(ground.sign_with(session, sha256_pss(), b"x"), Err(Rv::DEVICE_ERROR));
    ground.sign(session, b"x").unwrap();
}

#[test]
fn a_renewed_certificate_under_our_hands_ends_the_epoch() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    ground.sign(session, b"x").unwrap();
    // The same card, with the certificates and keys of another: what a renewal at the window leaves.
    let mut renewed = OTHER.clone();
    renewed.serial = MY_NUMBER.serial.clone();
    let mut other = with(&renewed, |_| {});
    other.power_on();
    other.transmit(&hex(SELECT_JPKI));
    other.transmit(&hex("002000980431323334"));
    ground.readers.on_command(READER, move |command| Incident::Answer(other.transmit(&command.encode())));
    assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_REMOVED));
    assert_eq!(ground.module.session_info(session).err(), Some(Rv::SESSION_HANDLE_INVALID));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    let signature = ground.sign(session, b"x").unwrap();
    assert_sound(&ground, session, false, b"x", &signature);
}

#[test]
fn a_certificate_whose_file_is_empty_or_gone_is_not_the_one_known() {
    for answer in ["9000", "6A82"] {
        let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
        ground.key(session);
        ground.readers.on_command(READER, move |command| match command.ins {
            crate::apdu::COMPUTE_DIGITAL_SIGNATURE => Incident::Answer([vec![1; 256], vec![0x90, 0x00]].concat()),
            READ_BINARY => Incident::Answer(hex(answer)),
            _ => Incident::None,
        });
        let asked = |log: Vec<Exchange>| log.iter().filter(|exchange| exchange.command.starts_with("80 2A")).count();
        assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_REMOVED), "{answer}");
        assert_eq!(asked(ground.readers.log()), 1, "{answer}: another card is asked for nothing");
        assert_eq!(ground.module.session_info(session).err(), Some(Rv::SESSION_HANDLE_INVALID), "{answer}");
    }
}

#[test]
fn a_card_without_pss_fails_once_in_its_life() {
    for (schemes, order) in
        [(Schemes::WithoutPss, UnknownScheme::BeforePin), (Schemes::PaddingOnly, UnknownScheme::AfterPin)]
    {
        let device = || {
            with(&MY_NUMBER, |switches| {
                switches.schemes = schemes;
                switches.unknown_scheme = order;
            })
        };
        let (ground, session) = logged_in(device(), AUTH);
        assert!(ground.module.mechanisms(AUTH).unwrap().contains(&CKM_RSA_PKCS_PSS));
        assert_eq!(ground.sign_with(session, sha256_pss(), b"x"), Err(Rv::FUNCTION_FAILED));
        assert_eq!(ground.sign_with(session, sha256_pss(), b"x"), Err(Rv::MECHANISM_INVALID));
        assert!(!ground.module.mechanisms(AUTH).unwrap().contains(&CKM_RSA_PKCS_PSS));
        ground.sign(session, b"x").unwrap();
        // Another process with the same state directory knows from the start.
        let readers = PracticeReaders::new(1);
        readers.insert(READER, Box::new(device()));
        let module = Module::over(ground.module.config.clone(), Tokens::Both, Box::new(readers));
        module.slot_list(true, true).unwrap();
        assert!(!module.mechanisms(AUTH).unwrap().contains(&CKM_RSA_PKCS_PSS));
    }
}

#[test]
fn a_rivals_6a86_in_another_application_teaches_nothing() {
    let (ground, session) = logged_in(card(&MY_NUMBER), AUTH);
    ground.sign(session, b"x").unwrap();
    // The text application answers 6A86 to the short id of a key that it does not have.
    let mut first = true;
    ground.readers.on_command(READER, move |command| {
        if command.ins == crate::apdu::COMPUTE_DIGITAL_SIGNATURE && std::mem::take(&mut first) {
            return Incident::Answer(vec![0x6A, 0x86]);
        }
        Incident::None
    });
    ground.sign_with(session, sha256_pss(), b"x").unwrap();
    assert!(ground.module.mechanisms(AUTH).unwrap().contains(&CKM_RSA_PKCS_PSS));
}

#[test]
fn pss_can_be_switched_off() {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER))], |config| {
        config.pss = crate::config::Pss::Off;
    });
    assert!(!ground.module.mechanisms(AUTH).unwrap().contains(&CKM_RSA_PKCS_PSS));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    assert_eq!(ground.sign_with(session, sha256_pss(), b"x"), Err(Rv::MECHANISM_INVALID));
}

#[test]
fn a_password_given_for_the_first_signature_does_not_serve_for_the_second() {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER))], |config| {
        config.always_authenticate = true;
    });
    let session = ground.session(SIGN);
    ground.login(session, PASSWORD).unwrap();
    let key = ground.key(session);
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    ground.module.login(session, CKU_CONTEXT_SPECIFIC, Some(PASSWORD)).unwrap();
    output(Some(256), |out| ground.module.sign(session, b"first", out)).unwrap();
    assert_eq!(ground.sign(session, b"second"), Err(Rv::USER_NOT_LOGGED_IN));
}

/// Gives five wrong passwords for a signature; `at_logout` befalls the logout that follows. The ground, the session and the
/// last answer.
fn locked_at_a_signature(at_logout: Incident) -> (Ground, CK_SESSION_HANDLE, Result<()>) {
    let lasting = with(&MY_NUMBER, |switches| switches.wrong_verify_clears = false);
    let ground = Ground::set(Tokens::Both, vec![Box::new(lasting)], |config| config.always_authenticate = true);
    let session = ground.session(SIGN);
    ground.login(session, PASSWORD).unwrap();
    let key = ground.key(session);
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    ground.readers.on_command(READER, move |command| {
        let leaves = command.ins == crate::apdu::SELECT && command.data.as_slice() == &hex(SELECT_ISD)[5..12];
        if leaves { at_logout.clone() } else { Incident::None }
    });
    let wrong = [&b"WRONG1"[..], b"WRONG2", b"WRONG3", b"WRONG4", b"WRONG5"];
    let said = wrong.map(|wrong| ground.module.login(session, CKU_CONTEXT_SPECIFIC, Some(wrong)));
    ground.readers.on_command(READER, |_| Incident::None);
    (ground, session, said[4])
}

#[test]
fn a_password_that_locks_at_a_signature_ends_the_login() {
    let (ground, session, said) = locked_at_a_signature(Incident::None);
    assert_eq!(said, Err(Rv::PIN_LOCKED));
    assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION);
    assert!(output(Some(256), |out| ground.module.sign(session, b"x", out)).is_err());
    ground.rival(SELECT_JPKI);
    assert_eq!(ground.rival("802A009A02010200"), Sw::NOT_VERIFIED);
}

#[test]
fn a_password_that_locks_at_a_signature_is_said_to_be_locked_though_the_logout_fails() {
    let (_ground, _session, said) = locked_at_a_signature(Incident::RemoveBefore);
    assert_eq!(said, Err(Rv::PIN_LOCKED));
}

#[test]
fn an_always_authenticate_key_wants_its_password_before_every_signature_but_the_first() {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER))], |config| {
        config.always_authenticate = true;
    });
    let session = ground.session(SIGN);
    ground.login(session, PASSWORD).unwrap();
    let key = ground.key(session);
    assert_eq!(ground.attribute(session, key, CKA_ALWAYS_AUTHENTICATE).unwrap(), [CK_TRUE]);
    ground.sign(session, b"x").unwrap();
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    ground.module.sign_init(session, sha256_pkcs1(), key).unwrap();
    assert_eq!(ground.module.login(session, CKU_CONTEXT_SPECIFIC, Some(b"WRONG1")), Err(Rv::PIN_INCORRECT));
    ground.module.login(session, CKU_CONTEXT_SPECIFIC, Some(PASSWORD)).unwrap();
    output(Some(256), |out| ground.module.sign(session, b"x", out)).unwrap();
    assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
    let auth = ground.session(AUTH);
    ground.login(auth, PIN).unwrap();
    assert_eq!(ground.attribute(auth, ground.key(auth), CKA_ALWAYS_AUTHENTICATE).unwrap(), [CK_FALSE]);
}

#[test]
fn mechanism_information_is_true_of_the_card() {
    let ground = Ground::new(card(&MY_NUMBER));
    for mechanism in ground.module.mechanisms(AUTH).unwrap() {
        let info = ground.module.mechanism_info(AUTH, mechanism).unwrap();
        assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (2048, 2048));
        let on_card = [CKM_RSA_PKCS, CKM_RSA_PKCS_PSS].contains(&mechanism);
        assert_eq!(info.flags & CKF_HW != 0, on_card, "{mechanism:x}");
        assert_eq!(info.flags & !(CKF_HW | CKF_SIGN | CKF_VERIFY), 0);
    }
    assert_eq!(ground.module.mechanism_info(AUTH, CKM_RSA_X_509).err(), Some(Rv::MECHANISM_INVALID));
    assert_eq!(ground.module.mechanism_info(AUTH, CKM_SHA384).err(), Some(Rv::MECHANISM_INVALID));
}

#[test]
fn the_certificate_handed_out_is_the_cards_own_without_its_filler() {
    let (ground, session) = logged_in(card(&MY_NUMBER), SIGN);
    let own = ground.find(session, &[(CKA_CLASS, &CKO_CERTIFICATE.to_ne_bytes()), (CKA_ID, &[2])])[0];
    let der = ground.attribute(session, own, CKA_VALUE).unwrap();
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.der(), der);
    assert_eq!(ground.attribute(session, own, CKA_SERIAL_NUMBER).unwrap()[0], 0x02, "a DER INTEGER");
}
