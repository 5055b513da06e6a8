//! The PKCS#11 module: from the symbols a program loads to a signature. The crate's own page tells C_Sign's way through
//! these files.
//!
//! # Rooms
//!
//! The C edge (`edge`), what the process knows (`state`), what a token shows (`objects`), what signs (`signing`). Each file
//! imports from those before it only, row by row and from left to right; `tests/layering.rs` reads this table and the source.
//!
//! ```text
//! edge:     rv ffi guard
//! signing:  mechanism rsa_key p384_key verify operation
//! state:    lock view refusals slots token reader present session looking wait
//! state:    module cards sessions login slot_info events exit process
//! objects:  object attribute finding
//! signing:  sign verifying
//! edge:     entry+table
//! ```
//!
//! * Two rooms have two floors. The values that a caller's pointers become are held all the way down, and the functions that
//!   are called stand above all; an operation under way is held by its session, and making a signature takes session and card.
//! * What others hold (a token that is there, a session, an operation, an object) is a file of its own, below the calls that
//!   use it: those are the `impl Module` blocks, each in the room of what it is about.
//! * `entry` and `table` are one: a list has the function that hands it out. What only a test or a fuzz target needs stands
//!   beside the rooms, above them all.

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
