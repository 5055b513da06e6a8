//! The attack classes that other modules fell to, each tried on this one. What a single card or caller can do is tried
//! where every APDU can be counted, in `src/pkcs11/tests`; here is what takes a whole process: its memory, its rights, its
//! log, its terminal, and other modules in it.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod hostile_text;
mod memory;
mod neighbours;
mod rights;
