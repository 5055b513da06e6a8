//! Cards that are none of ours, each as a program meets it that looks for ours: no applet behind the AID, and for some a
//! trap beside it.

use super::Device;
use super::switches::Atr;
use crate::apdu::{Command, GET_DATA, READ_BINARY, SELECT, Sw, VERIFY};
use std::fmt;

/// What kind of card it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKind {
    /// A Japanese driving licence: files and two PINs of its own, the ATR like a My Number Card's.
    DrivingLicence,
    /// A bank card (EMV).
    Bank,
    /// FeliCa storage: the reader answers for it.
    Felica,
    /// MIFARE storage: the reader answers for it.
    Mifare,
    /// Says 9000 to every SELECT, and to most of the rest.
    SaysYes,
    /// No applet of ours, and an application current from the start whose PINs answer to the short ids 16, 18 and 1B: a
    /// VERIFY meant for us would spend its tries.
    PinTrap,
    /// Does not answer to power-up.
    Mute,
}

impl ForeignKind {
    /// Every kind.
    pub const ALL: [ForeignKind; 7] = [
        ForeignKind::DrivingLicence,
        ForeignKind::Bank,
        ForeignKind::Felica,
        ForeignKind::Mifare,
        ForeignKind::SaysYes,
        ForeignKind::PinTrap,
        ForeignKind::Mute,
    ];

    /// The name used on command lines.
    pub fn name(self) -> &'static str {
        match self {
            ForeignKind::DrivingLicence => "driving-licence",
            ForeignKind::Bank => "bank",
            ForeignKind::Felica => "felica",
            ForeignKind::Mifare => "mifare",
            ForeignKind::SaysYes => "says-yes",
            ForeignKind::PinTrap => "pin-trap",
            ForeignKind::Mute => "mute",
        }
    }

    fn atr(self) -> &'static [u8] {
        match self {
            ForeignKind::DrivingLicence => Atr::DrivingLicence.bytes(),
            ForeignKind::Bank => &[
                0x3B, 0x6E, 0x00, 0x00, 0x80, 0x31, 0x80, 0x66, 0xB0, 0x84, 0x0C, 0x01, 0x6E, 0x01, 0x83, 0x00, 0x90,
                0x00,
            ],
            ForeignKind::Felica => &[
                0x3B, 0x8F, 0x80, 0x01, 0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06, 0x11, 0x00, 0x3B, 0x00, 0x00,
                0x00, 0x00, 0x42,
            ],
            ForeignKind::Mifare => &[
                0x3B, 0x8F, 0x80, 0x01, 0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06, 0x03, 0x00, 0x01, 0x00, 0x00,
                0x00, 0x00, 0x6A,
            ],
            ForeignKind::SaysYes | ForeignKind::PinTrap => Atr::Contact.bytes(),
            ForeignKind::Mute => &[],
        }
    }

    /// AIDs that answer.
    fn aids(self) -> &'static [&'static [u8]] {
        match self {
            ForeignKind::DrivingLicence => &[
                &[0xA0, 0x00, 0x00, 0x02, 0x31, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                &[0xA0, 0x00, 0x00, 0x02, 0x31, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ],
            ForeignKind::Bank => &[b"1PAY.SYS.DDF01", b"2PAY.SYS.DDF01"],
            _ => &[],
        }
    }

    /// PINs that answer to VERIFY, by P2.
    fn pins(self) -> &'static [u8] {
        match self {
            ForeignKind::DrivingLicence => &[0x81, 0x82],
            ForeignKind::Bank => &[0x80],
            ForeignKind::SaysYes => &[0x80, 0x96, 0x98, 0x9B],
            ForeignKind::PinTrap => &[0x80, 0x96, 0x98, 0x9B],
            ForeignKind::Felica | ForeignKind::Mifare | ForeignKind::Mute => &[],
        }
    }
}

impl fmt::Display for ForeignKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A foreign card. Its PINs know no right value; each VERIFY with data costs a try of three. What it was asked, the reader
/// it lies in has on record.
#[derive(Debug)]
pub struct ForeignCard {
    kind: ForeignKind,
    powered: bool,
    tries: u8,
}

impl ForeignCard {
    /// A card of that kind.
    pub fn new(kind: ForeignKind) -> ForeignCard {
        ForeignCard { kind, powered: false, tries: 3 }
    }

    fn answer(&mut self, command: &Command) -> (Vec<u8>, Sw) {
        let storage = matches!(self.kind, ForeignKind::Felica | ForeignKind::Mifare);
        match (command.cla, command.ins) {
            // PC/SC part 3: the reader itself tells the number of a storage card.
            (0xFF, GET_DATA) if storage => (vec![0x01, 0x02, 0x03, 0x04], Sw::OK),
            _ if storage => (Vec::new(), Sw::UNKNOWN_CLA),
            (_, VERIFY) => (Vec::new(), self.verify(command)),
            _ if self.kind == ForeignKind::SaysYes => match command.ins {
                READ_BINARY => (vec![0; command.le.unwrap_or(0).min(256) as usize], Sw::OK),
                _ => (Vec::new(), Sw::OK),
            },
            (0x00, SELECT) => (Vec::new(), self.select(command)),
            (0x00, READ_BINARY) => (Vec::new(), Sw::NO_CURRENT_EF),
            (0x00, _) => (Vec::new(), Sw::UNKNOWN_INS),
            _ => (Vec::new(), Sw::UNKNOWN_CLA),
        }
    }

    fn select(&self, command: &Command) -> Sw {
        let known = self.kind.aids().iter().any(|aid| *aid == command.data.as_slice());
        if command.p1 == 0x04 && known { Sw::OK } else { Sw::NOT_FOUND }
    }

    fn verify(&mut self, command: &Command) -> Sw {
        if !self.kind.pins().contains(&command.p2) {
            return Sw::KEY_NOT_FOUND;
        }
        if !command.data.is_empty() {
            match self.tries.checked_sub(1) {
                Some(left) => self.tries = left,
                None => return Sw::KEY_LOCKED,
            }
        }
        Sw(0x63C0 | u16::from(self.tries))
    }
}

impl Device for ForeignCard {
    fn atr(&self) -> Vec<u8> {
        if self.powered { self.kind.atr().to_vec() } else { Vec::new() }
    }

    fn power_on(&mut self) {
        self.powered = true;
    }

    fn power_off(&mut self) {
        self.powered = false;
    }

    fn reset(&mut self) {}

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        if !self.powered || self.kind == ForeignKind::Mute {
            return Vec::new();
        }
        let (mut data, sw) = match Command::decode(command) {
            Ok(command) => self.answer(&command),
            Err(_) => (Vec::new(), Sw::WRONG_LENGTH),
        };
        data.extend_from_slice(&sw.0.to_be_bytes());
        data
    }
}
