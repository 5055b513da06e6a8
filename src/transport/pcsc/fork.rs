//! Forks of this process by other threads of its host. libpcsclite guards its contexts with one mutex of the whole process,
//! held for a moment as each call begins, and longer while a context is made. A child that was forked in such a moment finds
//! it held by a thread that it does not have, and hangs in its first PC/SC call (measured, 1.9.9: 27 of 30 children, beside a
//! thread that makes contexts all the time). So a fork waits, shortly, until nobody is in such a moment, and no call begins
//! meanwhile.

use crate::sys;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

/// Forks under way.
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// The process that forks: its child, in which another library's handler may call before ours does, waits for nobody.
static PARENT: AtomicU32 = AtomicU32::new(0);
/// Threads inside a call that ends by itself.
static SHORT: AtomicUsize = AtomicUsize::new(0);
/// Threads inside a call that may wait for a card or an event.
static LONG: AtomicUsize = AtomicUsize::new(0);

/// A call that ends by itself takes no longer, unless the service hangs.
const SHORT_CALL: Duration = Duration::from_secs(1);
/// After this time a thread in a longer call waits for its answer, and holds nothing of the whole process.
const BEGINNING: Duration = Duration::from_millis(5);
const POLL: Duration = Duration::from_micros(50);

/// Makes the calls of this process known to its forks.
pub(super) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        if let Err(error) = sys::at_fork(before, after, in_child) {
            log::warn!("a child that is forked during a call may hang: {error}");
        }
    });
}

/// Calls libpcsclite, which answers without waiting for anything but the service.
pub(super) fn short<R>(call: impl FnOnce() -> R) -> R {
    within(&SHORT, call)
}

/// Calls libpcsclite, which may wait for a card, another program or an event.
pub(super) fn long<R>(call: impl FnOnce() -> R) -> R {
    within(&LONG, call)
}

fn within<R>(inside: &'static AtomicUsize, call: impl FnOnce() -> R) -> R {
    let _inside = Inside::enter(inside);
    call()
}

/// A thread inside libpcsclite.
struct Inside(&'static AtomicUsize);

impl Inside {
    fn enter(inside: &'static AtomicUsize) -> Inside {
        loop {
            inside.fetch_add(1, Ordering::SeqCst);
            if !is_forking() {
                return Inside(inside);
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            while is_forking() {
                thread::sleep(POLL);
            }
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn is_forking() -> bool {
    FORKING.load(Ordering::SeqCst) > 0 && PARENT.load(Ordering::SeqCst) == process::id()
}

extern "C" fn before() {
    PARENT.store(process::id(), Ordering::SeqCst);
    FORKING.fetch_add(1, Ordering::SeqCst);
    let start = Instant::now();
    let busy = |inside: &AtomicUsize, most| inside.load(Ordering::SeqCst) > 0 && start.elapsed() < most;
    while busy(&SHORT, SHORT_CALL) || busy(&LONG, BEGINNING) {
        thread::sleep(POLL);
    }
}

extern "C" fn after() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

/// Nobody who was inside is in the child.
extern "C" fn in_child() {
    for count in [&SHORT, &LONG, &FORKING] {
        count.store(0, Ordering::SeqCst);
    }
}
