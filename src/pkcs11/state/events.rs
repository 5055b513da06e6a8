//! C_WaitForSlotEvent (PKCS#11 3.0 §5.5.4). There is no thread of ours: who waits, waits in a context of its own, and
//! C_Finalize wakes it. It waits in parts, between which its thread may be cancelled.

use super::module::Module;
use super::wait::Wait;
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::transport::{Error as Transport, ReaderState};
use cryptoki_sys::CK_SLOT_ID;
use std::sync::Arc;
use std::time::Duration;

/// One part. Changes end it at once; its end bounds how long a lost wake-up or a cancellation of the thread waits.
const PART: Duration = Duration::from_secs(1);
/// Between two tries to reach a service that is not there.
const PAUSE: Duration = Duration::from_millis(500);

impl Module {
    /// A part of C_WaitForSlotEvent: the slot of a token that came or went; `None` if none has yet.
    ///
    /// # Errors
    /// CKR_NO_EVENT with CKF_DONT_BLOCK. CKR_CRYPTOKI_NOT_INITIALIZED: C_Finalize was called meanwhile.
    pub(crate) fn wait_for_slot_event(&self, dont_block: bool, wait: &mut Option<Wait>) -> Result<Option<CK_SLOT_ID>> {
        if *wait.get_or_insert(self.waits) != self.waits {
            return Err(Rv::CRYPTOKI_NOT_INITIALIZED);
        }
        // Before the look, so that what happens between the look and the wait ends the wait at once.
        let known = self.looking.begin().and_then(|_looking| self.readers.look().ok()).unwrap_or_default();
        self.look();
        if let Some(slot) = self.slots.lock().take_event() {
            return Ok(Some(slot.id()));
        }
        if dont_block {
            return Err(Rv::NO_EVENT);
        }
        match self.wait(&known) {
            Ok(()) | Err(Transport::Cancelled) => {}
            Err(error) => {
                log::debug!("cannot wait for readers: {error}");
                self.rest(PAUSE);
            }
        }
        if self.is_closing() { Err(Rv::CRYPTOKI_NOT_INITIALIZED) } else { Ok(None) }
    }

    /// Waits with a waiter that another part, of whichever call, has left, so that each thread that waits has one in the end.
    fn wait(&self, known: &[ReaderState]) -> crate::transport::Result<()> {
        let left = self.idle_waiters.lock().pop();
        let waiter = match left {
            Some(waiter) => waiter,
            None => {
                let fresh = self.readers.waiter()?;
                let mut waiters = self.waiters.lock();
                waiters.retain(|waiter| waiter.strong_count() > 0);
                waiters.push(Arc::downgrade(&fresh));
                drop(waiters);
                fresh
            }
        };
        // C_Finalize sets the mark first and cancels then: one of the two is seen.
        if !self.is_closing() {
            waiter.wait(known, PART)?;
        }
        // Not after an error, which may be this waiter's own.
        self.idle_waiters.lock().push(waiter);
        Ok(())
    }
}
