//! The PKCS#11 module: from the symbols a program loads to a signature. The crate's own page tells C_Sign's way through
//! these files.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod attribute;
mod cards;
mod entry;
mod events;
mod exit;
mod ffi;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod lock;
mod login;
mod looking;
mod mechanism;
mod module;
mod object;
mod reader;
mod refusals;
mod rv;
mod session;
mod signing;
mod slot_info;
mod slots;
mod table;
#[cfg(all(test, feature = "practice"))]
mod tests;
mod token;
mod verify;
mod view;
