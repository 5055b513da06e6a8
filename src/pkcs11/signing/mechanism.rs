//! The mechanisms this module has, what a client asks of them, and the data of an operation until it is what the card pads
//! and signs. The card makes the RSA signature; digests of a message are made here.

use crate::pkcs11::edge::ffi::In;
use crate::pkcs11::edge::rv::{Result, Rv};
use cryptoki_sys::*;
use sha2::digest::DynDigest;

/// A mechanism, with whatever parameters a client gave: all that are taken are the same, so none are kept.
#[derive(Debug, Clone, Copy)]
pub struct Parsed(&'static Row);

/// What goes to the card, and what a signature is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardInput {
    /// RSASSA-PKCS1-v1_5: the bytes after the padding, a DigestInfo or what the client gave instead; 1 to k − 11.
    Pkcs1 {
        /// The bytes.
        data: Vec<u8>,
    },
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of [`SALT_LEN`] bytes.
    Pss {
        /// SHA-256 of the message.
        hash: [u8; 32],
    },
}

/// Bytes of salt in the card's PSS signatures (`card.md` §3.6).
pub const SALT_LEN: usize = 32;

/// The longest input of CKM_RSA_PKCS: that of the longest key served, RSA-4096.
const MAX_RAW: usize = 512 - PKCS1_OVERHEAD;
/// Bytes PKCS#1 v1.5 padding takes at least (RFC 8017 §9.2).
const PKCS1_OVERHEAD: usize = 11;

#[derive(Debug)]
struct Row {
    mechanism: CK_MECHANISM_TYPE,
    padding: Padding,
    digest: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Pkcs1,
    Pss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digest {
    /// The client has made it.
    Given,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const fn row(mechanism: CK_MECHANISM_TYPE, padding: Padding, digest: Digest) -> Row {
    Row { mechanism, padding, digest }
}

static TABLE: [Row; 8] = [
    row(CKM_RSA_PKCS, Padding::Pkcs1, Digest::Given),
    row(CKM_SHA1_RSA_PKCS, Padding::Pkcs1, Digest::Sha1),
    row(CKM_SHA224_RSA_PKCS, Padding::Pkcs1, Digest::Sha224),
    row(CKM_SHA256_RSA_PKCS, Padding::Pkcs1, Digest::Sha256),
    row(CKM_SHA384_RSA_PKCS, Padding::Pkcs1, Digest::Sha384),
    row(CKM_SHA512_RSA_PKCS, Padding::Pkcs1, Digest::Sha512),
    row(CKM_RSA_PKCS_PSS, Padding::Pss, Digest::Given),
    row(CKM_SHA256_RSA_PKCS_PSS, Padding::Pss, Digest::Sha256),
];

/// The types of all mechanisms, or of those without PSS for a card that has none.
pub fn list(pss: bool) -> Vec<CK_MECHANISM_TYPE> {
    TABLE.iter().filter(|row| pss || row.padding != Padding::Pss).map(|row| row.mechanism).collect()
}

/// CK_MECHANISM_INFO for keys of `min_bits` to `max_bits`, with or without PSS. CKF_HW stands where the card does all of
/// the signing; with a digest made here it does not.
///
/// The hash that PSS takes is known, though it is not in the list and has no function of its own: Java signs with
/// RSASSA-PSS only if the token knows the hash, which Java then makes itself.
///
/// # Errors
/// CKR_MECHANISM_INVALID.
pub fn info(
    mechanism: CK_MECHANISM_TYPE,
    pss: bool,
    min_bits: CK_ULONG,
    max_bits: CK_ULONG,
) -> Result<CK_MECHANISM_INFO> {
    if pss && mechanism == CKM_SHA256 {
        return Ok(CK_MECHANISM_INFO { ulMinKeySize: 0, ulMaxKeySize: 0, flags: 0 });
    }
    let row = find(mechanism)?;
    if !pss && row.padding == Padding::Pss {
        return Err(Rv::MECHANISM_INVALID);
    }
    let hardware = if row.digest == Digest::Given { CKF_HW } else { 0 };
    Ok(CK_MECHANISM_INFO { ulMinKeySize: min_bits, ulMaxKeySize: max_bits, flags: CKF_SIGN | CKF_VERIFY | hardware })
}

fn find(mechanism: CK_MECHANISM_TYPE) -> Result<&'static Row> {
    TABLE.iter().find(|row| row.mechanism == mechanism).ok_or(Rv::MECHANISM_INVALID)
}

impl Parsed {
    /// Takes a CK_MECHANISM apart: its type and the bytes of its parameter. PSS takes SHA-256, MGF1-SHA-256 and a salt of
    /// 32 bytes, the card's only form; the others take no parameter.
    ///
    /// # Errors
    /// CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID.
    pub fn new((mechanism, parameter): (CK_MECHANISM_TYPE, &[u8])) -> Result<Parsed> {
        let row = find(mechanism)?;
        let taken = match row.padding {
            Padding::Pkcs1 => parameter.is_empty(),
            // CK_RSA_PKCS_PSS_PARAMS is three CK_ULONGs: hashAlg, mgf, sLen.
            Padding::Pss => {
                let (fields, rest) = parameter.as_chunks();
                let fields: Vec<CK_ULONG> = fields.iter().map(|&field| CK_ULONG::from_ne_bytes(field)).collect();
                fields == [CKM_SHA256, CKG_MGF1_SHA256, SALT_LEN as CK_ULONG] && rest.is_empty()
            }
        };
        if taken { Ok(Parsed(row)) } else { Err(Rv::MECHANISM_PARAM_INVALID) }
    }

    /// Whether the card must be able to make PSS signatures.
    pub fn is_pss(self) -> bool {
        self.0.padding == Padding::Pss
    }
}

/// The data of one signing or verifying operation, given in one part or in many.
pub struct Operation {
    mechanism: Parsed,
    data: Data,
    parts: bool,
}

enum Data {
    Given(Vec<u8>),
    Digest(Box<dyn DynDigest + Send>),
}

impl Operation {
    /// One without any data yet.
    pub fn new(mechanism: Parsed) -> Operation {
        let data = match mechanism.0.digest {
            Digest::Given => Data::Given(Vec::new()),
            Digest::Sha1 => Data::Digest(Box::new(sha1::Sha1::default())),
            Digest::Sha224 => Data::Digest(Box::new(sha2::Sha224::default())),
            Digest::Sha256 => Data::Digest(Box::new(sha2::Sha256::default())),
            Digest::Sha384 => Data::Digest(Box::new(sha2::Sha384::default())),
            Digest::Sha512 => Data::Digest(Box::new(sha2::Sha512::default())),
        };
        Operation { mechanism, data, parts: false }
    }

    /// Whether it has had a part, after which only C_SignFinal or C_VerifyFinal may end it.
    pub fn is_multi_part(&self) -> bool {
        self.parts
    }

    /// Takes a part of the data (C_SignUpdate, C_VerifyUpdate): digested as it is read, or copied if it is no longer than
    /// what a key can sign undigested. Nothing of it is needed afterwards.
    ///
    /// # Errors
    /// CKR_DATA_LEN_RANGE: more than any key could sign undigested; none of it was read.
    pub fn update<'a>(&mut self, part: impl Into<In<'a>>) -> Result<()> {
        self.parts = true;
        let part = part.into();
        match &mut self.data {
            Data::Digest(digest) => part.read(|part| digest.update(part)),
            Data::Given(data) => {
                data.extend_from_slice(part.at_most(MAX_RAW - data.len()).ok_or(Rv::DATA_LEN_RANGE)?);
            }
        }
        Ok(())
    }

    /// Ends it: what a key with a modulus of `modulus_len` bytes is to sign.
    ///
    /// # Errors
    /// CKR_DATA_LEN_RANGE: nothing, more than k − 11 bytes, or for PSS anything but 32 bytes.
    pub fn finish(self, modulus_len: usize) -> Result<CardInput> {
        let Parsed(row) = self.mechanism;
        let digest = match self.data {
            Data::Given(data) => data,
            Data::Digest(digest) => digest.finalize().into_vec(),
        };
        if row.padding == Padding::Pss {
            return match digest.try_into() {
                Ok(hash) => Ok(CardInput::Pss { hash }),
                Err(_) => Err(Rv::DATA_LEN_RANGE),
            };
        }
        let data = [row.digest.info_prefix(), &digest].concat();
        if data.is_empty() || data.len() + PKCS1_OVERHEAD > modulus_len {
            return Err(Rv::DATA_LEN_RANGE);
        }
        Ok(CardInput::Pkcs1 { data })
    }
}

impl Digest {
    /// DER of a DigestInfo up to the digest itself (RFC 8017 §9.2, note 1); nothing where the client gives it.
    const fn info_prefix(self) -> &'static [u8] {
        match self {
            Digest::Given => &[],
            Digest::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
            Digest::Sha224 => b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c",
            Digest::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
            Digest::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
            Digest::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: usize = 256;

    fn pss_parameter(fields: [CK_ULONG; 3]) -> Vec<u8> {
        fields.iter().flat_map(|field| field.to_ne_bytes()).collect()
    }

    fn begun(mechanism: CK_MECHANISM_TYPE) -> Operation {
        let pss = TABLE.iter().any(|row| row.mechanism == mechanism && row.padding == Padding::Pss);
        let parameter = if pss { pss_parameter([CKM_SHA256, CKG_MGF1_SHA256, 32]) } else { Vec::new() };
        Operation::new(Parsed::new((mechanism, &parameter)).unwrap())
    }

    fn finish(mechanism: CK_MECHANISM_TYPE, parts: &[&[u8]]) -> Result<CardInput> {
        let mut operation = begun(mechanism);
        for part in parts {
            operation.update(*part)?;
        }
        operation.finish(K)
    }

    #[test]
    fn each_mechanism_stands_once_in_the_table_and_can_sign_and_verify() {
        let all = list(true);
        assert_eq!(all.len(), 8);
        for (index, &mechanism) in all.iter().enumerate() {
            assert!(!all[..index].contains(&mechanism));
            let info = info(mechanism, true, 1024, 2048).unwrap();
            let hardware = matches!(mechanism, CKM_RSA_PKCS | CKM_RSA_PKCS_PSS);
            assert_eq!(info.flags, CKF_SIGN | CKF_VERIFY | if hardware { CKF_HW } else { 0 });
            assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (1024, 2048));
        }
        assert_eq!(info(CKM_RSA_X_509, true, 1024, 2048).err(), Some(Rv::MECHANISM_INVALID));
    }

    #[test]
    fn a_card_without_pss_has_the_other_mechanisms() {
        assert_eq!(list(false).len(), 6);
        for mechanism in [CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS] {
            assert!(!list(false).contains(&mechanism));
            assert_eq!(info(mechanism, false, 1024, 2048).err(), Some(Rv::MECHANISM_INVALID));
        }
    }

    #[test]
    fn the_hash_of_pss_is_known_for_java_but_not_listed_and_does_nothing() {
        assert!(!list(true).contains(&CKM_SHA256));
        assert_eq!(info(CKM_SHA256, true, 1024, 2048).unwrap().flags, 0);
        for (mechanism, pss) in [(CKM_SHA256, false), (CKM_SHA384, true), (CKM_SHA_1, true)] {
            assert_eq!(info(mechanism, pss, 1024, 2048).err(), Some(Rv::MECHANISM_INVALID));
        }
    }

    #[test]
    fn pss_is_taken_with_the_cards_parameters_only() {
        for mechanism in [CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS] {
            let parse = |parameter: &[u8]| Parsed::new((mechanism, parameter)).map(|parsed| parsed.is_pss());
            let good = pss_parameter([CKM_SHA256, CKG_MGF1_SHA256, 32]);
            assert_eq!(parse(&good), Ok(true));
            for bad in [
                [CKM_SHA_1, CKG_MGF1_SHA256, 32],
                [CKM_SHA256, CKG_MGF1_SHA1, 32],
                [CKM_SHA256, CKG_MGF1_SHA256, 20],
                [CKM_SHA256, CKG_MGF1_SHA256, 0],
            ] {
                assert_eq!(parse(&pss_parameter(bad)), Err(Rv::MECHANISM_PARAM_INVALID));
            }
            assert_eq!(parse(&[]), Err(Rv::MECHANISM_PARAM_INVALID));
            assert_eq!(parse(&good[1..]), Err(Rv::MECHANISM_PARAM_INVALID));
            assert_eq!(parse(&[&good[..], &[0]].concat()), Err(Rv::MECHANISM_PARAM_INVALID));
        }
    }

    #[test]
    fn other_mechanisms_take_no_parameter_and_unknown_ones_are_refused() {
        assert_eq!(Parsed::new((CKM_SHA256_RSA_PKCS, &[0])).err(), Some(Rv::MECHANISM_PARAM_INVALID));
        assert_eq!(Parsed::new((CKM_SHA1_RSA_PKCS_PSS, &[])).err(), Some(Rv::MECHANISM_INVALID));
        assert_eq!(Parsed::new((CKM_RSA_X_509, &[])).err(), Some(Rv::MECHANISM_INVALID));
    }

    #[test]
    fn undigested_input_has_one_to_k_minus_11_bytes() {
        assert_eq!(finish(CKM_RSA_PKCS, &[]), Err(Rv::DATA_LEN_RANGE));
        assert_eq!(finish(CKM_RSA_PKCS, &[b""]), Err(Rv::DATA_LEN_RANGE));
        assert_eq!(finish(CKM_RSA_PKCS, &[b"J"]), Ok(CardInput::Pkcs1 { data: b"J".to_vec() }));
        assert_eq!(finish(CKM_RSA_PKCS, &[&[1; 245]]), Ok(CardInput::Pkcs1 { data: vec![1; 245] }));
        assert_eq!(finish(CKM_RSA_PKCS, &[&[1; 246]]), Err(Rv::DATA_LEN_RANGE));
        assert_eq!(finish(CKM_RSA_PKCS, &[&[1; 501], &[1]]), Err(Rv::DATA_LEN_RANGE));
    }

    #[test]
    fn a_pss_hash_has_32_bytes() {
        assert_eq!(finish(CKM_RSA_PKCS_PSS, &[&[7; 32]]), Ok(CardInput::Pss { hash: [7; 32] }));
        for len in [0, 20, 31, 33] {
            assert_eq!(finish(CKM_RSA_PKCS_PSS, &[&vec![7; len]]), Err(Rv::DATA_LEN_RANGE));
        }
    }

    #[test]
    fn parts_make_the_same_as_the_whole() {
        for mechanism in list(true) {
            let data = [0x5A; 32];
            let (first, second) = data.split_at(5);
            assert_eq!(finish(mechanism, &[first, b"", second]), finish(mechanism, &[&data]));
        }
        let mut operation = begun(CKM_RSA_PKCS);
        assert!(!operation.is_multi_part());
        operation.update(b"").unwrap();
        assert!(operation.is_multi_part());
    }

    #[test]
    fn a_digest_info_says_its_own_lengths() {
        for row in TABLE.iter().filter(|row| row.digest != Digest::Given && row.padding == Padding::Pkcs1) {
            let Ok(CardInput::Pkcs1 { data }) = finish(row.mechanism, &[b"JPKI"]) else { panic!("not PKCS#1") };
            assert_eq!(usize::from(data[1]), data.len() - 2);
            let prefix = row.digest.info_prefix();
            assert_eq!(usize::from(prefix[prefix.len() - 1]), data.len() - prefix.len());
        }
    }
}
