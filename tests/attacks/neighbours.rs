//! Other modules in the same process, and this one twice.

use crate::client;
use crate::common::cards::{PIN, card};
use crate::common::namespaces::own_mounts;
use crate::common::pcscd::with_pcscd;
use crate::common::{Modules, Scratch, configured, run, tool};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use jpki_pkcs11::emulator::image::Kind;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Another module, where Debian has it, under the directory of the machine's architecture.
fn installed(name: &str, package: &str) -> PathBuf {
    let places = fs::read_dir("/usr/lib").unwrap().map(|place| place.unwrap().path().join(name));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("no {name}: apt-get install {package}"))
}

fn load(module: &Path) -> Pkcs11 {
    let module = Pkcs11::new(module).unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    module
}

fn slot(module: &Pkcs11, label: &str) -> Slot {
    let slots = module.get_slots_with_token().unwrap();
    let found = slots.into_iter().find(|slot| module.get_token_info(*slot).unwrap().label().contains(label));
    found.unwrap_or_else(|| panic!("no token {label:?}"))
}

fn sign(session: &Session) -> cryptoki::error::Result<Vec<u8>> {
    let key = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?;
    session.sign(&Mechanism::Sha256RsaPkcs, key[0], b"a document")
}

/// OpenSC knows this card too, and its ways end our login on it.
#[test]
fn opensc_in_the_same_process_takes_neither_a_try_nor_the_right_signature() {
    with_pcscd("neighbours::opensc_in_the_same_process_takes_neither_a_try_nor_the_right_signature", |pcscd| {
        let opensc = installed("opensc-pkcs11.so", "opensc-pkcs11");
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let (ours, theirs) = (load(&Modules::in_dir(&scratch).auth), load(&opensc));
        let pin = AuthPin::new(PIN.into());
        let session = ours.open_ro_session(slot(&ours, "Auth")).unwrap();
        session.login(UserType::User, Some(&pin)).unwrap();
        let signature = sign(&session).unwrap();
        // It lists the same card, asks it for everything, logs in and signs, and in between so do we.
        let other = theirs.open_ro_session(slot(&theirs, "User Authentication PIN")).unwrap();
        assert_eq!(sign(&session).unwrap(), signature, "after its probing");
        other.find_objects(&[]).unwrap();
        assert_eq!(sign(&session).unwrap(), signature, "after its reading");
        other.login(UserType::User, Some(&pin)).unwrap();
        assert_eq!(sign(&other).unwrap(), signature);
        assert_eq!(sign(&session).unwrap(), signature, "after its login");
        other.logout().unwrap();
        assert_eq!(sign(&session).unwrap(), signature, "after its logout");
        session.logout().unwrap();
        let info = ours.get_token_info(slot(&ours, "Auth")).unwrap();
        assert!(!info.user_pin_count_low() && !info.user_pin_locked(), "a try was spent");
    });
}

#[test]
fn the_module_loaded_twice_is_one_module() {
    let proxy = installed("p11-kit-proxy.so", "p11-kit-modules");
    let scratch = Scratch::new();
    let (client, module) = (client::compile(&scratch), Modules::in_dir(&scratch).both);
    let card = card(&scratch, Kind::MyNumber);
    let config = scratch.configuration(&format!("practice = ['{}']\n", card.display()));
    fs::create_dir(scratch.path().join("modules")).unwrap();
    scratch.file("modules/jpki.module", format!("module: {}\n", module.display()));
    // p11-kit reads its configuration where the system has it, so the system has ours.
    let script = "mount --bind \"$1\" /usr/share/p11-kit/modules && shift && exec \"$@\"";
    let mut unshare = Command::new(tool("unshare", "util-linux"));
    let seen = run(configured(&mut unshare, &config)
        .args(own_mounts())
        .args(["sh", "-c", script, "sh"])
        .arg(scratch.path().join("modules"))
        .arg(client)
        .arg("twice")
        .args([&module, &proxy])
        .env("XDG_CONFIG_HOME", scratch.path()))
    .ok();
    let expected = "direct initialize 0\n\
                    direct again 0x191\n\
                    proxy initialize 0\n\
                    direct slots 2 rv 0\n\
                    proxy slots 2 rv 0\n\
                    proxy finalize 0\n\
                    direct slots 2 rv 0\n\
                    direct finalize 0\n";
    assert_eq!(seen, expected);
}
