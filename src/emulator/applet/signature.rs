//! COMPUTE DIGITAL SIGNATURE in its six schemes (`card.md` §3.6).

use super::Applet;
use super::files::{File, KeyName};
use super::request::Target;
use crate::apdu::Sw;
use crate::emulator::image::Kind;
use crate::emulator::switches::{Answers, Schemes, UnknownScheme, WrongInput};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, Pss};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// What P1 stands for.
#[derive(Clone, Copy)]
struct Scheme {
    input: Input,
    padding: Padding,
}

/// What the data is.
#[derive(Clone, Copy)]
enum Input {
    /// To be padded as it is.
    Verbatim,
    /// A SHA-256 hash.
    Hash,
    /// A message, which the card hashes.
    Message,
}

/// What is made of it.
#[derive(Clone, Copy)]
enum Padding {
    /// PKCS#1 v1.5 around the input or its hash.
    Bare,
    /// PKCS#1 v1.5 around a DigestInfo.
    DigestInfo,
    /// RSASSA-PSS.
    Pss,
}

impl Scheme {
    fn of(p1: u8, on: Schemes) -> Option<Scheme> {
        let (input, padding) = match p1 {
            0 => (Input::Verbatim, Padding::Bare),
            1 => (Input::Message, Padding::Bare),
            2 => (Input::Hash, Padding::DigestInfo),
            3 => (Input::Message, Padding::DigestInfo),
            4 => (Input::Hash, Padding::Pss),
            5 => (Input::Message, Padding::Pss),
            _ => return None,
        };
        let has = match on {
            Schemes::All => true,
            Schemes::WithoutPss => p1 <= 3,
            Schemes::PaddingOnly => p1 == 0,
        };
        has.then_some(Scheme { input, padding })
    }
}

impl Applet {
    pub(super) fn sign(&mut self, p1: u8, key: Option<Target>, input: &[u8], le: Option<usize>) -> Result<Vec<u8>, Sw> {
        let scheme = Scheme::of(p1, self.schemes());
        if scheme.is_none() && self.switches().unknown_scheme == UnknownScheme::BeforePin {
            return Err(Sw::WRONG_P1P2);
        }
        let name = self.key(key)?;
        if !self.state.verified.contains(&name.secret()) {
            return Err(Sw::NOT_VERIFIED);
        }
        if input.is_empty() || self.lacks(le) {
            return Err(Sw::WRONG_LENGTH);
        }
        let scheme = scheme.ok_or(Sw::WRONG_P1P2)?;
        let key = match name {
            KeyName::Auth => &self.contents.auth_key,
            KeyName::Sign => &self.contents.sign_key,
        };
        let key = key.as_ref().ok_or(Sw::KEY_NOT_FOUND)?;
        let size = key.size();
        let longest = match scheme.input {
            Input::Verbatim => size - 11,
            Input::Hash | Input::Message => 255,
        };
        if input.len() > longest || matches!(scheme.input, Input::Hash) && input.len() != 32 {
            return Err(match self.switches().wrong_input {
                WrongInput::Conditions => Sw::CONDITIONS,
                WrongInput::WrongLength => Sw::WRONG_LENGTH,
            });
        }
        // "Some do not respond well" to an exact Le on Juki cards; only one that asked for it by 6Cxx takes it here.
        let exact_le = self.switches().answers == Answers::ExactLe;
        let too_little = self.switches().signature_le_checked && le.is_some_and(|le| le < size);
        if too_little || self.contents.image.kind == Kind::Juki && le == Some(size) && !exact_le {
            return Err(Sw::WRONG_LENGTH);
        }
        let hashed = match scheme.input {
            Input::Verbatim | Input::Hash => input.to_vec(),
            Input::Message => Sha256::digest(input).to_vec(),
        };
        let random = &mut self.random;
        let signature = match scheme.padding {
            Padding::Bare => key.sign_with_rng(random, Pkcs1v15Sign::new_unprefixed(), &hashed),
            Padding::DigestInfo => key.sign_with_rng(random, Pkcs1v15Sign::new::<Sha256>(), &hashed),
            Padding::Pss => {
                let salt = self.contents.image.switches.pss_salt.bytes();
                key.sign_with_rng(random, Pss::<Sha256>::new_with_salt(salt), &hashed)
            }
        };
        // A slow card's own time, not a wait for anything.
        std::thread::sleep(Duration::from_millis(u64::from(self.switches().signature_ms)));
        signature.map_err(|_| Sw::NO_DIAGNOSIS)
    }

    /// The key a command names. A Juki card knows the form P2 = 00 only, which means the current one (`card.md` §10).
    fn key(&mut self, key: Option<Target>) -> Result<KeyName, Sw> {
        let juki = self.contents.image.kind == Kind::Juki;
        let target = match key {
            None if juki || self.switches().default_key => Target::Current,
            Some(target) if !juki => target,
            _ => return Err(Sw::WRONG_P1P2),
        };
        let (id, file) = self.resolve(target, Sw::KEY_NOT_FOUND)?;
        let File::Key(name) = file else { return Err(Sw::WRONG_STRUCTURE) };
        self.state.current = Some(id);
        Ok(name)
    }

    fn schemes(&self) -> Schemes {
        match self.contents.image.kind {
            Kind::Juki => Schemes::PaddingOnly,
            _ => self.switches().schemes,
        }
    }
}
