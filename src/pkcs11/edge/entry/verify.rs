//! §5.15 Functions for verifying signatures. Bad arguments end the operation, as every error does.
//!
//! A session has one verifying operation, which is given its signature in one of two ways: at its end (C_VerifyInit), or, with
//! PKCS#11 3.2, as it begins (C_VerifySignatureInit). The functions of one way do not find an operation of the other.

use super::{both, in_session};
use crate::pkcs11::edge::ffi::{In, InRef};
use crate::pkcs11::signing::mechanism::Parsed;
use cryptoki_sys::*;

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

/// C_VerifySignatureInit (PKCS#11 3.2 §5.15.7). Without a mechanism it ends the operation that is active, whatever else it is
/// given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifySignatureInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
    signature: *mut CK_BYTE,
    signature_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (mechanism, signature) = unsafe { (InRef::new(mechanism), In::new(signature, signature_len)) };
    in_session("C_VerifySignatureInit", session, |module| match mechanism? {
        None => module.verify_cancel(session),
        Some(mechanism) => {
            let (mechanism, signature) = both(mechanism.parts(), signature)?;
            module.verify_signature_init(session, Parsed::new(mechanism)?, key, signature)
        }
    })
}

/// C_VerifySignature (PKCS#11 3.2 §5.15.8).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifySignature(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let data = unsafe { In::new(data, data_len) };
    in_session("C_VerifySignature", session, |module| {
        let data = data.inspect_err(|_| module.verify_signature_abort(session))?;
        module.verify_signature(session, data)
    })
}

/// C_VerifySignatureUpdate (PKCS#11 3.2 §5.15.9).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifySignatureUpdate(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let data = unsafe { In::new(data, data_len) };
    in_session("C_VerifySignatureUpdate", session, |module| {
        let data = data.inspect_err(|_| module.verify_signature_abort(session))?;
        module.verify_signature_update(session, data)
    })
}

/// C_VerifySignatureFinal (PKCS#11 3.2 §5.15.10).
#[unsafe(no_mangle)]
pub extern "C" fn C_VerifySignatureFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    in_session("C_VerifySignatureFinal", session, |module| module.verify_signature_final(session))
}
