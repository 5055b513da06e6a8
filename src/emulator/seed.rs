//! Randomness that can be had again: everything random about a card comes from one seed, so that the same order makes the
//! same card, byte for byte.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::fmt;

/// What a card's keys, numbers and serials are made from. As secret as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed nobody has had.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn random() -> Result<Seed, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Seed(bytes))
    }

    /// The random numbers for one purpose. Each purpose has its own, so that leaving one thing out changes no other.
    pub fn stream(&self, purpose: &str) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.part(purpose).0)
    }

    /// A seed of its own for one part of the whole.
    #[must_use]
    pub fn part(&self, purpose: &str) -> Seed {
        Seed(Sha256::new().chain_update(self.0).chain_update(purpose).finalize().into())
    }

    /// `len` characters of `alphabet`.
    pub fn text(&self, purpose: &str, len: usize, alphabet: &str) -> String {
        let mut stream = self.stream(purpose);
        let symbols: Vec<char> = alphabet.chars().collect();
        // The bias of the remainder is of no consequence for a number on a practice card.
        (0..len).filter_map(|_| symbols.get(stream.next_u32() as usize % symbols.len().max(1))).collect()
    }
}

impl From<u64> for Seed {
    fn from(number: u64) -> Seed {
        Seed::from(number.to_string().as_str())
    }
}

impl From<&str> for Seed {
    fn from(text: &str) -> Seed {
        Seed(Sha256::digest(text).into())
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}
