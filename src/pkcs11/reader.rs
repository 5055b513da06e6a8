//! A reader as the module uses it: its connection to the card, behind the one lock that is held while a card is talked
//! to, and the tokens of its two slots.

use super::lock::{CONNECTION, Mutex};
use super::slots::Epoch;
use super::token::Token;
use crate::card::{Card, Key};

/// One reader.
pub(super) struct Reader {
    pub(super) number: usize,
    pub(super) name: String,
    /// Held during APDUs.
    pub(super) connection: Mutex<Option<Connection>, CONNECTION>,
    authentication: Token,
    signature: Token,
}

/// An open connection, good for one stay of a card in the reader.
pub(super) struct Connection {
    pub(super) card: Card,
    pub(super) epoch: Epoch,
}

impl Reader {
    pub(super) fn new(number: usize, name: &str) -> Reader {
        Reader {
            number,
            name: name.to_owned(),
            connection: Mutex::new(None),
            authentication: Token::new(),
            signature: Token::new(),
        }
    }

    /// The token for `key`.
    pub(super) fn token(&self, key: Key) -> &Token {
        match key {
            Key::Authentication => &self.authentication,
            Key::Signature => &self.signature,
        }
    }
}
