//! C_WaitForSlotEvent (PKCS#11 3.0 §5.5.4). There is no thread of ours: who waits, waits in a context of its own, and
//! C_Finalize wakes it.

use super::module::Module;
use super::rv::{Result, Rv};
use crate::transport::{Error as Transport, ReaderState, Waiter};
use cryptoki_sys::CK_SLOT_ID;
use std::sync::Arc;
use std::time::Duration;

/// One wait in the PC/SC service. Changes end it at once; its end only bounds how long a lost wake-up could matter.
const SLICE: Duration = Duration::from_secs(10);
/// Between two tries to reach a service that is not there.
const PAUSE: Duration = Duration::from_millis(500);

impl Module {
    /// C_WaitForSlotEvent: the slot of a token that came or went.
    ///
    /// # Errors
    /// CKR_NO_EVENT with CKF_DONT_BLOCK. CKR_CRYPTOKI_NOT_INITIALIZED: C_Finalize was called meanwhile.
    pub(crate) fn wait_for_slot_event(&self, dont_block: bool) -> Result<CK_SLOT_ID> {
        let mut waiter: Option<Arc<dyn Waiter>> = None;
        loop {
            // Before the look, so that what happens between the look and the wait ends the wait at once.
            let known = self.readers.look().unwrap_or_default();
            self.look();
            if let Some(slot) = self.slots.lock().take_event() {
                return Ok(slot.id());
            }
            if dont_block {
                return Err(Rv::NO_EVENT);
            }
            match self.wait(&mut waiter, &known) {
                Ok(()) | Err(Transport::Cancelled) => {}
                Err(error) => {
                    log::debug!("cannot wait for readers: {error}");
                    waiter = None;
                    self.rest(PAUSE);
                }
            }
            if self.is_closing() {
                return Err(Rv::CRYPTOKI_NOT_INITIALIZED);
            }
        }
    }

    fn wait(&self, waiter: &mut Option<Arc<dyn Waiter>>, known: &[ReaderState]) -> crate::transport::Result<()> {
        let waiter = match waiter {
            Some(waiter) => waiter,
            None => {
                let fresh = self.readers.waiter()?;
                let mut waiters = self.waiters.lock();
                waiters.retain(|waiter| waiter.strong_count() > 0);
                waiters.push(Arc::downgrade(&fresh));
                drop(waiters);
                waiter.insert(fresh)
            }
        };
        // C_Finalize sets the mark first and cancels then: one of the two is seen.
        if self.is_closing() { Ok(()) } else { waiter.wait(known, SLICE) }
    }
}
