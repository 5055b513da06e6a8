//! Who is logged in to a card, among all processes of one user, and what remains to be done where nobody is any more.
//!
//! Each secret of each card has a record, in every place where this user's processes meet: a file a place. A process with
//! a login holds a *shared lock* on it; whoever can have it *alone* was the last, and logs the card out. Until then the
//! card's verified state belongs to somebody. Locks end with their process, however it ends.
//!
//! A login also leaves a *mark* in the record, which goes when the card is logged out. A mark without a lock is a login that
//! nobody ends: its process was killed, or the card could not be reached. Whoever next has the card pays.
//!
//! *The strong login never yields to the weak one.* To make the card forget one secret is to make it forget both. A
//! signature login that ends is ended on the card unless another signature login lives; authentication logins lose the
//! card's state by that and regain it at their next signature. An authentication login that ends leaves the card only where
//! no login of either key lives: its key closes with the signature's.
//!
//! Locks are taken in the order of [`Key::ALL`], and of the places' paths.

mod meeting;
mod record;
mod refused;
mod sheet;

pub use meeting::{Meeting, Memory};

use crate::key::Key;
use crate::transport::Stay;
use parking_lot::Mutex;
use record::Mark;
use refused::Refused;
use sheet::{FileSheet, Lock, MemorySheet, Sheet};
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a lock that somebody has alone: for as long as one SELECT takes.
const POLL: Duration = Duration::from_millis(3);
/// So often a record is opened again whose file a cleaner has taken away meanwhile.
const TRIES: usize = 3;

/// Why a login could not be announced. Nothing was sent to the card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another process has the record alone, longer than a call may wait.
    #[error("another process that ends its login has not come to an end; it may be stopped")]
    Held,
    /// The wait was given up.
    #[error("given up")]
    GivenUp,
    /// There are no descriptors or no memory left.
    #[error("no login can be announced to other processes: {0}")]
    Scarce(String),
    /// A place that is there cannot be used.
    #[error("no login can be announced to other processes: {0}")]
    Place(String),
}

/// How long to wait for a record.
pub struct Wait<'a> {
    /// No longer than this.
    pub longest: Duration,
    /// Nor when this has come true.
    pub given_up: &'a dyn Fn() -> bool,
}

impl Wait<'_> {
    /// Not at all.
    pub const NONE: Wait<'static> = Wait { longest: Duration::ZERO, given_up: &|| false };
}

/// What the name of a key's record ends in. That of authentication has had it since the first version, which it thus meets.
fn ending(key: Key) -> &'static str {
    match key {
        Key::Authentication => "login",
        Key::Signature => "sign",
    }
}

/// The logins of one card, for as long as it lies in its reader.
#[derive(Debug, Clone)]
pub struct Logins {
    meeting: Arc<Meeting>,
    card: String,
    stay: Stay,
}

/// A login on a card, seen by other processes of this user until it is over.
#[derive(Debug)]
pub struct Login {
    key: Key,
    sheets: Mutex<Vec<Box<dyn Sheet>>>,
}

/// The card to ourselves among processes of this user: nobody else is known to be logged in, and nobody can announce a login
/// while this lives. Dropped without [`Last::left`], the card's login is owed by all.
#[derive(Debug)]
#[must_use = "the card is to be logged out while this lives"]
pub struct Last {
    sheets: Vec<Box<dyn Sheet>>,
}

/// A change of a secret that other processes can be told of. It has a random number: a record that a cleaner took away
/// begins anew, and must not come back to where it was.
#[derive(Debug)]
pub struct Change {
    number: u64,
    sheets: Vec<Box<dyn Sheet>>,
}

impl Logins {
    /// Those of the card with this fingerprint.
    pub fn new(meeting: &Arc<Meeting>, card: String, stay: Stay) -> Logins {
        Logins { meeting: Arc::clone(meeting), card, stay }
    }

    /// Announces a login, before its VERIFY is sent, so that nobody who ends another one logs this one out, and that it is
    /// ended if this process cannot.
    ///
    /// # Errors
    /// [`Error`]. Where this user has no place to meet other processes, that is none: the login counts in this process.
    pub fn announce(&self, key: Key, wait: &Wait<'_>) -> Result<Login, Error> {
        let deadline = Instant::now() + wait.longest;
        let mut sheets = Vec::new();
        for name in self.names(key)? {
            sheets.push(self.shared(&name, deadline, wait)?);
        }
        for sheet in &sheets {
            sheet.mark(Some(&self.mark())).map_err(|error| sheet::error(&error))?;
        }
        Ok(Login { key, sheets: Mutex::new(sheets) })
    }

    /// Makes a login seen again whose file somebody has taken away.
    pub fn renew(&self, login: &Login) {
        let mut sheets = login.sheets.lock();
        // One that has been released meanwhile has none.
        if sheets.iter().all(|sheet| sheet.is_found()) {
            return;
        }
        log::warn!("a file that tells other processes of a login was taken away; it is written again");
        match self.announce(login.key, &Wait::NONE) {
            Ok(again) => *sheets = again.sheets.into_inner(),
            Err(error) => log::warn!("other processes cannot see this login: {error}"),
        }
    }

    /// The card to ourselves, if the login of `key` that has just been released was the last which needs it.
    pub fn last(&self, key: Key) -> Option<Last> {
        let authentication = self.alone(Key::Authentication);
        if key == Key::Authentication && !matches!(authentication, Ok(Some(_))) {
            // Not to stand in the way of somebody who can have both.
            if let Err(error) = authentication {
                log::warn!("cannot tell whether another process is logged in: {error}");
            }
            return None;
        }
        let signature = self.alone(Key::Signature);
        let sheets = match (key, authentication, signature) {
            (Key::Signature, authentication, Ok(Some(mut signature))) => {
                signature.extend(authentication.ok().flatten().unwrap_or_default());
                signature
            }
            (Key::Signature, _, Err(error)) => {
                // A login that is lost costs less than one that stays.
                log::warn!("cannot tell whether another process is logged in with the signature key: {error}");
                Vec::new()
            }
            (Key::Authentication, Ok(Some(mut authentication)), Ok(Some(signature))) => {
                authentication.extend(signature);
                authentication
            }
            (Key::Authentication, _, Err(error)) => {
                // The mark stays, and whoever can tell ends the login.
                log::warn!("cannot tell whether another process is logged in: {error}");
                return None;
            }
            (_, _, Ok(_)) => return None,
        };
        Some(Last { sheets })
    }

    /// The card to ourselves, if there is a login on it that nobody ends.
    pub fn owed(&self) -> Option<Last> {
        let key = Key::ALL.into_iter().rev().find(|&key| self.is_marked(key))?;
        // Without a lock nobody knows that it is owed.
        self.last(key).filter(|last| !last.sheets.is_empty())
    }

    /// The record of `key` alone, of whose logins the card knows nothing any more. `None` where another process believes
    /// that it has one, which will find out itself.
    pub fn lost(&self, key: Key) -> Option<Last> {
        match self.alone(key) {
            Ok(sheets) => Some(Last { sheets: sheets? }),
            Err(error) => {
                // Whoever can tell ends the login, which is over.
                log::debug!("a login that the card has lost stays marked: {error}");
                None
            }
        }
    }

    /// Whether somebody has logged in with `key` and not logged the card out since, as the records say. No lock is waited
    /// for or taken.
    pub fn is_marked(&self, key: Key) -> bool {
        let marked = |record: record::Record| record.mark.is_some_and(|mark| self.meeting.is_of(&mark, &self.stay));
        let glance = |path: PathBuf| {
            FileSheet::glance(&path).unwrap_or_else(|error| {
                log::debug!("cannot look for logins in {}: {error}", path.display());
                None
            })
        };
        self.paths(key).filter_map(glance).any(marked)
            || self
                .meeting
                .memory
                .remembered
                .lock()
                .get(&(self.card.clone(), self.stay.reader.clone(), key))
                .is_some_and(|remembered| {
                    remembered.lock().record.mark.as_ref().is_some_and(|mark| self.meeting.is_of(mark, &self.stay))
                })
    }

    /// The number of the last change of the secret of `key`, in each place; `None` where that cannot be told. A secret that is
    /// held from before a change is never presented.
    pub fn changes(&self, key: Key) -> Option<Vec<u64>> {
        let places = self.meeting.places().ok()?;
        let count = |place: PathBuf| Some(FileSheet::glance(&self.path(&place, key)).ok()??.change);
        places.into_iter().map(count).collect()
    }

    /// Makes ready to tell of a change of the secret of `key`: nothing that can be missing is missing afterwards. To be done
    /// before the old secret is presented.
    ///
    /// # Errors
    /// [`Error::Scarce`], [`Error::Place`]: the secret must not be changed, for somebody may go on to present the old one.
    pub fn prepare_change(&self, key: Key) -> Result<Change, Error> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|error| Error::Scarce(error.to_string()))?;
        let open = |name: &Name| self.open(name).map_err(|error| sheet::error(&error));
        let sheets = self.names(key)?.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Change { number: u64::from_le_bytes(number), sheets })
    }

    /// Whether the card has refused `secret` for `key` before, as far as this user's processes know.
    pub fn has_refused(&self, key: Key, secret: &[u8]) -> bool {
        let changes = self.changes(key);
        let mut refused = self.meeting.memory.refused.lock();
        if let Entry::Occupied(here) = refused.entry((self.card.clone(), key)) {
            match (&here.get().changes, changes) {
                (Some(then), Some(now)) if *then != now => drop(here.remove()),
                _ if here.get().refused.contains(secret) => return true,
                _ => {}
            }
        }
        drop(refused);
        self.refusals(key).any(|path| Refused::load(&path, &self.meeting.boot).contains(secret))
    }

    /// Remembers that the card has refused `secret`, with so many tries left if it said.
    pub fn remember_refusal(&self, key: Key, secret: &[u8], left: Option<u8>) {
        let changes = self.changes(key);
        let mut refused = self.meeting.memory.refused.lock();
        let here = refused.entry((self.card.clone(), key)).or_default();
        here.refused.add(secret, left);
        here.changes = changes;
        drop(refused);
        for path in self.refusals(key) {
            let mut there = Refused::load(&path, &self.meeting.boot);
            there.add(secret, left);
            if let Err(error) = there.store(&path, &self.meeting.boot) {
                log::warn!("other processes will not know of a secret that was refused: {error}");
            }
        }
    }

    /// Takes note of the counter, which has so many tries of `full`: the secret may have been set anew since the last
    /// refusal.
    pub fn note_tries(&self, key: Key, left: u8, full: u8) {
        let mut refused = self.meeting.memory.refused.lock();
        let here = refused.get(&(self.card.clone(), key)).is_some_and(|here| here.refused.is_over(left, full));
        if here {
            refused.remove(&(self.card.clone(), key));
        }
        drop(refused);
        for path in self.refusals(key) {
            if Refused::load(&path, &self.meeting.boot).is_over(left, full) {
                forget(&path);
            }
        }
    }

    /// Forgets all that was refused: the card has taken the secret, or it was changed.
    pub fn forget_refusals(&self, key: Key) {
        self.meeting.memory.refused.lock().remove(&(self.card.clone(), key));
        self.refusals(key).for_each(|path| forget(&path));
    }

    fn mark(&self) -> Mark {
        Mark { boot: self.meeting.boot.clone(), stay: self.stay.clone() }
    }

    /// The names of a record: in each place, or in this process's memory where there is none.
    fn names(&self, key: Key) -> Result<Vec<Name>, Error> {
        let places = self.meeting.places()?;
        if places.is_empty() {
            return Ok(vec![Name::Memory(key)]);
        }
        Ok(places.iter().map(|place| Name::File(self.path(place, key))).collect())
    }

    fn path(&self, place: &Path, key: Key) -> PathBuf {
        place.join(format!("{}.{}", self.card, ending(key)))
    }

    fn paths(&self, key: Key) -> impl Iterator<Item = PathBuf> + '_ {
        self.meeting.directories.iter().map(move |place| self.path(place, key))
    }

    fn refusals(&self, key: Key) -> impl Iterator<Item = PathBuf> + '_ {
        self.meeting.directories.iter().map(move |place| place.join(format!("{}.{}.refused", self.card, ending(key))))
    }

    fn open(&self, name: &Name) -> io::Result<Box<dyn Sheet>> {
        Ok(match name {
            Name::File(path) => Box::new(FileSheet::open(path)?),
            Name::Memory(key) => {
                Box::new(MemorySheet::new(self.meeting.remembered(&self.card, &self.stay.reader, *key)))
            }
        })
    }

    /// Locked for one of several. Waits for whoever has it alone: for one SELECT, unless that process is stopped. By
    /// looking again and again, since nothing else can be bounded and given up.
    fn shared(&self, name: &Name, deadline: Instant, wait: &Wait<'_>) -> Result<Box<dyn Sheet>, Error> {
        for _ in 0..TRIES {
            let mut sheet = self.open(name).map_err(|error| sheet::error(&error))?;
            while !sheet.try_lock(Lock::Shared).map_err(|error| sheet::error(&error))? {
                if (wait.given_up)() {
                    return Err(Error::GivenUp);
                }
                if Instant::now() >= deadline {
                    return Err(Error::Held);
                }
                thread::sleep(POLL);
            }
            if sheet.is_found() {
                return Ok(sheet);
            }
        }
        Err(Error::Place("its file is taken away again and again".into()))
    }

    /// Locked for this one alone in every place, or `None` where somebody else has one of them.
    fn alone(&self, key: Key) -> Result<Option<Vec<Box<dyn Sheet>>>, Error> {
        let mut sheets = Vec::new();
        'names: for name in self.names(key)? {
            for _ in 0..TRIES {
                let mut sheet = self.open(&name).map_err(|error| sheet::error(&error))?;
                if !sheet.try_lock(Lock::Alone).map_err(|error| sheet::error(&error))? {
                    return Ok(None);
                }
                if sheet.is_found() {
                    sheets.push(sheet);
                    continue 'names;
                }
            }
            return Err(Error::Place("its file is taken away again and again".into()));
        }
        Ok(Some(sheets))
    }
}

/// What a record is opened by.
enum Name {
    File(PathBuf),
    Memory(Key),
}

impl Login {
    /// The key it is for.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Gives up its locks: from now on it counts for nobody, and its mark says that the card is still logged in.
    pub fn release(&self) {
        self.sheets.lock().clear();
    }
}

impl Change {
    /// Tells of it, before it is sent.
    ///
    /// # Errors
    /// [`Error::Place`]: it must not be sent.
    pub fn tell(&self) -> Result<(), Error> {
        self.sheets.iter().try_for_each(|sheet| sheet.set_change(self.number)).map_err(|error| sheet::error(&error))
    }
}

impl Last {
    /// The card has been logged out.
    pub fn left(self) {
        for sheet in &self.sheets {
            if let Err(error) = sheet.mark(None) {
                // Whoever looks next ends a login that is over, which costs two commands.
                log::warn!("a login that is over stays marked: {error}");
            }
        }
    }
}

fn forget(path: &Path) {
    if let Err(error) = Refused::forget(path) {
        log::warn!("a secret that was refused stays remembered in {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests;
