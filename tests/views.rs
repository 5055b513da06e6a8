//! What the module shows depends on the name of its file and on who has loaded it. The card is a practice card in the
//! embedded practice reader; the library is the built one, under the names that people install.

#![cfg(all(unix, feature = "practice"))]
#![allow(unsafe_code)]

#[path = "common/embedded.rs"]
mod embedded;
#[path = "common/loaded.rs"]
mod loaded;

use cryptoki_sys::*;
use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
use loaded::{Loaded, finalize, load, load_as};
use std::ptr::null_mut;

/// The labels of the tokens shown, as far as they differ.
fn tokens(module: &Loaded) -> Vec<String> {
    let (mut slots, mut count) = ([0; 8], 8);
    // SAFETY: null is good for C_Initialize; room for as many slots as said.
    unsafe {
        assert_eq!(module.v3.C_Initialize.unwrap()(null_mut()), CKR_OK);
        assert_eq!(module.v3.C_GetSlotList.unwrap()(CK_TRUE, slots.as_mut_ptr(), &mut count), CKR_OK);
    }
    let labels = slots[..count as usize].iter().map(|&slot| {
        let mut info = CK_TOKEN_INFO::default();
        // SAFETY: a place for the answer.
        assert_eq!(unsafe { module.v3.C_GetTokenInfo.unwrap()(slot, &mut info) }, CKR_OK);
        String::from_utf8_lossy(&info.label).split_whitespace().nth(1).unwrap().to_owned()
    });
    let labels = labels.collect();
    assert_eq!(finalize(module), CKR_OK);
    labels
}

#[test]
fn the_name_of_the_file_says_which_tokens_are_shown() {
    embedded::insert_card();
    for (ending, shown) in
        [("", &["Auth", "Sign"][..]), ("-auth", &["Auth"]), ("-ssh", &["Auth"]), ("-sign", &["Sign"])]
    {
        assert_eq!(tokens(&load_as(ending, RTLD_NOW | RTLD_LOCAL)), shown, "{ending}");
    }
}

/// How many certificates the first token shows to whoever has not logged in.
fn certificates(module: &Loaded) -> CK_ULONG {
    let (mut slot, mut slots, mut session) = (0, 1, 0);
    let (mut class, mut objects, mut count) = (CKO_CERTIFICATE, [0; 8], 0);
    let mut template = CK_ATTRIBUTE {
        type_: CKA_CLASS,
        pValue: (&raw mut class).cast(),
        ulValueLen: size_of::<CK_OBJECT_CLASS>() as CK_ULONG,
    };
    // SAFETY: null is good for C_Initialize; the other pointers are to places of this function that are as large as said.
    unsafe {
        assert_eq!(module.v3.C_Initialize.unwrap()(null_mut()), CKR_OK);
        assert_eq!(module.v3.C_GetSlotList.unwrap()(CK_TRUE, &mut slot, &mut slots), CKR_OK);
        let open = module.v3.C_OpenSession.unwrap();
        assert_eq!(open(slot, CKF_SERIAL_SESSION, null_mut(), None, &mut session), CKR_OK);
        assert_eq!(module.v3.C_FindObjectsInit.unwrap()(session, &mut template, 1), CKR_OK);
        assert_eq!(module.v3.C_FindObjects.unwrap()(session, objects.as_mut_ptr(), 8, &mut count), CKR_OK);
    }
    assert_eq!(finalize(module), CKR_OK);
    count
}

#[test]
fn the_file_for_ssh_does_not_show_the_authoritys_certificate() {
    embedded::insert_card();
    assert_eq!(certificates(&load_as("-auth", RTLD_NOW | RTLD_LOCAL)), 2);
    assert_eq!(certificates(&load_as("-ssh", RTLD_NOW | RTLD_LOCAL)), 1, "OpenSSH takes its key for one of the user's");
}

#[test]
fn a_program_that_asks_as_nss_does_is_shown_the_authentication_token_only() {
    embedded::insert_card();
    let module = load();
    let mut interface = null_mut();
    let name = c"Vendor NSS FIPS Interface".as_ptr().cast_mut();
    // SAFETY: a symbol of that type by the standard; a name that ends, and a place for the answer.
    let rv = unsafe {
        let ask: CK_C_GetInterface = *module.library.get(b"C_GetInterface").unwrap();
        ask.unwrap()(name.cast(), null_mut(), &mut interface, 0)
    };
    assert_eq!(rv, CKR_FUNCTION_FAILED, "it is not offered");
    assert_eq!(tokens(&module), ["Auth"], "or a browser would ask for the signature password");
    // A document program, set up with the file for it, is an NSS host too.
    let module = load_as("-sign", RTLD_NOW | RTLD_LOCAL);
    // SAFETY: as above.
    unsafe {
        let ask: CK_C_GetInterface = *module.library.get(b"C_GetInterface").unwrap();
        ask.unwrap()(name.cast(), null_mut(), &mut interface, 0);
    }
    assert_eq!(tokens(&module), ["Sign"]);
}
