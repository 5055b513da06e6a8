//! The list of modules of an NSS database: the file `pkcs11.txt` beside its keys and certificates, a paragraph a module.

use std::path::PathBuf;

/// The file's name.
pub const FILE: &str = "pkcs11.txt";

/// The modules it lists; NSS's own has no library.
pub fn modules(text: &str) -> Vec<PathBuf> {
    let libraries = text.lines().filter_map(|line| line.trim().strip_prefix("library="));
    libraries.filter(|library| !library.is_empty()).map(PathBuf::from).collect()
}
