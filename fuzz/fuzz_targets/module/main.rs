//! The whole module, called through its function list by a program that the fuzzer writes, over cards whose answers the
//! fuzzer bends. [`watch`] says what must hold.

#![no_main]

mod calls;
mod cards;
mod input;
mod reader;
mod watch;

use libfuzzer_sys::fuzz_target;
use std::sync::Once;

fuzz_target!(|bytes: &[u8]| {
    static START: Once = Once::new();
    START.call_once(|| {
        log::set_logger(&watch::Log).expect("the only logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
    calls::run(bytes);
});
