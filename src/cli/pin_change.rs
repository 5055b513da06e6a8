//! `jpki pin change`: the old secret, twice the new one, and both to the card in one transaction.

use super::cards::{self, Content};
use super::secrets::{self, Login, Secret};
use super::terminal::Terminal;
use super::{Exit, Failure, Result, output};
use crate::card::{self, Key};
use crate::config::Config;
use crate::words::{self, Language};
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
    let mut login = Login::announce(&card, config);
    let mut presented = false;
    let result = card.session(|application| {
        login.verify(application, key, &old)?;
        presented = true;
        application.change(key, &new)
    });
    login.end(*card, language)?;
    match result {
        Ok(()) => output::lines([words::CHANGED.filled(language, &[("secret", secret.name())])]),
        Err(error) if !presented => Err(secret.failure(error)),
        Err(card::Error::Transport(error)) => {
            let what = format!("{error}; whether the old or the new secret holds is not known");
            Err(Failure::new(Exit::Failed, what).next("Try the new one first, with jpki pin change."))
        }
        Err(error) => Err(Failure::new(Exit::Failed, error.to_string()).next("The old secret still holds.")),
    }
}
