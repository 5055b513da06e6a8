//! `jpki card insert`: a practice card in vpcd's virtual reader, for every program of the machine, until Ctrl-C.

use super::{Exit, Failure, Result, output, shown};
use crate::emulator::{PracticeCard, vpcd};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What `jpki card insert` is asked.
#[derive(clap::Args)]
pub struct Arguments {
    /// The practice card's file.
    file: PathBuf,
    /// Where vpcd listens.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// The port it listens on.
    #[arg(long, default_value_t = vpcd::DEFAULT_PORT)]
    port: u16,
}

/// Runs `jpki card insert`.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut card =
        PracticeCard::open(&arguments.file).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::new(Exit::Failed, format!("Ctrl-C cannot be waited for: {error}")))?;
    }
    let address = format!("{}:{}", arguments.host, arguments.port);
    output::lines([format!("{} goes into the reader at {address}; Ctrl-C takes it out.", shown(&arguments.file))])?;
    vpcd::plug(&mut card, address, &stop).map_err(|error| {
        let exit = if matches!(error, vpcd::Error::NoReader { .. }) { Exit::NoCard } else { Exit::Failed };
        Failure::new(exit, error.to_string())
            .next("vpcd comes with the package vsmartcard-vpcd and needs pcscd to be running.")
    })
}
