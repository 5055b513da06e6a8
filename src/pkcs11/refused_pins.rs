//! What this card has refused since it was inserted, so that no mistyped secret is sent twice and no client burns tries
//! in a loop. Secrets are remembered as salted hashes; the salt lives in this process only.

use crate::card::Tries;
use crate::secret::Pin;
use sha2::{Digest, Sha256};

/// So many refusals in a row without a VERIFY, and the client is told to stop asking.
const PATIENCE: u32 = 3;

/// The refused secrets of one token.
pub(super) struct RefusedPins {
    salt: Option<[u8; 16]>,
    hashes: Vec<[u8; 32]>,
    /// The counter after the last refusal: once it is fuller, somebody has presented the right secret or had it reset.
    left: Option<u8>,
    unsent: u32,
}

impl RefusedPins {
    /// None so far.
    pub(super) fn new() -> RefusedPins {
        let mut salt = [0; 16];
        // Without a random salt nothing is remembered: better a try spent than a secret that can be guessed from memory.
        let salt = getrandom::getrandom(&mut salt).is_ok().then_some(salt);
        RefusedPins { salt, hashes: Vec::new(), left: None, unsent: 0 }
    }

    /// Whether the card has refused `pin` before.
    pub(super) fn contains(&self, pin: &Pin) -> bool {
        // Where there is nothing to compare with, no hash is made: it would leave a copy of the secret on the stack.
        !self.hashes.is_empty() && self.hash(pin).is_some_and(|hash| self.hashes.contains(&hash))
    }

    /// Remembers that the card has refused `pin`.
    pub(super) fn add(&mut self, pin: &Pin, tries: Tries) {
        self.unsent = 0;
        self.left = match tries {
            Tries::Left(left) => Some(left),
            Tries::Locked => Some(0),
            Tries::NotInitialised | Tries::Uncounted => None,
        };
        let hash = self.hash(pin);
        self.hashes.extend(hash);
    }

    /// Forgets everything: the card has taken the secret.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        (self.left, self.unsent) = (None, 0);
    }

    /// Takes note of the counter; fuller than after the last refusal, the secret may have been set anew.
    pub(super) fn observe(&mut self, tries: Tries) {
        if matches!((tries, self.left), (Tries::Left(now), Some(then)) if now > then) {
            self.clear();
        }
    }

    /// Whether the last refusal left no try.
    pub(super) fn is_locked(&self) -> bool {
        self.left == Some(0)
    }

    /// Counts a secret that was not sent. Answers whether the client should be told to stop.
    pub(super) fn count_unsent(&mut self) -> bool {
        self.unsent += 1;
        self.unsent >= PATIENCE
    }

    fn hash(&self, pin: &Pin) -> Option<[u8; 32]> {
        Some(Sha256::new().chain_update(self.salt?).chain_update(pin.bytes()).finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::AUTHENTICATION;

    fn pin(digits: &[u8]) -> Pin {
        Pin::present(AUTHENTICATION, digits).unwrap()
    }

    #[test]
    fn a_refused_pin_is_known_again_until_the_counter_is_fuller() {
        let mut refusals = RefusedPins::new();
        refusals.add(&pin(b"1111"), Tries::Left(2));
        assert!(refusals.contains(&pin(b"1111")) && !refusals.contains(&pin(b"2222")));
        refusals.observe(Tries::Left(2));
        refusals.observe(Tries::Left(1));
        assert!(refusals.contains(&pin(b"1111")));
        refusals.observe(Tries::Left(3));
        assert!(!refusals.contains(&pin(b"1111")));
    }

    #[test]
    fn the_third_refusal_in_a_row_without_a_verify_tells_the_client_to_stop() {
        let mut refusals = RefusedPins::new();
        assert!(!refusals.count_unsent() && !refusals.count_unsent() && refusals.count_unsent());
        refusals.add(&pin(b"1111"), Tries::Left(2));
        assert!(!refusals.count_unsent(), "a VERIFY came between");
    }
}
