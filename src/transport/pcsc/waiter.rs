//! Waiting for readers to change, on a context of its own.

use super::{Native, Own, error, error_since, establish, fork, reader_state, reader_states};
use crate::sys::Process;
use crate::transport::{Error, ReaderState, Result, Waiter};
use parking_lot::{Condvar, Mutex};
use pcsc::Context;
use std::time::{Duration, Instant};
use std::{mem, thread};

/// The longest stay inside libpcsclite. A new reader, a service that starts, and a cancel that came between the last look
/// at the flag and the wait are noticed after it at the latest.
const SLICE: Duration = Duration::from_millis(500);
/// Between two cancels of one wait.
const CANCEL_AGAIN: Duration = Duration::from_millis(5);

/// Waits in slices. No service is no reader: a wait outlives the service and notices its return.
pub(super) struct PcscWaiter {
    process: Process,
    /// Locked by the one wait under way.
    context: Mutex<Option<Own<Context>>>,
    state: Mutex<State>,
    cancelled: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    /// The context that is inside SCardGetStatusChange.
    waiting: Option<Context>,
}

impl PcscWaiter {
    pub(super) fn new() -> PcscWaiter {
        PcscWaiter {
            process: Process::current(),
            context: Mutex::default(),
            state: Mutex::default(),
            cancelled: Condvar::new(),
        }
    }
}

impl Waiter for PcscWaiter {
    fn wait(&self, known: &[ReaderState], timeout: Duration) -> Result<()> {
        // Before the locks: in a child they may be held by a thread that does not exist there.
        if !self.process.is_current() {
            return Err(Error::NoService);
        }
        let mut context = self.context.lock();
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if mem::take(&mut self.state.lock().cancelled) {
                return Err(Error::Cancelled);
            }
            let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
            match self.slice(&mut context, known, left.min(SLICE)) {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(Error::NoService) if known.is_empty() => self.sleep(left.min(SLICE)),
                Err(Error::NoService) => return Ok(()),
                Err(failure) => return Err(failure),
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn cancel(&self) {
        if !self.process.is_current() {
            return;
        }
        self.state.lock().cancelled = true;
        self.cancelled.notify_all();
        let deadline = Instant::now() + SLICE;
        // The one call on a context that another thread is in. pcsc-lite allows it: SCardCancel does not take the
        // context's mutex, and speaks to the service on a connection of its own. One that comes before the wait has
        // reached the service is lost, so it is repeated until the wait is over; its slice would end it at last.
        while let Some(context) = self.waiting_and_cancelled() {
            // A service that hangs would keep this thread, too; the wait sees the flag when the service goes on.
            if fork::service_hangs() {
                return;
            }
            _ = fork::short(|| context.cancel());
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(CANCEL_AGAIN);
        }
    }
}

impl PcscWaiter {
    /// The context of a wait that has not yet seen that it was cancelled.
    fn waiting_and_cancelled(&self) -> Option<Context> {
        let state = self.state.lock();
        state.waiting.clone().filter(|_| state.cancelled)
    }

    /// One slice of a wait: whether the readers differ from `known`.
    fn slice(&self, context: &mut Option<Own<Context>>, known: &[ReaderState], slice: Duration) -> Result<bool> {
        let usable = match context.take() {
            Some(usable) => usable,
            None => establish().map_err(error)?,
        };
        // Kept only where nothing is wrong with it.
        let changed = usable.ours().and_then(|context| self.changed(context, known, slice)).map_err(error_since)?;
        *context = Some(usable);
        Ok(changed)
    }

    fn changed(&self, context: &Context, known: &[ReaderState], slice: Duration) -> Native<bool> {
        let mut states = match reader_states(context) {
            Err(pcsc::Error::UnknownReader) => return Ok(true),
            states => states?,
        };
        if !states.iter().map(reader_state).eq(known.iter().cloned()) {
            return Ok(true);
        }
        if states.is_empty() {
            self.sleep(slice);
            return Ok(false);
        }
        // With the count of events, so that a swap since the look above ends the wait too.
        states.iter_mut().for_each(pcsc::ReaderState::sync_current_state);
        {
            let mut state = self.state.lock();
            if state.cancelled {
                return Ok(false);
            }
            state.waiting = Some(context.clone());
        }
        let changed = fork::long(|| context.get_status_change(slice, &mut states));
        self.state.lock().waiting = None;
        match changed {
            Ok(()) | Err(pcsc::Error::UnknownReader) => Ok(true),
            // Cancelled: the caller looks at the flag.
            Err(pcsc::Error::Timeout | pcsc::Error::Cancelled) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// For where there is nothing to ask the service about.
    fn sleep(&self, slice: Duration) {
        let mut state = self.state.lock();
        if !state.cancelled {
            self.cancelled.wait_for(&mut state, slice);
        }
    }
}
