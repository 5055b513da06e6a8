//! What a practice card keeps without power: keys, certificates, secrets and their counters, switches. As text, it is a
//! card's file.

use super::switches::{AuthCertificate, Switches};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The format's name and version, with which every card file begins.
pub const FORMAT: &str = "jpki practice card, version 1";

/// A practice card's persistent contents. They are as secret as a practice card gets: `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// [`FORMAT`].
    pub format: String,
    /// What the card is.
    pub kind: Kind,
    /// Serial number in the token information: 16 printable ASCII characters (`card.md` §2.2).
    pub serial: String,
    /// How it behaves where cards differ.
    #[serde(default)]
    pub switches: Switches,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Secrets,
    /// Its private keys, made inside the card.
    #[serde(default)]
    pub keys: Pair,
    /// The certificates written at the counter.
    #[serde(default)]
    pub certificates: Certificates,
}

/// What a practice card can be: the four things that speak the applet of today (`card.md` §2.2), and what may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A My Number Card.
    MyNumber,
    /// Its predecessor, the Juki card: one key pair, for signatures, of 1024 bits (`card.md` §10).
    Juki,
    /// A token in an Android telephone.
    Android,
    /// A token in an iPhone.
    Ios,
    /// What the next card may be. Of the published plan are ECDSA of 384 bits with SHA-384, two secrets, of which the password
    /// makes the PIN unnecessary, and certificates for ten years (`card.md` §6.3). All else is this project's guess: the
    /// curve, the application and its identifier, the label, the files and the commands (`card.md` §12.1).
    Next,
}

/// What a card's keys sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA.
    Rsa {
        /// Length of the modulus.
        bits: usize,
    },
    /// ECDSA on the curve P-384.
    P384,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [Kind::MyNumber, Kind::Juki, Kind::Android, Kind::Ios, Kind::Next];

    /// The name used in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Kind::MyNumber => "mynumber",
            Kind::Juki => "juki",
            Kind::Android => "android",
            Kind::Ios => "ios",
            Kind::Next => "next",
        }
    }

    /// Label in the token information, by which clients tell the kinds apart.
    pub fn label(self) -> &'static str {
        match self {
            Kind::MyNumber => "JPKIAPICCTOKEN2",
            Kind::Juki => "JPKIAPICCTOKEN",
            Kind::Android => "JPKIAPGPSETOKEN",
            Kind::Ios => "JPKIAPIOSTOKEN",
            Kind::Next => "PRACTICENEXTTOKEN",
        }
    }

    /// What its keys sign with.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Kind::Juki => Algorithm::Rsa { bits: 1024 },
            Kind::MyNumber | Kind::Android | Kind::Ios => Algorithm::Rsa { bits: 2048 },
            Kind::Next => Algorithm::P384,
        }
    }

    /// Whether it has the authentication pair.
    pub fn has_auth(self) -> bool {
        self != Kind::Juki
    }

    /// Whether its signature password, once verified, does for the authentication PIN too.
    pub fn password_does_for_pin(self) -> bool {
        self == Kind::Next
    }

    /// Fewest characters of its signature password.
    pub fn shortest_password(self) -> usize {
        match self {
            Kind::Juki => 4,
            _ => 6,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Kind, UnknownKind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

/// A name that no kind of card has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no kind of practice card named {0:?}; there are mynumber, juki, android, ios and next")]
pub struct UnknownKind(pub String);

/// The card's secrets; one that is missing was never set.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Secrets {
    /// The authentication PIN, EF 0018.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Secret>,
    /// The signature password, EF 001B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<Secret>,
    /// The PIN of the application for card information, its EF 0011.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Secret>,
}

impl Secrets {
    /// The secret of that name.
    pub fn named(&self, name: SecretName) -> Option<&Secret> {
        match name {
            SecretName::Auth => self.auth.as_ref(),
            SecretName::Sign => self.sign.as_ref(),
            SecretName::Text => self.text.as_ref(),
        }
    }

    /// The same, to be changed.
    pub fn named_mut(&mut self, name: SecretName) -> Option<&mut Secret> {
        match name {
            SecretName::Auth => self.auth.as_mut(),
            SecretName::Sign => self.sign.as_mut(),
            SecretName::Text => self.text.as_mut(),
        }
    }
}

/// Which secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretName {
    /// The authentication PIN.
    Auth,
    /// The signature password.
    Sign,
    /// The card information PIN.
    Text,
}

/// A secret with its counter of tries.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The secret itself, a character for each byte (U+0000 to U+00FF): a card takes any, though only ASCII makes sense.
    pub value: String,
    /// Tries left; none is locked.
    pub tries: u8,
    /// Tries after a success, at most 15.
    pub limit: u8,
}

impl Secret {
    /// A secret with all its tries.
    pub fn new(value: &str, limit: u8) -> Secret {
        Secret { value: value.to_owned(), tries: limit, limit }
    }

    /// Whether `presented` is this secret, byte for byte: no padding, no folding (`card.md` §4).
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.value.chars().map(u32::from).eq(presented.iter().map(|&byte| u32::from(byte)))
    }

    /// Puts `new` in its place. The counter stays.
    pub fn change(&mut self, new: &[u8]) {
        self.value = new.iter().map(|&byte| char::from(byte)).collect();
    }

    /// The same, locked.
    #[must_use]
    pub fn locked(self) -> Secret {
        Secret { tries: 0, ..self }
    }
}

/// One of something for each of the two keys, as PEM text.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pair {
    /// Of the authentication key: PKCS#8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Of the signature key: PKCS#8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<String>,
}

/// The certificates, as PEM text; one that is missing was not issued.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Certificates {
    /// EF 000A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// EF 000B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_ca: Option<String>,
    /// EF 0001.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<String>,
    /// EF 0002.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_ca: Option<String>,
}

impl Image {
    /// Reads a card file's text.
    ///
    /// # Errors
    /// [`Malformed`], which never quotes the file: the line at fault may hold a PIN.
    pub fn parse(text: &str) -> Result<Image, Malformed> {
        let image: Image = toml::from_str(text).map_err(|error| Malformed {
            line: error.span().map(|span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1)),
            reason: field_of(error.message()),
        })?;
        image.check()?;
        Ok(image)
    }

    /// The text of a card file.
    ///
    /// # Errors
    /// [`Malformed`] where [`Image::parse`] would refuse it.
    pub fn to_text(&self) -> Result<String, Malformed> {
        self.check()?;
        toml::to_string(self).map_err(|_| Malformed { line: None, reason: "it cannot be written as TOML".into() })
    }

    fn check(&self) -> Result<(), Malformed> {
        let wrong = |reason: &str| Err(Malformed { line: None, reason: reason.into() });
        if self.format != FORMAT {
            return wrong("its format is not the one this program writes");
        }
        if self.serial.len() != 16 || !self.serial.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return wrong("serial is not 16 printable ASCII characters");
        }
        for secret in [&self.secrets.auth, &self.secrets.sign, &self.secrets.text].into_iter().flatten() {
            if !(1..=16).contains(&secret.value.chars().count()) || secret.value.chars().any(|c| c > '\u{FF}') {
                return wrong("a secret does not have 1 to 16 bytes");
            }
            if !(1..=15).contains(&secret.limit) || secret.tries > secret.limit {
                return wrong("the tries of a secret do not lie between 0 and its limit, at most 15");
            }
        }
        Ok(())
    }

    /// Whether the authentication certificate is behind the authentication PIN.
    pub fn auth_certificate_needs_pin(&self) -> bool {
        match self.switches.auth_certificate {
            AuthCertificate::AsKind => self.kind == Kind::Android,
            AuthCertificate::Free => false,
            AuthCertificate::Pin => true,
        }
    }
}

/// What the TOML reader says, without the values it quotes: `invalid type: string "1234", expected u8` shows a PIN. Three
/// of its messages quote names only, and those help.
fn field_of(message: &str) -> String {
    if ["missing field", "unknown field", "unknown variant"].iter().any(|form| message.starts_with(form)) {
        return message.to_owned();
    }
    message.split([':', '"', '`', '\'']).next().unwrap_or_default().trim().to_owned()
}

/// Why a text is not a practice card's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", .line.map(|line| format!(" (line {line})")).unwrap_or_default())]
pub struct Malformed {
    /// The line, where there is one.
    pub line: Option<usize>,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("kind", &self.kind).field("switches", &self.switches).finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("tries", &self.tries).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            format: FORMAT.into(),
            kind: Kind::MyNumber,
            serial: "9900000000000001".into(),
            switches: Switches::default(),
            secrets: Secrets { auth: Some(Secret::new("1234", 3)), sign: Some(Secret::new("ABC123", 5)), text: None },
            keys: Pair::default(),
            certificates: Certificates::default(),
        }
    }

    #[test]
    fn text_and_image_are_the_same_thing() {
        assert_eq!(Image::parse(&image().to_text().unwrap()), Ok(image()));
    }

    #[test]
    fn a_bad_file_is_refused_by_line_without_quoting_it() {
        let good = image().to_text().unwrap();
        for (from, to) in [
            ("tries = 3", "tries = 4"),
            ("tries = 3", "tries = \"8642\""),
            ("value = \"1234\"", "value = 8642"),
            ("value = \"1234\"", "value = \"\""),
            ("value = \"1234\"", "value = \"8642"),
            ("version 1", "version 2"),
            ("serial = \"9", "serial = \""),
            ("kind", "kid"),
            ("limit = 5", "limit = 5\nlimits = 6"),
        ] {
            assert!(good.contains(from), "{from}\n{good}");
            let error = Image::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(!error.contains("8642") && !error.is_empty(), "{error}");
        }
        let error = Image::parse(&good.replacen("limit = 3", "limit = true", 1)).unwrap_err();
        assert_eq!(error.line, good.lines().position(|line| line == "limit = 3").map(|index| index + 1));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let shown = format!("{:?} {:?}", image(), image().secrets.auth);
        assert!(!shown.contains("1234") && !shown.contains("ABC123"), "{shown}");
    }
}
