//! A terminal that shows nothing while a secret is typed, and shows again whatever ends that: an answer, Ctrl-C, a signal.

use super::{cancelled, unshown};
use crate::cli::{Exit, Failure, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::low_level::pipe;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A terminal that shows nothing and hands on every key, Ctrl-C too, until this is dropped.
pub(super) struct Hidden {
    terminal: File,
    before: Termios,
    signals: &'static Signals,
}

impl Hidden {
    pub(super) fn begin(terminal: File) -> Result<Hidden> {
        let signals = Signals::watched().map_err(unshown)?;
        // Before the terminal is changed: from here on a signal is a key that is waited for.
        signals.end_the_program.store(false, Ordering::SeqCst);
        let hide = || {
            let before = tcgetattr(&terminal)?;
            let mut hidden = before.clone();
            hidden.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
            hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
            hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
            // What was typed before the question is no answer to it.
            tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
            Ok::<_, Errno>(before)
        };
        match hide() {
            Ok(before) => Ok(Hidden { terminal, before, signals }),
            Err(error) => {
                signals.end_the_program.store(true, Ordering::SeqCst);
                Err(Failure::new(Exit::Failed, format!("the terminal cannot hide a secret: {error}")))
            }
        }
    }

    /// Waits until there is a key to be read.
    ///
    /// # Errors
    /// [`Exit::Cancelled`] at a signal that would have ended the program.
    pub(super) fn await_key(&self) -> Result<()> {
        loop {
            let mut ready =
                [PollFd::new(&self.terminal, PollFlags::IN), PollFd::new(&self.signals.came, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(unshown(error.into())),
                Ok(_) => {
                    let [_, signal] = ready;
                    return if signal.revents().is_empty() { Ok(()) } else { Err(cancelled()) };
                }
            }
        }
    }

    /// Shows again.
    ///
    /// # Errors
    /// [`Exit::Cancelled`] if a signal has come that nobody waited for any more.
    pub(super) fn end(self) -> Result<()> {
        let signals = self.signals;
        drop(self);
        let mut came = [PollFd::new(&signals.came, PollFlags::IN)];
        match poll(&mut came, Some(&Timespec::default())) {
            Ok(1..) => Err(cancelled()),
            _ => Ok(()),
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal may be gone by now.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        self.signals.end_the_program.store(true, Ordering::SeqCst);
    }
}

/// The signals that end a program. While a terminal is hidden they are told through a pipe instead, since whoever is ended
/// restores nothing.
struct Signals {
    came: UnixStream,
    end_the_program: Arc<AtomicBool>,
}

impl Signals {
    /// Watched for once and for all: a signal whose handler was taken away again would do nothing.
    fn watched() -> io::Result<&'static Signals> {
        static WATCHED: OnceLock<Signals> = OnceLock::new();
        if let Some(watched) = WATCHED.get() {
            return Ok(watched);
        }
        let (came, told) = UnixStream::pair()?;
        let end_the_program = Arc::new(AtomicBool::new(true));
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            register_conditional_default(signal, Arc::clone(&end_the_program))?;
            pipe::register(signal, told.try_clone()?)?;
        }
        Ok(WATCHED.get_or_init(|| Signals { came, end_the_program }))
    }
}
