//! How logins end, and how tries are kept: each situation with real processes of one user at a real pcscd, judged by a
//! program that was never given a secret ([`common::witness`]) and by the card's own counters.

#![allow(clippy::print_stdout, reason = "what was measured is said")]

#[path = "../common/mod.rs"]
mod common;

mod busy;
mod changes;
mod exits;
mod ground;
mod places;
mod refused;
mod sessions;
mod stress;
mod tokens;
mod waits;
