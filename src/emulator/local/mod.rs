//! Readers inside this process, with practice cards in them: what PC/SC does for a real card, and in addition what a test
//! needs, to insert and remove, to play a rival program, and to count what the card was asked.

mod link;
mod waiter;

pub use link::Incident;

use super::{Device, PracticeCard};
use crate::apdu::{Command, Response, Sw, VERIFY};
use crate::transport::{Error, Link, ReaderState, Readers, Result, Stay, Waiter};
use link::{Incidents, PracticeLink};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use waiter::PracticeWaiter;

/// How long [`Link::begin`] waits for another link's transaction, unless set.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a card may keep silent, unless set: no card of this kind was seen to need more than some seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
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
    answer_timeout: Duration,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    /// Numbers for insertions and links.
    next: u64,
    log: VecDeque<Exchange>,
    apdus: usize,
    verifies: usize,
    queries: usize,
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
    device: SharedDevice,
    mute: bool,
    powered: bool,
    /// Resets and power cycles since insertion.
    resets: u64,
    links: usize,
    /// The link whose transaction it is.
    owner: Option<u64>,
}

/// A card, or none once [`PracticeReaders::remove`] has taken it. Locked after `State`, never before.
type SharedDevice = Arc<Mutex<Option<Box<dyn Device>>>>;

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
        PracticeReaders::with_timeouts(count, lock_timeout, ANSWER_TIMEOUT)
    }

    /// The same, waiting no longer than `answer_timeout` for a card's answer.
    pub fn with_timeouts(count: usize, lock_timeout: Duration, answer_timeout: Duration) -> PracticeReaders {
        let slots = (0..count).map(|index| Slot::new(PracticeReaders::name(index))).collect();
        let state = State { slots, ..State::default() };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), lock_timeout, answer_timeout };
        PracticeReaders(Arc::new(shared))
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

    /// VERIFY commands without data: they cost none, and no card but ours should see one.
    pub fn queries(&self) -> usize {
        self.0.state.lock().queries
    }

    /// Empties the log and begins to count at zero.
    pub fn forget(&self) {
        let mut state = self.0.state.lock();
        state.log.clear();
        (state.apdus, state.verifies, state.queries) = (0, 0, 0);
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
        let device = Arc::clone(&inserted.device);
        let stay = Stay { reader: slot.name.clone(), events: slot.event_count };
        let link = PracticeLink::new(&self.0, stay, inserted.id, &device, id);
        if !std::mem::replace(&mut inserted.powered, true) {
            // Locked before `State` is let go, so that no other link's command comes first.
            let mut device = device.lock();
            drop(state);
            if let Some(device) = device.as_mut() {
                device.power_on();
            }
        }
        Ok(Box::new(link))
    }

    fn waiter(&self) -> Result<Arc<dyn Waiter>> {
        Ok(Arc::new(PracticeWaiter::new(&self.0)))
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
            if let Some(verify) = decoded.as_ref().ok().filter(|command| command.ins == VERIFY) {
                *if verify.data.is_empty() { &mut self.queries } else { &mut self.verifies } += 1;
            }
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
