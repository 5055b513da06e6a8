//! The PKCS#11 module: from the symbols a program loads to a signature. The crate's own page tells C_Sign's way through
//! these files.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod edge;
#[cfg(fuzzing)]
pub mod fuzzing;
mod objects;
mod signing;
mod state;
#[cfg(all(test, feature = "practice"))]
mod tests;
