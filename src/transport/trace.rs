//! A log of what goes to a card and comes back, at level `trace`: commands with their secrets masked, answers as status
//! word and length only, since what a card answers may be personal. Counts APDUs on the way, for budgets and tests.

use super::{Continuity, Disposition, Link, ReaderState, Readers, Result, Waiter};
use crate::apdu::{Command, Response, TooShort};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Readers whose links are logged and counted. Clones share the count.
#[derive(Clone)]
pub struct Traced {
    readers: Arc<dyn Readers>,
    apdus: Arc<AtomicU64>,
}

impl Traced {
    /// Logs and counts what goes through `readers`.
    pub fn new(readers: Arc<dyn Readers>) -> Traced {
        Traced { readers, apdus: Arc::default() }
    }

    /// Commands sent so far, over all links.
    pub fn apdus(&self) -> u64 {
        self.apdus.load(Ordering::Relaxed)
    }
}

impl Readers for Traced {
    fn look(&self) -> Result<Vec<ReaderState>> {
        self.readers.look()
    }

    fn connect(&self, reader: &str) -> Result<Box<dyn Link>> {
        match self.readers.connect(reader) {
            Ok(link) => {
                log::trace!("{reader:?}: connected");
                let reader = reader.to_owned();
                Ok(Box::new(TracedLink { link, reader, apdus: Arc::clone(&self.apdus) }))
            }
            Err(failure) => {
                log::trace!("{reader:?}: not connected: {failure}");
                Err(failure)
            }
        }
    }

    fn waiter(&self) -> Result<Arc<dyn Waiter>> {
        self.readers.waiter()
    }
}

struct TracedLink {
    link: Box<dyn Link>,
    reader: String,
    apdus: Arc<AtomicU64>,
}

impl Link for TracedLink {
    fn begin(&mut self) -> Result<Continuity> {
        let begun = self.link.begin();
        match &begun {
            Ok(Continuity::Kept) => log::trace!("{:?}: begin", self.reader),
            Ok(Continuity::Lost) => log::trace!("{:?}: begin, after a reset or for the first time", self.reader),
            Err(failure) => log::trace!("{:?}: begin: {failure}", self.reader),
        }
        begun
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.apdus.fetch_add(1, Ordering::Relaxed);
        log::trace!("{:?}: > {}", self.reader, MaskedCommand(command));
        let sent = Instant::now();
        let answer = self.link.transmit(command);
        match &answer {
            Ok(answer) => {
                log::trace!("{:?}: < {} in {:.1?}", self.reader, MaskedAnswer(answer), sent.elapsed());
            }
            Err(failure) => log::trace!("{:?}: < {failure} after {:.1?}", self.reader, sent.elapsed()),
        }
        answer
    }

    fn end(&mut self) {
        log::trace!("{:?}: end", self.reader);
        self.link.end();
    }

    fn atr(&mut self) -> Option<Vec<u8>> {
        self.link.atr()
    }

    fn close(self: Box<Self>, disposition: Disposition) {
        log::trace!("{:?}: close, {disposition:?}", self.reader);
        self.link.close(disposition);
    }
}

struct MaskedCommand<'a>(&'a [u8]);

impl fmt::Display for MaskedCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Command::decode(self.0) {
            Ok(command) => write!(f, "{command:?}"),
            // A malformed VERIFY may hold a secret as well.
            Err(_) => write!(f, "{} bytes that are no command", self.0.len()),
        }
    }
}

struct MaskedAnswer<'a>(&'a [u8]);

impl fmt::Display for MaskedAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Response::parse(self.0.to_vec()) {
            Ok(response) => write!(f, "{response:?}"),
            Err(TooShort(length)) => write!(f, "{length} bytes without a status word"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_secret_nor_an_answer_is_shown() {
        let verify = MaskedCommand(b"\x00\x20\x00\x98\x041234").to_string();
        assert_eq!(verify, "00 20 00 98 [secret]");
        let cut_short = MaskedCommand(b"\x00\x20\x00\x98\x051234").to_string();
        assert_eq!(cut_short, "9 bytes that are no command");
        assert_eq!(MaskedAnswer(b"personal\x90\x00").to_string(), "9000 [8]");
        assert_eq!(MaskedAnswer(b"\x90").to_string(), "1 bytes without a status word");
    }
}
