//! The system calls that need `unsafe`: who runs this process and which one it is, where this library was loaded from, memory
//! that holds a secret, what is to happen at a fork, at the process's end and at a thread's cancellation and is registered
//! once, a pointer that a forked child may replace without touching a lock, rights that a file's mode does not tell, and a
//! PKCS#11 module that is opened from outside. Linux has all of it; elsewhere what is missing is left out, and each item says
//! what that costs.

#![allow(unsafe_code)]

mod acl;
mod cancel;
mod clock;
#[cfg(unix)]
mod descriptors;
mod ending;
#[cfg(unix)]
mod exit;
mod filesystem;
#[cfg(all(unix, feature = "cli"))]
pub mod module;
mod private;
mod process;
mod registered;
mod rename;
mod wiping;

use std::path::PathBuf;
use std::sync::atomic::{AtomicPtr, Ordering};

pub use acl::has_acl;
#[cfg(all(test, target_os = "linux", not(miri)))]
pub use acl::tests as acl_for_tests;
pub use cancel::{Uncancelled, die_if_cancelled};
pub use clock::since_boot;
#[cfg(unix)]
pub use descriptors::ClosedInChildren;
pub use ending::{at_end, is_ended_by_another_thread};
#[cfg(unix)]
pub use exit::at_exit;
pub use filesystem::{Filesystem, filesystem};
pub use locked::LockedBytes;
pub use private::{is_private, make_private};
pub use process::Process;
pub use registered::Registered;
pub use rename::rename_to_new;

/// Whether the process runs with privileges its starter lacks (setuid, setgid, file capabilities), so that neither the
/// environment nor the user's own files may decide anything. Where the system cannot tell: `false`.
pub fn is_secure() -> bool {
    #[cfg(target_os = "linux")]
    // SAFETY: `getauxval` takes no pointer and only reads the process's own auxiliary vector.
    return unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    #[cfg(any(target_os = "macos", target_os = "freebsd"))]
    // SAFETY: `issetugid` takes nothing and cannot fail.
    return unsafe { libc::issetugid() } != 0;
    #[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
    false
}

/// The effective user id, which owns the files this process may trust; `None` where users have no number.
pub fn effective_user() -> Option<u32> {
    #[cfg(unix)]
    // SAFETY: `geteuid` takes nothing and cannot fail.
    return Some(unsafe { libc::geteuid() });
    #[cfg(not(unix))]
    None
}

/// The file this code was loaded from, as the loader knows it: the module's own file, or the program that has the code
/// linked in. Perhaps relative, since a loader keeps the name it was given; `None` if it cannot tell.
pub fn own_path() -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::ffi::{CStr, OsStr};
        use std::os::unix::ffi::OsStrExt;

        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: the address is one of this library's code, and `info` is writable and large enough.
        let found = unsafe { libc::dladdr(own_path as *const () as *const libc::c_void, info.as_mut_ptr()) };
        if found == 0 {
            return None;
        }
        // SAFETY: `Dl_info` has only pointers, so all zeroes is a value, and `dladdr` has filled it in.
        let name = unsafe { info.assume_init() }.dli_fname;
        if name.is_null() {
            return None;
        }
        // SAFETY: `dli_fname` is a C string owned by the loader for as long as the library stays mapped, which is at
        // least until this function of it returns; it is copied before.
        let name = unsafe { CStr::from_ptr(name) };
        Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
    }
    #[cfg(not(unix))]
    None
}

/// Whether this code is linked into the program itself, and not a module that it has loaded. Where the system cannot tell:
/// `false`.
pub fn is_in_program() -> bool {
    #[cfg(target_os = "linux")]
    {
        let object = |address: *const libc::c_void| {
            let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
            // SAFETY: `dladdr` follows no address, it compares; `info` is writable and large enough.
            let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
            // SAFETY: `Dl_info` has only pointers, so all zeroes is a value, and so is what `dladdr` has filled in.
            (found != 0).then(|| unsafe { info.assume_init() }.dli_fbase)
        };
        // The name that the loader has for a program is what its caller has called it, so not a file's; but where its headers
        // lie the kernel has said.
        // SAFETY: `getauxval` takes no pointer and only reads the process's own auxiliary vector.
        let headers = unsafe { libc::getauxval(libc::AT_PHDR) };
        let program = object(std::ptr::with_exposed_provenance(headers as usize));
        program.is_some() && program == object(is_in_program as *const () as *const libc::c_void)
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        let real = |path: std::io::Result<PathBuf>| path.and_then(|path| path.canonicalize()).ok();
        let program = real(std::env::current_exe());
        program.is_some() && program == own_path().and_then(|own| real(Ok(own)))
    }
    #[cfg(not(unix))]
    false
}

/// Has `before` called by a thread that is about to fork this process, and then `after` in the parent and `in_child` in the
/// child; from now on, for good. The child has one thread, and may do no more than a signal handler may.
///
/// # Errors
/// There is no memory.
#[cfg(unix)]
pub fn at_fork(before: extern "C" fn(), after: extern "C" fn(), in_child: extern "C" fn()) -> std::io::Result<()> {
    // SAFETY: the three take nothing and stay loaded: the module is linked with `-z nodelete`, a program never leaves.
    match unsafe { libc::pthread_atfork(Some(before), Some(after), Some(in_child)) } {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(error)),
    }
}

/// Process state that survives a fork safely: one pointer, read and replaced without a lock. What it pointed to before is
/// leaked on purpose, since a forked child must neither use nor drop what its parent's threads were holding.
pub struct Leaked<T: Send + Sync + 'static>(AtomicPtr<T>);

impl<T: Send + Sync + 'static> Leaked<T> {
    /// One that holds nothing.
    pub const fn new() -> Leaked<T> {
        Leaked(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// What it holds now.
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: the pointer is null or came from `Box::into_raw` in `replace_if`, and is never freed.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Puts `new` in the place of `expected` (`None`: of nothing) and leaks what was there.
    ///
    /// # Errors
    /// What it holds instead, where another thread was faster; `new` is dropped.
    pub fn replace_if(&self, expected: Option<&'static T>, new: Box<T>) -> Result<&'static T, Option<&'static T>> {
        let expected = expected.map_or(std::ptr::null_mut(), |expected| std::ptr::from_ref(expected).cast_mut());
        let new = Box::into_raw(new);
        match self.0.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `new` came from `Box::into_raw`, and from now on nothing frees it.
            Ok(_) => Ok(unsafe { &*new }),
            Err(current) => {
                // SAFETY: `new` came from `Box::into_raw` above and was not shared.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: as in `get`.
                Err(unsafe { current.as_ref() })
            }
        }
    }
}

impl<T: Send + Sync + 'static> Default for Leaked<T> {
    fn default() -> Leaked<T> {
        Leaked::new()
    }
}

#[cfg(unix)]
mod locked {
    use std::ptr::NonNull;
    use zeroize::Zeroize;

    /// A secret in pages of its own: kept out of swap (`mlock`), out of core dumps and out of forked children (`madvise`
    /// with `MADV_DONTDUMP` and `MADV_WIPEONFORK`, Linux only), wiped before the pages go back. There is none without all
    /// of these that the system has.
    pub struct LockedBytes {
        pages: NonNull<u8>,
        mapped: usize,
        len: usize,
    }

    // SAFETY: the pages belong to this value alone, and are read only through it.
    unsafe impl Send for LockedBytes {}
    // SAFETY: after construction the bytes are only read.
    unsafe impl Sync for LockedBytes {}

    impl LockedBytes {
        /// Copies `secret` into pages of its own.
        ///
        /// # Errors
        /// There is no memory, or none that may be locked (`ulimit -l`).
        pub fn new(secret: &[u8]) -> std::io::Result<LockedBytes> {
            // `mmap` refuses a length of zero, and an empty secret is as good as any other.
            let mapped = secret.len().max(1);
            // SAFETY: a new private anonymous mapping at an address of the system's choice; it overlaps nothing.
            let pages = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    mapped,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANON,
                    -1,
                    0,
                )
            };
            if pages == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            let Some(start) = NonNull::new(pages.cast::<u8>()) else {
                return Err(std::io::ErrorKind::OutOfMemory.into());
            };
            let mut locked = LockedBytes { pages: start, mapped, len: 0 };
            // Protected before the secret is there, so that there is no moment between.
            protect(pages, mapped)?;
            // SAFETY: `start` is writable for `mapped` bytes, at least as many as `secret` has, and is not part of it.
            unsafe { std::ptr::copy_nonoverlapping(secret.as_ptr(), start.as_ptr(), secret.len()) };
            locked.len = secret.len();
            Ok(locked)
        }

        /// The secret; all zeroes in a forked child, where the system can do that.
        pub fn expose(&self) -> &[u8] {
            // SAFETY: the pages are readable for `len` bytes as long as `self` lives, and nothing writes to them.
            unsafe { std::slice::from_raw_parts(self.pages.as_ptr(), self.len) }
        }
    }

    impl Drop for LockedBytes {
        fn drop(&mut self) {
            // SAFETY: `self` is going, so nobody else looks at the bytes; they are writable until they are unmapped.
            unsafe { std::slice::from_raw_parts_mut(self.pages.as_ptr(), self.len) }.zeroize();
            // SAFETY: exactly the mapping `new` made, given back once. A failure could only leave zeroes mapped.
            unsafe { libc::munmap(self.pages.as_ptr().cast(), self.mapped) };
        }
    }

    fn protect(pages: *mut libc::c_void, mapped: usize) -> std::io::Result<()> {
        // SAFETY: the range was mapped by the caller; locking changes no contents.
        if unsafe { libc::mlock(pages, mapped) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        #[cfg(target_os = "linux")]
        for advice in [libc::MADV_DONTDUMP, libc::MADV_WIPEONFORK] {
            // SAFETY: the range was mapped by the caller, starts at a page and is private and anonymous; both kinds of
            // advice leave its contents alone in this process.
            if unsafe { libc::madvise(pages, mapped, advice) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod locked {
    use zeroize::Zeroizing;

    /// A secret on the heap, wiped when it goes: this system's calls to lock it in memory are not used.
    pub struct LockedBytes(Zeroizing<Vec<u8>>);

    impl LockedBytes {
        /// Copies `secret`.
        ///
        /// # Errors
        /// None here; on other systems, that there is no memory.
        pub fn new(secret: &[u8]) -> std::io::Result<LockedBytes> {
            Ok(LockedBytes(Zeroizing::new(secret.to_vec())))
        }

        /// The secret.
        pub fn expose(&self) -> &[u8] {
            &self.0
        }
    }
}

impl std::fmt::Debug for LockedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockedBytes(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_bytes_keep_the_secret_and_never_print_it() {
        let secret = LockedBytes::new(b"1234").unwrap();
        assert_eq!(secret.expose(), b"1234");
        assert_eq!(format!("{secret:?}"), "LockedBytes(…)");
        assert_eq!(LockedBytes::new(b"").unwrap().expose(), b"");
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn a_secrets_pages_are_locked_left_out_of_core_dumps_and_wiped_in_a_child() {
        let secret = LockedBytes::new(b"1234").unwrap();
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let page = secret.expose().as_ptr().addr();
        let begins = |line: &str| {
            let (start, rest) = line.split_once('-')?;
            let range = (usize::from_str_radix(start, 16).ok()?, rest.split_once(' ')?.0);
            Some(range.0..usize::from_str_radix(range.1, 16).ok()?)
        };
        let mapping = smaps.lines().skip_while(|line| !begins(line).is_some_and(|range| range.contains(&page)));
        let flags = mapping.skip(1).find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
        let flags: Vec<&str> = flags.split_whitespace().collect();
        assert!(["lo", "dd", "wf"].iter().all(|flag| flags.contains(flag)), "{flags:?}");
    }

    // Miri has no fork, no loader and no auxiliary vector.
    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn a_forked_child_finds_the_secret_wiped() {
        let secret = LockedBytes::new(b"1234").unwrap();
        assert!(in_a_child(|| secret.expose() == [0; 4]));
        assert_eq!(secret.expose(), b"1234");
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn no_secret_is_held_in_memory_that_may_not_be_locked() {
        let refused = || {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: `none` is readable.
            let limited = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &none) } == 0;
            // SAFETY: takes nothing. Root may lock memory all the same, and nobody else needs to become somebody else.
            let nobody = unsafe { libc::geteuid() != 0 || libc::seteuid(65_534) == 0 };
            limited && nobody && LockedBytes::new(b"1234").is_err()
        };
        assert!(in_a_child(refused));
    }

    /// What `condition`, which takes no lock and allocates nothing, comes to in a forked child.
    #[cfg(all(target_os = "linux", not(miri)))]
    pub(super) fn in_a_child(condition: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child takes no lock and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let holds = condition();
            // SAFETY: ends the child at once, running none of the parent's handlers.
            unsafe { libc::_exit(if holds { 0 } else { 1 }) };
        }
        let mut status = -1;
        // SAFETY: `child` is ours to wait for, and `status` is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        status == 0
    }

    #[test]
    fn only_what_was_expected_is_replaced() {
        static STATE: Leaked<u32> = Leaked::new();
        assert_eq!(STATE.get(), None);
        let one = STATE.replace_if(None, Box::new(1)).unwrap();
        assert_eq!(STATE.replace_if(None, Box::new(2)), Err(Some(one)));
        let three = STATE.replace_if(Some(one), Box::new(3)).unwrap();
        assert_eq!(STATE.get(), Some(three));
        assert_eq!((*one, *three), (1, 3));
    }

    #[cfg(all(unix, not(miri)))]
    #[test]
    fn own_path_is_the_file_this_test_runs_from() {
        let found = own_path().unwrap().canonicalize().unwrap();
        assert_eq!(found, std::env::current_exe().unwrap().canonicalize().unwrap());
        assert!(is_in_program());
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn a_test_run_has_no_borrowed_privileges() {
        use std::os::unix::fs::MetadataExt;
        assert!(!is_secure());
        assert_eq!(effective_user(), std::fs::metadata("/proc/self").ok().map(|own| own.uid()));
    }
}
