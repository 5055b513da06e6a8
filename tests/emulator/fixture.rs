//! Cards to test on. Keys take seconds, so that a finished image of each kind is kept for as long as the process lives; what
//! holds keys is in files only where a test is about files, and they go with the test.

use jpki_pkcs11::emulator::Device;
use jpki_pkcs11::emulator::card::PracticeCard;
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::issue::{self, Order};
use jpki_pkcs11::emulator::seed::Seed;
use jpki_pkcs11::emulator::switches::Switches;
use std::sync::OnceLock;
use tempfile::TempDir;

/// 2026-01-15T03:00:00Z, noon in Japan.
pub const NOW: u64 = 1_768_446_000;

/// The order every fixture begins with.
pub fn order(kind: Kind) -> Order {
    Order::new(kind, Seed::from(1), NOW)
}

/// A finished card of that kind, without the first command's 6F00.
pub fn image(kind: Kind) -> Image {
    static MADE: [OnceLock<Image>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
    let index = Kind::ALL.iter().position(|known| *known == kind).unwrap();
    let make = || {
        let switches = Switches { first_command_fails: false, ..Switches::default() };
        issue::personalise(&Order { switches, ..order(kind) }).unwrap()
    };
    MADE[index].get_or_init(make).clone()
}

/// That image as a powered card.
pub fn card(image: Image) -> PracticeCard {
    let mut card = PracticeCard::in_memory(image).unwrap();
    card.power_on();
    card
}

/// Sends a command in hex, spaces allowed; the answer in hex.
pub fn send(card: &mut dyn Device, command: &str) -> String {
    hex(&card.transmit(&bytes(command)))
}

/// Data of an answer that must end in 9000.
pub fn data(card: &mut dyn Device, command: &str) -> Vec<u8> {
    let mut answer = card.transmit(&bytes(command));
    assert_eq!(answer.split_off(answer.len() - 2), [0x90, 0x00], "{command}");
    answer
}

pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "{hex}");
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect(hex)).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// An empty directory of its own for one test, which goes with it.
pub fn directory() -> TempDir {
    tempfile::Builder::new().prefix("jpki-").tempdir().unwrap()
}
