//! Plugs a card into the virtual reader of vpcd that tries the PC/SC layer with what no practice card does: `plug ADDRESS
//! scripted` or `plug ADDRESS mute`. It stays there until it is killed.
//!
//! The scripted card answers `00 B0 P1 P2 …` with P1·256 + P2 bytes and 9000, `00 99 P1 …` with 9000 after P1 tenths of a
//! second, and anything else with how often it was powered up and reset, and 9000. The mute one says nothing at all.

use jpki_pkcs11::emulator::{Device, vpcd};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct ScriptedCard {
    mute: bool,
    power_ups: u8,
    resets: u8,
}

impl Device for ScriptedCard {
    fn atr(&self) -> Vec<u8> {
        if self.mute { Vec::new() } else { vec![0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14] }
    }

    fn power_on(&mut self) {
        self.power_ups += 1;
    }

    fn power_off(&mut self) {}

    fn reset(&mut self) {
        self.resets += 1;
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let mut answer = match *command {
            [0x00, 0xB0, high, low, ..] => vec![0xA5; usize::from(u16::from_be_bytes([high, low]))],
            [0x00, 0x99, tenths, ..] => {
                thread::sleep(Duration::from_millis(100) * u32::from(tenths));
                Vec::new()
            }
            _ => vec![self.power_ups, self.resets],
        };
        answer.extend_from_slice(&[0x90, 0x00]);
        answer
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, mute) = match arguments.as_slice() {
        [address, card] if card == "scripted" => (address, false),
        [address, card] if card == "mute" => (address, true),
        _ => return Err("usage: plug ADDRESS (scripted | mute)".into()),
    };
    let mut card = ScriptedCard { mute, ..ScriptedCard::default() };
    Ok(vpcd::plug(&mut card, address, &AtomicBool::new(false))?)
}
