//! A card whose keys are not RSA: what it is, what it shows, and how it signs, beside one of today.

use super::*;
use crate::apdu::COMPUTE_DIGITAL_SIGNATURE;
use crate::card::Key;
use crate::cert::forgery::Forgery;
use crate::emulator::local::Incident;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256, Sha384, Sha512};

static NEXT: LazyLock<Image> = LazyLock::new(|| issue(Kind::Next, 6));

const SELECT_NEXT: &str = "00A4040C0AF04A504B494E45585401";
/// The second reader's tokens.
const NEXT_AUTH: CK_SLOT_ID = 2;
const NEXT_SIGN: CK_SLOT_ID = 3;
const ECDSA: [CK_MECHANISM_TYPE; 4] = [CKM_ECDSA, CKM_ECDSA_SHA256, CKM_ECDSA_SHA384, CKM_ECDSA_SHA512];

fn mechanism(mechanism: CK_MECHANISM_TYPE) -> Parsed {
    Parsed::new((mechanism, &[])).unwrap()
}

fn logged_in(slot: CK_SLOT_ID) -> (Ground, CK_SESSION_HANDLE) {
    let ground = Ground::new(card(&NEXT));
    let session = ground.session(slot);
    ground.login(session, if slot == AUTH { PIN } else { PASSWORD }).unwrap();
    (ground, session)
}

/// Both generations at once.
fn both() -> Ground {
    Ground::set(Tokens::Both, vec![Box::new(card(&MY_NUMBER)), Box::new(card(&NEXT))], |_| {})
}

/// What the card signs of `data` by this mechanism: a number as long as the curve's order.
fn number(mechanism: CK_MECHANISM_TYPE, data: &[u8]) -> [u8; 48] {
    let digest = match mechanism {
        CKM_ECDSA_SHA256 => Sha256::digest(data).to_vec(),
        CKM_ECDSA_SHA384 => Sha384::digest(data).to_vec(),
        CKM_ECDSA_SHA512 => Sha512::digest(data).to_vec(),
        _ => data.to_vec(),
    };
    let leftmost = &digest[..digest.len().min(48)];
    let mut number = [0; 48];
    number[48 - leftmost.len()..].copy_from_slice(leftmost);
    number
}

/// Checks with the point that the module hands out, by the library itself.
fn assert_sound(
    ground: &Ground,
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_TYPE,
    data: &[u8],
    signature: &[u8],
) {
    let point = ground.attribute(session, ground.key(session), CKA_EC_POINT).unwrap();
    let key = VerifyingKey::from_sec1_bytes(&point[2..]).unwrap();
    key.verify_prehash(&number(mechanism, data), &Signature::from_slice(signature).unwrap()).unwrap();
}

fn rival_signs(ground: &Ground, key: &str) -> Sw {
    ground.rival(SELECT_NEXT);
    ground.rival(&format!("802A00{key}02010200"))
}

#[test]
fn both_keys_sign_by_every_mechanism_in_one_apdu_each() {
    for slot in [AUTH, SIGN] {
        let (ground, session) = logged_in(slot);
        ground.key(session);
        for (kind, data) in [(ECDSA[0], &[7; 48][..]), (ECDSA[0], &[9; 64]), (ECDSA[0], &[1; 20])]
            .into_iter()
            .chain(ECDSA[1..].iter().map(|&kind| (kind, &b"message"[..])))
        {
            let (count, signature) = ground.apdus(|| ground.sign_with(session, mechanism(kind), data).unwrap());
            assert_eq!((count, signature.len()), (1, 96));
            assert_sound(&ground, session, kind, data, &signature);
            let public = ground.class(session, CKO_PUBLIC_KEY)[0];
            for (data, verdict) in [(data, Ok(())), (&[8; 48][..], Err(Rv::SIGNATURE_INVALID))] {
                ground.module.verify_init(session, mechanism(kind), public).unwrap();
                let (count, said) = ground.apdus(|| ground.module.verify(session, data, &signature[..]));
                assert_eq!((count, said), (0, verdict), "{kind:x}");
                ground.module.verify_signature_init(session, mechanism(kind), public, &signature[..]).unwrap();
                let (count, said) = ground.apdus(|| ground.module.verify_signature(session, data));
                assert_eq!((count, said), (0, verdict), "{kind:x}, with the signature given first");
            }
        }
    }
}

#[test]
fn a_signatures_length_is_its_own_keys() {
    let ground = both();
    for (slot, secret, mechanism, len) in [
        (AUTH, PIN, sha256_pkcs1(), 256),
        (SIGN, PASSWORD, sha256_pkcs1(), 256),
        (NEXT_AUTH, PIN, mechanism(CKM_ECDSA_SHA384), 96),
        (NEXT_SIGN, PASSWORD, mechanism(CKM_ECDSA_SHA384), 96),
    ] {
        let session = ground.session(slot);
        ground.login(session, secret).unwrap();
        ground.module.sign_init(session, mechanism, ground.key(session)).unwrap();
        let (count, ()) = ground.apdus(|| {
            assert_eq!(output(None, |out| ground.module.sign(session, b"x", out)).unwrap().len(), len);
            let short = output(Some(len - 1), |out| ground.module.sign(session, b"x", out));
            assert_eq!(short, Err(Rv::BUFFER_TOO_SMALL));
        });
        assert_eq!(count, 0);
        assert_eq!(output(Some(len), |out| ground.module.sign(session, b"x", out)).unwrap().len(), len);
        let public = ground.class(session, CKO_PUBLIC_KEY)[0];
        for wrong in [len - 1, len + 1] {
            ground.module.verify_init(session, mechanism, public).unwrap();
            let said = ground.module.verify(session, b"x", &vec![1; wrong][..]);
            assert_eq!(said, Err(Rv::SIGNATURE_LEN_RANGE));
            let begun = ground.module.verify_signature_init(session, mechanism, public, &vec![1; wrong][..]);
            assert_eq!(begun, Err(Rv::SIGNATURE_LEN_RANGE));
        }
    }
}

#[test]
fn each_token_lists_the_mechanisms_of_its_own_key_and_takes_no_others() {
    let ground = both();
    let rsa = ground.module.mechanisms(AUTH).unwrap();
    assert_eq!(rsa.len(), 8);
    for (slot, secret, own, bits) in [
        (AUTH, PIN, &rsa[..], 2048),
        (SIGN, PASSWORD, &rsa, 2048),
        (NEXT_AUTH, PIN, &ECDSA, 384),
        (NEXT_SIGN, PASSWORD, &ECDSA, 384),
    ] {
        assert_eq!(ground.module.mechanisms(slot).unwrap(), own);
        let session = ground.session(slot);
        ground.login(session, secret).unwrap();
        let (key, public) = (ground.key(session), ground.class(session, CKO_PUBLIC_KEY)[0]);
        let allowed: Vec<u8> = own.iter().flat_map(|mechanism| mechanism.to_ne_bytes()).collect();
        for object in [key, public] {
            assert_eq!(ground.attribute(session, object, CKA_ALLOWED_MECHANISMS).unwrap(), allowed);
        }
        for kind in rsa.iter().copied().chain(ECDSA) {
            let info = ground.module.mechanism_info(slot, kind);
            if own.contains(&kind) {
                let info = info.unwrap();
                assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (bits, bits));
                continue;
            }
            assert_eq!(info.err(), Some(Rv::MECHANISM_INVALID), "{kind:x}");
            let parsed = match kind {
                CKM_RSA_PKCS_PSS | CKM_SHA256_RSA_PKCS_PSS => sha256_pss(),
                kind => mechanism(kind),
            };
            let (count, ()) = ground.apdus(|| {
                assert_eq!(ground.module.sign_init(session, parsed, key), Err(Rv::MECHANISM_INVALID));
                assert_eq!(ground.module.verify_init(session, parsed, public), Err(Rv::MECHANISM_INVALID));
            });
            assert_eq!(count, 0);
        }
    }
}

#[test]
fn key_objects_have_the_attributes_of_their_own_type_and_none_of_the_others() {
    let ground = both();
    let rsa = [CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_MODULUS_BITS];
    let curve = [CKA_EC_PARAMS, CKA_EC_POINT];
    for (slot, kind, generation, own, other) in [
        (AUTH, CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, &rsa[..], &curve[..]),
        (NEXT_AUTH, CKK_EC, CKM_EC_KEY_PAIR_GEN, &curve, &rsa),
    ] {
        let session = ground.session(slot);
        ground.login(session, PIN).unwrap();
        for class in [CKO_PUBLIC_KEY, CKO_PRIVATE_KEY] {
            let object = ground.class(session, class)[0];
            assert_eq!(ground.attribute(session, object, CKA_KEY_TYPE).unwrap(), kind.to_ne_bytes());
            assert_eq!(ground.attribute(session, object, CKA_KEY_GEN_MECHANISM).unwrap(), generation.to_ne_bytes());
            for &attribute in own {
                let value = ground.attribute(session, object, attribute).unwrap();
                let found = ground.find(session, &[(CKA_CLASS, &class.to_ne_bytes()), (attribute, &value)]);
                assert_eq!(found, [object], "{attribute:x}");
            }
            for &attribute in other {
                assert_eq!(ground.attribute(session, object, attribute), Err(Rv::ATTRIBUTE_TYPE_INVALID));
            }
            for other in [CKK_RSA, CKK_EC].into_iter().filter(|&other| other != kind) {
                let rows: [(_, &[u8]); 2] = [(CKA_CLASS, &class.to_ne_bytes()), (CKA_KEY_TYPE, &other.to_ne_bytes())];
                assert!(ground.find(session, &rows).is_empty());
            }
        }
    }
    let session = ground.session(NEXT_AUTH);
    let (key, public) = (ground.key(session), ground.class(session, CKO_PUBLIC_KEY)[0]);
    assert_eq!(ground.attribute(session, key, CKA_VALUE), Err(Rv::ATTRIBUTE_SENSITIVE));
    assert_eq!(ground.attribute(session, public, CKA_VALUE), Err(Rv::ATTRIBUTE_TYPE_INVALID));
    assert_eq!(ground.attribute(session, key, CKA_EC_PARAMS).unwrap(), hex("06052B81040022"));
    let point = ground.attribute(session, key, CKA_EC_POINT).unwrap();
    assert_eq!((point.len(), &point[..3]), (99, &[0x04, 97, 0x04][..]), "an OCTET STRING of an uncompressed point");
    let info = ground.attribute(session, key, CKA_PUBLIC_KEY_INFO).unwrap();
    assert!(info.ends_with(&point[2..]));
}

#[test]
fn a_digest_of_no_or_too_many_bytes_is_not_sent() {
    let (ground, session) = logged_in(AUTH);
    ground.key(session);
    for data in [&[][..], &[7; 65]] {
        let (count, result) = ground.apdus(|| ground.sign_with(session, mechanism(CKM_ECDSA), data));
        assert_eq!((count, result), (0, Err(Rv::DATA_LEN_RANGE)));
    }
}

#[test]
fn a_signature_that_is_not_the_certificates_never_leaves() {
    type Lie = (&'static str, fn(&mut Vec<u8>));
    let lies: [Lie; 8] = [
        ("another r", |signature| signature[47] ^= 1),
        ("another s", |signature| signature[95] ^= 1),
        ("r = 0", |signature| signature[..48].fill(0)),
        ("s = 0", |signature| signature[48..].fill(0)),
        ("s above the order", |signature| signature[48..].fill(0xFF)),
        ("too short", |signature| signature.truncate(95)),
        ("as RSA's", |signature| signature.resize(256, 1)),
        ("none", Vec::clear),
    ];
    for (what, lie) in lies {
        let (ground, session) = logged_in(AUTH);
        let mut signature = ground.sign_with(session, mechanism(CKM_ECDSA_SHA384), b"x").unwrap();
        lie(&mut signature);
        signature.extend_from_slice(&[0x90, 0x00]);
        ground.readers.on_command(READER, move |command| match command.ins {
            COMPUTE_DIGITAL_SIGNATURE => Incident::Answer(signature.clone()),
            _ => Incident::None,
        });
        let verifies = ground.readers.verifies();
        let said = ground.sign_with(session, mechanism(CKM_ECDSA_SHA384), b"x");
        assert_eq!(said, Err(Rv::DEVICE_ERROR), "{what}");
        assert_eq!(ground.readers.verifies(), verifies, "{what}");
    }
}

#[test]
fn a_key_that_the_kind_of_card_does_not_have_is_a_certificate_without_a_key() {
    let of = |image: &Image| Forgery::from_pem(image.certificates.auth.as_deref().unwrap());
    for (own, other) in [(&*MY_NUMBER, &*NEXT), (&*NEXT, &*MY_NUMBER)] {
        let mut certificate = of(own);
        certificate.tbs.key = of(other).tbs.key;
        let mut image = own.clone();
        image.certificates.auth = Some(certificate.to_pem());
        let ground = Ground::new(card(&image));
        let session = ground.session(AUTH);
        ground.login(session, PIN).unwrap();
        assert!(ground.class(session, CKO_PRIVATE_KEY).is_empty());
        assert!(ground.class(session, CKO_PUBLIC_KEY).is_empty());
        assert_eq!(ground.class(session, CKO_CERTIFICATE).len(), 2);
    }
}

#[test]
fn its_application_is_asked_for_only_where_the_card_says_that_it_has_not_todays() {
    let ground = both();
    let (count, _) = ground.apdus(|| ground.module.slot_list(true, true).unwrap());
    let selected = ground.readers.log().iter().filter(|exchange| exchange.command.starts_with("00 A4 04 0C")).count();
    assert_eq!(selected, 3);
    assert_eq!(count, 3 + 4);
    for slot in [AUTH, NEXT_AUTH] {
        let label = text(&ground.module.token_info(slot).unwrap().label);
        assert!(label.starts_with("PRACTICE Auth (4-digit PIN) "), "{label}");
    }
}

/// The strong secret opens the weak one's key at the card. That makes nobody logged in to the other token, and goes with the
/// login that brought it.
#[test]
fn a_signature_login_is_no_login_to_the_authentication_token_though_the_card_signs_for_it() {
    let (ground, sign) = logged_in(SIGN);
    let auth = ground.session(AUTH);
    assert_eq!(ground.state(auth), CKS_RW_PUBLIC_SESSION);
    assert!(ground.class(auth, CKO_PRIVATE_KEY).is_empty());
    assert_eq!(ground.module.logout(auth), Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(rival_signs(&ground, "95"), Sw::OK, "the card makes no difference");
    ground.module.logout(sign).unwrap();
    for key in ["95", "97"] {
        assert_eq!(rival_signs(&ground, key), Sw::NOT_VERIFIED);
    }
}

#[test]
fn an_authentication_login_does_not_open_the_signature_key() {
    let (ground, auth) = logged_in(AUTH);
    assert_eq!(rival_signs(&ground, "95"), Sw::OK);
    assert_eq!(rival_signs(&ground, "97"), Sw::NOT_VERIFIED);
    ground.module.logout(auth).unwrap();
    assert_eq!(rival_signs(&ground, "95"), Sw::NOT_VERIFIED);
}

/// Nobody has presented the PIN: the record of authentication logins, by which processes count them, says so.
#[test]
fn a_signature_login_leaves_no_record_of_an_authentication_login() {
    let (ground, sign) = logged_in(SIGN);
    let present = ground.module.present(ground.module.slot(SIGN).unwrap()).unwrap();
    let logins = ground.module.logins(&present);
    let marked = || Key::ALL.map(|key| logins.is_marked(key));
    assert_eq!(marked(), [false, true]);
    ground.module.logout(sign).unwrap();
    assert_eq!(marked(), [false, false]);
}

/// The authentication login of one program and the signature login of another end as on a card of today: the first to log out
/// of the authentication token takes nothing from the other, and the key closes with the strong login.
#[test]
fn an_authentication_logout_leaves_the_key_open_only_as_long_as_a_signature_login_lives() {
    let (ground, sign) = logged_in(SIGN);
    let auth = ground.session(AUTH);
    ground.login(auth, PIN).unwrap();
    ground.module.logout(auth).unwrap();
    ground.sign_with(sign, mechanism(CKM_ECDSA_SHA384), b"x").unwrap();
    assert_eq!(rival_signs(&ground, "95"), Sw::OK);
    ground.module.logout(sign).unwrap();
    assert_eq!(rival_signs(&ground, "95"), Sw::NOT_VERIFIED);
}

#[test]
fn a_lost_login_is_regained_with_the_held_pin() {
    let (ground, session) = logged_in(AUTH);
    ground.key(session);
    ground.rival(SELECT_ISD);
    let verifies = ground.readers.verifies();
    let signature = ground.sign_with(session, mechanism(CKM_ECDSA_SHA384), b"x").unwrap();
    assert_eq!(ground.readers.verifies(), verifies + 1);
    assert_sound(&ground, session, CKM_ECDSA_SHA384, b"x", &signature);
}

#[test]
fn a_signature_login_that_ends_is_followed_by_a_regained_authentication_login() {
    let (ground, sign) = logged_in(SIGN);
    let auth = ground.session(AUTH);
    ground.login(auth, PIN).unwrap();
    ground.module.logout(sign).unwrap();
    assert_eq!(ground.state(auth), CKS_RW_USER_FUNCTIONS);
    let signature = ground.sign_with(auth, mechanism(CKM_ECDSA_SHA384), b"x").unwrap();
    assert_sound(&ground, auth, CKM_ECDSA_SHA384, b"x", &signature);
}

#[test]
fn an_always_authenticate_key_wants_its_password_before_every_signature_but_the_first() {
    let ground = Ground::set(Tokens::Both, vec![Box::new(card(&NEXT))], |config| config.always_authenticate = true);
    let session = ground.session(SIGN);
    ground.login(session, PASSWORD).unwrap();
    let sign = || ground.sign_with(session, mechanism(CKM_ECDSA_SHA384), b"x");
    sign().unwrap();
    assert_eq!(sign(), Err(Rv::USER_NOT_LOGGED_IN));
    ground.module.sign_init(session, mechanism(CKM_ECDSA_SHA384), ground.key(session)).unwrap();
    ground.module.login(session, CKU_CONTEXT_SPECIFIC, Some(PASSWORD)).unwrap();
    output(Some(96), |out| ground.module.sign(session, b"x", out)).unwrap();
}

#[test]
fn a_wrong_secret_costs_a_try_of_its_own_only_and_a_malformed_one_none() {
    let ground = Ground::new(card(&NEXT));
    let (auth, sign) = (ground.session(AUTH), ground.session(SIGN));
    assert_eq!(ground.login(auth, b"0000"), Err(Rv::PIN_INCORRECT));
    assert_eq!(ground.login(sign, b"WRONG1"), Err(Rv::PIN_INCORRECT));
    let verifies = ground.readers.verifies();
    for (session, malformed) in [(auth, &b"12345"[..]), (auth, b"123"), (sign, b"ABC12"), (sign, b"ABC 123")] {
        assert!(ground.login(session, malformed).is_err());
    }
    assert_eq!(ground.readers.verifies(), verifies);
    ground.login(auth, PIN).unwrap();
    ground.login(sign, PASSWORD).unwrap();
    assert_eq!(ground.rival("00200096"), Sw(0x63C3));
    assert_eq!(ground.rival("00200098"), Sw(0x63C5));
}
