//! Where the processes of one user meet, and what one of them remembers where there is no such place.

use super::Error;
use super::record::Mark;
use super::refused::Refused;
use super::sheet::{self, Remembered};
use crate::key::Key;
use crate::sys;
use crate::transport::Stay;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the processes of one user meet, and what this one remembers.
#[derive(Debug, Default)]
pub struct Meeting {
    /// Candidates: one that cannot be made, or is open to others, is no place.
    pub(super) directories: Vec<PathBuf>,
    pub(super) boot: String,
    pub(super) memory: Arc<Memory>,
    /// Directories of which it was said that they are no place.
    told: Mutex<Vec<PathBuf>>,
}

/// What a process remembers of logins, also beyond C_Finalize. A forked child has none of its parent's, whose locks it might
/// find held.
#[derive(Debug, Default)]
pub struct Memory {
    /// Records, where there is no place at all: by card, reader and key.
    pub(super) remembered: Mutex<HashMap<Placed, Arc<Mutex<Remembered>>>>,
    pub(super) refused: Mutex<HashMap<Secret, RefusedHere>>,
}

/// A card's fingerprint, its reader, and the key.
type Placed = (String, String, Key);

/// What was refused to this process, and the secret's last change by then: after another one it may be right.
#[derive(Debug, Default)]
pub(super) struct RefusedHere {
    pub(super) refused: Refused,
    pub(super) changes: Option<Vec<u64>>,
}

/// One secret: a card's fingerprint, and the key.
type Secret = (String, Key);

impl Meeting {
    /// In these directories, each of which may be missing.
    pub fn new(directories: &[PathBuf], memory: &Arc<Memory>) -> Meeting {
        Meeting { directories: directories.to_vec(), boot: boot(), memory: Arc::clone(memory), told: Mutex::default() }
    }

    pub(super) fn is_of(&self, mark: &Mark, stay: &Stay) -> bool {
        mark.boot == self.boot && mark.stay == *stay
    }

    /// The directories that are there and ours, each once, in the order in which all processes lock them.
    pub(super) fn places(&self) -> Result<Vec<PathBuf>, Error> {
        let mut places = Vec::new();
        for directory in &self.directories {
            match sys::make_private(directory).and_then(|()| directory.canonicalize()) {
                Ok(place) => places.push(place),
                Err(error) if is_no_place(&error) => self.tell(directory, &error),
                Err(error) => return Err(sheet::error(&error)),
            }
        }
        places.sort();
        places.dedup();
        Ok(places)
    }

    /// Says once that a directory is no place.
    fn tell(&self, directory: &Path, error: &io::Error) {
        let mut told = self.told.lock();
        if !told.iter().any(|known| known == directory) {
            log::warn!("logins are not seen by other processes in {}: {error}", directory.display());
            told.push(directory.to_owned());
        }
    }

    pub(super) fn remembered(&self, card: &str, reader: &str, key: Key) -> Arc<Mutex<Remembered>> {
        Arc::clone(self.memory.remembered.lock().entry((card.to_owned(), reader.to_owned(), key)).or_default())
    }
}

/// What a directory's error says: that no process of this user will meet another there, or that this one cannot just now.
fn is_no_place(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), NotFound | NotADirectory | AlreadyExists | PermissionDenied | ReadOnlyFilesystem)
}

/// The machine's run; empty where it has no name, and then a card's stay in its reader decides alone.
fn boot() -> String {
    let read = if cfg!(target_os = "linux") {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
    } else {
        Ok(String::new())
    };
    read.map(|id| id.trim().to_owned()).unwrap_or_default()
}
