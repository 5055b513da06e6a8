//! What the entry points make of a session with a card in it: how operations end, where signatures go, what is refused. The
//! card is a practice card in the embedded practice reader; the library is the built one, as a C program loads it.

#![cfg(all(unix, feature = "practice"))]
#![allow(unsafe_code)]

#[path = "common/embedded.rs"]
mod embedded;
#[path = "common/loaded.rs"]
mod loaded;
#[path = "common/session.rs"]
mod session;

use cryptoki_sys::*;
use session::Card;
use std::ptr::null_mut;

#[test]
fn what_is_not_offered_says_so() {
    let card = Card::insert();
    let (list, session) = (card.list, card.session());
    // SAFETY: null and empty everywhere.
    unsafe {
        assert_eq!(list.C_InitToken.unwrap()(card.slot, null_mut(), 0, null_mut()), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(list.C_InitPIN.unwrap()(session, null_mut(), 0), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(list.C_EncryptInit.unwrap()(session, null_mut(), 0), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(list.C_DigestInit.unwrap()(session, null_mut()), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(list.C_GetOperationState.unwrap()(session, null_mut(), null_mut()), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(list.C_MessageSignInit.unwrap()(session, null_mut(), 0), CKR_FUNCTION_NOT_SUPPORTED);
        assert_eq!(list.C_SeedRandom.unwrap()(session, null_mut(), 0), CKR_RANDOM_NO_RNG);
        assert_eq!(list.C_GenerateRandom.unwrap()(session, null_mut(), 0), CKR_RANDOM_NO_RNG);
        assert_eq!(list.C_GetFunctionStatus.unwrap()(session), CKR_FUNCTION_NOT_PARALLEL);
        assert_eq!(list.C_CancelFunction.unwrap()(session), CKR_FUNCTION_NOT_PARALLEL);
    }
}

#[test]
fn misaligned_pointers_are_refused_unread() {
    let card = Card::insert();
    let (list, session) = (card.list, card.session());
    let mut room = [0u64; 32];
    let odd = room.as_mut_ptr().cast::<u8>().wrapping_add(1);
    let mut byte = 0u8;
    // SAFETY: `odd` is good for every structure but for its alignment.
    let answers = unsafe {
        [
            list.C_GetSessionInfo.unwrap()(session, odd.cast()),
            list.C_CreateObject.unwrap()(session, odd.cast(), 1, room.as_mut_ptr().cast()),
            list.C_CopyObject.unwrap()(session, 0, null_mut(), 0, odd.cast()),
            list.C_GetObjectSize.unwrap()(session, 0, odd.cast()),
            list.C_GetAttributeValue.unwrap()(session, 0, odd.cast(), 1),
            list.C_SetAttributeValue.unwrap()(session, 0, odd.cast(), 1),
            list.C_FindObjectsInit.unwrap()(session, odd.cast(), 1),
            list.C_FindObjects.unwrap()(session, odd.cast(), 1, room.as_mut_ptr().cast()),
            list.C_SignInit.unwrap()(session, odd.cast(), 0),
            list.C_Sign.unwrap()(session, &mut byte, 1, null_mut(), odd.cast()),
            list.C_SignFinal.unwrap()(session, null_mut(), odd.cast()),
            list.C_VerifyInit.unwrap()(session, odd.cast(), 0),
        ]
    };
    for (row, rv) in answers.into_iter().enumerate() {
        assert_eq!(rv, CKR_ARGUMENTS_BAD, "row {row}");
    }
    assert_eq!(room, [0; 32]);
}

#[test]
fn lengths_and_counts_no_memory_has_are_refused_unread() {
    let card = Card::insert();
    let (list, session) = (card.list, card.session());
    let mut byte = 0u8;
    let start: *mut u8 = &mut byte;
    let mut attribute = CK_ATTRIBUTE { type_: CKA_CLASS, pValue: null_mut(), ulValueLen: 0 };
    let template: *mut CK_ATTRIBUTE = &mut attribute;
    for absurd in [CK_ULONG::MAX, CK_ULONG::MAX / 2 + 1] {
        // SAFETY: nothing is read for a length of which no memory can be.
        let answers = unsafe {
            [
                list.C_Login.unwrap()(session, CKU_USER, start, absurd),
                list.C_LoginUser.unwrap()(session, CKU_USER, start, 1, start, absurd),
                list.C_SetPIN.unwrap()(session, start, absurd, start, 1),
                list.C_SetPIN.unwrap()(session, start, 1, start, absurd),
                list.C_Sign.unwrap()(session, start, absurd, null_mut(), &mut 0),
                list.C_SignUpdate.unwrap()(session, start, absurd),
                list.C_Verify.unwrap()(session, start, 1, start, absurd),
                list.C_VerifyUpdate.unwrap()(session, start, absurd),
                list.C_VerifyFinal.unwrap()(session, start, absurd),
            ]
        };
        assert_eq!(answers, [CKR_ARGUMENTS_BAD; 9]);
    }
    // Among them what a number of half the size would take for none.
    for absurd in [4097, 1 << 31, 1 << (CK_ULONG::BITS / 2), CK_ULONG::MAX] {
        // SAFETY: as above.
        let answers = unsafe {
            [
                list.C_FindObjectsInit.unwrap()(session, template, absurd),
                list.C_GetAttributeValue.unwrap()(session, 0, template, absurd),
                list.C_SetAttributeValue.unwrap()(session, 0, template, absurd),
                list.C_CreateObject.unwrap()(session, template, absurd, &mut 0),
                list.C_CopyObject.unwrap()(session, 0, template, absurd, &mut 0),
            ]
        };
        assert_eq!(answers, [CKR_ARGUMENTS_BAD; 5]);
    }
}

#[test]
fn a_length_query_and_too_little_room_keep_the_operation() {
    let card = Card::insert();
    let session = card.logged_in();
    card.sign_init(session, card.find(session, CKO_PRIVATE_KEY));
    let mut len = 0;
    // SAFETY: one byte of data, and null for the length.
    let rv = unsafe { card.list.C_Sign.unwrap()(session, b"J".as_ptr().cast_mut(), 1, null_mut(), &mut len) };
    assert_eq!((rv, len), (CKR_OK, 256));
    let mut signature = [0; 256];
    assert_eq!(card.sign(session, b"J", &mut signature[..255]), (CKR_BUFFER_TOO_SMALL, 256));
    assert_eq!(signature, [0; 256]);
    assert_eq!(card.sign(session, b"J", &mut signature), (CKR_OK, 256));
    assert_eq!(card.sign(session, b"J", &mut signature), (CKR_OPERATION_NOT_INITIALIZED, 256));
}

#[test]
fn bad_arguments_end_the_operation() {
    let card = Card::insert();
    let session = card.logged_in();
    let (private, public) = (card.find(session, CKO_PRIVATE_KEY), card.find(session, CKO_PUBLIC_KEY));
    let list = card.list;
    let (mut byte, mut len) = (0u8, 1);
    let byte: *mut u8 = &mut byte;
    for bad in 0..4 {
        card.sign_init(session, private);
        // SAFETY: null where there is a length is refused unread.
        let (refused, after) = unsafe {
            let refused = match bad {
                0 => list.C_Sign.unwrap()(session, null_mut(), 1, null_mut(), &mut len),
                1 => list.C_Sign.unwrap()(session, byte, 1, byte, null_mut()),
                2 => list.C_SignUpdate.unwrap()(session, null_mut(), 1),
                _ => list.C_SignFinal.unwrap()(session, byte, null_mut()),
            };
            (refused, list.C_SignFinal.unwrap()(session, null_mut(), &mut len))
        };
        assert_eq!((refused, after), (CKR_ARGUMENTS_BAD, CKR_OPERATION_NOT_INITIALIZED), "signing, case {bad}");
    }
    for bad in 0..3 {
        card.verify_init(session, public);
        // SAFETY: as above.
        let (refused, after) = unsafe {
            let refused = match bad {
                0 => list.C_Verify.unwrap()(session, byte, 1, null_mut(), 1),
                1 => list.C_VerifyUpdate.unwrap()(session, null_mut(), 1),
                _ => list.C_VerifyFinal.unwrap()(session, null_mut(), 1),
            };
            (refused, list.C_VerifyFinal.unwrap()(session, byte, 1))
        };
        assert_eq!((refused, after), (CKR_ARGUMENTS_BAD, CKR_OPERATION_NOT_INITIALIZED), "verifying, case {bad}");
    }
}

#[test]
fn an_init_without_a_mechanism_ends_the_operation() {
    let card = Card::insert();
    let session = card.logged_in();
    card.sign_init(session, card.find(session, CKO_PRIVATE_KEY));
    card.verify_init(session, card.find(session, CKO_PUBLIC_KEY));
    let mut byte = 0u8;
    // SAFETY: null is what ends an operation.
    unsafe {
        assert_eq!(card.list.C_SignInit.unwrap()(session, null_mut(), 0), CKR_OK);
        assert_eq!(card.list.C_VerifyInit.unwrap()(session, null_mut(), 0), CKR_OK);
        assert_eq!(card.list.C_VerifyFinal.unwrap()(session, &mut byte, 1), CKR_OPERATION_NOT_INITIALIZED);
    }
    assert_eq!(card.sign(session, b"J", &mut [0; 256]).0, CKR_OPERATION_NOT_INITIALIZED);
}

#[test]
fn a_signature_may_be_written_over_its_data() {
    let card = Card::insert();
    let session = card.logged_in();
    let (private, public) = (card.find(session, CKO_PRIVATE_KEY), card.find(session, CKO_PUBLIC_KEY));
    let mut apart = [0; 256];
    card.sign_init(session, private);
    assert_eq!(card.sign(session, &[7; 300], &mut apart), (CKR_OK, 256));

    let (mut both, mut len) = ([7u8; 300], 256);
    card.sign_init(session, private);
    let start = both.as_mut_ptr();
    // SAFETY: data and signature both lie inside the array.
    assert_eq!(unsafe { card.list.C_Sign.unwrap()(session, start, 300, start, &mut len) }, CKR_OK);
    assert_eq!((len, &both[..256]), (256, &apart[..]));
    assert_eq!(both[256..], [7; 44]);

    for (data, expected) in [([7u8; 300], CKR_OK), ([8; 300], CKR_SIGNATURE_INVALID)] {
        card.verify_init(session, public);
        let data = data.as_ptr().cast_mut();
        // SAFETY: data and signature of those lengths.
        let rv = unsafe { card.list.C_Verify.unwrap()(session, data, 300, apart.as_mut_ptr(), 256) };
        assert_eq!(rv, expected);
    }
}

/// Lengths that a caller with a defect says of a buffer of a few bytes: no memory has them, or only a part of it is there.
const MISTAKEN: [CK_ULONG; 3] = [1 << 40, u32::MAX as CK_ULONG, 1 << 20];

#[test]
fn data_longer_than_can_be_signed_undigested_is_refused_unread_also_under_the_signature() {
    let card = Card::insert();
    let session = card.logged_in();
    let (private, public) = (card.find(session, CKO_PRIVATE_KEY), card.find(session, CKO_PUBLIC_KEY));
    let list = card.list;
    let mut pss = CK_RSA_PKCS_PSS_PARAMS { hashAlg: CKM_SHA256, mgf: CKG_MGF1_SHA256, sLen: 32 };
    let plain = || CK_MECHANISM { mechanism: CKM_RSA_PKCS, pParameter: null_mut(), ulParameterLen: 0 };
    let with_pss = CK_MECHANISM {
        mechanism: CKM_RSA_PKCS_PSS,
        pParameter: (&raw mut pss).cast(),
        ulParameterLen: size_of_val(&pss) as CK_ULONG,
    };
    let mut both = [7u8; 512];
    let start = both.as_mut_ptr();
    for mechanism in [plain(), with_pss] {
        for length in MISTAKEN {
            let begin = || card.sign_init_with(session, mechanism, private);
            let mut len = 256;
            // SAFETY: of data that is too long nothing is read; the signature lies inside the array, as part of the data.
            unsafe {
                begin();
                let signed = list.C_Sign.unwrap()(session, start, length, start.add(100), &mut len);
                assert_eq!(signed, CKR_DATA_LEN_RANGE, "{length:#x}");
                let ended = list.C_Sign.unwrap()(session, start, 1, start, &mut len);
                assert_eq!(ended, CKR_OPERATION_NOT_INITIALIZED);
                begin();
                assert_eq!(list.C_SignUpdate.unwrap()(session, start, length), CKR_DATA_LEN_RANGE, "{length:#x}");
                card.verify_init(session, public);
                let verified = list.C_Verify.unwrap()(session, start, 1, start, length);
                assert_eq!(verified, CKR_SIGNATURE_LEN_RANGE, "{length:#x}");
            }
        }
    }
    // SAFETY: a parameter that is too long is not read.
    let rv = unsafe {
        let parameter = CK_MECHANISM { pParameter: start.cast(), ulParameterLen: 1 << 40, ..with_pss };
        list.C_SignInit.unwrap()(session, &mut { parameter }, private)
    };
    assert_eq!(rv, CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(both, [7; 512]);
}

/// What a program of this machine has used of its memory at most, in KiB.
fn most_memory_used() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn data_is_digested_without_a_copy_of_it_also_under_the_signature() {
    const LENGTH: usize = 256 << 20;
    let card = Card::insert();
    let session = card.logged_in();
    card.sign_init(session, card.find(session, CKO_PRIVATE_KEY));
    // SAFETY: a mapping of its own, which is given back below. Reading it takes no memory: every page is the one of zeroes.
    let start = unsafe {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        libc::mmap(null_mut(), LENGTH, rights, kind, -1, 0)
    };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: the range is the mapping. A huge page of zeroes would be memory that is used.
    assert_eq!(unsafe { libc::madvise(start, LENGTH, libc::MADV_NOHUGEPAGE) }, 0);
    let before = most_memory_used();
    let mut len = 256;
    // SAFETY: data and signature both lie inside the mapping.
    let rv = unsafe {
        card.list.C_Sign.unwrap()(
            session,
            start.cast(),
            LENGTH as CK_ULONG,
            start.cast::<u8>().add(LENGTH / 2),
            &mut len,
        )
    };
    assert_eq!(rv, CKR_OK);
    // The system counts coarsely, and once it counted backwards.
    let used = most_memory_used().saturating_sub(before);
    assert!(used < LENGTH / 1024 / 8, "{used} KiB");
    // SAFETY: nobody looks at it any more.
    assert_eq!(unsafe { libc::munmap(start, LENGTH) }, 0);
}

#[test]
fn attributes_of_a_private_key_are_answered_each_for_itself() {
    let card = Card::insert();
    let session = card.logged_in();
    let key = card.find(session, CKO_PRIVATE_KEY);
    let mut rooms = [[0xEEu8; 256]; 4];
    let mut attributes = [CKA_PRIVATE_EXPONENT, CKA_LABEL, CKA_VENDOR_DEFINED | 1, CKA_MODULUS]
        .map(|type_| CK_ATTRIBUTE { type_, pValue: null_mut(), ulValueLen: 256 });
    for (attribute, room) in attributes.iter_mut().zip(&mut rooms) {
        attribute.pValue = room.as_mut_ptr().cast();
    }
    attributes[1].ulValueLen = 1;
    // SAFETY: four attributes with rooms of at least their lengths.
    let rv = unsafe { card.list.C_GetAttributeValue.unwrap()(session, key, attributes.as_mut_ptr(), 4) };
    assert_eq!(rv, CKR_ATTRIBUTE_SENSITIVE);
    let none = CK_UNAVAILABLE_INFORMATION;
    assert_eq!(attributes.map(|attribute| attribute.ulValueLen), [none, none, none, 256]);
    assert_eq!(rooms[..3], [[0xEE; 256]; 3]);
    assert_ne!(rooms[3], [0xEE; 256]);
}

/// NSS's (CKA_NSS_MOZILLA_CA_POLICY, CKA_NSS_URL) and p11-kit's (CKA_X_CERTIFICATE_EXTENSIONS); their letters happen to set the
/// bit that says "a template".
#[test]
fn a_search_by_a_vendors_attribute_finds_nothing_and_is_no_error() {
    let card = Card::insert();
    let session = card.session();
    for type_ in [0xCE53_4372, 0xCE53_4351, 0xD844_47C8] {
        let mut yes = CK_TRUE;
        let mut template = CK_ATTRIBUTE { type_, pValue: (&raw mut yes).cast(), ulValueLen: 1 };
        let (mut object, mut count) = (0, 7);
        // SAFETY: one attribute with its value, one place for a handle.
        unsafe {
            assert_eq!(card.list.C_FindObjectsInit.unwrap()(session, &mut template, 1), CKR_OK, "{type_:#x}");
            assert_eq!(card.list.C_FindObjects.unwrap()(session, &mut object, 1, &mut count), CKR_OK);
            assert_eq!(card.list.C_FindObjectsFinal.unwrap()(session), CKR_OK);
        }
        assert_eq!(count, 0, "{type_:#x}");
    }
}

#[test]
fn objects_are_found_into_any_room() {
    let card = Card::insert();
    let session = card.session();
    let (mut objects, mut count) = ([0; 64], 7);
    // SAFETY: there are fewer objects than room, whatever room is promised.
    unsafe {
        assert_eq!(card.list.C_FindObjectsInit.unwrap()(session, null_mut(), 0), CKR_OK);
        assert_eq!(card.list.C_FindObjects.unwrap()(session, null_mut(), 0, &mut count), CKR_OK);
        assert_eq!(count, 0);
        assert_eq!(card.list.C_FindObjects.unwrap()(session, objects.as_mut_ptr(), CK_ULONG::MAX, &mut count), CKR_OK);
        assert!(count > 2 && count < 64);
        assert_eq!(card.list.C_FindObjects.unwrap()(session, objects.as_mut_ptr(), 64, &mut count), CKR_OK);
        assert_eq!(count, 0);
        assert_eq!(card.list.C_FindObjectsFinal.unwrap()(session), CKR_OK);
    }
}

#[test]
fn a_room_for_exactly_2_to_the_32_objects_is_not_taken_for_none() {
    let card = Card::insert();
    let session = card.session();
    let (mut objects, mut count) = ([0; 64], 0);
    // SAFETY: there are fewer objects than room, whatever room is promised.
    unsafe {
        assert_eq!(card.list.C_FindObjectsInit.unwrap()(session, null_mut(), 0), CKR_OK);
        let room = 1 << (CK_ULONG::BITS / 2);
        assert_eq!(card.list.C_FindObjects.unwrap()(session, objects.as_mut_ptr(), room, &mut count), CKR_OK);
        assert!(count > 2 && count < 64, "{count}");
        assert_eq!(card.list.C_FindObjectsFinal.unwrap()(session), CKR_OK);
    }
}

#[test]
fn a_search_goes_on_only_when_it_has_begun_and_is_not_begun_twice() {
    let card = Card::insert();
    let (list, session) = (card.list, card.session());
    let (mut objects, mut count) = ([0; 64], 7);
    // SAFETY: room for as many objects as said, and no template.
    unsafe {
        let begin = || list.C_FindObjectsInit.unwrap()(session, null_mut(), 0);
        let mut go_on = |room| (list.C_FindObjects.unwrap()(session, objects.as_mut_ptr(), room, &mut count), count);
        let end = || list.C_FindObjectsFinal.unwrap()(session);
        assert_eq!(go_on(64), (CKR_OPERATION_NOT_INITIALIZED, 7));
        assert_eq!(end(), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(begin(), CKR_OK);
        assert_eq!(go_on(1), (CKR_OK, 1));
        assert_eq!(begin(), CKR_OPERATION_ACTIVE);
        // The first one is where it was: the rest, then none.
        let (rv, rest) = go_on(64);
        assert!(rv == CKR_OK && rest > 1, "{rv:#x}, {rest}");
        assert_eq!(go_on(64), (CKR_OK, 0));
        assert_eq!(end(), CKR_OK);
        assert_eq!(end(), CKR_OPERATION_NOT_INITIALIZED);
    }
}

#[test]
fn an_operation_begun_in_parts_is_not_ended_as_one_in_a_single_part() {
    let card = Card::insert();
    let session = card.logged_in();
    let (private, public) = (card.find(session, CKO_PRIVATE_KEY), card.find(session, CKO_PUBLIC_KEY));
    let (mut byte, mut signature, mut len) = (b'J', [0u8; 256], 256);
    card.sign_init(session, private);
    card.verify_init(session, public);
    // SAFETY: one byte of data, and room for a signature.
    unsafe {
        assert_eq!(card.list.C_SignUpdate.unwrap()(session, &mut byte, 1), CKR_OK);
        assert_eq!(card.list.C_VerifyUpdate.unwrap()(session, &mut byte, 1), CKR_OK);
        assert_eq!(card.sign(session, b"J", &mut signature).0, CKR_OPERATION_ACTIVE);
        let verified = card.list.C_Verify.unwrap()(session, &mut byte, 1, signature.as_mut_ptr(), 256);
        assert_eq!(verified, CKR_OPERATION_ACTIVE);
        // Any error ends the operation.
        let rv = card.list.C_SignFinal.unwrap()(session, signature.as_mut_ptr(), &mut len);
        assert_eq!(rv, CKR_OPERATION_NOT_INITIALIZED);
        let rv = card.list.C_VerifyFinal.unwrap()(session, signature.as_mut_ptr(), 256);
        assert_eq!(rv, CKR_OPERATION_NOT_INITIALIZED);
    }
    assert_eq!(signature, [0; 256], "nothing was signed");
}
