//! How a command ends when it does not do what was asked: what failed, what to do next, and the exit code.

use crate::card::{self, Tries};
use crate::text::sanitise;
use crate::transport;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit codes; `EXIT_CODES` explains them to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done, or nobody reads the output any more.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line, or the configuration, is wrong.
    Usage = 2,
    /// There is no reader, no card, or none that this program serves.
    NoCard = 3,
    /// The card refused the secret; a try was used.
    Refused = 4,
    /// The secret is locked.
    Locked = 5,
    /// The secret has the wrong form or the wrong repetition; nothing was sent.
    NotSent = 6,
    /// The person stopped it.
    Cancelled = 130,
}

/// The exit codes, as `--help` tells them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage, a configuration that cannot be used, or a choice that only you can make
  3    no reader, no card, or not a card with certificates of JPKI
  4    the card refused the secret; a try was used
  5    the secret is locked
  6    the secret was not sent, because of its form; no try was used
  130  cancelled";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    next: Option<String>,
}

/// Result of a command.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that says `what` went wrong.
    pub fn new(exit: Exit, what: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), next: None }
    }

    /// The same, saying what to do `next`.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Failure {
        Failure { next: Some(next.into()), ..self }
    }

    /// The same, saying after what to do what `then` failed with.
    #[must_use]
    pub fn also(self, then: Result<()>) -> Failure {
        let Err(then) = then else { return self };
        let what = sanitise(&then.what).into_owned();
        let lines: Vec<_> = self.next.clone().into_iter().chain([what]).chain(then.next).collect();
        self.next(lines.join("\n"))
    }

    /// The failure of `first`, of `then`, or of both.
    pub fn both(first: Result<()>, then: Result<()>) -> Result<()> {
        match first {
            Ok(()) => then,
            // Which says nothing.
            Err(first) if first.exit == Exit::Done => then.and(Err(first)),
            Err(first) => Err(first.also(then)),
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Says it on stderr.
    pub fn report(&self) {
        if self.exit == Exit::Done {
            return;
        }
        let mut stderr = io::stderr().lock();
        // Without stderr there is nobody to tell.
        let _ = writeln!(stderr, "jpki: {}", sanitise(&self.what));
        if let Some(next) = &self.next {
            let _ = writeln!(stderr, "{next}");
        }
    }
}

impl From<transport::Error> for Failure {
    fn from(error: transport::Error) -> Failure {
        let (exit, next) = match &error {
            transport::Error::NoService => {
                (Exit::NoCard, Some("Install and start pcscd, the PC/SC service (Debian: apt install pcscd)."))
            }
            transport::Error::Denied => (
                Exit::Failed,
                Some(
                    "On this system polkit decides who may use card readers: by its defaults, whoever sits at the machine. \
                     jpki doctor shows the rule that admits you.",
                ),
            ),
            transport::Error::NoReader | transport::Error::NoCard => {
                (Exit::NoCard, Some("Put the card in the reader and try again."))
            }
            transport::Error::Removed => {
                (Exit::NoCard, Some("Put the card back and leave it there until the command is done."))
            }
            transport::Error::Mute => {
                (Exit::Failed, Some("Take the card out, turn it over or clean it, and put it back."))
            }
            transport::Error::Busy => (Exit::Failed, Some("Close the other program, or wait until it is done.")),
            transport::Error::Reset | transport::Error::Timeout => {
                (Exit::Failed, Some("Take the card out, put it back and try again."))
            }
            transport::Error::Cancelled | transport::Error::Reader(_) => (Exit::Failed, None),
        };
        Failure { exit, what: error.to_string(), next: next.map(str::to_owned) }
    }
}

impl From<card::Error> for Failure {
    fn from(error: card::Error) -> Failure {
        match error {
            card::Error::Transport(error) => error.into(),
            card::Error::Refused(Tries::Locked) => Failure::new(Exit::Locked, "the secret is locked"),
            card::Error::Refused(Tries::NotInitialised) => Failure::new(Exit::Failed, "the card has no such secret"),
            card::Error::Refused(Tries::Left(left)) => {
                Failure::new(Exit::Refused, format!("the card refused the secret; tries left: {left}"))
            }
            card::Error::Refused(Tries::Uncounted) => Failure::new(Exit::Refused, "the card refused the secret"),
            error => Failure::new(Exit::Failed, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_failures_none_is_lost() {
        let failure = |exit, what: &str| Err(Failure::new(exit, what).next(format!("{what}, next")));
        let both = Failure::both(failure(Exit::NoCard, "first"), failure(Exit::Failed, "then")).unwrap_err();
        assert_eq!((both.exit, both.what.as_str()), (Exit::NoCard, "first"));
        assert_eq!(both.next.as_deref(), Some("first, next\nthen\nthen, next"));
        // Nobody reads the output any more; stderr has its own reader.
        let both = Failure::both(failure(Exit::Done, "gone"), failure(Exit::Failed, "then")).unwrap_err();
        assert_eq!((both.exit, both.what.as_str()), (Exit::Failed, "then"));
        assert_eq!(Failure::both(failure(Exit::Done, "gone"), Ok(())).unwrap_err().exit, Exit::Done);
    }
}
