//! No readers, whatever the machine has: for a configuration that cannot be used.

use super::{Error, Link, ReaderState, Readers, Result, Waiter};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// A machine without readers. No service is asked for any.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReaders;

impl Readers for NoReaders {
    fn look(&self) -> Result<Vec<ReaderState>> {
        Ok(Vec::new())
    }

    fn connect(&self, _: &str) -> Result<Box<dyn Link>> {
        Err(Error::NoReader)
    }

    fn waiter(&self) -> Result<Arc<dyn Waiter>> {
        Ok(Arc::new(Idle::default()))
    }
}

/// Waits, since nothing changes.
#[derive(Default)]
struct Idle {
    /// Set by a cancel until a wait has seen it.
    cancelled: Mutex<bool>,
    told: Condvar,
}

impl Waiter for Idle {
    fn wait(&self, _: &[ReaderState], timeout: Duration) -> Result<()> {
        let mut cancelled = self.cancelled.lock();
        self.told.wait_while_for(&mut cancelled, |cancelled| !*cancelled, timeout);
        if std::mem::take(&mut *cancelled) { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn cancel(&self) {
        *self.cancelled.lock() = true;
        self.told.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_nothing_to_see_and_nothing_to_connect_to() {
        assert_eq!(NoReaders.look(), Ok(Vec::new()));
        assert_eq!(NoReaders.connect("Virtual PCD 00 00").err(), Some(Error::NoReader));
    }

    #[test]
    fn a_wait_ends_in_time_or_by_a_cancel_before_or_meanwhile() {
        let waiter = NoReaders.waiter().unwrap();
        assert_eq!(waiter.wait(&[], Duration::from_millis(1)), Ok(()));
        waiter.cancel();
        assert_eq!(waiter.wait(&[], Duration::from_secs(60)), Err(Error::Cancelled));
        let waiting = waiter.clone();
        let waiting = std::thread::spawn(move || waiting.wait(&[], Duration::from_secs(60)));
        waiter.cancel();
        assert_eq!(waiting.join().unwrap(), Err(Error::Cancelled));
    }
}
