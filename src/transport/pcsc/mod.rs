//! The machine's readers through PC/SC (pcsc-lite).
//!
//! libpcsclite holds a process-wide mutex while it waits for a context that another thread is in, so one busy context
//! can stop all others. Hence no context is ever shared: presence has one, each link one, each waiter one, and each of
//! them is used by one thread at a time. The only call that comes from another thread is SCardCancel (`waiter`).
//!
//! A forked child inherits the sockets of its parent's contexts. One byte on such a socket would corrupt the parent's
//! conversation with the service, so a child neither uses nor closes what it inherited: it is forgotten (`Own`).

mod fork;
mod link;
mod turns;
mod waiter;

use super::{Error, Link, ReaderState, Readers, Result, Waiter};
use crate::sys::Process;
use link::PcscLink;
use parking_lot::Mutex;
use pcsc::{Card, Context, Protocols, Scope, ShareMode, State};
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use std::{mem, thread};
use waiter::PcscWaiter;

/// How long to wait before a held card is asked again whether it is free: about as long as libpcsclite itself, or whoever
/// waits inside it would always be first. Never in step with another program, or it would be met busy each time.
fn lock_poll() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_micros(1_000 + u64::from(now.subsec_micros()) % 9_000)
}

/// How long the verdict "mute" stands. Each new power-up of a card that does not answer takes a reader a second or more,
/// and a client that polls would keep it busy with nothing else.
const MUTE_FOR: Duration = Duration::from_secs(2);

/// Result of a call of the `pcsc` crate.
type Native<T> = std::result::Result<T, pcsc::Error>;

/// The readers pcscd knows. Clones share the presence context and may be used by any thread.
#[derive(Clone)]
pub struct PcscReaders {
    shared: Arc<Shared>,
}

struct Shared {
    process: Process,
    lock_timeout: Duration,
    /// The context that [`Readers::look`] asks, made at the first look and again when the service was restarted.
    presence: Mutex<Option<Own<Context>>>,
    /// Readers whose card did not answer a connection, and when.
    mute: Mutex<HashMap<String, Instant>>,
    /// Readers that another program was found to hold for longer than `lock_timeout`. Until it lets go they are asked
    /// without waiting: a client that polls would wait in each of its calls.
    held: Mutex<HashSet<String>>,
}

impl PcscReaders {
    /// The machine's readers, where a card held by another program is waited for at most `lock_timeout`. Does not speak
    /// to the service yet.
    pub fn new(lock_timeout: Duration) -> PcscReaders {
        let shared = Shared {
            process: Process::current(),
            lock_timeout,
            presence: Mutex::default(),
            mute: Mutex::default(),
            held: Mutex::default(),
        };
        fork::watch();
        PcscReaders { shared: Arc::new(shared) }
    }

    /// Whether the service answers and takes this user: what [`Readers::look`] does not tell from a machine without
    /// readers.
    ///
    /// # Errors
    /// [`Error::NoService`], [`Error::Denied`], [`Error::Reader`].
    pub fn reach(&self) -> Result<()> {
        establish().map(drop).map_err(error)
    }
}

impl Readers for PcscReaders {
    /// In a forked child the inherited readers are an empty list.
    fn look(&self) -> Result<Vec<ReaderState>> {
        // Before the lock: in a child it may be held by a thread that does not exist there.
        if !self.shared.process.is_current() {
            return Ok(Vec::new());
        }
        let mut presence = self.shared.presence.lock();
        // Twice: a context that outlived its service fails once, and a reader may go between the list and the look.
        for _ in 0..2 {
            let context = match presence.take().map_or_else(establish, Ok) {
                Ok(context) => context,
                Err(failure) => match error(failure) {
                    Error::NoService => break,
                    failure => return Err(failure),
                },
            };
            match context.ours().and_then(reader_states) {
                Ok(states) => {
                    *presence = Some(context);
                    return Ok(states.iter().map(reader_state).collect());
                }
                Err(pcsc::Error::UnknownReader | pcsc::Error::Timeout) => *presence = Some(context),
                Err(failure) => match error_since(failure) {
                    Error::NoService => {}
                    failure => return Err(failure),
                },
            }
        }
        Ok(Vec::new())
    }

    fn connect(&self, reader: &str) -> Result<Box<dyn Link>> {
        if !self.shared.process.is_current() {
            return Err(Error::NoService);
        }
        if self.shared.mute.lock().get(reader).is_some_and(|since| since.elapsed() < MUTE_FOR) {
            return Err(Error::Mute);
        }
        let patience = if self.shared.held.lock().contains(reader) { Duration::ZERO } else { self.shared.lock_timeout };
        let connected = self.connect_within(reader, patience);
        let mut held = self.shared.held.lock();
        match connected {
            Err(Error::Busy) => _ = held.insert(reader.to_owned()),
            _ => _ = held.remove(reader),
        }
        drop(held);
        let mut mute = self.shared.mute.lock();
        match connected {
            Err(Error::Mute) => _ = mute.insert(reader.to_owned(), Instant::now()),
            _ => _ = mute.remove(reader),
        }
        drop(mute);
        Ok(Box::new(connected?))
    }

    fn waiter(&self) -> Result<Arc<dyn Waiter>> {
        if !self.shared.process.is_current() {
            return Err(Error::NoService);
        }
        Ok(Arc::new(PcscWaiter::new()))
    }
}

impl PcscReaders {
    /// Connects, and waits for another program's exclusive connection to end. A transaction of another program holds up
    /// SCardConnect inside libpcsclite without end; PC/SC has no way to see one before there is a connection.
    fn connect_within(&self, reader: &str, patience: Duration) -> Result<PcscLink> {
        let name = CString::new(reader).map_err(|_| Error::NoReader)?;
        let deadline = Instant::now() + patience;
        let context = establish().map_err(error)?;
        // Before the connection, so that a card that comes in between is not taken for the one connected to.
        let events = event_count(context.ours().map_err(error)?, &name).map_err(error)?;
        loop {
            match connect_shared(context.ours().map_err(error)?, &name) {
                Ok(card) => return Ok(PcscLink::new(context, card, name, self.shared.lock_timeout, events)),
                Err(pcsc::Error::SharingViolation) if Instant::now() < deadline => thread::sleep(lock_poll()),
                Err(failure) => return Err(error(failure)),
            }
        }
    }
}

/// T=1 where the card offers it, as a My Number Card does on contacts: T=0 would need GET RESPONSE. Contactless readers
/// say T=1 throughout.
fn connect_shared(context: &Context, reader: &CStr) -> Native<Card> {
    match fork::long(|| context.connect(reader, ShareMode::Shared, Protocols::T1)) {
        Err(pcsc::Error::ProtoMismatch) => fork::long(|| context.connect(reader, ShareMode::Shared, Protocols::ANY)),
        connected => connected,
    }
}

/// A PC/SC handle and the process that made it. A forked child neither gets at it nor closes it.
struct Own<T> {
    process: Process,
    handle: Option<T>,
}

impl<T> Own<T> {
    fn new(handle: T) -> Own<T> {
        Own { process: Process::current(), handle: Some(handle) }
    }

    /// The handle; in a forked child, or once taken, as if the service were gone.
    fn ours(&self) -> Native<&T> {
        self.handle.as_ref().filter(|_| self.process.is_current()).ok_or(pcsc::Error::NoService)
    }

    /// The handle for good, or until it is [`Own::put`] back.
    fn take(&mut self) -> Native<T> {
        self.ours()?;
        self.handle.take().ok_or(pcsc::Error::NoService)
    }

    fn put(&mut self, handle: T) {
        self.handle = Some(handle);
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        let handle = self.handle.take();
        if self.process.is_current() {
            fork::short(|| drop(handle));
        } else {
            mem::forget(handle);
        }
    }
}

/// A context of its own for one user.
fn establish() -> Native<Own<Context>> {
    fork::short(|| Context::establish(Scope::User)).map(Own::new)
}

/// All readers and what is in them, as pcscd last noted it: neither the reader nor the card is asked.
fn reader_states(context: &Context) -> Native<Vec<pcsc::ReaderState>> {
    fork::short(|| {
        let names = context.list_readers_owned()?;
        let mut states: Vec<_> = names.into_iter().map(|name| pcsc::ReaderState::new(name, State::UNAWARE)).collect();
        if !states.is_empty() {
            context.get_status_change(Duration::ZERO, &mut states)?;
        }
        Ok(states)
    })
}

/// Insertions and removals in this reader so far.
fn event_count(context: &Context, reader: &CStr) -> Native<u32> {
    let mut state = [pcsc::ReaderState::new(reader, State::UNAWARE)];
    fork::short(|| context.get_status_change(Duration::ZERO, &mut state))?;
    Ok(state[0].event_count())
}

fn reader_state(state: &pcsc::ReaderState) -> ReaderState {
    ReaderState {
        name: state.name().to_string_lossy().into_owned(),
        present: state.event_state().contains(State::PRESENT),
        mute: state.event_state().contains(State::MUTE),
        event_count: state.event_count(),
    }
}

/// What PC/SC says, in our words.
fn error(failure: pcsc::Error) -> Error {
    match failure {
        // A context that outlived its service is an invalid handle, and a service that dies meanwhile a failed
        // conversation.
        pcsc::Error::NoService
        | pcsc::Error::ServiceStopped
        | pcsc::Error::InvalidHandle
        | pcsc::Error::CommError
        | pcsc::Error::Shutdown => Error::NoService,
        pcsc::Error::SecurityViolation => Error::Denied,
        pcsc::Error::UnknownReader | pcsc::Error::ReaderUnavailable | pcsc::Error::NoReadersAvailable => {
            Error::NoReader
        }
        pcsc::Error::NoSmartcard => Error::NoCard,
        pcsc::Error::RemovedCard => Error::Removed,
        pcsc::Error::ResetCard => Error::Reset,
        pcsc::Error::UnresponsiveCard | pcsc::Error::UnpoweredCard | pcsc::Error::UnsupportedCard => Error::Mute,
        pcsc::Error::SharingViolation => Error::Busy,
        pcsc::Error::Timeout => Error::Timeout,
        pcsc::Error::Cancelled | pcsc::Error::SystemCancelled => Error::Cancelled,
        other => Error::Reader(other.to_string()),
    }
}

/// What PC/SC says to a context or a card that it has accepted before, in our words. libpcsclite takes a connection that
/// the service closed for a refusal (measured, 1.9.9); whom the service really refuses, it refuses at the door.
fn error_since(failure: pcsc::Error) -> Error {
    match failure {
        pcsc::Error::SecurityViolation => Error::NoService,
        failure => error(failure),
    }
}
