//! What was written for a program, and what was there before: a file in the state directory, private, since what was there
//! may be. Saved before each change, so that no change is ever without its way back.

use super::edit::{Edit, Part, Step, Undo, Written};
use super::failed;
use crate::cli::{Exit, Failure, Result, shown};
use crate::sys;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What was written for one program.
pub struct Journal {
    file: PathBuf,
    records: Vec<Record>,
    /// Held as long as this lives, so that no other one is at work; `None` where nothing is to be changed.
    _lock: Option<File>,
}

/// One change.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Record {
    /// A text was written.
    Text {
        file: PathBuf,
        /// What the file held; nothing if there was none.
        before: Option<String>,
        /// What was added, or all of it.
        ours: String,
    },
    /// A file was made by another program at our request.
    Made { file: PathBuf, sha256: String },
    /// A directory was made.
    Directory { path: PathBuf },
}

impl Journal {
    /// The journal of `program`, once nobody else writes in one; for a dry run, as it is now.
    ///
    /// # Errors
    /// It cannot be read, or is damaged: then nothing may be changed, or what was there would be lost.
    pub fn open(state: &Path, program: &str, dry_run: bool) -> io::Result<Journal> {
        let directory = state.join("setup");
        let lock = if dry_run {
            None
        } else {
            sys::make_private(state).and_then(|()| sys::make_private(&directory))?;
            // A file, since a network's file system locks no directory, and one to be written, as it asks.
            let lock = directory.join("lock");
            let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)?;
            lock.lock()?;
            Some(lock)
        };
        let file = directory.join(format!("{program}.json"));
        let records = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| io::Error::other(format!("{} is damaged: {error}", file.display())))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Journal { file, records, _lock: lock })
    }

    /// Carries out `edit`, and says what was done.
    ///
    /// # Errors
    /// [`Exit::Failed`] where somebody else's text is in the way, or the file cannot be written: then it is as it was.
    pub fn apply(&mut self, edit: &Edit, dry_run: bool) -> Result<Vec<String>> {
        let name = shown(&edit.file);
        let now = read(&edit.file)?;
        let written = self.written(&edit.file);
        let step = edit.part.step(now.as_deref(), written.as_ref());
        let (text, ours, before) = match step {
            Step::Keep => return Ok(vec![format!("{name}: as it should be already")]),
            Step::Refuse => return Err(refused(&name, &edit.part)),
            Step::Write { text, ours, before } => (text, ours, before),
        };
        file_is_ours(&edit.file).map_err(|error| unwritten(&edit.file, &error))?;
        let verb = |done: &str, would: &str| if dry_run { format!("would {would}") } else { done.to_owned() };
        let verb = if now.is_some() && !matches!(edit.part, Part::Whole(_)) {
            verb("added to", "add to")
        } else {
            verb("wrote", "write")
        };
        let mut said = vec![format!("{verb} {name}")];
        if dry_run {
            said.extend(ours.trim_matches('\n').lines().map(|line| format!("  | {line}").trim_end().to_owned()));
            return Ok(said);
        }
        self.make_directories(edit.file.parent().unwrap_or(Path::new("/")), edit.mode, edit.shared)?;
        self.records.push(Record::Text { file: edit.file.clone(), before, ours });
        self.save()?;
        if let Err(error) = write(&edit.file, now.as_deref(), &text, edit.mode) {
            self.records.pop();
            self.save()?;
            return Err(unwritten(&edit.file, &error));
        }
        // Only now: until then what was written earlier was what the file held.
        let newest = self.records.len() - 1;
        let mut index = 0..;
        self.records.retain(|record| {
            index.next() == Some(newest) || !matches!(record, Record::Text { file, .. } if *file == edit.file)
        });
        self.save()?;
        if edit.shared && now.is_none() {
            let rights = Permissions::from_mode(edit.mode);
            fs::set_permissions(&edit.file, rights).map_err(|error| unwritten(&edit.file, &error))?;
        }
        Ok(said)
    }

    /// Makes `directory`, and remembers which ones were missing. A shared one has its rights whatever the umask.
    pub fn make_directories(&mut self, directory: &Path, mode: u32, shared: bool) -> Result<()> {
        place_is_ours(directory).map_err(|error| unwritten(directory, &error))?;
        let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        for path in missing.into_iter().rev() {
            self.records.push(Record::Directory { path: path.clone() });
            self.save()?;
            // Whoever may read the file may enter.
            let mode = mode | (mode & 0o444) >> 2;
            let made = DirBuilder::new().mode(mode).create(&path);
            let made = made.and_then(|()| match shared {
                true => fs::set_permissions(&path, Permissions::from_mode(mode)),
                false => Ok(()),
            });
            made.map_err(|error| unwritten(&path, &error))?;
        }
        Ok(())
    }

    /// Remembers a file that another program has made for us.
    pub fn made(&mut self, file: &Path) -> Result<()> {
        let sha256 = digest(file).map_err(|error| unwritten(file, &error))?;
        self.records.push(Record::Made { file: file.to_owned(), sha256 });
        self.save()
    }

    /// Takes out everything that was written, the last thing first, and says what was done.
    ///
    /// # Errors
    /// [`Exit::Failed`] where a file cannot be written; what was undone until then is said, and remembered as undone.
    pub fn undo(&mut self, dry_run: bool, said: &mut Vec<String>) -> Result<()> {
        let would = if dry_run { "would " } else { "" };
        let count = self.records.len();
        for index in (0..count).rev() {
            let Some(record) = self.records.get(index) else { break };
            match record {
                Record::Text { file, before, ours } => {
                    let now = read(file)?;
                    let written = Written { before: before.as_deref(), ours };
                    let name = shown(file);
                    let undo = written.undo(now.as_deref());
                    let sentence = match &undo {
                        Undo::Leave if now.is_none() => format!("{name}: is not there any more"),
                        Undo::Leave => format!("{name}: nothing of ours is in it as it was written; left as it is"),
                        Undo::Restore(_) => format!("{would}restore {name}"),
                        Undo::Remove => format!("{would}remove {name}"),
                        Undo::TakeOut(_) => format!("{would}take our lines out of {name}, which was changed since"),
                    };
                    let done = match undo {
                        _ if dry_run => Ok(()),
                        Undo::Leave => Ok(()),
                        Undo::Restore(text) | Undo::TakeOut(text) => write(file, now.as_deref(), &text, 0o600),
                        Undo::Remove => remove(file, now.as_deref()),
                    };
                    done.map_err(|error| unwritten(file, &error))?;
                    said.push(sentence);
                }
                Record::Made { file, sha256 } => {
                    if digest(file).is_ok_and(|now| now == *sha256) {
                        if !dry_run {
                            file_is_ours(file)
                                .and_then(|()| fs::remove_file(file))
                                .map_err(|error| unwritten(file, &error))?;
                        }
                        said.push(format!("{would}remove {}", shown(file)));
                    } else if file.exists() {
                        said.push(format!("{}: used since; left as it is", shown(file)));
                    }
                }
                // One that is in use by now stays.
                Record::Directory { path } if !dry_run && place_is_ours(path).is_ok() => drop(fs::remove_dir(path)),
                Record::Directory { .. } => {}
            }
            if !dry_run {
                self.records.truncate(index);
                self.save()?;
            }
        }
        Ok(())
    }

    fn written(&self, wanted: &Path) -> Option<Written<'_>> {
        self.records.iter().rev().find_map(|record| match record {
            Record::Text { file, before, ours } if file == wanted => Some(Written { before: before.as_deref(), ours }),
            _ => None,
        })
    }

    fn save(&self) -> Result<()> {
        if self.records.is_empty() {
            return match fs::remove_file(&self.file) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&error)),
                _ => Ok(()),
            };
        }
        let text = serde_json::to_string_pretty(&self.records).map_err(|error| failed(&error.into()))?;
        replace(&self.file, &text, 0o600, || Ok(())).map_err(|error| unwritten(&self.file, &error))
    }
}

/// The file's text; `None` if there is none.
fn read(file: &Path) -> Result<Option<String>> {
    match fs::read(file).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Some(text)),
        Ok(Err(_)) => {
            Err(Failure::new(Exit::Failed, format!("{} is not UTF-8 text; it is left as it is", shown(file))))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unwritten(file, &error)),
    }
}

fn refused(name: &str, part: &Part) -> Failure {
    match part {
        Part::Whole(wanted) => {
            Failure::new(Exit::Failed, format!("{name} is there and is not ours; it is left as it is"))
                .next(format!("Put this into it yourself, or move it away:\n{wanted}"))
        }
        Part::Lines { make, .. } => {
            Failure::new(Exit::Failed, format!("{name} has lines of ours that were changed since; it is left as it is"))
                .next(format!("Put this in their place yourself, or take them out and say it again:\n{}", make("")))
        }
    }
}

/// Puts `text` in the place of what the file holds `now`. A link is followed: people keep such files elsewhere.
fn write(file: &Path, now: Option<&str>, text: &str, mode: u32) -> io::Result<()> {
    file_is_ours(file)?;
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    replace(&file, text, mode, || is_unchanged(&file, now))
}

/// Removes the file that holds `now`.
fn remove(file: &Path, now: Option<&str>) -> io::Result<()> {
    file_is_ours(file)?;
    is_unchanged(file, now)?;
    fs::remove_file(file)
}

/// Nothing is done to what another program has written since it was read.
fn is_unchanged(file: &Path, now: Option<&str>) -> io::Result<()> {
    let unchanged = match fs::read(file) {
        Ok(bytes) => now.map(str::as_bytes) == Some(&bytes),
        Err(error) => error.kind() == ErrorKind::NotFound && now.is_none(),
    };
    if unchanged { Ok(()) } else { Err(io::Error::other("another program has just written it; try again")) }
}

/// Writes beside the file and renames, so that nobody ever reads half of it, unless `check` says no at the last moment.
/// The rights of a file that is there stay.
fn replace(file: &Path, text: &str, mode: u32, check: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let temporary = file.with_extension(format!("{}.jpki", std::process::id()));
    let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = (|| {
        if let Ok(there) = fs::metadata(file) {
            open.set_permissions(Permissions::from_mode(there.permissions().mode()))?;
        }
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        check()?;
        fs::rename(&temporary, file)
    })();
    if written.is_err() {
        // The error that matters is the one returned.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Nothing is written that is another user's, or to where another user may change what is written, as by a `sudo` that
/// keeps the user's variables: the file would be root's from then on, and its owner locked out.
fn file_is_ours(file: &Path) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(metadata) => is_ours(&metadata)?,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // A rename would put a file in the place of the link.
        Err(_) if fs::symlink_metadata(file).is_ok() => {
            return Err(io::Error::other("it is a link to a file that is not there"));
        }
        Err(_) => {}
    }
    let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    place_is_ours(real.parent().unwrap_or(Path::new("/")))
}

/// The same, of a directory or the one in which it will be.
fn place_is_ours(directory: &Path) -> io::Result<()> {
    for place in directory.ancestors() {
        match fs::metadata(place) {
            Ok(metadata) => return is_ours(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_ours(metadata: &Metadata) -> io::Result<()> {
    if Some(metadata.uid()) == sys::effective_user() {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        "it belongs to another user, and is left as it is; with sudo: sudo -H",
    ))
}

fn digest(file: &Path) -> io::Result<String> {
    Ok(Sha256::digest(fs::read(file)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unwritten(file: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", shown(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_set_ups_at_a_time_keep_both_their_notes() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (state, file) = (&state, place.path().join(number.to_string()));
                scope.spawn(move || {
                    let mut journal = Journal::open(state, "test", false).unwrap();
                    let edit = Edit { file, part: Part::Whole("text".into()), mode: 0o600, shared: false };
                    journal.apply(&edit, false).unwrap();
                });
            }
        });
        let mut said = Vec::new();
        Journal::open(&state, "test", false).unwrap().undo(false, &mut said).unwrap();
        assert_eq!(said.len(), 8, "{said:?}");
        assert!((0..8).all(|number| !place.path().join(number.to_string()).exists()));
    }

    #[test]
    fn what_another_program_has_written_meanwhile_stays() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        let refused = |done: io::Result<()>| {
            assert!(done.unwrap_err().to_string().contains("another program has just written it"));
            assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
        };
        fs::write(&file, "theirs").unwrap();
        for now in [Some("what was read"), None] {
            refused(write(&file, now, "ours", 0o600));
            refused(remove(&file, now));
        }
        write(&file, Some("theirs"), "ours", 0o600).unwrap();
        remove(&file, Some("ours")).unwrap();
        let gone = write(&file, Some("ours"), "ours", 0o600).unwrap_err();
        assert!(gone.to_string().contains("another program has just written it") && !file.exists(), "{gone}");
    }

    #[test]
    fn what_is_for_everybody_can_be_read_whatever_the_umask() {
        let place = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // Whoever runs this, the umask takes something away from these rights, or nothing can be told.
        let private = place.path().join("private/file");
        let shared = place.path().join("shared/file");
        let mut journal = Journal::open(&place.path().join("state"), "test", false).unwrap();
        for file in [&private, &shared] {
            let shared = *file == shared;
            let edit = Edit { file: file.clone(), part: Part::Whole("text".into()), mode: 0o666, shared };
            journal.apply(&edit, false).unwrap();
        }
        assert_eq!((mode(&shared), mode(shared.parent().unwrap())), (0o666, 0o777));
        assert_ne!(mode(&private), 0o666, "without a umask this test shows nothing");
    }
}
