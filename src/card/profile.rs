//! The generations of the card as tables: what each kind is called, which files hold what, what its keys are, and the form
//! of its secrets (`card.md` §2, §4, §10). A new generation is a new row here.

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

/// An application that is asked for when a card is recognised.
#[derive(Debug, PartialEq, Eq)]
pub struct Applet {
    /// Its identifier.
    pub aid: [u8; 10],
    /// What every label in its EF 0006 begins with.
    pub label_prefix: &'static str,
}

/// The JPKI application, of all cards there are.
pub const JPKI: Applet = Applet { aid: JPKI_AID, label_prefix: "JPKIAP" };
/// The application of the practice kind `next`: no card that anybody was issued has it. The identifier is a proprietary one
/// that nobody registers (ISO/IEC 7816-4 §8.2.1.2, first digit F), "JPKINEXT", version 1.
pub const PRACTICE_NEXT: Applet =
    Applet { aid: [0xF0, b'J', b'P', b'K', b'I', b'N', b'E', b'X', b'T', 0x01], label_prefix: "PRACTICENEXT" };
/// In the order in which a card is asked. The second only if the card does not have the first.
pub const APPLETS: [&Applet; 2] = [&JPKI, &PRACTICE_NEXT];

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
    /// A practice card that rehearses what the next generation is planned to be (`card.md` §6.3). Its application, its files and
    /// its commands are this project's guesses; only practice cards have it.
    Next,
}

/// What the keys of a kind are, and how they sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA.
    Rsa {
        /// Size of the moduli in bits.
        bits: u16,
        /// Whether the card may know RSASSA-PSS; it is learnt for good from the first attempt.
        pss: bool,
    },
    /// ECDSA on the curve P-384.
    P384,
}

impl Algorithm {
    /// The keys' size in bits.
    pub fn bits(self) -> u16 {
        match self {
            Algorithm::Rsa { bits, .. } => bits,
            Algorithm::P384 => 384,
        }
    }
}

/// Everything that differs between kinds.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// The kind.
    pub kind: Kind,
    /// The application that it carries.
    pub applet: &'static Applet,
    /// The label in EF 0006, without its padding.
    pub label: &'static str,
    /// The keys it has.
    pub keys: &'static [KeyProfile],
    /// What its keys are.
    pub algorithm: Algorithm,
    /// Whether EF 0008 tells which certificates exist.
    pub directory: bool,
    /// How COMPUTE DIGITAL SIGNATURE names the key.
    pub addressing: Addressing,
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

/// The key that the PIN opens; the password, too, opens it at the card.
const NEXT_AUTHENTICATION: KeyProfile =
    KeyProfile { key_ef: 0x15, pin_ef: 0x16, holder_ef: 0x11, authority_ef: 0x12, ..AUTHENTICATION };
const NEXT_SIGNATURE: KeyProfile =
    KeyProfile { key_ef: 0x17, pin_ef: 0x18, holder_ef: 0x13, authority_ef: 0x14, ..SIGNATURE };

/// Every kind this program serves.
pub const PROFILES: [Profile; 5] = [
    Profile {
        kind: Kind::MyNumber,
        applet: &JPKI,
        label: "JPKIAPICCTOKEN2",
        keys: &[AUTHENTICATION, SIGNATURE],
        algorithm: Algorithm::Rsa { bits: 2048, pss: true },
        directory: true,
        addressing: Addressing::ShortId,
    },
    Profile {
        kind: Kind::Juki,
        applet: &JPKI,
        label: "JPKIAPICCTOKEN",
        keys: &[JUKI_SIGNATURE],
        algorithm: Algorithm::Rsa { bits: 1024, pss: false },
        directory: false,
        addressing: Addressing::CurrentKey,
    },
    Profile {
        kind: Kind::Android,
        applet: &JPKI,
        label: "JPKIAPGPSETOKEN",
        keys: &[GUARDED_AUTHENTICATION, SIGNATURE],
        algorithm: Algorithm::Rsa { bits: 2048, pss: true },
        directory: true,
        addressing: Addressing::ShortId,
    },
    Profile {
        kind: Kind::Iphone,
        applet: &JPKI,
        label: "JPKIAPIOSTOKEN",
        keys: &[AUTHENTICATION, SIGNATURE],
        algorithm: Algorithm::Rsa { bits: 2048, pss: true },
        directory: true,
        addressing: Addressing::ShortId,
    },
    Profile {
        kind: Kind::Next,
        applet: &PRACTICE_NEXT,
        label: "PRACTICENEXTTOKEN",
        keys: &[NEXT_AUTHENTICATION, NEXT_SIGNATURE],
        algorithm: Algorithm::P384,
        directory: true,
        addressing: Addressing::ShortId,
    },
];

impl Profile {
    /// The profile whose label this is in this application; `None` for a generation not known yet.
    pub fn of(applet: &Applet, label: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.applet == applet && profile.label == label)
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
            assert!(profile.label.starts_with(profile.applet.label_prefix));
            assert_eq!(Profile::of(profile.applet, profile.label).unwrap().kind, profile.kind);
            assert!(PROFILES.iter().skip(index + 1).all(|other| other.label != profile.label));
        }
        assert_eq!(Profile::of(&JPKI, "JPKIAPICCTOKEN3"), None);
        assert_eq!(Profile::of(&JPKI, "PRACTICENEXTTOKEN"), None);
        assert_eq!(Profile::of(&PRACTICE_NEXT, "JPKIAPICCTOKEN2"), None);
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
        let juki = Profile::of(&JPKI, "JPKIAPICCTOKEN").unwrap();
        assert_eq!(juki.key(Key::Authentication), None);
        assert_eq!(juki.ef(File::Holder(Key::Authentication)), None);
    }
}
