//! Cards to test on. Keys take seconds, so a finished image is kept beside the test program for as long as that is the
//! same.

use jpki_pkcs11::emulator::Device;
use jpki_pkcs11::emulator::card::PracticeCard;
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::issue::{self, Order};
use jpki_pkcs11::emulator::seed::Seed;
use jpki_pkcs11::emulator::store::{ImageError, Store};
use jpki_pkcs11::emulator::switches::Switches;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// 2026-01-15T03:00:00Z, noon in Japan.
pub const NOW: u64 = 1_768_446_000;

/// The order every fixture begins with.
pub fn order(kind: Kind) -> Order {
    Order::new(kind, Seed::from(1), NOW)
}

/// A finished card of that kind, without the first command's 6F00.
pub fn image(kind: Kind) -> Image {
    let built = fs::metadata(std::env::current_exe().unwrap()).unwrap().modified().unwrap();
    let stamp = built.duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{kind}-{stamp}.toml"));
    let store = match Store::open(&path) {
        Ok(store) => store,
        Err(ImageError::Missing(_)) => {
            let switches = Switches { first_command_fails: false, ..Switches::default() };
            let made = issue::personalise(&Order { switches, ..order(kind) }).unwrap();
            match Store::create(&path, &made) {
                // Another test was faster.
                Err(ImageError::Exists(_)) => Store::open(&path).unwrap(),
                made => made.unwrap(),
            }
        }
        Err(error) => panic!("{error}"),
    };
    store.read().unwrap()
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

/// An empty directory of its own for one test.
pub fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    for entry in fs::read_dir(&path).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    path
}
