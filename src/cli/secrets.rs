//! The card's secrets, as the program asks for them and speaks of them: nothing of the wrong form is sent, and the last
//! try is never used without a yes.

use super::terminal::Terminal;
use super::{Exit, Failure, Result, output};
use crate::card::{self, Application, Card, Key, Kind, LoginEnd, Tries};
use crate::config::Config;
use crate::logins::{self, Wait};
use crate::secret::{Form, Malformed, Pin};
use crate::transport::{self, Disposition};
use crate::words::{self, Language, Words};

/// How secrets are asked for.
#[derive(clap::Args)]
pub struct Asking {
    /// Read the answers from stdin, one a line, even on a terminal.
    #[arg(long)]
    pub stdin: bool,
    /// Use the last try without asking.
    #[arg(long)]
    pub last_try: bool,
}

/// One secret of one card.
pub struct Secret {
    key: Key,
    kind: Kind,
    form: Form,
    tries: Tries,
    language: Language,
}

impl Secret {
    /// The secret of `key`, with its tries as `card` tells them now.
    ///
    /// # Errors
    /// [`Exit::Locked`] if there are none; [`Exit::Failed`] if the card has no such key or secret.
    pub fn of(card: &mut Card, key: Key, language: Language) -> Result<Secret> {
        let kind = card.kind();
        let form = card.form(key).ok_or(card::Error::NoKey)?;
        let tries = card.tries(key)?;
        let secret = Secret { key, kind, form, tries, language };
        match tries {
            Tries::Left(_) | Tries::Uncounted => Ok(secret),
            Tries::Locked => Err(secret.locked()),
            Tries::NotInitialised => Err(Failure::new(Exit::Failed, format!("this card has no {}", secret.name()))
                .next("It can be set at the municipal office.")),
        }
    }

    /// Asks for the secret.
    ///
    /// # Errors
    /// [`Exit::NotSent`] for a wrong form; [`Exit::Cancelled`] or [`Exit::Usage`] if the last try is not to be used.
    pub fn ask(&self, terminal: &mut Terminal, asking: &Asking) -> Result<Pin> {
        if self.tries == Tries::Left(1) && !asking.last_try {
            self.confirm_last_try(terminal)?;
        }
        let tries = match self.tries {
            Tries::Left(left) => left.to_string(),
            _ => "?".into(),
        };
        let prompt = words::ASK.filled(self.language, &[("secret", self.name()), ("n", &tries)]);
        let typed = terminal.secret(&prompt)?;
        Pin::present(self.form, &typed).map_err(|malformed| self.not_sent(malformed))
    }

    /// Asks twice for the secret that is to be set.
    ///
    /// # Errors
    /// [`Exit::NotSent`] for a wrong form, or if the two differ.
    pub fn ask_new(&self, terminal: &mut Terminal) -> Result<Pin> {
        let typed = terminal.secret(&words::ASK_NEW.filled(self.language, &[("secret", self.name())]))?;
        let new = Pin::choose(self.form, &typed).map_err(|malformed| self.not_sent(malformed))?;
        let again = terminal.secret(words::ASK_AGAIN.text(self.language))?;
        if Pin::choose(self.form, &again).as_ref() == Ok(&new) {
            Ok(new)
        } else {
            Err(Failure::new(Exit::NotSent, "the two new secrets differ")
                .next("Nothing was sent to the card. Try again."))
        }
    }

    /// What `error`, of presenting this secret, means to the person.
    pub fn failure(&self, error: card::Error) -> Failure {
        match error {
            card::Error::Refused(Tries::Locked) => self.locked(),
            card::Error::RefusedBefore => Failure::new(Exit::NotSent, error.to_string())
                .next("No try was used. Type another one, or ask jpki status how many tries are left."),
            card::Error::Transport(error) => {
                let what = format!("{error}; whether a try was used is not known");
                Failure::new(Failure::from(error).exit(), what).next("Ask jpki status how many are left.")
            }
            error => error.into(),
        }
    }

    /// The secret's name.
    pub fn name(&self) -> &'static str {
        name(self.kind, self.key).text(self.language)
    }

    fn confirm_last_try(&self, terminal: &mut Terminal) -> Result<()> {
        let question = words::LAST_TRY.text(self.language);
        if !terminal.is_interactive() {
            return Err(Failure::new(Exit::Usage, question).next("To use it, say --last-try."));
        }
        let answer = terminal.line(&format!("{question} [y/N]"))?;
        if matches!(answer.to_lowercase().as_str(), "y" | "yes" | "はい" | "是") {
            Ok(())
        } else {
            Err(Failure::new(Exit::Cancelled, "cancelled; no try was used"))
        }
    }

    fn not_sent(&self, malformed: Malformed) -> Failure {
        Failure::new(Exit::NotSent, words::NOT_SENT.text(self.language)).next(format!("{}: {malformed}.", self.name()))
    }

    fn locked(&self) -> Failure {
        let what = format!("{}: {}", self.name(), words::LOCKED.text(self.language));
        Failure::new(Exit::Locked, what).next(locked_sentence(self.kind, self.key).text(self.language))
    }
}

/// What the secret of `key` on a card of that `kind` is called.
pub fn name(kind: Kind, key: Key) -> Words {
    match (kind, key) {
        (_, Key::Authentication) => words::SECRET_AUTH,
        (Kind::Juki, Key::Signature) => words::SECRET_JUKI,
        (_, Key::Signature) => words::SECRET_SIGN,
    }
}

/// What to do about the locked secret of `key` on a card of that `kind`.
pub fn locked_sentence(kind: Kind, key: Key) -> Words {
    match (kind, key) {
        (Kind::Juki, _) => words::LOCKED_JUKI,
        (_, Key::Authentication) => words::LOCKED_AUTH,
        (_, Key::Signature) => words::LOCKED_SIGN,
    }
}

/// A login of one command; other processes of this user see it from before its secret is presented.
pub struct Login {
    announced: logins::Login,
    /// Whether the card may take the secret as given.
    begun: bool,
}

impl Login {
    /// Announces one with `key`; to be called before its secret is presented to `card`.
    ///
    /// # Errors
    /// [`Exit::Failed`]: it cannot be announced. Nothing was sent.
    pub fn announce(card: &Card, key: Key, config: &Config) -> Result<Login> {
        let wait = Wait { longest: config.lock_timeout, given_up: &|| false };
        let announced = card.logins().announce(key, &wait).map_err(|error| {
            Failure::new(Exit::Failed, error.to_string())
                .next("Nothing was sent to the card and no try was used. Try again.")
        })?;
        Ok(Login { announced, begun: false })
    }

    /// The key it is with.
    pub fn key(&self) -> Key {
        self.announced.key()
    }

    /// Begins it: presents `pin`, once.
    ///
    /// # Errors
    /// Those of [`Application::verify`].
    pub fn verify(&mut self, application: &mut Application<'_, '_>, pin: &Pin) -> card::Result<()> {
        let verified = application.verify(self.announced.key(), pin);
        self.begun |= verified.as_ref().err().is_none_or(card::Error::may_have_logged_in);
        verified
    }

    /// Ends it: leaves the card logged out, unless another process of this user is logged in to it.
    ///
    /// # Errors
    /// [`Exit::Failed`] where the card may still be logged in.
    pub fn end(self, mut card: Card, language: Language) -> Result<()> {
        let still = |why: String| Failure::new(Exit::Failed, why).next(words::STILL_LOGGED_IN.text(language));
        // Also where the secret was refused: whoever has logged out since this was announced has left the card to it.
        match card.end_login(&self.announced) {
            Ok(LoginEnd::Out | LoginEnd::Others) => Ok(()),
            Ok(LoginEnd::Refused(last)) => {
                if !card.close(Disposition::Unpower) {
                    return Err(still("the card refuses to be logged out".into()));
                }
                last.left();
                output::warn(words::POWER_CUT.text(language));
                Ok(())
            }
            // A card that was taken out has forgotten everything.
            Err(card::Error::Transport(transport::Error::Removed)) => Ok(()),
            Err(error) if !self.begun => {
                log::warn!("the card was not logged out for others: {error}");
                Ok(())
            }
            Err(error) => Err(still(error.to_string())),
        }
    }
}
