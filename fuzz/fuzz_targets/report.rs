//! A card's report, as a stranger sends it: one that is taken makes an order whose switches a card's file can hold, and
//! settling the counters of a card keeps them within their limits.

#![no_main]

use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::issue::Order;
use jpki_pkcs11::emulator::report::{CardReport, LONGEST};
use jpki_pkcs11::emulator::seed::Seed;
use jpki_pkcs11::emulator::{Device, PracticeCard};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// A card with its keys and certificates, since making them takes long.
static CARD: LazyLock<Image> =
    LazyLock::new(|| Image::parse(include_str!("../cards/mynumber.toml")).expect("a card of ours"));

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let report = match CardReport::parse(text) {
        Ok(report) => report,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    assert!(text.len() <= LONGEST);
    let mut order = Order::new(Kind::MyNumber, Seed::from("fuzz"), 0);
    if report.apply(&mut order).is_err() {
        assert!(report.kind().is_err());
        return;
    }
    assert!(report.kind() == Ok(order.kind));
    let mut image = Image { switches: order.switches, ..CARD.clone() };
    report.settle(&mut image);
    let written = image.to_text().expect("what a report asks for can be written");
    assert!(Image::parse(&written).expect("what was written can be read") == image);
    let mut card = PracticeCard::in_memory(image).expect("a card");
    card.power_on();
    for command in [
        &[0x00, 0xA4, 0x00, 0x00][..],
        &[0x00, 0xA4, 0x04, 0x0C, 0x0A, 0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01],
        &[0x00, 0xB0, 0x86, 0x00, 0x00],
        &[0x00, 0xA4, 0x02, 0x0C, 0x02, 0x00, 0x0A],
        &[0x00, 0xB0, 0x7F, 0xFF, 0x01],
        &[0x00, 0x20, 0x00, 0x98],
    ] {
        assert!(card.transmit(command).len() >= 2);
    }
});
