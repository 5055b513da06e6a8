//! The built library as the dynamic loader gives it to a C program.

#![allow(dead_code, reason = "every test program uses its own part")]

#[path = "built.rs"]
mod built;

use cryptoki_sys::*;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use tempfile::TempDir;

/// The library, loaded from a copy of its file: the loader takes that for another library, so each test has its own state.
pub struct Loaded {
    /// For the symbols.
    pub library: Library,
    /// The list C_GetFunctionList gives.
    pub v2: &'static CK_FUNCTION_LIST,
    /// The list that C_GetInterface gives to who asks for 3.0.
    pub v3_0: &'static CK_FUNCTION_LIST_3_0,
    /// The list of the default interface.
    pub v3: &'static CK_FUNCTION_LIST_3_2,
}

/// For itself.
pub fn load() -> Loaded {
    load_with(RTLD_NOW | RTLD_LOCAL)
}

/// With other flags of dlopen.
pub fn load_with(flags: c_int) -> Loaded {
    open(&Folder::new().copy("libjpki_pkcs11.so"), flags)
}

/// A folder for copies of the library and links to them, gone when the test no longer needs it; what was loaded from it
/// stays loaded.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::Builder::new().prefix("jpki-").tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A copy of the library under this name.
    pub fn copy(&self, name: &str) -> PathBuf {
        let copy = self.path().join(name);
        std::fs::copy(built::built(), &copy).unwrap();
        copy
    }

    /// A symbolic link of this name to what may be relative.
    pub fn link(&self, name: &str, target: impl AsRef<Path>) -> PathBuf {
        let link = self.path().join(name);
        std::os::unix::fs::symlink(target, &link).unwrap();
        link
    }
}

/// The library in this file, as the loader finds it.
pub fn open(path: &Path, flags: c_int) -> Loaded {
    // SAFETY: the library's initialisers are Rust's own, and the file is no longer written to.
    let library = unsafe { Library::open(Some(path), flags) }.unwrap();
    // SAFETY: the symbols have these types by the standard. The lists live as long as the process: `-z nodelete`.
    unsafe {
        let function_list: CK_C_GetFunctionList = *library.get(b"C_GetFunctionList").unwrap();
        let interface: CK_C_GetInterface = *library.get(b"C_GetInterface").unwrap();
        let (mut v2, mut v3_0, mut v3) = (null_mut(), null_mut(), null_mut());
        assert_eq!(function_list.unwrap()(&mut v2), CKR_OK);
        assert_eq!(interface.unwrap()(null_mut(), &mut CK_VERSION { major: 3, minor: 0 }, &mut v3_0, 0), CKR_OK);
        assert_eq!(interface.unwrap()(null_mut(), null_mut(), &mut v3, 0), CKR_OK);
        Loaded { library, v2: &*v2, v3_0: &*(*v3_0).pFunctionList.cast(), v3: &*(*v3).pFunctionList.cast() }
    }
}

/// C_Finalize.
pub fn finalize(module: &Loaded) -> CK_RV {
    // SAFETY: null is what the standard asks for.
    unsafe { module.v3.C_Finalize.unwrap()(null_mut()) }
}
