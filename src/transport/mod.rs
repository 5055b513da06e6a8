//! Bytes to a card and back: the readers of a machine, whether a card lies in one, and a [`Link`] to it. Everything above
//! talks to these traits; PC/SC ([`pcsc`]), the practice reader and no reader at all ([`NoReaders`]) stand behind them.

mod none;
pub mod pcsc;
pub mod trace;

pub use none::NoReaders;

use std::sync::Arc;
use std::time::Duration;

/// What went wrong between this program and a card. None of these says anything about the card's contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The PC/SC service does not answer, or is not there.
    #[error("the PC/SC service is not running")]
    NoService,
    /// The PC/SC service refuses this user (polkit).
    #[error("the PC/SC service refuses this user")]
    Denied,
    /// No reader of that name.
    #[error("the reader is not there")]
    NoReader,
    /// The reader is empty.
    #[error("there is no card in the reader")]
    NoCard,
    /// The card was taken out, or changed for another, since the link was made.
    #[error("the card was removed")]
    Removed,
    /// The card was reset by another program; the link is sound again after the next [`Link::begin`].
    #[error("the card was reset by another program")]
    Reset,
    /// There is a card, and it does not answer.
    #[error("the card does not answer")]
    Mute,
    /// Another program holds the card, for longer than `lock_timeout`.
    #[error("another program holds the card")]
    Busy,
    /// No answer in time; only where the time can be bounded (the practice reader).
    #[error("the card took too long to answer")]
    Timeout,
    /// A wait was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Anything else the reader says.
    #[error("the reader failed: {0}")]
    Reader(String),
}

/// Result of a transport call.
pub type Result<T> = std::result::Result<T, Error>;

/// A reader as one look at it found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderState {
    /// The reader's name, by which it is known everywhere.
    pub name: String,
    /// Whether there is a card in it. A mute card is present too.
    pub present: bool,
    /// Whether the card does not answer to power-up.
    pub mute: bool,
    /// Counts insertions and removals, so that a swap between two looks is seen. Wraps; only changes mean anything.
    pub event_count: u32,
}

/// The readers of this machine. Implementations may be called by several threads at once.
pub trait Readers: Send + Sync {
    /// All readers with their present state; spends no APDU. No service is no reader: an empty list.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Reader`].
    fn look(&self) -> Result<Vec<ReaderState>>;

    /// Opens a shared connection to the card in `reader`.
    ///
    /// # Errors
    /// [`Error::NoService`], [`Error::Denied`], [`Error::NoReader`], [`Error::NoCard`], [`Error::Mute`],
    /// [`Error::Busy`], [`Error::Reader`].
    fn connect(&self, reader: &str) -> Result<Box<dyn Link>>;

    /// A new waiter; each thread that waits has its own.
    ///
    /// # Errors
    /// [`Error::NoService`], [`Error::Denied`], [`Error::Reader`].
    fn waiter(&self) -> Result<Arc<dyn Waiter>>;
}

/// One stay of a card in a reader: what tells it from any other, also to another process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stay {
    /// The reader's name.
    pub reader: String,
    /// Its insertions and removals so far ([`ReaderState::event_count`]).
    pub events: u32,
}

/// How long to wait for a card that another program holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// `lock_timeout`.
    Some,
    /// Not at all: the call is about something that can be done another time.
    None,
}

/// Waits for readers to change.
pub trait Waiter: Send + Sync {
    /// Returns once the readers differ from `known` (as [`Readers::look`] gave it), or when `timeout` is over. The caller
    /// looks again: a return says no more than "perhaps".
    ///
    /// # Errors
    /// [`Error::Cancelled`] after [`Waiter::cancel`], also one that came before the wait; [`Error::NoService`],
    /// [`Error::Reader`].
    fn wait(&self, known: &[ReaderState], timeout: Duration) -> Result<()>;

    /// Makes the wait under way, or the next one, return at once. May be called by any thread.
    fn cancel(&self);
}

/// Whether a card still is as the last transaction left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Nobody reset it; which application is selected may have changed all the same.
    Kept,
    /// It was reset or powered since, or this is the first transaction: no application of ours is selected.
    Lost,
}

/// What a connection leaves behind when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The card as it is, for whoever uses it next.
    Leave,
    /// The card without power, if nobody else is connected to it; otherwise as it is.
    Unpower,
}

/// A connection to one card. Used by one thread at a time; the owner holds a mutex.
pub trait Link: Send {
    /// Waits for the card to be ours alone, with `patience` where that can be bounded, and reconnects if another program
    /// has reset it. Prefer [`Transaction`], which also ends it.
    ///
    /// # Errors
    /// [`Error::Removed`], [`Error::Busy`], [`Error::NoService`], [`Error::Mute`], [`Error::Reader`].
    fn begin(&mut self, patience: Patience) -> Result<Continuity>;

    /// Sends one command and returns the answer whole, as it came: no GET RESPONSE, no repetition, at most 65 538 bytes.
    ///
    /// # Errors
    /// [`Error::Removed`], [`Error::Reset`], [`Error::Mute`], [`Error::Timeout`], [`Error::NoService`],
    /// [`Error::Reader`]. After any of them it is unknown whether the card has seen the command.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>>;

    /// Ends the transaction; a failure only means that it was over already.
    fn end(&mut self);

    /// The stay of the card that this was connected to.
    fn stay(&self) -> Stay;

    /// The card's answer to reset; `None` where it cannot be told.
    fn atr(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Ends the connection. Whether the card was left so: it keeps its power where others are connected to it.
    fn close(self: Box<Self>, disposition: Disposition) -> bool;
}

/// The card for us alone, for as long as this lives.
pub struct Transaction<'a> {
    link: &'a mut (dyn Link + 'static),
    continuity: Continuity,
}

impl<'a> Transaction<'a> {
    /// Begins one, with patience.
    ///
    /// # Errors
    /// Those of [`Link::begin`].
    pub fn begin(link: &'a mut (dyn Link + 'static)) -> Result<Transaction<'a>> {
        Transaction::begin_with(link, Patience::Some)
    }

    /// Begins one.
    ///
    /// # Errors
    /// Those of [`Link::begin`].
    pub fn begin_with(link: &'a mut (dyn Link + 'static), patience: Patience) -> Result<Transaction<'a>> {
        let continuity = link.begin(patience)?;
        Ok(Transaction { link, continuity })
    }

    /// Whether the card is as the last transaction left it.
    pub fn continuity(&self) -> Continuity {
        self.continuity
    }

    /// Sends one command ([`Link::transmit`]).
    ///
    /// # Errors
    /// Those of [`Link::transmit`].
    pub fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.link.transmit(command)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.link.end();
    }
}
