//! The mechanisms this module has, what a client asks of them, and the data of an operation until it is what the card signs.
//! The card makes the signature, padding included; digests of a message are made here.

use crate::card::Algorithm;
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
    /// ECDSA.
    Ecdsa {
        /// The hash's leftmost bits, no more than the order of the curve has: 1 byte to half the bytes of a signature.
        hash: Vec<u8>,
    },
}

/// Bytes of salt in the card's PSS signatures (`card.md` §3.6).
pub const SALT_LEN: usize = 32;

/// The longest input of CKM_RSA_PKCS: that of the longest key served, RSA-4096.
const MAX_RAW: usize = 512 - PKCS1_OVERHEAD;
/// Bytes PKCS#1 v1.5 padding takes at least (RFC 8017 §9.2).
const PKCS1_OVERHEAD: usize = 11;
/// The longest input of CKM_ECDSA: "the entire raw digest" (PKCS#11 Mechanisms 3.0 §2.3.8), and no digest in use is longer
/// than SHA-512's. A message that somebody forgot to digest would be signed by its first bytes.
const MAX_DIGEST: usize = 64;

#[derive(Debug)]
struct Row {
    mechanism: CK_MECHANISM_TYPE,
    scheme: Scheme,
    digest: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Pkcs1,
    Pss,
    Ecdsa,
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

const fn row(mechanism: CK_MECHANISM_TYPE, scheme: Scheme, digest: Digest) -> Row {
    Row { mechanism, scheme, digest }
}

static TABLE: [Row; 12] = [
    row(CKM_RSA_PKCS, Scheme::Pkcs1, Digest::Given),
    row(CKM_SHA1_RSA_PKCS, Scheme::Pkcs1, Digest::Sha1),
    row(CKM_SHA224_RSA_PKCS, Scheme::Pkcs1, Digest::Sha224),
    row(CKM_SHA256_RSA_PKCS, Scheme::Pkcs1, Digest::Sha256),
    row(CKM_SHA384_RSA_PKCS, Scheme::Pkcs1, Digest::Sha384),
    row(CKM_SHA512_RSA_PKCS, Scheme::Pkcs1, Digest::Sha512),
    row(CKM_RSA_PKCS_PSS, Scheme::Pss, Digest::Given),
    row(CKM_SHA256_RSA_PKCS_PSS, Scheme::Pss, Digest::Sha256),
    row(CKM_ECDSA, Scheme::Ecdsa, Digest::Given),
    row(CKM_ECDSA_SHA256, Scheme::Ecdsa, Digest::Sha256),
    row(CKM_ECDSA_SHA384, Scheme::Ecdsa, Digest::Sha384),
    row(CKM_ECDSA_SHA512, Scheme::Ecdsa, Digest::Sha512),
];

/// The types of the mechanisms that a key of this algorithm has.
pub fn list(algorithm: Algorithm) -> Vec<CK_MECHANISM_TYPE> {
    TABLE.iter().filter(|row| row.scheme.is_of(algorithm)).map(|row| row.mechanism).collect()
}

/// CK_MECHANISM_INFO for keys of this algorithm. CKF_HW stands where the card does all of the signing; with a digest made
/// here it does not.
///
/// The hash that PSS takes is known, though it is not in the list and has no function of its own: Java signs with
/// RSASSA-PSS only if the token knows the hash, which Java then makes itself.
///
/// # Errors
/// CKR_MECHANISM_INVALID.
pub fn info(mechanism: CK_MECHANISM_TYPE, algorithm: Algorithm) -> Result<CK_MECHANISM_INFO> {
    if Scheme::Pss.is_of(algorithm) && mechanism == CKM_SHA256 {
        return Ok(CK_MECHANISM_INFO { ulMinKeySize: 0, ulMaxKeySize: 0, flags: 0 });
    }
    let parsed = Parsed(find(mechanism)?);
    parsed.expect_among(algorithm)?;
    let hardware = if parsed.0.digest == Digest::Given { CKF_HW } else { 0 };
    // What may be said of a curve (PKCS#11 Mechanisms 3.0 §2.3): over a prime field, by its name, with points uncompressed.
    let curve = match algorithm {
        Algorithm::Rsa { .. } => 0,
        Algorithm::P384 => CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS,
    };
    let bits = CK_ULONG::from(algorithm.bits());
    Ok(CK_MECHANISM_INFO { ulMinKeySize: bits, ulMaxKeySize: bits, flags: CKF_SIGN | CKF_VERIFY | hardware | curve })
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
        let taken = match row.scheme {
            Scheme::Pkcs1 | Scheme::Ecdsa => parameter.is_empty(),
            // CK_RSA_PKCS_PSS_PARAMS is three CK_ULONGs: hashAlg, mgf, sLen.
            Scheme::Pss => {
                let (fields, rest) = parameter.as_chunks();
                let fields: Vec<CK_ULONG> = fields.iter().map(|&field| CK_ULONG::from_ne_bytes(field)).collect();
                fields == [CKM_SHA256, CKG_MGF1_SHA256, SALT_LEN as CK_ULONG] && rest.is_empty()
            }
        };
        if taken { Ok(Parsed(row)) } else { Err(Rv::MECHANISM_PARAM_INVALID) }
    }

    /// Makes sure that a key of this algorithm has the mechanism: each token has one key, so that another key's mechanisms
    /// are none of the token's.
    ///
    /// # Errors
    /// CKR_MECHANISM_INVALID.
    pub fn expect_among(self, algorithm: Algorithm) -> Result<()> {
        if self.0.scheme.is_of(algorithm) { Ok(()) } else { Err(Rv::MECHANISM_INVALID) }
    }
}

impl Scheme {
    /// Whether keys of this algorithm sign so.
    fn is_of(self, algorithm: Algorithm) -> bool {
        match self {
            Scheme::Pkcs1 => matches!(algorithm, Algorithm::Rsa { .. }),
            Scheme::Pss => matches!(algorithm, Algorithm::Rsa { pss: true, .. }),
            Scheme::Ecdsa => algorithm == Algorithm::P384,
        }
    }

    /// The longest input that the client has digested itself.
    fn max_given(self) -> usize {
        match self {
            Scheme::Pkcs1 | Scheme::Pss => MAX_RAW,
            Scheme::Ecdsa => MAX_DIGEST,
        }
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
                let room = self.mechanism.0.scheme.max_given() - data.len();
                data.extend_from_slice(part.at_most(room).ok_or(Rv::DATA_LEN_RANGE)?);
            }
        }
        Ok(())
    }

    /// Ends it: what a key whose signatures have `signature_len` bytes is to sign. With RSA those are the modulus's, k.
    ///
    /// # Errors
    /// CKR_DATA_LEN_RANGE: nothing, more than k − 11 bytes, or for PSS anything but 32 bytes.
    pub fn finish(self, signature_len: usize) -> Result<CardInput> {
        let Parsed(row) = self.mechanism;
        let mut digest = match self.data {
            Data::Given(data) => data,
            Data::Digest(digest) => digest.finalize().into_vec(),
        };
        match row.scheme {
            Scheme::Pkcs1 => {
                let data = [row.digest.info_prefix(), &digest].concat();
                let fits = !data.is_empty() && data.len() + PKCS1_OVERHEAD <= signature_len;
                if fits { Ok(CardInput::Pkcs1 { data }) } else { Err(Rv::DATA_LEN_RANGE) }
            }
            Scheme::Pss => match digest.try_into() {
                Ok(hash) => Ok(CardInput::Pss { hash }),
                Err(_) => Err(Rv::DATA_LEN_RANGE),
            },
            Scheme::Ecdsa => {
                // The leftmost bits, as many as the order of the curve has (FIPS 186-5 §6.4.1): half a signature's, since
                // those of the curve served are whole bytes.
                digest.truncate(signature_len / 2);
                if digest.is_empty() { Err(Rv::DATA_LEN_RANGE) } else { Ok(CardInput::Ecdsa { hash: digest }) }
            }
        }
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
    const RSA: Algorithm = Algorithm::Rsa { bits: 2048, pss: true };
    const RSA_WITHOUT_PSS: Algorithm = Algorithm::Rsa { bits: 2048, pss: false };

    fn pss_parameter(fields: [CK_ULONG; 3]) -> Vec<u8> {
        fields.iter().flat_map(|field| field.to_ne_bytes()).collect()
    }

    fn begun(mechanism: CK_MECHANISM_TYPE) -> Operation {
        let pss = TABLE.iter().any(|row| row.mechanism == mechanism && row.scheme == Scheme::Pss);
        let parameter = if pss { pss_parameter([CKM_SHA256, CKG_MGF1_SHA256, 32]) } else { Vec::new() };
        Operation::new(Parsed::new((mechanism, &parameter)).unwrap())
    }

    fn finish(mechanism: CK_MECHANISM_TYPE, parts: &[&[u8]]) -> Result<CardInput> {
        let mut operation = begun(mechanism);
        for part in parts {
            operation.update(*part)?;
        }
        operation.finish(if list(Algorithm::P384).contains(&mechanism) { 96 } else { K })
    }

    #[test]
    fn each_mechanism_stands_once_in_the_table_and_can_sign_and_verify() {
        let both = [(RSA, 8, 2048, 0), (Algorithm::P384, 4, 384, CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS)];
        for (algorithm, count, bits, curve) in both {
            let all = list(algorithm);
            assert_eq!(all.len(), count);
            for (index, &mechanism) in all.iter().enumerate() {
                assert!(!all[..index].contains(&mechanism));
                let info = info(mechanism, algorithm).unwrap();
                let hardware = matches!(mechanism, CKM_RSA_PKCS | CKM_RSA_PKCS_PSS | CKM_ECDSA);
                assert_eq!(info.flags, CKF_SIGN | CKF_VERIFY | curve | if hardware { CKF_HW } else { 0 });
                assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (bits, bits));
            }
            assert_eq!(info(CKM_RSA_X_509, algorithm).err(), Some(Rv::MECHANISM_INVALID));
        }
    }

    #[test]
    fn no_key_has_the_mechanisms_of_a_key_of_another_type() {
        for (own, other) in [(RSA, Algorithm::P384), (Algorithm::P384, RSA)] {
            for mechanism in list(other) {
                assert!(!list(own).contains(&mechanism));
                assert_eq!(info(mechanism, own).err(), Some(Rv::MECHANISM_INVALID));
                assert_eq!(Parsed(find(mechanism).unwrap()).expect_among(own), Err(Rv::MECHANISM_INVALID));
                assert_eq!(Parsed(find(mechanism).unwrap()).expect_among(other), Ok(()));
            }
        }
    }

    #[test]
    fn a_card_without_pss_has_the_other_mechanisms() {
        assert_eq!(list(RSA_WITHOUT_PSS).len(), 6);
        for mechanism in [CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS] {
            assert!(!list(RSA_WITHOUT_PSS).contains(&mechanism));
            assert_eq!(info(mechanism, RSA_WITHOUT_PSS).err(), Some(Rv::MECHANISM_INVALID));
        }
    }

    #[test]
    fn the_hash_of_pss_is_known_for_java_but_not_listed_and_does_nothing() {
        assert!(!list(RSA).contains(&CKM_SHA256));
        assert_eq!(info(CKM_SHA256, RSA).unwrap().flags, 0);
        let unknown =
            [(CKM_SHA256, RSA_WITHOUT_PSS), (CKM_SHA384, RSA), (CKM_SHA_1, RSA), (CKM_SHA256, Algorithm::P384)];
        for (mechanism, algorithm) in unknown {
            assert_eq!(info(mechanism, algorithm).err(), Some(Rv::MECHANISM_INVALID));
        }
    }

    #[test]
    fn pss_is_taken_with_the_cards_parameters_only() {
        for mechanism in [CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS] {
            let parse =
                |parameter: &[u8]| Parsed::new((mechanism, parameter)).map(|parsed| parsed.0.scheme == Scheme::Pss);
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
        for mechanism in [CKM_SHA256_RSA_PKCS, CKM_ECDSA, CKM_ECDSA_SHA384] {
            assert_eq!(Parsed::new((mechanism, &[0])).err(), Some(Rv::MECHANISM_PARAM_INVALID));
        }
        assert_eq!(Parsed::new((CKM_SHA1_RSA_PKCS_PSS, &[])).err(), Some(Rv::MECHANISM_INVALID));
        assert_eq!(Parsed::new((CKM_RSA_X_509, &[])).err(), Some(Rv::MECHANISM_INVALID));
        assert_eq!(Parsed::new((CKM_ECDSA_SHA1, &[])).err(), Some(Rv::MECHANISM_INVALID));
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
    fn of_a_digest_the_leftmost_384_bits_are_signed_on_p384() {
        let long: Vec<u8> = (0..64).collect();
        let ecdsa = |len: usize| CardInput::Ecdsa { hash: long[..len].to_vec() };
        for (len, signed) in [(1, 1), (20, 20), (32, 32), (47, 47), (48, 48), (49, 48), (64, 48)] {
            assert_eq!(finish(CKM_ECDSA, &[&long[..len]]), Ok(ecdsa(signed)));
        }
        for (mechanism, len) in [(CKM_ECDSA_SHA256, 32), (CKM_ECDSA_SHA384, 48), (CKM_ECDSA_SHA512, 48)] {
            let Ok(CardInput::Ecdsa { hash }) = finish(mechanism, &[b"JPKI"]) else { panic!("not ECDSA") };
            assert_eq!(hash.len(), len);
        }
    }

    #[test]
    fn what_is_longer_than_any_digest_is_no_digest() {
        assert_eq!(finish(CKM_ECDSA, &[]), Err(Rv::DATA_LEN_RANGE));
        assert_eq!(finish(CKM_ECDSA, &[&[1; 65]]), Err(Rv::DATA_LEN_RANGE));
        assert_eq!(finish(CKM_ECDSA, &[&[1; 64], &[1]]), Err(Rv::DATA_LEN_RANGE));
    }

    #[test]
    fn parts_make_the_same_as_the_whole() {
        for mechanism in list(RSA).into_iter().chain(list(Algorithm::P384)) {
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
        for row in TABLE.iter().filter(|row| row.digest != Digest::Given && row.scheme == Scheme::Pkcs1) {
            let Ok(CardInput::Pkcs1 { data }) = finish(row.mechanism, &[b"JPKI"]) else { panic!("not PKCS#1") };
            assert_eq!(usize::from(data[1]), data.len() - 2);
            let prefix = row.digest.info_prefix();
            assert_eq!(usize::from(prefix[prefix.len() - 1]), data.len() - prefix.len());
        }
    }
}
