//! Where a configuration file lies, and whether it may be used: whose it is, and who else may have written it. One that
//! somebody meant and that cannot be used is told from one that is nobody's concern here.

use crate::sys;
use crate::text::sanitise;
use std::fmt::Display;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// No configuration is longer than this, in bytes.
pub(super) const LONGEST: u64 = 64 * 1024;

/// Who says that a file is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The system's; it need not exist.
    System,
    /// Below the user's home, perhaps another's, whose variables were kept; it need not exist.
    User,
    /// Named by `JPKI_PKCS11_CONF`: whoever did so meant it.
    Named,
}

/// One configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) path: PathBuf,
}

/// Why a file is not used; a sentence, with what to do where there is something to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is somebody else's, and it is as if it were not there.
    PassedOver(String),
    /// Somebody meant it. What it was to allow and to forbid is unknown.
    Unusable(String),
}

impl Source {
    /// The bytes of the file for the effective user `user`, [`LONGEST`] and one at most; `None` where there is none and
    /// nobody meant one.
    pub(super) fn read(&self, user: u32) -> Result<Option<Vec<u8>>, Refused> {
        if !self.path.is_absolute() {
            return Err(self.unusable("this is not a whole path; begin it with /, or unset the variable"));
        }
        // Not to be held up by a pipe that lies in the place of the file.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&self.path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return self.absent().map(|()| None);
            }
            Err(error) => return Err(self.closed(&error, user)),
        };
        // Of the file that was opened, not of the path, which may name another one by now.
        let metadata = file.metadata().map_err(|error| self.unread(&error))?;
        self.check(&file, &metadata, user)?;
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| self.unread(&error))?;
        Ok(Some(bytes))
    }

    /// That the file is not used, because of `why`.
    pub(super) fn unusable(&self, why: impl Display) -> Refused {
        Refused::Unusable(self.sentence(why))
    }

    /// What a missing file means: nothing, unless it was named, or a link or something in the place of its directory shows
    /// that there was to be one.
    fn absent(&self) -> Result<(), Refused> {
        if self.place == Place::Named {
            return Err(self.unusable("there is no such file; name one that is there, or unset the variable"));
        }
        if is_there(&self.path) {
            return Err(self.unusable("it is a link to nothing; remove it, or put the file where it points"));
        }
        if self.path.parent().is_some_and(|directory| is_there(directory) && !directory.is_dir()) {
            return Err(self.unusable("what it should lie in is not a directory; make it one, or remove it"));
        }
        Ok(())
    }

    /// What a file means that cannot be opened. Whose it is, the nearest thing on the way to it that can be seen says.
    fn closed(&self, error: &Error, user: u32) -> Refused {
        // The file, its directory, the base directory and the home.
        let nearest = self.path.ancestors().take(4).find_map(|path| fs::metadata(path).ok());
        let is_ours = nearest.is_some_and(|metadata| metadata.uid() == user);
        if error.kind() != ErrorKind::PermissionDenied || self.place == Place::Named || is_ours {
            return self.unread(error);
        }
        Refused::PassedOver(
            self.sentence(format_args!("passed over, since it is not yours and cannot be read: {error}")),
        )
    }

    fn unread(&self, error: &Error) -> Refused {
        self.unusable(format_args!("it cannot be read ({error}); make it readable for you, or remove it"))
    }

    fn check(&self, file: &File, metadata: &Metadata, user: u32) -> Result<(), Refused> {
        if metadata.uid() != 0 && metadata.uid() != user {
            return Err(self.of_another_user(user));
        }
        if !metadata.is_file() {
            return Err(self.unusable("it is not a regular file; put one in its place"));
        }
        if others_may_write(file, metadata) {
            return Err(self.unusable("others may write to it; run chmod go-w on it"));
        }
        Ok(())
    }

    fn of_another_user(&self, user: u32) -> Refused {
        // As in a `sudo` that keeps the variables: then the directory is the other's, too.
        let in_our_directory =
            self.path.parent().and_then(|directory| fs::metadata(directory).ok()).is_some_and(|it| it.uid() == user);
        if self.place == Place::User && !in_our_directory {
            return Refused::PassedOver(self.sentence("passed over, since it belongs to another user"));
        }
        self.unusable("it belongs to another user; use a copy of your own, or run chown on it")
    }

    fn sentence(&self, why: impl Display) -> String {
        let variable = if self.place == Place::Named { "JPKI_PKCS11_CONF=" } else { "" };
        format!("{variable}{}: {why}", sanitise(&self.path.display().to_string()))
    }
}

/// Whether anybody but the owner, and root, may write. The owner's own group (the same number, as where every user has one
/// and new files are made with umask 002) is the owner.
fn others_may_write(file: &File, metadata: &Metadata) -> bool {
    let by_group = metadata.mode() & 0o020 != 0 && (metadata.gid() != metadata.uid() || sys::has_acl(file));
    metadata.mode() & 0o002 != 0 || by_group
}

/// Also where it is a link to nothing.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
