//! Functions for what neither the card nor this module does. Each still says first that the module is not initialised, or
//! that there is no such session; those that PKCS#11 3.2 has added, also that there is no such key.

use super::in_session;
use crate::pkcs11::edge::rv::Rv;
use cryptoki_sys::*;
use std::ffi::c_void;

/// One row for each function: its name and the parameters after the session.
macro_rules! unsupported {
    ($rv:ident: $($name:ident($($parameter:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(session: CK_SESSION_HANDLE, $(_: $parameter),*) -> CK_RV {
            in_session(stringify!($name), session, |_| Err(Rv::$rv))
        }
    )*};
}

/// The same where keys come after the mechanism, each with what is said of a handle that is no key's.
macro_rules! unsupported_with_keys {
    ($($name:ident($($key:ident: $invalid:ident),+; $($parameter:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            _: *mut CK_MECHANISM,
            $($key: Object,)+
            $(_: $parameter),*
        ) -> CK_RV {
            in_session(stringify!($name), session, |module| {
                $(module.check_key(session, $key, Rv::$invalid)?;)+
                Err(Rv::FUNCTION_NOT_SUPPORTED)
            })
        }
    )*};
}

type Bytes = *mut CK_BYTE;
type Length = *mut CK_ULONG;
type Object = CK_OBJECT_HANDLE;
type Parameter = *mut c_void;
type Text = *mut CK_UTF8CHAR;
type Ulong = CK_ULONG;

// §5.20 Parallel function management functions, a legacy
unsupported! { FUNCTION_NOT_PARALLEL:
    C_GetFunctionStatus();
    C_CancelFunction();
}

// §5.19 Random number generation functions: the token's flags claim no generator
unsupported! { RANDOM_NO_RNG:
    C_SeedRandom(Bytes, Ulong);
    C_GenerateRandom(Bytes, Ulong);
}

// §5.6.6–5.6.7, §5.8–5.12, §5.13.5–5.14, §5.15.5–5.18
unsupported! { FUNCTION_NOT_SUPPORTED:
    C_GetOperationState(Bytes, Length);
    C_SetOperationState(Bytes, Ulong, Object, Object);
    C_EncryptInit(*mut CK_MECHANISM, Object);
    C_Encrypt(Bytes, Ulong, Bytes, Length);
    C_EncryptUpdate(Bytes, Ulong, Bytes, Length);
    C_EncryptFinal(Bytes, Length);
    C_MessageEncryptInit(*mut CK_MECHANISM, Object);
    C_EncryptMessage(Parameter, Ulong, Bytes, Ulong, Bytes, Ulong, Bytes, Length);
    C_EncryptMessageBegin(Parameter, Ulong, Bytes, Ulong);
    C_EncryptMessageNext(Parameter, Ulong, Bytes, Ulong, Bytes, Length, CK_FLAGS);
    C_MessageEncryptFinal();
    C_DecryptInit(*mut CK_MECHANISM, Object);
    C_Decrypt(Bytes, Ulong, Bytes, Length);
    C_DecryptUpdate(Bytes, Ulong, Bytes, Length);
    C_DecryptFinal(Bytes, Length);
    C_MessageDecryptInit(*mut CK_MECHANISM, Object);
    C_DecryptMessage(Parameter, Ulong, Bytes, Ulong, Bytes, Ulong, Bytes, Length);
    C_DecryptMessageBegin(Parameter, Ulong, Bytes, Ulong);
    C_DecryptMessageNext(Parameter, Ulong, Bytes, Ulong, Bytes, Length, CK_FLAGS);
    C_MessageDecryptFinal();
    C_DigestInit(*mut CK_MECHANISM);
    C_Digest(Bytes, Ulong, Bytes, Length);
    C_DigestUpdate(Bytes, Ulong);
    C_DigestKey(Object);
    C_DigestFinal(Bytes, Length);
    C_SignRecoverInit(*mut CK_MECHANISM, Object);
    C_SignRecover(Bytes, Ulong, Bytes, Length);
    C_MessageSignInit(*mut CK_MECHANISM, Object);
    C_SignMessage(Parameter, Ulong, Bytes, Ulong, Bytes, Length);
    C_SignMessageBegin(Parameter, Ulong);
    C_SignMessageNext(Parameter, Ulong, Bytes, Ulong, Bytes, Length);
    C_MessageSignFinal();
    C_VerifyRecoverInit(*mut CK_MECHANISM, Object);
    C_VerifyRecover(Bytes, Ulong, Bytes, Length);
    C_MessageVerifyInit(*mut CK_MECHANISM, Object);
    C_VerifyMessage(Parameter, Ulong, Bytes, Ulong, Bytes, Ulong);
    C_VerifyMessageBegin(Parameter, Ulong);
    C_VerifyMessageNext(Parameter, Ulong, Bytes, Ulong, Bytes, Ulong);
    C_MessageVerifyFinal();
    C_DigestEncryptUpdate(Bytes, Ulong, Bytes, Length);
    C_DecryptDigestUpdate(Bytes, Ulong, Bytes, Length);
    C_SignEncryptUpdate(Bytes, Ulong, Bytes, Length);
    C_DecryptVerifyUpdate(Bytes, Ulong, Bytes, Length);
    C_GenerateKey(*mut CK_MECHANISM, *mut CK_ATTRIBUTE, Ulong, *mut Object);
    C_GenerateKeyPair(*mut CK_MECHANISM, *mut CK_ATTRIBUTE, Ulong, *mut CK_ATTRIBUTE, Ulong, *mut Object, *mut Object);
    C_WrapKey(*mut CK_MECHANISM, Object, Object, Bytes, Length);
    C_UnwrapKey(*mut CK_MECHANISM, Object, Bytes, Ulong, *mut CK_ATTRIBUTE, Ulong, *mut Object);
    C_DeriveKey(*mut CK_MECHANISM, Object, *mut CK_ATTRIBUTE, Ulong, *mut Object);
}

// PKCS#11 3.2 §5.21: no session is asynchronous, C_OpenSession refuses CKF_ASYNC_SESSION
unsupported! { FUNCTION_NOT_SUPPORTED:
    C_AsyncComplete(Text, *mut CK_ASYNC_DATA);
    C_AsyncGetID(Text, *mut Ulong);
    C_AsyncJoin(Text, Ulong, Bytes, Ulong);
}

// PKCS#11 3.2 §5.18.6–9: the card's keys sign, and nothing can be put beside them
unsupported_with_keys! {
    C_WrapKeyAuthenticated(wrapping: WRAPPING_KEY_HANDLE_INVALID, wrapped: KEY_HANDLE_INVALID; Bytes, Ulong, Bytes, Length);
    C_UnwrapKeyAuthenticated(unwrapping: UNWRAPPING_KEY_HANDLE_INVALID;
        Bytes, Ulong, *mut CK_ATTRIBUTE, Ulong, Bytes, Ulong, *mut Object);
    C_EncapsulateKey(public: KEY_HANDLE_INVALID; *mut CK_ATTRIBUTE, Ulong, Bytes, Length, *mut Object);
    C_DecapsulateKey(private: KEY_HANDLE_INVALID; *mut CK_ATTRIBUTE, Ulong, Bytes, Ulong, *mut Object);
}
