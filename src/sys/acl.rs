//! Rights that a file's mode does not tell.

use std::fs::File;

/// Whether an access control list gives rights to `file` to users and groups by name. Then its mode shows the most that any
/// of them has in the place of what its group has. Where the system cannot tell: `true`, for there may be one.
pub fn has_acl(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let name = c"system.posix_acl_access";
        // SAFETY: the descriptor is open as long as `file` lives, the name is a C string, and of a value of length zero only
        // the length is asked for: nothing is written.
        let length = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), std::ptr::null_mut(), 0) };
        let none = || matches!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENODATA | libc::ENOTSUP));
        length >= 0 || !none()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        true
    }
}
