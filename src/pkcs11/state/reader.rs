//! A reader as the module uses it: its connection to the card, behind the one lock that is held while a card is talked
//! to, and the tokens of its two slots.

use super::lock::{CONNECTION, Mutex};
use super::slots::Epoch;
use super::token::Token;
use crate::card::{Card, Key};

/// One reader.
pub(crate) struct Reader {
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

impl Reader {
    pub(crate) fn new(number: usize, name: &str) -> Reader {
        Reader {
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
}
