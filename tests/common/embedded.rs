//! A practice card in the embedded practice reader of every module that this process loads.

#![allow(dead_code, reason = "every test program uses its own part")]

use jpki_pkcs11::emulator::PracticeCard;
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::issue::{Choice, Order, personalise};
use jpki_pkcs11::emulator::seed::Seed;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Its signature password.
pub const PASSWORD: &str = "PRACTICE1";

/// Where the card is; it holds keys, and goes when the process ends by itself.
static FOLDER: OnceLock<TempDir> = OnceLock::new();

/// Puts it there, once in a process, before the first module starts. Nothing else of this user's is looked at.
pub fn insert_card() {
    FOLDER.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("jpki-").tempdir().unwrap();
        // SAFETY: the function takes nothing and stays as long as the process.
        assert_eq!(unsafe { libc::atexit(remove_folder) }, 0);
        let mut order = Order::new(Kind::MyNumber, Seed::random().unwrap(), 1_700_000_000);
        order.sign_secret = Choice::Set(PASSWORD.into());
        let image = personalise(&order).unwrap();
        drop(PracticeCard::create(&folder.path().join("card"), &image).unwrap());
        let configuration = folder.path().join("config.toml");
        fs::write(&configuration, "practice = ['card']\nlog = 'log'\n").unwrap();
        fs::set_permissions(&configuration, Permissions::from_mode(0o600)).unwrap();
        // SAFETY: before any module starts, and Rust's own environment functions lock.
        unsafe {
            std::env::set_var("JPKI_PKCS11_CONF", &configuration);
            for variable in ["PCSCLITE_CSOCK_NAME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME"] {
                std::env::set_var(variable, "/nonexistent");
            }
        }
        folder
    });
}

/// What the modules have logged so far.
pub fn log() -> String {
    fs::read_to_string(FOLDER.get().unwrap().path().join("log")).unwrap()
}

extern "C" fn remove_folder() {
    // There is nobody left to tell of a failure.
    let _ = FOLDER.get().map(|folder| fs::remove_dir_all(folder.path()));
}
