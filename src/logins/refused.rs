//! What a card has refused, so that no mistyped secret is sent twice: not by this process, also after C_Finalize, nor by
//! another one of this user. A service that was set up with a wrong PIN is started again and again, and would lock the card.
//!
//! Secrets are remembered as salted hashes. Ten thousand guesses open one of a PIN, so they are on disk nowhere: in this
//! process, and in files in memory (tmpfs) that nobody else can read and that end with the machine's run.

use crate::sys::{self, Filesystem};
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// What a file begins with.
const MAGIC: [u8; 8] = *b"JPKI-R1\n";
/// More than a secret has tries: what was refused before the oldest of these was refused long ago.
const MOST: usize = 16;
const HASH: usize = 32;
/// Longer than any file of ours.
const LONGEST: u64 = 1024;

/// The refused secrets of one key of one card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// None until it is needed, and where there is no random number to be had: then nothing is remembered, since a try
    /// spent is better than a secret that can be guessed from memory.
    salt: Option<[u8; 16]>,
    hashes: Vec<[u8; HASH]>,
    /// The counter after the last refusal: once it is fuller, somebody has presented the right secret or had it reset.
    left: Option<u8>,
}

impl Refused {
    pub(super) fn contains(&self, secret: &[u8]) -> bool {
        // Where there is nothing to compare with, no hash is made: it would leave a copy of the secret on the stack.
        !self.hashes.is_empty() && self.hash(secret).is_some_and(|hash| self.hashes.contains(&hash))
    }

    /// Remembers that the card has refused `secret` and has so many tries left, if it said.
    pub(super) fn add(&mut self, secret: &[u8], left: Option<u8>) {
        self.left = left;
        if self.salt.is_none() {
            let mut salt = [0; 16];
            self.salt = getrandom::fill(&mut salt).is_ok().then_some(salt);
        }
        if let Some(hash) = self.hash(secret).filter(|hash| !self.hashes.contains(hash)) {
            if self.hashes.len() == MOST {
                self.hashes.remove(0);
            }
            self.hashes.push(hash);
        }
    }

    /// Whether a counter of so many tries, of `full`, says that the secret may have been set anew: it is fuller than after
    /// the last refusal, or nobody was refused since somebody was right.
    pub(super) fn is_over(&self, left: u8, full: u8) -> bool {
        left >= full || self.left.is_some_and(|then| left > then)
    }

    fn hash(&self, secret: &[u8]) -> Option<[u8; HASH]> {
        Some(Sha256::new().chain_update(self.salt?).chain_update(secret).finalize().into())
    }

    /// What the file `path` remembers of this run of the machine. Nothing, where it is not a file of ours alone in memory,
    /// or damaged.
    pub(super) fn load(path: &Path, boot: &str) -> Refused {
        Refused::read(path).ok().and_then(|bytes| Refused::parse(&bytes, boot)).unwrap_or_default()
    }

    /// Writes the file `path`, whose directory must lie in memory; elsewhere nothing is written. Beside it and renamed, so
    /// that a reader sees the old one or the new one.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn store(&self, path: &Path, boot: &str) -> io::Result<()> {
        let Some(directory) = path.parent().filter(|directory| is_in_memory(directory)) else { return Ok(()) };
        sys::make_private(directory)?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
        }
        let written = options.open(&temporary).and_then(|mut file| file.write_all(&self.encode(boot)));
        let renamed = written.and_then(|()| fs::rename(&temporary, path));
        if renamed.is_err() {
            // The error that matters is the one returned.
            let _ = fs::remove_file(&temporary);
        }
        renamed
    }

    /// Forgets what the file `path` remembers.
    ///
    /// # Errors
    /// The system's, but for a file that is not there.
    pub(super) fn forget(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(error),
            _ => Ok(()),
        }
    }

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || !sys::is_private(&metadata) || metadata.len() > LONGEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn encode(&self, boot: &str) -> Zeroizing<Vec<u8>> {
        let left = match self.left {
            Some(left) => [1, left],
            None => [0, 0],
        };
        let salt = self.salt.unwrap_or_default();
        let mut bytes = Zeroizing::new([&MAGIC[..], boot.as_bytes(), &[0], &left, &salt].concat());
        self.hashes.iter().for_each(|hash| bytes.extend_from_slice(hash));
        bytes
    }

    fn parse(bytes: &[u8], boot: &str) -> Option<Refused> {
        let rest = bytes.strip_prefix(&MAGIC)?.strip_prefix(boot.as_bytes())?.strip_prefix(&[0])?;
        let ([known, left], rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let hashes = rest.chunks_exact(HASH).filter_map(|hash| hash.try_into().ok()).take(MOST).collect();
        Some(Refused { salt: Some(*salt), hashes, left: (*known == 1).then_some(*left) })
    }
}

/// Whether what lies in `directory` ends with the machine's run.
fn is_in_memory(directory: &Path) -> bool {
    // One that is yet to be made lies where the one above it does.
    let nearest = directory.ancestors().find(|above| above.exists());
    nearest.is_some_and(|nearest| matches!(sys::filesystem(nearest), Ok(Filesystem::Memory)))
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn refused() -> Refused {
        let mut refused = Refused::default();
        refused.add(b"1111", Some(2));
        refused.add(b"2222", Some(1));
        refused
    }

    #[test]
    fn a_refused_secret_is_known_again_until_the_counter_is_fuller() {
        let refused = refused();
        assert!(refused.contains(b"1111") && refused.contains(b"2222") && !refused.contains(b"3333"));
        assert!(!refused.is_over(0, 3) && !refused.is_over(1, 3) && refused.is_over(2, 3));
        let mut uncounted = Refused::default();
        uncounted.add(b"1111", None);
        assert!(!uncounted.is_over(2, 3) && uncounted.is_over(3, 3), "a full counter has refused nobody");
    }

    #[test]
    fn what_is_kept_is_private_in_memory_and_of_this_run() {
        let place = tempfile::Builder::new().prefix("jpki-refused-").tempdir_in("/dev/shm").unwrap();
        let path = place.path().join("run/card.auth.refused");
        refused().store(&path, "boot").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Refused::load(&path, "boot"), refused_as(&path));
        assert!(Refused::load(&path, "boot").contains(b"1111"));
        assert_eq!(Refused::load(&path, "another boot"), Refused::default());
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"1111"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(Refused::load(&path, "boot"), Refused::default(), "others may have written it");
        Refused::forget(&path).unwrap();
        Refused::forget(&path).unwrap();
        assert_eq!(Refused::load(&path, "boot"), Refused::default());
    }

    fn refused_as(path: &Path) -> Refused {
        Refused::parse(&fs::read(path).unwrap(), "boot").unwrap()
    }

    #[test]
    fn nothing_is_kept_on_a_disk() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        assert_ne!(sys::filesystem(place.path()).unwrap(), Filesystem::Memory, "this test wants a disk");
        let path = place.path().join("card.auth.refused");
        refused().store(&path, "boot").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_file_remembers_nothing_and_nothing_panics() {
        let bytes = refused().encode("boot");
        for len in 0..bytes.len() {
            let found = Refused::parse(&bytes[..len], "boot").unwrap_or_default();
            assert!(found.hashes.len() <= 2);
        }
    }
}
