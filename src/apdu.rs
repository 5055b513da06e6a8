//! Command and response APDUs of ISO/IEC 7816-4: short and extended forms, status words, and a display that never shows
//! a secret. The card layer builds commands and the practice card takes them apart with the same types.

use std::fmt;
use zeroize::Zeroizing;

/// SELECT (ISO/IEC 7816-4).
pub const SELECT: u8 = 0xA4;
/// READ BINARY.
pub const READ_BINARY: u8 = 0xB0;
/// VERIFY.
pub const VERIFY: u8 = 0x20;
/// CHANGE REFERENCE DATA.
pub const CHANGE_REFERENCE_DATA: u8 = 0x24;
/// COMPUTE DIGITAL SIGNATURE (PERFORM SECURITY OPERATION), with CLA 80 on this card.
pub const COMPUTE_DIGITAL_SIGNATURE: u8 = 0x2A;
/// CHANGE KEY of the card's older applications, with CLA 80 (`card.md` §3.4).
pub const CHANGE_KEY: u8 = 0x32;
/// GET CHALLENGE.
pub const GET_CHALLENGE: u8 = 0x84;
/// GET RESPONSE.
pub const GET_RESPONSE: u8 = 0xC0;
/// GET DATA.
pub const GET_DATA: u8 = 0xCA;

/// A command APDU.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// Class byte.
    pub cla: u8,
    /// Instruction byte.
    pub ins: u8,
    /// First parameter byte.
    pub p1: u8,
    /// Second parameter byte.
    pub p2: u8,
    /// Command data; empty where there is no Lc. Wiped on drop, since it may hold a secret.
    pub data: Zeroizing<Vec<u8>>,
    /// The answer's length asked for, 1 to 256 (short) or 65 536 (extended); `None` where there is no Le.
    pub le: Option<u32>,
    /// Whether lengths are written in the extended form.
    pub extended: bool,
}

/// Why bytes are not a command APDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a command APDU")]
pub struct NotACommand;

impl Command {
    /// A command without data that expects none: the four header bytes (case 1).
    pub fn new(cla: u8, ins: u8, p1: u8, p2: u8) -> Command {
        Command { cla, ins, p1, p2, data: Zeroizing::default(), le: None, extended: false }
    }

    /// The same command with `data`.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Command {
        self.data = Zeroizing::new(data.to_vec());
        self
    }

    /// The same command, expecting up to `le` bytes of answer; 256 is the short form's Le 00.
    #[must_use]
    pub fn le(mut self, le: u32) -> Command {
        self.le = Some(le);
        self
    }

    /// The same command in the extended form.
    #[must_use]
    pub fn extended(mut self) -> Command {
        self.extended = true;
        self
    }

    /// Whether the data is a secret, which no log may show: VERIFY and both ways to change a key.
    pub fn is_secret(&self) -> bool {
        matches!(self.ins, VERIFY | CHANGE_REFERENCE_DATA | CHANGE_KEY) && !self.data.is_empty()
    }

    /// The bytes to send; wiped on drop. Data over 255 bytes, or an `le` over 256, takes the extended form.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let extended = self.extended || self.data.len() > 255 || self.le.is_some_and(|le| le > 256);
        // One allocation, so that no secret stays behind in a buffer that grew.
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + 3 + self.data.len() + 3));
        bytes.extend_from_slice(&[self.cla, self.ins, self.p1, self.p2]);
        if extended && (!self.data.is_empty() || self.le.is_some()) {
            bytes.push(0);
        }
        if !self.data.is_empty() {
            if extended {
                bytes.extend_from_slice(&(self.data.len() as u16).to_be_bytes());
            } else {
                bytes.push(self.data.len() as u8);
            }
            bytes.extend_from_slice(&self.data);
        }
        match self.le {
            Some(le) if extended => bytes.extend_from_slice(&(le as u16).to_be_bytes()),
            Some(le) => bytes.push(le as u8),
            None => {}
        }
        bytes
    }

    /// Takes a command apart, in each of the seven cases of ISO/IEC 7816-3 §12.1.3.
    ///
    /// # Errors
    /// [`NotACommand`] where the lengths do not add up. An Lc of zero is no command: a card must never take an empty
    /// secret for a query or the other way round.
    pub fn decode(bytes: &[u8]) -> Result<Command, NotACommand> {
        let [cla, ins, p1, p2, body @ ..] = bytes else { return Err(NotACommand) };
        let header = Command::new(*cla, *ins, *p1, *p2);
        let short_le = |le: u8| if le == 0 { 256 } else { u32::from(le) };
        let long_le = |hi: u8, lo: u8| match u32::from(u16::from_be_bytes([hi, lo])) {
            0 => 65_536,
            le => le,
        };
        match body {
            [] => Ok(header),
            [le] => Ok(header.le(short_le(*le))),
            [0, hi, lo] => Ok(header.le(long_le(*hi, *lo)).extended()),
            [0, hi, lo, rest @ ..] => {
                let lc = usize::from(u16::from_be_bytes([*hi, *lo]));
                let (data, le) = rest.split_at_checked(lc).filter(|_| lc > 0).ok_or(NotACommand)?;
                let command = header.data(data).extended();
                match le {
                    [] => Ok(command),
                    [hi, lo] => Ok(command.le(long_le(*hi, *lo))),
                    _ => Err(NotACommand),
                }
            }
            [lc, rest @ ..] => {
                let (data, le) = rest.split_at_checked(usize::from(*lc)).filter(|_| *lc > 0).ok_or(NotACommand)?;
                let command = header.data(data);
                match le {
                    [] => Ok(command),
                    [le] => Ok(command.le(short_le(*le))),
                    _ => Err(NotACommand),
                }
            }
        }
    }
}

impl fmt::Debug for Command {
    /// The header, what is selected, and otherwise lengths only: data may be a secret, or what a person signs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X} {:02X} {:02X} {:02X}", self.cla, self.ins, self.p1, self.p2)?;
        if self.is_secret() {
            // Not even the length: a signature password's is worth something.
            f.write_str(" [secret]")?;
        } else if self.ins == SELECT {
            write!(f, " {}", Hex(&self.data))?;
        } else if !self.data.is_empty() {
            // What is signed may be the person's own words.
            write!(f, " [{}]", self.data.len())?;
        }
        match self.le {
            Some(le) => write!(f, " Le={le}"),
            None => Ok(()),
        }
    }
}

/// A response APDU.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Answer data, without the status word.
    pub data: Vec<u8>,
    /// The status word.
    pub sw: Sw,
}

/// An answer of fewer than two bytes has no status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("answer of {0} bytes has no status word")]
pub struct TooShort(pub usize);

impl Response {
    /// Splits an answer into data and status word.
    ///
    /// # Errors
    /// [`TooShort`] below two bytes.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Response, TooShort> {
        let length = bytes.len();
        match (bytes.pop(), bytes.pop()) {
            (Some(low), Some(high)) => Ok(Response { data: bytes, sw: Sw(u16::from_be_bytes([high, low])) }),
            _ => Err(TooShort(length)),
        }
    }
}

impl fmt::Debug for Response {
    /// The status word and the length: what a card answers may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} [{}]", self.sw, self.data.len())
    }
}

/// A status word, SW1 SW2 (`card.md` §3.8). Unknown ones keep their value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sw(pub u16);

impl Sw {
    /// Done.
    pub const OK: Sw = Sw(0x9000);
    /// Verification failed and the key has no limit of tries.
    pub const NO_MATCH: Sw = Sw(0x6300);
    /// Wrong Lc or Le.
    pub const WRONG_LENGTH: Sw = Sw(0x6700);
    /// Logical channel not offered.
    pub const NO_CHANNEL: Sw = Sw(0x6881);
    /// Secure messaging not offered.
    pub const NO_SECURE_MESSAGING: Sw = Sw(0x6882);
    /// The file's structure does not fit the command.
    pub const WRONG_STRUCTURE: Sw = Sw(0x6981);
    /// The secret that guards this was not presented.
    pub const NOT_VERIFIED: Sw = Sw(0x6982);
    /// Secret blocked, in ISO/IEC 7816-4; not observed on this card (`card.md` §3.3).
    pub const BLOCKED: Sw = Sw(0x6983);
    /// Secret blocked, as this card says it.
    pub const KEY_LOCKED: Sw = Sw(0x6984);
    /// Conditions of use not met.
    pub const CONDITIONS: Sw = Sw(0x6985);
    /// No EF is current.
    pub const NO_CURRENT_EF: Sw = Sw(0x6986);
    /// File or application absent.
    pub const NOT_FOUND: Sw = Sw(0x6A82);
    /// P1 or P2 wrong.
    pub const WRONG_P1P2: Sw = Sw(0x6A86);
    /// Key or object absent.
    pub const KEY_NOT_FOUND: Sw = Sw(0x6A88);
    /// Offset outside the file.
    pub const WRONG_OFFSET: Sw = Sw(0x6B00);
    /// Unknown instruction.
    pub const UNKNOWN_INS: Sw = Sw(0x6D00);
    /// Unknown class.
    pub const UNKNOWN_CLA: Sw = Sw(0x6E00);
    /// No diagnosis; what the first command after power-up gets (`card.md` §1.1).
    pub const NO_DIAGNOSIS: Sw = Sw(0x6F00);

    /// Whether this is 9000.
    pub fn is_ok(self) -> bool {
        self == Sw::OK
    }

    /// Tries left, where this is 63Cx.
    pub fn tries_left(self) -> Option<u8> {
        (self.0 & 0xFFF0 == 0x63C0).then_some((self.0 & 0xF) as u8)
    }

    /// Whether a VERIFY met a secret without tries left: 63C0, 6984, 6983.
    pub fn is_locked(self) -> bool {
        self.tries_left() == Some(0) || self == Sw::KEY_LOCKED || self == Sw::BLOCKED
    }
}

impl fmt::Debug for Sw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Display for Sw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Bytes shown as capital hex digits without spaces.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(bytes: &[u8]) {
        assert_eq!(Command::decode(bytes).unwrap().encode().as_slice(), bytes, "{bytes:02X?}");
    }

    #[test]
    fn the_test_vectors_of_the_card_are_written_as_published() {
        let aid = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
        assert_eq!(
            Hex(&Command::new(0x00, SELECT, 0x04, 0x0C).data(&aid).encode()).to_string(),
            "00A4040C0AD392F000260100000001"
        );
        assert_eq!(Hex(&Command::new(0, VERIFY, 0, 0x98).data(b"1234").encode()).to_string(), "002000980431323334");
        assert_eq!(Hex(&Command::new(0, READ_BINARY, 0x8A, 0).le(256).encode()).to_string(), "00B08A0000");
        assert_eq!(
            Hex(&Command::new(0x80, COMPUTE_DIGITAL_SIGNATURE, 0, 0x97).data(&[1, 2]).le(256).encode()).to_string(),
            "802A009702010200"
        );
    }

    #[test]
    fn every_case_of_the_standard_survives_a_round_trip() {
        round_trip(&[0, 0x20, 0, 0x80]);
        round_trip(&[0, 0xB0, 0, 0, 0x00]);
        round_trip(&[0, 0xB0, 0, 0, 0x10]);
        round_trip(&[0, 0x20, 0, 0x80, 2, 1, 2]);
        round_trip(&[0x80, 0x2A, 0, 0x80, 2, 1, 2, 0]);
        round_trip(&[0, 0xB0, 0, 0, 0, 0, 0]);
        round_trip(&[0, 0xB0, 0, 0, 0, 0x04, 0x00]);
        round_trip(&[0x80, 0xA2, 0, 0, 0, 0, 2, 1, 2]);
        round_trip(&[0x80, 0xA2, 0, 0, 0, 0, 2, 1, 2, 0, 0]);
    }

    #[test]
    fn lengths_that_do_not_add_up_are_no_command() {
        for bytes in [
            &[][..],
            &[0, 0x20, 0],
            &[0, 0x20, 0, 0x80, 0, 0],
            &[0, 0x20, 0, 0x80, 3, 1, 2],
            &[0, 0x20, 0, 0x80, 1, 1, 0, 0],
            &[0, 0x20, 0, 0x80, 0, 0, 3, 1, 2],
            &[0, 0x20, 0, 0x80, 0, 0, 1, 1, 9],
            &[0, 0x20, 0, 0x80, 0, 0, 0, 1],
        ] {
            assert_eq!(Command::decode(bytes), Err(NotACommand), "{bytes:02X?}");
        }
    }

    #[test]
    fn no_display_shows_a_secret_or_its_length() {
        for command in [
            Command::new(0, VERIFY, 0, 0x98).data(b"1234"),
            Command::new(0, CHANGE_REFERENCE_DATA, 1, 0x98).data(b"1234"),
            Command::new(0x80, CHANGE_KEY, 0, 0x80).data(b"1234"),
        ] {
            let shown = format!("{command:?}");
            assert!(!shown.contains("31323334") && !shown.contains('4'.to_string().repeat(2).as_str()), "{shown}");
            assert!(shown.ends_with("[secret]"), "{shown}");
        }
    }

    #[test]
    fn no_display_shows_what_is_signed() {
        let command = Command::new(0x80, COMPUTE_DIGITAL_SIGNATURE, 0, 0x97).data(b"a private letter").le(256);
        assert_eq!(format!("{command:?}"), "80 2A 00 97 [16] Le=256");
        assert_eq!(format!("{:?}", Command::new(0, SELECT, 2, 0x0C).data(&[0, 0x1B])), "00 A4 02 0C 001B");
    }

    #[test]
    fn status_words_tell_tries_and_locks() {
        assert_eq!(Sw(0x63C2).tries_left(), Some(2));
        assert_eq!(Sw(0x6300).tries_left(), None);
        assert_eq!(Sw(0x6984).tries_left(), None);
        assert!(Sw(0x63C0).is_locked() && Sw(0x6984).is_locked() && Sw(0x6983).is_locked());
        assert!(!Sw(0x63C1).is_locked() && !Sw(0x9000).is_locked());
    }

    #[test]
    fn an_answer_without_a_status_word_is_refused() {
        assert_eq!(Response::parse(vec![]), Err(TooShort(0)));
        assert_eq!(Response::parse(vec![0x90]), Err(TooShort(1)));
        assert_eq!(Response::parse(vec![1, 0x90, 0]), Ok(Response { data: vec![1], sw: Sw::OK }));
    }
}
