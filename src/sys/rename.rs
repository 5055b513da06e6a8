//! Giving a file a name that nothing has yet.

use std::io;
use std::path::Path;

/// Renames `from` to `to` if there is nothing of that name. No third name is needed meanwhile, and no hard link, which some
/// file systems have not.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`]; [`io::ErrorKind::Unsupported`]: the system or the file system cannot do this; others of the
/// system's.
pub fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        use std::ffi::CString;
        use std::os::unix::ffi::OsStrExt;

        let [from, to] = [from, to].map(|path| CString::new(path.as_os_str().as_bytes()));
        let (from, to) = (from?, to?);
        let here = libc::AT_FDCWD;
        // SAFETY: both are C strings, which the call reads.
        if unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), libc::RENAME_NOREPLACE) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
            _ => Err(error),
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }
}
