//! Signing: the life of an operation (PKCS#11 3.0 §5.2, §5.13) and the way to the card.
//!
//! "A call to C_Sign always terminates the active signing operation unless it returns CKR_BUFFER_TOO_SMALL or is a
//! successful call to determine the length of the buffer needed" (§5.13.2): so the length is settled first, then the
//! operation is taken out of the session, and whatever happens afterwards it has ended.

use super::mechanism::{CardInput, Operation, Parsed, SALT_LEN};
use super::operation::Signing;
use super::verify::PublicKey;
use crate::card::{self, Application, File, Key, Scheme, Tries};
use crate::pkcs11::edge::ffi::{In, OutBuf, Room};
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::pkcs11::objects::object::{Object, is_of};
use crate::pkcs11::state::module::Module;
use crate::pkcs11::state::present::PresentToken;
use crate::pkcs11::state::session::Session;
use crate::pkcs11::state::token::{Held, State};
use crate::secret::Pin;
use cryptoki_sys::*;
use std::sync::Arc;

impl Module {
    /// C_SignInit.
    pub(crate) fn sign_init(&self, handle: CK_SESSION_HANDLE, mechanism: Parsed, key: CK_OBJECT_HANDLE) -> Result<()> {
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        if operations.sign.is_some() {
            return Err(Rv::OPERATION_ACTIVE);
        }
        self.end_if_over(session.slot.reader, session.epoch);
        let (present, key) = self.key(&session, Object::PrivateKey, key)?;
        mechanism.expect_among(self.offers(&present))?;
        let wants_password = self.always_authenticates(session.slot.key);
        operations.sign = Some(Signing { operation: Operation::new(mechanism), key, wants_password });
        Ok(())
    }

    /// C_SignInit without a mechanism: cancels the operation (PKCS#11 3.0 §5.13.1).
    pub(crate) fn sign_cancel(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        self.session(handle)?.operations.lock().sign = None;
        Ok(())
    }

    /// Ends the operation for a call whose arguments were no good; without one there is nothing to end.
    pub(crate) fn sign_abort(&self, handle: CK_SESSION_HANDLE) {
        if let Ok(session) = self.session(handle) {
            session.operations.lock().sign = None;
        }
    }

    /// C_Sign. The signature may be written over the data.
    pub(crate) fn sign<'a>(
        &self,
        handle: CK_SESSION_HANDLE,
        data: impl Into<In<'a>>,
        out: &mut OutBuf<'_>,
    ) -> Result<()> {
        self.end_sign(handle, Some(data.into()), out)
    }

    /// C_SignUpdate. An error ends the operation (§5.13.3).
    pub(crate) fn sign_update<'a>(&self, handle: CK_SESSION_HANDLE, part: impl Into<In<'a>>) -> Result<()> {
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        let signing = operations.sign.as_mut().ok_or(Rv::OPERATION_NOT_INITIALIZED)?;
        signing.operation.update(part).inspect_err(|_| operations.sign = None)
    }

    /// C_SignFinal.
    pub(crate) fn sign_final(&self, handle: CK_SESSION_HANDLE, out: &mut OutBuf<'_>) -> Result<()> {
        self.end_sign(handle, None, out)
    }

    /// C_Sign with its data, or C_SignFinal without.
    fn end_sign(&self, handle: CK_SESSION_HANDLE, data: Option<In<'_>>, out: &mut OutBuf<'_>) -> Result<()> {
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        let signing = operations.sign.as_ref().ok_or(Rv::OPERATION_NOT_INITIALIZED)?;
        match out.negotiate(signing.signature_len())? {
            Room::LengthOnly => return Ok(()),
            Room::Enough => {}
        }
        let Some(Signing { mut operation, key, wants_password }) = operations.sign.take() else {
            return Err(Rv::OPERATION_NOT_INITIALIZED);
        };
        if let Some(data) = data {
            if operation.is_multi_part() {
                return Err(Rv::OPERATION_ACTIVE);
            }
            operation.update(data)?;
        }
        let input = operation.finish(key.signature_len())?;
        self.end_if_over(session.slot.reader, session.epoch);
        out.write(&self.sign_on_card(&session, &key, wants_password, &input)?)
    }

    /// The key behind a handle of this class.
    ///
    /// # Errors
    /// CKR_KEY_HANDLE_INVALID, also for a private key's whose login is over. CKR_KEY_FUNCTION_NOT_PERMITTED: the handle of
    /// the other class.
    pub(crate) fn key(
        &self,
        session: &Session,
        class: Object,
        handle: CK_OBJECT_HANDLE,
    ) -> Result<(PresentToken, PublicKey)> {
        let present = self.of_session(session)?;
        let object = self.object(session, &present, handle).map_err(|error| match error {
            Rv::OBJECT_HANDLE_INVALID => Rv::KEY_HANDLE_INVALID,
            error => error,
        })?;
        match object {
            object if object == class => {}
            Object::PublicKey | Object::PrivateKey => return Err(Rv::KEY_FUNCTION_NOT_PERMITTED),
            _ => return Err(Rv::KEY_HANDLE_INVALID),
        }
        let certificate = self.certificate(&present, File::Holder(session.slot.key))?.ok_or(Rv::KEY_HANDLE_INVALID)?;
        let key = certificate.public_key().ok().filter(|key| is_of(key, present.identity.profile.algorithm));
        let key = key.as_ref().and_then(PublicKey::new).ok_or(Rv::KEY_HANDLE_INVALID)?;
        Ok((present, key))
    }

    /// Has the card sign, and lets the signature out only if it is one by this key over this input.
    ///
    /// # Errors
    /// CKR_USER_NOT_LOGGED_IN: not logged in, or no longer; the token is public by then. CKR_DEVICE_REMOVED: the card has
    /// gone, or its certificate was renewed. CKR_FUNCTION_FAILED: the card has no PSS, which the mechanism list tells from
    /// now on. CKR_DEVICE_ERROR.
    fn sign_on_card(
        &self,
        session: &Session,
        key: &PublicKey,
        wants_password: bool,
        input: &CardInput,
    ) -> Result<Vec<u8>> {
        let present = self.of_session(session)?;
        let mut held = self.allowed(&present, wants_password)?;
        let signature = self.ask_card(&present, &mut held, input)?;
        if self.is_sound(key, input, &signature) {
            return Ok(signature);
        }
        self.expect_same_certificate(&present)?;
        let signature = self.ask_card(&present, &mut held, input)?;
        if self.is_sound(key, input, &signature) {
            return Ok(signature);
        }
        log::warn!("the card signs with another key than its certificate says");
        Err(Rv::DEVICE_ERROR)
    }

    /// Whether this signature may be asked for, and the secret to present again should the card have forgotten it.
    fn allowed(&self, present: &PresentToken, wants_password: bool) -> Result<Option<Held>> {
        let max_login = self.max_login(present.slot);
        present.reader.token(present.slot.key).with(present.epoch, |state: &mut State| {
            if !state.is_logged_in(max_login) {
                return Err(Rv::USER_NOT_LOGGED_IN);
            }
            let login = state.login().ok_or(Rv::USER_NOT_LOGGED_IN)?;
            // A login of just now counts for one signature: OpenSSH gives no second password after it.
            let fresh = login.take_fresh();
            if wants_password && !fresh {
                return Err(Rv::USER_NOT_LOGGED_IN);
            }
            Ok(login.pin.clone())
        })?
    }

    /// One signature from the card, as it comes. The held secret is taken when it is needed: at most once a C_Sign, however
    /// often the card is asked.
    fn ask_card(&self, present: &PresentToken, held: &mut Option<Held>, input: &CardInput) -> Result<Vec<u8>> {
        let key = present.slot.key;
        let (scheme, data) = match input {
            CardInput::Pkcs1 { data } => (Scheme::Pkcs1, data.as_slice()),
            CardInput::Pss { hash } => (Scheme::Pss, hash.as_slice()),
            CardInput::Ecdsa { hash } => (Scheme::Ecdsa, hash.as_slice()),
        };
        let form = present.form()?;
        let token = present.reader.token(key);
        let full = present.identity.profile.key(key).map_or(0, |profile| profile.tries);
        let signed = self.with_card(&present.reader, present.epoch, |card| {
            let login = present.announced();
            card.sign(key, scheme, data, login.as_deref(), |application| {
                // The login may have been ended, or its secret changed, since it was looked at.
                let held = held.take().filter(|held| {
                    let is_held = |state: &mut State| {
                        let now = state.login().and_then(|login| login.pin.as_ref());
                        now.is_some_and(|now| Arc::ptr_eq(&now.bytes, &held.bytes))
                    };
                    !self.is_closed()
                        && token.with(present.epoch, is_held).unwrap_or(false)
                        // Read in this transaction, in which nobody else can change it.
                        && application.changes(key).as_ref() == Some(&held.changes)
                });
                let pin = held.and_then(|held| Pin::present(form, held.bytes.expose()).ok());
                let Some(pin) = pin else { return Ok(false) };
                match regain(application, key, &pin, full) {
                    Err(card::Error::Refused(_) | card::Error::RefusedBefore | card::Error::LastTry) => Ok(false),
                    regained => regained,
                }
            })
        })?;
        match signed {
            Ok(signature) => Ok(signature),
            Err(card::Error::NoPss) => {
                log::warn!("this card makes no PSS signatures; it is offered none from now on");
                self.slots.lock().without_pss(present.slot.reader, present.epoch);
                Err(Rv::FUNCTION_FAILED)
            }
            Err(error) => Err(self.card_failure(present, &error)),
        }
    }

    fn is_sound(&self, key: &PublicKey, input: &CardInput, signature: &[u8]) -> bool {
        if key.verify(input, signature).is_ok() {
            return true;
        }
        match key.salt_len(input, signature) {
            Some(len) => log::warn!("the card's PSS signature has a salt of {len} bytes, not {SALT_LEN}"),
            None => log::warn!("the card's signature does not fit its certificate"),
        }
        false
    }

    /// Whether the certificate on the card is still the one whose key was checked against; if not, the card was renewed
    /// under our hands, and everything known of it is over.
    fn expect_same_certificate(&self, present: &PresentToken) -> Result<()> {
        let file = File::Holder(present.slot.key);
        let known = self.certificate(present, file)?;
        let head = self
            .with_card(&present.reader, present.epoch, |card| {
                card.certificate_head(file, present.announced().as_deref())
            })?
            .map_err(|error| self.card_failure(present, &error))?
            .unwrap_or_default();
        if known
            .is_some_and(|known| known.der().iter().zip(&head).all(|(known, read)| known == read) && !head.is_empty())
        {
            return Ok(());
        }
        log::warn!("the card's certificate has changed");
        self.slots.lock().lost(present.slot.reader, present.epoch);
        Err(Rv::DEVICE_REMOVED)
    }
}

/// Presents the held secret again, if nothing speaks against it: the same card to the last byte of EF 0006, and nobody has
/// mistyped the secret since. Whether it was changed by a process of this user was looked at before.
///
/// # Errors
/// [`card::Error::Refused`]: the secret was changed meanwhile, by somebody of whom this user's processes know nothing.
fn regain(application: &mut Application<'_, '_>, key: Key, pin: &Pin, full: u8) -> card::Result<bool> {
    if !application.is_same_card()? || application.tries(key)? != Tries::Left(full) {
        return Ok(false);
    }
    application.verify(key, pin)?;
    log::info!("the card had lost the login; the held secret was presented again");
    Ok(true)
}
