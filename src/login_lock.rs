//! Who is logged in to a card, among all processes of one user: a file a card in the runtime directory, on which each
//! process with a login holds a shared lock. Whoever can have it exclusively was the last, and logs the card out; until
//! then the card's verified state belongs to somebody.
//!
//! The file is empty and never removed: two processes must meet on one inode. Locks end with their process, however it
//! ends.

use crate::sys;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A login on a card, seen by other processes of this user as long as it lives.
#[derive(Debug)]
pub(crate) struct LoginLock(Locked);

/// The card to ourselves among processes of this user: nobody else is logged in, and nobody can begin to while this lives.
#[derive(Debug)]
pub(crate) struct LastLogin {
    _file: Locked,
}

/// A locked file. Closing it is not enough to unlock it: a child that was forked meanwhile has it open, lock and all.
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            log::warn!("a login that is over may still be seen by other processes: {error}");
        }
    }
}

impl LoginLock {
    /// Announces a login, before its VERIFY is sent, so that nobody who ends another one logs this one out. Waits for an
    /// exclusive holder: it holds the lock for one SELECT.
    ///
    /// # Errors
    /// The directory cannot be made or used; the login then counts for nobody.
    pub(crate) fn announce(runtime_dir: &Path, card: &str) -> io::Result<LoginLock> {
        sys::make_private(runtime_dir)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            // Not to be held up by a pipe in the place of the file.
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
        }
        let file = options.open(runtime_dir.join(format!("{card}.login")))?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        file.lock_shared()?;
        Ok(LoginLock(Locked(file)))
    }

    /// Ends the login. `Some` if it was the last one on this card: the caller logs the card out, then drops it.
    ///
    /// # Errors
    /// The lock cannot be asked for; somebody else may be logged in.
    pub(crate) fn end(self) -> io::Result<Option<LastLogin>> {
        // Given up first: two that both tried to turn a shared lock into an exclusive one would both fail, and nobody
        // would log the card out.
        let LoginLock(file) = self;
        file.0.unlock()?;
        match file.0.try_lock() {
            Ok(()) => Ok(Some(LastLogin { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("jpki-login-lock-{name}-{}", std::process::id()))
    }

    #[test]
    fn only_the_last_login_on_a_card_logs_it_out() {
        let runtime = directory("last");
        let first = LoginLock::announce(&runtime, "card").unwrap();
        let second = LoginLock::announce(&runtime, "card").unwrap();
        let other = LoginLock::announce(&runtime, "other").unwrap();
        assert!(first.end().unwrap().is_none(), "the second login is still there");
        assert!(second.end().unwrap().is_some());
        assert!(other.end().unwrap().is_some(), "another card's logins do not count");
        std::fs::remove_dir_all(runtime).unwrap();
    }

    #[test]
    fn nobody_logs_in_while_the_last_one_logs_the_card_out() {
        let runtime = directory("exclusive");
        let last = LoginLock::announce(&runtime, "card").unwrap().end().unwrap().unwrap();
        let path = runtime.clone();
        let next = std::thread::spawn(move || LoginLock::announce(&path, "card").map(drop));
        assert!(!next.is_finished());
        drop(last);
        next.join().unwrap().unwrap();
        std::fs::remove_dir_all(runtime).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_login_that_is_over_does_not_live_on_in_a_forked_child() {
        let runtime = directory("forked");
        let first = LoginLock::announce(&runtime, "card").unwrap();
        // What a child has of it: the same open file.
        let child = first.0.0.try_clone().unwrap();
        drop(first);
        let second = LoginLock::announce(&runtime, "card").unwrap();
        let last = second.end().unwrap().expect("no other is left");
        drop(last);
        LoginLock::announce(&runtime, "card").unwrap();
        drop(child);
        std::fs::remove_dir_all(runtime).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let runtime = directory("private");
        let _lock = LoginLock::announce(&runtime, "card").unwrap();
        let mode = std::fs::metadata(runtime.join("card.login")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(runtime).unwrap();
    }
}
