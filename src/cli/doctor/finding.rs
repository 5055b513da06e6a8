//! What the doctor found: one thing looked at, the verdict, and what to do.

use crate::cli::Exit;
use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where on the way from the service to the programs.
    pub step: Step,
    /// How it is.
    pub verdict: Verdict,
    /// A name for it that stays, whatever the sentence; `docs/programs/doctor.md` lists them.
    pub code: &'static str,
    /// What was found, as a sentence.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What the command exits with if this is the first problem.
    #[serde(skip)]
    pub exit: Exit,
}

/// The way from the service to the programs. Each step needs those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The PC/SC service.
    Service,
    /// Readers.
    Reader,
    /// The card.
    Card,
    /// Its secrets.
    Secret,
    /// Its certificates.
    Certificate,
    /// This project's module.
    Module,
    /// The programs that use it.
    Program,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 7] =
        [Step::Service, Step::Reader, Step::Card, Step::Secret, Step::Certificate, Step::Module, Step::Program];

    /// The heading above its findings.
    pub fn heading(self) -> &'static str {
        match self {
            Step::Service => "PC/SC service",
            Step::Reader => "Readers",
            Step::Card => "Card",
            Step::Secret => "Secrets",
            Step::Certificate => "Certificates",
            Step::Module => "Module",
            Step::Program => "Programs",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and something is to be known.
    Note,
    /// It does not work until somebody does something.
    Problem,
}

impl Finding {
    /// All is well.
    pub fn ok(step: Step, code: &'static str, what: impl Into<String>) -> Finding {
        Finding { step, verdict: Verdict::Ok, code, what: what.into(), next: None, exit: Exit::Done }
    }

    /// Something to be known.
    pub fn note(step: Step, code: &'static str, what: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, ..Finding::ok(step, code, what) }
    }

    /// Something to be mended.
    pub fn problem(step: Step, code: &'static str, what: impl Into<String>) -> Finding {
        let exit = match step {
            Step::Service | Step::Reader | Step::Card => Exit::NoCard,
            _ => Exit::Failed,
        };
        Finding { verdict: Verdict::Problem, exit, ..Finding::ok(step, code, what) }
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Finding {
        Finding { next: Some(next.into()), ..self }
    }

    /// The same, with another exit code.
    #[must_use]
    pub fn exit(self, exit: Exit) -> Finding {
        Finding { exit, ..self }
    }

    /// What people read.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let mark = match self.verdict {
            Verdict::Ok => "OK  ",
            Verdict::Note => "NOTE",
            Verdict::Problem => "DO  ",
        };
        let next = self.next.iter().flat_map(|next| next.lines()).map(|line| format!("        {line}"));
        std::iter::once(format!("  {mark}  {}", self.what)).chain(next)
    }
}
