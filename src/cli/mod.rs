//! The card holder's program: its command line, and one file for each command.

mod browsers;
mod card_insert;
mod card_new;
mod card_show;
mod cards;
mod doctor;
mod failure;
mod machine;
mod modules;
mod nss;
mod output;
mod pin_change;
mod report;
mod secrets;
mod setup;
mod status;
mod terminal;
#[cfg(test)]
mod tests;

pub use failure::{Exit, Failure, Result};

use crate::config::{Config, Environment};
use crate::words::{self, Language};
use clap::{Parser, Subcommand, ValueEnum};
use std::path::Path;

/// Looks after a My Number Card: what is on it, how many tries are left, and its secrets.
#[derive(Parser)]
#[command(name = "jpki", version, propagate_version = true, after_help = failure::EXIT_CODES)]
#[command(before_help = words::UNOFFICIAL.text(language(None)))]
pub struct Arguments {
    /// Language of the messages; from the environment if not given.
    #[arg(long, global = true, value_enum)]
    lang: Option<Tongue>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tongue {
    En,
    Ja,
    ZhTw,
}

#[derive(Subcommand)]
enum Command {
    /// Show readers, cards, tries left and certificates. Asks for no secret.
    Status(Box<status::Arguments>),
    /// Look at everything from the PC/SC service to the programs that use the card, and say what to do. Changes nothing.
    Doctor(doctor::Arguments),
    /// Set up a program to use the card, for you, or as root for everybody where it says so.
    Setup(setup::Arguments),
    /// The card's secrets.
    #[command(subcommand)]
    Pin(Pin),
    /// Practice cards: files that behave like a card, for trying things out.
    #[command(subcommand)]
    Card(Card),
}

#[derive(Subcommand)]
enum Pin {
    /// Change a secret: asks for the old one, then twice for the new one.
    Change(pin_change::Arguments),
}

#[derive(Subcommand)]
enum Card {
    /// Make a practice card, for a resident who does not exist.
    New(Box<card_new::Arguments>),
    /// Keep a practice card in vpcd's virtual reader until Ctrl-C, so that every program of the machine sees it.
    Insert(card_insert::Arguments),
    /// Show what a practice card's file holds.
    Show(card_show::Arguments),
}

/// Runs what `arguments` ask for.
///
/// # Errors
/// [`Failure`], with what to tell the person and the exit code.
pub fn run(arguments: &Arguments) -> Result<()> {
    let language = language(arguments.lang);
    match &arguments.command {
        Command::Status(arguments) => status::run(arguments, &configuration_told(), language),
        Command::Doctor(arguments) => doctor::run(arguments, &configuration(), language),
        Command::Setup(arguments) => setup::run(arguments, &configuration_told(), language),
        Command::Pin(Pin::Change(arguments)) => pin_change::run(arguments, &configuration_told(), language),
        Command::Card(Card::New(arguments)) => card_new::run(arguments),
        Command::Card(Card::Insert(arguments)) => card_insert::run(arguments),
        Command::Card(Card::Show(arguments)) => card_show::run(arguments, language),
    }
}

/// The language asked for, or else that of the first locale variable that is set.
fn language(asked: Option<Tongue>) -> Language {
    match asked {
        Some(Tongue::En) => Language::En,
        Some(Tongue::Ja) => Language::Ja,
        Some(Tongue::ZhTw) => Language::ZhTw,
        None => ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .filter_map(|variable| std::env::var(variable).ok())
            .find(|locale| !locale.is_empty())
            .map_or(Language::En, |locale| Language::of_locale(&locale)),
    }
}

/// The configuration of this process, its log begun.
fn configuration() -> Config {
    let environment = Environment::of_process();
    let config = Config::load(&environment);
    if let Some(path) = &config.log
        && let Err(error) = crate::logging::start(path, environment.user, config.log_level)
    {
        output::warn(&error.to_string());
    }
    for note in &config.notes {
        log::warn!("{note}");
    }
    if let Some(unusable) = &config.unusable {
        log::error!("no reader is used: {unusable}");
    }
    config
}

/// The configuration, and on stderr which files are not used. That there are no readers for want of a file is for whoever
/// needs one to say ([`unusable`]).
fn configuration_told() -> Config {
    let config = configuration();
    config.notes.iter().for_each(|note| output::warn(note));
    config
}

/// The failure of a command that needs a reader, where the configuration leaves none.
fn unusable(why: &str) -> Failure {
    Failure::new(Exit::Usage, "no reader is used, because the configuration has to be mended").next(why)
}

/// The path as people may see it.
fn shown(path: &Path) -> String {
    crate::text::sanitise(&path.display().to_string()).into_owned()
}
