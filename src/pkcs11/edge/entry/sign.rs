//! §5.13 Signing functions and §5.15 functions for verifying signatures. Bad arguments end the operation, as every error
//! but CKR_BUFFER_TOO_SMALL does.

use super::{both, in_session};
use crate::pkcs11::edge::ffi::{In, InRef, OutBuf};
use crate::pkcs11::signing::mechanism::Parsed;
use cryptoki_sys::*;

/// C_SignInit (§5.13.1). Without a mechanism it ends the operation that is active.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let mechanism = unsafe { InRef::new(mechanism) };
    in_session("C_SignInit", session, |module| match mechanism? {
        None => module.sign_cancel(session),
        Some(mechanism) => module.sign_init(session, Parsed::new(mechanism.parts()?)?, key),
    })
}

/// C_Sign (§5.13.2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_len: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (data, signature) = unsafe { (In::new(data, data_len), OutBuf::new(signature, signature_len)) };
    in_session("C_Sign", session, |module| {
        let (data, mut signature) = both(data, signature).inspect_err(|_| module.sign_abort(session))?;
        module.sign(session, data, &mut signature)
    })
}

/// C_SignUpdate (§5.13.3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SignUpdate(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let data = unsafe { In::new(data, data_len) };
    in_session("C_SignUpdate", session, |module| {
        let data = data.inspect_err(|_| module.sign_abort(session))?;
        module.sign_update(session, data)
    })
}

/// C_SignFinal (§5.13.4).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_len: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let signature = unsafe { OutBuf::new(signature, signature_len) };
    in_session("C_SignFinal", session, |module| {
        let mut signature = signature.inspect_err(|_| module.sign_abort(session))?;
        module.sign_final(session, &mut signature)
    })
}

/// C_VerifyInit (§5.15.1). Without a mechanism it ends the operation that is active.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifyInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let mechanism = unsafe { InRef::new(mechanism) };
    in_session("C_VerifyInit", session, |module| match mechanism? {
        None => module.verify_cancel(session),
        Some(mechanism) => module.verify_init(session, Parsed::new(mechanism.parts()?)?, key),
    })
}

/// C_Verify (§5.15.2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Verify(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (data, signature) = unsafe { (In::new(data, data_len), In::new(signature, signature_len)) };
    in_session("C_Verify", session, |module| {
        let (data, signature) = both(data, signature).inspect_err(|_| module.verify_abort(session))?;
        module.verify(session, data, signature)
    })
}

/// C_VerifyUpdate (§5.15.3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifyUpdate(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, data_len: CK_ULONG) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let data = unsafe { In::new(data, data_len) };
    in_session("C_VerifyUpdate", session, |module| {
        let data = data.inspect_err(|_| module.verify_abort(session))?;
        module.verify_update(session, data)
    })
}

/// C_VerifyFinal (§5.15.4).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifyFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let signature = unsafe { In::new(signature, signature_len) };
    in_session("C_VerifyFinal", session, |module| {
        let signature = signature.inspect_err(|_| module.verify_abort(session))?;
        module.verify_final(session, signature)
    })
}
