//! C_Login, C_Logout and C_SetPIN (PKCS#11 3.0 §5.6.8–10, §5.5.9).
//!
//! A secret goes to the card only if a person has just given it for this token, in its form, and the card has not refused
//! it before; [`Application::verify`](crate::card::Application::verify) is called once, and its answer is final.

use super::cards::device_error;
use super::module::Module;
use super::present::PresentToken;
use super::reader::CardReader;
use super::refusals::Refusals;
use super::session::Session;
use super::slots::{Epoch, Slot};
use super::token::{Held, Login};
use crate::card::{self, Card, File, Key, LoginEnd, Tries};
use crate::logins::{self, Logins, Wait};
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::secret::{Malformed, Pin};
use crate::sys::LockedBytes;
use crate::transport::{Disposition, Error as Transport};
use cryptoki_sys::*;
use std::sync::Arc;
use std::time::Duration;

impl Module {
    /// C_Login. `pin` is `None` for a null pointer, which would ask for a pinpad.
    ///
    /// # Errors
    /// CKR_PIN_INCORRECT: wrong, or not sent because it is malformed or was refused before. CKR_PIN_LOCKED: also at the
    /// call that locks. CKR_FUNCTION_CANCELED: the third secret in a row that was not sent. CKR_USER_ALREADY_LOGGED_IN,
    /// CKR_USER_PIN_NOT_INITIALIZED, CKR_USER_TYPE_INVALID, CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    /// CKR_SESSION_READ_ONLY_EXISTS, CKR_OPERATION_NOT_INITIALIZED, CKR_ARGUMENTS_BAD, CKR_DEVICE_REMOVED,
    /// CKR_DEVICE_ERROR.
    pub(crate) fn login(&self, handle: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: Option<&[u8]>) -> Result<()> {
        let session = self.session(handle)?;
        match user {
            CKU_USER => self.log_in(&session, handle, pin.ok_or(Rv::ARGUMENTS_BAD)?),
            CKU_CONTEXT_SPECIFIC => self.allow_signature(&session, pin.ok_or(Rv::ARGUMENTS_BAD)?),
            CKU_SO => Err(self.refuse_security_officer(&session)?),
            _ => Err(Rv::USER_TYPE_INVALID),
        }
    }

    /// Why the security officer cannot log in (PKCS#11 3.0 §5.6.8): because of a session that could not take part, or of
    /// the user, and after all because there is none. The municipal office works with keys of its own.
    fn refuse_security_officer(&self, session: &Session) -> Result<Rv> {
        let (sessions, read_write) = self.sessions.lock().count(session.slot, session.epoch);
        Ok(if sessions > read_write {
            Rv::SESSION_READ_ONLY_EXISTS
        } else if self.is_logged_in(session)? {
            Rv::USER_ANOTHER_ALREADY_LOGGED_IN
        } else {
            Rv::USER_TYPE_INVALID
        })
    }

    /// C_LoginUser (PKCS#11 3.0 §5.6.9): as C_Login. The card knows no user but its holder, so any name is a wrong one.
    pub(crate) fn login_user(
        &self,
        handle: CK_SESSION_HANDLE,
        user: CK_USER_TYPE,
        pin: Option<&[u8]>,
        name: &[u8],
    ) -> Result<()> {
        if !name.is_empty() {
            self.check_session(handle)?;
            return Err(Rv::ARGUMENTS_BAD);
        }
        self.login(handle, user, pin)
    }

    /// C_Logout.
    ///
    /// # Errors
    /// CKR_USER_NOT_LOGGED_IN. CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR: this process is logged out, but the card could not be
    /// told.
    pub(crate) fn logout(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let session = self.session(handle)?;
        self.end_if_over(session.slot.reader, session.epoch);
        self.end_login(session.slot, session.epoch)
    }

    /// C_SetPIN: the old secret is verified and the new one set in one transaction; the card is left logged in only if
    /// this process was.
    ///
    /// # Errors
    /// CKR_PIN_INCORRECT and CKR_PIN_LOCKED speak of the old secret, CKR_PIN_LEN_RANGE and CKR_PIN_INVALID of the new one;
    /// a malformed one of either is not sent. CKR_SESSION_READ_ONLY, CKR_ARGUMENTS_BAD, CKR_DEVICE_REMOVED,
    /// CKR_DEVICE_ERROR.
    pub(crate) fn set_pin(&self, handle: CK_SESSION_HANDLE, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        let session = self.session(handle)?;
        if !session.read_write {
            return Err(Rv::SESSION_READ_ONLY);
        }
        let (old, new) = (old.ok_or(Rv::ARGUMENTS_BAD)?, new.ok_or(Rv::ARGUMENTS_BAD)?);
        self.end_if_over(session.slot.reader, session.epoch);
        let present = self.of_session(&session)?;
        let form = present.form()?;
        let new = Pin::choose(form, new).map_err(|malformed| match malformed {
            Malformed::Length(_) => Rv::PIN_LEN_RANGE,
            Malformed::Character(_) | Malformed::OneKindOnly => Rv::PIN_INVALID,
        })?;
        let old = self.well_formed(&present, old)?;
        let key = present.slot.key;
        let announced = self.announce(&present)?;
        let mut prepared = false;
        let changed = self.present_secret(&present, &old, |card, old| {
            card.session(|application| {
                let change = application.prepare_change(key)?;
                prepared = true;
                application.verify(key, old)?;
                match application.change(key, &new, &change) {
                    // The way to the card has failed, and what that means is settled where all such failures are.
                    Err(error @ card::Error::Transport(_)) => Err(error),
                    Err(error) => Ok(Err(error)),
                    Ok(()) => Ok(Ok(application.changes(key))),
                }
            })
        });
        let was_logged_in = self.is_logged_in(&session).unwrap_or(false);
        if was_logged_in && prepared {
            // After a failure nobody knows which secret the card has, and a wrong one must not be presented again.
            let held = if let Ok(Ok(changes)) = &changed { self.held(&new, key, changes.clone()) } else { None };
            present.reader.token(key).with(present.epoch, |state| {
                if let Some(login) = state.login() {
                    login.pin = held;
                }
            })?;
            // The login that goes on is announced by itself.
            announced.release();
        } else if !prepared {
            // Nothing was sent, so there is nothing to end; and who could not open a record cannot tell who else needs the
            // card.
            announced.release();
        } else if let Err(error) = self.leave_card(&present.reader, present.epoch, &announced) {
            log::warn!("the card could not be logged out after the change: {error}");
        }
        match changed? {
            Ok(_) => Ok(()),
            Err(card::Error::Logins(error)) => Err(unannounced(&error)),
            Err(error) => Err(device_error(&error)),
        }
    }

    fn log_in(&self, session: &Session, handle: CK_SESSION_HANDLE, typed: &[u8]) -> Result<()> {
        self.end_if_over(session.slot.reader, session.epoch);
        let present = self.of_session(session)?;
        if self.is_logged_in(session)? {
            return Err(Rv::USER_ALREADY_LOGGED_IN);
        }
        let key = present.slot.key;
        let pin = self.well_formed(&present, typed)?;
        let token = present.reader.token(key);
        let mut announced = Some(self.announce(&present)?);
        let mut unclear = false;
        // Looked up and begun with the card in hand, so that of two threads that log in only one sends a secret.
        let outcome = self.present_secret(&present, &pin, |card, pin| {
            if token.with(present.epoch, |state| state.is_logged_in(None)) == Ok(true) {
                return Ok(Err(Rv::USER_ALREADY_LOGGED_IN));
            }
            let changes = card.session(|application| {
                application.verify(key, pin).inspect_err(|error| unclear |= error.may_have_logged_in())?;
                Ok(application.changes(key))
            })?;
            let held = self.held(pin, key, changes);
            Ok(self.begin_login(handle, &present, held, &mut announced))
        });
        // The card may have taken the secret all the same, and nobody would end that login. And whoever has logged out
        // since this login was announced has left the card to it.
        if let Some(announced) = announced
            && let Err(error) = self.leave_card(&present.reader, present.epoch, &announced)
        {
            log::warn!("the card could not be logged out after a login that failed: {error}");
        }
        outcome?
    }

    /// Makes the token private, if its session is still open and nobody ends the module: the card has taken the secret.
    fn begin_login(
        &self,
        handle: CK_SESSION_HANDLE,
        present: &PresentToken,
        held: Option<Held>,
        announced: &mut Option<logins::Login>,
    ) -> Result<()> {
        let sessions = self.sessions.lock();
        if self.is_closed() {
            return Err(Rv::CRYPTOKI_NOT_INITIALIZED);
        }
        if !sessions.is_open(handle) {
            return Err(Rv::SESSION_HANDLE_INVALID);
        }
        present.reader.token(present.slot.key).with(present.epoch, |state| {
            if let Some(announced) = announced.take() {
                state.begin(held, announced);
            }
        })
    }

    /// C_Login with CKU_CONTEXT_SPECIFIC: the password for one signature of an always-authenticate key.
    fn allow_signature(&self, session: &Session, typed: &[u8]) -> Result<()> {
        let mut operations = session.operations.lock();
        let signing = operations.sign.as_mut().filter(|signing| signing.wants_password());
        let signing = signing.ok_or(Rv::OPERATION_NOT_INITIALIZED)?;
        if !self.is_logged_in(session)? {
            return Err(Rv::USER_NOT_LOGGED_IN);
        }
        let present = self.of_session(session)?;
        let key = present.slot.key;
        let pin = self.well_formed(&present, typed)?;
        let verified =
            self.present_secret(&present, &pin, |card, pin| card.session(|application| application.verify(key, pin)));
        // Which also logs the user out (CKA_ALWAYS_AUTHENTICATE, PKCS#11 3.0 §4.9).
        if verified == Err(Rv::PIN_LOCKED)
            && let Err(error) = self.end_login(session.slot, session.epoch)
        {
            log::warn!("the card could not be logged out: {error}");
        }
        verified?;
        signing.allow();
        Ok(())
    }

    /// What the caller typed as a secret of this token's form.
    fn well_formed(&self, present: &PresentToken, typed: &[u8]) -> Result<Pin> {
        Pin::present(present.form()?, typed).map_err(|malformed| {
            log::info!("a secret was not sent: {malformed}");
            self.unsent(present)
        })
    }

    /// Presents `pin` by `work`.
    fn present_secret<R>(
        &self,
        present: &PresentToken,
        pin: &Pin,
        work: impl FnOnce(&mut Card, &Pin) -> card::Result<R>,
    ) -> Result<R> {
        let token = present.reader.token(present.slot.key);
        match self.with_card(&present.reader, present.epoch, |card| work(card, pin))? {
            Ok(result) => {
                token.with(present.epoch, |state| state.refusals = Refusals::default())?;
                Ok(result)
            }
            Err(card::Error::Refused(tries)) => {
                token.with(present.epoch, |state| state.refusals.refused(tries))?;
                Err(match tries {
                    Tries::Left(_) | Tries::Uncounted => Rv::PIN_INCORRECT,
                    Tries::Locked => Rv::PIN_LOCKED,
                    Tries::NotInitialised => Rv::USER_PIN_NOT_INITIALIZED,
                })
            }
            Err(card::Error::RefusedBefore) => Err(self.refused_before(present)),
            Err(error @ card::Error::LastTry) => {
                log::warn!("{error}: last_try is \"jpki\", so use it with the program (jpki pin change)");
                Err(Rv::FUNCTION_CANCELED)
            }
            Err(card::Error::Logins(error)) => Err(unannounced(&error)),
            Err(error) => Err(device_error(&error)),
        }
    }

    /// What a caller is told whose secret the card has refused before.
    fn refused_before(&self, present: &PresentToken) -> Rv {
        log::info!("a secret was not sent: this card has refused it before");
        self.unsent(present)
    }

    /// What a caller is told whose secret was not sent. No try was used; the third time in a row it is told to stop, for
    /// some ask again as long as they hear CKR_PIN_INCORRECT.
    fn unsent(&self, present: &PresentToken) -> Rv {
        let token = present.reader.token(present.slot.key);
        let told = token.with(present.epoch, |state| match state.refusals.count_unsent() {
            _ if state.refusals.is_locked() => Rv::PIN_LOCKED,
            true => Rv::FUNCTION_CANCELED,
            false => Rv::PIN_INCORRECT,
        });
        told.unwrap_or_else(|error| error)
    }

    /// The secret for [`crate::card::Card::sign`]'s `regain`: of the authentication key only, if the holder allows it, and
    /// where a change of it by another process would be noticed.
    fn held(&self, pin: &Pin, key: Key, changes: Option<Vec<u64>>) -> Option<Held> {
        let changes = changes.filter(|places| !places.is_empty())?;
        if key != Key::Authentication || !self.config.hold_pin {
            return None;
        }
        match LockedBytes::new(pin.bytes()) {
            Ok(bytes) => Some(Held { bytes: Arc::new(bytes), changes }),
            Err(error) => {
                log::warn!(
                    "the PIN is not held, since there is no memory for it that can be protected (ulimit -l): {error}"
                );
                None
            }
        }
    }

    /// Shows other processes of this user that one more is about to be logged in. Waits for who ends a login just now, with
    /// no card in hand.
    ///
    /// # Errors
    /// CKR_DEVICE_ERROR, CKR_HOST_MEMORY: they could not be shown, and would end this login with theirs.
    /// CKR_CRYPTOKI_NOT_INITIALIZED: C_Finalize was called meanwhile.
    fn announce(&self, present: &PresentToken) -> Result<logins::Login> {
        let wait = Wait { longest: self.config.lock_timeout, given_up: &|| self.is_closing() };
        self.logins(present).announce(present.slot.key, &wait).map_err(|error| unannounced(&error))
    }

    /// Who is logged in to a card.
    pub(crate) fn logins(&self, present: &PresentToken) -> Logins {
        let stay = self.slots.lock().stay(present.slot.reader);
        Logins::new(&self.card_options.meeting, present.identity.info.fingerprint(), stay)
    }

    /// Ends a login on the card that nobody ends, if there is one, and shows again the logins of this process whose files
    /// somebody has taken away. No APDU and no waiting where there is none.
    pub(crate) fn settle(&self, present: &PresentToken) {
        let logins = self.logins(present);
        for key in Key::ALL {
            if let Some(own) = present.announced_for(key) {
                logins.renew(&own);
            }
        }
        if !Key::ALL.into_iter().any(|key| logins.is_marked(key)) {
            return;
        }
        let Some(mut connection) = present.reader.connection.try_lock_for(Duration::ZERO) else { return };
        let open = connection.as_mut().filter(|connection| connection.epoch == present.epoch);
        match open.map(|connection| connection.card.settle()) {
            None | Some(Ok(())) | Some(Err(card::Error::Transport(Transport::Busy))) => {}
            Some(Err(card::Error::Transport(error))) => {
                self.after_failure(&present.reader, present.epoch, &mut connection, &error);
            }
            Some(Err(error)) => log::warn!("a login that nobody ends stays on the card: {error}"),
        }
    }

    /// Ends this process's login to the token in `slot`, and the card's if it was the last.
    ///
    /// # Errors
    /// CKR_USER_NOT_LOGGED_IN, CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR.
    pub(crate) fn end_login(&self, slot: Slot, epoch: Epoch) -> Result<()> {
        let reader = self.reader(slot)?;
        let guarded = self.guarded(slot);
        let login = reader.token(slot.key).with(epoch, |state| state.end(guarded))?;
        self.leave_card(&reader, epoch, &login.ok_or(Rv::USER_NOT_LOGGED_IN)?.announced)
    }

    /// Ends a login that has lasted longer than it may, whichever token of the card in this reader is asked for: it counts
    /// for nobody, and is not left to the card's next user.
    pub(crate) fn end_if_over(&self, reader: usize, epoch: Epoch) {
        let slot = Slot { reader, key: Key::Authentication };
        let (max_login, guarded) = (self.max_login(slot), self.guarded(slot));
        let Ok(reader) = self.reader(slot) else { return };
        if let Ok(Some(login)) = reader.token(slot.key).with(epoch, |state| state.end_if_over(max_login, guarded)) {
            log::info!("a login has ended after auth.max_login");
            if let Err(error) = self.leave_card(&reader, epoch, &login.announced) {
                log::warn!("the card could not be logged out: {error}");
            }
        }
    }

    /// Ends all logins of this process in one reader.
    pub(crate) fn end_all_logins(&self, reader: &CardReader) {
        let epoch = self.slots.lock().epoch(reader.number);
        for key in Key::ALL {
            match self.end_login(Slot { reader: reader.number, key }, epoch) {
                Ok(()) | Err(Rv::USER_NOT_LOGGED_IN | Rv::DEVICE_REMOVED) => {}
                Err(error) => log::warn!("the card could not be logged out: {error}"),
            }
        }
    }

    /// Makes the tokens of one reader public without asking its card, which cannot be asked.
    pub(crate) fn forget_logins(&self, reader: &CardReader) {
        let epoch = self.slots.lock().epoch(reader.number);
        for key in Key::ALL {
            // An epoch that is over has no login.
            let _ = reader.token(key).with(epoch, |state| state.end(true));
        }
    }

    /// What a caller is told whom the card has refused something.
    ///
    /// CKR_USER_NOT_LOGGED_IN: the card no longer knows of the login; the token is public by then. CKR_DEVICE_ERROR.
    pub(crate) fn card_failure(&self, present: &PresentToken, error: &card::Error) -> Rv {
        if error.is_not_verified() {
            self.login_lost(present);
            return Rv::USER_NOT_LOGGED_IN;
        }
        device_error(error)
    }

    /// Makes the token public because the card no longer knows of the login. Sessions report it before the caller of this
    /// is told CKR_USER_NOT_LOGGED_IN.
    fn login_lost(&self, present: &PresentToken) {
        log::info!("the card has lost the login");
        let guarded = present.is_guarded(File::Holder(present.slot.key));
        let token = present.reader.token(present.slot.key);
        // There is nothing to end on the card, which has set the records right where it said so (`Channel::needing`).
        let _ = token.with(present.epoch, |state| state.end(guarded));
    }

    /// Leaves the card logged out, unless somebody else is still logged in to it whom that would end and must not
    /// ([`crate::logins`]). Also once the module is closed: nothing else may go to a card then.
    fn leave_card(&self, reader: &CardReader, epoch: Epoch, login: &logins::Login) -> Result<()> {
        let left = self.with_card_to_the_end(reader, epoch, |card| card.end_login(login));
        // Who could not reach the card owes it to whoever can, and must not be taken for logged in meanwhile.
        login.release();
        match left? {
            Ok(LoginEnd::Out | LoginEnd::Others) => Ok(()),
            Ok(LoginEnd::Refused(last)) => {
                log::warn!("the card would not be logged out; it is left without power where nobody else uses it");
                let connection = reader.connection.lock().take();
                if connection.is_some_and(|connection| connection.card.close(Disposition::Unpower)) {
                    last.left();
                    return Ok(());
                }
                log::warn!("the card may still be logged in; take it out of its reader");
                Err(Rv::DEVICE_ERROR)
            }
            Err(error) => Err(device_error(&error)),
        }
    }

    /// [`Module::leave_card`] for a login that was taken from its token.
    pub(crate) fn leave_card_of(&self, reader: &CardReader, epoch: Epoch, login: &Login) {
        if let Err(error) = self.leave_card(reader, epoch, &login.announced) {
            log::warn!("reader {}: the login could not be ended on the card: {error}", reader.number);
        }
    }

    /// How long a login to this slot's token lasts.
    pub(crate) fn max_login(&self, slot: Slot) -> Option<Duration> {
        self.config.max_login.filter(|_| slot.key == Key::Authentication)
    }

    /// Whether the holder's certificate of this slot's token is guarded by its secret.
    pub(crate) fn guarded(&self, slot: Slot) -> bool {
        self.present(slot).is_none_or(|present| present.is_guarded(File::Holder(slot.key)))
    }
}

/// What a caller is told whose login, or change of a secret, other processes could not be told of. Nothing was sent.
fn unannounced(error: &logins::Error) -> Rv {
    log::warn!("{error}");
    match error {
        logins::Error::Held | logins::Error::Place(_) => Rv::DEVICE_ERROR,
        logins::Error::Scarce(_) => Rv::HOST_MEMORY,
        logins::Error::GivenUp => Rv::CRYPTOKI_NOT_INITIALIZED,
    }
}
