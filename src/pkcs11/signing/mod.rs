//! What signs, and what checks signatures: mechanisms, operations and the way to the card.

pub(crate) mod mechanism;
pub(crate) mod operation;
pub(crate) mod p384_key;
pub(crate) mod rsa_key;
pub(crate) mod sign;
pub(crate) mod verify;
pub(crate) mod verifying;
