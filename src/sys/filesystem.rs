//! What kind of file system a directory lies on.

use std::path::Path;

/// What is known of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// In memory: it ends with the machine's run (tmpfs, ramfs).
    Memory,
    /// On this machine's disks, or nothing is known that speaks against it.
    Local,
    /// On another machine, which may not keep the locks of this one.
    Network,
}

/// The kind of file system that `path` lies on.
///
/// # Errors
/// The system's.
pub fn filesystem(path: &Path) -> std::io::Result<Filesystem> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;

        let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
        let mut found = std::mem::MaybeUninit::<libc::statfs>::zeroed();
        // SAFETY: `name` is a C string and `found` is writable and large enough.
        if unsafe { libc::statfs(name.as_ptr(), found.as_mut_ptr()) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: `statfs` has only numbers, so all zeroes is a value, and the call has filled it in.
        let kind = unsafe { found.assume_init() }.f_type;
        // The field's type differs between machines; the magic numbers have 32 bits.
        Ok(of_magic(kind as u32))
    }
    #[cfg(not(target_os = "linux"))]
    {
        std::fs::metadata(path)?;
        Ok(Filesystem::Local)
    }
}

/// By the number that the kernel gives the kind (linux/magic.h, and the file systems' own sources).
#[cfg(target_os = "linux")]
fn of_magic(kind: u32) -> Filesystem {
    match kind {
        // tmpfs, ramfs
        0x0102_1994 | 0x8584_58F6 => Filesystem::Memory,
        // NFS, SMB, CIFS, SMB2, AFS (two), Coda, NCP, 9P, Ceph, Lustre, GFS2, OCFS2, FUSE (sshfs among them)
        0x6969 | 0x517B | 0xFF53_4D42 | 0xFE53_4D42 | 0x5346_414F | 0x6B41_4653 | 0x7375_7245 | 0x564C
        | 0x0102_1997 | 0x00C3_6400 | 0x0BD0_0BD0 | 0x0116_1970 | 0x7461_636F | 0x6573_5546 => Filesystem::Network,
        _ => Filesystem::Local,
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_disks_and_networks() {
        assert_eq!(filesystem(Path::new("/dev/shm")).unwrap(), Filesystem::Memory);
        assert_eq!(filesystem(Path::new("/proc")).unwrap(), Filesystem::Local);
        assert!(filesystem(Path::new("/nonexistent")).is_err());
        for network in [libc::NFS_SUPER_MAGIC, libc::SMB_SUPER_MAGIC, libc::CODA_SUPER_MAGIC, libc::AFS_SUPER_MAGIC] {
            assert_eq!(of_magic(network as u32), Filesystem::Network);
        }
    }
}
