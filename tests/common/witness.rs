//! A program that knows no secret and tries both keys.

use super::rival::{ISD, JPKI, Rival};
use pcsc::{Disposition, ShareMode};

/// With which keys anybody signs who reaches the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    Neither,
    Authentication,
    Signature,
    Both,
}

/// It stays connected, as a browser does that looks at the card and never logs in: so the service never takes the card's
/// power, and a login that nobody ends lives on.
pub struct Witness(Rival);

impl Witness {
    pub fn connect() -> Witness {
        Witness(Rival::connect(0, ShareMode::Shared))
    }

    /// Tries both keys.
    pub fn signs_with(&self) -> Open {
        assert_eq!(self.0.send(JPKI), 0x9000);
        let signs = |key: u8| match self.0.send(&[0x80, 0x2A, 0, key, 1, b'A', 0]) {
            0x9000 => true,
            0x6982 => false,
            sw => panic!("the witness was told {sw:04X}"),
        };
        match (signs(0x97), signs(0x9A)) {
            (false, false) => Open::Neither,
            (true, false) => Open::Authentication,
            (false, true) => Open::Signature,
            (true, true) => Open::Both,
        }
    }

    /// Selects another application: the card forgets who was logged in.
    pub fn select_another(&self) {
        assert_eq!(self.0.send(ISD), 0x9000);
    }

    /// Holds the card for as long as `work` takes.
    pub fn holding<R>(&mut self, work: impl FnOnce() -> R) -> R {
        self.0.holding(work)
    }

    /// Leaves the card as it is. Otherwise the connection, dropped, would reset it.
    pub fn leave(self) {
        self.0.leave(Disposition::LeaveCard);
    }
}
