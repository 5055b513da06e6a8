//! Looks at the readers, one at a time, so that an older one is never taken in after a newer one.
//!
//! A PC/SC service that hangs keeps the call that asks it, and there is no thread of ours that could be left behind in it. So
//! the first call hangs with the service. The others are not to: they go on with what the last look saw.

use super::lock::{Guard, LOOK, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A look takes a few milliseconds; one that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// The right to look, which one thread has at a time.
pub(crate) struct Looking {
    lock: Mutex<(), LOOK>,
    start: Instant,
    /// When the look under way began, in milliseconds after `start`; [`IDLE`] without one.
    began: AtomicU64,
}

const IDLE: u64 = u64::MAX;

/// A look under way.
pub(crate) struct Look<'a> {
    began: &'a AtomicU64,
    _lock: Guard<'a, ()>,
}

impl Looking {
    pub(crate) fn new() -> Looking {
        Looking { lock: Mutex::new(()), start: Instant::now(), began: AtomicU64::new(IDLE) }
    }

    /// Waits for the look of another thread; `None` if that one hangs.
    pub(crate) fn begin(&self) -> Option<Look<'_>> {
        loop {
            let others = self.began.load(Ordering::SeqCst);
            let patience = match others {
                IDLE => PATIENCE,
                began => (Duration::from_millis(began) + PATIENCE).saturating_sub(self.start.elapsed()),
            };
            if let Some(lock) = self.lock.try_lock_for(patience) {
                self.began.store(self.now(), Ordering::SeqCst);
                return Some(Look { began: &self.began, _lock: lock });
            }
            // Where others look one after another, each of them is waited for.
            if others != IDLE && self.began.load(Ordering::SeqCst) == others {
                return None;
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(IDLE - 1)
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.began.store(IDLE, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn nobody_waits_for_a_look_that_hangs_longer_than_until_it_is_a_second_old() {
        let looking = Arc::new(Looking::new());
        let ((began, has_begun), (end, hangs)) = (channel(), channel());
        let hung = thread::spawn({
            let looking = looking.clone();
            move || {
                let look = looking.begin().unwrap();
                began.send(()).unwrap();
                hangs.recv().unwrap();
                drop(look);
            }
        });
        has_begun.recv().unwrap();
        let start = Instant::now();
        assert!(looking.begin().is_none());
        assert!(start.elapsed() < PATIENCE * 3, "{:?}", start.elapsed());
        let start = Instant::now();
        assert!(looking.begin().is_none());
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
        end.send(()).unwrap();
        hung.join().unwrap();
        assert!(looking.begin().is_some());
    }
}
