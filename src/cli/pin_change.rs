//! `jpki pin change`: the old secret, twice the new one, and both to the card in one transaction.

use super::cards::{self, Content};
use super::secrets::{self, Login, Secret};
use super::terminal::Terminal;
use super::{Exit, Failure, Result, output};
use crate::apdu::Sw;
use crate::card::{self, Card, Key};
use crate::config::Config;
use crate::secret::Pin;
use crate::words::{self, Language, Words};
use clap::ValueEnum;

/// What `jpki pin change` is asked.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which secret.
    #[arg(value_enum)]
    secret: Which,
    /// The reader the card is in: its name, or a part of it.
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    #[command(flatten)]
    asking: secrets::Asking,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// The authentication PIN, four digits.
    Auth,
    /// The signature password.
    Sign,
}

/// Runs `jpki pin change`.
pub fn run(arguments: &Arguments, config: &Config, language: Language) -> Result<()> {
    let key = match arguments.secret {
        Which::Auth => Key::Authentication,
        Which::Sign => Key::Signature,
    };
    let mut readers = cards::look(config, arguments.reader.as_deref())?;
    let mut terminal = Terminal::open(arguments.asking.stdin)?;
    let index = cards::choose(&readers, &mut terminal)?;
    let Content::Card(mut card) = readers.swap_remove(index).content else {
        return Err(cards::none(&readers));
    };

    let secret = Secret::of(&mut card, key, language)?;
    let old = secret.ask(&mut terminal, &arguments.asking)?;
    let new = secret.ask_new(&mut terminal)?;
    let mut login = Login::announce(&card, key, config)?;
    let outcome = change(&mut card, &mut login, &old, &new);
    let ended = login.end(*card, language);
    // First what became of the secret: whoever does not hear of it tries the wrong one next.
    Failure::both(outcome.tell(&secret, language), ended)
}

/// How far a change came.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The new secret holds.
    Changed,
    /// The old secret was not accepted, or its answer was lost; the new one was not sent.
    NotPresented(card::Error),
    /// The card refused the new secret; the old one holds.
    Refused(card::Error),
    /// The new secret was sent, and what the card made of it is not known.
    Unknown(card::Error),
}

/// Changes the secret of `login`'s key from `old` to `new`, each of which is sent once at most.
pub fn change(card: &mut Card, login: &mut Login, old: &Pin, new: &Pin) -> Outcome {
    let mut presented = false;
    let result = card.session(|application| {
        let change = application.prepare_change(login.key())?;
        login.verify(application, old)?;
        presented = true;
        application.change(login.key(), new, &change)
    });
    match result {
        Ok(()) => Outcome::Changed,
        Err(error) if !presented => Outcome::NotPresented(error),
        Err(error @ card::Error::Status { sw, .. }) if nothing_changed(sw) => Outcome::Refused(error),
        // Other processes could not be told, so the new one was not sent.
        Err(error @ card::Error::Logins(_)) => Outcome::Refused(error),
        Err(error) => Outcome::Unknown(error),
    }
}

/// Whether a card that answers this has written nothing (ISO/IEC 7816-4:2013 §5.6): an execution error with its memory
/// unchanged, or an error found before the command was executed. Of the rest, 65xx and 6F00 above all, nobody knows.
fn nothing_changed(sw: Sw) -> bool {
    matches!(sw.0 >> 8, 0x64 | 0x67..=0x6E)
}

impl Outcome {
    /// Tells the person which secret holds.
    fn tell(self, secret: &Secret, language: Language) -> Result<()> {
        let filled = |words: Words| words.filled(language, &[("secret", secret.name())]);
        let failed = |error: card::Error, words| Failure::new(Exit::Failed, error.to_string()).next(filled(words));
        match self {
            Outcome::Changed => output::lines([filled(words::CHANGED)]),
            Outcome::NotPresented(error) => Err(secret.failure(error)),
            Outcome::Refused(error) => Err(failed(error, words::CHANGE_REFUSED)),
            Outcome::Unknown(error) => Err(failed(error, words::CHANGE_UNKNOWN)),
        }
    }
}
