//! What stands around every entry point: no panic leaves the module, no cancellation ends a thread inside it, and the log has
//! the function's name and its result, never an argument.

use super::rv::{Result, Rv};
use crate::sys::Uncancelled;
use cryptoki_sys::CK_RV;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs the body of the PKCS#11 function `name`. A panic is CKR_GENERAL_ERROR and, since its message may hold anything,
/// only its place in the source is logged; nothing is printed.
///
/// A thread that is cancelled meanwhile (`pthread_cancel`) ends at the next place that allows it after the call: it would be
/// unwound with locks in its hands, this module's and libpcsclite's.
pub fn guard(name: &'static str, body: impl FnOnce() -> Result<()>) -> CK_RV {
    guard_part(name, || body().map(Some)).unwrap_or(Rv::OK.0)
}

/// The same for a part of a call: `None`, and no word in the log, where the call goes on.
pub fn guard_part(name: &'static str, body: impl FnOnce() -> Result<Option<()>>) -> Option<CK_RV> {
    let _uncancelled = Uncancelled::begin();
    hush_panics();
    let before = INSIDE.replace(true);
    let rv = match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(None)) => {
            INSIDE.set(before);
            return None;
        }
        Ok(result) => Rv::from(result.map(drop)),
        Err(payload) => {
            // Dropping it could panic again.
            std::mem::forget(payload);
            Rv::GENERAL_ERROR
        }
    };
    // A logger is code too.
    if let Err(payload) = panic::catch_unwind(|| log_outcome(name, rv)) {
        std::mem::forget(payload);
    }
    INSIDE.set(before);
    Some(rv.0)
}

thread_local! {
    /// Whether this thread is inside an entry point.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps panics inside an entry point off the standard error stream, which is the host program's. A hook is set once in a
/// process and its children. Nobody waits for it: a child that was forked in the middle has no thread that would set it, and
/// the standard library's own lock around hooks may be held for good there.
fn hush_panics() {
    static SET: AtomicBool = AtomicBool::new(false);
    // A host that is panicking itself, and cleans up through us, may not change the hook.
    if SET.load(Ordering::Relaxed) || std::thread::panicking() {
        return;
    }
    if SET.compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        let outside = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !keep_place(info) {
                outside(info);
            }
        }));
    }
}

/// Notes where a panic happened, if that was inside an entry point. It is logged after unwinding, when no lock of a logger
/// is held any more.
fn keep_place(info: &PanicHookInfo<'_>) -> bool {
    let inside = INSIDE.try_with(Cell::get).unwrap_or(false);
    if inside {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        // Fails only while the thread ends, and then the place is not worth more.
        let _ = PLACE.try_with(|last| last.replace(Some(place)));
    }
    inside
}

fn log_outcome(name: &str, rv: Rv) {
    // No place is kept while a thread ends.
    if let Ok(Some(place)) = PLACE.try_with(RefCell::take) {
        log::error!("{name}: panic at {place}; this is a bug, please report it");
    }
    log::debug!("{name}: {rv}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_passes_through() {
        assert_eq!(guard("C_Test", || Ok(())), Rv::OK.0);
        assert_eq!(guard("C_Test", || Err(Rv::PIN_LOCKED)), Rv::PIN_LOCKED.0);
    }

    #[test]
    fn a_panic_is_a_general_error_whose_message_is_kept_back() {
        assert_eq!(guard("C_Test", || panic!("PIN 1234")), Rv::GENERAL_ERROR.0);
        assert!(PLACE.take().is_none(), "the place was not logged");
        assert!(!INSIDE.get());
    }

    #[test]
    fn a_panic_whose_payload_panics_when_dropped_is_caught_too() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(guard("C_Test", || panic::panic_any(Bomb)), Rv::GENERAL_ERROR.0);
    }

    #[test]
    fn a_guard_within_a_guard_leaves_the_outer_one_on() {
        let outer = guard("C_Outer", || {
            assert_eq!(guard("C_Inner", || panic!("inner")), Rv::GENERAL_ERROR.0);
            assert!(INSIDE.get());
            Ok(())
        });
        assert_eq!(outer, Rv::OK.0);
    }
}
