//! A process of the user's, with the module: `clients/agent.c`, told what to do line by line. Every answer is waited for
//! with a bound, since "it never came back" is one of the things to be found.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// No call waits longer: `lock_timeout` is a second here, and a login may wait for a lock and then for the card. A loaded
/// machine has the rest.
pub const BOUND: Duration = Duration::from_secs(12);

/// What the agent says where there is no answer of the module's.
pub const NO_SESSION: u64 = 0xF000_0001;
pub const NO_KEY: u64 = 0xF000_0002;

pub struct Agent {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    told: u64,
    /// Answers to tasks that nobody has asked for yet.
    heard: HashMap<u64, Answer>,
    /// Signals do not end a stopped process before it goes on.
    pub stopped: bool,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub rv: u64,
    pub more: String,
}

/// A task whose answer has yet to be heard.
#[must_use]
pub struct Told(u64, String);

impl Agent {
    pub fn start(command: &mut Command) -> Agent {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the agent can be run");
        let (stdin, stdout) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        // Ends with the agent's output.
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Agent { child, stdin, lines, told: 0, heard: HashMap::new(), stopped: false }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives it a task, to be done now, or in a thread beside those that follow.
    pub fn tell(&mut self, task: &str, beside: bool) -> Told {
        self.told += 1;
        // One that has ended says so by its silence.
        writeln!(self.stdin, "{}{task}", if beside { "& " } else { "" }).ok();
        Told(self.told, task.to_owned())
    }

    /// The answer to a task.
    ///
    /// # Errors
    /// If there is none: it has ended, or the call waits beyond its bound.
    pub fn hear(&mut self, Told(number, task): Told) -> Result<Answer, String> {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(answer) = self.heard.remove(&number) {
                return Ok(answer);
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let mut words = line.splitn(3, ' ');
                    let mut word = || words.next().unwrap_or_default();
                    let number = word().parse().map_err(|_| format!("{line:?} is no answer"))?;
                    let rv = u64::from_str_radix(word(), 16).map_err(|_| format!("{line:?} is no answer"))?;
                    self.heard.insert(number, Answer { rv, more: word().to_owned() });
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{task} has not come back in {} s", BOUND.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("the process ended in {task}: {:?}", self.child.wait()));
                }
            }
        }
    }

    pub fn ask(&mut self, task: &str) -> Result<Answer, String> {
        let told = self.tell(task, false);
        self.hear(told)
    }

    pub fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(kill.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Waits for its end, and says how it ended.
    ///
    /// # Errors
    /// If it does not within this time.
    pub fn ended(mut self, within: Duration) -> Result<std::process::ExitStatus, String> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Err(format!("the process has not ended in {} s", within.as_secs()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
