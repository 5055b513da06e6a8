//! A practice card: its file, which says what its counters and secrets are, and its log, which says what it was asked.

use crate::common::write_private;
use crate::step::{Name, Typed};
use der::{DecodePem, Encode};
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::issue::{self, Choice, Order};
use jpki_pkcs11::emulator::seed::Seed;
use rsa::PublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Verifier;
use sha2::Sha256;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use x509_cert::Certificate;

/// The secrets of a card's two tokens, of which each has one now and the other after its next change.
const SECRETS: [[[&str; 2]; 2]; 2] =
    [[["1234", "5678"], ["PRACTICE1", "PRACTICE2"]], [["4321", "8765"], ["PRACTICE3", "PRACTICE4"]]];

/// What nobody's secret is, by token.
const WRONG: [[&str; 2]; 2] = [["9999", "8888"], ["WRONG9", "WORSE8"]];

/// Tries of a token whose secret was right the last time.
pub const FULL: [u8; 2] = [3, 5];

pub struct Card {
    pub name: Name,
    pub file: PathBuf,
    log: PathBuf,
    /// How much of the log has been read.
    read: usize,
    images: [String; 2],
    keys: [VerifyingKey<Sha256>; 2],
}

/// A command, secrets masked, and what the card answered.
pub struct Exchange {
    pub command: String,
    pub sw: u16,
}

impl Exchange {
    /// Whether a secret was presented, and of which token it was to be.
    pub fn presented(&self) -> Option<usize> {
        let to = self.command.strip_prefix("00 20 00 ")?.strip_suffix(" [secret]")?;
        Some(usize::from(to != "98"))
    }

    /// Whether that cost a try.
    pub fn cost_a_try(&self) -> bool {
        self.presented().is_some() && self.sw & 0xFFF0 == 0x63C0
    }
}

impl Card {
    pub fn issue(name: Name, directory: &Path) -> Card {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        let secrets = SECRETS[name as usize];
        let mut order = Order::new(Kind::MyNumber, Seed::from(&*format!("model {name}")), now);
        order.auth_secret = Choice::Set(secrets[0][0].into());
        order.sign_secret = Choice::Set(secrets[1][0].into());
        order.serial = Some(format!("99000000000000{:02}", name as usize));
        let image = issue::personalise(&order).unwrap_or_else(|error| panic!("{error}"));
        let certificates = image.certificates.clone();
        let keys = [certificates.auth, certificates.sign].map(|pem| {
            let certificate = Certificate::from_pem(pem.expect("it has both")).expect("it is one");
            let key = certificate.tbs_certificate().subject_public_key_info().to_der().expect("it is one");
            VerifyingKey::new(PublicKey::from_public_key_der(&key).expect("it is RSA"))
        });
        let file = directory.join(format!("{name}.card"));
        let images = [false, true].map(|issuer| {
            let mut image = image.clone();
            image.switches.isd = issuer;
            image.to_text().expect("it can be written")
        });
        Card { name, log: file.with_extension("log"), file, read: 0, images, keys }
    }

    /// As it was issued, with an issuer domain or without.
    pub fn renew(&mut self, issuer: bool) {
        write_private(&self.file, &self.images[usize::from(issuer)]);
        write_private(&self.log, "");
        self.read = 0;
    }

    fn image(&self) -> Image {
        let text = fs::read_to_string(&self.file).expect("the card has a file");
        Image::parse(&text).unwrap_or_else(|_| panic!("the file of {} is damaged", self.name))
    }

    /// How many tries each token has left.
    pub fn tries(&self) -> [u8; 2] {
        let secrets = self.image().secrets;
        [secrets.auth, secrets.sign].map(|secret| secret.expect("it has both").tries)
    }

    /// The secret of this token, and its other.
    pub fn secrets(&self, key: usize) -> [String; 2] {
        let secrets = self.image().secrets;
        let now = if key == 0 { secrets.auth } else { secrets.sign }.expect("it has both").value;
        let [first, second] = SECRETS[self.name as usize][key];
        if now == first { [first.into(), second.into()] } else { [second.into(), first.into()] }
    }

    /// What is typed for this token, where `other` is the other card.
    pub fn typed(&self, key: usize, typed: Typed, other: &Card) -> String {
        match typed {
            Typed::Right => self.secrets(key)[0].clone(),
            Typed::Former => self.secrets(key)[1].clone(),
            Typed::Wrong => WRONG[key][0].into(),
            Typed::Worse => WRONG[key][1].into(),
            Typed::Malformed => ["12", "A!"][key].into(),
            Typed::OtherToken => self.secrets(1 - key)[0].clone(),
            Typed::OtherCard => other.secrets(key)[0].clone(),
        }
    }

    /// What it was asked since this was last called.
    pub fn asked(&mut self) -> Vec<Exchange> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let mut exchanges = Vec::new();
        let mut command = None;
        for line in log.get(self.read..).unwrap_or_default().lines() {
            if let Some(said) = line.strip_prefix("> ") {
                command = Some(said.to_owned());
            } else if let Some(command) = command.take() {
                let sw = line.strip_prefix("< ").and_then(|answer| answer.get(..4));
                let sw = sw.and_then(|sw| u16::from_str_radix(sw, 16).ok()).unwrap_or(0);
                exchanges.push(Exchange { command, sw });
            }
        }
        self.read = log.len();
        exchanges
    }

    /// Whether this is the signature over `text` by this key.
    pub fn has_signed(&self, key: usize, text: &str, signature: &str) -> bool {
        let bytes: Option<Vec<u8>> = (0..signature.len() / 2)
            .map(|at| signature.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect();
        let signature = bytes.and_then(|bytes| Signature::try_from(bytes.as_slice()).ok());
        signature.is_some_and(|signature| self.keys[key].verify(text.as_bytes(), &signature).is_ok())
    }
}
