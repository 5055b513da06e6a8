//! What the module shows depends on the names of its file, on those of the links that lead to it, and on who has loaded it.
//! The card is a practice card in the embedded practice reader; the library is the built one, under the names that people
//! install and under those that they give it.

#![cfg(all(unix, feature = "practice"))]
#![allow(unsafe_code)]

#[path = "common/embedded.rs"]
mod embedded;
#[path = "common/loaded.rs"]
mod loaded;

use cryptoki_sys::*;
use jpki_pkcs11 as _;
use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
use loaded::{Folder, Loaded, finalize};
use std::path::Path;
use std::ptr::null_mut;

/// The module in this file, with the practice card in its reader.
fn load(path: &Path) -> Loaded {
    embedded::insert_card();
    loaded::open(path, RTLD_NOW | RTLD_LOCAL)
}

/// A copy of it under this name.
fn load_as(name: &str) -> Loaded {
    load(&Folder::new().copy(name))
}

fn initialize(list: &CK_FUNCTION_LIST) {
    // SAFETY: null is good for C_Initialize.
    assert_eq!(unsafe { list.C_Initialize.unwrap()(null_mut()) }, CKR_OK);
}

/// The labels of the tokens shown, as far as they differ, of a module that is initialised.
fn labels(list: &CK_FUNCTION_LIST) -> Vec<String> {
    let (mut slots, mut count) = ([0; 8], 8);
    // SAFETY: room for as many slots as said.
    assert_eq!(unsafe { list.C_GetSlotList.unwrap()(CK_TRUE, slots.as_mut_ptr(), &mut count) }, CKR_OK);
    let labels = slots[..count as usize].iter().map(|&slot| {
        let mut info = CK_TOKEN_INFO::default();
        // SAFETY: a place for the answer.
        assert_eq!(unsafe { list.C_GetTokenInfo.unwrap()(slot, &mut info) }, CKR_OK);
        String::from_utf8_lossy(&info.label).split_whitespace().nth(1).unwrap().to_owned()
    });
    labels.collect()
}

/// The same of one that is not, and is not afterwards.
fn tokens(module: &Loaded) -> Vec<String> {
    initialize(module.v2);
    let labels = labels(module.v2);
    assert_eq!(finalize(module), CKR_OK);
    labels
}

const BOTH: &[&str] = &["Auth", "Sign"];
const AUTH: &[&str] = &["Auth"];
const SIGN: &[&str] = &["Sign"];
const NONE: &[&str] = &[];

#[test]
fn the_name_of_the_file_says_which_tokens_are_shown() {
    for (name, shown) in [
        ("libjpki_pkcs11.so", BOTH),
        ("libjpki_pkcs11-auth.so", AUTH),
        ("libjpki_pkcs11-ssh.so", AUTH),
        ("libjpki_pkcs11-sign.so", SIGN),
    ] {
        assert_eq!(tokens(&load_as(name)), shown, "{name}");
    }
}

#[test]
fn a_version_in_the_name_of_the_file_changes_nothing() {
    for (name, shown) in [
        ("libjpki_pkcs11.so.1", BOTH),
        ("libjpki_pkcs11-0.1.so", BOTH),
        ("libjpki_pkcs11-auth.so.1", AUTH),
        ("libjpki_pkcs11-auth-0.1.so", AUTH),
        ("libjpki_pkcs11-ssh-0.1.so.0.1", AUTH),
        ("libjpki_pkcs11-sign.so.0.1.0", SIGN),
    ] {
        assert_eq!(tokens(&load_as(name)), shown, "{name}");
    }
}

#[test]
fn a_link_of_another_name_shows_what_its_target_does() {
    for (target, shown) in [
        ("libjpki_pkcs11.so", BOTH),
        ("libjpki_pkcs11-auth.so", AUTH),
        ("libjpki_pkcs11-ssh.so.1", AUTH),
        ("libjpki_pkcs11-sign.so", SIGN),
    ] {
        let folder = Folder::new();
        let copy = folder.copy(target);
        assert_eq!(tokens(&load(&folder.link("browser.so", &copy))), shown, "{target}");

        // By one more, in another place, both relative.
        let folder = Folder::new();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        folder.copy(target);
        folder.link("inner/browser.so", Path::new("..").join(target));
        assert_eq!(tokens(&load(&folder.link("module", "inner/browser.so"))), shown, "{target}");
    }
}

#[test]
fn two_of_our_names_show_what_both_allow() {
    for (link, target, shown) in [
        ("libjpki_pkcs11.so", "libjpki_pkcs11-auth.so", AUTH),
        ("libjpki_pkcs11.so", "libjpki_pkcs11-sign-0.1.so", SIGN),
        ("libjpki_pkcs11-auth.so", "libjpki_pkcs11.so", AUTH),
        ("libjpki_pkcs11-ssh.so", "libjpki_pkcs11-auth.so", AUTH),
        ("libjpki_pkcs11-sign.so", "libjpki_pkcs11.so", SIGN),
        ("libjpki_pkcs11-sign.so", "libjpki_pkcs11-auth.so", NONE),
        ("libjpki_pkcs11-auth.so", "libjpki_pkcs11-sign.so", NONE),
    ] {
        let folder = Folder::new();
        folder.copy(target);
        assert_eq!(tokens(&load(&folder.link(link, target))), shown, "{link} -> {target}");
    }
}

#[test]
fn a_file_of_an_unknown_name_shows_the_authentication_token_only_and_the_log_says_what_to_do() {
    for name in ["browser.so", "libjpki_pkcs11-browser.so", "libjpki_pkcs11-sign (copy).so", "jpki_pkcs11-sign.so"] {
        // A copy for each, because links to one file are one module, under the name that the loader met first.
        let folders = [Folder::new(), Folder::new(), Folder::new()];
        let copies = folders.each_ref().map(|folder| folder.copy(name));
        let copy = &copies[0];
        assert_eq!(tokens(&load(copy)), AUTH, "{name}");
        let link = folders[1].link("libjpki_pkcs11.so", &copies[1]);
        assert_eq!(tokens(&load(&link)), AUTH, "a link to {name}");
        let link = folders[2].link("libjpki_pkcs11-sign.so", &copies[2]);
        assert_eq!(tokens(&load(&link)), NONE, "a link for signing to {name}");

        let log = embedded::log();
        let about = |path: &Path| log.lines().find(|line| line.contains(&path.display().to_string())).unwrap();
        assert!(about(copy).contains("WARN") && about(copy).contains("libjpki_pkcs11-sign.so"), "{}", about(copy));
        assert!(about(&link).contains("no token"), "{}", about(&link));
    }
}

#[test]
fn a_link_counts_as_it_was_when_the_module_was_loaded() {
    // By a path that leads nowhere once the program has changed its directory, as those do that go into the background.
    let folder = Folder::new();
    folder.copy("libjpki_pkcs11-sign.so");
    let link = folder.link("libjpki_pkcs11.so", "libjpki_pkcs11-sign.so");
    std::env::set_current_dir(folder.path()).unwrap();
    let module = load(&Path::new(".").join(link.file_name().unwrap()));
    std::env::set_current_dir("/").unwrap();
    assert_eq!(tokens(&module), SIGN);
    // An update puts another file in its place meanwhile.
    drop(folder);
    assert_eq!(tokens(&module), SIGN);
}

#[test]
fn the_four_files_are_four_modules_in_one_process() {
    let folder = Folder::new();
    let files = ["libjpki_pkcs11.so", "libjpki_pkcs11-auth.so", "libjpki_pkcs11-sign.so", "libjpki_pkcs11-ssh.so"];
    let modules = files.map(|name| load(&folder.copy(name)));
    for (at, module) in modules.iter().enumerate() {
        for other in &modules[at + 1..] {
            assert!(!std::ptr::eq(module.v2, other.v2) && !std::ptr::eq(module.v3, other.v3));
        }
    }
    // Each with a state of its own.
    modules.iter().for_each(|module| initialize(module.v2));
    assert_eq!(modules.each_ref().map(|module| labels(module.v2)), [BOTH, AUTH, SIGN, AUTH]);
    modules.iter().for_each(|module| assert_eq!(finalize(module), CKR_OK));
}

/// A program that has the crate linked in has no module's file, and its own name says nothing.
#[test]
fn a_program_that_has_the_code_linked_in_is_shown_both_tokens() {
    unsafe extern "C" {
        fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV;
    }
    embedded::insert_card();
    let mut list = null_mut();
    // SAFETY: a place for the answer, which stays as long as the process.
    let list = unsafe {
        assert_eq!(C_GetFunctionList(&mut list), CKR_OK);
        &*list
    };
    initialize(list);
    assert_eq!(labels(list), BOTH);
    // SAFETY: null is what the standard asks for.
    assert_eq!(unsafe { list.C_Finalize.unwrap()(null_mut()) }, CKR_OK);
}

/// The ids of the certificates that the first token shows, in the order in which they are found, before a login, and where
/// it is the signature token after it.
fn certificates(module: &Loaded) -> (Vec<u8>, Vec<u8>) {
    initialize(module.v2);
    let (mut slots, mut count, mut session) = ([0; 8], 8, 0);
    // SAFETY: the pointers are to places of this function that are as large as said.
    unsafe {
        assert_eq!(module.v2.C_GetSlotList.unwrap()(CK_TRUE, slots.as_mut_ptr(), &mut count), CKR_OK);
        let open = module.v2.C_OpenSession.unwrap();
        assert_eq!(open(slots[0], CKF_SERIAL_SESSION, null_mut(), None, &mut session), CKR_OK);
    }
    let before = certificate_ids(module.v2, session);
    let mut after = Vec::new();
    if labels(module.v2) == SIGN {
        let mut password = embedded::PASSWORD.as_bytes().to_vec();
        // SAFETY: as above.
        let rv = unsafe { module.v2.C_Login.unwrap()(session, CKU_USER, password.as_mut_ptr(), password.len() as _) };
        assert_eq!(rv, CKR_OK);
        after = certificate_ids(module.v2, session);
        // SAFETY: as above.
        assert_eq!(unsafe { module.v2.C_Logout.unwrap()(session) }, CKR_OK);
        assert_eq!(certificate_ids(module.v2, session), before, "a logout takes away what the login showed");
    }
    assert_eq!(finalize(module), CKR_OK);
    (before, after)
}

fn certificate_ids(list: &CK_FUNCTION_LIST, session: CK_SESSION_HANDLE) -> Vec<u8> {
    let (mut class, mut objects, mut count) = (CKO_CERTIFICATE, [0; 8], 0);
    let mut template = CK_ATTRIBUTE {
        type_: CKA_CLASS,
        pValue: (&raw mut class).cast(),
        ulValueLen: size_of::<CK_OBJECT_CLASS>() as CK_ULONG,
    };
    // SAFETY: the pointers are to places of this function that are as large as said.
    unsafe {
        assert_eq!(list.C_FindObjectsInit.unwrap()(session, &mut template, 1), CKR_OK);
        assert_eq!(list.C_FindObjects.unwrap()(session, objects.as_mut_ptr(), 8, &mut count), CKR_OK);
        assert_eq!(list.C_FindObjectsFinal.unwrap()(session), CKR_OK);
    }
    let ids = objects[..count as usize].iter().map(|&object| {
        let mut id = 0u8;
        let mut template = CK_ATTRIBUTE { type_: CKA_ID, pValue: (&raw mut id).cast(), ulValueLen: 1 };
        // SAFETY: as above.
        let rv = unsafe { list.C_GetAttributeValue.unwrap()(session, object, &mut template, 1) };
        assert_eq!(rv, CKR_OK);
        id
    });
    ids.collect()
}

/// OpenSSH, kinit, gpgsm, OpenVPN and SSSD take every certificate of a token for one of the holder's.
#[test]
fn a_program_that_takes_each_certificate_for_an_identity_finds_the_holders_alone() {
    for name in ["libjpki_pkcs11-auth.so", "libjpki_pkcs11-ssh.so", "browser.so"] {
        assert_eq!(certificates(&load_as(name)).0, [1], "{name}");
    }
    let (before, after) = certificates(&load_as("libjpki_pkcs11-sign.so"));
    assert_eq!(before, [] as [u8; 0], "the authority's alone, before a login, would be taken for the holder's");
    assert_eq!(after, [2, 4], "the holder's first");
    assert_eq!(certificates(&load_as("libjpki_pkcs11.so")).0, [1, 3], "the file for tools shows the authority's");
}

/// Has the module take this process for one of NSS, which alone asks for this interface.
fn ask_as_nss(module: &Loaded) {
    let mut interface = null_mut();
    let name = c"Vendor NSS FIPS Interface".as_ptr().cast_mut();
    // SAFETY: a symbol of that type by the standard; a name that ends, and a place for the answer.
    let rv = unsafe {
        let ask: CK_C_GetInterface = *module.library.get(b"C_GetInterface").unwrap();
        ask.unwrap()(name.cast(), null_mut(), &mut interface, 0)
    };
    assert_eq!(rv, CKR_FUNCTION_FAILED, "it is not offered");
}

#[test]
fn a_program_that_asks_as_nss_does_is_shown_the_authentication_token_only() {
    let shown = |module: Loaded| {
        ask_as_nss(&module);
        tokens(&module)
    };
    assert_eq!(shown(load_as("libjpki_pkcs11.so")), AUTH, "or a browser would ask for the signature password");
    // A document program, set up with the file for it, is an NSS host too.
    assert_eq!(shown(load_as("libjpki_pkcs11-sign.so")), SIGN);
    for (link, target, expected) in [
        ("documents.so", "libjpki_pkcs11-sign.so", SIGN),
        ("libjpki_pkcs11.so", "libjpki_pkcs11-sign.so", SIGN),
        ("libjpki_pkcs11-auth.so", "libjpki_pkcs11-sign.so", NONE),
        ("browser.so", "libjpki_pkcs11.so", AUTH),
    ] {
        let folder = Folder::new();
        folder.copy(target);
        assert_eq!(shown(load(&folder.link(link, target))), expected, "{link} -> {target}");
    }
}
