//! A program that does something for each line it is told, and answers with a line.

use super::eventually;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

/// One, while it runs. It has to end with its input, and by itself after a while.
pub struct Conversation {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Conversation {
    pub fn with(command: &mut Command) -> Conversation {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program can be run");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = BufReader::new(stdout.expect("it is piped"));
        Conversation { child, stdin: stdin.expect("it is piped"), stdout }
    }

    /// Tells it something and hears its answer, which is empty if it has ended.
    pub fn say(&mut self, line: &str) -> String {
        writeln!(self.stdin, "{line}").expect("it listens");
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("it can be heard");
        answer.trim_end().to_owned()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it does not.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the program ends", || self.child.try_wait().expect("it is our child"))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
