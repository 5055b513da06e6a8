//! Verifying, in software: the life of an operation (PKCS#11 3.0 §5.15). No login is needed, and the card is asked for the
//! certificate only.
//!
//! The signature comes at the end, or since PKCS#11 3.2 as the operation begins (§5.15.7–10 there). A session has one verifying
//! operation of either kind, and the functions of one kind find none of the other and leave it as it is. What ends one without
//! an answer, an init without a mechanism or C_SessionCancel, ends either.

use super::mechanism::{Operation, Parsed};
use super::operation::{Given, Verifying};
use super::verify::PublicKey;
use crate::pkcs11::edge::ffi::In;
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::pkcs11::objects::object::Object;
use crate::pkcs11::state::module::Module;
use cryptoki_sys::*;

impl Module {
    /// C_VerifyInit.
    pub(crate) fn verify_init(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: Parsed,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        self.begin_verify(handle, mechanism, key, None)
    }

    /// C_VerifySignatureInit. A signature of a length that no signature of this key has begins nothing.
    pub(crate) fn verify_signature_init<'s>(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: Parsed,
        key: CK_OBJECT_HANDLE,
        signature: impl Into<In<'s>>,
    ) -> Result<()> {
        self.begin_verify(handle, mechanism, key, Some(signature.into()))
    }

    fn begin_verify(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: Parsed,
        key: CK_OBJECT_HANDLE,
        signature: Option<In<'_>>,
    ) -> Result<()> {
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        if operations.verify.is_some() {
            return Err(Rv::OPERATION_ACTIVE);
        }
        let (present, key) = self.key(&session, Object::PublicKey, key)?;
        mechanism.expect_among(self.offers(&present))?;
        let signature = signature.map(|signature| of_length(&key, signature)).transpose()?.map(<[u8]>::to_vec);
        operations.verify = Some(Verifying { operation: Operation::new(mechanism), key, signature });
        Ok(())
    }

    /// C_VerifyInit or C_VerifySignatureInit without a mechanism: cancels the operation.
    pub(crate) fn verify_cancel(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        self.session(handle)?.operations.lock().verify = None;
        Ok(())
    }

    /// C_Verify.
    pub(crate) fn verify<'a, 's>(
        &self,
        handle: CK_SESSION_HANDLE,
        data: impl Into<In<'a>>,
        signature: impl Into<In<'s>>,
    ) -> Result<()> {
        self.end_verify(handle, Some(data.into()), signature.into())
    }

    /// C_VerifyUpdate. An error ends the operation.
    pub(crate) fn verify_update<'a>(&self, handle: CK_SESSION_HANDLE, part: impl Into<In<'a>>) -> Result<()> {
        self.go_on_verifying(handle, Given::Last, part.into())
    }

    /// C_VerifyFinal.
    pub(crate) fn verify_final<'s>(&self, handle: CK_SESSION_HANDLE, signature: impl Into<In<'s>>) -> Result<()> {
        self.end_verify(handle, None, signature.into())
    }

    /// Ends the operation for a call of these three whose arguments were no good.
    pub(crate) fn verify_abort(&self, handle: CK_SESSION_HANDLE) {
        self.abort_verify(handle, Given::Last);
    }

    /// C_VerifySignature.
    pub(crate) fn verify_signature<'a>(&self, handle: CK_SESSION_HANDLE, data: impl Into<In<'a>>) -> Result<()> {
        self.end_verify_signature(handle, Some(data.into()))
    }

    /// C_VerifySignatureUpdate. An error ends the operation.
    pub(crate) fn verify_signature_update<'a>(&self, handle: CK_SESSION_HANDLE, part: impl Into<In<'a>>) -> Result<()> {
        self.go_on_verifying(handle, Given::First, part.into())
    }

    /// C_VerifySignatureFinal.
    pub(crate) fn verify_signature_final(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        self.end_verify_signature(handle, None)
    }

    /// Ends the operation for a call of these three whose arguments were no good.
    pub(crate) fn verify_signature_abort(&self, handle: CK_SESSION_HANDLE) {
        self.abort_verify(handle, Given::First);
    }

    fn go_on_verifying(&self, handle: CK_SESSION_HANDLE, given: Given, part: In<'_>) -> Result<()> {
        let session = self.session(handle)?;
        let mut operations = session.operations.lock();
        let mut verifying = operations.take_verifying(given)?;
        verifying.operation.update(part)?;
        operations.verify = Some(verifying);
        Ok(())
    }

    /// C_Verify with its data, or C_VerifyFinal without.
    fn end_verify(&self, handle: CK_SESSION_HANDLE, data: Option<In<'_>>, signature: In<'_>) -> Result<()> {
        let (key, _, input) = self.take_verifying(handle, Given::Last)?.finish(data)?;
        key.verify(&input, of_length(&key, signature)?)
    }

    /// C_VerifySignature with its data, or C_VerifySignatureFinal without.
    fn end_verify_signature(&self, handle: CK_SESSION_HANDLE, data: Option<In<'_>>) -> Result<()> {
        let (key, signature, input) = self.take_verifying(handle, Given::First)?.finish(data)?;
        key.verify(&input, &signature.unwrap_or_default())
    }

    fn take_verifying(&self, handle: CK_SESSION_HANDLE, given: Given) -> Result<Verifying> {
        self.session(handle)?.operations.lock().take_verifying(given)
    }

    fn abort_verify(&self, handle: CK_SESSION_HANDLE, given: Given) {
        // Without a session or an operation there is nothing to end.
        drop(self.take_verifying(handle, given));
    }
}

/// A signature's bytes. Of one that is longer than this key's, whatever length that is, none is looked at.
///
/// # Errors
/// CKR_SIGNATURE_LEN_RANGE: it has another length than this key's.
fn of_length<'s>(key: &PublicKey, signature: In<'s>) -> Result<&'s [u8]> {
    let len = key.signature_len();
    signature.at_most(len).filter(|signature| signature.len() == len).ok_or(Rv::SIGNATURE_LEN_RANGE)
}
