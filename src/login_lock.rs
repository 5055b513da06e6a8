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

/// The card to ourselves among processes of this user: nobody else is known to be logged in, and nobody can announce a
/// login while this lives.
#[derive(Debug)]
pub(crate) struct LastLogin {
    _file: Option<Locked>,
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

/// Announces a login, before its VERIFY is sent, so that nobody who ends another one logs this one out. `None` where that
/// cannot be done: the login then counts for nobody.
pub(crate) fn announce(runtime_dir: Option<&Path>, card: &str) -> Option<LoginLock> {
    let announced = LoginLock::announce(runtime_dir?, card);
    announced.inspect_err(|error| log::warn!("other processes cannot see this login: {error}")).ok()
}

/// Ends the login that `lock` announced. `Some` unless another process is logged in to the card: the caller logs it out,
/// then drops that. A login that others could not see, or that cannot ask for them, is taken for the last one, since a
/// login that is lost costs less than one that stays.
pub(crate) fn end(lock: Option<LoginLock>) -> Option<LastLogin> {
    match lock.map(LoginLock::end) {
        Some(Ok(Some(file))) => Some(LastLogin { _file: Some(file) }),
        Some(Ok(None)) => None,
        Some(Err(error)) => {
            log::warn!("cannot tell whether another process is logged in: {error}");
            Some(LastLogin { _file: None })
        }
        None => Some(LastLogin { _file: None }),
    }
}

impl LoginLock {
    /// Waits for an exclusive holder: it holds the lock for one SELECT.
    fn announce(runtime_dir: &Path, card: &str) -> io::Result<LoginLock> {
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

    /// The file, locked for this process alone, if no other is logged in.
    fn end(self) -> io::Result<Option<Locked>> {
        // Given up first: two that both tried to turn a shared lock into an exclusive one would both fail, and nobody
        // would log the card out.
        let LoginLock(file) = self;
        file.0.unlock()?;
        match file.0.try_lock() {
            Ok(()) => Ok(Some(file)),
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
        let first = announce(Some(&runtime), "card");
        let second = announce(Some(&runtime), "card");
        let other = announce(Some(&runtime), "other");
        assert!(first.is_some() && second.is_some() && other.is_some());
        assert!(end(first).is_none(), "the second login is still there");
        assert!(end(second).is_some());
        assert!(end(other).is_some(), "another card's logins do not count");
        std::fs::remove_dir_all(runtime).unwrap();
    }

    #[test]
    fn a_login_that_others_cannot_see_is_the_last_one() {
        assert!(announce(Some(Path::new("/dev/null/no directory")), "card").is_none());
        assert!(end(announce(None, "card")).is_some());
    }

    #[test]
    fn nobody_logs_in_while_the_last_one_logs_the_card_out() {
        let runtime = directory("exclusive");
        let last = end(announce(Some(&runtime), "card")).unwrap();
        let path = runtime.clone();
        let next = std::thread::spawn(move || announce(Some(&path), "card").map(drop));
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
        let _lock = announce(Some(&runtime), "card").unwrap();
        let mode = std::fs::metadata(runtime.join("card.login")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(runtime).unwrap();
    }
}
