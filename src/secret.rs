//! A secret that the card holder gave: never printed, wiped when dropped, and checked for its form before any layer may
//! send it, because a card counts a misspelt password as a wrong one.

use std::fmt;
use zeroize::Zeroizing;

/// The form of one of the card's secrets (`card.md` §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Fewest characters.
    pub min: usize,
    /// Most characters.
    pub max: usize,
    /// The characters it is made of.
    pub alphabet: Alphabet,
}

/// The characters of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `0`–`9`.
    Digits,
    /// `A`–`Z` and `0`–`9`; small letters are folded to capitals, which the card's alphabet lacks.
    CapitalsAndDigits,
}

/// The authentication PIN: exactly four digits.
pub const AUTHENTICATION: Form = Form { min: 4, max: 4, alphabet: Alphabet::Digits };
/// The signature password of a My Number Card and of the phones.
pub const SIGNATURE: Form = Form { min: 6, max: 16, alphabet: Alphabet::CapitalsAndDigits };
/// The password of a Juki card (`card.md` §10).
pub const JUKI: Form = Form { min: 4, max: 16, alphabet: Alphabet::CapitalsAndDigits };

/// Why a secret was not taken. Nothing was sent to a card and no try was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter or longer than the form allows.
    #[error("it must have {0}")]
    Length(Form),
    /// Has a character outside the alphabet.
    #[error("it may only have {}", .0.alphabet)]
    Character(Form),
    /// A new signature password without a letter, or without a digit (`card.md` §4).
    #[error("it must have at least one letter and one digit")]
    OneKindOnly,
}

impl fmt::Display for Form {
    /// How long it is: `4 characters`, `6 to 16 characters`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{} characters", self.min)
        } else {
            write!(f, "{} to {} characters", self.min, self.max)
        }
    }
}

impl fmt::Display for Alphabet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Alphabet::Digits => "digits",
            Alphabet::CapitalsAndDigits => "letters A-Z and digits",
        })
    }
}

/// A secret of the right form for one key of one card: ASCII, folded, wiped on drop. It has no way to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// Takes what a person typed to prove who they are. Small letters are folded to capitals where the form has letters.
    ///
    /// # Errors
    /// [`Malformed::Length`] or [`Malformed::Character`]; the empty secret is always refused, since an empty VERIFY is
    /// a query and not a proof (`card.md` §3.3).
    pub fn present(form: Form, typed: &[u8]) -> Result<Pin, Malformed> {
        if typed.is_empty() || typed.len() < form.min || typed.len() > form.max {
            return Err(Malformed::Length(form));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(typed.len()));
        for &typed in typed {
            bytes.push(match (form.alphabet, typed) {
                (_, b'0'..=b'9') => typed,
                (Alphabet::CapitalsAndDigits, b'A'..=b'Z' | b'a'..=b'z') => typed.to_ascii_uppercase(),
                _ => return Err(Malformed::Character(form)),
            });
        }
        Ok(Pin(bytes))
    }

    /// Takes a secret that is to be set: as [`Pin::present`], and a password must mix letters and digits.
    ///
    /// # Errors
    /// Those of [`Pin::present`], and [`Malformed::OneKindOnly`].
    pub fn choose(form: Form, typed: &[u8]) -> Result<Pin, Malformed> {
        let pin = Pin::present(form, typed)?;
        let digits = pin.0.iter().filter(|byte| byte.is_ascii_digit()).count();
        if form.alphabet == Alphabet::CapitalsAndDigits && (digits == 0 || digits == pin.0.len()) {
            return Err(Malformed::OneKindOnly);
        }
        Ok(pin)
    }

    /// The bytes as the card takes them: ASCII, no padding, no length byte.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_letters_are_folded() {
        assert_eq!(Pin::present(SIGNATURE, b"abc123").unwrap().bytes(), b"ABC123");
    }

    #[test]
    fn wrong_lengths_and_characters_are_refused() {
        assert_eq!(Pin::present(AUTHENTICATION, b""), Err(Malformed::Length(AUTHENTICATION)));
        assert_eq!(Pin::present(AUTHENTICATION, b"123"), Err(Malformed::Length(AUTHENTICATION)));
        assert_eq!(Pin::present(AUTHENTICATION, b"12345"), Err(Malformed::Length(AUTHENTICATION)));
        assert_eq!(Pin::present(AUTHENTICATION, b"12a4"), Err(Malformed::Character(AUTHENTICATION)));
        assert_eq!(Pin::present(SIGNATURE, b"ABC12"), Err(Malformed::Length(SIGNATURE)));
        assert_eq!(Pin::present(SIGNATURE, b"ABCDEFGH123456789"), Err(Malformed::Length(SIGNATURE)));
        assert_eq!(Pin::present(SIGNATURE, b"ABC 123"), Err(Malformed::Character(SIGNATURE)));
        assert!(Pin::present(JUKI, b"AB12").is_ok());
    }

    #[test]
    fn only_a_new_password_must_mix_letters_and_digits() {
        assert!(Pin::present(SIGNATURE, b"ABCDEF").is_ok());
        assert_eq!(Pin::choose(SIGNATURE, b"ABCDEF"), Err(Malformed::OneKindOnly));
        assert_eq!(Pin::choose(SIGNATURE, b"123456"), Err(Malformed::OneKindOnly));
        assert!(Pin::choose(SIGNATURE, b"ABC123").is_ok());
        assert!(Pin::choose(AUTHENTICATION, b"1234").is_ok());
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", Pin::present(AUTHENTICATION, b"1234").unwrap()).contains("1234"));
    }
}
