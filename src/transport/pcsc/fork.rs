//! Forks of this process by other threads of its host. libpcsclite guards its contexts with one mutex of the whole process,
//! held for a moment as each call begins, and longer while a context is made. A child that was forked in such a moment finds
//! it held by a thread that it does not have, and hangs in its first PC/SC call (measured, 1.9.9: 27 of 30 children, beside a
//! thread that makes contexts all the time). So a fork waits, shortly, until nobody is in such a moment, and no call begins
//! meanwhile.
//!
//! Neither waits without end. A service that hangs keeps its calls for as long as it likes: a fork waits for each of them
//! until it is a second old, and no fork that comes later waits for it again. A host may hold a lock of its own around our
//! calls and want it in a handler of its own at the fork: then the fork waits for the call and the call for the fork, until
//! the call has waited for a second; its child may hang in PC/SC then, which it would have done for certain without this.
//!
//! The end of the process is the same moment once more. libpcsclite frees its table of contexts at its own end, while other
//! threads still run, and each call begins with a look into that table: a program that returned from main among such threads
//! died of SIGSEGV, or had them told that the card was gone (measured, 1.9.9). So this library's end, which comes before
//! libpcsclite's, waits until nobody is in such a moment, and no other thread's call begins any more.

use crate::sys::{self, Process, Registered};
use once_cell::race::OnceBox;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Forks under way.
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// The process that forks, by its life: its child, in which another library's handler may call before ours does, or which
/// was made without any handler, waits for nobody.
static PARENT: AtomicU64 = AtomicU64::new(0);
/// Until when calls wait for the fork.
static FORKED_BY: AtomicU64 = AtomicU64::new(0);
/// The calls inside libpcsclite: until when a fork waits for each; nothing where there is none. A thread that finds no place
/// is waited for by no fork.
static INSIDE: [AtomicU64; 64] = [const { AtomicU64::new(NOTHING) }; 64];
const NOTHING: u64 = 0;
/// Which of them end by themselves: the lowest bit of their time.
const SHORT: u64 = 1;

/// A call that ends by itself takes no longer, unless the service hangs. Less than the second for which a look at the readers
/// is waited for: whoever has given that up must not ask the service next, with the same call a moment younger than this.
const SHORT_CALL: Duration = Duration::from_millis(900);
/// After this time a thread in a call that may wait for its answer does so, and holds nothing of the whole process.
const BEGINNING: Duration = Duration::from_millis(5);
/// What a fork takes, once nobody is inside: the largest hosts need a part of it. One that takes longer waits in a handler of
/// its host's.
const FORK: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_micros(50);

/// Makes the calls of this process known to its forks.
pub(super) fn watch() {
    static WATCHED: Registered = Registered::not_yet();
    now();
    sys::at_end(await_those_inside);
    if let Err(error) = WATCHED.ensure(|| sys::at_fork(before, after, in_child)) {
        log::warn!("a child that is forked during a call may hang: {error}");
    }
}

/// Calls libpcsclite, which answers without waiting for anything but the service.
pub(super) fn short<R>(call: impl FnOnce() -> R) -> R {
    let _inside = Inside::enter(SHORT_CALL, SHORT);
    call()
}

/// Whether a call that should have ended by itself has not: whoever asks the service now would not come back either.
pub(super) fn service_hangs() -> bool {
    let now = now();
    INSIDE.iter().map(|until| until.load(SeqCst)).any(|until| until & SHORT != 0 && until < now)
}

/// Calls libpcsclite, which may wait for a card, another program or an event.
pub(super) fn long<R>(call: impl FnOnce() -> R) -> R {
    let _inside = Inside::enter(BEGINNING, 0);
    call()
}

/// A thread inside libpcsclite.
struct Inside(Option<&'static AtomicU64>);

impl Inside {
    fn enter(most: Duration, kind: u64) -> Inside {
        loop {
            // A time that is never nothing, and even but for its kind.
            let inside = Inside::take_place((after_now(most).max(2) & !SHORT) | kind);
            if sys::is_ended_by_another_thread() {
                drop(inside);
                // The process is gone before this thread could do anything that is of use to anybody.
                loop {
                    thread::sleep(Duration::MAX);
                }
            }
            if !is_forking() {
                return inside;
            }
            drop(inside);
            while is_forking() {
                thread::sleep(POLL);
            }
        }
    }

    fn take_place(until: u64) -> Inside {
        Inside(INSIDE.iter().find(|place| place.compare_exchange(NOTHING, until, SeqCst, SeqCst).is_ok()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.store(NOTHING, SeqCst);
        }
    }
}

/// Whether a fork is under way for which a call waits.
fn is_forking() -> bool {
    FORKING.load(SeqCst) > 0 && now() < FORKED_BY.load(SeqCst) && PARENT.load(SeqCst) == Process::current().life()
}

extern "C" fn before() {
    let parent = Process::current().life();
    if PARENT.swap(parent, SeqCst) != parent {
        // Forks that were under way where this process was forked without a handler.
        FORKING.store(0, SeqCst);
    }
    FORKED_BY.store(after_now(SHORT_CALL + FORK), SeqCst);
    FORKING.fetch_add(1, SeqCst);
    await_those_inside();
    FORKED_BY.store(after_now(FORK), SeqCst);
}

/// Waits until nobody is in a moment in which libpcsclite holds its lock, for no longer than a call may take.
fn await_those_inside() {
    let patience = after_now(SHORT_CALL);
    while now() < patience && INSIDE.iter().any(|until| until.load(SeqCst) > now()) {
        thread::sleep(POLL);
    }
}

extern "C" fn after() {
    // Not below nothing, should a fork have been forgotten above.
    let _ = FORKING.fetch_update(SeqCst, SeqCst, |forking| forking.checked_sub(1));
}

/// Nobody who was inside is in the child.
extern "C" fn in_child() {
    for place in &INSIDE {
        place.store(NOTHING, SeqCst);
    }
    FORKING.store(0, SeqCst);
}

/// Microseconds since this was first asked for, and never [`NOTHING`].
fn now() -> u64 {
    static START: OnceBox<Instant> = OnceBox::new();
    let micros = START.get_or_init(|| Instant::now().into()).elapsed().as_micros();
    u64::try_from(micros).unwrap_or(u64::MAX).saturating_add(1)
}

fn after_now(time: Duration) -> u64 {
    now().saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
