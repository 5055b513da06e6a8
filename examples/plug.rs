//! Plugs a card into the virtual reader of vpcd that tries the PC/SC layer with what no practice card does: `plug ADDRESS
//! scripted`, `plug ADDRESS mute`, `plug ADDRESS lying FILE AIM FAULT`, `plug ADDRESS leaving FILE N` or `plug ADDRESS
//! faithful FILE`. It stays there until it is killed, or until it leaves.
//!
//! The scripted card answers `00 B0 P1 P2 …` with P1·256 + P2 bytes and 9000, `00 99 P1 …` with 9000 after P1 tenths of a
//! second, and anything else with how often it was powered up and reset, and 9000. The mute one says nothing at all. The
//! lying one is the practice card in FILE with its answers spoilt: AIM is a name of `fault::Aim`, FAULT one of
//! `fault::Fault`, `Pause` with its seconds as in `Pause30`, or an answer in hex. The leaving one is pulled out when it has
//! acted on its N-th command, before its answer is through. The faithful one has no application but ours: nothing that is
//! selected makes it forget who was verified.

use jpki_pkcs11::emulator::fault::{Aim, Fault, Faults, FaultyCard};
use jpki_pkcs11::emulator::{Device, PracticeCard, vpcd};
use std::error::Error;
use std::path::Path;
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

/// A practice card, and how many commands it still answers.
struct LeavingCard {
    card: PracticeCard,
    answers: usize,
}

impl Device for LeavingCard {
    fn atr(&self) -> Vec<u8> {
        self.card.atr()
    }

    fn power_on(&mut self) {
        self.card.power_on();
    }

    fn power_off(&mut self) {
        self.card.power_off();
    }

    fn reset(&mut self) {
        self.card.reset();
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let answer = self.card.transmit(command);
        match self.answers.checked_sub(1) {
            Some(left) => self.answers = left,
            // With the process goes its connection, which is the card in the reader.
            None => std::process::exit(0),
        }
        answer
    }
}

/// A practice card that answers 6A82 to a SELECT of any other application.
struct FaithfulCard(PracticeCard);

impl Device for FaithfulCard {
    fn atr(&self) -> Vec<u8> {
        self.0.atr()
    }

    fn power_on(&mut self) {
        self.0.power_on();
    }

    fn power_off(&mut self) {
        self.0.power_off();
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        const OURS: &[u8] = &[0xD3, 0x92, 0xF0, 0x00, 0x26];
        match *command {
            [0x00, 0xA4, 0x04, _, _, ref aid @ ..] if !aid.starts_with(OURS) => vec![0x6A, 0x82],
            _ => self.0.transmit(command),
        }
    }
}

fn lying(file: &str, aim: &str, fault: &str) -> Result<FaultyCard<PracticeCard>, Box<dyn Error>> {
    let aim = Aim::ALL.into_iter().find(|known| format!("{known:?}") == aim).ok_or("no such aim")?;
    let fault = match fault {
        "Mute" => Fault::Mute,
        "Long" => Fault::Long,
        "Garbage" => Fault::Garbage,
        "EndlessMore" => Fault::EndlessMore,
        "EndlessLength" => Fault::EndlessLength,
        "HugeLength" => Fault::HugeLength,
        "Flipped" => Fault::Flipped,
        other => match other.strip_prefix("Pause") {
            Some(seconds) => Fault::Pause(Duration::from_secs(seconds.parse()?)),
            None => Fault::Answer(bytes(other)?),
        },
    };
    let faults = Faults::default();
    faults.begin(aim, fault);
    Ok(FaultyCard::new(PracticeCard::open(Path::new(file))?, &faults))
}

fn bytes(hex: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pair = |at| hex.get(at..at + 2).ok_or("an odd number of digits");
    (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(pair(at)?, 16)?)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (address, mut card): (_, Box<dyn Device>) = match arguments[..] {
        [address, "scripted"] => (address, Box::<ScriptedCard>::default()),
        [address, "mute"] => (address, Box::new(ScriptedCard { mute: true, ..ScriptedCard::default() })),
        [address, "lying", file, aim, fault] => (address, Box::new(lying(file, aim, fault)?)),
        [address, "leaving", file, command] => {
            let answers = command.parse::<usize>()?.checked_sub(1).ok_or("commands count from 1")?;
            (address, Box::new(LeavingCard { card: PracticeCard::open(Path::new(file))?, answers }))
        }
        [address, "faithful", file] => (address, Box::new(FaithfulCard(PracticeCard::open(Path::new(file))?))),
        _ => {
            let usage = "usage: plug ADDRESS (scripted | mute | lying FILE AIM FAULT | leaving FILE N | faithful FILE)";
            return Err(usage.into());
        }
    };
    Ok(vpcd::plug(&mut *card, address, &AtomicBool::new(false))?)
}
