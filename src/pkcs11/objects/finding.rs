//! How the objects of a token are found and asked (PKCS#11 3.0 §5.7). A certificate is read when an object that depends on
//! it is first asked for.

use super::attribute::Facts;
use super::object::Object;
use crate::card::Key;
use crate::cert::Certificate;
use crate::pkcs11::edge::ffi::{Answer, AttributesOut, Template};
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::pkcs11::state::module::Module;
use crate::pkcs11::state::present::PresentToken;
use crate::pkcs11::state::session::Session;
use cryptoki_sys::*;
use std::sync::Arc;

impl Module {
    /// C_FindObjectsInit. Attributes that no object has, and vendors' own, match nothing and are no error.
    pub(crate) fn find_init(&self, handle: CK_SESSION_HANDLE, template: &Template<'_>) -> Result<()> {
        // What is found is used at once, for a signature, say; NSS believes for a second that a card is still there, and
        // Firefox waits without end for a handshake whose signature then fails.
        self.look();
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        if operations.found.is_some() {
            return Err(Rv::OPERATION_ACTIVE);
        }
        self.end_if_over(session.slot.reader, session.epoch);
        let present = self.of_session(&session)?;
        let mut found = std::collections::VecDeque::new();
        for (ordinal, object) in (0..).zip(Object::ALL) {
            // Asked for each: a login can be found lost while the objects are gone through.
            let Some(handle) = self.handle(&session, &present, object, ordinal)? else { continue };
            match self.matches(&present, object, template) {
                Ok(true) => found.push_back(handle),
                Ok(false) | Err(Rv::USER_NOT_LOGGED_IN) => {}
                Err(error) => return Err(error),
            }
        }
        operations.found = Some(found);
        Ok(())
    }

    /// C_FindObjects: the next handles, at most `max`.
    pub(crate) fn find(&self, handle: CK_SESSION_HANDLE, max: usize) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        let found = operations.found.as_mut().ok_or(Rv::OPERATION_NOT_INITIALIZED)?;
        let count = max.min(found.len());
        Ok(found.drain(..count).collect())
    }

    /// C_FindObjectsFinal.
    pub(crate) fn find_final(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let session = self.session(handle)?;
        let found = session.operations.lock().found.take();
        found.map(drop).ok_or(Rv::OPERATION_NOT_INITIALIZED)
    }

    /// C_GetAttributeValue.
    pub(crate) fn attributes(
        &self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        questions: &mut AttributesOut<'_>,
    ) -> Result<()> {
        let session = self.session(handle)?;
        let _operations = session.operations.lock();
        let present = self.of_session(&session)?;
        let object = self.object(&session, &present, object)?;
        let facts = self.facts(&present, object)?;
        let mut certificate = None;
        questions.answer(|attribute| {
            if let Some(answer) = facts.fixed(attribute) {
                return Ok(answer);
            }
            if certificate.is_none() {
                certificate = Some(self.certificate_of(&present, object)?);
            }
            Ok(match &certificate {
                Some(Some(certificate)) => facts.of_certificate(attribute, certificate),
                _ => Answer::Unknown,
            })
        })
    }

    /// C_GetObjectSize: the size of what the object is made from.
    pub(crate) fn object_size(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<CK_ULONG> {
        let session = self.session(handle)?;
        let _operations = session.operations.lock();
        let present = self.of_session(&session)?;
        let object = self.object(&session, &present, object)?;
        let certificate = self.certificate_of(&present, object)?;
        let size = certificate.map_or(0, |certificate| match object {
            Object::PublicKey | Object::PrivateKey => certificate.public_key_info().len(),
            _ => certificate.der().len(),
        });
        Ok(size as CK_ULONG)
    }

    /// C_CreateObject: nothing can be put on the card, and this module keeps nothing beside it.
    pub(crate) fn create_object(&self, handle: CK_SESSION_HANDLE, template: &Template<'_>) -> Result<CK_OBJECT_HANDLE> {
        let session = self.session(handle)?;
        let on_token = template.value(CKA_TOKEN).is_some_and(|value| value == [CK_TRUE]);
        Err(if on_token && !session.read_write { Rv::SESSION_READ_ONLY } else { Rv::FUNCTION_NOT_SUPPORTED })
    }

    /// C_CopyObject: no object is CKA_COPYABLE.
    pub(crate) fn copy_object(
        &self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        _template: &Template<'_>,
    ) -> Result<CK_OBJECT_HANDLE> {
        let session = self.session(handle)?;
        self.object(&session, &self.of_session(&session)?, object)?;
        Err(Rv::ACTION_PROHIBITED)
    }

    /// C_DestroyObject: no object is CKA_DESTROYABLE.
    pub(crate) fn destroy_object(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<()> {
        self.refuse_change(handle, object)
    }

    /// C_SetAttributeValue: no object is CKA_MODIFIABLE.
    pub(crate) fn set_attributes(
        &self,
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        _template: &Template<'_>,
    ) -> Result<()> {
        self.refuse_change(handle, object)
    }

    fn refuse_change(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<()> {
        let session = self.session(handle)?;
        self.object(&session, &self.of_session(&session)?, object)?;
        Err(if session.read_write { Rv::ACTION_PROHIBITED } else { Rv::SESSION_READ_ONLY })
    }

    /// Whether a handle is one of a key; for functions that are not offered.
    ///
    /// # Errors
    /// `otherwise`, where it is not.
    pub(crate) fn check_key(&self, handle: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE, otherwise: Rv) -> Result<()> {
        let session = self.session(handle)?;
        match self.object(&session, &self.of_session(&session)?, key) {
            Ok(Object::PublicKey | Object::PrivateKey) => Ok(()),
            Ok(_) | Err(Rv::OBJECT_HANDLE_INVALID) => Err(otherwise),
            Err(error) => Err(error),
        }
    }

    /// The object behind a handle.
    ///
    /// # Errors
    /// CKR_OBJECT_HANDLE_INVALID: never given out, or of a login or a card that is over.
    pub(crate) fn object(&self, session: &Session, present: &PresentToken, handle: CK_OBJECT_HANDLE) -> Result<Object> {
        let handle = u32::try_from(handle).map_err(|_| Rv::OBJECT_HANDLE_INVALID)?;
        let max_login = self.max_login(session.slot);
        let (public, private) = present
            .reader
            .token(session.slot.key)
            .with(session.epoch, |state| (state.public_handles(), state.private_handles(max_login)))?;
        let (ordinal, is_private) = match (public.ordinal(handle), private.and_then(|block| block.ordinal(handle))) {
            (Some(ordinal), _) => (ordinal, false),
            (None, Some(ordinal)) => (ordinal, true),
            (None, None) => return Err(Rv::OBJECT_HANDLE_INVALID),
        };
        let object = Object::ALL.get(ordinal as usize).copied().ok_or(Rv::OBJECT_HANDLE_INVALID)?;
        let facts = self.facts(present, object)?;
        let fits = object.is_private(facts.key, facts.authorities) == is_private && self.shows(present, object);
        if fits { Ok(object) } else { Err(Rv::OBJECT_HANDLE_INVALID) }
    }

    /// Whether the token in this slot may have such an object, and the file we are loaded from shows it.
    fn shows(&self, present: &PresentToken, object: Object) -> bool {
        object.belongs_to(present.identity.kind(), present.slot.key, self.view.authorities)
    }

    /// The handle under which a session sees an object; `None` if it does not.
    fn handle(
        &self,
        session: &Session,
        present: &PresentToken,
        object: Object,
        ordinal: u32,
    ) -> Result<Option<CK_OBJECT_HANDLE>> {
        let facts = self.facts(present, object)?;
        let is_private = object.is_private(facts.key, facts.authorities);
        if !self.shows(present, object) {
            return Ok(None);
        }
        let max_login = self.max_login(session.slot);
        let block = present.reader.token(session.slot.key).with(session.epoch, |state| {
            if is_private { state.private_handles(max_login) } else { Some(state.public_handles()) }
        })?;
        Ok(block.map(|block| CK_OBJECT_HANDLE::from(block.handle(ordinal))))
    }

    /// Whether the object exists and has all attributes of the template. The card is read only if what is fixed matches.
    fn matches(&self, present: &PresentToken, object: Object, template: &Template<'_>) -> Result<bool> {
        let facts = self.facts(present, object)?;
        let differs = |(attribute, wanted): (CK_ATTRIBUTE_TYPE, &[u8])| match facts.fixed(attribute) {
            Some(Answer::Value(value)) => *value != *wanted,
            Some(Answer::Sensitive | Answer::Unknown) => true,
            None => false,
        };
        if template.iter().any(differs) {
            return Ok(false);
        }
        if object.file(present.slot.key).is_none() {
            return Ok(template.iter().all(|(attribute, _)| facts.fixed(attribute).is_some()));
        }
        let Some(certificate) = self.certificate_of(present, object)? else { return Ok(false) };
        if !object.exists_by(&certificate, facts.algorithm) {
            return Ok(false);
        }
        let mut derived = template.iter().filter(|(attribute, _)| facts.fixed(*attribute).is_none());
        Ok(derived.all(|(attribute, wanted)| {
            matches!(facts.of_certificate(attribute, &certificate), Answer::Value(value) if *value == *wanted)
        }))
    }

    fn certificate_of(&self, present: &PresentToken, object: Object) -> Result<Option<Arc<Certificate>>> {
        match object.file(present.slot.key) {
            Some(file) => self.certificate(present, file),
            None => Ok(None),
        }
    }

    fn facts(&self, present: &PresentToken, object: Object) -> Result<Facts> {
        let key = present.slot.key;
        Ok(Facts {
            object,
            key: present.identity.profile.key(key).ok_or(Rv::DEVICE_REMOVED)?,
            authorities: self.view.authorities,
            always_authenticate: self.always_authenticates(key),
            algorithm: self.offers(present),
        })
    }

    /// Whether this key wants its password before every signature.
    pub(crate) fn always_authenticates(&self, key: Key) -> bool {
        key == Key::Signature && self.config.always_authenticate
    }
}
