//! The mandatory test cases of the profiles that the authentication token claims (PKCS#11 Profiles 3.2: BL-M-1-32, EXT-M-1-32,
//! AUTH-M-1-32 and CERT-M-1-32), call by call in their order. What they expect of their own token, its names, keys and certificates, is
//! expected here of the practice card's. The rest of this directory is for `make conformance`.

#![cfg(all(unix, feature = "practice"))]
#![allow(unsafe_code)]

#[path = "../common/embedded.rs"]
mod embedded;
#[path = "../common/loaded.rs"]
mod loaded;

use cryptoki_sys::*;
use loaded::{finalize, load};
use rsa::{BoxedUint, Pkcs1v15Sign, PublicKey};
use sha2::{Digest, Sha256};
use std::ptr::null_mut;

/// C_Initialize, C_GetInfo, C_GetSlotList with its size first, `body` with the first slot, C_CloseAllSessions, C_Finalize:
/// what all cases begin and end with.
fn case(body: impl FnOnce(&CK_FUNCTION_LIST_3_2, CK_SLOT_ID)) {
    embedded::insert_card();
    let module = load();
    let list = module.v3;
    let (mut info, mut count) = (CK_INFO::default(), 0);
    // SAFETY: null is good for C_Initialize; a place for each answer.
    unsafe {
        assert_eq!(list.C_Initialize.unwrap()(null_mut()), CKR_OK);
        assert_eq!(list.C_GetInfo.unwrap()(&mut info), CKR_OK);
        assert_eq!(list.C_GetSlotList.unwrap()(CK_TRUE, null_mut(), &mut count), CKR_OK);
    }
    assert_eq!((info.cryptokiVersion.major, info.cryptokiVersion.minor, info.flags), (3, 2, 0));
    assert_eq!(count, 2, "an authentication and a signature token");
    let mut slots = vec![0; 2];
    // SAFETY: room for as many slots as said.
    assert_eq!(unsafe { list.C_GetSlotList.unwrap()(CK_TRUE, slots.as_mut_ptr(), &mut count) }, CKR_OK);
    body(list, slots[0]);
    // SAFETY: no pointers.
    assert_eq!(unsafe { list.C_CloseAllSessions.unwrap()(slots[0]) }, CKR_OK);
    assert_eq!(finalize(&module), CKR_OK);
}

#[test]
fn baseline_provider_bl_m_1_32() {
    case(|list, slot| {
        let (mut slot_info, mut token_info) = (CK_SLOT_INFO::default(), CK_TOKEN_INFO::default());
        // SAFETY: a place for each answer.
        unsafe {
            assert_eq!(list.C_GetSlotInfo.unwrap()(slot, &mut slot_info), CKR_OK);
            assert_eq!(list.C_GetTokenInfo.unwrap()(slot, &mut token_info), CKR_OK);
        }
        assert_ne!(slot_info.flags & CKF_TOKEN_PRESENT, 0);
        let expected = CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED;
        assert_eq!(token_info.flags, expected);
        let session = open(list, slot, CKF_SERIAL_SESSION);
        find_init(list, session, &[(CKA_TOKEN, &[CK_TRUE])]);
        assert_eq!(find(list, session, 1).len(), 1);
        find_final(list, session);
        close(list, session);
    });
}

#[test]
fn extended_provider_ext_m_1_32() {
    case(|list, slot| {
        let (mut slot_info, mut token_info, mut count) = (CK_SLOT_INFO::default(), CK_TOKEN_INFO::default(), 0);
        // SAFETY: a place for each answer.
        unsafe {
            assert_eq!(list.C_GetSlotInfo.unwrap()(slot, &mut slot_info), CKR_OK);
            assert_eq!(list.C_GetTokenInfo.unwrap()(slot, &mut token_info), CKR_OK);
            assert_eq!(list.C_GetMechanismList.unwrap()(slot, null_mut(), &mut count), CKR_OK);
        }
        let mut mechanisms = vec![0; count as usize];
        // SAFETY: room for as many mechanisms as said.
        assert_eq!(unsafe { list.C_GetMechanismList.unwrap()(slot, mechanisms.as_mut_ptr(), &mut count) }, CKR_OK);
        assert_eq!((mechanisms.len(), count), (8, 8));
        for mechanism in mechanisms {
            let mut info = CK_MECHANISM_INFO::default();
            // SAFETY: a place for the answer.
            assert_eq!(unsafe { list.C_GetMechanismInfo.unwrap()(slot, mechanism, &mut info) }, CKR_OK);
            assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (2048, 2048));
            assert_eq!(info.flags & !CKF_HW, CKF_SIGN | CKF_VERIFY);
        }
        let session = open(list, slot, CKF_RW_SESSION | CKF_SERIAL_SESSION);
        login(list, session);
        find_init(list, session, &[(CKA_TOKEN, &[CK_TRUE])]);
        assert_eq!(find(list, session, 1).len(), 1);
        find_final(list, session);
        logout(list, session);
        close(list, session);
    });
}

#[test]
fn authentication_token_auth_m_1_32() {
    case(|list, slot| {
        let session = open(list, slot, CKF_RW_SESSION | CKF_SERIAL_SESSION);
        login(list, session);
        let only = |label: &[u8], class: CK_OBJECT_CLASS| {
            find_init(list, session, &[(CKA_TOKEN, &[CK_TRUE]), (CKA_LABEL, label), (CKA_CLASS, &class.to_ne_bytes())]);
            let found = find(list, session, 1);
            find_final(list, session);
            found[0]
        };
        let public = only(b"User Authentication Public Key", CKO_PUBLIC_KEY);
        // Both in one template, in more room than they need.
        let (mut modulus, mut exponent) = ([0u8; 1024], [0u8; 1024]);
        let mut template = [(CKA_MODULUS, &mut modulus), (CKA_PUBLIC_EXPONENT, &mut exponent)]
            .map(|(type_, room)| CK_ATTRIBUTE { type_, pValue: room.as_mut_ptr().cast(), ulValueLen: 1024 });
        // SAFETY: two attributes with their room.
        assert_eq!(unsafe { list.C_GetAttributeValue.unwrap()(session, public, template.as_mut_ptr(), 2) }, CKR_OK);
        assert_eq!(template.map(|attribute| attribute.ulValueLen), [256, 3]);

        let key = only(b"User Authentication Key", CKO_PRIVATE_KEY);
        let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA256_RSA_PKCS, pParameter: null_mut(), ulParameterLen: 0 };
        let (data, mut signature, mut len) = ([0x30; 391], [0; 256], 256);
        // SAFETY: a mechanism without a parameter; data and room of those lengths.
        unsafe {
            assert_eq!(list.C_SignInit.unwrap()(session, &mut mechanism, key), CKR_OK);
            let rv = list.C_Sign.unwrap()(session, data.as_ptr().cast_mut(), 391, signature.as_mut_ptr(), &mut len);
            assert_eq!((rv, len), (CKR_OK, 256));
        }
        let key = PublicKey::new(
            BoxedUint::from_be_slice_vartime(&modulus[..256]),
            BoxedUint::from_be_slice_vartime(&exponent[..3]),
        );
        key.unwrap().verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(data), &signature).unwrap();

        logout(list, session);
        close(list, session);
    });
}

#[test]
fn public_certificates_token_cert_m_1_32() {
    case(|list, slot| {
        let session = open(list, slot, CKF_SERIAL_SESSION);
        find_init(list, session, &[(CKA_TOKEN, &[CK_TRUE])]);
        let found = find(list, session, 5);
        assert_eq!(found.len(), 5);
        // While the search is active: each object's label, and the certificate's value, by their lengths.
        let values: Vec<_> = found
            .iter()
            .filter(|&&object| attribute(list, session, object, CKA_LABEL) == b"User Authentication Certificate")
            .map(|&object| attribute(list, session, object, CKA_VALUE))
            .collect();
        assert_eq!(values.len(), 1);
        assert_eq!(values[0][..2], [0x30, 0x82], "DER");
        find_final(list, session);
        close(list, session);
    });
}

fn open(list: &CK_FUNCTION_LIST_3_2, slot: CK_SLOT_ID, flags: CK_FLAGS) -> CK_SESSION_HANDLE {
    let mut session = 0;
    // SAFETY: a place for the handle.
    assert_eq!(unsafe { list.C_OpenSession.unwrap()(slot, flags, null_mut(), None, &mut session) }, CKR_OK);
    session
}

fn login(list: &CK_FUNCTION_LIST_3_2, session: CK_SESSION_HANDLE) {
    let pin = b"1234";
    // SAFETY: the PIN has four bytes.
    assert_eq!(unsafe { list.C_Login.unwrap()(session, CKU_USER, pin.as_ptr().cast_mut(), 4) }, CKR_OK);
}

fn logout(list: &CK_FUNCTION_LIST_3_2, session: CK_SESSION_HANDLE) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { list.C_Logout.unwrap()(session) }, CKR_OK);
}

fn close(list: &CK_FUNCTION_LIST_3_2, session: CK_SESSION_HANDLE) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { list.C_CloseSession.unwrap()(session) }, CKR_OK);
}

fn find_init(list: &CK_FUNCTION_LIST_3_2, session: CK_SESSION_HANDLE, rows: &[(CK_ATTRIBUTE_TYPE, &[u8])]) {
    let mut template: Vec<_> = rows
        .iter()
        .map(|&(type_, value)| CK_ATTRIBUTE {
            type_,
            pValue: value.as_ptr().cast_mut().cast(),
            ulValueLen: value.len() as CK_ULONG,
        })
        .collect();
    // SAFETY: as many attributes as said, with their values.
    let rv = unsafe { list.C_FindObjectsInit.unwrap()(session, template.as_mut_ptr(), template.len() as CK_ULONG) };
    assert_eq!(rv, CKR_OK);
}

fn find(list: &CK_FUNCTION_LIST_3_2, session: CK_SESSION_HANDLE, max: usize) -> Vec<CK_OBJECT_HANDLE> {
    let (mut objects, mut count) = (vec![0; max], 0);
    // SAFETY: room for as many handles as said.
    let rv = unsafe { list.C_FindObjects.unwrap()(session, objects.as_mut_ptr(), max as CK_ULONG, &mut count) };
    assert_eq!(rv, CKR_OK);
    objects.truncate(count as usize);
    objects
}

fn find_final(list: &CK_FUNCTION_LIST_3_2, session: CK_SESSION_HANDLE) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { list.C_FindObjectsFinal.unwrap()(session) }, CKR_OK);
}

/// An attribute, after asking for its length.
fn attribute(
    list: &CK_FUNCTION_LIST_3_2,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    type_: CK_ATTRIBUTE_TYPE,
) -> Vec<u8> {
    let mut question = CK_ATTRIBUTE { type_, pValue: null_mut(), ulValueLen: 0 };
    // SAFETY: one attribute, without room and then with as much as it was said to need.
    unsafe {
        assert_eq!(list.C_GetAttributeValue.unwrap()(session, object, &mut question, 1), CKR_OK);
        let mut value = vec![0u8; question.ulValueLen as usize];
        question.pValue = value.as_mut_ptr().cast();
        assert_eq!(list.C_GetAttributeValue.unwrap()(session, object, &mut question, 1), CKR_OK);
        assert_eq!(question.ulValueLen as usize, value.len());
        value
    }
}
