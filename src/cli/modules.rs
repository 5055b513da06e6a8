//! The installed module's files: what they are called, and where they lie.

use super::machine::{Machine, entries};
use std::env;
use std::path::{Path, PathBuf};

/// Shows both tokens.
pub const BOTH: &str = "libjpki_pkcs11.so";
/// Shows the authentication token.
pub const AUTH: &str = "libjpki_pkcs11-auth.so";
/// Shows the signature token.
pub const SIGN: &str = "libjpki_pkcs11-sign.so";
/// A second name for what [`AUTH`] shows.
pub const SSH: &str = "libjpki_pkcs11-ssh.so";
/// Those that every installation has.
pub const FILES: [&str; 4] = [BOTH, AUTH, SIGN, SSH];
/// What the names of all begin and end with.
const NAME: (&str, &str) = ("libjpki_pkcs11", ".so");

/// The directories in which at least one of them lies, beginning with the one that belongs to this program.
pub fn directories(machine: &Machine) -> Vec<PathBuf> {
    let beside = env::current_exe().ok().and_then(|program| program.canonicalize().ok());
    let beside = beside.and_then(|program| Some(program.parent()?.parent()?.join("lib/pkcs11")));
    let multiarch = entries(&machine.system("/usr/lib"))
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .map(|path| path.join("pkcs11"));
    let usual = ["/usr/local/lib/pkcs11", "/usr/lib/pkcs11", "/usr/lib64/pkcs11"].map(|path| machine.system(path));
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in beside.into_iter().chain(usual).chain(multiarch) {
        let there = FILES.iter().any(|file| directory.join(file).is_file());
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if there && !found.iter().any(|known| real(known) == real(&directory)) {
            found.push(directory);
        }
    }
    found
}

/// The module's files in `directory`.
pub fn in_directory(directory: &Path) -> Vec<PathBuf> {
    entries(directory).into_iter().filter(|path| path.is_file() && own_name(path).is_some()).collect()
}

/// The name by which the module decides what a program is shown that loads `path`, if that is the module: the file's own, or
/// behind a link of another name that of the file it leads to.
pub fn deciding_name(path: &Path) -> Option<String> {
    let real = path.canonicalize();
    own_name(path).or_else(|| own_name(real.as_deref().ok()?)).map(str::to_owned)
}

/// The file's name, if it is one of the module's; what the module shows depends on it.
pub fn own_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| name.starts_with(NAME.0) && name.ends_with(NAME.1))
}
