//! What a process tells the system once and its children inherit: handlers at forks and at the end.

use super::Process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something to be registered once. [`std::sync::Once`] has whoever comes second wait for the first, and so has a child
/// that was forked in the middle wait for a thread that it does not have. Here nobody waits: whoever comes meanwhile goes on,
/// a moment too early at worst, and such a child registers for itself.
pub struct Registered(AtomicU64);

/// No life has this number ([`Process::life`]).
const NOT_YET: u64 = 0;
/// No process comes to this one.
const DONE: u64 = u64::MAX;

impl Registered {
    /// Not yet.
    pub const fn not_yet() -> Registered {
        Registered(AtomicU64::new(NOT_YET))
    }

    /// Sees to it that `register` has been run, or is being run by another thread.
    ///
    /// # Errors
    /// Those of `register`, which is then run again the next time.
    pub fn ensure<E>(&self, register: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let found = self.0.load(Ordering::Acquire);
        if found == DONE {
            return Ok(());
        }
        let here = Process::current().life();
        if found == here || self.0.compare_exchange(found, here, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Ok(());
        }
        let result = register();
        self.0.store(if result.is_ok() { DONE } else { NOT_YET }, Ordering::Release);
        result
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::tests::in_a_child;
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    #[test]
    fn what_fails_is_tried_again_and_what_succeeds_is_not() {
        let registered = Registered::not_yet();
        let mut runs = 0;
        for (outcome, expected) in [(Err("no memory"), 1), (Ok(()), 2), (Ok(()), 2)] {
            let answer = registered.ensure(|| {
                runs += 1;
                outcome
            });
            assert_eq!((answer, runs), (outcome, expected));
        }
        assert!(in_a_child(|| registered.ensure(|| Err(())).is_ok()), "a child inherits it");
    }

    #[test]
    fn nobody_waits_for_the_one_who_registers_and_a_child_of_that_moment_registers_itself() {
        let (registered, runs) = (Registered::not_yet(), AtomicUsize::new(0));
        let (begun, seen) = (Barrier::new(2), Barrier::new(2));
        let count = || {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<(), ()>(())
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                registered.ensure(|| {
                    begun.wait();
                    seen.wait();
                    count()
                })
            });
            begun.wait();
            assert_eq!(registered.ensure(count), Ok(()));
            assert_eq!(runs.load(Ordering::SeqCst), 0, "another thread goes on without it");
            assert!(in_a_child(|| {
                let done = [registered.ensure(count), registered.ensure(count)] == [Ok(()); 2];
                done && runs.load(Ordering::SeqCst) == 1
            }));
            seen.wait();
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(registered.ensure(|| Err(())), Ok(()));
    }
}
