//! Personalisation: what the two steps leave on the card, and that the same order makes the same card.

use crate::fixture::{NOW, image, order};
use der::DecodePem;
use jpki_pkcs11::emulator::date::Date;
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::issue::{self, Choice, IssueError, Order};
use jpki_pkcs11::emulator::resident::{Birth, Era, Resident, Unfit};
use jpki_pkcs11::emulator::seed::Seed;
use std::time::Duration;
use x509_cert::Certificate;

#[test]
fn the_same_order_makes_the_same_card_byte_for_byte() {
    for kind in [Kind::Juki, Kind::Next] {
        let order = order(kind);
        let text = issue::personalise(&order).unwrap().to_text().unwrap();
        assert_eq!(text, issue::personalise(&order).unwrap().to_text().unwrap(), "{kind}");
        let other = issue::personalise(&Order { seed: Seed::from(2), ..order }).unwrap();
        let same_but_seed = other.to_text().unwrap();
        assert_ne!(text, same_but_seed, "{kind}");
        assert_ne!(other.keys.sign, image(kind).keys.sign, "{kind}");
    }
}

#[test]
fn the_holders_step_leaves_keys_without_certificates() {
    let order = order(Kind::Juki);
    let mut image = issue::holder_step(&order).unwrap();
    assert!(image.keys.sign.is_some() && image.secrets.sign.is_some());
    assert!(image.certificates == Default::default());
    let keys = image.keys.clone();
    issue::clerk_step(&mut image, &order, &order.authority().unwrap()).unwrap();
    assert!(image.keys == keys && image.certificates.sign.is_some() && image.certificates.sign_ca.is_some());
}

#[test]
fn a_juki_card_has_the_signature_pair_only() {
    let image = image(Kind::Juki);
    assert!(image.keys.auth.is_none() && image.secrets.auth.is_none() && image.certificates.auth.is_none());
}

#[test]
fn certificates_are_issued_as_ordered() {
    let order = Order { auth_certificate: false, sign_certificate: false, ..order(Kind::Juki) };
    assert!(issue::personalise(&order).unwrap().certificates == Default::default());
}

#[test]
fn a_secret_may_be_locked_from_the_start_or_absent() {
    let locked = issue::holder_step(&Order { sign_secret: Choice::Locked, ..order(Kind::Juki) }).unwrap();
    let secret = locked.secrets.sign.unwrap();
    assert_eq!((secret.tries, secret.limit), (0, 5));
    let absent = issue::holder_step(&Order { sign_secret: Choice::Absent, ..order(Kind::Juki) }).unwrap();
    assert!(absent.secrets.sign.is_none());
}

#[test]
fn certificates_end_with_the_card_if_that_comes_first() {
    let day = |year, month, day| Date::new(year, month, day).unwrap();
    let last = |kind, expiry| Order { expiry, ..order(kind) }.last_day().unwrap();
    // Born on 5 May, issued on 15 January 2026.
    assert_eq!(last(Kind::MyNumber, None), day(2030, 5, 5));
    assert_eq!(last(Kind::MyNumber, Some(day(2028, 3, 1))), day(2028, 3, 1));
    assert_eq!(last(Kind::MyNumber, Some(day(2036, 5, 5))), day(2030, 5, 5));
    assert_eq!(last(Kind::Juki, None), day(2029, 1, 14));
    let expired = Order { expiry: Some(day(2026, 1, 14)), ..order(Kind::MyNumber) }.last_day();
    assert!(matches!(expired, Err(IssueError::Expired)));
}

/// card.md §6.3: ten years, five for who is under 18; §12.1: birthdays are counted.
#[test]
fn a_next_cards_certificates_last_ten_years_or_five_for_who_is_under_18() {
    let last = |year, month, day| {
        let resident = Resident { birth: Birth { era: Era::Heisei, year, month, day }, ..Resident::default() };
        let (year, month, day) = Order { resident, ..order(Kind::Next) }.last_day().unwrap().parts();
        format!("{year}-{month}-{day}")
    };
    // Issued on 15 January 2026.
    assert_eq!(last(1995, 5, 5), "2035-5-5");
    assert_eq!(last(2008, 1, 15), "2036-1-15", "18 on that day");
    assert_eq!(last(2008, 1, 16), "2030-1-16", "a day younger");
    assert_eq!(last(2008, 0, 0), "2036-1-15");
    assert_eq!(last(2009, 0, 0), "2031-1-15");
    assert_eq!(last(0, 0, 0), "2036-1-15", "not known");
}

#[test]
fn the_day_of_issue_is_japans() {
    // 23:30 on 14 January in UTC is the 15th in Japan.
    let early = Order { now: NOW - Duration::from_secs(3 * 3600 + 1800).as_secs(), ..order(Kind::Juki) };
    assert_eq!(early.last_day().unwrap(), Date::new(2029, 1, 14).unwrap());
}

#[test]
fn orders_that_no_window_takes_are_refused() {
    let refused = |order: Order| issue::holder_step(&order).err().unwrap();
    let set = |secret: &str| Choice::Set(secret.into());
    for pin in ["", "123", "12345", "12a4"] {
        let error = refused(Order { auth_secret: set(pin), ..order(Kind::MyNumber) });
        assert!(matches!(error, IssueError::AuthSecret), "{pin}");
    }
    for password in ["", "ABC12", "ABCDEF", "123456", "abc123", "ABC 123", "ABCDEFGH123456789"] {
        let error = refused(Order { sign_secret: set(password), ..order(Kind::MyNumber) });
        assert!(matches!(error, IssueError::SignSecret { min: 6 }), "{password}");
    }
    let error = refused(Order { sign_secret: set("AB1"), ..order(Kind::Juki) });
    assert!(matches!(error, IssueError::SignSecret { min: 4 }));
    let error = refused(Order { serial: Some("1".into()), ..order(Kind::Juki) });
    assert!(matches!(error, IssueError::Serial));
    let address = "町".repeat(201);
    let resident = Resident { address: address.as_str().into(), ..Resident::default() };
    let error = refused(Order { resident, ..order(Kind::Juki) });
    assert!(matches!(error, IssueError::Resident(Unfit::Address(201))) && !error.to_string().contains('町'));
    let error = refused(Order { now: u64::MAX, ..order(Kind::Juki) });
    assert!(matches!(error, IssueError::Now));
}

#[test]
fn nobody_is_certified_before_birth() {
    let born = |year, month, day| {
        let birth = Birth { era: Era::Reiwa, year, month, day };
        let resident = Resident { birth, ..Resident::default() };
        issue::holder_step(&Order { resident, ..order(Kind::Juki) }).err().map(|error| error.to_string())
    };
    for (year, month, day) in [(2026, 1, 15), (2026, 1, 0), (2026, 0, 0), (2025, 12, 31)] {
        assert_eq!(born(year, month, day), None, "{year}-{month}-{day}");
    }
    for (year, month, day) in [(2026, 1, 16), (2026, 2, 0), (2027, 0, 0)] {
        assert!(born(year, month, day).unwrap().contains("after the day of issue"), "{year}-{month}-{day}");
    }
}

#[test]
fn what_differs_has_another_serial_number() {
    let image = image(Kind::Juki);
    let numbers = |order: &Order| {
        let mut image = image.clone();
        issue::clerk_step(&mut image, order, &order.authority().unwrap()).unwrap();
        let number = |pem: &Option<String>| {
            let certificate = Certificate::from_pem(pem.as_ref().unwrap()).unwrap();
            let tbs = certificate.tbs_certificate();
            (tbs.issuer().to_string(), tbs.serial_number().as_bytes().to_vec())
        };
        (number(&image.certificates.sign), number(&image.certificates.sign_ca))
    };
    let first = order(Kind::Juki);
    let before = numbers(&first);
    assert_eq!(numbers(&first), before);
    // Another of the family, with the same seed.
    let resident = Resident { name: "練習　花子".into(), ..Resident::default() };
    let (leaf, ca) = numbers(&Order { resident, ..first.clone() });
    assert!(leaf.0 == before.0.0 && leaf.1 != before.0.1);
    assert_eq!(ca, before.1, "by the same authority");
    // Issued again a year later, when the authority's own certificate is another one too.
    let (leaf, ca) = numbers(&Order { now: NOW + 31_536_000, ..first });
    assert!(leaf.0 == before.0.0 && leaf.1 != before.0.1);
    assert!(ca.0 == before.1.0 && ca.1 != before.1.1);
}

#[test]
fn a_clerk_cannot_certify_a_card_without_keys() {
    let order = order(Kind::Juki);
    let mut image = image(Kind::Juki);
    image.keys.sign = None;
    let error = issue::clerk_step(&mut image, &order, &order.authority().unwrap());
    assert!(matches!(error, Err(IssueError::NoKey("signature"))));
    // There is one, which is not said to be missing.
    image.keys.sign = Some(include_str!("../data/rsa2048-unbalanced.pem").into());
    let error = issue::clerk_step(&mut image, &order, &order.authority().unwrap());
    assert!(matches!(error, Err(IssueError::UnusableKey("signature"))));
}
