//! From a slot to the card in its reader: looking, recognising, and the one place where what a reader says becomes what a
//! PKCS#11 caller is told.

use super::module::Module;
use super::present::PresentToken;
use super::reader::{CardReader, Connection};
use super::slots::{Contents, Epoch, Identity, Slot};
use crate::card::{self, Card, Key, Probe};
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::transport::{Disposition, Error as Transport};
use std::sync::Arc;

impl Module {
    /// Looks at the readers and takes in what changed. No APDU, no waiting for a card, and none for a service in which another
    /// thread hangs: what was seen last stands then. A service that cannot be asked is no reader; the next look asks again.
    pub(crate) fn look(&self) {
        let Some(_looking) = self.looking.begin() else { return };
        let mut seen = match self.readers.look() {
            Ok(seen) => seen,
            Err(error) => {
                // That it could not be looked at says nothing of a reader: what is known of it stays.
                log::debug!("cannot look at the readers: {error}");
                return;
            }
        };
        seen.retain(|reader| !self.config.ignores(&reader.name));
        let mut slots = self.slots.lock();
        let moved: Vec<_> = slots
            .apply(&seen)
            .into_iter()
            .map(|number| (number, if *slots.contents(number) == Contents::Nothing { "empty" } else { "card" }))
            .collect();
        let names: Vec<String> = slots.names().map(str::to_owned).collect();
        let epochs: Vec<Epoch> = (0..names.len()).map(|number| slots.epoch(number)).collect();
        drop(slots);
        for (number, contents) in moved {
            log::info!("reader {number}: {contents}");
        }
        let mut known = self.known.write();
        for (number, name) in names.iter().enumerate().skip(known.len()) {
            known.push(Arc::new(CardReader::new(number, name)));
        }
        let readers = known.clone();
        drop(known);
        // Nor is anybody shown a login to a card that has left: the card may be back, and somebody else log it out.
        for (reader, epoch) in readers.iter().zip(epochs) {
            reader.forget_older(epoch);
        }
    }

    /// The reader of a slot.
    pub(crate) fn reader(&self, slot: Slot) -> Result<Arc<CardReader>> {
        self.known.read().get(slot.reader).cloned().ok_or(Rv::SLOT_ID_INVALID)
    }

    /// The token in `slot`, after a look, and after asking the card what it is if nobody has yet.
    ///
    /// # Errors
    /// CKR_TOKEN_NOT_PRESENT: an empty reader, a card that is not ours or does not have this key, one that cannot be
    /// reached just now.
    pub(crate) fn token(&self, slot: Slot) -> Result<PresentToken> {
        self.look();
        self.recognise(slot.reader);
        self.present(slot).ok_or(Rv::TOKEN_NOT_PRESENT)
    }

    /// The token in `slot` as far as known.
    pub(crate) fn present(&self, slot: Slot) -> Option<PresentToken> {
        let reader = self.reader(slot).ok()?;
        let slots = self.slots.lock();
        let identity = slots.token(slot)?.clone();
        Some(PresentToken { reader, slot, epoch: slots.epoch(slot.reader), identity })
    }

    /// Asks the card in this reader what it is, unless that is known.
    pub(crate) fn recognise(&self, number: usize) {
        let unknown = || {
            let slots = self.slots.lock();
            (*slots.contents(number) == Contents::Unknown).then(|| slots.epoch(number))
        };
        if unknown().is_none() {
            return;
        }
        let Some(reader) = self.known.read().get(number).cloned() else { return };
        let mut connection = reader.connection.lock();
        // Somebody else may have asked while we waited.
        let Some(epoch) = unknown() else { return };
        if let Err(error) = self.connect(&reader, epoch, &mut connection) {
            log::warn!("reader {number}: no verdict about its card: {error}");
        }
    }

    /// Opens a connection for `epoch` and recognises the card behind it. `None` stays where the card is not ours.
    fn connect(&self, reader: &CardReader, epoch: Epoch, connection: &mut Option<Connection>) -> card::Result<()> {
        if let Some(old) = connection.take() {
            old.card.close(Disposition::Leave);
        }
        let link = self.readers.connect(&reader.name)?;
        let card = match Card::probe(link, &self.card_options)? {
            Probe::Ours(card) => *card,
            Probe::Foreign => {
                log::info!("reader {}: not a JPKI card", reader.number);
                self.slots.lock().found(reader.number, epoch, Contents::Foreign);
                return Ok(());
            }
            Probe::Unserved { label } => {
                log::warn!("reader {}: a JPKI card of a kind not known yet: {label}", reader.number);
                self.slots.lock().found(reader.number, epoch, Contents::Foreign);
                return Ok(());
            }
        };
        let identity = Identity {
            profile: card.profile(),
            info: card.info().clone(),
            keys: Key::ALL.into_iter().filter(|&key| card.has(key)).collect(),
            pss: card.may_pss(),
        };
        let mut slots = self.slots.lock();
        if let Contents::Ours(before) = slots.contents(reader.number)
            && slots.epoch(reader.number) == epoch
            && before.info != identity.info
        {
            drop(slots);
            card.close(Disposition::Leave);
            return Err(Transport::Removed.into());
        }
        slots.found(reader.number, epoch, Contents::Ours(Arc::new(identity)));
        drop(slots);
        *connection = Some(Connection { card, epoch });
        Ok(())
    }

    /// Runs `work` with the card that was in the reader at `epoch`, connecting again where the connection was lost but the
    /// card was not. Holds up other calls on this reader, and none on another.
    ///
    /// # Errors
    /// CKR_DEVICE_REMOVED: the card has gone, which ends the epoch. CKR_DEVICE_ERROR: it is there and cannot be used.
    /// CKR_CRYPTOKI_NOT_INITIALIZED: the module was closed while the call waited. Any other error of `work` is handed
    /// through.
    pub(crate) fn with_card<R>(
        &self,
        reader: &CardReader,
        epoch: Epoch,
        work: impl FnOnce(&mut Card) -> card::Result<R>,
    ) -> Result<card::Result<R>> {
        self.with_card_to_the_end(reader, epoch, |card| {
            // Looked at with the card in hand: whoever closes the module waits for that.
            if self.is_closed() {
                return Ok(None);
            }
            let done = work(card);
            if self.is_closed()
                && let Err(error) = card.settle()
            {
                // C_Finalize has not waited for this call, whose login, if it had one, is owed since then.
                log::warn!("a login that nobody ends stays on the card: {error}");
            }
            done.map(Some)
        })
        .and_then(|done| match done {
            Ok(None) => Err(Rv::CRYPTOKI_NOT_INITIALIZED),
            Ok(Some(done)) => Ok(Ok(done)),
            Err(error) => Ok(Err(error)),
        })
    }

    /// [`Module::with_card`], also when the module is closed: for ending a login.
    pub(crate) fn with_card_to_the_end<R>(
        &self,
        reader: &CardReader,
        epoch: Epoch,
        work: impl FnOnce(&mut Card) -> card::Result<R>,
    ) -> Result<card::Result<R>> {
        let mut connection = reader.connection.lock();
        if self.slots.lock().epoch(reader.number) != epoch {
            return Err(Rv::DEVICE_REMOVED);
        }
        let open = connection.as_ref().is_some_and(|connection| connection.epoch == epoch);
        let result = match if open { Ok(()) } else { self.connect(reader, epoch, &mut connection) } {
            Ok(()) => match connection.as_mut() {
                Some(connection) => work(&mut connection.card),
                None => Err(Transport::Removed.into()),
            },
            Err(error) => Err(error),
        };
        match result {
            Err(card::Error::Transport(error)) => Err(self.after_failure(reader, epoch, &mut connection, &error)),
            result => Ok(result),
        }
    }

    /// What a failure of the transport means for the connection, the slot and the caller.
    pub(crate) fn after_failure(
        &self,
        reader: &CardReader,
        epoch: Epoch,
        connection: &mut Option<Connection>,
        error: &Transport,
    ) -> Rv {
        log::warn!("reader {}: {error}", reader.number);
        let keep = matches!(error, Transport::Busy | Transport::Reset);
        if !keep && let Some(broken) = connection.take() {
            broken.card.close(Disposition::Leave);
        }
        match error {
            Transport::Removed | Transport::NoCard | Transport::NoReader | Transport::NoService => {
                self.slots.lock().lost(reader.number, epoch);
            }
            // A card lifted from a contactless reader often shows as a failed exchange first.
            _ => self.look(),
        }
        if self.slots.lock().epoch(reader.number) == epoch { Rv::DEVICE_ERROR } else { Rv::DEVICE_REMOVED }
    }
}

/// What a caller is told where the card, not the way to it, is the trouble.
pub(crate) fn device_error(error: &card::Error) -> Rv {
    log::warn!("{error}");
    Rv::DEVICE_ERROR
}
