//! NSS databases.

use crate::common::{Scratch, run, tool};
use crate::ground::{Card, Ground};
use crate::program::without_terminal;
use std::fs;
use std::path::{Path, PathBuf};

/// A database without a password that trusts the card's signature CA.
pub fn trusting(scratch: &Scratch, name: &str, card: &Card) -> PathBuf {
    let ca = scratch.file("sign-ca.pem", card.sign_ca());
    let database = scratch.path().join(name);
    if !database.is_dir() {
        fs::create_dir(&database).expect("the scratch directory is ours");
        let certutil = || without_terminal(tool("certutil", "libnss3-tools"));
        let directory = format!("sql:{}", database.display());
        run(certutil().args(["-N", "--empty-password", "-d", &directory])).ok();
        run(certutil().args(["-A", "-d", &directory, "-n", "CA", "-t", "C,C,C", "-i"]).arg(ca)).ok();
    }
    database
}

/// The same, and it knows this module.
pub fn with_module(ground: &Ground<'_>, card: &Card, module: &Path) -> PathBuf {
    let name = module.file_name().expect("it is a file").display().to_string();
    let database = trusting(&ground.scratch, &name, card);
    run(without_terminal(tool("modutil", "libnss3-tools"))
        .args(["-force", "-dbdir", &format!("sql:{}", database.display()), "-add", "JPKI", "-libfile"])
        .arg(module))
    .ok();
    database
}
