//! A client of the DevTools protocol over Chromium's pipes: JSON messages, each with a NUL after it.

use crate::common::{Scratch, run, tool};
use crate::display::PATIENCE;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Two named pipes; Chromium reads commands from its file descriptor 3, and writes answers to 4.
pub struct Pipes {
    commands: PathBuf,
    answers: PathBuf,
}

impl Pipes {
    pub fn new(scratch: &Scratch) -> Pipes {
        let [commands, answers] = ["commands", "answers"].map(|name| scratch.path().join(name));
        if !commands.exists() {
            run(Command::new(tool("mkfifo", "coreutils")).args([&commands, &answers])).ok();
        }
        Pipes { commands, answers }
    }

    /// The command, added to a shell's, that has these pipes.
    pub fn command(&self, mut shell: Command) -> Command {
        shell.args(["-c", r#"commands=$1 answers=$2; shift 2; exec "$@" 3<"$commands" 4>"$answers""#, "sh"]);
        shell.args([&self.commands, &self.answers]);
        shell
    }
}

/// A connection to the first tab.
pub struct DevTools {
    commands: File,
    answers: Receiver<Value>,
    /// The number of the last command.
    last: u64,
    session: String,
}

impl DevTools {
    /// Connects to a Chromium that has just been started on these pipes.
    pub fn connect(pipes: &Pipes) -> DevTools {
        let commands = File::options().write(true).open(&pipes.commands).expect("the pipe is ours");
        let answers = BufReader::new(File::open(&pipes.answers).expect("the pipe is ours"));
        let (heard, received) = channel();
        // It ends with Chromium, or when nobody listens to it any more.
        thread::spawn(move || {
            answers
                .split(0)
                .map_while(Result::ok)
                .map_while(|message| serde_json::from_slice(&message).ok())
                .try_for_each(|message| heard.send(message))
        });
        let mut devtools = DevTools { commands, answers: received, last: 0, session: String::new() };
        let targets = devtools.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"].as_array().into_iter().flatten().find(|target| target["type"] == "page");
        let page = page.unwrap_or_else(|| panic!("no tab: {targets}"))["targetId"].clone();
        let attached = devtools.call("Target.attachToTarget", json!({ "targetId": page, "flatten": true }));
        devtools.session = attached["sessionId"].as_str().expect("a name").to_owned();
        devtools
    }

    /// What a command answers.
    ///
    /// # Panics
    /// If it fails, or does not answer.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.call_within(PATIENCE, method, parameters).expect("Chromium answers")
    }

    /// What a command answers in this time: nothing while Chromium waits for its user, an error while it changes pages.
    pub fn call_within(&mut self, time: Duration, method: &str, parameters: Value) -> Option<Value> {
        let number = self.send(method, parameters);
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.answers.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("Chromium has hung up"),
            };
            if message["id"] == number {
                return message.get("result").cloned();
            }
        }
    }

    /// Sends a command whose answer nobody waits for; its number.
    pub fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        write!(self.commands, "{message}\0").expect("Chromium hears");
        self.last
    }
}
