//! Slots, tokens and objects: what a program sees of a card.

use super::*;
use crate::config::Authorities;
use crate::emulator::foreign::{ForeignCard, ForeignKind};
use crate::emulator::switches::{AbsentSecret, Listed, Unwritten};

fn labels(ground: &Ground, session: CK_SESSION_HANDLE) -> Vec<String> {
    let profile = CKO_PROFILE.to_ne_bytes();
    let of_the_card = |&object: &CK_OBJECT_HANDLE| ground.attribute(session, object, CKA_CLASS).unwrap() != profile;
    let objects = ground.find(session, &[]).into_iter().filter(of_the_card);
    objects.map(|object| ground.label(session, object)).collect()
}

#[test]
fn a_card_is_two_tokens_whose_labels_say_which_secret_and_whose_card() {
    let ground = Ground::new(card(&MY_NUMBER));
    assert_eq!(ground.module.slot_list(true, true).unwrap(), [AUTH, SIGN]);
    let (auth, sign) = (ground.module.token_info(AUTH).unwrap(), ground.module.token_info(SIGN).unwrap());
    let serial = text(&auth.serialNumber);
    assert_eq!((serial.len(), text(&sign.serialNumber)), (16, serial.clone()));
    assert_eq!(text(&auth.label), format!("PRACTICE Auth (4-digit PIN) {}", &serial[12..]));
    assert_eq!(text(&sign.label), format!("PRACTICE Sign (6-16 chars) {}", &serial[12..]));
    assert_eq!((text(&auth.model), text(&auth.manufacturerID)), ("PRACTICE".into(), "jpki-pkcs11".into()));
    assert_eq!((auth.ulMinPinLen, auth.ulMaxPinLen, sign.ulMinPinLen, sign.ulMaxPinLen), (4, 4, 6, 16));
    assert!(!auth.label.contains(&b':'), "a colon breaks NSS nicknames");
}

#[test]
fn token_flags_promise_a_login_and_nothing_the_card_does_not_do() {
    let ground = Ground::new(card(&MY_NUMBER));
    let expected = CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
    assert_eq!((ground.flags(AUTH), ground.flags(SIGN)), (expected, expected));
    let slot = ground.module.slot_info(AUTH).unwrap().flags;
    assert_eq!(slot, CKF_TOKEN_PRESENT | CKF_REMOVABLE_DEVICE | CKF_HW_SLOT);
}

#[test]
fn listing_slots_and_both_infos_takes_five_apdus_and_a_session_none() {
    let ground = Ground::new(card(&MY_NUMBER));
    let (count, ()) = ground.apdus(|| {
        ground.module.slot_list(true, true).unwrap();
        ground.module.token_info(AUTH).unwrap();
        ground.module.token_info(SIGN).unwrap();
    });
    assert_eq!(count, 5);
    let (count, ()) = ground.apdus(|| {
        for slot in [AUTH, SIGN] {
            let session = ground.session(slot);
            ground.module.slot_info(slot).unwrap();
            ground.module.session_info(session).unwrap();
            ground.module.close_session(session).unwrap();
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn the_first_command_after_power_up_may_be_lost_and_costs_one_more() {
    let ground = Ground::new(with(&MY_NUMBER, |switches| switches.first_command_fails = true));
    assert_eq!(ground.apdus(|| ground.module.slot_list(true, true).unwrap()), (4, vec![AUTH, SIGN]));
}

#[test]
fn before_login_the_authentication_token_shows_certificate_public_key_and_authority() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    assert_eq!(
        labels(&ground, session),
        ["User Authentication Certificate", "User Authentication Public Key", "User Authentication Certificate CA"]
    );
    ground.login(session, PIN).unwrap();
    assert!(labels(&ground, session).contains(&"User Authentication Key".to_owned()));
}

#[test]
fn before_login_the_signature_token_shows_the_authority_only() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(SIGN);
    assert_eq!(labels(&ground, session), ["Digital Signature Certificate CA"]);
    ground.login(session, PASSWORD).unwrap();
    assert_eq!(
        labels(&ground, session),
        [
            "Digital Signature Certificate",
            "Digital Signature Public Key",
            "Digital Signature Key",
            "Digital Signature Certificate CA"
        ]
    );
    ground.module.logout(session).unwrap();
    assert_eq!(labels(&ground, session), ["Digital Signature Certificate CA"]);
}

#[test]
fn the_signature_certificate_is_kept_no_longer_than_the_login_under_which_it_was_read() {
    use crate::card::{File, Key};
    use crate::emulator::local::Incident;
    let logged_in = || {
        let ground = Ground::new(card(&MY_NUMBER));
        let session = ground.session(SIGN);
        ground.login(session, PASSWORD).unwrap();
        let reader = ground.module.known.read()[0].clone();
        let epoch = ground.module.slots.lock().epoch(0);
        (ground, session, reader, epoch)
    };
    let file = File::Holder(Key::Signature);
    type Call = fn(&Ground, CK_SESSION_HANDLE) -> Result<()>;
    let ends: [(&str, Call); 4] = [
        ("C_Logout", |ground, session| ground.module.logout(session)),
        ("C_CloseSession", |ground, session| ground.module.close_session(session)),
        ("C_CloseAllSessions", |ground, _| ground.module.close_all_sessions(SIGN)),
        ("a lost login", |ground, session| {
            ground.rival(SELECT_ISD);
            assert_eq!(ground.sign(session, b"x"), Err(Rv::USER_NOT_LOGGED_IN));
            Ok(())
        }),
    ];
    for (end, call) in ends {
        let (ground, session, reader, epoch) = logged_in();
        let is_kept = || reader.token(Key::Signature).with(epoch, |state| state.certificate(file).is_some()).unwrap();
        assert_eq!(ground.class(session, CKO_CERTIFICATE).len(), 2);
        assert!(is_kept(), "{end}: it was read");
        call(&ground, session).unwrap();
        assert!(!is_kept(), "{end}");
    }
    // A logout that comes while it is being read.
    let (ground, session, reader, epoch) = logged_in();
    let token = reader.clone();
    ground.readers.on_command(READER, move |command| {
        if (command.ins, command.p1) == (crate::apdu::READ_BINARY, 0x81) {
            drop(token.token(Key::Signature).with(epoch, |state| state.end(true)));
        }
        Incident::None
    });
    ground.find(session, &[]);
    let is_kept = reader.token(Key::Signature).with(epoch, |state| state.certificate(file).is_some()).unwrap();
    assert!(!is_kept, "a logout beside the reading");
    assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION);
}

#[test]
fn no_public_key_object_exists_for_an_authority_and_no_certificate_is_trusted() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    assert_eq!(ground.class(session, CKO_PUBLIC_KEY).len(), 1);
    let certificates = ground.class(session, CKO_CERTIFICATE);
    assert_eq!(certificates.len(), 2);
    for certificate in certificates {
        assert_eq!(ground.attribute(session, certificate, CKA_TRUSTED).unwrap(), [CK_FALSE]);
    }
}

#[test]
fn ids_are_those_of_the_driver_that_users_have_in_their_uris() {
    let ground = Ground::new(card(&MY_NUMBER));
    for (slot, pin, own, authority) in [(AUTH, PIN, 1, 3), (SIGN, PASSWORD, 2, 4)] {
        let session = ground.session(slot);
        ground.login(session, pin).unwrap();
        assert_eq!(ground.find(session, &[(CKA_ID, &[own])]).len(), 3);
        assert_eq!(ground.find(session, &[(CKA_ID, &[authority])]).len(), 1);
    }
}

#[test]
fn profiles_are_told_by_the_kind_of_card() {
    for (image, slot, public_certificates) in
        [(&*MY_NUMBER, AUTH, true), (&*MY_NUMBER, SIGN, false), (&*ANDROID, AUTH, false), (&*IPHONE, AUTH, false)]
    {
        let ground = Ground::new(card(image));
        let session = ground.session(slot);
        let profiles = ground.class(session, CKO_PROFILE);
        let ids: Vec<_> =
            profiles.iter().map(|&object| ground.attribute(session, object, CKA_PROFILE_ID).unwrap()).collect();
        let mut expected = vec![CKP_BASELINE_PROVIDER, CKP_EXTENDED_PROVIDER, CKP_AUTHENTICATION_TOKEN];
        expected.extend(public_certificates.then_some(CKP_PUBLIC_CERTIFICATES_TOKEN));
        assert_eq!(ids, expected.iter().map(|id| id.to_ne_bytes().to_vec()).collect::<Vec<_>>());
        for profile in profiles {
            assert_eq!(ground.attribute(session, profile, CKA_TOKEN).unwrap(), [CK_TRUE]);
            assert!(!ground.attribute(session, profile, CKA_UNIQUE_ID).unwrap().is_empty());
            assert_ne!(ground.label(session, profile), "");
        }
    }
}

#[test]
fn an_android_tokens_certificate_is_private() {
    let ground = Ground::new(card(&ANDROID));
    let session = ground.session(AUTH);
    assert_eq!(labels(&ground, session), ["User Authentication Certificate CA"]);
    ground.login(session, PIN).unwrap();
    assert_eq!(labels(&ground, session).len(), 4);
}

#[test]
fn a_juki_card_fills_the_signature_slot_only_and_signs() {
    let ground = Ground::new(card(&JUKI));
    assert_eq!(ground.module.slot_list(true, true).unwrap(), [SIGN]);
    let info = ground.module.token_info(SIGN).unwrap();
    assert!(text(&info.label).starts_with("PRACTICE Sign (4-16 chars) "));
    assert_eq!(info.ulMinPinLen, 4);
    let session = ground.session(SIGN);
    ground.login(session, PASSWORD).unwrap();
    assert_eq!(ground.sign(session, b"document").unwrap().len(), 128);
    let mechanisms = ground.module.mechanisms(SIGN).unwrap();
    assert!(mechanisms.contains(&CKM_RSA_PKCS) && !mechanisms.contains(&CKM_RSA_PKCS_PSS));
    let info = ground.module.mechanism_info(SIGN, CKM_RSA_PKCS).unwrap();
    assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (1024, 1024));
    // 117 bytes are the most that 1024 bits leave.
    let raw = Parsed::new((CKM_RSA_PKCS, &[])).unwrap();
    assert_eq!(ground.sign_with(session, raw, &[7; 117]).unwrap().len(), 128);
    assert_eq!(ground.sign_with(session, raw, &[7; 118]), Err(Rv::DATA_LEN_RANGE));
}

#[test]
fn each_view_shows_its_token_and_never_the_other_one() {
    let mut without_signature = MY_NUMBER.clone();
    without_signature.certificates.sign = None;
    let without_signature = with(&without_signature, |switches| switches.unwritten_certificate = Unwritten::Missing);
    let ground = Ground::set(Tokens::Sign, vec![Box::new(without_signature)], |_| {});
    assert!(ground.module.slot_list(true, true).unwrap().is_empty(), "a password would be a try of the PIN");
    for (view, slot, juki) in [(Tokens::Auth, AUTH, &[][..]), (Tokens::Sign, SIGN, &[SIGN])] {
        let ground = Ground::set(view, vec![Box::new(card(&MY_NUMBER))], |_| {});
        assert_eq!(ground.module.slot_list(true, true).unwrap(), [slot]);
        assert_eq!(ground.module.slot_list(false, true).unwrap(), [slot]);
        let ground = Ground::set(view, vec![Box::new(card(&JUKI))], |_| {});
        assert_eq!(ground.module.slot_list(true, true).unwrap(), juki, "it has the signature token only");
        assert_eq!(ground.module.slot_list(false, true).unwrap(), [slot]);
    }
}

#[test]
fn a_hidden_tokens_slot_is_no_slot() {
    let ground = Ground::set(Tokens::Auth, vec![Box::new(card(&MY_NUMBER))], |_| {});
    ground.module.slot_list(true, true).unwrap();
    assert_eq!(ground.module.open_session(SIGN, CKF_SERIAL_SESSION), Err(Rv::SLOT_ID_INVALID));
}

#[test]
fn foreign_cards_are_no_token_are_probed_once_and_lose_no_try() {
    for kind in ForeignKind::ALL {
        let ground = Ground::new(ForeignCard::new(kind));
        assert!(ground.module.slot_list(true, true).unwrap().is_empty(), "{kind:?}");
        assert_eq!(ground.module.slot_list(false, true).unwrap(), [AUTH, SIGN]);
        let (count, ()) = ground.apdus(|| {
            for _ in 0..3 {
                assert_eq!(ground.module.slot_info(AUTH).unwrap().flags & CKF_TOKEN_PRESENT, 0);
                assert_eq!(ground.module.token_info(SIGN).err(), Some(Rv::TOKEN_NOT_PRESENT));
                assert_eq!(ground.module.open_session(AUTH, CKF_SERIAL_SESSION), Err(Rv::TOKEN_NOT_PRESENT));
            }
        });
        if kind != ForeignKind::Mute {
            assert_eq!(count, 0, "{kind:?} is asked once a stay");
        }
        assert!(ground.readers.log().iter().all(|exchange| !exchange.command.contains("00 20 ")), "{kind:?}");
    }
}

#[test]
fn two_cards_of_a_family_do_not_look_alike() {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER)), Box::new(card(&OTHER))], |_| {});
    assert_eq!(ground.module.slot_list(true, true).unwrap(), [0, 1, 2, 3]);
    let labels: Vec<String> = (0..4).map(|slot| text(&ground.module.token_info(slot).unwrap().label)).collect();
    for (index, label) in labels.iter().enumerate() {
        assert!(!labels[index + 1..].contains(label), "{labels:?}");
    }
}

#[test]
fn without_a_reader_there_are_no_slots_and_no_errors() {
    let ground = Ground::set(Tokens::Both, vec![], |_| {});
    assert!(ground.module.slot_list(false, true).unwrap().is_empty());
    assert_eq!(ground.module.slot_info(0).err(), Some(Rv::SLOT_ID_INVALID));
    ground.readers.insert("A", Box::new(card(&MY_NUMBER)));
    assert_eq!(ground.module.slot_list(false, true).unwrap(), [AUTH, SIGN], "a later call reaches it");
}

#[test]
fn a_card_with_the_other_certificate_only_leaves_its_slot_empty() {
    for (unwritten, shown) in
        [(Unwritten::Missing, vec![AUTH]), (Unwritten::Open, vec![AUTH]), (Unwritten::Guarded, vec![AUTH, SIGN])]
    {
        let mut image = MY_NUMBER.clone();
        image.certificates.sign = None;
        let ground = Ground::new(with(&image, |switches| switches.unwritten_certificate = unwritten));
        // 6982 does not tell whether there is a certificate, and EF 0008 alone hides nothing.
        assert_eq!(ground.module.slot_list(true, true).unwrap(), shown, "{unwritten:?}");
    }
}

#[test]
fn a_list_of_certificates_that_is_wrong_hides_no_key() {
    for listed in [Listed::AuthOnly, Listed::SignOnly, Listed::Neither] {
        let ground = Ground::new(with(&MY_NUMBER, |switches| switches.listed = listed));
        assert_eq!(ground.module.slot_list(true, true).unwrap(), [AUTH, SIGN], "{listed:?}");
        for (slot, pin) in [(AUTH, PIN), (SIGN, PASSWORD)] {
            let session = ground.session(slot);
            ground.login(session, pin).unwrap();
            ground.sign(session, b"x").unwrap();
        }
    }
}

#[test]
fn keys_without_certificates_are_tokens_without_objects() {
    let order = Order::new(Kind::MyNumber, Seed::from("1"), NOW);
    let image = crate::emulator::issue::holder_step(&order).unwrap();
    for unwritten in [Unwritten::Guarded, Unwritten::Open, Unwritten::Missing] {
        let ground = Ground::new(with(&image, |switches| switches.unwritten_certificate = unwritten));
        assert_eq!(ground.module.slot_list(true, true).unwrap(), [AUTH, SIGN]);
        for (slot, pin) in [(AUTH, PIN), (SIGN, PASSWORD)] {
            let session = ground.session(slot);
            ground.login(session, pin).unwrap();
            assert_eq!(labels(&ground, session), [] as [&str; 0]);
        }
    }
}

#[test]
fn a_card_without_a_pin_is_a_token_whose_pin_is_not_initialised_or_locked() {
    for absent in [AbsentSecret::FileNotFound, AbsentSecret::KeyNotFound] {
        let mut image = MY_NUMBER.clone();
        image.secrets.auth = None;
        let ground = Ground::new(with(&image, |switches| switches.absent_secret = absent));
        assert_eq!(ground.flags(AUTH) & CKF_USER_PIN_INITIALIZED, 0);
        assert_ne!(ground.flags(SIGN) & CKF_USER_PIN_INITIALIZED, 0);
        let session = ground.session(AUTH);
        assert_eq!(labels(&ground, session).len(), 3, "certificates are shown all the same");
        assert_eq!(ground.login(session, PIN), Err(Rv::USER_PIN_NOT_INITIALIZED));
    }
    let mut image = MY_NUMBER.clone();
    image.secrets.auth = image.secrets.auth.map(|secret| secret.locked());
    let ground = Ground::new(with(&image, |_| {}));
    assert_ne!(ground.flags(AUTH) & CKF_USER_PIN_LOCKED, 0);
    let session = ground.session(AUTH);
    assert_eq!(ground.login(session, PIN), Err(Rv::PIN_LOCKED));
    assert_eq!(ground.readers.verifies(), 0, "a locked secret is not sent");
}

#[test]
fn ignored_readers_are_never_touched() {
    let readers = PracticeReaders::new(0);
    readers.insert("Yubico YubiKey OTP+FIDO+CCID 00 00", Box::new(card(&MY_NUMBER)));
    let module = Module::over(Config::default(), Tokens::Both, Box::new(readers.clone()));
    assert!(module.slot_list(false, true).unwrap().is_empty());
    assert_eq!(readers.apdus(), 0);
}

#[test]
fn a_generation_not_known_yet_is_not_served() {
    use crate::emulator::local::Incident;
    let ground = Ground::new(card(&MY_NUMBER));
    ground.readers.on_command(READER, |command| {
        if command.ins != crate::apdu::READ_BINARY {
            return Incident::None;
        }
        let mut file = [b' '; 162];
        file[..15].copy_from_slice(b"JPKIAPICCTOKEN3");
        file[160..].copy_from_slice(&[0x90, 0x00]);
        Incident::Answer(file.to_vec())
    });
    assert!(ground.module.slot_list(true, true).unwrap().is_empty());
}

#[test]
fn all_attributes_are_answered_though_one_of_them_is_unknown_or_sensitive() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    let key = ground.key(session);
    let types = [CKA_PRIVATE_EXPONENT, CKA_MODULUS, CKA_VENDOR_DEFINED | 1, CKA_ID];
    let (result, values) = ask(&types, |questions| ground.module.attributes(session, key, questions));
    assert_eq!(result, Err(Rv::ATTRIBUTE_SENSITIVE));
    assert_eq!(values[0], None);
    assert_eq!(values[1].as_ref().unwrap().len(), 256);
    assert_eq!((values[2].clone(), values[3].clone()), (None, Some(vec![1])));
}

#[test]
fn both_keys_tell_how_long_they_are() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    for class in [CKO_PUBLIC_KEY, CKO_PRIVATE_KEY] {
        let key = ground.class(session, class)[0];
        assert_eq!(ground.attribute(session, key, CKA_MODULUS_BITS).unwrap(), CK_ULONG::to_ne_bytes(2048));
    }
}

#[test]
fn a_session_of_a_kind_that_is_not_offered_is_refused() {
    let ground = Ground::new(card(&MY_NUMBER));
    let open = |flags| ground.module.open_session(AUTH, flags).map(drop);
    assert_eq!(open(CKF_RW_SESSION), Err(Rv::SESSION_PARALLEL_NOT_SUPPORTED));
    assert_eq!(open(CKF_SERIAL_SESSION | CKF_ASYNC_SESSION), Err(Rv::SESSION_ASYNC_NOT_SUPPORTED));
    for unknown in [1, 1 << 4, 1 << 31] {
        assert_eq!(open(CKF_SERIAL_SESSION | CKF_RW_SESSION | unknown), Err(Rv::ARGUMENTS_BAD));
    }
    assert_eq!(open(CKF_SERIAL_SESSION | CKF_RW_SESSION), Ok(()));
}

#[test]
fn templates_of_any_attribute_find_by_what_the_certificate_says() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    let own = ground.find(session, &[(CKA_ID, &[1]), (CKA_CLASS, &CKO_CERTIFICATE.to_ne_bytes())])[0];
    for attribute in [CKA_SUBJECT, CKA_ISSUER, CKA_SERIAL_NUMBER, CKA_VALUE, CKA_PUBLIC_KEY_INFO, CKA_END_DATE] {
        let value = ground.attribute(session, own, attribute).unwrap();
        assert!(ground.find(session, &[(attribute, &value)]).contains(&own), "{attribute:x}");
        assert!(!ground.find(session, &[(attribute, &value[1..])]).contains(&own), "{attribute:x}");
    }
    assert!(ground.find(session, &[(CKA_VENDOR_DEFINED | 7, &[])]).is_empty());
    assert!(ground.find(session, &[(CKA_PRIVATE_EXPONENT, &[])]).is_empty());
}

#[test]
fn token_objects_cannot_be_made_changed_or_destroyed() {
    let ground = Ground::new(card(&MY_NUMBER));
    let (writable, session) = (ground.session(AUTH), ground.module.open_session(AUTH, CKF_SERIAL_SESSION).unwrap());
    let object = ground.class(session, CKO_CERTIFICATE)[0];
    let none = template(&[]);
    let module = &ground.module;
    assert_eq!(module.create_object(writable, &none), Err(Rv::FUNCTION_NOT_SUPPORTED));
    assert_eq!(module.create_object(session, &template(&[(CKA_TOKEN, &[CK_TRUE])])), Err(Rv::SESSION_READ_ONLY));
    assert_eq!(module.copy_object(writable, object, &none), Err(Rv::ACTION_PROHIBITED));
    assert_eq!(module.destroy_object(writable, object), Err(Rv::ACTION_PROHIBITED));
    assert_eq!(module.destroy_object(session, object), Err(Rv::SESSION_READ_ONLY));
    assert_eq!(module.set_attributes(writable, object, &none), Err(Rv::ACTION_PROHIBITED));
    assert_eq!(module.destroy_object(writable, 0xDEAD), Err(Rv::OBJECT_HANDLE_INVALID));
    assert!(module.object_size(session, object).unwrap() > 1000);
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_in_the_library_description() {
    let ground = Ground::set(Tokens::Auth, vec![], |config| config.unusable = Some("bad".into()));
    assert!(ground.module.description().contains("run jpki doctor") && ground.module.description().len() <= 32);
}

#[test]
fn without_the_authoritys_certificate_the_holders_objects_are_found() {
    let ground = Ground::new(card(&MY_NUMBER));
    let session = ground.session(AUTH);
    ground.readers.on_command(READER, |command| match (command.ins, command.p1) {
        (crate::apdu::READ_BINARY, 0x8B) => crate::emulator::local::Incident::Answer(hex("6985")),
        _ => crate::emulator::local::Incident::None,
    });
    assert_eq!(ground.class(session, CKO_CERTIFICATE).len(), 1);
}

#[test]
fn an_authority_shown_after_login_is_private_and_gone_with_the_logout() {
    let mut ground = Ground::new(card(&MY_NUMBER));
    ground.module.view.authorities = Authorities::AfterLogin;
    for (slot, pin, authority) in [(AUTH, PIN, 3), (SIGN, PASSWORD, 4)] {
        let session = ground.session(slot);
        let find = || ground.find(session, &[(CKA_ID, &[authority])]);
        assert!(find().is_empty());
        ground.login(session, pin).unwrap();
        let found = find();
        assert_eq!(ground.attribute(session, found[0], CKA_PRIVATE).unwrap(), [CK_TRUE]);
        assert!(!ground.attribute(session, found[0], CKA_VALUE).unwrap().is_empty());
        let certificates = ground.class(session, CKO_CERTIFICATE);
        assert_eq!(certificates.last(), Some(&found[0]), "the holder's comes first, for who takes that");
        ground.module.logout(session).unwrap();
        assert!(find().is_empty());
        assert_eq!(ground.attribute(session, found[0], CKA_VALUE), Err(Rv::OBJECT_HANDLE_INVALID));
        // It says that all certificates can be read without a login.
        let public = CKP_PUBLIC_CERTIFICATES_TOKEN.to_ne_bytes();
        assert!(ground.find(session, &[(CKA_PROFILE_ID, &public)]).is_empty());
    }
}

#[test]
fn an_authority_never_shown_is_not_there_after_login_either() {
    let mut ground = Ground::new(card(&MY_NUMBER));
    ground.module.view.authorities = Authorities::Never;
    for (slot, pin) in [(AUTH, PIN), (SIGN, PASSWORD)] {
        let session = ground.session(slot);
        ground.login(session, pin).unwrap();
        assert_eq!(ground.class(session, CKO_CERTIFICATE).len(), 1);
    }
}
