//! What tells the parts of one wait for slot events from another's.

use std::sync::atomic::{AtomicU64, Ordering};

/// A wait of several parts. It has nothing to be destroyed: its thread may end between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(u64);

impl Wait {
    /// A number that no other has: a module's, whose waits end with it, also where there is another one by the next part.
    pub(crate) fn new() -> Wait {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Wait(LAST.fetch_add(1, Ordering::Relaxed))
    }
}
