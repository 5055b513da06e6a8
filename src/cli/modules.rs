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
/// All three.
pub const FILES: [&str; 3] = [BOTH, AUTH, SIGN];

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

/// Which tokens the module of this file name shows; `None` for another module.
pub fn shows(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    FILES.into_iter().find(|file| *file == name)
}
