//! A PKCS#11 module opened as a program opens it: what it says of itself and of its tokens. The doctor asks this in a
//! process of its own, since opening a library runs its code.

use cryptoki_sys::{
    CK_C_GetFunctionList, CK_FUNCTION_LIST, CK_INFO, CK_RV, CK_SLOT_ID, CK_TOKEN_INFO, CK_TRUE, CK_ULONG, CKR_OK,
};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// C_GetInfo's libraryDescription.
    pub description: String,
    /// Its libraryVersion.
    pub version: (u8, u8),
    /// Labels of the tokens that are there.
    pub tokens: Vec<String>,
}

/// Opens the module in `path`, initialises it, asks it, finalises it. The library stays loaded.
///
/// # Errors
/// A sentence: the loader's, or which function failed with which CKR.
pub fn ask(path: &Path) -> Result<ModuleInfo, String> {
    let list = open(path)?;
    let called = |name: &str, rv: Option<CK_RV>| match rv {
        Some(CKR_OK) => Ok(()),
        Some(rv) => Err(format!("{name} answers 0x{rv:08X}")),
        None => Err(format!("{name} is missing")),
    };
    // SAFETY: NULL is an argument that C_Initialize and C_Finalize know.
    called("C_Initialize", list.C_Initialize.map(|function| unsafe { function(ptr::null_mut()) }))?;
    let asked = (|| {
        let mut info = CK_INFO::default();
        // SAFETY: `info` is writable and has the type the standard gives it.
        called("C_GetInfo", list.C_GetInfo.map(|function| unsafe { function(&mut info) }))?;
        let mut count: CK_ULONG = 0;
        let slot_list = |slots: *mut CK_SLOT_ID, count: &mut CK_ULONG| {
            // SAFETY: `slots` is null, or has room for `count` ids.
            let rv = list.C_GetSlotList.map(|function| unsafe { function(CK_TRUE, slots, count) });
            called("C_GetSlotList", rv)
        };
        slot_list(ptr::null_mut(), &mut count)?;
        // More than any machine has; a module's count is not to be believed.
        let mut slots: Vec<CK_SLOT_ID> = vec![0; count.min(256) as usize];
        let mut room = slots.len() as CK_ULONG;
        slot_list(slots.as_mut_ptr(), &mut room)?;
        slots.truncate(room.min(256) as usize);
        let mut tokens = Vec::new();
        for slot in slots {
            let mut token = CK_TOKEN_INFO::default();
            // SAFETY: `token` is writable and has the type the standard gives it.
            let rv = list.C_GetTokenInfo.map(|function| unsafe { function(slot, &mut token) });
            called("C_GetTokenInfo", rv)?;
            tokens.push(text(&token.label));
        }
        let version = info.libraryVersion;
        Ok(ModuleInfo { description: text(&info.libraryDescription), version: (version.major, version.minor), tokens })
    })();
    // SAFETY: as C_Initialize.
    let finalised = called("C_Finalize", list.C_Finalize.map(|function| unsafe { function(ptr::null_mut()) }));
    asked.and_then(|info| finalised.map(|()| info))
}

/// Loads the library and has it give its function list.
fn open(path: &Path) -> Result<&'static CK_FUNCTION_LIST, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| "its name has a NUL in it".to_owned())?;
    // SAFETY: `name` is a C string. Loading runs the library's own initialisers, which is what this is for.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        // SAFETY: `dlerror` gives null or a C string that stays until the next call of this thread; it is copied before.
        let error = unsafe { libc::dlerror() };
        if error.is_null() {
            return Err("the loader refuses it".into());
        }
        // SAFETY: as above.
        return Err(unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned());
    }
    // SAFETY: the library is never closed, and the name is a C string.
    let symbol = unsafe { libc::dlsym(library, c"C_GetFunctionList".as_ptr()) };
    if symbol.is_null() {
        return Err("it is no PKCS#11 module: C_GetFunctionList is missing".into());
    }
    // SAFETY: by the standard this symbol is a function of this type, and `CK_C_GetFunctionList` is an optional pointer.
    let function: CK_C_GetFunctionList = unsafe { std::mem::transmute(symbol) };
    let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
    // SAFETY: `list` is writable.
    let rv = function.map(|function| unsafe { function(&mut list) });
    if rv != Some(CKR_OK) || list.is_null() {
        return Err("C_GetFunctionList fails".into());
    }
    // SAFETY: by the standard the list is the module's own and stays as long as it is loaded.
    Ok(unsafe { &*list })
}

/// A padded field.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_end_matches([' ', '\0']).to_owned()
}
