//! Programs that ask on a terminal.

use crate::common::tool;
use crate::program::Running;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long any program may take from one thing it shows to the next.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program showed on its terminal, and how it ended.
pub struct Shown {
    pub text: String,
    pub success: bool,
}

/// Runs `command` on a terminal, that of script(1). Waits for each question before its answer is typed.
///
/// # Panics
/// Where a question is not asked, or the program does not end.
pub fn on_a_terminal(command: &Command, answers: &[(&str, &str)]) -> Shown {
    let mut script = Command::new(tool("script", "bsdutils"));
    script.args(["--quiet", "--return", "--flush", "--echo", "never", "--command", &as_typed(command), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    // Whatever the shell of whoever runs the tests is.
    script.env("SHELL", "/bin/sh");
    let mut running = Running::start(script.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (keys, screen) = (running.0.stdin.take(), running.0.stdout.take());
    let (mut keys, mut screen) = (keys.expect("it is piped"), screen.expect("it is piped"));
    let (sender, shows) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });

    let mut shown = Vec::new();
    let mut from = 0;
    for (question, answer) in answers {
        loop {
            if let Some(at) = String::from_utf8_lossy(&shown[from..]).find(question) {
                from += at + question.len();
                break;
            }
            match shows.recv_timeout(PATIENCE) {
                Ok(bytes) => shown.extend(bytes),
                Err(_) => panic!("did not ask {question:?}: {}", String::from_utf8_lossy(&shown)),
            }
        }
        keys.write_all(answer.as_bytes()).and_then(|()| keys.write_all(b"\n")).expect("the terminal is there");
        keys.flush().expect("the terminal is there");
    }
    loop {
        match shows.recv_timeout(PATIENCE) {
            Ok(bytes) => shown.extend(bytes),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("did not end: {}", String::from_utf8_lossy(&shown)),
        }
    }
    let success = running.0.wait().expect("it is our child").success();
    Shown { text: String::from_utf8_lossy(&shown).into_owned(), success }
}

/// A command for a shell, which becomes it: timeout(1), as a child of a shell without job control, would leave the
/// terminal's foreground, and what it runs could not read the answers.
fn as_typed(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| {
        let word = Path::new(word).display().to_string();
        format!("'{}'", word.replace('\'', r"'\''"))
    };
    let words: Vec<String> = [command.get_program()].into_iter().chain(command.get_args()).map(quoted).collect();
    format!("exec {}", words.join(" "))
}
