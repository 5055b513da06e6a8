//! A practice card in the embedded practice reader of every module that this process loads.

#![allow(dead_code, reason = "every test program uses its own part")]

use jpki_pkcs11::emulator::PracticeCard;
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::issue::{Order, personalise};
use jpki_pkcs11::emulator::seed::Seed;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Once;

/// Puts it there, once in a process, before the first module starts. Nothing else of this user's is looked at.
pub fn insert_card() {
    static INSERTED: Once = Once::new();
    INSERTED.call_once(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("embedded-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let image = personalise(&Order::new(Kind::MyNumber, Seed::random().unwrap(), 1_700_000_000)).unwrap();
        drop(PracticeCard::create(&folder.join("card"), &image).unwrap());
        let configuration = folder.join("config.toml");
        fs::write(&configuration, "practice = ['card']\n").unwrap();
        fs::set_permissions(&configuration, Permissions::from_mode(0o600)).unwrap();
        // SAFETY: before any module starts, and Rust's own environment functions lock.
        unsafe {
            std::env::set_var("JPKI_PKCS11_CONF", &configuration);
            for variable in ["PCSCLITE_CSOCK_NAME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME"] {
                std::env::set_var(variable, "/nonexistent");
            }
        }
    });
}
