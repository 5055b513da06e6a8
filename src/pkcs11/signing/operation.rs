//! An operation under way: what a session keeps between C_SignInit or C_VerifyInit and the call that ends it.

use super::mechanism::Operation;
use super::verify::PublicKey;

/// A signing operation.
pub(crate) struct Signing {
    pub(crate) operation: Operation,
    pub(crate) key: PublicKey,
    /// Whether it waits for a password of its own (CKA_ALWAYS_AUTHENTICATE).
    pub(crate) wants_password: bool,
}

/// A verifying operation, in software.
pub(crate) struct Verifying {
    pub(crate) operation: Operation,
    pub(crate) key: PublicKey,
}

impl Signing {
    /// Whether C_Login with CKU_CONTEXT_SPECIFIC has something to allow.
    pub(crate) fn wants_password(&self) -> bool {
        self.wants_password
    }

    /// Its password was right.
    pub(crate) fn allow(&mut self) {
        self.wants_password = false;
    }

    /// Bytes of the signature.
    pub(crate) fn signature_len(&self) -> usize {
        self.key.modulus_len()
    }
}
