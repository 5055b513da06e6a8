//! One configuration file: whose it is, how it is written, and which values are in range.

use super::{Pss, Tokens};
use crate::text::sanitise;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// No configuration is longer than this, in bytes.
const LONGEST: u64 = 64 * 1024;

/// The keys a file may have; each is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) tokens: Option<Tokens>,
    pub(super) hold_pin: Option<bool>,
    pub(super) pss: Option<Pss>,
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

/// Why a file that is there is not used.
#[derive(Debug)]
pub(super) enum Refused {
    /// It may have been written by somebody else, or cannot be read. It is as if it were not there.
    Untrusted(String),
    /// It does not say what it means.
    Malformed(String),
}

impl File {
    /// Reads `path` for the effective user `user`; `None` where there is no such file.
    pub(super) fn read(path: &Path, user: u32) -> Result<Option<File>, Refused> {
        let name = path.display().to_string();
        let name = sanitise(&name);
        let untrusted = |why: &dyn std::fmt::Display| Refused::Untrusted(format!("{name} is ignored: {why}"));
        // Not to be held up by a pipe that lies in the place of the file.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(untrusted(&error)),
        };
        // Of the file that was opened, not of the path, which may name another one by now.
        let metadata = opened.metadata().map_err(|error| untrusted(&error))?;
        if !metadata.is_file() {
            return Err(untrusted(&"it is not a regular file"));
        }
        if metadata.uid() != 0 && metadata.uid() != user {
            return Err(untrusted(&"it belongs to another user"));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(untrusted(&"others may write to it; run chmod go-w on it"));
        }
        let mut bytes = Vec::new();
        opened.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| untrusted(&error))?;
        File::parse(&bytes).map(Some).map_err(|why| {
            Refused::Malformed(format!(
                "{name}, {why}: the file is ignored, and only the authentication token is offered; mend the file"
            ))
        })
    }

    /// The file from its bytes; the error is where and what, in one line.
    fn parse(bytes: &[u8]) -> Result<File, String> {
        if bytes.len() as u64 > LONGEST {
            return Err(format!("longer than {LONGEST} bytes"));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("line {}: not UTF-8", line_of(bytes, error.valid_up_to())))?;
        toml::from_str(text).map_err(|error| {
            let line = line_of(bytes, error.span().map_or(0, |span| span.start));
            format!("line {line}: {}", sanitise(error.message()))
        })
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
