//! The lock order of the crate's page, asserted in debug builds: a thread takes locks with rising ranks only, and none beside
//! a leaf. A wrong order panics the first time it is taken, in whatever test, instead of hanging once in a thousand runs.

use parking_lot::MutexGuard;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// A session's operations.
pub(crate) const SESSION: u8 = 2;
/// A reader's connection.
pub(crate) const CONNECTION: u8 = 3;
/// A look at the readers.
pub(crate) const LOOK: u8 = 4;
/// The table of sessions: whether a login has one left is decided with it in hand.
pub(crate) const SESSIONS: u8 = 5;
/// Held for no I/O and no other lock.
pub(crate) const LEAF: u8 = 6;

/// A mutex with its place in the order.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T, const RANK: u8 = LEAF>(parking_lot::Mutex<T>);

/// A locked [`Mutex`].
pub(crate) struct Guard<'a, T> {
    // Unlocked before it stops to count.
    value: MutexGuard<'a, T>,
    _held: Held,
}

impl<T, const RANK: u8> Mutex<T, RANK> {
    pub(crate) const fn new(value: T) -> Self {
        Mutex(parking_lot::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let held = Held::new(RANK);
        Guard { value: self.0.lock(), _held: held }
    }

    /// Gives up after `time`.
    pub(crate) fn try_lock_for(&self, time: Duration) -> Option<Guard<'_, T>> {
        let held = Held::new(RANK);
        Some(Guard { value: self.0.try_lock_for(time)?, _held: held })
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// A lock that this thread holds or waits for; nothing in a release build.
struct Held {
    #[cfg(debug_assertions)]
    rank: u8,
}

#[cfg(not(debug_assertions))]
impl Held {
    fn new(_: u8) -> Held {
        Held {}
    }
}

#[cfg(debug_assertions)]
mod asserted {
    use super::Held;
    use std::cell::RefCell;

    thread_local! {
        /// Ranks that this thread holds, in the order in which it took them.
        static RANKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    impl Held {
        pub(super) fn new(rank: u8) -> Held {
            // A thread that is ending has no order to keep.
            let _ = RANKS.try_with(|ranks| {
                let mut ranks = ranks.borrow_mut();
                let highest = ranks.last().copied().unwrap_or(0);
                assert!(highest < rank, "a lock of rank {rank} is taken under one of rank {highest}");
                ranks.push(rank);
            });
            Held { rank }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = RANKS.try_with(|ranks| {
                let mut ranks = ranks.borrow_mut();
                // Guards may go in any order.
                if let Some(last) = ranks.iter().rposition(|&rank| rank == self.rank) {
                    ranks.remove(last);
                }
            });
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_with_rising_ranks() {
        let (session, connection, leaf) =
            (Mutex::<_, SESSION>::new(()), Mutex::<_, CONNECTION>::new(()), Mutex::<_, LEAF>::new(1));
        for _ in 0..2 {
            let _session = session.lock();
            let _connection = connection.lock();
            assert_eq!(*leaf.lock(), 1);
            *leaf.lock() = 1;
        }
    }

    #[test]
    #[should_panic(expected = "a lock of rank 2 is taken under one of rank 3")]
    fn an_earlier_lock_under_a_later_one_panics() {
        let (session, connection) = (Mutex::<_, SESSION>::new(()), Mutex::<_, CONNECTION>::new(()));
        let _connection = connection.lock();
        session.lock();
    }

    #[test]
    #[should_panic(expected = "rank 6 is taken under one of rank 6")]
    fn a_leaf_under_a_leaf_panics() {
        let (one, other) = (Mutex::<_, LEAF>::new(()), Mutex::<_, LEAF>::new(()));
        let _one = one.lock();
        other.lock();
    }
}
