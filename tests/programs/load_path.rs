//! Programs written for the official client: they find its modules through the load path file, take the one slot that has a
//! token, and in it the one private key.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::{Padding, PublicKey};
use crate::ground::{Ground, with_ground};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use jpki_pkcs11::emulator::image::Kind;
use std::fs;
use std::path::PathBuf;

const MESSAGE: &[u8] = b"practice makes perfect";

/// The value of a key in the installed file, in the part that has the client's name.
fn load_path(ground: &Ground<'_>, key: &str) -> PathBuf {
    let file = fs::read_to_string(ground.installed.conf("load_path.dat")).expect("it is installed");
    let mut lines = file.lines().filter_map(|line| line.split_once('='));
    assert_eq!(lines.next(), Some(("name", "JPKI_Appli-01")));
    let (_, value) = lines.find(|(name, _)| *name == key).unwrap_or_else(|| panic!("no {key} in {file}"));
    let path = PathBuf::from(value);
    assert!(path.is_absolute() && path.is_file(), "{value}");
    path
}

fn load(ground: &Ground<'_>, key: &str) -> Pkcs11 {
    let module = Pkcs11::new(load_path(ground, key)).expect("it is a module");
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("nothing is in its way");
    module
}

fn tokens(module: &Pkcs11) -> Vec<(Slot, String)> {
    let slots = module.get_slots_with_token().expect("they can be listed");
    let label = |slot| module.get_token_info(slot).expect("it can be asked").label().to_owned();
    slots.into_iter().map(|slot| (slot, label(slot))).collect()
}

/// As such a program does it: no search but by class, a read-only session, a DigestInfo of its own making.
fn sign(module: &Pkcs11, ground: &Ground<'_>, secret: &str) {
    let [(slot, _)] = tokens(module)[..] else { panic!("it takes the first of one") };
    let session = module.open_ro_session(slot).expect("there is a token");
    session.login(UserType::User, Some(&AuthPin::new(secret.into()))).expect("it is right");
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).expect("they can be listed");
    assert_eq!(keys.len(), 1);
    let id = session.get_attributes(keys[0], &[AttributeType::Id]).expect("it has one").remove(0);
    let wanted = [Attribute::Class(ObjectClass::CERTIFICATE), id];
    let certificates = session.find_objects(&wanted).expect("they can be listed");
    assert_eq!(certificates.len(), 1, "the key's id leads to its certificate");
    let value = session.get_attributes(certificates[0], &[AttributeType::Value]).expect("it has one").remove(0);
    let Attribute::Value(der) = value else { panic!("{value:?}") };
    let hash = <sha2::Sha256 as sha2::Digest>::digest(MESSAGE);
    let prefix = [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    let digest_info = [&prefix[..], &hash].concat();
    let signature = session.sign(&Mechanism::RsaPkcs, keys[0], &digest_info).expect("it is logged in");
    PublicKey::of_certificate(&ground.scratch, der).assert_signed("sha256", Padding::Pkcs1, MESSAGE, &signature);
}

#[test]
fn path_sign_leads_to_the_signature_token_alone() {
    with_ground("load_path::path_sign_leads_to_the_signature_token_alone", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let module = load(ground, "pathSign");
        assert!(matches!(&tokens(&module)[..], [(_, label)] if label.contains(" Sign ")), "{:?}", tokens(&module));
        sign(&module, ground, PASSWORD);
        assert_eq!((card.cost().verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn path_auth_leads_to_the_authentication_token_alone() {
    with_ground("load_path::path_auth_leads_to_the_authentication_token_alone", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let module = load(ground, "pathAuth");
        assert!(matches!(&tokens(&module)[..], [(_, label)] if label.contains(" Auth ")), "{:?}", tokens(&module));
        sign(&module, ground, PIN);
        assert_eq!((card.cost().verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn path_leads_to_both_tokens() {
    with_ground("load_path::path_leads_to_both_tokens", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let module = load(ground, "path");
        let labels = tokens(&module);
        assert!(matches!(&labels[..], [(_, auth), (_, sign)] if auth.contains(" Auth ") && sign.contains(" Sign ")));
        assert_eq!(card.cost().verifies, 0);
    });
}

#[test]
fn all_three_are_loaded_side_by_side() {
    with_ground("load_path::all_three_are_loaded_side_by_side", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let modules = ["path", "pathSign", "pathAuth"].map(|key| load(ground, key));
        assert_eq!(modules.each_ref().map(|module| tokens(module).len()), [2, 1, 1]);
        sign(&modules[1], ground, PASSWORD);
        sign(&modules[2], ground, PIN);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_reader_is_one_slot_of_each_token() {
    with_ground("load_path::a_reader_is_one_slot_of_each_token", |ground| {
        let module = load(ground, "pathSign");
        // Two readers, and no card.
        assert_eq!((module.get_all_slots().expect("they can be listed").len(), tokens(&module).len()), (2, 0));
        // The card of before 2016 has a signature token only.
        let card = crate::common::cards::card(&ground.scratch, Kind::Juki);
        let _card = ground.pcscd.insert(&card);
        assert_eq!(module.get_all_slots().expect("they can be listed").len(), 2);
        assert_eq!(tokens(&module).len(), 1);
    });
}
