//! One secret's record in one place, open: locked by who is logged in, read by who looks.

use super::Error;
use super::record::{CHANGE_AT, LEN, MAGIC, MARK_AT, Mark, Record};
use crate::sys;
use parking_lot::Mutex;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a sheet is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// By one of those who are logged in.
    Shared,
    /// By the only one, who ends the card's login.
    Alone,
}

/// An open record.
pub(super) trait Sheet: Send + Sync + std::fmt::Debug {
    /// Tries to lock it; whether it is locked now. Once for each sheet.
    ///
    /// # Errors
    /// The system's.
    fn try_lock(&mut self, lock: Lock) -> io::Result<bool>;

    /// Whether others who look find this record, and not another one under its name.
    fn is_found(&self) -> bool;

    /// Sets or takes out the mark.
    ///
    /// # Errors
    /// The system's.
    fn mark(&self, mark: Option<&Mark>) -> io::Result<()>;

    /// Sets the number of the last change.
    ///
    /// # Errors
    /// The system's.
    fn set_change(&self, change: u64) -> io::Result<()>;
}

/// A record in a file. The file is never removed: two processes must meet on one inode. Locks end with their process,
/// however it ends.
#[derive(Debug)]
pub(super) struct FileSheet {
    // Before the file, since fields are dropped in this order: its number may be another file's at once.
    #[cfg(unix)]
    _closed_in_children: sys::ClosedInChildren,
    file: File,
    path: PathBuf,
    locked: bool,
}

impl FileSheet {
    /// Opens the record `path`, and makes it where it is missing.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`]: something else lies there.
    pub(super) fn open(path: &Path) -> io::Result<FileSheet> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        {
            // The sticky bit keeps cleaners of runtime directories off (XDG Base Directory Specification).
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o1600);
            // Not to be held up by a pipe in the place of the file.
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
        }
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(FileSheet {
            #[cfg(unix)]
            _closed_in_children: sys::ClosedInChildren::new(&file)?,
            file,
            path: path.to_owned(),
            locked: false,
        })
    }

    /// The same open file once more, as a forked child has it.
    #[cfg(test)]
    pub(super) fn duplicate(&self) -> File {
        self.file.try_clone().expect("there are descriptors")
    }

    /// What the file `path` says, without a lock; `None` where there is none.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn glance(path: &Path) -> io::Result<Option<Record>> {
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match options.open(path) {
            Ok(file) if file.metadata()?.is_file() => read(&file).map(Some),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the file begin as a record does. What two processes write here is the same; only where something else was
    /// in it, it is emptied.
    fn begin(&self) -> io::Result<()> {
        let mut bytes = [0; LEN];
        read_at(&self.file, &mut bytes)?;
        match bytes.first_chunk() {
            Some(&MAGIC) => Ok(()),
            Some([0, ..]) => write_at(&self.file, &MAGIC, 0),
            _ => {
                let mut empty = [0; LEN];
                empty[..MAGIC.len()].copy_from_slice(&MAGIC);
                write_at(&self.file, &empty, 0)
            }
        }
    }
}

impl Sheet for FileSheet {
    fn try_lock(&mut self, lock: Lock) -> io::Result<bool> {
        let locked = match lock {
            Lock::Shared => self.file.try_lock_shared(),
            Lock::Alone => self.file.try_lock(),
        };
        match locked {
            Ok(()) => {
                self.locked = true;
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_found(&self) -> bool {
        let found = fs::symlink_metadata(&self.path).and_then(|named| Ok(is_same(&named, &self.file.metadata()?)));
        found.unwrap_or(false)
    }

    fn mark(&self, mark: Option<&Mark>) -> io::Result<()> {
        self.begin()?;
        write_at(&self.file, &Mark::encode(mark), MARK_AT)
    }

    fn set_change(&self, change: u64) -> io::Result<()> {
        self.begin()?;
        write_at(&self.file, &change.to_le_bytes(), CHANGE_AT)
    }
}

impl Drop for FileSheet {
    fn drop(&mut self) {
        // Closing it is not enough: a child that was forked without its handlers has it open, lock and all.
        if self.locked
            && let Err(error) = self.file.unlock()
        {
            log::warn!("a login that is over may still be seen by other processes: {error}");
        }
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        // Where an open file cannot be removed, the name is the file's.
        let _ = (one, other);
        true
    }
}

fn read(file: &File) -> io::Result<Record> {
    let mut bytes = [0; LEN];
    read_at(file, &mut bytes)?;
    Ok(Record::parse(&bytes).unwrap_or_default())
}

/// From the beginning, up to the file's end.
fn read_at(file: &File, bytes: &mut [u8]) -> io::Result<()> {
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, rest, len as u64);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, rest, len as u64);
        match read {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(windows)]
    {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            written += std::os::windows::fs::FileExt::seek_write(file, rest, at + written as u64)?;
        }
        Ok(())
    }
}

/// A record in this process's memory, where its user has no place to meet other processes.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    shared: usize,
    alone: bool,
    pub(super) record: Record,
}

/// One user of a [`Remembered`] record.
#[derive(Debug)]
pub(super) struct MemorySheet {
    remembered: Arc<Mutex<Remembered>>,
    lock: Option<Lock>,
}

impl MemorySheet {
    pub(super) fn new(remembered: Arc<Mutex<Remembered>>) -> MemorySheet {
        MemorySheet { remembered, lock: None }
    }
}

impl Sheet for MemorySheet {
    fn try_lock(&mut self, lock: Lock) -> io::Result<bool> {
        let mut remembered = self.remembered.lock();
        let free = !remembered.alone && (lock == Lock::Shared || remembered.shared == 0);
        if free {
            match lock {
                Lock::Shared => remembered.shared += 1,
                Lock::Alone => remembered.alone = true,
            }
            self.lock = Some(lock);
        }
        Ok(free)
    }

    fn is_found(&self) -> bool {
        true
    }

    fn mark(&self, mark: Option<&Mark>) -> io::Result<()> {
        self.remembered.lock().record.mark = mark.cloned();
        Ok(())
    }

    fn set_change(&self, change: u64) -> io::Result<()> {
        self.remembered.lock().record.change = change;
        Ok(())
    }
}

impl Drop for MemorySheet {
    fn drop(&mut self) {
        let mut remembered = self.remembered.lock();
        match self.lock {
            Some(Lock::Shared) => remembered.shared -= 1,
            Some(Lock::Alone) => remembered.alone = false,
            None => {}
        }
    }
}

/// What the system said, as what a caller is told.
pub(super) fn error(error: &io::Error) -> Error {
    #[cfg(unix)]
    let scarce = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOLCK));
    #[cfg(not(unix))]
    let scarce = false;
    if scarce || error.kind() == io::ErrorKind::OutOfMemory {
        Error::Scarce(error.to_string())
    } else {
        Error::Place(error.to_string())
    }
}
