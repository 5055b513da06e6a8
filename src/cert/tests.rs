//! On certificates that OpenSSL made (`fixtures/make.sh`); the values expected here are those OpenSSL prints.

use super::forgery::Forgery;
use super::jpki::{Personal, Purpose};
use super::view::{View, japan_day, personal_rows};
use super::*;
use crate::words::Language;
use der::Encode;

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
    let PublicKey::Rsa(key) = Certificate::parse(SIGNATURE).unwrap().public_key().unwrap() else { panic!("not RSA") };
    assert_eq!((key.bits(), key.exponent()), (2048, &[1, 0, 1][..]));
    assert!(key.modulus().starts_with(&[0xBD, 0x53, 0xE4, 0x12, 0x50, 0xF5, 0x64, 0x23]));
    let PublicKey::P384(key) = Certificate::parse(P384).unwrap().public_key().unwrap() else { panic!("not P-384") };
    assert!(key.point().starts_with(&[0x04, 0x05, 0x83, 0xE4, 0x1F, 0x5B, 0xA0, 0x82]));
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

/// The signature certificate with its extensions as `change` leaves them.
fn with_extensions(change: impl FnOnce(&mut Vec<x509_cert::ext::Extension>)) -> Certificate {
    let mut certificate = Forgery::from_der(SIGNATURE).unwrap();
    change(certificate.tbs.extensions.as_mut().unwrap());
    Certificate::parse(&certificate.to_der().unwrap()).unwrap()
}

#[test]
fn an_extension_that_is_there_twice_counts_for_nothing() {
    let untouched = with_extensions(|_| {});
    assert_eq!(jpki::purpose(&untouched), Some(Purpose::Signature));
    assert!(Personal::of(&untouched).is_some());
    for (id, purpose, personal) in [("2.5.29.32", None, true), ("2.5.29.17", Some(Purpose::Signature), false)] {
        let id = ObjectIdentifier::new_unwrap(id);
        let doubled = with_extensions(|extensions| {
            let again = extensions.iter().find(|extension| extension.extn_id == id).unwrap().clone();
            extensions.push(again);
        });
        assert_eq!(doubled.extension(id), None);
        assert_eq!(jpki::purpose(&doubled), purpose);
        assert_eq!(Personal::of(&doubled).is_some(), personal, "of two statements about a person none is believed");
    }
}

#[test]
fn of_a_name_that_is_there_twice_the_second_is_shown_as_it_is_and_takes_no_place() {
    use x509_cert::ext::pkix::SubjectAltName;
    use x509_cert::ext::pkix::name::GeneralName;
    let san = ObjectIdentifier::new_unwrap("2.5.29.17");
    let doubled = with_extensions(|extensions| {
        let extension = extensions.iter_mut().find(|extension| extension.extn_id == san).unwrap();
        let mut names = SubjectAltName::from_der(extension.extn_value.as_bytes()).unwrap();
        let all = names.0.clone();
        for name in all {
            let GeneralName::OtherName(mut other) = name else { continue };
            // A text of another length, so that a date or a sex would be one too.
            other.value = der::asn1::Any::new(Tag::Utf8String, b"2".as_slice()).unwrap();
            names.0.push(GeneralName::OtherName(other));
        }
        extension.extn_value = der::asn1::OctetString::new(names.to_der().unwrap()).unwrap();
    });
    let (once, twice) =
        (Personal::of(&Certificate::parse(SIGNATURE).unwrap()).unwrap(), Personal::of(&doubled).unwrap());
    let named = |personal: &Personal| {
        let Personal { name, sex, address, name_substitutes, address_substitutes, birth, .. } = personal.clone();
        let words = (sex.map(|sex| sex.text(Language::En)), birth.map(|birth| birth.text(Language::En)));
        (name, words, address, name_substitutes, address_substitutes)
    };
    assert_eq!(named(&twice), named(&once), "the first of each holds");
    let others = |personal: &Personal| personal.others.len();
    assert_eq!(others(&twice), 2 * others(&once) + 6, "and no second one is dropped");
    assert!(personal_rows(&twice, Language::En).contains(&("1.2.392.200149.8.5.5.1".into(), "2".into())));
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
                    let _ = certificate.public_key();
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
