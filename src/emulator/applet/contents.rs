//! A card's persistent contents in the form its files have: certificates with their filler, the 160 bytes of token
//! information (`card.md` §2.2), keys ready for use.

use super::files::CertificateName;
use crate::emulator::image::{Image, Malformed};
use crate::emulator::private_key::PrivateKey;
use crate::emulator::store::{ImageError, Store};
use crate::emulator::switches::Listed;
use std::path::PathBuf;

/// RNG, LOGIN_REQUIRED, USER_PIN_INITIALIZED, TOKEN_INITIALIZED of PKCS#11's `CK_TOKEN_INFO`.
const TOKEN_FLAGS: u32 = 0x0000_040D;
/// Longest secret.
const LONGEST_SECRET: u32 = 16;

/// What the card's files hold.
pub struct Contents {
    pub image: Image,
    pub token_info: Vec<u8>,
    pub status: Vec<u8>,
    pub auth_key: Option<PrivateKey>,
    pub sign_key: Option<PrivateKey>,
    auth: Vec<u8>,
    auth_ca: Vec<u8>,
    sign: Vec<u8>,
    sign_ca: Vec<u8>,
}

impl Contents {
    pub fn load(store: &Store) -> Result<Contents, ImageError> {
        let image = store.read()?;
        let place = || match store {
            Store::File(path) => path.clone(),
            Store::Memory(_) => PathBuf::from("this practice card"),
        };
        let key = |pem: &Option<String>, name| match pem {
            Some(pem) => match PrivateKey::from_pem(image.kind.algorithm(), pem) {
                Ok(key) => Ok(Some(key)),
                Err(_) => Err(ImageError::Key(place(), name)),
            },
            None => Ok(None),
        };
        let certificate = |pem: &Option<String>, size: Option<u16>, name| {
            let mut bytes = match pem {
                Some(pem) => {
                    der::Document::from_pem(pem).map(|(_, document)| document.as_bytes().to_vec()).map_err(|_| {
                        let reason = format!("its {name} certificate is not PEM");
                        ImageError::Malformed(place(), Malformed { line: None, reason })
                    })?
                }
                None => Vec::new(),
            };
            // An EF that was never written is as long as one that was, about.
            let filler = usize::from(image.switches.certificate_filler_len) + if bytes.is_empty() { 1024 } else { 0 };
            let size = size.map_or(bytes.len() + filler, |size| usize::from(size).max(bytes.len()));
            bytes.resize(size, image.switches.filler.byte());
            Ok(bytes)
        };
        let sizes = image.switches.file_sizes;
        Ok(Contents {
            token_info: token_info(&image),
            status: status(&image),
            auth_key: key(&image.keys.auth, "authentication")?,
            sign_key: key(&image.keys.sign, "signature")?,
            auth: certificate(&image.certificates.auth, sizes.auth, "authentication")?,
            auth_ca: certificate(&image.certificates.auth_ca, sizes.auth_ca, "authentication CA")?,
            sign: certificate(&image.certificates.sign, sizes.sign, "signature")?,
            sign_ca: certificate(&image.certificates.sign_ca, sizes.sign_ca, "signature CA")?,
            image,
        })
    }

    /// The file of a certificate, filler included.
    pub fn certificate(&self, name: CertificateName) -> &[u8] {
        match name {
            CertificateName::Auth => &self.auth,
            CertificateName::AuthCa => &self.auth_ca,
            CertificateName::Sign => &self.sign,
            CertificateName::SignCa => &self.sign_ca,
        }
    }

    /// Whether a certificate was issued.
    pub fn has(&self, name: CertificateName) -> bool {
        let certificates = &self.image.certificates;
        match name {
            CertificateName::Auth => certificates.auth.is_some(),
            CertificateName::AuthCa => certificates.auth_ca.is_some(),
            CertificateName::Sign => certificates.sign.is_some(),
            CertificateName::SignCa => certificates.sign_ca.is_some(),
        }
    }
}

/// EF 0008: which certificates there are, or are said to be.
fn status(image: &Image) -> Vec<u8> {
    let certificates = &image.certificates;
    let (sign, auth) = match image.switches.listed {
        Listed::AsIssued => (certificates.sign.is_some(), certificates.auth.is_some()),
        Listed::AuthOnly => (false, true),
        Listed::SignOnly => (true, false),
        Listed::Both => (true, true),
        Listed::Neither => (false, false),
    };
    let byte = |listed| if listed { 0x8F } else { 0x00 };
    vec![byte(sign), byte(auth), 0x00]
}

/// EF 0006: a serialised `CK_TOKEN_INFO`, numbers big endian.
fn token_info(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160);
    let text = |bytes: &mut Vec<u8>, text: &str, len: usize| {
        bytes.extend(text.bytes().chain(std::iter::repeat(b' ')).take(len));
    };
    text(&mut bytes, image.kind.label(), 32);
    text(&mut bytes, "00000000000000000000000000000001", 32);
    text(&mut bytes, "PRACTICE", 16);
    text(&mut bytes, &image.serial, 16);
    let shortest = image.kind.shortest_password() as u32;
    // Flags; sessions at most and open, read/write ones at most and open; secret lengths; four unknown memory sizes.
    for number in [TOKEN_FLAGS, 1, 0, 1, 0, LONGEST_SECRET, shortest, u32::MAX, u32::MAX, u32::MAX, u32::MAX] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    text(&mut bytes, "03", 2);
    text(&mut bytes, "01", 2);
    text(&mut bytes, "9999999999999999", 16);
    bytes
}
