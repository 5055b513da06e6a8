//! Readers inside this process, with practice cards in them: what PC/SC does for a real card, and in addition what a test
//! needs, to insert and remove, to play a rival program, and to count what the card was asked.

use super::{Device, PracticeCard};
use crate::apdu::{Command, Response, Sw, VERIFY};
use crate::transport::{Continuity, Disposition, Error, Link, ReaderState, Readers, Result, Waiter};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long [`Link::begin`] waits for another link's transaction, unless set.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Exchanges kept in the log; the counters go on.
const LONGEST_LOG: usize = 10_000;

/// A set of practice readers. Clones are the same readers.
#[derive(Clone)]
pub struct PracticeReaders(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Told whenever a reader changes or a transaction ends.
    changed: Condvar,
    lock_timeout: Duration,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    /// Numbers for insertions and links.
    next: u64,
    log: VecDeque<Exchange>,
    apdus: usize,
    verifies: usize,
}

struct Slot {
    name: String,
    event_count: u32,
    inserted: Option<Inserted>,
    /// Why there is no card to talk to, where a file could not be opened.
    problem: Option<String>,
    incidents: Option<Incidents>,
}

struct Inserted {
    /// Tells this insertion from any other.
    id: u64,
    /// Taken out by [`PracticeReaders::remove`]. Locked after `State`, never before.
    device: Arc<Mutex<Option<Box<dyn Device>>>>,
    mute: bool,
    powered: bool,
    /// Resets and power cycles since insertion.
    resets: u64,
    links: usize,
    /// The link whose transaction it is.
    owner: Option<u64>,
}

/// One command and its answer, as the log keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The reader.
    pub reader: String,
    /// The command with secrets masked, as [`Command`]'s `Debug` shows it.
    pub command: String,
    /// The status word; `None` where no answer came.
    pub sw: Option<Sw>,
    /// Whether [`PracticeReaders::rival`] sent it; such are not counted.
    pub rival: bool,
}

/// What happens as a command is on its way to the card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Incident {
    /// Nothing.
    #[default]
    None,
    /// The card is taken out before it has seen the command.
    RemoveBefore,
    /// The card is taken out after it has acted, before the answer is through.
    RemoveAfter,
    /// The card is reset before the command.
    Reset,
    /// These commands reach the card first, as if nobody held it.
    Rival(Vec<Vec<u8>>),
    /// The card does not answer; nor has it seen the command.
    Silence,
    /// The card is taken to have answered this, and has not seen the command.
    Answer(Vec<u8>),
}

type Incidents = Arc<Mutex<dyn FnMut(&Command) -> Incident + Send>>;

impl Default for PracticeReaders {
    fn default() -> PracticeReaders {
        PracticeReaders::new(0)
    }
}

impl PracticeReaders {
    /// `count` empty readers, named `Practice Reader 00 00`, `Practice Reader 01 00` and so on.
    pub fn new(count: usize) -> PracticeReaders {
        PracticeReaders::with_lock_timeout(count, LOCK_TIMEOUT)
    }

    /// The same, waiting no longer than `lock_timeout` for another link's transaction.
    pub fn with_lock_timeout(count: usize, lock_timeout: Duration) -> PracticeReaders {
        let slots = (0..count).map(|index| Slot::new(PracticeReaders::name(index))).collect();
        let state = State { slots, ..State::default() };
        PracticeReaders(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), lock_timeout }))
    }

    /// A reader for each card file. Where one cannot be opened, the reader seems to have a card, and to connect to it
    /// says why not.
    pub fn from_files(paths: &[PathBuf], lock_timeout: Duration) -> PracticeReaders {
        let readers = PracticeReaders::with_lock_timeout(paths.len(), lock_timeout);
        for (index, path) in paths.iter().enumerate() {
            match PracticeCard::open(path) {
                Ok(card) => readers.insert(&PracticeReaders::name(index), Box::new(card)),
                Err(error) => {
                    log::error!("practice reader: {error}");
                    if let Some(slot) = readers.0.state.lock().slots.get_mut(index) {
                        slot.problem = Some(error.to_string());
                    }
                }
            }
        }
        readers
    }

    /// The name of the reader with that index.
    pub fn name(index: usize) -> String {
        format!("Practice Reader {index:02} 00")
    }

    /// Puts a card into a reader, powered. A reader that is not there comes into being; a card in it goes.
    pub fn insert(&self, reader: &str, mut device: Box<dyn Device>) {
        self.remove(reader);
        device.power_on();
        let mute = device.atr().is_empty();
        let mut state = self.0.state.lock();
        let id = state.number();
        let index = state.slots.iter().position(|slot| slot.name == reader).unwrap_or_else(|| {
            state.slots.push(Slot::new(reader.to_owned()));
            state.slots.len() - 1
        });
        if let Some(slot) = state.slots.get_mut(index) {
            slot.event_count = slot.event_count.wrapping_add(1);
            slot.problem = None;
            slot.inserted = Some(Inserted {
                id,
                device: Arc::new(Mutex::new(Some(device))),
                mute,
                powered: true,
                resets: 0,
                links: 0,
                owner: None,
            });
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Takes the card out, without power, and hands it over. A command it is at work on is finished first, and its
    /// answer lost.
    pub fn remove(&self, reader: &str) -> Option<Box<dyn Device>> {
        let mut state = self.0.state.lock();
        let slot = state.slot(reader)?;
        let inserted = slot.inserted.take()?;
        slot.event_count = slot.event_count.wrapping_add(1);
        drop(state);
        self.0.changed.notify_all();
        let mut device = inserted.device.lock().take()?;
        device.power_off();
        Some(device)
    }

    /// Unplugs a reader, with the card in it.
    pub fn unplug(&self, reader: &str) {
        self.remove(reader);
        self.0.state.lock().slots.retain(|slot| slot.name != reader);
        self.0.changed.notify_all();
    }

    /// A warm reset, as another program may cause at any time. No card, no effect.
    pub fn reset(&self, reader: &str) {
        let mut state = self.0.state.lock();
        let Some(inserted) = state.slot(reader).and_then(|slot| slot.inserted.as_mut()) else { return };
        inserted.resets += 1;
        let device = Arc::clone(&inserted.device);
        drop(state);
        if let Some(device) = device.lock().as_mut() {
            device.reset();
        }
    }

    /// Sends a command as another program's, waiting for no transaction: PC/SC would wait, but a test may want to stand
    /// between any two commands. `None` without a card or an answer.
    pub fn rival(&self, reader: &str, command: &[u8]) -> Option<Vec<u8>> {
        let device = Arc::clone(&self.0.state.lock().slot(reader)?.inserted.as_ref()?.device);
        let answer = device.lock().as_mut()?.transmit(command);
        self.0.state.lock().record(reader, command, Some(&answer), true);
        (!answer.is_empty()).then_some(answer)
    }

    /// Asks `incidents` before each command of a link what shall happen to it. `incidents` must not call these readers.
    pub fn on_command(&self, reader: &str, incidents: impl FnMut(&Command) -> Incident + Send + 'static) {
        if let Some(slot) = self.0.state.lock().slot(reader) {
            slot.incidents = Some(Arc::new(Mutex::new(incidents)));
        }
    }

    /// What cards were asked so far, oldest first, from all readers.
    pub fn log(&self) -> Vec<Exchange> {
        self.0.state.lock().log.iter().cloned().collect()
    }

    /// Commands sent by links since [`PracticeReaders::forget`].
    pub fn apdus(&self) -> usize {
        self.0.state.lock().apdus
    }

    /// VERIFY commands with data among them: each may cost a try.
    pub fn verifies(&self) -> usize {
        self.0.state.lock().verifies
    }

    /// Empties the log and begins to count at zero.
    pub fn forget(&self) {
        let mut state = self.0.state.lock();
        state.log.clear();
        (state.apdus, state.verifies) = (0, 0);
    }
}

impl Readers for PracticeReaders {
    fn look(&self) -> Result<Vec<ReaderState>> {
        Ok(self.0.state.lock().look())
    }

    fn connect(&self, reader: &str) -> Result<Box<dyn Link>> {
        let mut state = self.0.state.lock();
        let id = state.number();
        let slot = state.slot(reader).ok_or(Error::NoReader)?;
        if let Some(problem) = &slot.problem {
            return Err(Error::Reader(problem.clone()));
        }
        let inserted = slot.inserted.as_mut().ok_or(Error::NoCard)?;
        if inserted.mute {
            return Err(Error::Mute);
        }
        inserted.links += 1;
        let link = PracticeLink {
            shared: Arc::clone(&self.0),
            reader: reader.to_owned(),
            insertion: inserted.id,
            device: Arc::clone(&inserted.device),
            id,
            resets_seen: None,
        };
        if !std::mem::replace(&mut inserted.powered, true) {
            // Locked before `State` is let go, so that no other link's command comes first.
            let mut device = link.device.lock();
            drop(state);
            if let Some(device) = device.as_mut() {
                device.power_on();
            }
        }
        Ok(Box::new(link))
    }

    fn waiter(&self) -> Result<Arc<dyn Waiter>> {
        Ok(Arc::new(PracticeWaiter { shared: Arc::clone(&self.0), cancelled: Mutex::new(false) }))
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn slot(&mut self, reader: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.name == reader)
    }

    fn look(&self) -> Vec<ReaderState> {
        let state = |slot: &Slot| ReaderState {
            name: slot.name.clone(),
            present: slot.inserted.is_some() || slot.problem.is_some(),
            mute: slot.inserted.as_ref().is_some_and(|inserted| inserted.mute),
            event_count: slot.event_count,
        };
        self.slots.iter().map(state).collect()
    }

    fn record(&mut self, reader: &str, command: &[u8], answer: Option<&[u8]>, rival: bool) {
        let decoded = Command::decode(command);
        if !rival {
            self.apdus += 1;
            let verify = decoded.as_ref().is_ok_and(|command| command.ins == VERIFY && command.is_secret());
            self.verifies += usize::from(verify);
        }
        let sw = answer.and_then(|answer| Response::parse(answer.to_vec()).ok()).map(|response| response.sw);
        let command = match decoded {
            Ok(command) => format!("{command:?}"),
            // Nobody knows which of its bytes are a secret.
            Err(_) => format!("{} bytes that are no command", command.len()),
        };
        if self.log.len() == LONGEST_LOG {
            self.log.pop_front();
        }
        self.log.push_back(Exchange { reader: reader.to_owned(), command, sw, rival });
    }
}

impl Slot {
    fn new(name: String) -> Slot {
        Slot { name, event_count: 0, inserted: None, problem: None, incidents: None }
    }
}

struct PracticeLink {
    shared: Arc<Shared>,
    reader: String,
    insertion: u64,
    device: Arc<Mutex<Option<Box<dyn Device>>>>,
    id: u64,
    /// The card's resets when this link last began; none before the first time.
    resets_seen: Option<u64>,
}

impl PracticeLink {
    /// The insertion this link was made to; [`Error::Removed`] once it is over.
    fn inserted<'a>(&self, state: &'a mut State) -> Result<&'a mut Inserted> {
        state
            .slot(&self.reader)
            .and_then(|slot| slot.inserted.as_mut())
            .filter(|inserted| inserted.id == self.insertion)
            .ok_or(Error::Removed)
    }

    /// Waits until no other link has a transaction.
    fn wait_for_turn<'a>(&self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        let deadline = Instant::now() + self.shared.lock_timeout;
        while self.inserted(&mut state)?.owner.is_some_and(|owner| owner != self.id) {
            if Instant::now() >= deadline {
                return Err(Error::Busy);
            }
            self.shared.changed.wait_until(&mut state, deadline);
        }
        Ok(state)
    }

    fn incident(&self, command: &[u8]) -> Incident {
        let incidents = self.shared.state.lock().slot(&self.reader).and_then(|slot| slot.incidents.clone());
        match (incidents, Command::decode(command)) {
            (Some(incidents), Ok(command)) => (incidents.lock())(&command),
            _ => Incident::None,
        }
    }

    /// What comes of `incident` before the card sees the command; an answer if it never does.
    fn befall(&self, incident: &Incident) -> Option<Vec<u8>> {
        let readers = PracticeReaders(Arc::clone(&self.shared));
        match incident {
            Incident::None | Incident::RemoveAfter => None,
            Incident::RemoveBefore => {
                readers.remove(&self.reader);
                None
            }
            Incident::Reset => {
                readers.reset(&self.reader);
                None
            }
            Incident::Rival(commands) => {
                for command in commands {
                    readers.rival(&self.reader, command);
                }
                None
            }
            Incident::Silence => Some(Vec::new()),
            Incident::Answer(answer) => Some(answer.clone()),
        }
    }

    /// Gives up a transaction, if there is one.
    fn release(&self) {
        if let Ok(inserted) = self.inserted(&mut self.shared.state.lock())
            && inserted.owner == Some(self.id)
        {
            inserted.owner = None;
        }
        self.shared.changed.notify_all();
    }
}

impl Link for PracticeLink {
    fn begin(&mut self) -> Result<Continuity> {
        let shared = Arc::clone(&self.shared);
        let mut state = self.wait_for_turn(shared.state.lock())?;
        let inserted = self.inserted(&mut state)?;
        inserted.owner = Some(self.id);
        let resets = inserted.resets;
        Ok(match self.resets_seen.replace(resets) {
            Some(seen) if seen == resets => Continuity::Kept,
            _ => Continuity::Lost,
        })
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let incident = self.incident(command);
        let prevented = self.befall(&incident);
        let mut state = self.wait_for_turn(self.shared.state.lock())?;
        let resets = self.inserted(&mut state)?.resets;
        if self.resets_seen.is_some_and(|seen| seen != resets) {
            return Err(Error::Reset);
        }
        drop(state);
        let answer = match prevented {
            Some(answer) => answer,
            None => self.device.lock().as_mut().ok_or(Error::Removed)?.transmit(command),
        };
        if incident == Incident::RemoveAfter {
            PracticeReaders(Arc::clone(&self.shared)).remove(&self.reader);
        }
        let mut state = self.shared.state.lock();
        let there = self.inserted(&mut state).map(|_| ());
        state.record(&self.reader, command, there.is_ok().then_some(&answer), false);
        there?;
        if answer.is_empty() { Err(Error::Mute) } else { Ok(answer) }
    }

    fn end(&mut self) {
        self.release();
    }

    fn close(self: Box<Self>, disposition: Disposition) {
        if disposition == Disposition::Leave {
            return;
        }
        let mut state = self.shared.state.lock();
        let Ok(inserted) = self.inserted(&mut state) else { return };
        // Others are connected: the card keeps its power for them.
        if inserted.links > 1 {
            return;
        }
        inserted.powered = false;
        inserted.resets += 1;
        if let Some(device) = self.device.lock().as_mut() {
            device.power_off();
        }
    }
}

impl Drop for PracticeLink {
    fn drop(&mut self) {
        self.release();
        if let Ok(inserted) = self.inserted(&mut self.shared.state.lock()) {
            inserted.links -= 1;
        }
    }
}

struct PracticeWaiter {
    shared: Arc<Shared>,
    /// Set by a cancel until a wait has seen it. Locked while `State` is, or a cancel could fall between look and wait.
    cancelled: Mutex<bool>,
}

impl Waiter for PracticeWaiter {
    fn wait(&self, known: &[ReaderState], timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        loop {
            if std::mem::take(&mut *self.cancelled.lock()) {
                return Err(Error::Cancelled);
            }
            if state.look() != known || Instant::now() >= deadline {
                return Ok(());
            }
            self.shared.changed.wait_until(&mut state, deadline);
        }
    }

    fn cancel(&self) {
        let state = self.shared.state.lock();
        *self.cancelled.lock() = true;
        drop(state);
        self.shared.changed.notify_all();
    }
}
