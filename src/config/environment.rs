//! What a process brings along: its variables, its user, and whether it may trust either.

use super::source::{Place, Source};
use crate::sys::{self, Filesystem};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The system's configuration file.
const SYSTEM_FILE: &str = "/etc/jpki-pkcs11/config.toml";
/// The variable that names a configuration file.
const NAMED_FILE: &str = "JPKI_PKCS11_CONF";
/// The directory of this project under the user's XDG directories.
const DIRECTORY: &str = "jpki-pkcs11";

/// Looks up an environment variable.
pub type Lookup<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// The surroundings of a process, injected so that tests can make their own.
pub struct Environment<'a> {
    /// The environment variables.
    pub variable: Box<Lookup<'a>>,
    /// Whether the process runs with rights its caller lacks (AT_SECURE): then variables and the user's files count for
    /// nothing.
    pub secure: bool,
    /// The effective user id.
    pub user: u32,
    /// The system's configuration file.
    pub system_file: PathBuf,
    /// Where the system keeps what ends with its run: `/run`.
    pub run: PathBuf,
}

/// Whether `directory`, which may be yet to be made, lies on this machine.
fn is_on_this_machine(directory: &Path) -> bool {
    let nearest = directory.ancestors().find(|above| above.exists());
    nearest.is_some_and(|nearest| matches!(sys::filesystem(nearest), Ok(Filesystem::Local | Filesystem::Memory)))
}

/// `/run`; builds for tests have a place of their own, so that no test meets a process of whoever runs it.
fn run_directory() -> PathBuf {
    #[cfg(debug_assertions)]
    if let Some(place) = std::env::var_os("JPKI_TEST_RUN") {
        return place.into();
    }
    "/run".into()
}

impl Environment<'_> {
    /// That of this process. Where users have no number, nothing is known to be the user's own.
    pub fn of_process() -> Environment<'static> {
        let user = sys::effective_user();
        Environment {
            variable: Box::new(|name| std::env::var_os(name)),
            secure: sys::is_secure() || user.is_none(),
            user: user.unwrap_or(0),
            system_file: SYSTEM_FILE.into(),
            run: run_directory(),
        }
    }

    /// The configuration files, each of which overrides those before it.
    pub(super) fn sources(&self) -> Vec<Source> {
        let source = |place| move |path| Source { place, path };
        let user = self.base("XDG_CONFIG_HOME", ".config").map(|base| base.join(DIRECTORY).join("config.toml"));
        // Whatever it says, it is meant: a relative path must not be taken for none.
        let named = (self.variable)(NAMED_FILE).filter(|value| !self.secure && !value.is_empty());
        std::iter::once(Source { place: Place::System, path: self.system_file.clone() })
            .chain(user.map(source(Place::User)))
            .chain(named.map(PathBuf::from).map(source(Place::Named)))
            .collect()
    }

    /// The log file that `JPKI_PKCS11_LOG` names.
    pub(super) fn log(&self) -> Option<PathBuf> {
        self.path("JPKI_PKCS11_LOG")
    }

    /// Where state is kept. A `sudo` that keeps `$HOME` must leave nothing of root's there, so the base has to be ours.
    pub(super) fn state_dir(&self) -> Option<PathBuf> {
        if let Some(base) = self.path("XDG_STATE_HOME") {
            return self.owns(&base).then(|| base.join(DIRECTORY));
        }
        let home = self.path("HOME").filter(|home| self.owns(home))?;
        Some(home.join(".local/state").join(DIRECTORY))
    }

    /// Where the processes of this user meet: directories of ours that nobody else may write to. The system's is found by
    /// those too that were started without the variable (cron, su, services), the state directory by those of a user whom
    /// the system made none. Not on another machine, whose locks are not this one's, and not where everybody may write.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let of_system = [Some(self.run.join("user").join(self.user.to_string())), self.path("XDG_RUNTIME_DIR")];
        let mut places: Vec<PathBuf> =
            of_system.into_iter().flatten().filter(|base| self.owns(base)).map(|base| base.join(DIRECTORY)).collect();
        // Services of root have nothing but this.
        if self.user == 0 && self.owns(&self.run) {
            places.push(self.run.join(DIRECTORY));
        }
        places.extend(self.state_dir());
        places.retain(|place| is_on_this_machine(place));
        places
    }

    /// The XDG base directory that `variable` names, or `default` under the home directory.
    fn base(&self, variable: &str, default: &str) -> Option<PathBuf> {
        self.path(variable).or_else(|| Some(self.path("HOME")?.join(default)))
    }

    /// An absolute path from `variable`; relative ones are ignored, as the XDG Base Directory Specification has it.
    fn path(&self, variable: &str) -> Option<PathBuf> {
        if self.secure {
            return None;
        }
        Some(PathBuf::from((self.variable)(variable)?)).filter(|path| path.is_absolute())
    }

    fn owns(&self, directory: &Path) -> bool {
        let ours =
            |metadata: Metadata| metadata.is_dir() && metadata.uid() == self.user && metadata.mode() & 0o022 == 0;
        std::fs::metadata(directory).is_ok_and(ours)
    }
}
