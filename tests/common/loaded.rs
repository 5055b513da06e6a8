//! The built library as the dynamic loader gives it to a C program.

#![allow(dead_code, reason = "every test program uses its own part")]

#[path = "built.rs"]
mod built;

use cryptoki_sys::*;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::c_int;
use std::ptr::null_mut;

/// The library, loaded from a copy of its file: the loader takes that for another library, so each test has its own state.
pub struct Loaded {
    /// For the symbols.
    pub library: Library,
    /// The list C_GetFunctionList gives.
    pub v2: &'static CK_FUNCTION_LIST,
    /// The list of the default interface.
    pub v3: &'static CK_FUNCTION_LIST_3_0,
}

/// For itself.
pub fn load() -> Loaded {
    load_with(RTLD_NOW | RTLD_LOCAL)
}

/// With other flags of dlopen.
pub fn load_with(flags: c_int) -> Loaded {
    load_as("", flags)
}

/// With an ending of its file's name, which says what it shows.
pub fn load_as(ending: &str, flags: c_int) -> Loaded {
    // Gone once it is loaded.
    let directory = tempfile::Builder::new().prefix("jpki-").tempdir().unwrap();
    let copy = directory.path().join(format!("entry{ending}.so"));
    std::fs::copy(built::built(), &copy).unwrap();
    // SAFETY: the library's initialisers are Rust's own, and the file is no longer written to.
    let library = unsafe { Library::open(Some(&copy), flags) }.unwrap();

    // SAFETY: the symbols have these types by the standard. The lists live as long as the process: `-z nodelete`.
    unsafe {
        let function_list: CK_C_GetFunctionList = *library.get(b"C_GetFunctionList").unwrap();
        let interface: CK_C_GetInterface = *library.get(b"C_GetInterface").unwrap();
        let (mut v2, mut v3) = (null_mut(), null_mut());
        assert_eq!(function_list.unwrap()(&mut v2), CKR_OK);
        assert_eq!(interface.unwrap()(null_mut(), null_mut(), &mut v3, 0), CKR_OK);
        Loaded { library, v2: &*v2, v3: &*(*v3).pFunctionList.cast() }
    }
}

/// C_Finalize.
pub fn finalize(module: &Loaded) -> CK_RV {
    // SAFETY: null is what the standard asks for.
    unsafe { module.v3.C_Finalize.unwrap()(null_mut()) }
}
