//! Programs that ask on a terminal, which is that of script(1).

use super::running::Running;
use super::tool;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long any program may take from one thing it shows to the next.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program showed on its terminal, and how it ended.
pub struct Shown {
    pub text: String,
    pub code: Option<i32>,
}

/// script(1), whose directory and environment will be those of the program.
pub fn script() -> Command {
    Command::new(tool("script", "bsdutils"))
}

/// Runs the program and arguments of `command` on the terminal of `script`. Waits for each question before the keys that
/// answer it are typed.
///
/// # Panics
/// Where a question is not asked, or the program does not end.
pub fn on_a_terminal(mut script: Command, command: &Command, answers: &[(&str, &str)]) -> Shown {
    script.args(["--quiet", "--return", "--flush", "--echo", "never", "--command", &as_typed(command), "/dev/null"]);
    // Whatever the shell of whoever runs the tests is.
    script.env("SHELL", "/bin/sh");
    let mut running = Running::start(script.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut keys = running.0.stdin.take().expect("it is piped");
    let shows = each_read(running.0.stdout.take().expect("it is piped"));

    let mut shown = Vec::new();
    let mut from = 0;
    for (question, answer) in answers {
        let asked = loop {
            // What is not yet whole is not yet UTF-8.
            let text = String::from_utf8_lossy(&shown[from..]);
            if let Some(at) = text.find(question) {
                break from + at + question.len();
            }
            match shows.recv_timeout(PATIENCE) {
                Ok(bytes) => shown.extend(bytes),
                Err(_) => panic!("did not ask {question:?}: {}", String::from_utf8_lossy(&shown)),
            }
        };
        from = asked.min(shown.len());
        keys.write_all(answer.as_bytes()).and_then(|()| keys.flush()).expect("the terminal is there");
    }
    loop {
        match shows.recv_timeout(PATIENCE) {
            Ok(bytes) => shown.extend(bytes),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("did not end: {}", String::from_utf8_lossy(&shown)),
        }
    }
    let status = running.0.wait().expect("it is our child");
    Shown { text: String::from_utf8_lossy(&shown).into_owned(), code: status.code() }
}

/// What each read of `screen` answers, until its end.
fn each_read(mut screen: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, shows) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    shows
}

/// A command for a shell, which becomes it: timeout(1), as a child of a shell without job control, would leave the
/// terminal's foreground, and what it runs could not read the answers.
fn as_typed(command: &Command) -> String {
    let quoted = |word: &OsStr| format!("'{}'", word.to_str().expect("it is UTF-8").replace('\'', r"'\''"));
    let words: Vec<String> = [command.get_program()].into_iter().chain(command.get_args()).map(quoted).collect();
    format!("exec {}", words.join(" "))
}
