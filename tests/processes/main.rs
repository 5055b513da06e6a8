//! The module among other processes and threads, through a real pcscd.

#![allow(clippy::print_stdout, reason = "what was measured is said")]

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod hosts;
mod logins;
mod rivals;
mod threads;
mod users;
