//! A link to a practice card: whose turn it is, what has happened to the card since, and what a test makes happen.

use super::{Inserted, PracticeReaders, Shared, SharedDevice, State};
use crate::apdu::Command;
use crate::transport::{Continuity, Disposition, Error, Link, Patience, Result, Stay};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A link to the card of one insertion.
pub(super) struct PracticeLink {
    shared: Arc<Shared>,
    reader: String,
    insertion: u64,
    /// The reader's insertions and removals when the link was made.
    events: u32,
    device: SharedDevice,
    id: u64,
    /// The card's resets when this link last began; none before the first time.
    resets_seen: Option<u64>,
}

impl PracticeLink {
    pub fn new(shared: &Arc<Shared>, stay: Stay, insertion: u64, device: &SharedDevice, id: u64) -> PracticeLink {
        PracticeLink {
            shared: Arc::clone(shared),
            reader: stay.reader,
            insertion,
            events: stay.events,
            device: Arc::clone(device),
            id,
            resets_seen: None,
        }
    }

    /// The insertion this link was made to; [`Error::Removed`] once it is over.
    fn inserted<'a>(&self, state: &'a mut State) -> Result<&'a mut Inserted> {
        state
            .slot(&self.reader)
            .and_then(|slot| slot.inserted.as_mut())
            .filter(|inserted| inserted.id == self.insertion)
            .ok_or(Error::Removed)
    }

    /// Waits until no other link has a transaction.
    fn wait_for_turn<'a>(&self, mut state: MutexGuard<'a, State>, patience: Patience) -> Result<MutexGuard<'a, State>> {
        let deadline = Instant::now()
            + match patience {
                Patience::Some => self.shared.lock_timeout,
                Patience::None => Duration::ZERO,
            };
        while self.inserted(&mut state)?.owner.is_some_and(|owner| owner != self.id) {
            if Instant::now() >= deadline {
                return Err(Error::Busy);
            }
            self.shared.changed.wait_until(&mut state, deadline);
        }
        Ok(state)
    }

    /// Lets a card's silence pass, which its removal ends, or gives up.
    fn wait_for_answer(&self, silence: Duration) -> Result<()> {
        let deadline = Instant::now() + silence.min(self.shared.answer_timeout);
        let mut state = self.shared.state.lock();
        while Instant::now() < deadline {
            self.inserted(&mut state)?;
            self.shared.changed.wait_until(&mut state, deadline);
        }
        if silence > self.shared.answer_timeout { Err(Error::Timeout) } else { Ok(()) }
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
    fn begin(&mut self, patience: Patience) -> Result<Continuity> {
        let shared = Arc::clone(&self.shared);
        let mut state = self.wait_for_turn(shared.state.lock(), patience)?;
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
        let mut state = self.wait_for_turn(self.shared.state.lock(), Patience::Some)?;
        let resets = self.inserted(&mut state)?.resets;
        if self.resets_seen.is_some_and(|seen| seen != resets) {
            return Err(Error::Reset);
        }
        drop(state);
        let answer = match prevented {
            Some(answer) => answer,
            None => {
                let pause = self.device.lock().as_mut().ok_or(Error::Removed)?.pause(command);
                if let Err(error) = self.wait_for_answer(pause) {
                    self.shared.state.lock().record(&self.reader, command, None, false);
                    return Err(error);
                }
                self.device.lock().as_mut().ok_or(Error::Removed)?.transmit(command)
            }
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

    fn atr(&mut self) -> Option<Vec<u8>> {
        self.device.lock().as_ref().map(|device| device.atr())
    }

    fn stay(&self) -> Stay {
        Stay { reader: self.reader.clone(), events: self.events }
    }

    fn close(self: Box<Self>, disposition: Disposition) -> bool {
        if disposition == Disposition::Leave {
            return true;
        }
        let mut state = self.shared.state.lock();
        let Ok(inserted) = self.inserted(&mut state) else { return false };
        // Others are connected: the card keeps its power for them.
        if inserted.links > 1 {
            return false;
        }
        inserted.powered = false;
        inserted.resets += 1;
        if let Some(device) = self.device.lock().as_mut() {
            device.power_off();
        }
        true
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

/// Who says what befalls each command.
pub(super) type Incidents = Arc<Mutex<dyn FnMut(&Command) -> Incident + Send>>;
