//! Directories and files that are this user's alone. One that is open to others is not used, and not closed either: who
//! made it so may have had a reason, and whoever could write to it may have done so already.

use super::effective_user;
use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Makes the directory `path` for this user alone (0700, as any that are missing above it), or finds it so.
///
/// # Errors
/// The system refuses; [`ErrorKind::PermissionDenied`]: it is there, and open to others or theirs.
pub fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    if is_private(&fs::metadata(path)?) {
        return Ok(());
    }
    let why = "it is open to other users, or theirs, and is not used; if it is yours: chmod 700";
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

/// Whether what this describes belongs to the effective user, and nobody else may read, write or enter it.
pub fn is_private(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some(metadata.uid()) == effective_user() && metadata.mode() & 0o077 == 0
    }
    #[cfg(not(unix))]
    {
        let _ = (metadata, effective_user());
        true
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_made_private_with_those_above_it() {
        let place = tempfile::tempdir().unwrap();
        make_private(&place.path().join("a/b")).unwrap();
        for made in ["a", "a/b"] {
            assert_eq!(fs::metadata(place.path().join(made)).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_directory_open_to_others_is_refused_and_left_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        let open = place.path().join("open");
        fs::create_dir(&open).unwrap();
        for mode in [0o755, 0o701, 0o770] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(make_private(&open).unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert_eq!(fs::metadata(&open).unwrap().permissions().mode() & 0o777, mode);
        }
    }
}
