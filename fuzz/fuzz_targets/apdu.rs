//! Commands and responses: what is taken apart goes together again, and nothing shown holds a secret.

#![no_main]

use jpki_pkcs11::apdu::{Command, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(command) = Command::decode(bytes) {
        // There is one way to write each command, so the bytes come back.
        assert_eq!(command.encode().as_slice(), bytes);
        assert!(command.data.len() <= usize::from(u16::MAX));
        assert!(command.le.is_none_or(|le| (1..=65_536).contains(&le)));
        let shown = format!("{command:?}");
        if command.is_secret() {
            let other = Command { data: vec![0; command.data.len() + 1].into(), ..command.clone() };
            assert_eq!(shown, format!("{other:?}"), "what is shown depends on the secret");
        }
    }
    match Response::parse(bytes.to_vec()) {
        Ok(response) => {
            assert_eq!([&response.data[..], &response.sw.0.to_be_bytes()].concat(), bytes);
            let _ = (format!("{response:?}"), response.sw.tries_left(), response.sw.is_locked());
        }
        Err(_) => assert!(bytes.len() < 2),
    }
});
