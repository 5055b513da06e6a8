//! The one configuration of the module and the program: TOML files of the system and of the user, and a few environment
//! variables. Loading never fails. Whoever wrote a file meant to touch this card and not that one: where a file that
//! somebody meant cannot be used, there are no readers at all ([`Config::unusable`]).

mod environment;
mod file;
mod source;
mod unknown;

pub use environment::{Environment, Lookup};

use file::File;
use serde::Deserialize;
use source::{Refused, Source};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// `tokens`: which tokens the module shows under its plain file name.
    pub tokens: Tokens,
    /// `authorities`: when the certificates of the authorities are shown; `None` is as the module's file has it.
    pub authorities: Option<Authorities>,
    /// `hold_pin`: whether the authentication PIN is held in locked memory after a login, to verify it again when another
    /// program has made the card forget it.
    pub hold_pin: bool,
    /// `auth.max_login`: how long a login to the authentication token lasts; `None` is until logout.
    pub max_login: Option<Duration>,
    /// `sign.always_authenticate`: whether the signature key asks for its password before every signature
    /// (CKA_ALWAYS_AUTHENTICATE).
    pub always_authenticate: bool,
    /// `pss`: whether RSASSA-PSS is offered.
    pub pss: Pss,
    /// `extended_read`: whether files are read with extended APDUs.
    pub extended_read: bool,
    /// `lock_timeout`: how long to wait for another program to let go of the card.
    pub lock_timeout: Duration,
    /// `ignore_readers`: parts of names of readers that are never touched.
    pub ignore_readers: Vec<String>,
    /// `practice`: files of practice cards for the embedded practice reader; with any, no real reader is used.
    pub practice: Vec<PathBuf>,
    /// `log`, or `JPKI_PKCS11_LOG`: the file the log goes to.
    pub log: Option<PathBuf>,
    /// `log_level`: how much goes there.
    pub log_level: log::LevelFilter,
    /// Where what was learnt about cards is kept; `None` under AT_SECURE or without a home of our own.
    pub state_dir: Option<PathBuf>,
    /// Directories where the processes of one user meet, as far as there are any.
    pub places: Vec<PathBuf>,
    /// `last_try`: who may use the last try of a secret.
    pub last_try: LastTry,
    /// Why this configuration cannot be used, and what to do, as a sentence: a file that somebody meant is malformed, may
    /// have been written by others, or is not there although it was named. Then no reader is used ([`crate::readers`]).
    pub unusable: Option<String>,
    /// What else the log should say about the files, one sentence each.
    pub notes: Vec<String>,
}

/// Which tokens of a card are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// Authentication and signature.
    Both,
    /// Authentication only.
    Auth,
    /// Signature only.
    Sign,
}

/// When the certificates of the authorities are among the objects, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authorities {
    /// Never.
    Never,
    /// As long as the user is logged in to the token.
    AfterLogin,
    /// Always.
    Always,
}

/// Whether RSASSA-PSS is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pss {
    /// Until the card has refused it once.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Who may use the last try of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LastTry {
    /// Whoever is given a secret.
    Anybody,
    /// The program `jpki` alone, which asks first: a service that was set up with a wrong secret cannot lock it.
    Jpki,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            tokens: Tokens::Both,
            authorities: None,
            hold_pin: true,
            max_login: None,
            always_authenticate: false,
            pss: Pss::Auto,
            extended_read: false,
            lock_timeout: Duration::from_secs(10),
            // Selecting an application that these do not have makes them forget a PIN that another program gave.
            ignore_readers: vec!["Yubico YubiKey".into(), "Nitrokey".into()],
            practice: Vec::new(),
            log: None,
            log_level: log::LevelFilter::Info,
            state_dir: None,
            places: Vec::new(),
            last_try: LastTry::Anybody,
            unusable: None,
            notes: Vec::new(),
        }
    }
}

impl Config {
    /// The configuration of a process in `environment`: the system's file, the user's and the one `JPKI_PKCS11_CONF`
    /// names, each overriding the keys it has. Never fails; [`Config::unusable`] and [`Config::notes`] say what was left
    /// out.
    pub fn load(environment: &Environment) -> Config {
        let mut config =
            Config { state_dir: environment.state_dir(), places: environment.places(), ..Config::default() };
        for source in environment.sources() {
            config.read(&source, environment.user);
        }
        if let Some(log) = environment.log() {
            config.log = Some(log);
        }
        config.refuse_practice_unless(cfg!(feature = "practice"));
        config
    }

    /// Whether `reader` is one of those that are never touched. Upper and lower case are the same.
    pub fn ignores(&self, reader: &str) -> bool {
        let reader = reader.to_lowercase();
        self.ignore_readers.iter().any(|part| reader.contains(&part.to_lowercase()))
    }

    /// Reads the file of `source`, if it is there and may be used.
    fn read(&mut self, source: &Source, user: u32) {
        let file = source
            .read(user)
            .and_then(|bytes| bytes.map(|bytes| File::parse(&bytes)).transpose().map_err(|why| source.unusable(why)));
        match file {
            Ok(None) => {}
            Ok(Some(file)) => self.apply(file, source.path.parent().unwrap_or(Path::new("/"))),
            Err(Refused::Unusable(sentence)) if self.unusable.is_none() => self.unusable = Some(sentence),
            Err(Refused::Unusable(sentence) | Refused::PassedOver(sentence)) => self.notes.push(sentence),
        }
    }

    /// Without a practice reader, the cards that were to lie in it must not be looked for in real ones.
    fn refuse_practice_unless(&mut self, there_is_a_reader: bool) {
        if !there_is_a_reader && !self.practice.is_empty() && self.unusable.is_none() {
            let why = "the key `practice` is set, and this module was built without the practice reader; take it out, or use \
                       a module that was built with it";
            self.unusable = Some(why.into());
        }
    }

    /// Takes over the keys that `file`, which lies in `directory`, has.
    fn apply(&mut self, file: File, directory: &Path) {
        // Destructured whole, so that a key added to the file cannot be forgotten here.
        let File {
            tokens,
            authorities,
            hold_pin,
            pss,
            last_try,
            extended_read,
            lock_timeout,
            ignore_readers,
            practice,
            log,
            log_level,
            auth,
            sign,
        } = file;
        set(&mut self.tokens, tokens);
        set(&mut self.authorities, authorities.map(Some));
        set(&mut self.hold_pin, hold_pin);
        set(&mut self.pss, pss);
        set(&mut self.last_try, last_try);
        set(&mut self.extended_read, extended_read);
        set(&mut self.lock_timeout, lock_timeout.map(|seconds| seconds.0));
        set(&mut self.ignore_readers, ignore_readers.map(|parts| parts.into_iter().map(String::from).collect()));
        set(&mut self.practice, practice.map(|paths| paths.iter().map(|path| directory.join(path.as_ref())).collect()));
        set(&mut self.log, log.map(|path| Some(directory.join(path.as_ref()))));
        set(&mut self.log_level, log_level.map(|level| level.0));
        set(&mut self.max_login, auth.max_login.map(|seconds| Some(seconds.0)));
        set(&mut self.always_authenticate, sign.always_authenticate);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests;
