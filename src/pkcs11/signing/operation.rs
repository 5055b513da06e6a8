//! An operation under way: what a session keeps between C_SignInit, C_VerifyInit or C_VerifySignatureInit and the call that ends
//! it.

use super::mechanism::{CardInput, Operation};
use super::verify::PublicKey;
use crate::pkcs11::edge::ffi::In;
use crate::pkcs11::edge::rv::{Result, Rv};

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
    /// The signature, if it has come.
    pub(crate) signature: Option<Vec<u8>>,
}

/// Which functions a verifying operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// The signature is given last: C_VerifyInit.
    Last,
    /// The signature is given first: C_VerifySignatureInit.
    First,
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
        self.key.signature_len()
    }
}

impl Verifying {
    /// Which functions it is for.
    pub(crate) fn given(&self) -> Given {
        if self.signature.is_some() { Given::First } else { Given::Last }
    }

    /// The key, the signature if it has come, and what it should be one over.
    ///
    /// # Errors
    /// CKR_OPERATION_ACTIVE: all data at once after a part of it. CKR_DATA_LEN_RANGE.
    pub(crate) fn finish(self, data: Option<In<'_>>) -> Result<(PublicKey, Option<Vec<u8>>, CardInput)> {
        let Verifying { mut operation, key, signature } = self;
        if let Some(data) = data {
            if operation.is_multi_part() {
                return Err(Rv::OPERATION_ACTIVE);
            }
            operation.update(data)?;
        }
        let input = operation.finish(key.signature_len())?;
        Ok((key, signature, input))
    }
}
