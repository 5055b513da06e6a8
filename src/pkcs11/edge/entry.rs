//! The functions of PKCS#11 as C calls them; section numbers are those of PKCS#11 3.0 where no other is named. Each makes its pointers into values
//! ([`ffi`](super::ffi)), and inside the guard asks for the module, looks at the arguments, and calls one method. A module
//! that is not initialised says so before it looks at any argument.

#![allow(unsafe_code, non_snake_case)]

mod object;
mod sign;
mod unsupported;
mod verify;

pub use object::*;
pub use sign::*;
pub use unsupported::*;
pub use verify::*;

use super::ffi::{In, InRef, InText, Interface, Out, OutBuf, padded};
use super::guard::{guard, guard_part};
use super::rv::{Result, Rv};
use super::table;
use crate::pkcs11::state::module::Module;
use crate::pkcs11::state::process;
use crate::pkcs11::state::view;
use crate::pkcs11::state::wait::Wait;
use crate::sys::die_if_cancelled;
use cryptoki_sys::*;
use std::ffi::c_void;

/// Guards a function that needs the module initialised.
fn call(name: &'static str, body: impl FnOnce(&Module) -> Result<()>) -> CK_RV {
    guard(name, || {
        let module = process::current()?;
        // Whatever has failed because the module was closed meanwhile.
        body(&module).map_err(|error| if module.is_closed() { Rv::CRYPTOKI_NOT_INITIALIZED } else { error })
    })
}

/// The same for one that has a session: whether it is open is said before anything about the other arguments ("More on
/// relative priorities of Cryptoki errors", §5.1), and some programs begin anew only if they hear it.
fn in_session(name: &'static str, session: CK_SESSION_HANDLE, body: impl FnOnce(&Module) -> Result<()>) -> CK_RV {
    call(name, |module| {
        module.check_session(session)?;
        body(module)
    })
}

/// Both arguments, or what is wrong with the first bad one.
fn both<A, B>(first: Result<A>, second: Result<B>) -> Result<(A, B)> {
    Ok((first?, second?))
}

// §5.4 General-purpose functions

/// C_Initialize (§5.4.1). Always thread-safe by the system's own locks; the caller's mutexes are never used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Initialize(args: *mut c_void) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let args = unsafe { InRef::<CK_C_INITIALIZE_ARGS>::new(args.cast_const().cast()) };
    guard("C_Initialize", || {
        if let Some(args) = args? {
            let args = args.read();
            // Looked at and never followed: NSS and p11-kit pass strings there, and NSS's structure is longer than the
            // standard's.
            if !args.pReserved.is_null() {
                return Err(Rv::ARGUMENTS_BAD);
            }
            let given = [
                args.CreateMutex.is_some(),
                args.DestroyMutex.is_some(),
                args.LockMutex.is_some(),
                args.UnlockMutex.is_some(),
            ];
            if given.contains(&true) && given.contains(&false) {
                return Err(Rv::ARGUMENTS_BAD);
            }
            if given.contains(&true) && args.flags & CKF_OS_LOCKING_OK == 0 {
                return Err(Rv::CANT_LOCK);
            }
        }
        process::initialize()
    })
}

/// C_Finalize (§5.4.2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    guard("C_Finalize", || {
        if !reserved.is_null() {
            process::current()?;
            return Err(Rv::ARGUMENTS_BAD);
        }
        // Without a hold on the module: it waits until nobody has one.
        process::finalize()
    })
}

/// C_GetInfo (§5.4.3) as the 2.40 list and the exported symbol have it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let info = unsafe { Out::new(info) };
    call("C_GetInfo", |module| library_info(module, table::VERSION_2_40, info))
}

/// C_GetInfo (§5.4.3) as the 3.2 list has it. NSS goes by what this reports, not by the list's own version.
pub unsafe extern "C" fn info_3_2(info: *mut CK_INFO) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let info = unsafe { Out::new(info) };
    call("C_GetInfo", |module| library_info(module, table::VERSION_3_2, info))
}

/// C_GetInfo (§5.4.3) as the 3.0 list has it.
pub unsafe extern "C" fn info_3_0(info: *mut CK_INFO) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let info = unsafe { Out::new(info) };
    call("C_GetInfo", |module| library_info(module, table::VERSION_3_0, info))
}

fn library_info(module: &Module, version: CK_VERSION, info: Result<Out<'_, CK_INFO>>) -> Result<()> {
    info?.write(CK_INFO {
        cryptokiVersion: version,
        manufacturerID: padded(table::MANUFACTURER),
        flags: 0,
        libraryDescription: padded(module.description()),
        libraryVersion: table::LIBRARY_VERSION,
    });
    Ok(())
}

/// C_GetFunctionList (§5.4.4): the 2.40 list. Needs no initialisation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let list = unsafe { Out::new(list) };
    guard("C_GetFunctionList", || {
        view::note_origin();
        list?.write((&raw const table::FUNCTIONS_2_40).cast_mut());
        Ok(())
    })
}

/// C_GetInterfaceList (§5.4.5). Needs no initialisation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterfaceList(list: *mut CK_INTERFACE, count: *mut CK_ULONG) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let list = unsafe { OutBuf::new(list, count) };
    guard("C_GetInterfaceList", || list?.write(&table::INTERFACES.each_ref().map(Interface::contents)))
}

/// C_GetInterface (§5.4.6). Needs no initialisation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterface(
    name: *mut CK_UTF8CHAR,
    version: *mut CK_VERSION,
    interface: *mut *mut CK_INTERFACE,
    flags: CK_FLAGS,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (name, version, interface) = unsafe { (InText::new(name), InRef::new(version), Out::new(interface)) };
    guard("C_GetInterface", || {
        view::note_origin();
        let (version, mut interface) = both(version, interface)?;
        // Nobody but NSS asks for this one, and NSS does before it initialises any module.
        if name.is_some_and(|name| name.is(c"Vendor NSS FIPS Interface")) {
            view::note_nss_host();
        }
        let found = table::interface(name, version.map(InRef::read), flags);
        interface.write(found.unwrap_or(&table::NO_INTERFACE).give());
        found.map(drop).ok_or(Rv::FUNCTION_FAILED)
    })
}

// §5.5 Slot and token management functions

/// C_GetSlotList (§5.5.1).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetSlotList(token_present: CK_BBOOL, list: *mut CK_SLOT_ID, count: *mut CK_ULONG) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let list = unsafe { OutBuf::new(list, count) };
    call("C_GetSlotList", |module| {
        let mut list = list?;
        list.write(&module.slot_list(token_present != CK_FALSE, list.is_length_query())?)
    })
}

/// C_GetSlotInfo (§5.5.2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let info = unsafe { Out::new(info) };
    call("C_GetSlotInfo", |module| {
        info?.write(module.slot_info(slot)?);
        Ok(())
    })
}

/// C_GetTokenInfo (§5.5.3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let info = unsafe { Out::new(info) };
    call("C_GetTokenInfo", |module| {
        info?.write(module.token_info(slot)?);
        Ok(())
    })
}

/// C_WaitForSlotEvent (§5.5.4). The only call that waits for as long as nothing happens; so a thread that is cancelled in it
/// ends, at most a second later, between two parts of the wait, where this module has nothing of it and it has nothing of
/// ours.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    slot: *mut CK_SLOT_ID,
    reserved: *mut c_void,
) -> CK_RV {
    let mut wait = None;
    loop {
        // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
        if let Some(rv) = unsafe { wait_for_slot_event(flags, slot, reserved, &mut wait) } {
            return rv;
        }
        // SAFETY: above this frame, in which nothing has a destructor, are the caller's.
        unsafe { die_if_cancelled() };
    }
}

/// C_WaitForSlotEvent, as the function lists have it.
///
/// The conventions are the same but for what a caller in Rust may expect, and callers through a function list are C.
pub const WAIT_FOR_SLOT_EVENT: unsafe extern "C" fn(CK_FLAGS, *mut CK_SLOT_ID, *mut c_void) -> CK_RV = {
    let function: unsafe extern "C-unwind" fn(CK_FLAGS, *mut CK_SLOT_ID, *mut c_void) -> CK_RV = C_WaitForSlotEvent;
    // SAFETY: both are pointers to functions of one signature, called in one way.
    unsafe { std::mem::transmute(function) }
};

/// A part of C_WaitForSlotEvent; `wait` tells the parts of one call from another's.
unsafe fn wait_for_slot_event(
    flags: CK_FLAGS,
    slot: *mut CK_SLOT_ID,
    reserved: *mut c_void,
    wait: &mut Option<Wait>,
) -> Option<CK_RV> {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let slot = unsafe { Out::new(slot) };
    guard_part("C_WaitForSlotEvent", || {
        let module = process::current()?;
        if !reserved.is_null() {
            return Err(Rv::ARGUMENTS_BAD);
        }
        let mut slot = slot?;
        let event = module.wait_for_slot_event(flags & CKF_DONT_BLOCK != 0, wait)?;
        Ok(event.map(|event| slot.write(event)))
    })
}

/// C_GetMechanismList (§5.5.5).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    list: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let list = unsafe { OutBuf::new(list, count) };
    call("C_GetMechanismList", |module| list?.write(&module.mechanisms(slot)?))
}

/// C_GetMechanismInfo (§5.5.6).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let info = unsafe { Out::new(info) };
    call("C_GetMechanismInfo", |module| {
        info?.write(module.mechanism_info(slot, mechanism)?);
        Ok(())
    })
}

/// C_InitToken (§5.5.7): the municipal office personalises a card, nobody else can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_InitToken(
    slot: CK_SLOT_ID,
    _pin: *mut CK_UTF8CHAR,
    _pin_len: CK_ULONG,
    _label: *mut CK_UTF8CHAR,
) -> CK_RV {
    call("C_InitToken", |module| {
        module.check_slot(slot)?;
        Err(Rv::FUNCTION_NOT_SUPPORTED)
    })
}

/// C_InitPIN (§5.5.8): a locked PIN is set anew at the municipal office, not through the card's applet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_InitPIN(session: CK_SESSION_HANDLE, _pin: *mut CK_UTF8CHAR, _pin_len: CK_ULONG) -> CK_RV {
    in_session("C_InitPIN", session, |_| Err(Rv::FUNCTION_NOT_SUPPORTED))
}

/// C_SetPIN (§5.5.9).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SetPIN(
    session: CK_SESSION_HANDLE,
    old: *mut CK_UTF8CHAR,
    old_len: CK_ULONG,
    new: *mut CK_UTF8CHAR,
    new_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (old, new) = unsafe { (In::optional(old, old_len), In::optional(new, new_len)) };
    in_session("C_SetPIN", session, |module| {
        let (old, new) = both(old, new)?;
        module.set_pin(session, old.map(In::bytes), new.map(In::bytes))
    })
}

// §5.6 Session management functions

/// C_OpenSession (§5.6.1). Notifications are never sent, so the callback and its argument are not kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _application: *mut c_void,
    _notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let session = unsafe { Out::new(session) };
    call("C_OpenSession", |module| {
        session?.write(module.open_session(slot, flags)?);
        Ok(())
    })
}

/// C_CloseSession (§5.6.2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_CloseSession", |module| module.close_session(session))
}

/// C_CloseAllSessions (§5.6.3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    call("C_CloseAllSessions", |module| module.close_all_sessions(slot))
}

/// C_GetSessionInfo (§5.6.4).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let info = unsafe { Out::new(info) };
    in_session("C_GetSessionInfo", session, |module| {
        info?.write(module.session_info(session)?);
        Ok(())
    })
}

/// C_GetSessionValidationFlags (PKCS#11 3.2 §5.6.11).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetSessionValidationFlags(
    session: CK_SESSION_HANDLE,
    kind: CK_SESSION_VALIDATION_FLAGS_TYPE,
    flags: *mut CK_FLAGS,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let flags = unsafe { Out::new(flags) };
    in_session("C_GetSessionValidationFlags", session, |module| {
        flags?.write(module.validation_flags(session, kind)?);
        Ok(())
    })
}

/// C_SessionCancel (§5.6.5).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SessionCancel(session: CK_SESSION_HANDLE, flags: CK_FLAGS) -> CK_RV {
    call("C_SessionCancel", |module| module.session_cancel(session, flags))
}

/// C_Login (§5.6.8).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let pin = unsafe { In::optional(pin, pin_len) };
    in_session("C_Login", session, |module| module.login(session, user, pin?.map(In::bytes)))
}

/// C_LoginUser (§5.6.9).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_LoginUser(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
    name: *mut CK_UTF8CHAR,
    name_len: CK_ULONG,
) -> CK_RV {
    // SAFETY: the contract of `ffi`, which PKCS#11 lays on the caller.
    let (pin, name) = unsafe { (In::optional(pin, pin_len), In::new(name, name_len)) };
    in_session("C_LoginUser", session, |module| {
        let (pin, name) = both(pin, name)?;
        module.login_user(session, user, pin.map(In::bytes), name.bytes())
    })
}

/// C_Logout (§5.6.10).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_Logout", |module| module.logout(session))
}
