//! The log: a file private to the user, and never stdout or stderr, which belong to the program that loaded the module.

use crate::text::sanitise;
use der::DateTime;
use log::{LevelFilter, Log, Metadata, Record};
use once_cell::race::OnceBox;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// Where the lines of this process go. Of two threads that start it at once one has opened the file in vain; with a lock
/// around it, a child that was forked in that moment would wait for ever.
static LOG: OnceBox<LogFile> = OnceBox::new();

/// A log file.
///
/// No lock and no buffer: a line is one `write` to a file opened for appending, so that threads, processes and the child
/// of a fork cannot mix their lines or wait for each other.
///
/// A program that becomes a daemon closes every descriptor it does not know, and the number is the next file's that it opens.
/// So before each line the descriptor is compared with what was opened. What another thread closes between the two is beyond
/// all comparing.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    path: PathBuf,
    user: u32,
    /// The same file, opened again when the descriptor had been closed.
    next: OnceBox<LogFile>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened; a symbolic link is one reason.
    #[error("the log file cannot be opened: {0}")]
    Open(#[from] io::Error),
    /// Something else lies in its place: a device, a pipe, a file of another user, a second name of a file.
    #[error("the log file is not a plain file of this user's own")]
    NotOurs,
}

/// Sends the log of this process to `path`, which `user`, the effective user, must own if it exists. A process has one
/// log: later calls change the level only.
///
/// # Errors
/// [`Error`]; the process then goes on without a log.
pub fn start(path: &Path, user: u32, level: LevelFilter) -> Result<(), Error> {
    let log = LOG.get_or_try_init(|| LogFile::open(path, user).map(Box::new))?;
    // The `log` crate takes one logger per process, and whoever comes while one is being set waits: a child of that moment
    // would for ever. Such a child has no log.
    static SET: AtomicBool = AtomicBool::new(false);
    if SET.compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        // Fails only if the program, which has this code linked in, has set one of its own.
        let _ = log::set_logger(log);
    }
    log::set_max_level(level);
    Ok(())
}

impl Log for LogFile {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        if let Some(file) = self.current() {
            file.say(record);
        }
    }

    fn flush(&self) {}
}

impl LogFile {
    /// Opens `path` for appending, or makes it, readable by the user alone.
    ///
    /// # Errors
    /// [`Error::Open`]; [`Error::NotOurs`] where an existing file is not a regular one, belongs to another user than
    /// `user` or has more than one name. A process with rights could otherwise be made to write into a file of
    /// somebody's choice.
    pub fn open(path: &Path, user: u32) -> Result<LogFile, Error> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != user || metadata.nlink() != 1 {
            return Err(Error::NotOurs);
        }
        if metadata.mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        let identity = (metadata.dev(), metadata.ino());
        // A daemon goes to another directory, too.
        let path = fs::canonicalize(path)?;
        Ok(LogFile { file, identity, path, user, next: OnceBox::new() })
    }

    /// The file to write to, opened again where its descriptor has been closed. The old one stays: to close it would be to
    /// close whatever file has its number now.
    fn current(&self) -> Option<&LogFile> {
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        if last.is_still_open() {
            return Some(last);
        }
        // Another thread may be faster.
        last.next.get_or_try_init(|| LogFile::open(&last.path, last.user).map(Box::new)).ok()
    }

    /// Whether the descriptor is that of the file that was opened.
    fn is_still_open(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity)
    }

    /// Writes a line.
    fn say(&self, record: &Record) {
        let message = record.args().to_string();
        let line = format!("{} {} {:5} {}\n", now(), std::process::id(), record.level(), sanitise(&message));
        // A full disk must not disturb a signature, and there is nowhere to say so.
        let _ = (&self.file).write(line.as_bytes());
    }
}

/// The time in UTC, RFC 3339 with milliseconds.
fn now() -> String {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match DateTime::from_unix_duration(since_epoch) {
        Ok(time) => {
            let seconds = time.to_string();
            format!("{}.{:03}Z", seconds.trim_end_matches('Z'), since_epoch.subsec_millis())
        }
        Err(_) => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn user() -> u32 {
        fs::metadata("/proc/self").unwrap().uid()
    }

    fn say(log: &LogFile, message: &str) {
        log.say(&Record::builder().level(log::Level::Warn).args(format_args!("{message}")).build());
    }

    #[test]
    fn a_line_has_time_process_level_and_message() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = LogFile::open(&path, user()).unwrap();
        say(&log, "first");
        say(&log, "second");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        let fields: Vec<_> = lines[0].split_whitespace().collect();
        assert_eq!(fields[0].len(), "2026-01-02T03:04:05.678Z".len(), "{text}");
        assert_eq!(fields[1..], [&std::process::id().to_string(), "WARN", "first"]);
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        say(&LogFile::open(&path, user()).unwrap(), "label\n2026 forged\x1b[2J");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn the_file_is_private_even_if_it_was_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "before\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        say(&LogFile::open(&path, user()).unwrap(), "after");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().starts_with("before\n"));
    }

    #[test]
    fn links_other_owners_and_other_kinds_of_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let link = directory.path().join("link");
        symlink(&file, &link).unwrap();
        assert!(matches!(LogFile::open(&link, user()), Err(Error::Open(_))));
        assert!(matches!(LogFile::open(&file, user() + 1), Err(Error::NotOurs)));
        fs::hard_link(&file, directory.path().join("second name")).unwrap();
        assert!(matches!(LogFile::open(&file, user()), Err(Error::NotOurs)));
        assert!(LogFile::open(directory.path(), user()).is_err());
        assert!(matches!(LogFile::open(Path::new("/dev/null"), user()), Err(Error::NotOurs)));
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
    }
}
