//! Every function of the interfaces, called with zeroes. A list that has one more or one less than the structure in the
//! standard's header does not compile.

#![allow(dead_code, reason = "every test program uses its own part")]

use cryptoki_sys::*;
use std::mem::zeroed;

/// A function's name, and what it answered.
pub type Answer = (&'static str, CK_RV);

/// Calls a function with zero for every argument: null pointers, empty lengths, handles never given out.
pub trait WithZeroes {
    fn with_zeroes(self) -> CK_RV;
}

/// Calls a function with this session, and with zero for every other argument.
pub trait InSession {
    fn in_session(self, session: CK_SESSION_HANDLE) -> CK_RV;
}

macro_rules! with_zeroes {
    ($($first:ident $($argument:ident)*;)*) => {$(
        impl<$first, $($argument),*> WithZeroes for unsafe extern "C" fn($first, $($argument),*) -> CK_RV {
            fn with_zeroes(self) -> CK_RV {
                // SAFETY: all arguments of PKCS#11 are integers, pointers or optional functions, for which zeroes are a
                // value; a null pointer is never good for reading, so nothing is read.
                unsafe { self(zeroed::<$first>(), $(zeroed::<$argument>()),*) }
            }
        }

        impl<$($argument),*> InSession for unsafe extern "C" fn(CK_SESSION_HANDLE, $($argument),*) -> CK_RV {
            fn in_session(self, session: CK_SESSION_HANDLE) -> CK_RV {
                // SAFETY: as above.
                unsafe { self(session, $(zeroed::<$argument>()),*) }
            }
        }
    )*};
}

with_zeroes! {
    A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H; A B C D E F G H I; A B C D E F G H I J;
}

/// Hands the functions of a version to the macro `$then`: those without a session, then those that begin with one; without
/// C_Initialize and C_Finalize.
macro_rules! functions {
    ($then:ident $what:tt 2.40) => { functions! { $then $what 2.40 [] [] } };
    ($then:ident $what:tt 3.0) => { functions! { $then $what 3.0 [] } };
    ($then:ident $what:tt 3.2) => {
        functions! { $then $what 3.0 [
            C_EncapsulateKey C_DecapsulateKey
            C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate C_VerifySignatureFinal
            C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
            C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
        ] }
    };
    ($then:ident $what:tt 3.0 [$($later:ident)*]) => {
        functions! { $then $what 2.40 [C_GetInterfaceList C_GetInterface] [
            C_LoginUser C_SessionCancel
            C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal
            C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal
            C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal
            C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
            $($later)*
        ] }
    };
    ($then:ident $what:tt 2.40 [$($without:ident)*] [$($later:ident)*]) => {
        $then! { $what [
            C_GetInfo C_GetFunctionList
            C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_WaitForSlotEvent C_GetMechanismList C_GetMechanismInfo
            C_InitToken C_OpenSession C_CloseAllSessions
            $($without)*
        ] [
            C_InitPIN C_SetPIN C_CloseSession C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout
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
}

macro_rules! names {
    (($of_version:ident $list:ident) [$($without:ident)*] [$($session:ident)*]) => {
        /// The names of all functions in a list of this version.
        pub fn $of_version() -> Vec<&'static str> {
            // All fields and no others, or this does not compile.
            let _ = |$list { version: _, C_Initialize: _, C_Finalize: _, $($without: _,)* $($session: _),* }: $list| ();
            vec!["C_Initialize", "C_Finalize", $(stringify!($without),)* $(stringify!($session)),*]
        }
    };
}

functions! { names (of_2_40 CK_FUNCTION_LIST) 2.40 }
functions! { names (of_3_0 CK_FUNCTION_LIST_3_0) 3.0 }
functions! { names (of_3_2 CK_FUNCTION_LIST_3_2) 3.2 }

macro_rules! answers {
    (() [$($without:ident)*] [$($session:ident)*]) => {
        /// What each function but C_Initialize and C_Finalize answers to zeroes.
        pub fn with_zeroes(list: &CK_FUNCTION_LIST_3_2) -> Vec<Answer> {
            vec![
                $((stringify!($without), list.$without.unwrap().with_zeroes()),)*
                $((stringify!($session), list.$session.unwrap().with_zeroes())),*
            ]
        }

        /// What each function that has a session answers to `session()` and zeroes.
        pub fn in_sessions(list: &CK_FUNCTION_LIST_3_2, session: impl Fn() -> CK_SESSION_HANDLE) -> Vec<Answer> {
            vec![$((stringify!($session), list.$session.unwrap().in_session(session()))),*]
        }
    };
}

functions! { answers () 3.2 }
