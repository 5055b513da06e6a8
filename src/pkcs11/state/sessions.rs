//! C_OpenSession and what is asked of a session (PKCS#11 3.0 §5.6).

use super::lock::Mutex;
use super::module::Module;
use super::present::PresentToken;
use super::session::{OpenSessions, Session};
use super::slots::{Epoch, Slot};
use crate::card::{self, File};
use crate::cert::Certificate;
use crate::pkcs11::edge::rv::{Result, Rv};
use cryptoki_sys::*;
use std::sync::Arc;

impl Module {
    /// C_OpenSession. No APDU once the card is recognised, but for ending a login that nobody has any more.
    pub(crate) fn open_session(&self, id: CK_SLOT_ID, flags: CK_FLAGS) -> Result<CK_SESSION_HANDLE> {
        let slot = self.slot(id)?;
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Rv::SESSION_PARALLEL_NOT_SUPPORTED);
        }
        if flags & CKF_ASYNC_SESSION != 0 {
            return Err(Rv::SESSION_ASYNC_NOT_SUPPORTED);
        }
        // What is asked for without our knowing what it is could not be kept.
        if flags & !(CKF_SERIAL_SESSION | CKF_RW_SESSION) != 0 {
            return Err(Rv::ARGUMENTS_BAD);
        }
        let present = self.token(slot)?;
        let epoch = present.epoch;
        self.end_if_over(slot.reader, epoch);
        self.settle(&present);
        let mut sessions = self.sessions.lock();
        sessions.purge(slot.reader, epoch);
        Ok(sessions.add(Session { slot, epoch, read_write: flags & CKF_RW_SESSION != 0, operations: Mutex::default() }))
    }

    /// C_CloseSession; the last one to close ends the login (§5.6.2).
    pub(crate) fn close_session(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let session = self.session(handle)?;
        let mut removed = false;
        self.close_sessions(session.slot, session.epoch, |open| removed = open.remove(&handle).is_some());
        if removed { Ok(()) } else { Err(Rv::SESSION_HANDLE_INVALID) }
    }

    /// C_CloseAllSessions with the token in a slot.
    pub(crate) fn close_all_sessions(&self, id: CK_SLOT_ID) -> Result<()> {
        let slot = self.slot(id)?;
        let epoch = self.slots.lock().epoch(slot.reader);
        self.close_sessions(slot, epoch, |open| open.retain(|_, session| session.slot != slot));
        Ok(())
    }

    /// Closes the sessions that `close` takes out of the table, and ends the login to the token if none is left (PKCS#11 3.0
    /// §5.6.2). With the table in hand: a session that is opened now, and a login that it begins, come before or after.
    fn close_sessions(&self, slot: Slot, epoch: Epoch, close: impl FnOnce(&mut OpenSessions)) {
        self.end_if_over(slot.reader, epoch);
        let (reader, guarded) = (self.reader(slot), self.guarded(slot));
        let mut sessions = self.sessions.lock();
        close(&mut sessions.open);
        let Ok(reader) = reader else { return };
        if sessions.count(slot, epoch).0 > 0 {
            return;
        }
        let login = reader.token(slot.key).with(epoch, |state| state.end(guarded));
        drop(sessions);
        // An epoch that is over has no login.
        if let Ok(Some(login)) = login {
            self.leave_card_of(&reader, epoch, &login);
        }
    }

    /// C_GetSessionInfo. No APDU, but for ending a login that is over after `auth.max_login`: some programs ask nothing else
    /// for hours.
    pub(crate) fn session_info(&self, handle: CK_SESSION_HANDLE) -> Result<CK_SESSION_INFO> {
        self.look();
        let session = self.session(handle)?;
        self.end_if_over(session.slot.reader, session.epoch);
        let state = match (session.read_write, self.is_logged_in(&session)?) {
            (false, false) => CKS_RO_PUBLIC_SESSION,
            (false, true) => CKS_RO_USER_FUNCTIONS,
            (true, false) => CKS_RW_PUBLIC_SESSION,
            (true, true) => CKS_RW_USER_FUNCTIONS,
        };
        Ok(CK_SESSION_INFO {
            slotID: session.slot.id(),
            state,
            flags: CKF_SERIAL_SESSION | if session.read_write { CKF_RW_SESSION } else { 0 },
            ulDeviceError: 0,
        })
    }

    /// C_SessionCancel: ends the operations that `flags` names (PKCS#11 3.0 §5.6.5).
    pub(crate) fn session_cancel(&self, handle: CK_SESSION_HANDLE, flags: CK_FLAGS) -> Result<()> {
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        if flags & CKF_FIND_OBJECTS != 0 {
            operations.found = None;
        }
        if flags & CKF_SIGN != 0 {
            operations.sign = None;
        }
        if flags & CKF_VERIFY != 0 {
            operations.verify = None;
        }
        Ok(())
    }

    /// C_GetSessionValidationFlags (PKCS#11 3.2 §5.6.11): none. No authority has validated this module, whatever the card may
    /// be certified for.
    ///
    /// # Errors
    /// CKR_ARGUMENTS_BAD: flags of another kind than the one there is.
    pub(crate) fn validation_flags(
        &self,
        handle: CK_SESSION_HANDLE,
        kind: CK_SESSION_VALIDATION_FLAGS_TYPE,
    ) -> Result<CK_FLAGS> {
        self.check_session(handle)?;
        if kind == CKS_LAST_VALIDATION_OK { Ok(0) } else { Err(Rv::ARGUMENTS_BAD) }
    }

    /// The open session with this handle.
    ///
    /// # Errors
    /// CKR_SESSION_HANDLE_INVALID: never opened, closed, or its card has left.
    pub(crate) fn session(&self, handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
        let session = self.sessions.lock().open.get(&handle).cloned().ok_or(Rv::SESSION_HANDLE_INVALID)?;
        if self.slots.lock().epoch(session.slot.reader) == session.epoch {
            return Ok(session);
        }
        self.sessions.lock().open.remove(&handle);
        Err(Rv::SESSION_HANDLE_INVALID)
    }

    /// What is asked before anything else of a call, also of a function that this module does not offer.
    ///
    /// # Errors
    /// As [`Module::session`].
    pub(crate) fn check_session(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        self.session(handle).map(drop)
    }

    /// The token of an open session, as far as known.
    pub(crate) fn of_session(&self, session: &Session) -> Result<PresentToken> {
        self.present(session.slot).filter(|present| present.epoch == session.epoch).ok_or(Rv::DEVICE_REMOVED)
    }

    /// Whether the user is logged in to the session's token.
    pub(crate) fn is_logged_in(&self, session: &Session) -> Result<bool> {
        let max_login = self.max_login(session.slot);
        let reader = self.reader(session.slot)?;
        reader.token(session.slot.key).with(session.epoch, |state| state.is_logged_in(max_login))
    }

    /// A certificate of the session's token, read from the card at first need; `None` if there is none, or none that can
    /// be understood.
    ///
    /// # Errors
    /// CKR_USER_NOT_LOGGED_IN: it is guarded by the secret, and the card no longer knows of the login; the token is public
    /// by then. CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR.
    pub(crate) fn certificate(&self, present: &PresentToken, file: File) -> Result<Option<Arc<Certificate>>> {
        let PresentToken { reader, slot, epoch, .. } = present;
        let token = reader.token(slot.key);
        if let Some(read) = token.with(*epoch, |state| state.certificate(file).clone())? {
            return Ok(read);
        }
        let der = match self.with_card(reader, *epoch, |card| card.certificate(file, present.announced().as_deref()))? {
            Ok(der) => der,
            // The holder's own objects are found without it.
            Err(error @ card::Error::Status { .. })
                if matches!(file, File::Authority(_)) && !error.is_not_verified() =>
            {
                log::warn!("the card does not give the certificate of its authority: {error}");
                None
            }
            Err(error) => return Err(self.card_failure(present, &error)),
        };
        let certificate = der.and_then(|der| match Certificate::parse(&der) {
            Ok(certificate) => {
                if let Err(error) = certificate.public_key() {
                    log::warn!("a certificate on the card has no key that can be used: {error}");
                }
                Some(Arc::new(certificate))
            }
            Err(error) => {
                log::warn!("a certificate on the card cannot be used: {error}");
                None
            }
        });
        let max_login = self.max_login(*slot);
        let guarded = present.is_guarded(file);
        token.with(*epoch, |state| {
            // Nothing personal outlives the login under which it was read; its memory is wiped as it goes (`sys/wiping.rs`).
            if !guarded || state.is_logged_in(max_login) {
                *state.certificate(file) = Some(certificate.clone());
            }
        })?;
        Ok(certificate)
    }
}
