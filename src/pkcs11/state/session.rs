//! Sessions (PKCS#11 3.0 §5.6): what belongs to one, and the table of all.

use super::lock::{Mutex, SESSION};
use super::slots::{Epoch, Slot};
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::pkcs11::signing::operation::{Given, Signing, Verifying};
use cryptoki_sys::*;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One session: with the token of one slot, for as long as one card lies there.
pub(crate) struct Session {
    pub(crate) slot: Slot,
    pub(crate) epoch: Epoch,
    pub(crate) read_write: bool,
    /// Held for the whole of a call that concerns an operation.
    pub(crate) operations: Mutex<Operations, SESSION>,
}

/// At most one operation of each kind is active in a session (CKR_OPERATION_ACTIVE, §5.1.6).
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) found: Option<VecDeque<CK_OBJECT_HANDLE>>,
    pub(crate) sign: Option<Signing>,
    pub(crate) verify: Option<Verifying>,
}

/// All open sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) open: OpenSessions,
}

pub(crate) type OpenSessions = HashMap<CK_SESSION_HANDLE, Arc<Session>>;

impl Operations {
    /// Takes the verifying operation out, so that it has ended whatever becomes of the call.
    ///
    /// # Errors
    /// CKR_OPERATION_NOT_INITIALIZED: there is none, or it is for the other functions, and stays.
    pub(crate) fn take_verifying(&mut self, given: Given) -> Result<Verifying> {
        self.verify.take_if(|verifying| verifying.given() == given).ok_or(Rv::OPERATION_NOT_INITIALIZED)
    }
}

impl Sessions {
    pub(crate) fn add(&mut self, session: Session) -> CK_SESSION_HANDLE {
        // Never a handle that was used before in this process: an old one must not come back to life, nor after C_Finalize
        // and C_Initialize.
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let handle = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1) as CK_SESSION_HANDLE;
        self.open.insert(handle, Arc::new(session));
        handle
    }

    /// Whether this session has not been closed.
    pub(crate) fn is_open(&self, handle: CK_SESSION_HANDLE) -> bool {
        self.open.contains_key(&handle)
    }

    /// Sessions with the token that lies in `slot` in this epoch, and how many of them are read/write.
    pub(crate) fn count(&self, slot: Slot, epoch: Epoch) -> (usize, usize) {
        let of_slot = || self.open.values().filter(|session| session.slot == slot && session.epoch == epoch);
        (of_slot().count(), of_slot().filter(|session| session.read_write).count())
    }

    /// Drops the sessions with cards that have left this reader.
    pub(crate) fn purge(&mut self, reader: usize, epoch: Epoch) {
        self.open.retain(|_, session| session.slot.reader != reader || session.epoch >= epoch);
    }
}
