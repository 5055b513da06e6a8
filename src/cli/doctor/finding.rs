//! What the doctor found: one thing looked at, the verdict, and what to do.

use crate::cli::Exit;
use serde::{Serialize, Serializer};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where on the way from the service to the programs.
    pub step: Step,
    /// How it is.
    pub verdict: Verdict,
    /// What it is, whatever the sentence.
    pub code: Code,
    /// What was found, as a sentence.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What the command exits with if this is the first problem.
    #[serde(skip)]
    pub exit: Exit,
}

/// The way from the configuration and the service to the programs. Each step needs those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// This project's own configuration.
    Configuration,
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
    pub const ALL: [Step; 8] = [
        Step::Configuration,
        Step::Service,
        Step::Reader,
        Step::Card,
        Step::Secret,
        Step::Certificate,
        Step::Module,
        Step::Program,
    ];

    /// The heading above its findings.
    pub fn heading(self) -> &'static str {
        match self {
            Step::Configuration => "Configuration",
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

macro_rules! codes {
    ($($step:ident: $($code:ident = $name:literal),+;)+) => {
        /// A name for what was found that stays from version to version; `docs/programs/doctor.md` lists them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $name] $code,)+)+
        }

        impl Code {
            /// Every one.
            #[cfg(test)]
            const ALL: &[Code] = &[$($(Code::$code),+),+];

            /// As JSON has it.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Code::$code => $name,)+)+
                }
            }

            /// Where it is found.
            pub fn step(self) -> Step {
                match self {
                    $($(Code::$code)|+ => Step::$step,)+
                }
            }
        }
    };
}

codes! {
    Configuration:
        ConfigurationUnusable = "configuration-unusable",
        ConfigurationPassedOver = "configuration-passed-over";
    Service:
        Service = "service",
        PracticeReaders = "practice-readers",
        ServiceNotInstalled = "service-not-installed",
        ServiceMasked = "service-masked",
        ServiceStopped = "service-stopped",
        ServiceDead = "service-dead",
        ServiceDenied = "service-denied",
        ServiceFails = "service-fails";
    Reader:
        Reader = "reader",
        NoReader = "no-reader",
        ReaderWithoutDriver = "reader-without-driver",
        ReaderUnlisted = "reader-unlisted",
        ReaderWaits = "reader-waits";
    Card:
        Card = "card",
        NoCard = "no-card",
        CardMute = "card-mute",
        CardForeign = "card-foreign",
        CardUnserved = "card-unserved",
        CardBusy = "card-busy",
        CardFails = "card-fails",
        ReaderIgnored = "reader-ignored";
    Secret:
        Secret = "secret",
        SecretTried = "secret-tried",
        SecretLastTry = "secret-last-try",
        SecretLocked = "secret-locked",
        SecretNotSet = "secret-not-set",
        SecretUncounted = "secret-uncounted",
        SecretUnknown = "secret-unknown";
    Certificate:
        Certificate = "certificate",
        CertificateGuarded = "certificate-guarded",
        CertificateAbsent = "certificate-absent",
        CertificateNotYet = "certificate-not-yet",
        CertificateEndsSoon = "certificate-ends-soon",
        CertificateOver = "certificate-over",
        CertificateDamaged = "certificate-damaged",
        CertificateUnread = "certificate-unread";
    Module:
        Module = "module",
        ModuleNotInstalled = "module-not-installed",
        ModuleIncomplete = "module-incomplete",
        ModuleTwice = "module-twice",
        ModuleLinked = "module-linked",
        ModuleFails = "module-fails",
        ModuleWithoutToken = "module-without-token",
        ModuleOfAnotherVersion = "module-of-another-version";
    Program:
        Program = "program",
        ProgramNotSetUp = "program-not-set-up",
        ModuleMissing = "module-missing",
        ModuleForBoth = "module-for-both",
        ModuleForSigning = "module-for-signing",
        ModuleNotForSsh = "module-not-for-ssh",
        OpenscBeside = "opensc-beside",
        ProgramSandboxed = "program-sandboxed";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
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
    pub fn ok(code: Code, what: impl Into<String>) -> Finding {
        Finding { step: code.step(), verdict: Verdict::Ok, code, what: what.into(), next: None, exit: Exit::Done }
    }

    /// Something to be known.
    pub fn note(code: Code, what: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, ..Finding::ok(code, what) }
    }

    /// Something to be mended.
    pub fn problem(code: Code, what: impl Into<String>) -> Finding {
        let exit = match code.step() {
            Step::Configuration => Exit::Usage,
            Step::Service | Step::Reader | Step::Card => Exit::NoCard,
            _ => Exit::Failed,
        };
        Finding { verdict: Verdict::Problem, exit, ..Finding::ok(code, what) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_the_codes_of_each_step_and_no_other() {
        let page = include_str!("../../../docs/programs/doctor.md");
        // `| step | `code`, `code` |`
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
        let listed: Vec<_> = rows
            .filter(|(_, codes)| codes.starts_with('`'))
            .flat_map(|(step, codes)| codes.split(", ").map(move |code| format!("{step}: {code}")))
            .collect();
        let step = |code: &Code| serde_json::to_value(code.step()).unwrap().as_str().unwrap().to_owned();
        let codes: Vec<_> = Code::ALL.iter().map(|code| format!("{}: `{}`", step(code), code.name())).collect();
        assert_eq!(listed, codes);
    }
}
