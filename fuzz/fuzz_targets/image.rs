//! A practice card's file: one that is taken can be written again and put into a reader, and answers.

#![no_main]

use jpki_pkcs11::emulator::image::Image;
use jpki_pkcs11::emulator::{Device, PracticeCard};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let image = match Image::parse(text) {
        Ok(image) => image,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let written = image.to_text().expect("what was read can be written");
    assert!(Image::parse(&written).expect("what was written can be read") == image);
    let Ok(mut card) = PracticeCard::in_memory(image) else { return };
    card.power_on();
    let _ = card.atr();
    for command in [
        &[0x00, 0xA4, 0x04, 0x0C, 0x0A, 0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01][..],
        &[0x00, 0xB0, 0x86, 0x00, 0x00],
        &[0x00, 0xB0, 0x8A, 0x00, 0x00],
        &[0x00, 0x20, 0x00, 0x98],
        &[0x00, 0x20, 0x00, 0x98, 0x04, b'1', b'2', b'3', b'4'],
        &[0x80, 0x2A, 0x00, 0x97, 0x01, 0x01, 0x00],
        // The kind `next` has another application.
        &[0x00, 0xA4, 0x04, 0x0C, 0x0A, 0xF0, 0x4A, 0x50, 0x4B, 0x49, 0x4E, 0x45, 0x58, 0x54, 0x01],
        &[0x00, 0xB0, 0x91, 0x00, 0x00],
        &[0x00, 0x20, 0x00, 0x96, 0x04, b'1', b'2', b'3', b'4'],
        &[0x80, 0x2A, 0x00, 0x95, 0x01, 0x01, 0x00],
    ] {
        assert!(card.transmit(command).len() >= 2);
    }
});
