//! Programs that ask on a terminal, which is that of script(1).

use super::running::Running;
use super::tool;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
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

/// Whether the terminal shows what is typed until a program forbids it, as every real one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    Always,
    Never,
}

/// Runs the program and arguments of `command` on the terminal of `script`. Waits for each question before the keys that
/// answer it are typed.
///
/// # Panics
/// Where a question is not asked, or the program does not end.
pub fn on_a_terminal(script: Command, command: &Command, echo: Echo, answers: &[(&str, &str)]) -> Shown {
    let mut terminal = Terminal::start(script, command, echo);
    for (question, answer) in answers {
        terminal.await_text(question);
        terminal.press(answer);
    }
    terminal.end()
}

/// A program on the terminal of script(1).
pub struct Terminal {
    running: Running,
    keys: ChildStdin,
    shows: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    /// Where that begins which nobody has waited for yet.
    from: usize,
}

impl Terminal {
    /// Runs the program and arguments of `command` on the terminal of `script`.
    pub fn start(mut script: Command, command: &Command, echo: Echo) -> Terminal {
        let echo = if echo == Echo::Always { "always" } else { "never" };
        script.args(["--quiet", "--return", "--flush", "--echo", echo, "--command", &as_typed(command), "/dev/null"]);
        // Whatever the shell of whoever runs the tests is.
        script.env("SHELL", "/bin/sh");
        let mut running = Running::start(script.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let keys = running.0.stdin.take().expect("it is piped");
        let shows = each_read(running.0.stdout.take().expect("it is piped"));
        Terminal { running, keys, shows, shown: Vec::new(), from: 0 }
    }

    /// Waits until `text` is shown; what was shown before it since the last wait.
    ///
    /// # Panics
    /// If it is not.
    pub fn await_text(&mut self, text: &str) -> String {
        loop {
            // What is not yet whole is not yet UTF-8.
            let shown = String::from_utf8_lossy(&self.shown[self.from..]).into_owned();
            if let Some(at) = shown.find(text) {
                self.from = (self.from + at + text.len()).min(self.shown.len());
                return shown[..at].to_owned();
            }
            match self.shows.recv_timeout(PATIENCE) {
                Ok(bytes) => self.shown.extend(bytes),
                Err(_) => panic!("did not show {text:?}: {}", String::from_utf8_lossy(&self.shown)),
            }
        }
    }

    /// Types these keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal is there");
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    /// If it does not.
    pub fn end(mut self) -> Shown {
        loop {
            match self.shows.recv_timeout(PATIENCE) {
                Ok(bytes) => self.shown.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("did not end: {}", String::from_utf8_lossy(&self.shown)),
            }
        }
        let status = self.running.0.wait().expect("it is our child");
        Shown { text: String::from_utf8_lossy(&self.shown).into_owned(), code: status.code() }
    }
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
