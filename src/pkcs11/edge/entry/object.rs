//! §5.7 Object management functions. Objects of the token are read-only; what that means for the functions that would
//! change one, the module says.

use super::{both, call, in_session};
use crate::pkcs11::edge::ffi::{Attributes, Out, OutBuf};
use cryptoki_sys::*;

/// C_CreateObject (§5.7.1).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CreateObject(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    object: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (template, object) = unsafe { (Attributes::new(template, count), Out::new(object)) };
    in_session("C_CreateObject", session, |module| {
        let (template, mut object) = both(template, object)?;
        object.write(module.create_object(session, &template.template()?)?);
        Ok(())
    })
}

/// C_CopyObject (§5.7.2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CopyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    copy: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (template, copy) = unsafe { (Attributes::new(template, count), Out::new(copy)) };
    in_session("C_CopyObject", session, |module| {
        let (template, mut copy) = both(template, copy)?;
        copy.write(module.copy_object(session, object, &template.template()?)?);
        Ok(())
    })
}

/// C_DestroyObject (§5.7.3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_RV {
    call("C_DestroyObject", |module| module.destroy_object(session, object))
}

/// C_GetObjectSize (§5.7.4).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetObjectSize(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    size: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let size = unsafe { Out::new(size) };
    in_session("C_GetObjectSize", session, |module| {
        size?.write(module.object_size(session, object)?);
        Ok(())
    })
}

/// C_GetAttributeValue (§5.7.5).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let template = unsafe { Attributes::new(template, count) };
    in_session("C_GetAttributeValue", session, |module| module.attributes(session, object, &mut template?.questions()))
}

/// C_SetAttributeValue (§5.7.6).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let template = unsafe { Attributes::new(template, count) };
    in_session("C_SetAttributeValue", session, |module| module.set_attributes(session, object, &template?.template()?))
}

/// C_FindObjectsInit (§5.7.7).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let template = unsafe { Attributes::new(template, count) };
    in_session("C_FindObjectsInit", session, |module| module.find_init(session, &template?.template()?))
}

/// C_FindObjects (§5.7.8).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    max: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let objects = unsafe { OutBuf::bounded(objects, max, count) };
    in_session("C_FindObjects", session, |module| {
        let mut objects = objects?;
        let max = objects.capacity();
        objects.write(&module.find(session, max)?)
    })
}

/// C_FindObjectsFinal (§5.7.9).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_FindObjectsFinal", |module| module.find_final(session))
}
