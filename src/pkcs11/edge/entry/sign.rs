//! §5.13 Signing functions. Bad arguments end the operation, as every error but CKR_BUFFER_TOO_SMALL does.

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
