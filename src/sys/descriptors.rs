//! Descriptors that a forked child must not keep: a lock belongs to the open file, and lives as long as one process has it
//! open. A child that kept its parent's would keep a login alive that nobody ends.

use super::Registered;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// As many as a process can have of them. A card has two locks in each of three places.
const ROOM: usize = 256;

const NONE: RawFd = -1;

static ENTRUSTED: [AtomicI32; ROOM] = [const { AtomicI32::new(NONE) }; ROOM];

/// A descriptor that a forked child closes before anything else of its own runs. To be dropped before the file is closed:
/// the number may be another file's at once.
#[derive(Debug)]
pub struct ClosedInChildren(usize);

impl ClosedInChildren {
    /// Has children close `file`.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`]: there are too many already, or no memory for the first.
    pub fn new(file: &impl AsRawFd) -> io::Result<ClosedInChildren> {
        watch()?;
        let free = |slot: &AtomicI32| {
            slot.compare_exchange(NONE, file.as_raw_fd(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        ENTRUSTED.iter().position(free).map(ClosedInChildren).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }
}

impl Drop for ClosedInChildren {
    fn drop(&mut self) {
        if let Some(slot) = ENTRUSTED.get(self.0) {
            slot.store(NONE, Ordering::Release);
        }
    }
}

/// Has the system call [`close_all`] in children. A fork while another thread registers is not served, as none before it
/// was.
fn watch() -> io::Result<()> {
    static WATCHED: Registered = Registered::not_yet();
    WATCHED.ensure(|| super::at_fork(nothing, nothing, close_all))
}

extern "C" fn nothing() {}

/// Runs in a child that was just forked, where nothing but what a signal handler may do is allowed.
extern "C" fn close_all() {
    for slot in &ENTRUSTED {
        let descriptor = slot.swap(NONE, Ordering::AcqRel);
        if descriptor != NONE {
            // SAFETY: `close` may be called here. The number is that of a file of ours which the parent had open when it
            // forked; the child has one thread, so nobody has it for another file.
            unsafe { libc::close(descriptor) };
        }
    }
}
