//! What PKCS#11 3.2 has added, at the entry points, with a card: verifying where the signature comes first, and what is not
//! offered. The built library, as a C program loads it.

#![cfg(all(unix, feature = "practice"))]
#![allow(unsafe_code)]

#[path = "common/embedded.rs"]
mod embedded;
#[path = "common/loaded.rs"]
mod loaded;
#[path = "common/session.rs"]
mod session;

use cryptoki_sys::*;
use session::{Card, mechanism};
use std::ptr::null_mut;

/// What is signed: as long as the hash that PSS takes undigested.
const DATA: [u8; 32] = [0x5A; 32];
/// A handle that was never given out.
const NEVER: CK_ULONG = 0xDEAD_BEEF;

impl Card {
    fn verify_signature_init(
        &self,
        session: CK_SESSION_HANDLE,
        mut mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        signature: &[u8],
    ) -> CK_RV {
        // SAFETY: a mechanism with its parameter, and a signature of that length.
        unsafe {
            let (start, len) = (signature.as_ptr().cast_mut(), signature.len() as CK_ULONG);
            self.list.C_VerifySignatureInit.unwrap()(session, &mut mechanism, key, start, len)
        }
    }

    fn verify_signature(&self, session: CK_SESSION_HANDLE, data: &[u8]) -> CK_RV {
        let (start, len) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        // SAFETY: data of that length.
        unsafe { self.list.C_VerifySignature.unwrap()(session, start, len) }
    }

    fn verify_signature_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> CK_RV {
        let (start, len) = (part.as_ptr().cast_mut(), part.len() as CK_ULONG);
        // SAFETY: data of that length.
        unsafe { self.list.C_VerifySignatureUpdate.unwrap()(session, start, len) }
    }

    fn verify_signature_final(&self, session: CK_SESSION_HANDLE) -> CK_RV {
        // SAFETY: no pointers.
        unsafe { self.list.C_VerifySignatureFinal.unwrap()(session) }
    }

    /// C_Verify with a signature of zeroes.
    fn verify(&self, session: CK_SESSION_HANDLE) -> CK_RV {
        let mut signature = [0; 256];
        // SAFETY: data and signature of those lengths.
        unsafe {
            let start = signature.as_mut_ptr();
            self.list.C_Verify.unwrap()(session, DATA.as_ptr().cast_mut(), DATA.len() as CK_ULONG, start, 256)
        }
    }

    /// C_VerifyUpdate.
    fn verify_update(&self, session: CK_SESSION_HANDLE) -> CK_RV {
        // SAFETY: data of that length.
        unsafe { self.list.C_VerifyUpdate.unwrap()(session, DATA.as_ptr().cast_mut(), DATA.len() as CK_ULONG) }
    }

    /// All mechanisms that C_GetMechanismInfo says C_Verify has.
    fn verifying_mechanisms(&self) -> Vec<CK_MECHANISM_TYPE> {
        let (mut types, mut count) = ([0; 64], 64);
        // SAFETY: room for as many types as said.
        let rv = unsafe { self.list.C_GetMechanismList.unwrap()(self.slot, types.as_mut_ptr(), &mut count) };
        assert_eq!(rv, CKR_OK);
        let verifies = |mechanism: &CK_MECHANISM_TYPE| {
            let mut info = CK_MECHANISM_INFO::default();
            // SAFETY: a place for the answer.
            let rv = unsafe { self.list.C_GetMechanismInfo.unwrap()(self.slot, *mechanism, &mut info) };
            assert_eq!(rv, CKR_OK);
            info.flags & CKF_VERIFY != 0
        };
        types[..count as usize].iter().copied().filter(verifies).collect()
    }

    /// A signature over [`DATA`].
    fn signature(&self, session: CK_SESSION_HANDLE, mechanism: CK_MECHANISM) -> [u8; 256] {
        let mut signature = [0; 256];
        self.sign_init_with(session, mechanism, self.find(session, CKO_PRIVATE_KEY));
        assert_eq!(self.sign(session, &DATA, &mut signature), (CKR_OK, 256));
        signature
    }
}

#[test]
fn every_mechanism_that_verifies_does_so_with_the_signature_given_first() {
    let card = Card::insert();
    let session = card.logged_in();
    let public = card.find(session, CKO_PUBLIC_KEY);
    let mechanisms = card.verifying_mechanisms();
    assert_eq!(mechanisms.len(), 8);
    let mut pss = CK_RSA_PKCS_PSS_PARAMS { hashAlg: CKM_SHA256, mgf: CKG_MGF1_SHA256, sLen: 32 };
    for type_ in mechanisms {
        let mut mechanism = CK_MECHANISM { mechanism: type_, ..mechanism() };
        if [CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS].contains(&type_) {
            mechanism.pParameter = (&raw mut pss).cast();
            mechanism.ulParameterLen = size_of_val(&pss) as CK_ULONG;
        }
        let good = card.signature(session, mechanism);
        let mut bad = good;
        bad[255] ^= 1;
        let begin = |signature: &[u8]| {
            assert_eq!(card.verify_signature_init(session, mechanism, public, signature), CKR_OK, "{type_:#x}");
        };
        for (signature, expected) in [(good, CKR_OK), (bad, CKR_SIGNATURE_INVALID)] {
            begin(&signature);
            assert_eq!(card.verify_signature(session, &DATA), expected, "{type_:#x}");
            assert_eq!(card.verify_signature(session, &DATA), CKR_OPERATION_NOT_INITIALIZED, "{type_:#x}");

            begin(&signature);
            for part in [&DATA[..5], &[], &DATA[5..]] {
                assert_eq!(card.verify_signature_update(session, part), CKR_OK, "{type_:#x}");
            }
            assert_eq!(card.verify_signature_final(session), expected, "{type_:#x}");
            assert_eq!(card.verify_signature_final(session), CKR_OPERATION_NOT_INITIALIZED, "{type_:#x}");
        }
        begin(&good);
        assert_eq!(card.verify_signature(session, &[0xA5; 32]), CKR_SIGNATURE_INVALID, "{type_:#x}");
    }
}

#[test]
fn a_signature_given_first_is_kept_whatever_becomes_of_the_callers() {
    let card = Card::insert();
    let session = card.logged_in();
    let mut signature = card.signature(session, mechanism());
    let public = card.find(session, CKO_PUBLIC_KEY);
    assert_eq!(card.verify_signature_init(session, mechanism(), public, &signature), CKR_OK);
    signature.fill(0);
    assert_eq!(card.verify_signature(session, &DATA), CKR_OK);
}

#[test]
fn a_signature_of_another_length_begins_nothing_and_is_not_read() {
    let card = Card::insert();
    let session = card.session();
    let public = card.find(session, CKO_PUBLIC_KEY);
    for len in [0, 1, 255, 257, 512] {
        let rv = card.verify_signature_init(session, mechanism(), public, &vec![0; len]);
        assert_eq!(rv, CKR_SIGNATURE_LEN_RANGE, "{len}");
        assert_eq!(card.verify_signature_final(session), CKR_OPERATION_NOT_INITIALIZED, "{len}");
    }
    let mut byte = 0u8;
    // What a caller with a defect says of a byte: no memory has it, or only a part of it is there.
    for (start, len, expected) in [
        (&raw mut byte, 1 << 40, CKR_SIGNATURE_LEN_RANGE),
        (&raw mut byte, 1 << 20, CKR_SIGNATURE_LEN_RANGE),
        (&raw mut byte, CK_ULONG::MAX, CKR_ARGUMENTS_BAD),
        (null_mut(), 256, CKR_ARGUMENTS_BAD),
        (null_mut(), 0, CKR_SIGNATURE_LEN_RANGE),
    ] {
        // SAFETY: nothing is read for a length of which no signature is.
        let rv = unsafe { card.list.C_VerifySignatureInit.unwrap()(session, &mut mechanism(), public, start, len) };
        assert_eq!(rv, expected, "{len:#x}");
        assert_eq!(card.verify_signature_final(session), CKR_OPERATION_NOT_INITIALIZED, "{len:#x}");
    }
}

#[test]
fn the_functions_of_one_way_to_verify_do_not_find_an_operation_of_the_other_and_leave_it() {
    let card = Card::insert();
    let session = card.logged_in();
    let public = card.find(session, CKO_PUBLIC_KEY);
    let signature = card.signature(session, mechanism());
    let list = card.list;

    assert_eq!(card.verify_signature_init(session, mechanism(), public, &signature), CKR_OK);
    assert_eq!(card.verify(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(card.verify_update(session), CKR_OPERATION_NOT_INITIALIZED);
    // SAFETY: null where there is a length is refused unread.
    unsafe {
        let start = signature.as_ptr().cast_mut();
        assert_eq!(list.C_VerifyFinal.unwrap()(session, start, 256), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(list.C_VerifyFinal.unwrap()(session, null_mut(), 256), CKR_ARGUMENTS_BAD);
    }
    assert_eq!(card.verify_signature(session, &DATA), CKR_OK);

    card.verify_init(session, public);
    assert_eq!(card.verify_signature(session, &DATA), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(card.verify_signature_update(session, &DATA), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(card.verify_signature_final(session), CKR_OPERATION_NOT_INITIALIZED);
    // SAFETY: null where there is a length is refused unread.
    assert_eq!(unsafe { list.C_VerifySignature.unwrap()(session, null_mut(), 1) }, CKR_ARGUMENTS_BAD);
    assert_eq!(card.verify(session), CKR_SIGNATURE_INVALID);
}

#[test]
fn one_verifying_operation_is_active_whichever_way_it_was_begun_and_is_cancelled_either_way() {
    let card = Card::insert();
    let session = card.session();
    let public = card.find(session, CKO_PUBLIC_KEY);
    let list = card.list;
    let first = || card.verify_signature_init(session, mechanism(), public, &[1; 256]);
    // SAFETY: a mechanism without a parameter; null ends the operation, and what comes with it is not looked at.
    let (last, cancel_first, cancel_last, cancel_all) = unsafe {
        (
            || list.C_VerifyInit.unwrap()(session, &mut mechanism(), public),
            || list.C_VerifySignatureInit.unwrap()(session, null_mut(), NEVER, null_mut(), 7),
            || list.C_VerifyInit.unwrap()(session, null_mut(), NEVER),
            || list.C_SessionCancel.unwrap()(session, CKF_VERIFY),
        )
    };
    let cancels: [&dyn Fn() -> CK_RV; 3] = [&cancel_first, &cancel_last, &cancel_all];
    for cancel in cancels {
        assert_eq!(first(), CKR_OK);
        assert_eq!((first(), last()), (CKR_OPERATION_ACTIVE, CKR_OPERATION_ACTIVE));
        assert_eq!(cancel(), CKR_OK);
        assert_eq!(card.verify_signature_final(session), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(last(), CKR_OK);
        assert_eq!((first(), last()), (CKR_OPERATION_ACTIVE, CKR_OPERATION_ACTIVE));
        assert_eq!(cancel(), CKR_OK);
        assert_eq!(card.verify(session), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(cancel(), CKR_OK, "there is none");
    }
}

#[test]
fn a_multi_part_verification_is_not_ended_as_a_single_part_one_and_bad_data_ends_it() {
    let card = Card::insert();
    let session = card.logged_in();
    let public = card.find(session, CKO_PUBLIC_KEY);
    let signature = card.signature(session, mechanism());
    let begin = || assert_eq!(card.verify_signature_init(session, mechanism(), public, &signature), CKR_OK);
    let is_over = || assert_eq!(card.verify_signature_final(session), CKR_OPERATION_NOT_INITIALIZED);

    begin();
    assert_eq!(card.verify_signature_update(session, &DATA), CKR_OK);
    assert_eq!(card.verify_signature(session, &DATA), CKR_OPERATION_ACTIVE);
    is_over();
    for len in [1, CK_ULONG::MAX, CK_ULONG::MAX / 2 + 1] {
        let start = if len == 1 { null_mut() } else { signature.as_ptr().cast_mut() };
        begin();
        // SAFETY: null where there is a length, and a length that no memory has, are refused unread.
        assert_eq!(unsafe { card.list.C_VerifySignature.unwrap()(session, start, len) }, CKR_ARGUMENTS_BAD);
        is_over();
        begin();
        // SAFETY: as above.
        assert_eq!(unsafe { card.list.C_VerifySignatureUpdate.unwrap()(session, start, len) }, CKR_ARGUMENTS_BAD);
        is_over();
    }
    let undigested = CK_MECHANISM { mechanism: CKM_RSA_PKCS, ..mechanism() };
    for len in [502, 1 << 20, 1 << 40] {
        for whole in [true, false] {
            assert_eq!(card.verify_signature_init(session, undigested, public, &signature), CKR_OK);
            let function = if whole { card.list.C_VerifySignature } else { card.list.C_VerifySignatureUpdate }.unwrap();
            // SAFETY: of data that is too long to be signed undigested nothing is read.
            let rv = unsafe { function(session, signature.as_ptr().cast_mut(), len) };
            assert_eq!(rv, CKR_DATA_LEN_RANGE, "{len:#x}");
            is_over();
        }
    }
}

#[test]
fn the_key_of_a_verification_is_a_public_key() {
    let card = Card::insert();
    let session = card.logged_in();
    let (private, public) = (card.find(session, CKO_PRIVATE_KEY), card.find(session, CKO_PUBLIC_KEY));
    for (mechanism, key, expected) in [
        (mechanism(), private, CKR_KEY_FUNCTION_NOT_PERMITTED),
        (mechanism(), NEVER, CKR_KEY_HANDLE_INVALID),
        (CK_MECHANISM { mechanism: CKM_AES_GCM, ..mechanism() }, public, CKR_MECHANISM_INVALID),
        (CK_MECHANISM { mechanism: CKM_RSA_PKCS_PSS, ..mechanism() }, public, CKR_MECHANISM_PARAM_INVALID),
    ] {
        assert_eq!(card.verify_signature_init(session, mechanism, key, &[0; 256]), expected);
        assert_eq!(card.verify_signature_final(session), CKR_OPERATION_NOT_INITIALIZED);
    }
}

#[test]
fn misaligned_pointers_are_refused_unread() {
    let card = Card::insert();
    let session = card.session();
    let mut room = [0u64; 8];
    let odd = room.as_mut_ptr().cast::<u8>().wrapping_add(1);
    // SAFETY: `odd` is good for every structure but for its alignment.
    let answers = unsafe {
        [
            card.list.C_VerifySignatureInit.unwrap()(session, odd.cast(), NEVER, odd, 1),
            card.list.C_GetSessionValidationFlags.unwrap()(session, CKS_LAST_VALIDATION_OK, odd.cast()),
        ]
    };
    assert_eq!(answers, [CKR_ARGUMENTS_BAD; 2]);
    assert_eq!(room, [0; 8]);
}

#[test]
fn no_authority_has_validated_the_module_and_there_is_one_kind_of_flags() {
    let card = Card::insert();
    let session = card.session();
    let ask = |kind, flags: *mut CK_FLAGS| {
        // SAFETY: null, or a place for the flags.
        unsafe { card.list.C_GetSessionValidationFlags.unwrap()(session, kind, flags) }
    };
    let mut flags = 7;
    for unknown in [0, 2, CK_ULONG::MAX] {
        assert_eq!(ask(unknown, &mut flags), CKR_ARGUMENTS_BAD, "{unknown}");
        assert_eq!(flags, 7);
    }
    assert_eq!(ask(CKS_LAST_VALIDATION_OK, null_mut()), CKR_ARGUMENTS_BAD);
    assert_eq!(ask(CKS_LAST_VALIDATION_OK, &mut flags), CKR_OK);
    assert_eq!(flags, 0);
}

#[test]
fn a_session_is_never_asynchronous() {
    let card = Card::insert();
    let session = card.session();
    let mut other = 0;
    let name = c"C_Sign".as_ptr().cast_mut().cast();
    let mut result = CK_ASYNC_DATA { ulVersion: 0, pValue: null_mut(), ulValue: 7, hObject: 7, hAdditionalObject: 7 };
    let before = format!("{result:?}");
    let mut id = 7;
    // SAFETY: places for what is answered.
    unsafe {
        let flags = CKF_SERIAL_SESSION | CKF_ASYNC_SESSION;
        let rv = card.list.C_OpenSession.unwrap()(card.slot, flags, null_mut(), None, &mut other);
        assert_eq!(rv, CKR_SESSION_ASYNC_NOT_SUPPORTED);
        assert_eq!(card.list.C_AsyncComplete.unwrap()(session, name, &mut result), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(card.list.C_AsyncGetID.unwrap()(session, name, &mut id), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(card.list.C_AsyncJoin.unwrap()(session, name, id, null_mut(), 7), CKR_FUNCTION_NOT_SUPPORTED);
    }
    assert_eq!((format!("{result:?}"), id, other), (before, 7, 0));
}

#[test]
fn keys_neither_encapsulate_nor_wrap_and_a_handle_that_is_no_keys_is_said_first() {
    let card = Card::insert();
    let session = card.logged_in();
    let (private, public) = (card.find(session, CKO_PRIVATE_KEY), card.find(session, CKO_PUBLIC_KEY));
    let mut certificate = 0;
    let mut class = CKO_CERTIFICATE;
    let mut template =
        CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: size_of_val(&class) as CK_ULONG };
    let (mut bytes, mut len, mut handle) = ([7u8; 32], 32, 7);
    let start = bytes.as_mut_ptr();
    let list = card.list;
    // SAFETY: an attribute with its value, bytes of those lengths, and places for what is answered.
    unsafe {
        assert_eq!(list.C_FindObjectsInit.unwrap()(session, &mut template, 1), CKR_OK);
        assert_eq!(list.C_FindObjects.unwrap()(session, &mut certificate, 1, &mut 0), CKR_OK);
        assert_eq!(list.C_FindObjectsFinal.unwrap()(session), CKR_OK);
    }
    let mut call = |function: usize, key, other| {
        let (mechanism, template) = (&mut mechanism(), &mut template);
        // SAFETY: as above.
        unsafe {
            match function {
                0 => list.C_EncapsulateKey.unwrap()(session, mechanism, key, template, 1, start, &mut len, &mut handle),
                1 => list.C_DecapsulateKey.unwrap()(session, mechanism, key, template, 1, start, 32, &mut handle),
                2 => list.C_UnwrapKeyAuthenticated.unwrap()(
                    session,
                    mechanism,
                    key,
                    start,
                    32,
                    template,
                    1,
                    start,
                    32,
                    &mut handle,
                ),
                _ => list.C_WrapKeyAuthenticated.unwrap()(session, mechanism, key, other, start, 32, start, &mut len),
            }
        }
    };
    let invalid = [
        CKR_KEY_HANDLE_INVALID,
        CKR_KEY_HANDLE_INVALID,
        CKR_UNWRAPPING_KEY_HANDLE_INVALID,
        CKR_WRAPPING_KEY_HANDLE_INVALID,
    ];
    for (function, invalid) in invalid.into_iter().enumerate() {
        for key in [private, public] {
            assert_eq!(call(function, key, private), CKR_FUNCTION_NOT_SUPPORTED, "{function}");
        }
        for no_key in [0, NEVER, CK_ULONG::MAX, certificate] {
            assert_eq!(call(function, no_key, private), invalid, "{function}, {no_key:#x}");
        }
    }
    assert_eq!(call(3, public, certificate), CKR_KEY_HANDLE_INVALID);
    assert_eq!(call(3, public, NEVER), CKR_KEY_HANDLE_INVALID);
    assert_eq!((bytes, len, handle), ([7; 32], 32, 7));
}

#[test]
fn keys_say_what_3_2_asks_of_them() {
    let card = Card::insert();
    let session = card.logged_in();
    for (class, can) in [(CKO_PUBLIC_KEY, CKA_ENCAPSULATE), (CKO_PRIVATE_KEY, CKA_DECAPSULATE)] {
        let (mut yes, mut flags) = (7u8, 7 as CK_FLAGS);
        let mut questions = [
            CK_ATTRIBUTE { type_: can, pValue: (&raw mut yes).cast(), ulValueLen: 1 },
            CK_ATTRIBUTE {
                type_: CKA_OBJECT_VALIDATION_FLAGS,
                pValue: (&raw mut flags).cast(),
                ulValueLen: size_of_val(&flags) as CK_ULONG,
            },
        ];
        let key = card.find(session, class);
        // SAFETY: two attributes with their room.
        let rv = unsafe { card.list.C_GetAttributeValue.unwrap()(session, key, questions.as_mut_ptr(), 2) };
        assert_eq!((rv, yes, flags), (CKR_OK, CK_FALSE, 0));
    }
}
