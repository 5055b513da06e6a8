//! A card's file: written whole or not at all, private to its owner, and locked while a counter changes.

use super::image::{Image, Malformed};
use crate::sys;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Largest card file read; one with four certificates and two keys has 12 000 bytes.
const LARGEST: u64 = 1 << 20;

/// Where a practice card lives.
#[derive(Debug)]
pub enum Store {
    /// A file.
    File(PathBuf),
    /// Memory, for as long as the card does.
    Memory(Box<Image>),
}

impl Store {
    /// Makes a new card file with mode 0600.
    ///
    /// # Errors
    /// [`ImageError::Exists`] if there is anything of that name; [`ImageError::Io`], [`ImageError::Malformed`].
    pub fn create(path: &Path, image: &Image) -> Result<Store, ImageError> {
        let io = ImageError::io(path);
        let mut temporary = Temporary::write(path, image)?;
        temporary.name(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => ImageError::Exists(path.to_owned()),
            _ => io(error),
        })?;
        sync_directory(path).map_err(ImageError::io(path))?;
        Ok(Store::File(path.to_owned()))
    }

    /// Opens a card file, which must be readable by its owner alone.
    ///
    /// # Errors
    /// Any [`ImageError`] but [`ImageError::Exists`].
    pub fn open(path: &Path) -> Result<Store, ImageError> {
        // By its own name: a rename onto a symbolic link would put the card in the link's place.
        let path = fs::canonicalize(path).map_err(ImageError::io(path))?;
        remove_leftovers(&path)?;
        let store = Store::File(path);
        store.read()?;
        Ok(store)
    }

    /// The card's contents as they are now.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Exposed`], [`ImageError::TwoNames`], [`ImageError::Malformed`].
    pub fn read(&self) -> Result<Image, ImageError> {
        match self {
            // Every version of the file is whole, since it only ever takes its place by a rename: no lock.
            Store::File(path) => read(path, &mut open(path)?),
            Store::Memory(image) => Ok(Image::clone(image)),
        }
    }

    /// Reads, changes and writes the contents with nobody in between: neither a thread nor a process. `change` may call
    /// [`Update::save`] as often as it likes; what it did not save is lost.
    ///
    /// # Errors
    /// Those of [`Store::read`] and of `change`.
    pub fn update<T, E>(&mut self, change: impl FnOnce(&mut Update) -> Result<T, E>) -> Result<T, E>
    where
        E: From<ImageError>,
    {
        match self {
            Store::File(path) => {
                let mut locked = lock(path)?;
                let image = read(path, &mut locked)?;
                change(&mut Update { image, place: Place::File { path, locked } })
            }
            Store::Memory(kept) => {
                let image = Image::clone(kept);
                change(&mut Update { image, place: Place::Memory(kept) })
            }
        }
    }
}

/// A card's contents while they change, locked against everybody else.
pub struct Update<'a> {
    /// The contents; [`Update::save`] keeps them.
    pub image: Image,
    place: Place<'a>,
}

enum Place<'a> {
    File { path: &'a Path, locked: File },
    Memory(&'a mut Image),
}

impl Update<'_> {
    /// Keeps the contents as they are now. After it returns they outlive this process and a power cut.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Malformed`]; the file is as it was before.
    pub fn save(&mut self) -> Result<(), ImageError> {
        match &mut self.place {
            Place::File { path, locked } => {
                let path: &Path = path;
                // Locked from its beginning, so that the lock is the new file's before it takes the old one's name.
                let mut temporary = Temporary::write(path, &self.image)?;
                keep_owner(locked, &temporary.file).map_err(ImageError::io(path))?;
                fs::rename(&temporary.path, path).map_err(ImageError::io(path))?;
                temporary.kept = true;
                sync_directory(path).map_err(ImageError::io(path))?;
                *locked = temporary.file.try_clone().map_err(ImageError::io(path))?;
            }
            Place::Memory(kept) => **kept = self.image.clone(),
        }
        Ok(())
    }
}

/// Makes `new` belong to whom `old` does: a card that root changes, as pcscd's virtual reader may, is its holder's still.
fn keep_owner(old: &File, new: &File) -> io::Result<()> {
    let (old, own) = (old.metadata()?, new.metadata()?);
    if (old.uid(), old.gid()) == (own.uid(), own.gid()) {
        return Ok(());
    }
    fchown(new, Some(old.uid()), Some(old.gid()))
}

/// The file behind `path`, locked. Whoever waited for it may hold a file that has lost its name to a newer one by then,
/// so the name is looked up again.
fn lock(path: &Path) -> Result<File, ImageError> {
    loop {
        let file = open(path)?;
        file.lock().map_err(ImageError::io(path))?;
        let (held, named) = (file.metadata(), fs::metadata(path));
        let (held, named) = (held.map_err(ImageError::io(path))?, named.map_err(ImageError::io(path))?);
        if (held.dev(), held.ino()) == (named.dev(), named.ino()) {
            return Ok(file);
        }
    }
}

/// Removes what writers left beside the card at `path` when they were killed: it holds keys and secrets. Whoever writes
/// the card has its lock, so with that in hand no such file is being written; and a card that is only coming to be, under
/// a name that is taken, is locked itself.
fn remove_leftovers(path: &Path) -> Result<(), ImageError> {
    let leftovers = leftovers(path).map_err(ImageError::io(path))?;
    if leftovers.is_empty() {
        return Ok(());
    }
    let _locked = lock(path)?;
    for leftover in leftovers {
        let removed = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&leftover);
        let removed = removed.and_then(|file| match file.try_lock() {
            Ok(()) => fs::remove_file(&leftover),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match removed {
            // The writer was alive and has finished.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("practice card: cannot remove {}: {error}", leftover.display()),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Files beside `path` that are named as [`Temporary`] names them.
fn leftovers(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name() else { return Ok(Vec::new()) };
    let begin = format!(".{}.", name.to_string_lossy());
    let is_leftover = |name: &str| {
        let numbers = name.strip_prefix(&begin).and_then(|name| name.strip_suffix(".new"));
        let numbers = numbers.and_then(|numbers| numbers.split_once('.'));
        numbers.is_some_and(|(process, count)| process.parse::<u32>().is_ok() && count.parse::<u32>().is_ok())
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory(path))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_leftover) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn open(path: &Path) -> Result<File, ImageError> {
    let file = File::open(path).map_err(ImageError::io(path))?;
    let metadata = file.metadata().map_err(ImageError::io(path))?;
    if !metadata.is_file() {
        return Err(ImageError::NotAFile(path.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(ImageError::Exposed(path.to_owned()));
    }
    Ok(file)
}

fn read(path: &Path, file: &mut File) -> Result<Image, ImageError> {
    // Each change takes the place of one name only: the tries under the other would be there again.
    if file.metadata().map_err(ImageError::io(path))?.nlink() > 1 {
        return Err(ImageError::TwoNames(path.to_owned()));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            ImageError::Malformed(path.to_owned(), Malformed { line: None, reason: "it is not text".into() })
        }
        _ => ImageError::Io(path.to_owned(), error),
    })?;
    Image::parse(&text).map_err(|malformed| ImageError::Malformed(path.to_owned(), malformed))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// A whole card file under a name of its own, locked, and removed unless it was kept.
struct Temporary {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Temporary {
    fn write(target: &Path, image: &Image) -> Result<Temporary, ImageError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let text = image.to_text().map_err(|malformed| ImageError::Malformed(target.to_owned(), malformed))?;
        let name = target.file_name().ok_or_else(|| ImageError::NotAFile(target.to_owned()))?;
        let (file, path) = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let own = format!(".{}.{}.{count}.new", name.to_string_lossy(), std::process::id());
            let path = directory(target).join(own);
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => break (file, path),
                // A process of this number was killed here once; its leftover is nobody's card.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(ImageError::Io(target.to_owned(), error)),
            }
        };
        let mut temporary = Temporary { path, file, kept: false };
        temporary
            .file
            .lock()
            .and_then(|()| temporary.file.write_all(text.as_bytes()))
            .and_then(|()| temporary.file.sync_all())
            .map_err(ImageError::io(target))?;
        Ok(temporary)
    }
}

impl Temporary {
    /// Gives it the name `path` if there is nothing of that name.
    fn name(&mut self, path: &Path) -> io::Result<()> {
        match sys::rename_to_new(&self.path, path) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            renamed => {
                self.kept = renamed.is_ok();
                return renamed;
            }
        }
        // A link, unlike a plain rename, never takes the place of a card that is there. The first name goes with `self`.
        match fs::hard_link(&self.path, path) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS)) => {}
            linked => return linked,
        }
        // Without links either, the name is taken first. Whoever looks in between finds a card that is none.
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?);
        let renamed = fs::rename(&self.path, path);
        match renamed {
            Ok(()) => self.kept = true,
            // Ours, and empty; should it not go, that is said of it when somebody opens it.
            Err(_) => _ = fs::remove_file(path),
        }
        renamed
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("practice card: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Why a card file cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is something of that name.
    #[error("{} exists already; choose another name, or remove it first", .0.display())]
    Exists(PathBuf),
    /// It is a directory or a device.
    #[error("{} is not a file; give the name of a practice card's file", .0.display())]
    NotAFile(PathBuf),
    /// Its group or everybody may read or write it.
    #[error("{path} holds keys and secrets and is open to other users; close it with: chmod 600 '{path}'; if that changes nothing, its file system has no permissions: move it to another", path = .0.display())]
    Exposed(PathBuf),
    /// It has another name, a hard link.
    #[error("{path} has a second name, under which the tries that it has left would be counted apart; remove one of the two; to find it: find / -samefile '{path}'", path = .0.display())]
    TwoNames(PathBuf),
    /// It is not a practice card's, or damaged.
    #[error("{} is not a practice card's file: {}; mend that, or make a new card with: jpki card new", .0.display(), .1)]
    Malformed(PathBuf, Malformed),
    /// A key in it cannot be read.
    #[error("{} holds no usable {} key; make a new card with: jpki card new", .0.display(), .1)]
    Key(PathBuf, &'static str),
    /// There is no such file.
    #[error("there is no practice card in {}; make one with: jpki card new", .0.display())]
    Missing(PathBuf),
    /// The system refuses.
    #[error("cannot use {}: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
}

impl ImageError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> ImageError + use<'_> {
        move |error| match error.kind() {
            io::ErrorKind::NotFound => ImageError::Missing(path.to_owned()),
            _ => ImageError::Io(path.to_owned(), error),
        }
    }
}
