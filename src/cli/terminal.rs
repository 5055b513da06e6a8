//! Questions to the person: on the terminal, a secret without echo; or answered by the lines of stdin.

mod hidden;

use super::{Exit, Failure, Result};
use hidden::Hidden;
use rustix::termios::{QueueSelector, tcflush};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use zeroize::Zeroizing;

/// No answer is longer than this, in bytes; what comes after is dropped, and the form of a secret then refuses it.
const LONGEST: usize = 256;

/// Where answers come from. Read without a buffer of its own, in which a secret would stay behind.
pub struct Terminal {
    input: File,
    interactive: bool,
}

impl Terminal {
    /// The terminal, if stdin is one; else, or if `stdin` is asked for, the lines of stdin.
    ///
    /// # Errors
    /// [`Exit::Failed`] where neither can be had.
    pub fn open(stdin: bool) -> Result<Terminal> {
        let interactive = !stdin && io::stdin().is_terminal();
        let input = if interactive {
            OpenOptions::new().read(true).write(true).open("/dev/tty")
        } else {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        };
        let input = input.map_err(|error| Failure::new(Exit::Failed, format!("there is nobody to ask: {error}")))?;
        Ok(Terminal { input, interactive })
    }

    /// Whether a person answers.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Tells the person something: on the terminal, or on stderr, so that it reaches them in either case.
    pub fn tell(&mut self, text: &str) -> Result<()> {
        let told = if self.interactive { writeln!(self.input, "{text}") } else { writeln!(io::stderr(), "{text}") };
        told.map_err(unshown)
    }

    /// Asks for a line.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the input ends first.
    pub fn line(&mut self, prompt: &str) -> Result<String> {
        if self.interactive {
            // What was typed before the question is no answer to it.
            tcflush(&self.input, QueueSelector::IFlush).map_err(|error| unshown(error.into()))?;
        }
        self.prompt(prompt)?;
        let line = self.read_line()?;
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    /// Asks for a secret, which is not shown.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the input ends first, [`Exit::Cancelled`] on Ctrl-C, and at a signal that would end the program:
    /// nobody is left with a terminal that shows nothing.
    pub fn secret(&mut self, prompt: &str) -> Result<Zeroizing<Vec<u8>>> {
        if !self.interactive {
            return self.read_line();
        }
        // Before the prompt, which invites the first key.
        let hidden = Hidden::begin(self.input.try_clone().map_err(unshown)?)?;
        self.prompt(prompt)?;
        let secret = self.read_keys(&hidden);
        let ended = hidden.end();
        writeln!(self.input).map_err(unshown)?;
        ended.and(secret)
    }

    fn prompt(&mut self, prompt: &str) -> Result<()> {
        if self.interactive {
            write!(self.input, "{prompt} ").and_then(|()| self.input.flush()).map_err(unshown)?;
        }
        Ok(())
    }

    /// A line as it comes, without its end.
    fn read_line(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        let mut line = empty_line();
        let mut any = false;
        while let Some(byte) = self.read_byte()? {
            any = true;
            match byte {
                b'\n' => break,
                byte if line.len() < LONGEST => line.push(byte),
                _ => {}
            }
        }
        if !any {
            return Err(Failure::new(Exit::Usage, "the input ended before every question was answered"));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    /// A line key by key, with the keys that correct it, as the terminal would have done.
    fn read_keys(&mut self, hidden: &Hidden) -> Result<Zeroizing<Vec<u8>>> {
        const CTRL_C: u8 = 0x03;
        const CTRL_D: u8 = 0x04;
        const BACKSPACE: u8 = 0x08;
        const CTRL_U: u8 = 0x15;
        const DELETE: u8 = 0x7F;
        let mut line = empty_line();
        loop {
            hidden.await_key()?;
            match self.read_byte()? {
                None | Some(CTRL_C | CTRL_D) => return Err(cancelled()),
                Some(b'\r' | b'\n') => return Ok(line),
                Some(BACKSPACE | DELETE) => {
                    line.pop();
                }
                Some(CTRL_U) => line.clear(),
                Some(byte) if line.len() < LONGEST => line.push(byte),
                Some(_) => {}
            }
        }
    }

    fn read_byte(&mut self) -> Result<Option<u8>> {
        let mut byte = Zeroizing::new([0]);
        loop {
            return match self.input.read(&mut *byte) {
                Ok(0) => Ok(None),
                Ok(_) => Ok(byte.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(Failure::new(Exit::Failed, format!("the input cannot be read: {error}"))),
            };
        }
    }
}

/// What a failure to show the person something means: nobody is asked what they cannot read.
fn unshown(error: io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the terminal cannot be used: {error}"))
}

fn cancelled() -> Failure {
    Failure::new(Exit::Cancelled, "cancelled")
}

/// Never grows, so that no secret stays behind in a smaller one.
fn empty_line() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(LONGEST))
}
