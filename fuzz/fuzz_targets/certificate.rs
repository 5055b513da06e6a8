//! A certificate, and everything that is read out of it and shown.

#![no_main]

use jpki_pkcs11::cert::jpki::{self, Personal};
use jpki_pkcs11::cert::view::{MASK, View, japan_day, personal_rows};
use jpki_pkcs11::cert::{Certificate, PublicKey};
use jpki_pkcs11::words::Language;
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, SystemTime};

const LANGUAGES: [Language; 3] = [Language::Ja, Language::ZhTw, Language::En];

fuzz_target!(|bytes: &[u8]| {
    let Ok(certificate) = Certificate::parse(bytes) else { return };
    assert_eq!(certificate.der(), bytes);
    let parts = [certificate.serial(), certificate.issuer(), certificate.subject(), certificate.public_key_info()];
    for part in parts {
        assert!(!part.is_empty() && bytes.windows(part.len()).any(|window| window == part));
    }
    match certificate.public_key() {
        Ok(PublicKey::Rsa(key)) => {
            assert_eq!(key.modulus().len(), key.bits().div_ceil(8));
            assert!(key.exponent().first().is_some_and(|&first| first != 0));
            assert!(key.exponent().last().is_some_and(|last| last & 1 == 1) && key.exponent() != [1]);
        }
        Ok(PublicKey::P384(key)) => assert!(certificate.public_key_info().ends_with(key.point())),
        Err(_) => {}
    }
    for now in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)] {
        let period = certificate.period(now);
        for unmask in [false, true] {
            let view = View::of(&certificate, now, unmask);
            assert_eq!(view.period, period);
            for language in LANGUAGES {
                view.rows(language).iter().for_each(|(_, value)| showable(value));
            }
            if !unmask && !certificate.is_self_issued() {
                assert_eq!([&view.subject, &view.serial, &view.sha256, &view.sha1], [MASK; 4]);
            }
        }
    }
    let _ = (japan_day(certificate.not_before()), japan_day(certificate.not_after()));
    let _ = (jpki::purpose(&certificate), jpki::is_practice(&certificate), jpki::anchor(&certificate));
    if let Some(personal) = Personal::of(&certificate) {
        for (label, value) in LANGUAGES.iter().flat_map(|&language| personal_rows(&personal, language)) {
            showable(&label);
            showable(&value);
        }
    }
    assert!(!format!("{certificate:?}").contains(&certificate.subject_name()) || certificate.subject_name().len() < 16);
});

/// Whether a terminal shows nothing else than this text says.
fn showable(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
