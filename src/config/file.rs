//! What a configuration file says: how it is written, and which values are in range.

use super::source::LONGEST;
use super::{Authorities, LastTry, Pss, Tokens, unknown};
use crate::text::sanitise;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// The keys a file may have; each is optional. `unknown.rs` has their names once more, for whoever misspells one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) tokens: Option<Tokens>,
    pub(super) authorities: Option<Authorities>,
    pub(super) hold_pin: Option<bool>,
    pub(super) pss: Option<Pss>,
    pub(super) last_try: Option<LastTry>,
    pub(super) extended_read: Option<bool>,
    pub(super) lock_timeout: Option<Seconds<120>>,
    pub(super) ignore_readers: Option<Vec<Filled>>,
    pub(super) practice: Option<Vec<Filled>>,
    pub(super) log: Option<Filled>,
    pub(super) log_level: Option<Level>,
    #[serde(default)]
    pub(super) auth: Auth,
    #[serde(default)]
    pub(super) sign: Sign,
}

/// `[auth]`: the authentication token.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) max_login: Option<Seconds<{ 30 * 24 * 3600 }>>,
}

/// `[sign]`: the signature token.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sign {
    pub(super) always_authenticate: Option<bool>,
}

impl File {
    /// The file from its bytes; the error is where and what, in one line.
    pub(super) fn parse(bytes: &[u8]) -> Result<File, String> {
        if bytes.len() as u64 > LONGEST {
            return Err(format!("longer than {LONGEST} bytes"));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("line {}: not UTF-8", line_of(bytes, error.valid_up_to())))?;
        let error = |error: toml::de::Error| {
            let line = line_of(bytes, error.span().map_or(0, |span| span.start));
            format!("line {line}: {}", sanitise(error.message()))
        };
        let table = DeTable::parse(text).map_err(error)?;
        if let Some((at, sentence)) = unknown::first(table.get_ref()) {
            return Err(format!("line {}: {sentence}", line_of(bytes, at)));
        }
        File::deserialize(toml::Deserializer::from(table)).map_err(error)
    }
}

/// The number of the line that the byte at `offset` stands in, from 1.
fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

/// A time in seconds, which may have a fraction; more than none and at most `MAX` seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds<const MAX: u64>(pub(super) Duration);

impl<'de, const MAX: u64> Deserialize<'de> for Seconds<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() && time <= Duration::from_secs(MAX) => Ok(Seconds(time)),
            _ => Err(D::Error::invalid_value(
                Unexpected::Float(seconds),
                &format!("more than 0 and at most {MAX} seconds").as_str(),
            )),
        }
    }
}

/// A text that is not empty: an empty path names nothing, an empty part of a name is in every name.
#[derive(Debug, Clone)]
pub(super) struct Filled(String);

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Err(D::Error::custom("an empty text means nothing here")) } else { Ok(Filled(text)) }
    }
}

impl From<Filled> for String {
    fn from(filled: Filled) -> String {
        filled.0
    }
}

impl AsRef<Path> for Filled {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// `off`, `error`, `warn`, `info`, `debug` or `trace`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level(pub(super) log::LevelFilter);

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse()
            .map(Level)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&name), &"off, error, warn, info, debug or trace"))
    }
}
