//! The module of this process: made by C_Initialize, ended by C_Finalize, and never seen by a forked child.

use super::exit;
use super::module::Module;
use crate::config::{Config, Environment};
use crate::logins::Memory;
use crate::pkcs11::edge::guard::guard;
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::sys;
use parking_lot::RwLock;
use std::sync::Arc;

/// The module of one process. A child that was forked has the parent's in its memory and must not touch it: not its
/// locks, which a thread that does not exist there may hold, nor its handles to the PC/SC service.
struct Process {
    owner: sys::Process,
    module: RwLock<Option<Arc<Module>>>,
    /// What is remembered beyond C_Finalize.
    memory: Arc<Memory>,
}

static PROCESS: sys::Leaked<Process> = sys::Leaked::new();

/// C_Initialize (PKCS#11 3.0 §5.4.1). Succeeds without PC/SC service, reader or card.
///
/// # Errors
/// CKR_CRYPTOKI_ALREADY_INITIALIZED.
pub fn initialize() -> Result<()> {
    initialize_with(|memory| Module::new(Config::load(&Environment::of_process()), memory))
}

/// C_Initialize with this module, which is made only where there is none.
///
/// # Errors
/// CKR_CRYPTOKI_ALREADY_INITIALIZED.
pub(crate) fn initialize_with(make: impl FnOnce(&Arc<Memory>) -> Module) -> Result<()> {
    let process = own_process();
    let mut module = process.module.write();
    if module.is_some() {
        return Err(Rv::CRYPTOKI_ALREADY_INITIALIZED);
    }
    *module = Some(Arc::new(make(&process.memory)));
    drop(module);
    exit::watch(at_exit);
    Ok(())
}

/// C_Finalize (PKCS#11 3.0 §5.4.2): wakes waiting calls, waits for those in flight, logs out and disconnects.
///
/// # Errors
/// CKR_CRYPTOKI_NOT_INITIALIZED, also in a forked child that has not initialised the module itself.
pub fn finalize() -> Result<()> {
    let module = process()?.module.write().take().ok_or(Rv::CRYPTOKI_NOT_INITIALIZED)?;
    module.close();
    if !module.outwait_calls() {
        log::warn!("C_Finalize goes on although a call has not come back");
    }
    module.disconnect();
    Ok(())
}

/// The module, for one call.
///
/// # Errors
/// CKR_CRYPTOKI_NOT_INITIALIZED, also in a forked child that has not initialised the module itself.
pub fn current() -> Result<Arc<Module>> {
    let module = process()?.module.read().clone();
    // One that was closed as the process ends stays for a C_Finalize.
    module.filter(|module| !module.is_closed()).ok_or(Rv::CRYPTOKI_NOT_INITIALIZED)
}

/// Ends the logins of this process. The module stays, for a host that calls C_Finalize after this; its calls answer as after
/// that.
extern "C" fn at_exit() {
    guard("exit", || {
        // In a forked child that has not initialised the module there is none, and where it cannot be had at once somebody
        // is in the middle of C_Initialize or C_Finalize.
        if let Some(module) = at_once() {
            exit::end_in_time(module);
        }
        Ok(())
    });
}

/// The module, if it can be had without waiting: for what runs while the process ends, in the middle of anything.
fn at_once() -> Option<Arc<Module>> {
    process().ok()?.module.try_read()?.clone()
}

/// This process's state; a child's is not its parent's. Whose it is is compared before any lock is touched.
fn process() -> Result<&'static Process> {
    PROCESS.get().filter(|process| process.owner.is_current()).ok_or(Rv::CRYPTOKI_NOT_INITIALIZED)
}

/// This process's state, made where there is none. What a parent left is leaked: nothing of it may be closed here.
fn own_process() -> &'static Process {
    let mut found = PROCESS.get();
    loop {
        match found {
            Some(process) if process.owner.is_current() => return process,
            stale => {
                let fresh =
                    Process { owner: sys::Process::current(), module: RwLock::new(None), memory: Arc::default() };
                match PROCESS.replace_if(stale, Box::new(fresh)) {
                    Ok(process) => return process,
                    Err(other) => found = other,
                }
            }
        }
    }
}
