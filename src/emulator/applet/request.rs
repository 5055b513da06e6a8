//! Commands taken apart: from bytes to the closed list of what this applet can be asked, or the status word that says
//! why not. Nothing here depends on the card's state.

use crate::apdu::{
    CHANGE_REFERENCE_DATA, COMPUTE_DIGITAL_SIGNATURE, Command, GET_CHALLENGE, GET_DATA, READ_BINARY, SELECT, Sw, VERIFY,
};

/// What the card is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// SELECT by AID, perhaps the beginning of one; `fci` is the Le of P2 = 00.
    SelectApplication { aid: &'a [u8], fci: Option<usize> },
    /// SELECT by EF id.
    SelectFile(u16),
    /// SELECT by file id with P1 = 00: nothing answers to any, not even 3F00.
    SelectById,
    /// `00 A4 00 00`.
    SelectNothing,
    /// READ BINARY; without an Le where that or the data is wrong.
    Read { target: Target, offset: usize, le: Option<usize> },
    /// VERIFY; without a secret it asks for the tries left.
    Verify { target: Target, secret: Option<&'a [u8]> },
    /// CHANGE REFERENCE DATA; without a new secret where its length is wrong.
    Change { target: Target, new: Option<&'a [u8]> },
    /// COMPUTE DIGITAL SIGNATURE. Without a key: the application's default one. The input may be empty.
    Sign { scheme: u8, key: Option<Target>, input: &'a [u8], le: Option<usize> },
    /// GET CHALLENGE.
    Challenge { le: usize },
    /// GET DATA.
    Data { tag: u16, le: usize },
    /// INTERNAL AUTHENTICATE.
    InternalAuthenticate { key: Target, challenge: &'a [u8], le: usize },
    /// SET SESSION KEY.
    SetSessionKey,
    /// `80 FC 00 00`, the iPhone profile's last command.
    LastCommand,
    /// A command under secure messaging.
    SecureMessaging { ins: u8 },
}

/// The EF a command acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The current one.
    Current,
    /// The one of this short id, which is its id too (`card.md` §2.1).
    Short(u8),
}

const INTERNAL_AUTHENTICATE: u8 = 0x88;
const SET_SESSION_KEY: u8 = 0xAE;
const LAST_COMMAND: u8 = 0xFC;

/// Takes `command` apart.
pub fn parse(command: &Command) -> Result<Request<'_>, Sw> {
    match (command.cla, command.ins) {
        (0x04 | 0x08 | 0x0C, ins) => Ok(Request::SecureMessaging { ins }),
        // Channels 1 to 3, then 4 to 19: JICSAP asks for two, the card has one.
        (0x01..=0x0F | 0x40..=0x7F, _) => Err(Sw::NO_CHANNEL),
        (0x00, SELECT) => select(command),
        (0x00, READ_BINARY) => read(command),
        (0x00, VERIFY) => verify(command),
        (0x00, CHANGE_REFERENCE_DATA) => change(command),
        (0x00, GET_CHALLENGE) => challenge(command),
        (0x00, GET_DATA) => data_object(command),
        (0x00, INTERNAL_AUTHENTICATE) => internal_authenticate(command),
        (0x80, COMPUTE_DIGITAL_SIGNATURE) => sign(command),
        (0x80, SET_SESSION_KEY) => Ok(Request::SetSessionKey),
        (0x80, LAST_COMMAND) => Ok(Request::LastCommand),
        (0x00 | 0x80, _) => Err(Sw::UNKNOWN_INS),
        _ => Err(Sw::UNKNOWN_CLA),
    }
}

fn select(command: &Command) -> Result<Request<'_>, Sw> {
    let data: &[u8] = &command.data;
    match (command.p1, command.p2, data.len()) {
        (0x04, 0x00 | 0x0C, 1..=16) => {
            let fci = command.le.filter(|_| command.p2 == 0).map(|le| le as usize);
            Ok(Request::SelectApplication { aid: data, fci })
        }
        (0x04, 0x00 | 0x0C, _) => Err(Sw::WRONG_LENGTH),
        (0x02, 0x0C, _) => match <[u8; 2]>::try_from(data) {
            Ok(id) => Ok(Request::SelectFile(u16::from_be_bytes(id))),
            Err(_) => Err(Sw::WRONG_LENGTH),
        },
        (0x00, 0x00, 0) => Ok(Request::SelectNothing),
        (0x00, 0x00 | 0x0C, 2) => Ok(Request::SelectById),
        _ => Err(Sw::WRONG_P1P2),
    }
}

fn read(command: &Command) -> Result<Request<'_>, Sw> {
    let (target, offset) = match command.p1 {
        p1 @ 0x81..=0x9E => (Target::Short(p1 & 0x1F), usize::from(command.p2)),
        0x80.. => return Err(Sw::WRONG_P1P2),
        p1 => (Target::Current, usize::from(u16::from_be_bytes([p1, command.p2]))),
    };
    Ok(Request::Read { target, offset, le: command.le.filter(|_| command.data.is_empty()).map(|le| le as usize) })
}

fn verify(command: &Command) -> Result<Request<'_>, Sw> {
    if command.p1 != 0 {
        return Err(Sw::WRONG_P1P2);
    }
    let target = target(command.p2)?;
    match (command.data.len(), command.le) {
        (0, None) => Ok(Request::Verify { target, secret: None }),
        (1..=16, None) => Ok(Request::Verify { target, secret: Some(&command.data) }),
        _ => Err(Sw::WRONG_LENGTH),
    }
}

fn change(command: &Command) -> Result<Request<'_>, Sw> {
    if command.p1 != 1 {
        return Err(Sw::WRONG_P1P2);
    }
    let target = target(command.p2)?;
    let well_formed = matches!((command.data.len(), command.le), (1..=16, None));
    Ok(Request::Change { target, new: well_formed.then_some(&command.data) })
}

fn sign(command: &Command) -> Result<Request<'_>, Sw> {
    let key = if command.p2 == 0 { None } else { Some(target(command.p2)?) };
    Ok(Request::Sign { scheme: command.p1, key, input: &command.data, le: command.le.map(|le| le as usize) })
}

fn challenge(command: &Command) -> Result<Request<'_>, Sw> {
    match (command.p1, command.p2, command.le) {
        (0, 0, _) if command.extended => Err(Sw::CONDITIONS),
        (0, 0, Some(le)) if command.data.is_empty() => Ok(Request::Challenge { le: le as usize }),
        (0, 0, _) => Err(Sw::WRONG_LENGTH),
        _ => Err(Sw::WRONG_P1P2),
    }
}

fn data_object(command: &Command) -> Result<Request<'_>, Sw> {
    match command.le {
        Some(le) if command.data.is_empty() => {
            Ok(Request::Data { tag: u16::from_be_bytes([command.p1, command.p2]), le: le as usize })
        }
        _ => Err(Sw::WRONG_LENGTH),
    }
}

fn internal_authenticate(command: &Command) -> Result<Request<'_>, Sw> {
    if command.p1 != 0 {
        return Err(Sw::WRONG_P1P2);
    }
    let key = target(command.p2)?;
    match (command.data.len(), command.le) {
        (1..=255, Some(le)) => Ok(Request::InternalAuthenticate { key, challenge: &command.data, le: le as usize }),
        _ => Err(Sw::WRONG_LENGTH),
    }
}

fn target(p2: u8) -> Result<Target, Sw> {
    match p2 {
        0x80 => Ok(Target::Current),
        0x81..=0x9E => Ok(Target::Short(p2 & 0x1F)),
        _ => Err(Sw::WRONG_P1P2),
    }
}
