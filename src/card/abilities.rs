//! What a card was found able to do, kept between processes so that each card teaches it once: one small file a card,
//! named by the hash of its EF 0006, in the state directory. Nothing in it is about a person. A file that is damaged, or
//! not ours, counts as absent and is written anew.

use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Verdicts about one card; `None`: not known yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Abilities {
    /// Whether VERIFY, READ BINARY and COMPUTE DIGITAL SIGNATURE take a short EF id.
    pub(super) short_ids: Option<bool>,
    /// Whether the card makes PSS signatures.
    pub(super) pss: Option<bool>,
    file: Option<PathBuf>,
}

/// The file's contents.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_ids: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pss: Option<bool>,
}

const VERSION: u32 = 1;
/// More than a file of ours can have.
const MAX_FILE: u64 = 1024;

impl Abilities {
    /// What is recorded of the card with this fingerprint.
    pub(super) fn load(state_dir: Option<&Path>, fingerprint: &str) -> Abilities {
        let directory = state_dir.and_then(|state_dir| directory(state_dir, "cards"));
        let file = directory.map(|directory| directory.join(format!("{fingerprint}.toml")));
        let record = file.as_deref().and_then(read);
        Abilities {
            short_ids: record.as_ref().and_then(|record| record.short_ids),
            pss: record.as_ref().and_then(|record| record.pss),
            file,
        }
    }

    /// Records the verdicts. Where that fails they hold for this process only, and the log says so.
    pub(super) fn save(&self) {
        let Some(file) = &self.file else { return };
        let record = Record { version: VERSION, short_ids: self.short_ids, pss: self.pss };
        if let Err(error) = write(file, &record) {
            log::warn!("cannot record what this card can do in {}: {error}", file.display());
        }
    }
}

/// The private directory of this name in the state directory; made where it is missing.
fn directory(state_dir: &Path, name: &str) -> Option<PathBuf> {
    let directory = state_dir.join(name);
    match sys::make_private(state_dir).and_then(|()| sys::make_private(&directory)) {
        Ok(()) => Some(directory),
        Err(error) => {
            log::warn!("nothing is kept about cards in {}: {error}", directory.display());
            None
        }
    }
}

fn read(file: &Path) -> Option<Record> {
    let metadata = fs::symlink_metadata(file).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE || !sys::is_private(&metadata) {
        return None;
    }
    let record: Record = toml::from_str(&fs::read_to_string(file).ok()?).ok()?;
    (record.version == VERSION).then_some(record)
}

/// Writes beside the file and renames, so that a reader sees the old record or the new one.
fn write(file: &Path, record: &Record) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let text = toml::to_string(record).map_err(io::Error::other)?;
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    let written = options.open(&temporary).and_then(|mut open| open.write_all(text.as_bytes()));
    let renamed = written.and_then(|()| fs::rename(&temporary, file));
    if renamed.is_err() {
        // The error that matters is the one returned; what is left over may be a file another thread is writing.
        let _ = fs::remove_file(&temporary);
    }
    renamed
}
