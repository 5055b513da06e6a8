//! `jpki card insert`: a practice card in vpcd's virtual reader, for every program of the machine, until Ctrl-C.

use super::{Exit, Failure, Result, output, shown};
use crate::emulator::logged::Logged;
use crate::emulator::{Device, PracticeCard, vpcd};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What the developer of a program that is not ours meets first.
const FIRST_COMMAND: [&str; 2] = [
    "Like most cards it answers the first command after power-up with 6F00 and does not carry it out; send that again.",
    "A card made with `jpki card new --switch first-command-fails=false` carries it out.",
];

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
    /// Write what the card is asked, and its status words, to this file; secrets are masked.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Runs `jpki card insert`.
pub fn run(arguments: &Arguments) -> Result<()> {
    let card = PracticeCard::open(&arguments.file).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::new(Exit::Failed, format!("Ctrl-C cannot be waited for: {error}")))?;
    }
    let address = format!("{}:{}", arguments.host, arguments.port);
    output::lines([format!("{} goes into the reader at {address}; Ctrl-C takes it out.", shown(&arguments.file))])?;
    if card.switches().first_command_fails {
        output::lines(FIRST_COMMAND.map(str::to_owned))?;
    }
    let Some(path) = &arguments.log else {
        return plug(&mut { card }, &address, &stop);
    };
    let unwritten = |error| Failure::new(Exit::Failed, format!("{}: {error}", shown(path)));
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(unwritten)?;
    let mut card = Logged::new(card, log);
    plug(&mut card, &address, &stop)?;
    card.finish().map_err(unwritten)
}

fn plug(card: &mut dyn Device, address: &str, stop: &AtomicBool) -> Result<()> {
    vpcd::plug(card, address, stop).map_err(|error| {
        let exit = if matches!(error, vpcd::Error::NoReader { .. }) { Exit::NoCard } else { Exit::Failed };
        Failure::new(exit, error.to_string())
            .next("vpcd comes with the package vsmartcard-vpcd and needs pcscd to be running.")
    })
}
