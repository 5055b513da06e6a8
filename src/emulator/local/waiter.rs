//! Waiting for a practice reader to change.

use super::Shared;
use crate::transport::{Error, ReaderState, Result, Waiter};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits for practice readers to change.
pub(super) struct PracticeWaiter {
    shared: Arc<Shared>,
    /// Set by a cancel until a wait has seen it. Locked while `State` is, or a cancel could fall between look and wait.
    cancelled: Mutex<bool>,
}

impl PracticeWaiter {
    pub fn new(shared: &Arc<Shared>) -> PracticeWaiter {
        PracticeWaiter { shared: Arc::clone(shared), cancelled: Mutex::new(false) }
    }
}

impl Waiter for PracticeWaiter {
    fn wait(&self, known: &[ReaderState], timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        loop {
            if std::mem::take(&mut *self.cancelled.lock()) {
                return Err(Error::Cancelled);
            }
            if state.look() != known || Instant::now() >= deadline {
                return Ok(());
            }
            self.shared.changed.wait_until(&mut state, deadline);
        }
    }

    fn cancel(&self) {
        let state = self.shared.state.lock();
        *self.cancelled.lock() = true;
        drop(state);
        self.shared.changed.notify_all();
    }
}
