//! Cancellation of threads (`pthread_cancel`). It ends a thread from inside whatever call waits, by unwinding its stack: from
//! inside libpcsclite, that would leave locks taken and a conversation with the service torn, for good.

use std::marker::PhantomData;

#[cfg(unix)]
unsafe extern "C" {
    fn pthread_setcancelstate(state: libc::c_int, old: *mut libc::c_int) -> libc::c_int;
}

#[cfg(unix)]
unsafe extern "C-unwind" {
    fn pthread_testcancel();
}

/// PTHREAD_CANCEL_DISABLE.
#[cfg(unix)]
const DISABLE: libc::c_int = if cfg!(any(target_os = "macos", target_os = "ios")) { 0 } else { 1 };

/// While it lives, a cancellation of this thread waits.
pub struct Uncancelled {
    /// What the thread's program had chosen; of this thread only.
    #[cfg(unix)]
    before: Option<libc::c_int>,
    thread: PhantomData<*const ()>,
}

impl Uncancelled {
    /// From now on. A program that lets its threads be cancelled at any instruction (PTHREAD_CANCEL_ASYNCHRONOUS) may call
    /// nothing at all, and so not this module.
    pub fn begin() -> Uncancelled {
        #[cfg(all(unix, not(miri)))]
        {
            let mut before = 0;
            // SAFETY: `before` is writable. It fails for a state that does not exist only.
            let set = unsafe { pthread_setcancelstate(DISABLE, &mut before) } == 0;
            Uncancelled { before: set.then_some(before), thread: PhantomData }
        }
        #[cfg(all(unix, miri))]
        return Uncancelled { before: None, thread: PhantomData };
        #[cfg(not(unix))]
        Uncancelled { thread: PhantomData }
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = self.before {
            let mut disabled = 0;
            // SAFETY: a state that the same function gave, and `disabled` is writable. It is no cancellation point.
            unsafe { pthread_setcancelstate(before, &mut disabled) };
        }
    }
}

/// Ends this thread here if it has been cancelled and lets itself be.
///
/// # Safety
/// Every frame between this call and the C code that began the thread's work in this library must be free of destructors, of
/// `catch_unwind` and of functions that may not unwind: the stack is unwound and none of them hears of it.
pub unsafe extern "C-unwind" fn die_if_cancelled() {
    #[cfg(all(unix, not(miri)))]
    // SAFETY: takes nothing; of the unwinding the caller has promised that it may be.
    unsafe {
        pthread_testcancel();
    }
}
