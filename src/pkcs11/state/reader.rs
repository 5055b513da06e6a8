//! A reader as the module uses it: its connection to the card, behind the one lock that is held while a card is talked
//! to, and the tokens of its two slots.

use super::lock::{CONNECTION, Mutex};
use super::slots::Epoch;
use super::token::Token;
use crate::card::{Card, Key};

/// One reader, through which a card is talked to. What has been seen of it stands in [`Slots`](super::slots::Slots).
pub(crate) struct CardReader {
    pub(crate) number: usize,
    pub(crate) name: String,
    /// Held during APDUs.
    pub(crate) connection: Mutex<Option<Connection>, CONNECTION>,
    authentication: Token,
    signature: Token,
}

/// An open connection, good for one stay of a card in the reader.
pub(crate) struct Connection {
    pub(crate) card: Card,
    pub(crate) epoch: Epoch,
}

impl CardReader {
    pub(crate) fn new(number: usize, name: &str) -> CardReader {
        CardReader {
            number,
            name: name.to_owned(),
            connection: Mutex::new(None),
            authentication: Token::new(),
            signature: Token::new(),
        }
    }

    /// The token for `key`.
    pub(crate) fn token(&self, key: Key) -> &Token {
        match key {
            Key::Authentication => &self.authentication,
            Key::Signature => &self.signature,
        }
    }

    /// Forgets what the tokens had of cards before this epoch, their logins with it.
    pub(crate) fn forget_older(&self, epoch: Epoch) {
        for key in Key::ALL {
            // One that has seen a later epoch has forgotten it already.
            let _ = self.token(key).with(epoch, |_| ());
        }
    }
}
