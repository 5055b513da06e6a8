//! The end of the process, once every exit handler has run and the libraries have their ends, this one before those it
//! depends on.

use super::Process;
use once_cell::race::OnceBox;
use std::sync::atomic::{AtomicU64, Ordering};

/// The thread that ends the process; 0 while nobody does. No thread has that number.
static ENDING: AtomicU64 = AtomicU64::new(0);
/// The life of that process: a child that another thread has forked meanwhile goes on.
static LIFE: AtomicU64 = AtomicU64::new(0);
/// What is then to be done.
static AT_END: OnceBox<fn()> = OnceBox::new();

/// Has `handler` run when this library has its end, as `exit` and a return from main bring it about, in the thread that ends
/// the process; only the first one given counts. It may neither unwind nor wait for long, and another thread's end is none.
pub fn at_end(handler: fn()) {
    // Refused where there is one.
    let _ = AT_END.set(Box::new(handler));
}

/// Whether another thread has begun to end the process: the libraries this one needs may have had their ends by now.
pub fn is_ended_by_another_thread() -> bool {
    let ending = ENDING.load(Ordering::SeqCst);
    ending != 0 && ending != this_thread() && LIFE.load(Ordering::SeqCst) == Process::current().life()
}

#[cfg(target_os = "linux")]
fn this_thread() -> u64 {
    // SAFETY: the function takes nothing and cannot fail.
    unsafe { libc::pthread_self() }
}

#[cfg(not(target_os = "linux"))]
fn this_thread() -> u64 {
    1
}

#[cfg(target_os = "linux")]
extern "C" fn end() {
    LIFE.store(Process::current().life(), Ordering::SeqCst);
    ENDING.store(this_thread(), Ordering::SeqCst);
    if let Some(handler) = AT_END.get() {
        handler();
    }
}

// SAFETY: what stands in this section are pointers to functions of this type, which the dynamic loader calls once each.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;
