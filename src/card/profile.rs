//! The generations of the card as tables: what each kind is called, which files hold what, and the form of its secrets
//! (`card.md` §2, §4, §10). A new generation is a new row here.

use crate::key::Key;
use crate::secret::{self, Form};

/// The application identifier of the JPKI application (`card.md` §1.3).
pub const JPKI_AID: [u8; 10] = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
/// The GlobalPlatform issuer security domain, the power-on state; selecting it ends every login (`card.md` §3.7).
pub const ISD_AID: [u8; 7] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00];
/// The common card application: another one to select where the issuer security domain is refused.
pub const COMMON_AID: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x01, 0x00];
/// The EF that holds the token information, on every kind.
pub const TOKEN_INFO_EF: u8 = 0x06;
/// The EF that says which certificates exist.
pub const DIRECTORY_EF: u8 = 0x08;
/// What every label of a JPKI application begins with.
pub const LABEL_PREFIX: &str = "JPKIAP";

/// The four certificates of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum File {
    /// The holder's certificate for this key.
    Holder(Key),
    /// The certificate of the authority that issued it.
    Authority(Key),
}

impl File {
    /// The key it belongs to.
    pub fn key(self) -> Key {
        match self {
            File::Holder(key) | File::Authority(key) => key,
        }
    }
}

/// The kinds of card that carry the application (`card.md` §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// マイナンバーカード.
    MyNumber,
    /// 住民基本台帳カード, the predecessor.
    Juki,
    /// An Android phone's secure element.
    Android,
    /// An iPhone.
    Iphone,
}

/// Everything that differs between kinds.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// The kind.
    pub kind: Kind,
    /// The label in EF 0006, without its padding.
    pub label: &'static str,
    /// The keys it has.
    pub keys: &'static [KeyProfile],
    /// Size of its RSA moduli in bits.
    pub modulus_bits: u16,
    /// Whether EF 0008 tells which certificates exist.
    pub directory: bool,
    /// How COMPUTE DIGITAL SIGNATURE names the key.
    pub addressing: Addressing,
    /// Whether the card may know RSASSA-PSS; it is learnt for good from the first attempt.
    pub pss: bool,
}

/// How a signature names its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// By short EF id in P2, no SELECT needed.
    ShortId,
    /// SELECT the key's EF, then P2 = 00 (`card.md` §10).
    CurrentKey,
}

/// One key of a profile.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyProfile {
    /// Which one.
    pub key: Key,
    /// EF of the private key.
    pub key_ef: u8,
    /// EF of the secret that guards it.
    pub pin_ef: u8,
    /// EF of the holder's certificate.
    pub holder_ef: u8,
    /// EF of the authority's certificate.
    pub authority_ef: u8,
    /// Whether the holder's certificate can be read only after the secret.
    pub certificate_guarded: bool,
    /// Form of the secret.
    pub form: Form,
    /// Tries of a secret that was never mistyped.
    pub tries: u8,
}

const AUTHENTICATION: KeyProfile = KeyProfile {
    key: Key::Authentication,
    key_ef: 0x17,
    pin_ef: 0x18,
    holder_ef: 0x0A,
    authority_ef: 0x0B,
    certificate_guarded: false,
    form: secret::AUTHENTICATION,
    tries: 3,
};

const SIGNATURE: KeyProfile = KeyProfile {
    key: Key::Signature,
    key_ef: 0x1A,
    pin_ef: 0x1B,
    holder_ef: 0x01,
    authority_ef: 0x02,
    certificate_guarded: true,
    form: secret::SIGNATURE,
    tries: 5,
};

const JUKI_SIGNATURE: KeyProfile = KeyProfile { form: secret::JUKI, ..SIGNATURE };
/// On an Android phone EF 000A answers only after the PIN (`card.md` §6.2).
const GUARDED_AUTHENTICATION: KeyProfile = KeyProfile { certificate_guarded: true, ..AUTHENTICATION };

/// Every kind this program serves.
pub const PROFILES: [Profile; 4] = [
    Profile {
        kind: Kind::MyNumber,
        label: "JPKIAPICCTOKEN2",
        keys: &[AUTHENTICATION, SIGNATURE],
        modulus_bits: 2048,
        directory: true,
        addressing: Addressing::ShortId,
        pss: true,
    },
    Profile {
        kind: Kind::Juki,
        label: "JPKIAPICCTOKEN",
        keys: &[JUKI_SIGNATURE],
        modulus_bits: 1024,
        directory: false,
        addressing: Addressing::CurrentKey,
        pss: false,
    },
    Profile {
        kind: Kind::Android,
        label: "JPKIAPGPSETOKEN",
        keys: &[GUARDED_AUTHENTICATION, SIGNATURE],
        modulus_bits: 2048,
        directory: true,
        addressing: Addressing::ShortId,
        pss: true,
    },
    Profile {
        kind: Kind::Iphone,
        label: "JPKIAPIOSTOKEN",
        keys: &[AUTHENTICATION, SIGNATURE],
        modulus_bits: 2048,
        directory: true,
        addressing: Addressing::ShortId,
        pss: true,
    },
];

impl Profile {
    /// The profile whose label this is; `None` for a generation not known yet.
    pub fn of_label(label: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.label == label)
    }

    /// What this kind says about `key`; `None` where it has no such key.
    pub fn key(&self, key: Key) -> Option<&'static KeyProfile> {
        self.keys.iter().find(|candidate| candidate.key == key)
    }

    /// The EF of `file`; `None` where this kind lacks the key.
    pub fn ef(&self, file: File) -> Option<u8> {
        let key = self.key(file.key())?;
        Some(match file {
            File::Holder(_) => key.holder_ef,
            File::Authority(_) => key.authority_ef,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_begin_alike() {
        for (index, profile) in PROFILES.iter().enumerate() {
            assert!(profile.label.starts_with(LABEL_PREFIX));
            assert_eq!(Profile::of_label(profile.label).unwrap().kind, profile.kind);
            assert!(PROFILES.iter().skip(index + 1).all(|other| other.label != profile.label));
        }
        assert_eq!(Profile::of_label("JPKIAPICCTOKEN3"), None);
    }

    #[test]
    fn every_file_fits_a_short_id_and_no_two_share_one() {
        for profile in &PROFILES {
            let mut files: Vec<u8> = profile
                .keys
                .iter()
                .flat_map(|key| [key.key_ef, key.pin_ef, key.holder_ef, key.authority_ef])
                .chain([TOKEN_INFO_EF, DIRECTORY_EF])
                .collect();
            assert!(files.iter().all(|ef| (1..=0x1E).contains(ef)));
            let count = files.len();
            files.sort_unstable();
            files.dedup();
            assert_eq!(files.len(), count);
        }
    }

    #[test]
    fn a_juki_card_has_no_authentication_key() {
        let juki = Profile::of_label("JPKIAPICCTOKEN").unwrap();
        assert_eq!(juki.key(Key::Authentication), None);
        assert_eq!(juki.ef(File::Holder(Key::Authentication)), None);
    }
}
