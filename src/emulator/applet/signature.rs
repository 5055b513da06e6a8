//! COMPUTE DIGITAL SIGNATURE in its six schemes of RSA (`card.md` §3.6), and in the one of ECDSA that the next card may have
//! (`card.md` §12.1).

use super::Applet;
use super::files::{File, KeyName};
use super::request::Target;
use crate::apdu::Sw;
use crate::emulator::image::{Algorithm, Kind};
use crate::emulator::private_key::PrivateKey;
use crate::emulator::switches::{Answers, Schemes, UnknownScheme, WrongInput};
use p384::ecdsa::signature::hazmat::RandomizedPrehashSigner;
use p384::ecdsa::{self, SigningKey};
use rand_chacha::ChaCha20Rng;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, Pss};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Bytes of the longest hash that a card with P-384 keys takes, and of a signature of its. Guesses.
const LONGEST_HASH: usize = 64;
const ECDSA_SIGNATURE: usize = 2 * HALF;
/// Bytes of each of a signature's two numbers, and of the part of a hash that is signed.
const HALF: usize = 48;

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
    /// A hash of any length up to [`LONGEST_HASH`].
    AnyHash,
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
    /// Nothing: ECDSA signs the hash.
    None,
}

impl Scheme {
    /// The schemes of RSA.
    fn of_rsa(p1: u8, on: Schemes) -> Option<Scheme> {
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

    /// The only one of ECDSA, and a guess: P1 = 00, with a hash that the caller made.
    fn of_ecdsa(p1: u8) -> Option<Scheme> {
        (p1 == 0).then_some(Scheme { input: Input::AnyHash, padding: Padding::None })
    }
}

impl Applet {
    pub(super) fn sign(&mut self, p1: u8, key: Option<Target>, input: &[u8], le: Option<usize>) -> Result<Vec<u8>, Sw> {
        let scheme = self.scheme(p1);
        if scheme.is_none() && self.switches().unknown_scheme == UnknownScheme::BeforePin {
            return Err(Sw::WRONG_P1P2);
        }
        let name = self.key(key)?;
        if !self.is_open(name.secret()) {
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
        let size = match key {
            PrivateKey::Rsa(key) => key.size(),
            PrivateKey::P384(_) => ECDSA_SIGNATURE,
        };
        let longest = match scheme.input {
            Input::Verbatim => size - 11,
            Input::Hash | Input::Message => 255,
            Input::AnyHash => LONGEST_HASH,
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
            Input::Verbatim | Input::Hash | Input::AnyHash => input.to_vec(),
            Input::Message => Sha256::digest(input).to_vec(),
        };
        let random = &mut self.random;
        let signature = match (key, scheme.padding) {
            (PrivateKey::Rsa(key), Padding::Bare) => {
                key.sign_with_rng(random, Pkcs1v15Sign::new_unprefixed(), &hashed).ok()
            }
            (PrivateKey::Rsa(key), Padding::DigestInfo) => {
                key.sign_with_rng(random, Pkcs1v15Sign::new::<Sha256>(), &hashed).ok()
            }
            (PrivateKey::Rsa(key), Padding::Pss) => {
                let salt = self.contents.image.switches.pss_salt.bytes();
                key.sign_with_rng(random, Pss::<Sha256>::new_with_salt(salt), &hashed).ok()
            }
            (PrivateKey::P384(key), Padding::None) => ecdsa(key, random, &hashed),
            // A card has the schemes of its own keys only.
            (PrivateKey::Rsa(_), Padding::None) | (PrivateKey::P384(_), _) => None,
        };
        // A slow card's own time, not a wait for anything.
        std::thread::sleep(Duration::from_millis(u64::from(self.switches().signature_ms)));
        signature.ok_or(Sw::NO_DIAGNOSIS)
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

    fn scheme(&self, p1: u8) -> Option<Scheme> {
        let kind = self.contents.image.kind;
        match kind.algorithm() {
            Algorithm::P384 => Scheme::of_ecdsa(p1),
            Algorithm::Rsa { .. } if kind == Kind::Juki => Scheme::of_rsa(p1, Schemes::PaddingOnly),
            Algorithm::Rsa { .. } => Scheme::of_rsa(p1, self.switches().schemes),
        }
    }
}

/// Both numbers of a signature, one behind the other. Signed are the leftmost 384 bits of the hash (FIPS 186-5 §6.4.1); a
/// shorter one is the number that it spells.
fn ecdsa(key: &SigningKey, random: &mut ChaCha20Rng, hash: &[u8]) -> Option<Vec<u8>> {
    let leftmost = hash.get(..HALF).unwrap_or(hash);
    let mut number = [0; HALF];
    number.get_mut(HALF - leftmost.len()..)?.copy_from_slice(leftmost);
    let signature: ecdsa::Signature = key.sign_prehash_with_rng(random, &number).ok()?;
    Some(signature.to_bytes().to_vec())
}
