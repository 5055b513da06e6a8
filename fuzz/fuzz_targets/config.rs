//! The configuration file, given by `JPKI_PKCS11_CONF` as any user may: loading never fails, and a file that is not
//! understood leaves no readers.

#![no_main]

use jpki_pkcs11::config::{Config, Environment};
use libfuzzer_sys::fuzz_target;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::LazyLock;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let shared_memory = PathBuf::from("/dev/shm");
    let directory = if shared_memory.is_dir() { shared_memory } else { std::env::temp_dir() };
    directory.join(format!("jpki-fuzz-{}.toml", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("a file");
    std::fs::set_permissions(&*FILE, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
    let user = std::fs::metadata(&*FILE).expect("a file").uid();
    let environment = Environment {
        variable: Box::new(|name| (name == "JPKI_PKCS11_CONF").then(|| FILE.clone().into_os_string())),
        secure: false,
        user,
        system_file: "/nonexistent".into(),
        run: "/nonexistent".into(),
    };
    let config = Config::load(&environment);
    std::fs::remove_file(&*FILE).expect("the file");
    assert!(config.notes.is_empty(), "{:?}", config.notes);
    if let Some(sentence) = &config.unusable {
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
        assert!(config.practice.is_empty() && config.log.is_none(), "nothing is taken from it");
        assert_eq!(jpki_pkcs11::readers::open(&config).look(), Ok(Vec::new()));
    }
    assert!(!config.lock_timeout.is_zero() && config.lock_timeout.as_secs() <= 120);
    assert!(config.max_login.is_none_or(|time| !time.is_zero()));
    assert!(config.ignore_readers.iter().all(|part| !part.is_empty()));
    let _ = (config.ignores("Practice Reader 00 00"), config.ignores("İ\u{130}ẞ"));
});
