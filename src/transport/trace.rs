//! A log of what goes to a card and comes back, at level `trace`: commands with their secrets masked, answers as status
//! word and length only, since what a card answers may be personal.

use super::{Continuity, Disposition, Link, Patience, ReaderState, Readers, Result, Stay, Waiter};
use crate::apdu::{Command, Response, TooShort};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Readers whose links are logged.
pub struct Traced(Box<dyn Readers>);

impl Traced {
    /// Logs what goes through `readers`.
    pub fn new(readers: Box<dyn Readers>) -> Traced {
        Traced(readers)
    }
}

impl Readers for Traced {
    fn look(&self) -> Result<Vec<ReaderState>> {
        self.0.look()
    }

    fn connect(&self, reader: &str) -> Result<Box<dyn Link>> {
        match self.0.connect(reader) {
            Ok(link) => {
                log::trace!("{reader:?}: connected");
                let reader = reader.to_owned();
                Ok(Box::new(TracedLink { link, reader }))
            }
            Err(failure) => {
                log::trace!("{reader:?}: not connected: {failure}");
                Err(failure)
            }
        }
    }

    fn waiter(&self) -> Result<Arc<dyn Waiter>> {
        self.0.waiter()
    }
}

struct TracedLink {
    link: Box<dyn Link>,
    reader: String,
}

impl Link for TracedLink {
    fn begin(&mut self, patience: Patience) -> Result<Continuity> {
        let begun = self.link.begin(patience);
        match &begun {
            Ok(Continuity::Kept) => log::trace!("{:?}: begin", self.reader),
            Ok(Continuity::Lost) => log::trace!("{:?}: begin, after a reset or for the first time", self.reader),
            Err(failure) => log::trace!("{:?}: begin: {failure}", self.reader),
        }
        begun
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>> {
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

    fn stay(&self) -> Stay {
        self.link.stay()
    }

    fn atr(&mut self) -> Option<Vec<u8>> {
        self.link.atr()
    }

    fn close(self: Box<Self>, disposition: Disposition) -> bool {
        log::trace!("{:?}: close, {disposition:?}", self.reader);
        self.link.close(disposition)
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
