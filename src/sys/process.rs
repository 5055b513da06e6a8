//! Which process this is. A number alone does not tell: the first process of a pid namespace and the child it forks into
//! another one are both number 1, and a number comes back when its process is gone.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// A process, told from every other one that has got its memory by a fork, however that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    life: u64,
    id: u32,
}

impl Process {
    /// The one this code runs in. Takes no lock, and may be asked for in a child before anything else.
    pub fn current() -> Process {
        Process { life: life(), id: std::process::id() }
    }

    /// The number of its life among those that its memory has had: greater in a child than any that it inherited. It fits
    /// into an atomic.
    pub fn life(self) -> u64 {
        self.life
    }

    /// Whether it is the one this code runs in.
    pub fn is_current(self) -> bool {
        self == Process::current()
    }
}

/// [`Process::life`] of this process.
fn life() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let here = place();
    match here.load(Ordering::SeqCst) {
        0 => {
            let next = LAST.fetch_add(1, Ordering::SeqCst) + 1;
            // Another thread of this process may have been faster.
            here.compare_exchange(0, next, Ordering::SeqCst, Ordering::SeqCst).map_or_else(|other| other, |_| next)
        }
        life => life,
    }
}

/// Where the number stands while the process lives. In a child there is a zero: the system wipes the page (Linux 4.14 and
/// later), whatever call made the child, and the handler at forks writes one where it cannot.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

fn place() -> &'static AtomicU64 {
    let mut place = PAGE.load(Ordering::Acquire);
    if place.is_null() {
        static ORDINARY: AtomicU64 = AtomicU64::new(0);
        let fresh = wiped_on_fork().unwrap_or_else(|| std::ptr::from_ref(&ORDINARY).cast_mut());
        match PAGE.compare_exchange(place, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                place = fresh;
                watch_forks();
            }
            // Another thread was faster. A page that was made in vain stays: once in a process at most.
            Err(other) => place = other,
        }
    }
    // SAFETY: never null here; a static, or a page that was mapped by `wiped_on_fork` and is never given back. Zeroes are a
    // value of the type, and it is only ever used as an atomic.
    unsafe { &*place }
}

/// A page that a child finds full of zeroes; `None` where the system has none.
fn wiped_on_fork() -> Option<*mut AtomicU64> {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let size = size_of::<AtomicU64>();
        let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a new private anonymous mapping at an address of the system's choice; it overlaps nothing.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), size, rights, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the mapping above, which starts at a page and is private and anonymous; nobody else has it yet.
        if unsafe { libc::madvise(page, size, libc::MADV_WIPEONFORK) } == 0 {
            return Some(page.cast());
        }
        // SAFETY: as above. A failure could only leave a page mapped.
        unsafe { libc::munmap(page, size) };
    }
    None
}

fn watch_forks() {
    #[cfg(all(unix, not(miri)))]
    {
        extern "C" fn in_child() {
            place().store(0, Ordering::SeqCst);
        }
        // A failure, which is one of memory, leaves the page and the number of the process.
        // SAFETY: the handler takes nothing and stays loaded: the module is linked with `-z nodelete`, a program never
        // leaves. In the child it stores one number: the place is there by now.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::tests::in_a_child;
    use super::*;

    #[test]
    fn a_process_is_itself_and_its_child_another_also_of_the_same_number() {
        let parent = Process::current();
        assert!(parent.is_current());
        assert!(in_a_child(|| {
            let child = Process::current();
            child.life != parent.life && child.is_current() && in_a_child(|| Process::current().life > child.life)
        }));
        assert!(parent.is_current());
    }

    #[test]
    fn a_child_made_by_the_system_call_alone_is_another() {
        let parent = Process::current();
        // SAFETY: the child takes no lock and leaves by `_exit`; without flags the call is a fork that runs no handlers.
        let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if child == 0 {
            let differs = Process::current().life != parent.life;
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!differs)) };
        }
        let mut status = -1;
        // SAFETY: `child` is ours to wait for, and `status` is writable.
        assert_eq!(i64::from(unsafe { libc::waitpid(child as i32, &mut status, 0) }), child);
        assert_eq!(status, 0);
    }
}
