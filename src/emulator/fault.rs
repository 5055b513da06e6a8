//! A card that lies: a practice card whose answers to chosen commands are spoilt on their way out. The card itself acts
//! on every command, as behind a bad reader or a man in the middle, so that a try it takes is a try spent.

use super::Device;
use crate::apdu::{
    CHANGE_REFERENCE_DATA, COMPUTE_DIGITAL_SIGNATURE, Command, GET_RESPONSE, READ_BINARY, SELECT, Sw, VERIFY,
};
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A card behind which another one is, with [`Faults`] between.
pub struct FaultyCard<D> {
    card: D,
    faults: Faults,
    noise: ChaCha8Rng,
}

/// The switch of a [`FaultyCard`], which stays in the hand of whoever gave the card away. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Option<(Aim, Fault)>>>);

impl<D: Device> FaultyCard<D> {
    /// `card` behind `faults`. The noise of [`Fault::Garbage`] is the same each time.
    pub fn new(card: D, faults: &Faults) -> FaultyCard<D> {
        FaultyCard { card, faults: faults.clone(), noise: ChaCha8Rng::seed_from_u64(0) }
    }
}

impl Faults {
    /// From now on each command at which `aim` is taken gets its answer spoilt by `fault`.
    pub fn begin(&self, aim: Aim, fault: Fault) {
        *self.0.lock() = Some((aim, fault));
    }

    /// From now on the card is honest.
    pub fn end(&self) {
        *self.0.lock() = None;
    }

    /// What befalls this command.
    fn on(&self, command: &[u8]) -> Option<Fault> {
        let command = Command::decode(command).ok()?;
        let (aim, fault) = self.0.lock().clone()?;
        // What has no end goes on with every GET RESPONSE.
        let goes_on = fault == Fault::EndlessMore && command.ins == GET_RESPONSE;
        (goes_on || aim.takes(&command)).then_some(fault)
    }
}

impl<D: Device> Device for FaultyCard<D> {
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

    fn pause(&mut self, command: &[u8]) -> Duration {
        match self.faults.on(command) {
            Some(Fault::Pause(pause)) => pause,
            _ => self.card.pause(command),
        }
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let answer = self.card.transmit(command);
        match self.faults.on(command) {
            Some(fault) => fault.spoil(answer, &mut self.noise),
            None => answer,
        }
    }
}

/// The commands whose answers are spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Each one.
    Every,
    /// SELECT of an application by its AID.
    SelectApplication,
    /// READ BINARY of EF 0006.
    TokenInfo,
    /// READ BINARY of EF 0008.
    Directory,
    /// Any other READ BINARY.
    Certificate,
    /// VERIFY without data.
    Query,
    /// VERIFY with a secret.
    Verify,
    /// CHANGE REFERENCE DATA.
    Change,
    /// COMPUTE DIGITAL SIGNATURE.
    Sign,
}

impl Aim {
    /// Every aim.
    pub const ALL: [Aim; 9] = [
        Aim::Every,
        Aim::SelectApplication,
        Aim::TokenInfo,
        Aim::Directory,
        Aim::Certificate,
        Aim::Query,
        Aim::Verify,
        Aim::Change,
        Aim::Sign,
    ];

    fn takes(self, command: &Command) -> bool {
        match self {
            Aim::Every => true,
            Aim::SelectApplication => (command.ins, command.p1) == (SELECT, 0x04),
            Aim::TokenInfo => (command.ins, command.p1) == (READ_BINARY, 0x86),
            Aim::Directory => (command.ins, command.p1) == (READ_BINARY, 0x88),
            Aim::Certificate => command.ins == READ_BINARY && !matches!(command.p1, 0x86 | 0x88),
            Aim::Query => command.ins == VERIFY && command.data.is_empty(),
            Aim::Verify => command.ins == VERIFY && !command.data.is_empty(),
            Aim::Change => command.ins == CHANGE_REFERENCE_DATA,
            Aim::Sign => command.ins == COMPUTE_DIGITAL_SIGNATURE,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Aim::Every => "every command",
            Aim::SelectApplication => "SELECT of an application",
            Aim::TokenInfo => "READ of the token information",
            Aim::Directory => "READ of the directory",
            Aim::Certificate => "READ of a certificate",
            Aim::Query => "VERIFY without a secret",
            Aim::Verify => "VERIFY with a secret",
            Aim::Change => "CHANGE REFERENCE DATA",
            Aim::Sign => "COMPUTE DIGITAL SIGNATURE",
        })
    }
}

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is none.
    Mute,
    /// It comes after so long, unless the reader gives up before.
    Pause(Duration),
    /// One byte, so not even a status word.
    OneByte,
    /// 9000 and nothing before it.
    Empty,
    /// Half of its data.
    Short,
    /// Noise after its data, as much as a frame of a virtual reader holds.
    Long,
    /// Noise, status word and all.
    Garbage,
    /// 255 bytes and "255 more", each time they are fetched.
    EndlessMore,
    /// "Ask again with length 7", each time it is asked.
    EndlessLength,
    /// A SEQUENCE that claims 4 GiB.
    HugeLength,
    /// Its data with one bit the other way.
    Flipped,
    /// This status word, and no data.
    Status(Sw),
    /// These bytes instead.
    Answer(Vec<u8>),
}

/// The most that a frame of a virtual reader holds.
const LONGEST: usize = 65_535;

impl Fault {
    fn spoil(&self, answer: Vec<u8>, noise: &mut ChaCha8Rng) -> Vec<u8> {
        let (data, status) = answer.split_at(answer.len().saturating_sub(2));
        let ok = |data: &[u8]| with_status(data, Sw::OK);
        match self {
            Fault::Mute => Vec::new(),
            Fault::Pause(_) => answer,
            Fault::OneByte => vec![0x90],
            Fault::Empty => ok(&[]),
            Fault::Short => [&data[..data.len() / 2], status].concat(),
            Fault::Long => {
                let mut long = vec![0; LONGEST - 2];
                noise.fill_bytes(&mut long);
                long[..data.len()].copy_from_slice(data);
                [&long, status].concat()
            }
            Fault::Garbage => {
                let mut garbage = vec![0; 40];
                noise.fill_bytes(&mut garbage);
                garbage
            }
            Fault::EndlessMore => with_status(&[0; 255], Sw(0x61FF)),
            Fault::EndlessLength => with_status(&[], Sw(0x6C07)),
            Fault::HugeLength => ok(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
            Fault::Flipped => {
                let mut flipped = data.to_vec();
                if let Some(last) = flipped.last_mut() {
                    *last ^= 1;
                }
                [&flipped, status].concat()
            }
            Fault::Status(sw) => with_status(&[], *sw),
            Fault::Answer(answer) => answer.clone(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Mute => f.write_str("no answer"),
            Fault::Pause(pause) => write!(f, "silence for {} s", pause.as_secs()),
            Fault::OneByte => f.write_str("one byte"),
            Fault::Empty => f.write_str("9000 without data"),
            Fault::Short => f.write_str("half of the data"),
            Fault::Long => f.write_str("64 KiB of data"),
            Fault::Garbage => f.write_str("noise"),
            Fault::EndlessMore => f.write_str("61FF without end"),
            Fault::EndlessLength => f.write_str("6C07 without end"),
            Fault::HugeLength => f.write_str("a SEQUENCE of 4 GiB"),
            Fault::Flipped => f.write_str("one bit wrong"),
            Fault::Status(sw) => write!(f, "{sw}"),
            Fault::Answer(answer) => write!(f, "{} bytes of somebody else's", answer.len()),
        }
    }
}

fn with_status(data: &[u8], sw: Sw) -> Vec<u8> {
    [data, &sw.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::foreign::{ForeignCard, ForeignKind};

    #[test]
    fn only_what_is_aimed_at_is_spoilt_and_only_while_it_lasts() {
        let faults = Faults::default();
        let mut card = FaultyCard::new(ForeignCard::new(ForeignKind::SaysYes), &faults);
        card.power_on();
        let (select, query) = ([0, SELECT, 4, 0x0C, 1, 1], [0, VERIFY, 0, 0x98]);
        faults.begin(Aim::Query, Fault::Status(Sw(0x6F00)));
        assert_eq!(card.transmit(&select), [0x90, 0x00]);
        assert_eq!(card.transmit(&query), [0x6F, 0x00]);
        faults.end();
        assert_eq!(card.transmit(&query), [0x63, 0xC3]);
    }

    #[test]
    fn what_has_no_end_goes_on_with_get_response() {
        let faults = Faults::default();
        let mut card = FaultyCard::new(ForeignCard::new(ForeignKind::SaysYes), &faults);
        faults.begin(Aim::Certificate, Fault::EndlessMore);
        for command in [[0, READ_BINARY, 0x8A, 0, 0], [0, GET_RESPONSE, 0, 0, 0xFF]] {
            assert!(card.transmit(&command).ends_with(&[0x61, 0xFF]));
        }
    }

    #[test]
    fn every_answer_fits_a_frame_of_a_virtual_reader() {
        let mut noise = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(Fault::Long.spoil(vec![1, 2, 0x90, 0], &mut noise).len(), LONGEST);
        assert!(Fault::Long.spoil(vec![1, 2, 0x90, 0], &mut noise).starts_with(&[1, 2]));
    }
}
