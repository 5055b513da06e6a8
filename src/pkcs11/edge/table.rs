//! The three function lists and the interfaces they are handed out by (PKCS#11 3.0 §3.6, §5.4.4–5.4.6). Each list is one
//! static with an address of its own, by which p11-kit tells modules apart. `docs/functions.md` says of each function what it
//! does and why.

use super::entry;
use super::ffi::{InText, Interface};
use cryptoki_sys::*;
use std::ffi::CStr;

/// Who makes this module, in CK_INFO and in every CK_SLOT_INFO and CK_TOKEN_INFO.
pub const MANUFACTURER: &str = "jpki-pkcs11";
/// The version of this library.
pub const LIBRARY_VERSION: CK_VERSION =
    CK_VERSION { major: number(env!("CARGO_PKG_VERSION_MAJOR")), minor: number(env!("CARGO_PKG_VERSION_MINOR")) };

/// The oldest list's version. Each list's is what its own C_GetInfo reports, too: the standard wants the two to match.
pub const VERSION_2_40: CK_VERSION = CK_VERSION { major: 2, minor: 40 };
/// The version of the list between. 3.1 has no list of its own.
pub const VERSION_3_0: CK_VERSION = CK_VERSION { major: 3, minor: 0 };
/// The newest list's version.
pub const VERSION_3_2: CK_VERSION = CK_VERSION { major: 3, minor: 2 };

/// The name of every interface of the standard.
const STANDARD: &CStr = c"PKCS 11";

/// The interfaces, the default one first. No flags: CKF_INTERFACE_FORK_SAFE would promise that a forked child keeps its
/// sessions and logins.
pub static INTERFACES: [Interface; 3] = [
    Interface::new(STANDARD, &FUNCTIONS_3_2),
    Interface::new(STANDARD, &FUNCTIONS_3_0),
    Interface::new(STANDARD, &FUNCTIONS_2_40),
];

/// Their versions, in the same order.
const VERSIONS: [CK_VERSION; INTERFACES.len()] = [VERSION_3_2, VERSION_3_0, VERSION_2_40];

/// What is given to a caller beside an error.
pub static NO_INTERFACE: Interface = Interface::nothing();

/// The first interface that has all that is asked for; what is `None` is not asked for.
pub fn interface(name: Option<InText>, version: Option<CK_VERSION>, flags: CK_FLAGS) -> Option<&'static Interface> {
    INTERFACES
        .iter()
        .zip(VERSIONS)
        .find(|(interface, has)| {
            name.is_none_or(|name| name.is(STANDARD))
                && version.is_none_or(|asked| (asked.major, asked.minor) == (has.major, has.minor))
                && flags & !interface.contents().flags == 0
        })
        .map(|(interface, _)| interface)
}

/// A list with the functions of 2.40 and those after them; `3.0` and `3.2` stand for what these versions have added.
macro_rules! function_list {
    ($list:ident, $version:expr, $get_info:path, 3.2) => {
        function_list! { $list, $version, $get_info, 3.0,
            C_EncapsulateKey C_DecapsulateKey
            C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate C_VerifySignatureFinal
            C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
            C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
        }
    };
    ($list:ident, $version:expr, $get_info:path, 3.0, $($later:ident)*) => {
        function_list! { $list, $version, $get_info, 2.40,
            C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel
            C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal
            C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal
            C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal
            C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
            $($later)*
        }
    };
    ($list:ident, $version:expr, $get_info:path, 2.40, $($later:ident)*) => {
        function_list! { @rows $list, $version, $get_info, [
            C_Initialize C_Finalize C_GetFunctionList
            C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN
            C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo C_GetOperationState C_SetOperationState
            C_Login C_Logout
            C_CreateObject C_CopyObject C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue
            C_FindObjectsInit C_FindObjects C_FindObjectsFinal
            C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal
            C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal
            C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover
            C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover
            C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
            C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom
            C_GetFunctionStatus C_CancelFunction
            $($later)*
        ] }
    };
    (@rows $list:ident, $version:expr, $get_info:path, [$($name:ident)*]) => {
        $list {
            version: $version,
            C_GetInfo: Some($get_info),
            C_WaitForSlotEvent: Some(entry::WAIT_FOR_SLOT_EVENT),
            $($name: Some(entry::$name)),*
        }
    };
}

/// PKCS#11 2.40, what C_GetFunctionList returns.
pub static FUNCTIONS_2_40: CK_FUNCTION_LIST = function_list!(CK_FUNCTION_LIST, VERSION_2_40, entry::C_GetInfo, 2.40,);

/// PKCS#11 3.0, for programs that ask for it by its number.
pub static FUNCTIONS_3_0: CK_FUNCTION_LIST_3_0 =
    function_list!(CK_FUNCTION_LIST_3_0, VERSION_3_0, entry::info_3_0, 3.0,);

/// PKCS#11 3.2, the default interface. It begins with all that the older ones have.
pub static FUNCTIONS_3_2: CK_FUNCTION_LIST_3_2 =
    function_list!(CK_FUNCTION_LIST_3_2, VERSION_3_2, entry::info_3_2, 3.2);

/// A part of the package's version; one above 255 does not compile.
const fn number(digits: &str) -> u8 {
    let mut number = 0;
    let mut digits = digits.as_bytes();
    while let [digit, rest @ ..] = digits {
        number = number * 10 + (*digit - b'0');
        digits = rest;
    }
    number
}
