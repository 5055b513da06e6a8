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

/// Also what other tests need to make such a list.
#[cfg(all(test, target_os = "linux", not(miri)))]
pub mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    /// Lets the user of this number read and write `file`, its mode then 0664; whether the file system has such lists.
    pub fn give(file: &File, user: u32) -> bool {
        // Owner, a user by number, the group, the most of these two, and everybody (acl(5)): tag, rights, number.
        let entries: [(u16, u16, u32); 5] =
            [(0x01, 6, u32::MAX), (0x02, 6, user), (0x04, 4, u32::MAX), (0x10, 6, u32::MAX), (0x20, 4, u32::MAX)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, number) in entries {
            list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            list.extend(number.to_le_bytes());
        }
        let name = c"system.posix_acl_access";
        // SAFETY: the descriptor is open, the name is a C string, and the list is readable for its length.
        let set = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), list.as_ptr().cast(), list.len(), 0) };
        let refusal = std::io::Error::last_os_error();
        assert!(set == 0 || refusal.raw_os_error() == Some(libc::ENOTSUP), "{refusal}");
        set == 0
    }

    #[test]
    fn a_file_with_rights_for_users_by_name_is_told_from_one_without() {
        let file = tempfile::tempfile().unwrap();
        assert!(!has_acl(&file));
        // Where the file system has no such lists, a file has none.
        let given = give(&file, 4242);
        assert_eq!(has_acl(&file), given);
    }
}
