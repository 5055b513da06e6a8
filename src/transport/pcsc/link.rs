//! A connection to one card: transactions that give up in time, and an end that leaves the card as it is.

use super::turns::Turns;
use super::{Native, Own, connect_shared, error_since, event_count, fork, lock_poll};
use crate::transport::{Continuity, Disposition, Error, Link, Patience, Result, Stay};
use pcsc::{Attribute, Card, Context, MAX_ATR_SIZE, MAX_BUFFER_SIZE_EXTENDED, Protocols, ShareMode, State};
use self_cell::{MutBorrow, self_cell};
use std::ffi::CString;
use std::time::{Duration, Instant};
use std::{mem, thread};

/// How often one `begin` reconnects to a card that others keep resetting.
const RECONNECTS: u32 = 3;

/// How long after a failed command the reader may take to notice that the card is gone: pcscd looks every 0.4 s.
const REMOVAL_SHOWS_WITHIN: Duration = Duration::from_millis(900);

/// A shared connection with a context of its own.
pub(super) struct PcscLink {
    // Before the context, since fields are dropped in this order.
    card: Own<Held>,
    context: Own<Context>,
    reader: CString,
    lock_timeout: Duration,
    turns: Turns,
    /// When the transaction began, of a card that is held alone.
    begun: Instant,
    /// What the next transaction will say of the card, if nobody resets it before.
    continuity: Continuity,
    /// Insertions and removals in the reader before this connection was made: as long as there are no more, it is the
    /// same card.
    events: u32,
    /// Whether the card was found to be another by them.
    gone: bool,
    /// Where answers arrive: room for the longest extended one.
    answer: Box<[u8]>,
}

/// The card, as one of its users or alone.
enum Held {
    Shared(Card),
    Alone(CardAlone),
}

type PcscTransaction<'card> = pcsc::Transaction<'card>;

self_cell!(
    /// A card and the transaction that borrows it.
    struct CardAlone {
        owner: MutBorrow<Card>,
        #[covariant]
        dependent: PcscTransaction,
    }
);

impl PcscLink {
    pub(super) fn new(
        context: Own<Context>,
        card: Card,
        reader: CString,
        lock_timeout: Duration,
        events: u32,
    ) -> PcscLink {
        PcscLink {
            card: Own::new(Held::Shared(card)),
            context,
            reader,
            lock_timeout,
            events,
            gone: false,
            turns: Turns::default(),
            begun: Instant::now(),
            continuity: Continuity::Lost,
            answer: vec![0; MAX_BUFFER_SIZE_EXTENDED].into(),
        }
    }
}

impl Link for PcscLink {
    fn begin(&mut self, patience: Patience) -> Result<Continuity> {
        if self.gone {
            return Err(Error::Removed);
        }
        // Who would wait for nobody does not wait for a service that hangs either.
        if patience == Patience::None && fork::service_hangs() {
            return Err(Error::Busy);
        }
        self.end();
        thread::sleep(self.turns.pause(Instant::now()));
        let deadline = Instant::now()
            + match patience {
                Patience::Some => self.lock_timeout,
                Patience::None => Duration::ZERO,
            };
        for _ in 0..=RECONNECTS {
            let card = self.card.take().map_err(error_since)?.shared();
            match alone(card, deadline) {
                Ok(alone) => {
                    self.card.put(Held::Alone(alone));
                    self.begun = Instant::now();
                    return Ok(mem::replace(&mut self.continuity, Continuity::Kept));
                }
                Err((mut card, pcsc::Error::ResetCard)) => {
                    self.continuity = Continuity::Lost;
                    let reconnected = self.power_up().and_then(|()| reconnect(&mut card));
                    self.card.put(Held::Shared(card));
                    reconnected.map_err(|failure| self.failure(failure))?;
                    // Of a removal before the reset pcscd no longer tells, and this may be another card by now.
                    let events = self.context.ours().and_then(|context| event_count(context, &self.reader));
                    self.gone = events.map_err(error_since)? != self.events;
                    if self.gone {
                        return Err(Error::Removed);
                    }
                }
                Err((card, failure)) => {
                    self.card.put(Held::Shared(card));
                    return Err(self.failure(failure));
                }
            }
        }
        Err(Error::Busy)
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let Held::Alone(card) = self.card.ours().map_err(error_since)? else {
            return Err(Error::Reader("a command outside a transaction".to_owned()));
        };
        match fork::long(|| card.borrow_dependent().transmit(command, &mut self.answer)).map(<[u8]>::len) {
            Ok(len @ 2..) => {
                // Taken out: it can be a part of the holder's certificate, and the place lasts as long as the connection.
                Ok(self.answer.iter_mut().take(len).map(mem::take).collect())
            }
            // A success without a status word: what vpcd's driver makes of a card that went.
            Ok(_) => Err(self.failure(pcsc::Error::NotTransacted)),
            Err(failure) => Err(self.failure(failure)),
        }
    }

    fn end(&mut self) {
        if let Ok(held) = self.card.take() {
            let alone = matches!(held, Held::Alone(_));
            self.card.put(Held::Shared(held.shared()));
            if alone {
                self.turns.had(self.begun, Instant::now());
            }
        }
    }

    fn atr(&mut self) -> Option<Vec<u8>> {
        let card = self.card.ours().ok()?;
        // Not by SCardGetAttrib, which not every driver answers.
        let status = fork::short(|| match card {
            Held::Shared(card) => card.status2_owned(),
            Held::Alone(card) => card.borrow_dependent().status2_owned(),
        });
        status.ok().map(|status| status.atr().to_vec())
    }

    fn stay(&self) -> Stay {
        Stay { reader: self.reader.to_string_lossy().into_owned(), events: self.events }
    }

    fn close(mut self: Box<Self>, disposition: Disposition) -> bool {
        self.disconnect();
        match disposition {
            Disposition::Leave => true,
            Disposition::Unpower => self.unpower_if_unused(),
        }
    }
}

impl Drop for PcscLink {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl PcscLink {
    fn disconnect(&mut self) {
        let Ok(held) = self.card.take() else { return };
        let card = held.shared();
        if let Err((card, failure)) = fork::short(|| card.disconnect(pcsc::Disposition::LeaveCard)) {
            match error_since(failure) {
                // Its Drop gives the context back; the reset it asks for reaches nobody.
                Error::NoService => fork::short(|| drop(card)),
                // Its Drop would reset a card that others use.
                _ => mem::forget(card),
            }
        }
    }

    /// Gives the card power if it was left without, which pcscd tells like a reset: only a new connection does that
    /// without a reset of its own. It waits for nobody, since nobody held the card a moment ago.
    fn power_up(&self) -> Native<()> {
        let card = connect_shared(self.context.ours()?, &self.reader)?;
        fork::short(|| card.disconnect(pcsc::Disposition::LeaveCard)).map_err(|(card, failure)| {
            mem::forget(card);
            failure
        })
    }

    /// Cuts the card's power unless somebody else is connected to it: only then is an exclusive connection to be had. A
    /// new one, because pcsc-lite's SCardReconnect would wait for the others without end.
    fn unpower_if_unused(&self) -> bool {
        let Ok(context) = self.context.ours() else { return false };
        match fork::long(|| context.connect(&self.reader, ShareMode::Exclusive, Protocols::ANY)) {
            Ok(card) => match fork::short(|| card.disconnect(pcsc::Disposition::UnpowerCard)) {
                Ok(()) => true,
                Err((card, failure)) => {
                    log::warn!("the card's power could not be cut: {failure}");
                    mem::forget(card);
                    false
                }
            },
            Err(failure) => {
                log::warn!("the card keeps its power: {failure}");
                false
            }
        }
    }

    /// What PC/SC says of a connected card, in our words.
    fn failure(&self, failure: pcsc::Error) -> Error {
        match failure {
            pcsc::Error::ReaderUnavailable | pcsc::Error::UnknownReader => Error::Removed,
            // Drivers say one of these for a card that was pulled out under a command as for one that fell silent.
            pcsc::Error::NotTransacted
            | pcsc::Error::NoSmartcard
            | pcsc::Error::UnresponsiveCard
            | pcsc::Error::UnpoweredCard => match self.card_is_gone() {
                Ok(true) => Error::Removed,
                Ok(false) => Error::Mute,
                Err(failure) => error_since(failure),
            },
            failure => error_since(failure),
        }
    }

    fn card_is_gone(&self) -> Native<bool> {
        let deadline = Instant::now() + REMOVAL_SHOWS_WITHIN;
        let mut state = [pcsc::ReaderState::new(self.reader.clone(), State::UNAWARE)];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let context = self.context.ours()?;
            match fork::long(|| context.get_status_change(left, &mut state)) {
                Ok(()) if state[0].event_state().contains(State::PRESENT) => state[0].sync_current_state(),
                Ok(()) | Err(pcsc::Error::UnknownReader) => return Ok(true),
                Err(pcsc::Error::Timeout) => return Ok(false),
                Err(failure) => return Err(failure),
            }
        }
    }
}

impl Held {
    /// Without its transaction; dropping that ends it and leaves the card as it is.
    fn shared(self) -> Card {
        match self {
            Held::Shared(card) => card,
            Held::Alone(card) => fork::short(|| card.into_owner()).into_inner(),
        }
    }
}

fn reconnect(card: &mut Card) -> Native<()> {
    fork::long(|| card.reconnect(ShareMode::Shared, Protocols::ANY, pcsc::Disposition::LeaveCard))
}

/// Begins a transaction. SCardBeginTransaction waits for another program's without end, inside libpcsclite, so
/// SCardGetAttrib is asked first, which answers SCARD_E_SHARING_VIOLATION at once while somebody else holds the card
/// (measured, 1.9.9). Who comes between the two calls is waited for as long as they like; that gap cannot be closed from
/// outside pcsc-lite.
fn alone(card: Card, deadline: Instant) -> std::result::Result<CardAlone, (Card, pcsc::Error)> {
    let mut atr = [0; MAX_ATR_SIZE];
    let mut attribute = || fork::short(|| card.get_attribute(Attribute::AtrString, &mut atr).map(|_| ()));
    while let Err(pcsc::Error::SharingViolation) = attribute() {
        if Instant::now() >= deadline {
            return Err((card, pcsc::Error::SharingViolation));
        }
        thread::sleep(lock_poll());
    }
    CardAlone::try_new_or_recover(MutBorrow::new(card), |card| {
        fork::long(|| card.borrow_mut().transaction2()).map_err(|(_, failure)| failure)
    })
    .map_err(|(card, failure)| (card.into_inner(), failure))
}
