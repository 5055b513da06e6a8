//! EF 0006: the card's own token information, a serialised `CK_TOKEN_INFO` (`card.md` §2.2).

use super::profile::Applet;
use sha2::{Digest, Sha256};
use std::fmt;

/// The 160 bytes of EF 0006. Two cards are the same card exactly if all of them are equal.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenInfo([u8; TokenInfo::LEN]);

impl TokenInfo {
    /// Size of the file.
    pub const LEN: usize = 160;

    /// Takes the contents of EF 0006. `None` unless they are 160 bytes with a label of this application.
    pub fn parse(applet: &Applet, bytes: &[u8]) -> Option<TokenInfo> {
        let info = TokenInfo(bytes.try_into().ok()?);
        info.label().starts_with(applet.label_prefix).then_some(info)
    }

    /// The label, such as `JPKIAPICCTOKEN2`.
    pub fn label(&self) -> String {
        self.text(0, 32)
    }

    /// The model, such as `E16R01NJ`.
    pub fn model(&self) -> String {
        self.text(64, 16)
    }

    /// The card's serial number: neither a certificate's nor the individual number.
    pub fn serial(&self) -> String {
        self.text(80, 16)
    }

    /// The hardware version's two ASCII digits as a number; 0 where they are none.
    pub fn hardware_version(&self) -> u8 {
        self.text(140, 2).parse().unwrap_or(0)
    }

    /// The firmware version, likewise.
    pub fn firmware_version(&self) -> u8 {
        self.text(142, 2).parse().unwrap_or(0)
    }

    /// A name for this card in files of ours: the first half of a SHA-256 over the whole file, in hex.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update(b"jpki-pkcs11 card\0").chain_update(self.0).finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// A field as text: printable ASCII, everything else dropped, padding cut off. A card may fill it with anything.
    fn text(&self, offset: usize, len: usize) -> String {
        let printable = self.0.iter().skip(offset).take(len).filter(|byte| (0x20..0x7F).contains(*byte));
        printable.map(|&byte| char::from(byte)).collect::<String>().trim().to_owned()
    }
}

impl fmt::Debug for TokenInfo {
    /// The label only: the serial number tells one holder's card from another's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenInfo({})", self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::profile::{JPKI, PRACTICE_NEXT};

    fn file(label: &str) -> [u8; 160] {
        let mut bytes = [b' '; 160];
        bytes[..label.len()].copy_from_slice(label.as_bytes());
        bytes[64..72].copy_from_slice(b"E16R01NJ");
        bytes[80..96].copy_from_slice(b"0000000020500003");
        bytes[140..144].copy_from_slice(b"0301");
        bytes
    }

    #[test]
    fn fields_are_read_where_the_sampled_card_has_them() {
        let info = TokenInfo::parse(&JPKI, &file("JPKIAPICCTOKEN2")).unwrap();
        assert_eq!((info.label().as_str(), info.model().as_str()), ("JPKIAPICCTOKEN2", "E16R01NJ"));
        assert_eq!(info.serial(), "0000000020500003");
        assert_eq!((info.hardware_version(), info.firmware_version()), (3, 1));
    }

    #[test]
    fn other_labels_and_other_lengths_are_not_ours() {
        assert_eq!(TokenInfo::parse(&JPKI, &file("SOMETHING")), None);
        assert_eq!(TokenInfo::parse(&JPKI, &file("JPKIAPICCTOKEN2")[..159]), None);
        assert_eq!(TokenInfo::parse(&JPKI, &[]), None);
        assert_eq!(TokenInfo::parse(&JPKI, &file("PRACTICENEXTTOKEN")), None);
        assert_eq!(TokenInfo::parse(&PRACTICE_NEXT, &file("JPKIAPICCTOKEN2")), None);
    }

    #[test]
    fn control_characters_in_a_field_are_dropped() {
        let mut bytes = file("JPKIAPICCTOKEN2");
        bytes[80..96].copy_from_slice(b"\x1b[31m\n12\x0034:\xff\xfe56");
        assert_eq!(TokenInfo::parse(&JPKI, &bytes).unwrap().serial(), "[31m1234:56");
    }
}
