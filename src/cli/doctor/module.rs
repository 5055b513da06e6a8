//! The installed module: whether it is there, can be loaded, and shows the card. It is opened by another process of this
//! program, so that whatever its file holds cannot harm this one, and a module that hangs is given up.

use super::finding::{Code, Finding};
use crate::cli::machine::Machine;
use crate::cli::modules::{self, FILES};
use crate::cli::{Result, output, shown};
use crate::config::Config;
use crate::sys::module::{self, ModuleInfo};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// What a module needs beyond `lock_timeout`: a card that answers slowly is asked some ten things.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than a module has to say of itself.
const LONGEST_ANSWER: u64 = 1 << 16;

/// The files of the module that were found.
pub fn examine(machine: &Machine, config: &Config, card: bool, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
    let directories = modules::directories(machine);
    let Some(first) = directories.first() else {
        findings.push(
            Finding::problem(Code::ModuleNotInstalled, "the module is not installed")
                .next("In the source: make build && sudo make install"),
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    for directory in &directories {
        let files = modules::in_directory(directory);
        findings.extend(files.iter().map(|path| one(path, config, card)));
        let missing: Vec<_> = FILES.into_iter().filter(|file| !directory.join(file).is_file()).collect();
        if !missing.is_empty() {
            let what = format!("{}: {} is missing", shown(directory), missing.join(", "));
            findings.push(Finding::note(Code::ModuleIncomplete, what).next("sudo make install"));
        }
        found.extend(files);
    }
    if directories.len() > 1 {
        let others: Vec<_> = directories.iter().map(|directory| shown(directory)).collect();
        findings.push(
            Finding::note(Code::ModuleTwice, format!("it is installed more than once: {}", others.join(", ")))
                .next(format!("jpki setup uses {}; remove the others.", shown(first))),
        );
    }
    if are_one_file(&found) {
        findings.push(
            Finding::problem(Code::ModuleLinked, "two of its files are links to one")
                .next("The loader takes them for one module. Copy them: sudo make install"),
        );
    }
    found
}

fn one(path: &Path, config: &Config, card: bool) -> Finding {
    let name = shown(path);
    let info = match ask(path, config.lock_timeout + PATIENCE) {
        Ok(info) => info,
        Err(reason) => {
            return Finding::problem(Code::ModuleFails, format!("{name}: {reason}"))
                .next("sudo make install puts a sound one there; libpcsclite1 must be installed.");
        }
    };
    let what = match info.tokens.as_slice() {
        [] => format!("{name}: no token"),
        tokens => format!("{name}: {}", tokens.join(", ")),
    };
    if card && info.tokens.is_empty() {
        return Finding::problem(Code::ModuleWithoutToken, format!("{what}, although a card is there"))
            .next(format!("It says of itself: {}", info.description));
    }
    if info.version != own_version() {
        let (major, minor) = info.version;
        return Finding::note(Code::ModuleOfAnotherVersion, format!("{what} (version {major}.{minor})"))
            .next("sudo make install brings module and program to one version.");
    }
    Finding::ok(Code::Module, what)
}

/// Whether any two of them are one file on the disk.
fn are_one_file(files: &[PathBuf]) -> bool {
    let mut identities: Vec<_> =
        files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| (file.dev(), file.ino())).collect();
    identities.sort_unstable();
    identities.windows(2).any(|pair| pair.first() == pair.last())
}

fn own_version() -> (u8, u8) {
    let number = |text: &str| text.parse().unwrap_or(0);
    (number(env!("CARGO_PKG_VERSION_MAJOR")), number(env!("CARGO_PKG_VERSION_MINOR")))
}

/// Has another process of this program ask the module.
fn ask(module: &Path, patience: Duration) -> std::result::Result<ModuleInfo, String> {
    let this = env::current_exe().map_err(|error| format!("it cannot be asked: {error}"))?;
    let mut child = Command::new(this)
        .args(["doctor", "--ask-module"])
        .arg(module)
        // No directory: the module has no place to write down what it learns of the card.
        .env("XDG_STATE_HOME", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("it cannot be asked: {error}"))?;
    let deadline = Instant::now() + patience;
    let too_slow = || format!("it did not answer within {} s", patience.as_secs());
    let ended = loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            Ok(Some(status)) => break Ok(status),
            Ok(None) => break Err(too_slow()),
            Err(error) => break Err(error.to_string()),
        }
    };
    let status = ended.inspect_err(|_| {
        // It may have ended by itself in this very moment.
        let _ = child.kill();
        let _ = child.wait();
    })?;
    // It ended, and its answer of a few hundred bytes is in the pipe. What the module may have started has the pipe too,
    // and need not have ended.
    let mut pipe = child.stdout.take();
    let (send, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut answer = Vec::new();
        let read = pipe.as_mut().map(|pipe| pipe.take(LONGEST_ANSWER).read_to_end(&mut answer));
        // Nobody waits any more if it took too long.
        let _ = send.send(read.transpose().map(|_| answer));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let answer = answer.recv_timeout(left).map_err(|_| too_slow())?.map_err(|error| error.to_string())?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Info(info)) => Ok(info),
        Ok(Answer::Failed(reason)) => Err(reason),
        Err(_) => Err(format!("it ended the process that asked it ({status})")),
    }
}

/// What the process that asks writes.
#[derive(serde::Serialize, serde::Deserialize)]
enum Answer {
    Info(ModuleInfo),
    Failed(String),
}

/// Asks the module in this very process: `jpki doctor --ask-module`.
pub fn answer(path: &Path) -> Result<()> {
    let answer = match module::ask(path) {
        Ok(info) => Answer::Info(info),
        Err(reason) => Answer::Failed(reason),
    };
    output::json(&answer)
}
