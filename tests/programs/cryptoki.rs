//! The Rust crate `cryptoki`, and the program of `docs/programs/rust.md`.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::{Padding, PublicKey};
use crate::ground::{Ground, with_ground};
use crate::pages::snippets;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, Result, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType, ValidationFlagsType};
use cryptoki::types::AuthPin;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[path = "../../examples/sign.rs"]
#[allow(dead_code, reason = "its main is for whoever runs it")]
mod example;

const PROGRAM: &str = "cryptoki (Rust)";
const MESSAGE: &[u8] = b"practice makes perfect";

/// The module, initialised.
fn load(module: &Path) -> Result<Pkcs11> {
    let module = Pkcs11::new(module)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    Ok(module)
}

/// A session with the first token.
fn open(module: &Pkcs11) -> Result<Session> {
    module.open_rw_session(module.get_slots_with_token()?[0])
}

fn log_in(session: &Session, secret: &str) -> Result<()> {
    session.login(UserType::User, Some(&AuthPin::new(secret.into())))
}

/// The only object of a class.
fn only(session: &Session, class: ObjectClass) -> Result<ObjectHandle> {
    let found = session.find_objects(&[Attribute::Class(class)])?;
    assert_eq!(found.len(), 1, "{class}");
    Ok(found[0])
}

/// The labels of what a session sees, sorted.
fn labels(session: &Session) -> Result<Vec<String>> {
    let mut labels = Vec::new();
    for class in [ObjectClass::CERTIFICATE, ObjectClass::PUBLIC_KEY, ObjectClass::PRIVATE_KEY] {
        for object in session.find_objects(&[Attribute::Class(class)])? {
            for attribute in session.get_attributes(object, &[AttributeType::Label])? {
                let Attribute::Label(label) = attribute else { panic!("{attribute:?} was not asked for") };
                labels.push(String::from_utf8_lossy(&label).into_owned());
            }
        }
    }
    labels.sort();
    Ok(labels)
}

/// What a call was refused for.
fn refused<T>(result: Result<T>) -> RvError {
    match result {
        Err(Error::Pkcs11(rv, _)) => rv,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// The certificate of the first token's own key, as DER.
fn certificate(session: &Session, id: u8) -> Result<Vec<u8>> {
    let wanted = [Attribute::Class(ObjectClass::CERTIFICATE), Attribute::Id(vec![id])];
    let found = session.find_objects(&wanted)?;
    match &session.get_attributes(found[0], &[AttributeType::Value])?[..] {
        [Attribute::Value(der)] => Ok(der.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cryptoki_lists_what_is_public_and_after_a_login_the_rest() {
    with_ground("cryptoki::cryptoki_lists_what_is_public_and_after_a_login_the_rest", |ground| {
        let card = ground.card();
        ground.compare(&card, PROGRAM, "list objects", &ground.installed.auth(), |module| {
            let module = load(module).expect("it can be loaded");
            let listed = labels(&open(&module).expect("there is a token"));
            module.finalize().is_ok() && listed.is_ok()
        });
        let _card = ground.pcscd.insert(&card.file);
        let module = load(&ground.installed.auth()).expect("it can be loaded");
        let session = open(&module).expect("there is a token");
        let public = labels(&session).expect("no login is needed");
        let expected = ["Certificate", "Public Key"].map(|what| format!("User Authentication {what}"));
        assert_eq!(public, expected);
        log_in(&session, PIN).expect("the PIN is right");
        let all = labels(&session).expect("they can be read");
        assert!(all.iter().any(|label| label == "User Authentication Key") && all.len() == public.len() + 1, "{all:?}");
        assert_eq!(card.cost().verifies, 1);
    });
}

#[test]
fn cryptoki_signs_and_verifies_with_both_keys() {
    with_ground("cryptoki::cryptoki_signs_and_verifies_with_both_keys", |ground| {
        let card = ground.card();
        ground.compare(&card, PROGRAM, "sign (authentication key)", &ground.installed.auth(), |module| {
            let module = load(module).expect("it can be loaded");
            let session = open(&module).expect("there is a token");
            log_in(&session, PIN).expect("the PIN is right");
            let key = only(&session, ObjectClass::PRIVATE_KEY).expect("there is one");
            let signed = session.sign(&Mechanism::Sha256RsaPkcs, key, MESSAGE);
            session.close().is_ok() && module.finalize().is_ok() && signed.is_ok()
        });
        let _card = ground.pcscd.insert(&card.file);
        for (path, secret, id) in [(ground.installed.auth(), PIN, 1), (ground.installed.sign(), PASSWORD, 2)] {
            signs_and_verifies(ground, &path, secret, id).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

fn signs_and_verifies(ground: &Ground<'_>, module: &Path, secret: &str, id: u8) -> Result<()> {
    let module = load(module)?;
    let session = open(&module)?;
    log_in(&session, secret)?;
    let (key, public) = (only(&session, ObjectClass::PRIVATE_KEY)?, only(&session, ObjectClass::PUBLIC_KEY)?);
    let judge = PublicKey::of_certificate(&ground.scratch, certificate(&session, id)?);
    let pss = PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
    for (mechanism, padding) in
        [(Mechanism::Sha256RsaPkcs, Padding::Pkcs1), (Mechanism::Sha256RsaPkcsPss(pss), Padding::Pss)]
    {
        let signature = session.sign(&mechanism, key, MESSAGE)?;
        judge.assert_signed("sha256", padding, MESSAGE, &signature);
        session.verify(&mechanism, public, MESSAGE, &signature)?;
        let other = refused(session.verify(&mechanism, public, b"something else", &signature));
        assert_eq!(other, RvError::SignatureInvalid);
        // The same in parts.
        session.sign_init(&mechanism, key)?;
        MESSAGE.chunks(5).try_for_each(|part| session.sign_update(part))?;
        judge.assert_signed("sha256", padding, MESSAGE, &session.sign_final()?);
    }
    session.close()?;
    module.finalize()
}

/// The crate takes the default interface, and of its 3.2 functions what a module has.
#[test]
fn cryptoki_finds_pkcs11_3_2_and_verifies_with_the_signature_first() {
    with_ground("cryptoki::cryptoki_finds_pkcs11_3_2_and_verifies_with_the_signature_first", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        for (path, secret) in [(ground.installed.auth(), PIN), (ground.installed.sign(), PASSWORD)] {
            let module = load(&path).expect("it can be loaded");
            let version = module.get_library_info().expect("it is initialised").cryptoki_version();
            assert_eq!((version.major(), version.minor()), (3, 2));
            assert!(module.is_fn_supported(Function::VerifySignatureInit));
            verifies_with_the_signature_first(&module, secret)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            module.finalize().expect("it was initialised");
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

fn verifies_with_the_signature_first(module: &Pkcs11, secret: &str) -> Result<()> {
    let session = open(module)?;
    log_in(&session, secret)?;
    let (key, public) = (only(&session, ObjectClass::PRIVATE_KEY)?, only(&session, ObjectClass::PUBLIC_KEY)?);
    let pss = PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
    for mechanism in [Mechanism::Sha256RsaPkcs, Mechanism::Sha256RsaPkcsPss(pss)] {
        let signature = session.sign(&mechanism, key, MESSAGE)?;
        session.verify_signature_init(&mechanism, public, &signature)?;
        session.verify_signature(MESSAGE)?;
        session.verify_signature_init(&mechanism, public, &signature)?;
        assert_eq!(refused(session.verify_signature(b"something else")), RvError::SignatureInvalid);
        // The same in parts.
        session.verify_signature_init(&mechanism, public, &signature)?;
        MESSAGE.chunks(5).try_for_each(|part| session.verify_signature_update(part))?;
        session.verify_signature_final()?;
        let short = session.verify_signature_init(&mechanism, public, &signature[1..]);
        assert_eq!(refused(short), RvError::SignatureLenRange);
    }
    assert_eq!(session.get_validation_flags(ValidationFlagsType::VALIDATION_OK)?, 0);
    let encapsulated = session.encapsulate_key(&Mechanism::Sha256RsaPkcs, public, &[]);
    assert_eq!(refused(encapsulated), RvError::FunctionNotSupported);
    session.close()
}

#[test]
fn a_wrong_pin_costs_cryptoki_one_try() {
    with_ground("cryptoki::a_wrong_pin_costs_cryptoki_one_try", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let module = load(&ground.installed.auth()).expect("it can be loaded");
        let session = open(&module).expect("there is a token");
        assert_eq!(refused(log_in(&session, "0000")), RvError::PinIncorrect);
        assert_eq!((card.tries(), card.cost().verifies), ((2, 5), 1));
        let token = module.get_token_info(module.get_slots_with_token().expect("they can be listed")[0]);
        assert!(token.expect("it can be asked").user_pin_count_low());
        assert_eq!(refused(log_in(&session, "12a4")), RvError::PinIncorrect);
        assert_eq!((card.tries(), card.cost().verifies), ((2, 5), 1), "one of the wrong form is not sent");
        log_in(&session, PIN).expect("the PIN is right");
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn cryptoki_changes_pin_and_password() {
    with_ground("cryptoki::cryptoki_changes_pin_and_password", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        for (path, old, new) in
            [(ground.installed.auth(), PIN, "4321"), (ground.installed.sign(), PASSWORD, "PRACTICE2")]
        {
            let module = load(&path).expect("it can be loaded");
            let session = open(&module).expect("there is a token");
            log_in(&session, old).expect("it is right");
            session.set_pin(&AuthPin::new(old.into()), &AuthPin::new(new.into())).expect("both are of the right form");
            session.logout().expect("there was a login");
            assert_eq!(refused(log_in(&session, old)), RvError::PinIncorrect);
            log_in(&session, new).expect("it is the new one");
            drop(session);
            module.finalize().expect("it was initialised");
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn cryptoki_waits_for_the_card() {
    with_ground("cryptoki::cryptoki_waits_for_the_card", |ground| {
        let card = ground.card();
        let module = load(&ground.installed.auth()).expect("it can be loaded");
        assert_eq!(module.get_slot_event().expect("it does not block"), None);
        let (happens, happened) = mpsc::channel();
        let waiting = module.clone();
        thread::spawn(move || while happens.send(waiting.wait_for_slot_event()).is_ok() {});
        let event = || happened.recv_timeout(Duration::from_secs(10)).expect("within ten seconds").expect("an event");
        let with_token = || module.get_slots_with_token().expect("they can be listed");
        let inserted = ground.pcscd.insert(&card.file);
        assert_eq!(with_token(), [event()]);
        ground.pcscd.remove(inserted);
        event();
        assert_eq!(with_token(), []);
        // Whoever still waits is woken.
        module.finalize().expect("it was initialised");
        let last = happened.recv_timeout(Duration::from_secs(10)).expect("within ten seconds");
        assert_eq!(refused(last), RvError::CryptokiNotInitialized);
    });
}

#[test]
fn the_program_of_the_page_signs_a_document() {
    with_ground("cryptoki::the_program_of_the_page_signs_a_document", |ground| {
        let program = include_str!("../../examples/sign.rs");
        assert_eq!(snippets("rust", "rust"), [program], "docs/programs/rust.md shows examples/sign.rs");
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let signature = example::sign(&ground.installed.sign(), PASSWORD, MESSAGE).expect("the password is right");
        let module = load(&ground.installed.sign()).expect("it can be loaded");
        let session = open(&module).expect("there is a token");
        log_in(&session, PASSWORD).expect("the password is right");
        let der = certificate(&session, 2).expect("there is one");
        PublicKey::of_certificate(&ground.scratch, der).assert_signed("sha256", Padding::Pkcs1, MESSAGE, &signature);
        assert_eq!(card.cost().verifies, 2);
    });
}
