//! Where browsers are and what they keep.

use super::machine::Machine;
use super::nss;
use std::path::PathBuf;

/// The directory of the database that Chromium and its relatives share. They have moved it to the XDG directory for data,
/// but use the older one wherever there is one: to make that would hide the other from them, with all that is in it.
pub fn chromium_database(machine: &Machine) -> Option<PathBuf> {
    let (older, newer) = (machine.home(".pki/nssdb")?, machine.data("pki/nssdb")?);
    Some(if !older.exists() && newer.join(nss::FILE).is_file() { newer } else { older })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_database_is_chromiums_wherever_there_is_one() {
        for (files, place) in [
            (&[][..], ".pki/nssdb"),
            (&["home/me/.local/share/pki/nssdb/pkcs11.txt"][..], ".local/share/pki/nssdb"),
            (&["home/me/.local/share/pki/nssdb/pkcs11.txt", "home/me/.pki/nssdb/cert9.db"], ".pki/nssdb"),
            (&["home/me/.local/share/pki/nssdb/empty"], ".pki/nssdb"),
        ] {
            let files: Vec<_> = files.iter().map(|file| (*file, "")).collect();
            let (root, machine) = Machine::with_files(&files);
            assert_eq!(chromium_database(&machine), Some(root.path().join("home/me").join(place)), "{files:?}");
        }
    }
}
