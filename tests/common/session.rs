//! Sessions with a practice card in the embedded practice reader, by the built library, as a C program has them.

#![allow(dead_code, reason = "every test program uses its own part")]

use super::embedded;
use super::loaded::{Loaded, load};
use cryptoki_sys::*;
use std::ptr::null_mut;
use std::sync::{LazyLock, Mutex, MutexGuard};

/// One module with one card for all tests of a program, each of which has it for itself.
pub struct Card {
    pub list: &'static CK_FUNCTION_LIST_3_2,
    pub slot: CK_SLOT_ID,
    _alone: MutexGuard<'static, ()>,
}

static MODULE: LazyLock<Loaded> = LazyLock::new(|| {
    embedded::insert_card();
    let module = load();
    // SAFETY: null is good for C_Initialize.
    assert_eq!(unsafe { module.v3.C_Initialize.unwrap()(null_mut()) }, CKR_OK);
    module
});

impl Card {
    /// Waits for its turn.
    pub fn insert() -> Card {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let list = MODULE.v3;
        let (mut slots, mut count) = ([0; 8], 8);
        // SAFETY: room for as many slots as said.
        assert_eq!(unsafe { list.C_GetSlotList.unwrap()(CK_TRUE, slots.as_mut_ptr(), &mut count) }, CKR_OK);
        assert_eq!(count, 2, "an authentication and a signature token");
        Card { list, slot: slots[0], _alone: alone }
    }

    /// A read-only session with the authentication token.
    pub fn session(&self) -> CK_SESSION_HANDLE {
        let mut session = 0;
        // SAFETY: a place for the handle.
        let rv =
            unsafe { self.list.C_OpenSession.unwrap()(self.slot, CKF_SERIAL_SESSION, null_mut(), None, &mut session) };
        assert_eq!(rv, CKR_OK);
        session
    }

    /// The same, where the user is logged in.
    pub fn logged_in(&self) -> CK_SESSION_HANDLE {
        let session = self.session();
        let pin = b"1234";
        // SAFETY: the PIN has four bytes.
        let rv = unsafe { self.list.C_Login.unwrap()(session, CKU_USER, pin.as_ptr().cast_mut(), 4) };
        assert!([CKR_OK, CKR_USER_ALREADY_LOGGED_IN].contains(&rv), "{rv:#x}");
        session
    }

    /// The only object of a class.
    pub fn find(&self, session: CK_SESSION_HANDLE, mut class: CK_OBJECT_CLASS) -> CK_OBJECT_HANDLE {
        let mut template = CK_ATTRIBUTE {
            type_: CKA_CLASS,
            pValue: (&raw mut class).cast(),
            ulValueLen: size_of_val(&class) as CK_ULONG,
        };
        let (mut object, mut count) = (0, 0);
        // SAFETY: one attribute with its value, one place for a handle.
        unsafe {
            assert_eq!(self.list.C_FindObjectsInit.unwrap()(session, &mut template, 1), CKR_OK);
            assert_eq!(self.list.C_FindObjects.unwrap()(session, &mut object, 1, &mut count), CKR_OK);
            assert_eq!(self.list.C_FindObjectsFinal.unwrap()(session), CKR_OK);
        }
        assert_eq!(count, 1);
        object
    }

    /// C_SignInit, which succeeds.
    pub fn sign_init(&self, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) {
        self.sign_init_with(session, mechanism(), key);
    }

    /// The same with another mechanism.
    pub fn sign_init_with(&self, session: CK_SESSION_HANDLE, mut mechanism: CK_MECHANISM, key: CK_OBJECT_HANDLE) {
        // SAFETY: a mechanism whose parameter, if it has one, is a variable of the test.
        assert_eq!(unsafe { self.list.C_SignInit.unwrap()(session, &mut mechanism, key) }, CKR_OK);
    }

    /// C_VerifyInit, which succeeds.
    pub fn verify_init(&self, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) {
        let mut mechanism = mechanism();
        // SAFETY: a mechanism without a parameter.
        assert_eq!(unsafe { self.list.C_VerifyInit.unwrap()(session, &mut mechanism, key) }, CKR_OK);
    }

    /// C_Sign, and the length it says.
    pub fn sign(&self, session: CK_SESSION_HANDLE, data: &[u8], out: &mut [u8]) -> (CK_RV, CK_ULONG) {
        let mut len = out.len() as CK_ULONG;
        // SAFETY: data and room of those lengths.
        let rv = unsafe {
            let (data, data_len) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
            self.list.C_Sign.unwrap()(session, data, data_len, out.as_mut_ptr(), &mut len)
        };
        (rv, len)
    }
}

/// CKM_SHA256_RSA_PKCS.
pub fn mechanism() -> CK_MECHANISM {
    CK_MECHANISM { mechanism: CKM_SHA256_RSA_PKCS, pParameter: null_mut(), ulParameterLen: 0 }
}
