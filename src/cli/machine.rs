//! The machine a command looks at: the system's files, this user's, and the programs there are. Its root is a parameter so
//! that a test can make a machine of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where things are.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
    home: Option<PathBuf>,
    config: Option<PathBuf>,
    data: Option<PathBuf>,
    programs: Vec<PathBuf>,
    over_ssh: bool,
    openssl_conf: Option<PathBuf>,
    service_socket: Option<PathBuf>,
}

impl Machine {
    /// This one, as the process's variables have it.
    pub fn of_process() -> Machine {
        let root = said_by_a_test("JPKI_TEST_ROOT").unwrap_or_else(|| "/".into());
        Machine::of(Path::new(&root), |name| env::var_os(name))
    }

    /// The machine whose files are below `root`, for a process with these variables.
    pub fn of(root: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Machine {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        Machine {
            root: root.to_owned(),
            config: absolute("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config"))),
            data: absolute("XDG_DATA_HOME").or_else(|| Some(home.as_ref()?.join(".local/share"))),
            home,
            programs: env::split_paths(&variable("PATH").unwrap_or_default()).collect(),
            over_ssh: ["SSH_CONNECTION", "SSH_TTY"].iter().any(|name| variable(name).is_some()),
            openssl_conf: absolute("OPENSSL_CONF"),
            service_socket: absolute("PCSCLITE_CSOCK_NAME"),
        }
    }

    /// One with these files, below a directory of the test's, for a user whose home is /home/me.
    #[cfg(test)]
    pub fn with_files(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (home, programs) = (root.path().join("home/me"), root.path().join("usr/bin"));
        let machine = Machine::of(root.path(), |name| match name {
            "HOME" => Some(home.clone().into()),
            "PATH" => Some(programs.clone().into()),
            _ => None,
        });
        (root, machine)
    }

    /// A file of the system, by its absolute path.
    pub fn system(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file in the user's home directory.
    pub fn home(&self, path: &str) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(path))
    }

    /// A file in the user's configuration directory.
    pub fn config(&self, path: &str) -> Option<PathBuf> {
        Some(self.config.as_ref()?.join(path))
    }

    /// A file in the user's directory for data.
    pub fn data(&self, path: &str) -> Option<PathBuf> {
        Some(self.data.as_ref()?.join(path))
    }

    /// Where a program of this name is, if it can be started by it.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.programs.iter().map(|place| place.join(name)).find(|path| path.is_file())
    }

    /// Whether the person sits at another machine.
    pub fn is_over_ssh(&self) -> bool {
        self.over_ssh
    }

    /// The file that OPENSSL_CONF names.
    pub fn openssl_conf(&self) -> Option<&Path> {
        self.openssl_conf.as_deref()
    }

    /// The socket at which pcscd is asked.
    pub fn service_socket(&self) -> PathBuf {
        self.service_socket.clone().unwrap_or_else(|| self.system("/run/pcscd/pcscd.comm"))
    }
}

/// Now. A test says when that is, in seconds since 1970.
pub fn now() -> SystemTime {
    let said = said_by_a_test("JPKI_TEST_NOW").and_then(|now| now.to_str()?.parse().ok());
    said.map_or_else(SystemTime::now, |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// What a test says in this variable, which counts in builds with debug assertions only.
fn said_by_a_test(variable: &str) -> Option<OsString> {
    if cfg!(debug_assertions) { env::var_os(variable) } else { None }
}

/// What is in a directory, by name; nothing where it cannot be read.
pub fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}
