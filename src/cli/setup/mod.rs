//! `jpki setup`: writes for one program what its file in `pkcs11-conf` says, keeps what was there, and takes it out again.

mod edit;
mod journal;
mod recipes;

use super::machine::Machine;
use super::{Exit, Failure, Result, modules, nss, output, shown};
use crate::config::Config;
use crate::sys;
use crate::words::Language;
use clap::ValueEnum;
use journal::Journal;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `jpki setup` is asked.
#[derive(clap::Args)]
pub struct Arguments {
    /// The program.
    #[arg(value_enum)]
    program: Program,
    /// Take out what was written, and restore what was there.
    #[arg(long)]
    undo: bool,
    /// Only say what would be written.
    #[arg(long)]
    dry_run: bool,
    /// The directory in which the module's files lie; that of this installation if not given.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "undo")]
    module_dir: Option<PathBuf>,
    /// For ssh: a server to log in to with the card, as `Host` in ~/.ssh/config has it. May be given several times.
    #[arg(long, value_name = "NAME", conflicts_with = "undo", value_parser = recipes::host)]
    host: Vec<String>,
}

/// A program that can be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// Firefox: as root for everybody, by a policy; else in each of your profiles.
    Firefox,
    /// Chromium, and what else uses ~/.pki/nssdb.
    Chromium,
    /// OpenSSH, for the servers that --host names.
    Ssh,
    /// OpenSSL, by its provider or its engine.
    Openssl,
    /// Java's SunPKCS11.
    Java,
    /// Every program that uses p11-kit.
    P11Kit,
}

impl Program {
    /// The name on the command line.
    fn name(self) -> &'static str {
        match self {
            Program::Firefox => "firefox",
            Program::Chromium => "chromium",
            Program::Ssh => "ssh",
            Program::Openssl => "openssl",
            Program::Java => "java",
            Program::P11Kit => "p11-kit",
        }
    }
}

/// Runs `jpki setup`.
pub fn run(arguments: &Arguments, config: &Config, language: Language) -> Result<()> {
    let program = arguments.program;
    if let Some(unusable) = &config.unusable {
        // The program that is set up will not reach the card.
        output::warn(&format!("no reader is used: {unusable}"));
    }
    let state = config.state_dir.as_deref().ok_or_else(|| no_place(|name| env::var_os(name)))?;
    let mut journal = Journal::open(state, program.name(), arguments.dry_run).map_err(|error| failed(&error))?;
    // What was done is said, whatever comes after it.
    let mut said = Vec::new();
    let done = if arguments.undo {
        journal.undo(arguments.dry_run, &mut said).map(|()| {
            if said.is_empty() {
                said.push("There is nothing to undo.".to_owned());
            }
        })
    } else {
        set_up(arguments, language, &mut journal, &mut said)
    };
    output::lines(said)?;
    done
}

fn set_up(arguments: &Arguments, language: Language, journal: &mut Journal, said: &mut Vec<String>) -> Result<()> {
    let program = arguments.program;
    let machine = Machine::of_process();
    let directory = module_directory(arguments, &machine)?;
    let privileged = sys::effective_user() == Some(0);
    let recipe = recipes::of(program, &machine, &directory, &arguments.host, privileged, language)?;
    if let Some(database) = &recipe.database {
        said.push(make_database(database, &machine, journal, arguments.dry_run)?);
    }
    for edit in &recipe.edits {
        said.extend(journal.apply(edit, arguments.dry_run)?);
    }
    if !arguments.dry_run {
        said.extend(recipe.afterwards);
        said.push(format!("jpki setup {} --undo takes it out again.", program.name()));
    }
    Ok(())
}

/// Why there is no directory for state: it lies below one that is ours, into which nobody else may write.
fn no_place(variable: impl Fn(&str) -> Option<OsString>) -> Failure {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let Some(base) = ["XDG_STATE_HOME", "HOME"].into_iter().find_map(absolute) else {
        return no_place_because("the variable HOME is not set", "Set it to your home directory.");
    };
    let name = shown(&base);
    match fs::metadata(&base) {
        Err(error) => no_place_because(&format!("{name}: {error}"), "It has to be a directory of yours."),
        Ok(metadata) if !metadata.is_dir() => {
            no_place_because(&format!("{name} is no directory"), "It has to be a directory of yours.")
        }
        Ok(metadata) if Some(metadata.uid()) != sys::effective_user() => {
            no_place_because(&format!("{name} belongs to another user"), "With sudo, say: sudo -H jpki setup …")
        }
        Ok(_) => no_place_because(&format!("others may write to {name}"), &format!("chmod go-w {name}")),
    }
}

fn no_place_because(why: &str, next: &str) -> Failure {
    Failure::new(Exit::Failed, format!("there is no place to keep what was there before: {why}")).next(next)
}

/// Has NSS's certutil make an empty database, as Chromium would where it needs one.
fn make_database(directory: &Path, machine: &Machine, journal: &mut Journal, dry_run: bool) -> Result<String> {
    if dry_run {
        return Ok(format!("would make an NSS database in {}", shown(directory)));
    }
    let none = || Failure::new(Exit::Failed, format!("there is no NSS database in {}", shown(directory)));
    let certutil = machine
        .program("certutil")
        .ok_or_else(|| none().next("NSS's certutil makes one: sudo apt install libnss3-tools"))?;
    journal.make_directories(directory, 0o700, false)?;
    let made = Command::new(certutil)
        .arg("-N")
        .arg("-d")
        .arg(format!("sql:{}", directory.display()))
        .arg("--empty-password")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return Err(none().next(format!("certutil could not make one: certutil -N -d sql:{}", shown(directory))));
    }
    for file in ["cert9.db", "key4.db", nss::FILE] {
        journal.made(&directory.join(file))?;
    }
    Ok(format!("made an NSS database in {}", shown(directory)))
}

/// Where the module's files lie: as text, since it goes into text.
fn module_directory(arguments: &Arguments, machine: &Machine) -> Result<String> {
    let directory = match &arguments.module_dir {
        Some(directory) => std::path::absolute(directory)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", shown(directory))))?,
        None => modules::directories(machine).into_iter().next().ok_or_else(|| {
            Failure::new(Exit::Failed, "the module is not installed")
                .next("In the source: make build && sudo make install. Or say where it is, with --module-dir.")
        })?,
    };
    if !directory.join(modules::AUTH).is_file() {
        return Err(Failure::new(Exit::Failed, format!("{} is not in {}", modules::AUTH, shown(&directory)))
            .next("In the source: make build && sudo make install"));
    }
    let plain = |text: &&str| !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '\'' | '#'));
    directory.to_str().filter(plain).map(str::to_owned).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("{} has characters that configuration files cannot hold", shown(&directory)))
    })
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}
