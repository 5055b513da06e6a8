//! The module as a C program sees it: the built library, loaded by the dynamic loader, with every argument a careless or
//! hostile caller may pass. No card and no reader is needed, and none of this machine's is touched.

#![cfg(unix)]
#![allow(unsafe_code)]

#[path = "common/every.rs"]
mod every;
#[path = "common/loaded.rs"]
mod loaded;

use cryptoki_sys::*;
use libloading::os::unix::{RTLD_GLOBAL, RTLD_NOW};
use loaded::{Loaded, finalize, load, load_with};
use std::ffi::{CStr, c_void};
use std::mem::zeroed;
use std::ptr::{null, null_mut};

/// A handle or an id that was never given out.
const NEVER: CK_ULONG = 0xDEAD_BEEF;

/// The same, initialised.
fn initialized() -> Loaded {
    let module = load();
    assert_eq!(initialize(&module, null_mut()), CKR_OK);
    module
}

/// C_Initialize, where the module finds no PC/SC service and no configuration.
fn initialize(module: &Loaded, args: *mut CK_C_INITIALIZE_ARGS) -> CK_RV {
    static WITHOUT_READERS: std::sync::Once = std::sync::Once::new();
    // SAFETY: set once before any test's module starts, and Rust's own environment functions lock.
    WITHOUT_READERS.call_once(|| unsafe {
        for variable in ["PCSCLITE_CSOCK_NAME", "JPKI_PKCS11_CONF", "XDG_CONFIG_HOME", "HOME"] {
            std::env::set_var(variable, "/nonexistent");
        }
    });
    // SAFETY: `args` is null or a good structure.
    unsafe { module.v3.C_Initialize.unwrap()(args.cast()) }
}

fn says_it_is_not_initialized(module: &Loaded) {
    assert_eq!(finalize(module), CKR_CRYPTOKI_NOT_INITIALIZED);
    for (name, rv) in every::with_zeroes(module.v3) {
        let always = ["C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface"].contains(&name);
        assert_eq!(rv, if always { CKR_ARGUMENTS_BAD } else { CKR_CRYPTOKI_NOT_INITIALIZED }, "{name}");
    }
}

#[test]
fn not_initialized_comes_before_any_look_at_the_arguments() {
    let module = load();
    says_it_is_not_initialized(&module);
    assert_eq!(initialize(&module, null_mut()), CKR_OK);
    assert_eq!(finalize(&module), CKR_OK);
    says_it_is_not_initialized(&module);
}

#[test]
fn null_pointers_and_zero_handles_are_refused_by_every_function() {
    let module = initialized();
    for (name, rv) in every::with_zeroes(module.v3) {
        let expected = match name {
            "C_GetInfo" | "C_GetFunctionList" | "C_GetInterfaceList" | "C_GetInterface" | "C_GetSlotList"
            | "C_GetSlotInfo" | "C_GetTokenInfo" | "C_GetMechanismList" | "C_GetMechanismInfo" | "C_OpenSession"
            | "C_WaitForSlotEvent" => CKR_ARGUMENTS_BAD,
            // Slot 0 is a slot where there is a reader, which there is not.
            "C_CloseAllSessions" | "C_InitToken" => CKR_SLOT_ID_INVALID,
            // Whatever the other arguments are (§5.1, "More on relative priorities of Cryptoki errors").
            _ => CKR_SESSION_HANDLE_INVALID,
        };
        assert_eq!(rv, expected, "{name}");
    }
}

#[test]
fn what_is_not_offered_says_so_after_looking_at_the_session() {
    let module = initialized();
    // SAFETY: null and empty everywhere.
    unsafe {
        assert_eq!(module.v3.C_GenerateRandom.unwrap()(NEVER, null_mut(), 0), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(module.v3.C_EncryptInit.unwrap()(NEVER, null_mut(), 0), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(module.v3.C_CancelFunction.unwrap()(NEVER), CKR_SESSION_HANDLE_INVALID);
    }
}

#[test]
fn handles_never_given_out_are_refused() {
    let module = initialized();
    let list = module.v3;
    let (mut byte, mut length, mut handle, mut count) = (0u8, 1, 0, 0);
    let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA256_RSA_PKCS, pParameter: null_mut(), ulParameterLen: 0 };
    let mut class = CKO_PRIVATE_KEY;
    let mut attribute =
        CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: size_of_val(&class) as CK_ULONG };
    // SAFETY: all pointers are to the variables above, with their lengths.
    let answers = unsafe {
        [
            list.C_GetSessionInfo.unwrap()(NEVER, &mut zeroed()),
            list.C_Login.unwrap()(NEVER, CKU_USER, &mut byte, 1),
            list.C_LoginUser.unwrap()(NEVER, CKU_USER, &mut byte, 1, null_mut(), 0),
            list.C_SetPIN.unwrap()(NEVER, &mut byte, 1, &mut byte, 1),
            list.C_GetAttributeValue.unwrap()(NEVER, NEVER, &mut attribute, 1),
            list.C_SetAttributeValue.unwrap()(NEVER, NEVER, &mut attribute, 1),
            list.C_CreateObject.unwrap()(NEVER, &mut attribute, 1, &mut handle),
            list.C_CopyObject.unwrap()(NEVER, NEVER, &mut attribute, 1, &mut handle),
            list.C_GetObjectSize.unwrap()(NEVER, NEVER, &mut count),
            list.C_FindObjectsInit.unwrap()(NEVER, &mut attribute, 1),
            list.C_FindObjects.unwrap()(NEVER, &mut handle, 1, &mut count),
            list.C_SignInit.unwrap()(NEVER, &mut mechanism, NEVER),
            list.C_Sign.unwrap()(NEVER, &mut byte, 1, &mut byte, &mut length),
            list.C_SignFinal.unwrap()(NEVER, &mut byte, &mut length),
            list.C_VerifyInit.unwrap()(NEVER, &mut mechanism, NEVER),
            list.C_Verify.unwrap()(NEVER, &mut byte, 1, &mut byte, 1),
            list.C_VerifySignatureInit.unwrap()(NEVER, &mut mechanism, NEVER, &mut byte, 1),
            list.C_VerifySignature.unwrap()(NEVER, &mut byte, 1),
            list.C_VerifySignatureUpdate.unwrap()(NEVER, &mut byte, 1),
            list.C_VerifySignatureFinal.unwrap()(NEVER),
            list.C_GetSessionValidationFlags.unwrap()(NEVER, CKS_LAST_VALIDATION_OK, &mut count),
            list.C_AsyncGetID.unwrap()(NEVER, c"C_Sign".as_ptr().cast_mut().cast(), &mut count),
            list.C_EncapsulateKey.unwrap()(
                NEVER,
                &mut mechanism,
                NEVER,
                &mut attribute,
                1,
                &mut byte,
                &mut length,
                &mut handle,
            ),
        ]
    };
    assert_eq!(answers, [CKR_SESSION_HANDLE_INVALID; 23]);
    // SAFETY: as above.
    let answers = unsafe {
        [
            list.C_GetSlotInfo.unwrap()(NEVER, &mut zeroed()),
            list.C_GetTokenInfo.unwrap()(NEVER, &mut zeroed()),
            list.C_GetMechanismList.unwrap()(NEVER, null_mut(), &mut count),
            list.C_GetMechanismInfo.unwrap()(NEVER, CKM_RSA_PKCS, &mut zeroed()),
            list.C_OpenSession.unwrap()(NEVER, CKF_SERIAL_SESSION, null_mut(), None, &mut handle),
            list.C_InitToken.unwrap()(NEVER, null_mut(), 0, null_mut()),
        ]
    };
    assert_eq!(answers, [CKR_SLOT_ID_INVALID; 6]);
}

#[test]
fn misaligned_pointers_are_refused_unread() {
    let module = initialized();
    let list = module.v3;
    let mut room = [0u64; 32];
    let odd = room.as_mut_ptr().cast::<u8>().wrapping_add(1);
    // SAFETY: `odd` is good for every structure but for its alignment.
    let answers = unsafe {
        [
            list.C_Initialize.unwrap()(odd.cast()),
            list.C_GetInfo.unwrap()(odd.cast()),
            list.C_GetFunctionList.unwrap()(odd.cast()),
            list.C_GetInterfaceList.unwrap()(null_mut(), odd.cast()),
            list.C_GetInterfaceList.unwrap()(odd.cast(), room.as_mut_ptr().cast()),
            list.C_GetInterface.unwrap()(null_mut(), null_mut(), odd.cast(), 0),
            list.C_GetSlotList.unwrap()(0, null_mut(), odd.cast()),
            list.C_GetSlotInfo.unwrap()(0, odd.cast()),
            list.C_GetTokenInfo.unwrap()(0, odd.cast()),
            list.C_GetMechanismList.unwrap()(0, null_mut(), odd.cast()),
            list.C_GetMechanismInfo.unwrap()(0, 1, odd.cast()),
            list.C_WaitForSlotEvent.unwrap()(CKF_DONT_BLOCK, odd.cast(), null_mut()),
            list.C_OpenSession.unwrap()(0, CKF_SERIAL_SESSION, null_mut(), None, odd.cast()),
        ]
    };
    for (row, rv) in answers.into_iter().enumerate() {
        assert_eq!(rv, CKR_ARGUMENTS_BAD, "row {row}");
    }
    assert_eq!(room, [0; 32]);
}

unsafe extern "C" fn mutex(_: *mut c_void) -> CK_RV {
    CKR_OK
}

unsafe extern "C" fn create_mutex(_: *mut *mut c_void) -> CK_RV {
    CKR_OK
}

#[test]
fn initialize_takes_what_the_standard_allows_and_no_foreign_mutexes_alone() {
    let callbacks = CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(create_mutex),
        DestroyMutex: Some(mutex),
        LockMutex: Some(mutex),
        UnlockMutex: Some(mutex),
        flags: 0,
        pReserved: null_mut(),
    };
    let threads = CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK;
    let none =
        CK_C_INITIALIZE_ARGS { CreateMutex: None, DestroyMutex: None, LockMutex: None, UnlockMutex: None, ..callbacks };
    let module = load();
    for (mut args, expected) in [
        (callbacks, CKR_CANT_LOCK),
        (CK_C_INITIALIZE_ARGS { UnlockMutex: None, flags: threads, ..callbacks }, CKR_ARGUMENTS_BAD),
        (CK_C_INITIALIZE_ARGS { CreateMutex: Some(create_mutex), ..none }, CKR_ARGUMENTS_BAD),
        (CK_C_INITIALIZE_ARGS { pReserved: c"parameters".as_ptr().cast_mut().cast(), ..none }, CKR_ARGUMENTS_BAD),
        (CK_C_INITIALIZE_ARGS { flags: threads, ..callbacks }, CKR_OK),
        (CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..none }, CKR_OK),
        (none, CKR_OK),
    ] {
        assert_eq!(initialize(&module, &mut args), expected);
        if expected == CKR_OK {
            assert_eq!(initialize(&module, &mut args), CKR_CRYPTOKI_ALREADY_INITIALIZED);
            assert_eq!(finalize(&module), CKR_OK);
        }
    }
    assert_eq!(finalize(&module), CKR_CRYPTOKI_NOT_INITIALIZED);
}

#[test]
fn initialize_reads_no_further_than_the_standards_structure() {
    const PAGE: usize = 65536;
    // SAFETY: two fresh ranges, the second of which is made unreadable; the structure stands at the end of the first.
    let args = unsafe {
        let pages = libc::mmap(
            null_mut(),
            2 * PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        );
        assert_ne!(pages, libc::MAP_FAILED);
        assert_eq!(libc::mprotect(pages.byte_add(PAGE), PAGE, libc::PROT_NONE), 0);
        pages.byte_add(PAGE).cast::<CK_C_INITIALIZE_ARGS>().sub(1)
    };
    assert_eq!(initialize(&load(), args), CKR_OK);
}

#[test]
fn reserved_arguments_must_be_null() {
    let module = initialized();
    let reserved = (&raw const module).cast_mut().cast();
    // SAFETY: the module may not follow the pointer.
    unsafe {
        assert_eq!(module.v3.C_WaitForSlotEvent.unwrap()(CKF_DONT_BLOCK, &mut 0, reserved), CKR_ARGUMENTS_BAD);
        assert_eq!(module.v3.C_Finalize.unwrap()(reserved), CKR_ARGUMENTS_BAD);
    }
    assert_eq!(finalize(&module), CKR_OK);
}

#[test]
fn each_list_has_its_own_version_and_reports_it() {
    let module = initialized();
    assert_eq!((module.v2.version.major, module.v2.version.minor), (2, 40));
    assert_eq!((module.v3_0.version.major, module.v3_0.version.minor), (3, 0));
    assert_eq!((module.v3.version.major, module.v3.version.minor), (3, 2));
    let infos = [(module.v2.C_GetInfo, (2, 40)), (module.v3_0.C_GetInfo, (3, 0)), (module.v3.C_GetInfo, (3, 2))];
    for (info, expected) in infos {
        // SAFETY: zeroes are a value of CK_INFO, which has room for the answer.
        let mut answer: CK_INFO = unsafe { zeroed() };
        // SAFETY: as above.
        assert_eq!(unsafe { info.unwrap()(&mut answer) }, CKR_OK);
        assert_eq!((answer.cryptokiVersion.major, answer.cryptokiVersion.minor), expected);
        assert_eq!(&answer.manufacturerID, b"jpki-pkcs11                     ");
        assert!(!answer.libraryDescription.contains(&0));
    }
}

#[test]
fn an_interface_is_found_by_what_it_must_have() {
    let module = load();
    let find = |name: Option<&CStr>, version: Option<(u8, u8)>, flags| {
        let mut version = version.map(|(major, minor)| CK_VERSION { major, minor });
        let name = name.map_or(null(), CStr::as_ptr).cast_mut().cast();
        let version: *mut CK_VERSION = version.as_mut().map_or(null_mut(), |version| version);
        let mut found: *mut CK_INTERFACE = null_mut();
        // SAFETY: all are good for the call; what is found lives as long as the process.
        unsafe {
            let rv = module.v3.C_GetInterface.unwrap()(name, version, &mut found, flags);
            (rv, found.as_ref().map_or(null(), |found| found.pFunctionList.cast_const()))
        }
    };
    let v2 = (CKR_OK, std::ptr::from_ref(module.v2).cast());
    let v3_0 = (CKR_OK, std::ptr::from_ref(module.v3_0).cast());
    let v3_2 = (CKR_OK, std::ptr::from_ref(module.v3).cast());
    let none = (CKR_FUNCTION_FAILED, null());
    let standard = Some(c"PKCS 11");
    for name in [None, standard] {
        assert_eq!(find(name, None, 0), v3_2);
        assert_eq!(find(name, Some((3, 2)), 0), v3_2);
        assert_eq!(find(name, Some((3, 0)), 0), v3_0);
        assert_eq!(find(name, Some((2, 40)), 0), v2);
        for unknown in [(3, 1), (3, 3), (2, 2), (4, 0)] {
            assert_eq!(find(name, Some(unknown), 0), none);
        }
    }
    assert_eq!(find(standard, None, CKF_INTERFACE_FORK_SAFE), none);
    assert_eq!(find(Some(c"Vendor NSS FIPS Interface"), None, 0), none);
    assert_eq!(find(Some(c""), None, 0), none);
}

#[test]
fn an_interface_that_a_caller_has_written_into_is_whole_for_the_next() {
    let module = load();
    let ask = || {
        let mut found: *mut CK_INTERFACE = null_mut();
        // SAFETY: a place for the pointer, and null for what is not asked for.
        assert_eq!(unsafe { module.v3.C_GetInterface.unwrap()(null_mut(), null_mut(), &mut found, 0) }, CKR_OK);
        found
    };
    let given = ask();
    // SAFETY: what OpenSC's spy does with the structure. Nobody else in this process has this copy of the library.
    let before = unsafe {
        let before = (*given).pFunctionList;
        (*given).pFunctionList = null_mut();
        before
    };
    let again = ask();
    // SAFETY: the structures live as long as the process.
    assert_eq!(unsafe { ((*again).pFunctionList, (*again).flags) }, (before, 0));
    assert_eq!(again, given);
}

#[test]
fn what_is_given_beside_an_error_can_be_looked_at_and_is_no_interface_of_the_standard() {
    let module = load();
    let mut given: *mut CK_INTERFACE = std::ptr::dangling_mut();
    // SAFETY: a place for the pointer, and null for what is not asked for.
    let rv = unsafe { module.v3.C_GetInterface.unwrap()(null_mut(), null_mut(), &mut given, CKF_INTERFACE_FORK_SAFE) };
    assert_eq!(rv, CKR_FUNCTION_FAILED);
    // SAFETY: the structure lives as long as the process.
    let given = unsafe { *given };
    // SAFETY: a text that ends with a zero byte.
    assert_eq!(unsafe { CStr::from_ptr(given.pInterfaceName.cast()) }, c"");
    assert!(given.pFunctionList.is_null());
}

#[test]
fn the_list_of_interfaces_says_its_length_also_when_there_is_too_little_room() {
    let module = load();
    // SAFETY: zeroes are a value of CK_INTERFACE.
    let mut list: [CK_INTERFACE; 4] = unsafe { zeroed() };
    let get = |start: *mut CK_INTERFACE, room: CK_ULONG| {
        let mut count = room;
        // SAFETY: `start` is null or has room for as many.
        (unsafe { module.v3.C_GetInterfaceList.unwrap()(start, &mut count) }, count)
    };
    assert_eq!(get(null_mut(), 0), (CKR_OK, 3));
    assert_eq!(get(list.as_mut_ptr(), 2), (CKR_BUFFER_TOO_SMALL, 3));
    assert!(list[0].pFunctionList.is_null());
    assert_eq!(get(list.as_mut_ptr(), 4), (CKR_OK, 3));
    assert_eq!(list[0].pFunctionList.cast_const(), std::ptr::from_ref(module.v3).cast());
    assert_eq!(list[1].pFunctionList.cast_const(), std::ptr::from_ref(module.v3_0).cast());
    assert_eq!(list[2].pFunctionList.cast_const(), std::ptr::from_ref(module.v2).cast());
    for interface in &list[..3] {
        // SAFETY: the standard makes it a C string, here a static one.
        assert_eq!(unsafe { CStr::from_ptr(interface.pInterfaceName.cast()) }, c"PKCS 11");
        assert_eq!(interface.flags, 0);
    }
}

#[test]
fn every_function_is_exported_by_name() {
    let module = load();
    for name in every::of_3_2() {
        // SAFETY: only the address is looked at.
        let symbol = unsafe { module.library.get::<*const c_void>(name.as_bytes()) };
        assert!(symbol.is_ok(), "{name}");
    }
}

#[test]
fn two_modules_in_one_process_do_not_call_each_other() {
    // As a program does that wants the symbols of one module for itself: every later module with the same names would
    // take the first one's, if its lists were bound by name.
    let first = load_with(RTLD_NOW | RTLD_GLOBAL);
    let second = load_with(RTLD_NOW | RTLD_GLOBAL);
    assert!(!std::ptr::eq(first.v2, second.v2));
    assert_eq!(initialize(&first, null_mut()), CKR_OK);
    says_it_is_not_initialized(&second);
    assert_eq!(initialize(&second, null_mut()), CKR_OK);
    assert_eq!(finalize(&first), CKR_OK);
    assert_eq!(finalize(&second), CKR_OK);
}
