//! The commands of the JPKI application, one function an APDU (`card.md` §1.4, §3).

use super::profile::ISD_AID;
use crate::apdu::{self, Command};

/// P2 that names the current EF.
const CURRENT: u8 = 0x80;

/// Where a command finds its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// By short EF id, in the command itself.
    ShortId(u8),
    /// The EF selected before.
    CurrentEf,
    /// The application's key in use, which a Juki card names by 00 (`card.md` §3.6).
    DefaultKey,
}

impl Target {
    fn p2(self) -> u8 {
        match self {
            Target::ShortId(ef) => 0x80 | ef,
            Target::CurrentEf => CURRENT,
            Target::DefaultKey => 0x00,
        }
    }
}

/// The signature schemes in use; the card knows more (`card.md` §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 padding around the data as it is; the DigestInfo is ours.
    Pkcs1,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes, over a hash of 32 bytes.
    Pss,
    /// ECDSA over a hash, answered as r and s. That the command stays the same is a guess of the practice kind's.
    Ecdsa,
}

impl Scheme {
    fn p1(self) -> u8 {
        match self {
            Scheme::Pkcs1 | Scheme::Ecdsa => 0x00,
            Scheme::Pss => 0x04,
        }
    }
}

/// SELECT the application `aid` by its whole name, without an answer.
pub fn select_application(aid: &[u8]) -> Command {
    Command::new(0x00, apdu::SELECT, 0x04, 0x0C).data(aid)
}

/// SELECT the issuer security domain, which ends the logins of the application left.
pub fn select_isd() -> Command {
    select_application(&ISD_AID)
}

/// SELECT an EF of the current application: P1 = 02 is the only form that works.
pub fn select_ef(ef: u8) -> Command {
    Command::new(0x00, apdu::SELECT, 0x02, 0x0C).data(&[0x00, ef])
}

/// READ BINARY from the beginning of the EF with this short id, which becomes current.
pub fn read_short_id(ef: u8, le: u32) -> Command {
    Command::new(0x00, apdu::READ_BINARY, 0x80 | ef, 0x00).le(le)
}

/// READ BINARY from the current EF; offsets have 15 bits.
pub fn read(offset: u16, le: u32) -> Command {
    let [high, low] = offset.to_be_bytes();
    Command::new(0x00, apdu::READ_BINARY, high & 0x7F, low).le(le)
}

/// The empty VERIFY: how many tries are left, spending none. It must go out as four bytes (`card.md` §3.3).
pub fn query_tries(target: Target) -> Command {
    Command::new(0x00, apdu::VERIFY, 0x00, target.p2())
}

/// VERIFY. `pin` is never empty: an empty one would be the query.
pub fn verify(target: Target, pin: &[u8]) -> Command {
    debug_assert!(!pin.is_empty());
    Command::new(0x00, apdu::VERIFY, 0x00, target.p2()).data(pin)
}

/// CHANGE REFERENCE DATA with the new value only; the old one was verified just before (`card.md` §3.4).
pub fn change(target: Target, pin: &[u8]) -> Command {
    debug_assert!(!pin.is_empty());
    Command::new(0x00, apdu::CHANGE_REFERENCE_DATA, 0x01, target.p2()).data(pin)
}

/// COMPUTE DIGITAL SIGNATURE. Le is 00: some cards dislike an exact length (`card.md` §3.6).
pub fn compute_signature(target: Target, scheme: Scheme, data: &[u8]) -> Command {
    Command::new(0x80, apdu::COMPUTE_DIGITAL_SIGNATURE, scheme.p1(), target.p2()).data(data).le(256)
}

/// GET RESPONSE for `le` more bytes.
pub fn response(le: u32) -> Command {
    Command::new(0x00, apdu::GET_RESPONSE, 0x00, 0x00).le(le)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apdu::Hex;
    use crate::card::profile::JPKI;

    fn hex(command: &Command) -> String {
        Hex(&command.encode()).to_string()
    }

    #[test]
    fn commands_are_written_as_the_published_test_vectors() {
        assert_eq!(hex(&select_application(&JPKI.aid)), "00A4040C0AD392F000260100000001");
        assert_eq!(hex(&select_isd()), "00A4040C07A0000001510000");
        assert_eq!(hex(&select_ef(0x1B)), "00A4020C02001B");
        assert_eq!(hex(&query_tries(Target::ShortId(0x18))), "00200098");
        assert_eq!(hex(&verify(Target::CurrentEf, b"1234")), "002000800431323334");
        assert_eq!(hex(&verify(Target::ShortId(0x18), b"1234")), "002000980431323334");
        assert_eq!(hex(&read_short_id(0x0A, 256)), "00B08A0000");
        assert_eq!(hex(&read(0x0100, 0x21)), "00B0010021");
        assert_eq!(hex(&change(Target::CurrentEf, b"5678")), "002401800435363738");
        assert_eq!(hex(&compute_signature(Target::ShortId(0x17), Scheme::Pkcs1, &[1, 2])), "802A009702010200");
        assert_eq!(hex(&compute_signature(Target::DefaultKey, Scheme::Pkcs1, &[1])), "802A0000010100");
        assert_eq!(hex(&compute_signature(Target::ShortId(0x1A), Scheme::Pss, &[1])), "802A049A010100");
        assert_eq!(hex(&compute_signature(Target::ShortId(0x15), Scheme::Ecdsa, &[1])), "802A0095010100");
    }
}
