//! On certificates that OpenSSL made (`fixtures/make.sh`); the values expected here are those OpenSSL prints.

use super::jpki::{Personal, Purpose};
use super::view::{View, japan_day, personal_rows};
use super::*;
use crate::words::Language;

const CA: &[u8] = include_bytes!("fixtures/ca.der");
const SIGNATURE: &[u8] = include_bytes!("fixtures/signature.der");
const AUTHENTICATION: &[u8] = include_bytes!("fixtures/authentication.der");
const P384: &[u8] = include_bytes!("fixtures/p384.der");
const ALL: [&[u8]; 4] = [CA, SIGNATURE, AUTHENTICATION, P384];

/// In the middle of the fixtures' period.
fn midway() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_850_000_000)
}

#[test]
fn parts_are_the_bytes_they_came_in() {
    let certificate = Certificate::parse(SIGNATURE).unwrap();
    assert_eq!(certificate.der(), SIGNATURE);
    assert_eq!(certificate.serial(), [0x02, 0x05, 0x00, 0x80, 0x70, 0x60, 0x50]);
    assert_eq!(certificate.serial_number(), "80706050");
    assert!(certificate.issuer().starts_with(&[0x30]) && certificate.subject().starts_with(&[0x30]));
    assert_eq!(certificate.issuer(), Certificate::parse(CA).unwrap().subject());
    assert!(certificate.subject_name().contains("CN=2026010100000000000199999003A"), "{}", certificate.subject_name());
    assert!(!certificate.is_self_issued());
    assert!(Certificate::parse(CA).unwrap().is_self_issued());
}

#[test]
fn fingerprints_are_those_openssl_prints() {
    assert_eq!(
        hex(&Certificate::parse(CA).unwrap().sha256()),
        "DA403BEC26FA7A9815DB27668580294B0D9E9DAB48C2A78FA33232AFA7D9B0CC"
    );
    assert_eq!(hex(&Certificate::parse(CA).unwrap().sha1()), "A84EA3233F6AFEF57A87BD74A9D8D37E2169E8B5");
}

#[test]
fn the_key_is_the_one_openssl_prints() {
    let key = Certificate::parse(SIGNATURE).unwrap().rsa_key().unwrap();
    assert_eq!((key.bits(), key.exponent()), (2048, &[1, 0, 1][..]));
    assert!(key.modulus().starts_with(&[0xBD, 0x53, 0xE4, 0x12, 0x50, 0xF5, 0x64, 0x23]));
    assert_eq!(Certificate::parse(P384).unwrap().rsa_key(), Err(rsa_key::Error::NotRsa));
}

#[test]
fn the_period_includes_both_ends() {
    let certificate = Certificate::parse(SIGNATURE).unwrap();
    let start = certificate.not_before().to_system_time();
    let end = certificate.not_after().to_system_time();
    assert_eq!(certificate.period(start - Duration::from_nanos(1)), Period::NotYet);
    assert_eq!(certificate.period(start), Period::Running);
    assert_eq!(certificate.period(end + Duration::from_millis(999)), Period::Running);
    assert_eq!(certificate.period(end + Duration::from_secs(1)), Period::Over);
}

#[test]
fn the_policy_says_what_it_is_for() {
    let purpose = |der| jpki::purpose(&Certificate::parse(der).unwrap());
    assert_eq!(purpose(SIGNATURE), Some(Purpose::Signature));
    // Behind a policy whose OID has an arc of 128 bits.
    assert_eq!(purpose(AUTHENTICATION), Some(Purpose::Authentication));
    assert_eq!(purpose(CA), None);
    assert!(jpki::is_practice(&Certificate::parse(SIGNATURE).unwrap()));
}

#[test]
fn no_fixture_is_an_authority_of_jpki() {
    for der in ALL {
        assert_eq!(jpki::anchor(&Certificate::parse(der).unwrap()), None);
    }
}

#[test]
fn the_holders_attributes_are_read_and_none_is_dropped() {
    let personal = Personal::of(&Certificate::parse(SIGNATURE).unwrap()).unwrap();
    let rows = personal_rows(&personal, Language::Ja);
    let rows: Vec<_> = rows.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
    assert_eq!(
        rows,
        [
            ("氏名", "練習\u{3000}太郎"),
            ("代替文字 (氏名)", "太"),
            ("生年月日", "昭和55年（1980年）2月17日"),
            ("性別", "男"),
            ("住所", "見本県練習市練習町1番地"),
            ("代替文字 (住所)", "0000000000000"),
            ("1.2.392.200149.8.5.5.99", "seventh"),
            ("1.2.392.200149.8.5.5.3", "#05"),
        ]
    );
    assert_eq!(Personal::of(&Certificate::parse(AUTHENTICATION).unwrap()), None);
}

#[test]
fn a_view_masks_the_holder_and_not_the_authority() {
    let masked = |der| serde_json::to_string(&View::of(&Certificate::parse(der).unwrap(), midway(), false)).unwrap();
    let unmasked = |der| serde_json::to_string(&View::of(&Certificate::parse(der).unwrap(), midway(), true)).unwrap();
    for telltale in ["2026010100000000000199999003A", "80706050", &hex(&Certificate::parse(SIGNATURE).unwrap().sha1())]
    {
        assert!(!masked(SIGNATURE).contains(telltale), "{}", masked(SIGNATURE));
        assert!(unmasked(SIGNATURE).contains(telltale), "{}", unmasked(SIGNATURE));
    }
    let end = japan_day(Certificate::parse(SIGNATURE).unwrap().not_after());
    assert!(masked(SIGNATURE).contains(&format!("\"not_after\":\"{}\"", &end[..4])), "the day is a birthday");
    assert!(unmasked(SIGNATURE).contains(&format!("\"not_after\":\"{end}T")));
    assert!(masked(CA).contains("JPKI for digital signature"));
    assert!(
        masked(CA).contains(&format!("\"not_after\":\"{}T", japan_day(Certificate::parse(CA).unwrap().not_after())))
    );
    assert!(masked(CA).contains("\"period\":\"running\""));
}

#[test]
fn a_certificate_cut_short_at_any_byte_is_refused() {
    for der in ALL {
        for length in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..length]), Err(Error::Malformed), "{length}");
        }
    }
}

#[test]
fn filler_and_excess_are_refused() {
    assert_eq!(Certificate::parse(&[SIGNATURE, &[0xFF]].concat()), Err(Error::Malformed));
    assert_eq!(Certificate::parse(&vec![0x30; 64 * 1024 + 1]), Err(Error::TooLong));
}

#[test]
fn no_changed_byte_makes_it_panic() {
    for der in ALL {
        for index in 0..der.len() {
            for change in [0x01, 0x80] {
                let mut der = der.to_vec();
                der[index] ^= change;
                // Whatever still parses has to bear every question.
                if let Ok(certificate) = Certificate::parse(&der) {
                    let _ = certificate.rsa_key();
                    let _ = jpki::purpose(&certificate);
                    let view = View::of(&certificate, midway(), true);
                    assert_eq!(view.rows(Language::En).len(), 7);
                    if let Some(personal) = Personal::of(&certificate) {
                        personal_rows(&personal, Language::Ja);
                    }
                }
            }
        }
    }
}

#[test]
fn a_certificate_is_not_printed() {
    let printed = format!("{:?}", Certificate::parse(SIGNATURE).unwrap());
    assert!(printed.len() < 24, "{printed}");
}
