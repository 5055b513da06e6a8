//! The public key of a certificate on the curve P-384 (RFC 5480): the curve by its name, the point uncompressed.

use der::asn1::{AnyRef, ObjectIdentifier};
use std::fmt;

/// id-ecPublicKey (RFC 5480 §2.1.1).
pub(super) const ALGORITHM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp384r1 (RFC 5480 §2.1.1.1).
const CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// A point of the curve that is a public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct P384Key([u8; P384Key::LEN]);

/// Why a certificate's key is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another curve, or one that the certificate describes itself: such a description can be made to fit a foreign key.
    #[error("a key on another curve than P-384")]
    Curve,
    /// A point in another form, or one off the curve.
    #[error("not a point of the curve P-384")]
    Point,
}

impl P384Key {
    /// Bytes of an uncompressed point: 04, and two coordinates.
    const LEN: usize = 97;
    /// Bytes of a number below the curve's order, of which a signature has two.
    pub const NUMBER_LEN: usize = 48;
    /// The curve's name as DER (CKA_EC_PARAMS).
    pub const PARAMETERS: [u8; 7] = [0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];

    /// The key at this point, encoded as SEC 1 §2.3.3 says.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) fn from_point(curve: Option<AnyRef<'_>>, point: &[u8]) -> Result<P384Key, Error> {
        if curve.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok()) != Some(CURVE) {
            return Err(Error::Curve);
        }
        let key: [u8; P384Key::LEN] = point.try_into().map_err(|_| Error::Point)?;
        if key[0] != 0x04 || p384::PublicKey::from_sec1_bytes(&key).is_err() {
            return Err(Error::Point);
        }
        Ok(P384Key(key))
    }

    /// The uncompressed point: 04, and two coordinates of 48 bytes each.
    pub fn point(&self) -> &[u8; P384Key::LEN] {
        &self.0
    }

    /// The point as a DER OCTET STRING (CKA_EC_POINT).
    pub fn octet_string(&self) -> Vec<u8> {
        // The length fits the short form.
        [&[0x04, P384Key::LEN as u8], &self.0[..]].concat()
    }
}

impl fmt::Debug for P384Key {
    /// Not the point, which tells whose key it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P384Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Encode;

    /// The curve's generator (SEC 2 §2.5.1), a point that is easily got at.
    fn generator() -> [u8; 97] {
        let hex = "04AA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7\
                   3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F";
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    fn parse(curve: &[u8], point: &[u8]) -> Result<P384Key, Error> {
        P384Key::from_point(Some(AnyRef::try_from(curve).unwrap()), point)
    }

    #[test]
    fn a_point_of_the_named_curve_is_a_key() {
        let key = parse(&P384Key::PARAMETERS, &generator()).unwrap();
        assert_eq!(key.point(), &generator());
        assert_eq!(key.octet_string(), der::asn1::OctetStringRef::new(&generator()).unwrap().to_der().unwrap());
        assert_eq!(CURVE.to_der().unwrap(), P384Key::PARAMETERS);
    }

    #[test]
    fn another_curve_or_one_described_by_the_certificate_is_refused() {
        let p256 = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7").to_der().unwrap();
        let implicit = [0x05, 0x00];
        let described = [0x30, 0x03, 0x02, 0x01, 0x01];
        for curve in [&p256[..], &implicit, &described] {
            assert_eq!(parse(curve, &generator()), Err(Error::Curve), "{curve:02X?}");
        }
        assert_eq!(P384Key::from_point(None, &generator()), Err(Error::Curve));
    }

    #[test]
    fn points_off_the_curve_compressed_hybrid_or_at_infinity_are_refused() {
        let good = generator();
        let mut off = good;
        off[96] ^= 1;
        let compressed = [&[0x02 | (good[96] & 1)], &good[1..49]].concat();
        let mut hybrid = good;
        hybrid[0] = 0x06 | (good[96] & 1);
        let beyond_the_field = [&[0x04], &[0xFF; 96][..]].concat();
        let zero = [&[0x04], &[0; 96][..]].concat();
        for point in [
            &off[..],
            &compressed,
            &hybrid,
            &beyond_the_field,
            &zero,
            &[0x00],
            &[],
            &good[1..],
            &[&good[..], &[0]].concat(),
        ] {
            assert_eq!(parse(&P384Key::PARAMETERS, point), Err(Error::Point), "{point:02X?}");
        }
    }
}
