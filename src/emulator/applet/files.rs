//! The card's applications and their elementary files (`card.md` §1.3, §2.1, §2.4, §10), as tables; and those of what may
//! be the next card, which are all guesses (`card.md` §12.1).

use crate::emulator::image::{Kind, SecretName};

/// An application, known by its AID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// The GlobalPlatform issuer security domain, current after power-up.
    Issuer,
    /// Public personal authentication.
    Jpki,
    /// What may take its place on the next card.
    Next,
    /// Common card data.
    Common,
    /// Resident register.
    Juki,
    /// Surface check. It has the face and the printed number on a real card, nothing on a practice card.
    Surface,
    /// Card information input help. It has the individual number on a real card, nothing on a practice card.
    Text,
}

impl Application {
    /// The whole AID.
    pub fn aid(self) -> &'static [u8] {
        match self {
            Application::Issuer => &[0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00],
            Application::Jpki => &[0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01],
            // "JPKINEXT", version 1: a guess. F begins the identifiers that nobody registers (ISO/IEC 7816-5).
            Application::Next => &[0xF0, 0x4A, 0x50, 0x4B, 0x49, 0x4E, 0x45, 0x58, 0x54, 0x01],
            Application::Common => &[0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x01, 0x00],
            Application::Juki => &[0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x01],
            Application::Surface => &[0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x02],
            Application::Text => &[0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x08],
        }
    }

    /// The applications of a kind of card, in the order in which the beginning of an AID finds them.
    pub fn of(kind: Kind) -> &'static [Application] {
        use Application::{Common, Issuer, Jpki, Juki, Next, Surface, Text};
        match kind {
            Kind::MyNumber => &[Issuer, Jpki, Common, Juki, Surface, Text],
            Kind::Juki => &[Issuer, Jpki, Juki],
            Kind::Android | Kind::Ios => &[Issuer, Jpki],
            // The plan has one more, for what is printed on the card (`card.md` §6.3). A practice card has nothing for it.
            Kind::Next => &[Issuer, Next],
        }
    }

    /// Its files.
    pub fn files(self, kind: Kind) -> &'static [(u16, File)] {
        match self {
            Application::Jpki if kind == Kind::Juki => JUKI_CARD,
            Application::Jpki => JPKI,
            Application::Next => NEXT,
            Application::Common => COMMON,
            Application::Text => TEXT,
            Application::Juki | Application::Surface => CLOSED,
            Application::Issuer => &[],
        }
    }
}

/// What an elementary file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// A certificate.
    Certificate(CertificateName),
    /// The token information, free to read.
    TokenInfo,
    /// Which certificates there are, free to read.
    Status,
    /// Data that nobody here may read: 6982 whatever was verified.
    Protected,
    /// A secret.
    Secret(SecretName),
    /// A secret that was blocked from birth.
    Blocked,
    /// A private key.
    Key(KeyName),
    /// The key that answers INTERNAL AUTHENTICATE.
    Authentication,
    /// Some other internal file.
    Internal,
}

/// Which certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateName {
    /// For user authentication.
    Auth,
    /// Of the CA that issued that one.
    AuthCa,
    /// For signatures.
    Sign,
    /// Of the CA that issued that one.
    SignCa,
}

/// Which private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    /// For user authentication.
    Auth,
    /// For signatures.
    Sign,
}

impl KeyName {
    /// The secret in front of it.
    pub fn secret(self) -> SecretName {
        match self {
            KeyName::Auth => SecretName::Auth,
            KeyName::Sign => SecretName::Sign,
        }
    }
}

const JPKI: &[(u16, File)] = &[
    (0x0001, File::Certificate(CertificateName::Sign)),
    (0x0002, File::Certificate(CertificateName::SignCa)),
    (0x0006, File::TokenInfo),
    (0x0008, File::Status),
    (0x0009, File::Protected),
    (0x000A, File::Certificate(CertificateName::Auth)),
    (0x000B, File::Certificate(CertificateName::AuthCa)),
    (0x0010, File::Internal),
    (0x0016, File::Internal),
    (0x0017, File::Key(KeyName::Auth)),
    (0x0018, File::Secret(SecretName::Auth)),
    (0x0019, File::Internal),
    (0x001A, File::Key(KeyName::Sign)),
    (0x001B, File::Secret(SecretName::Sign)),
    (0x001C, File::Internal),
    (0x001E, File::Internal),
];

const JUKI_CARD: &[(u16, File)] = &[
    (0x0001, File::Certificate(CertificateName::Sign)),
    (0x0002, File::Certificate(CertificateName::SignCa)),
    (0x0003, File::Protected),
    (0x0004, File::Protected),
    (0x0005, File::Protected),
    (0x0006, File::TokenInfo),
    (0x0007, File::Protected),
    (0x001A, File::Key(KeyName::Sign)),
    (0x001B, File::Secret(SecretName::Sign)),
    (0x001C, File::Internal),
    (0x001D, File::Internal),
    (0x001E, File::Internal),
];

/// A guess, all of it (`card.md` §12.1).
const NEXT: &[(u16, File)] = &[
    (0x0006, File::TokenInfo),
    (0x0008, File::Status),
    (0x0011, File::Certificate(CertificateName::Auth)),
    (0x0012, File::Certificate(CertificateName::AuthCa)),
    (0x0013, File::Certificate(CertificateName::Sign)),
    (0x0014, File::Certificate(CertificateName::SignCa)),
    (0x0015, File::Key(KeyName::Auth)),
    (0x0016, File::Secret(SecretName::Auth)),
    (0x0017, File::Key(KeyName::Sign)),
    (0x0018, File::Secret(SecretName::Sign)),
];

const COMMON: &[(u16, File)] = &[(0x0001, File::Protected), (0x0019, File::Authentication)];

const TEXT: &[(u16, File)] = &[
    (0x0001, File::Protected),
    (0x0002, File::Protected),
    (0x0011, File::Secret(SecretName::Text)),
    (0x0012, File::Blocked),
];

const CLOSED: &[(u16, File)] = &[(0x0001, File::Protected), (0x0002, File::Protected)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_short_id_and_stands_once() {
        for kind in Kind::ALL {
            for application in Application::of(kind) {
                let ids: Vec<u16> = application.files(kind).iter().map(|(id, _)| *id).collect();
                assert!(ids.is_sorted_by(|a, b| a < b), "{application:?}");
                assert!(ids.iter().all(|id| (1..=0x1E).contains(id)), "{application:?}");
            }
        }
    }
}
