//! What a client is told whose secret was not sent, so that no client asks its person, or itself, without end. What the
//! card has refused is remembered elsewhere ([`crate::logins`]).

use crate::card::Tries;

/// So many refusals in a row without a VERIFY, and the client is told to stop asking.
const PATIENCE: u32 = 3;

/// The refusals of one token since its card was inserted.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Whether the last refusal left no try.
    locked: bool,
    unsent: u32,
}

impl Refusals {
    /// The card has refused a secret.
    pub(crate) fn refused(&mut self, tries: Tries) {
        *self = Refusals { locked: tries == Tries::Locked, unsent: 0 };
    }

    /// Takes note of the counter: a secret that has tries is not locked, or no longer.
    pub(crate) fn observe(&mut self, tries: Tries) {
        if matches!(tries, Tries::Left(_)) {
            self.locked = false;
        }
    }

    /// Whether the last refusal left no try.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    /// Counts a secret that was not sent. Answers whether the client should be told to stop.
    pub(crate) fn count_unsent(&mut self) -> bool {
        self.unsent += 1;
        self.unsent >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_refusal_in_a_row_without_a_verify_tells_the_client_to_stop() {
        let mut refusals = Refusals::default();
        assert!(!refusals.count_unsent() && !refusals.count_unsent() && refusals.count_unsent());
        refusals.refused(Tries::Left(2));
        assert!(!refusals.count_unsent(), "a VERIFY came between");
    }

    #[test]
    fn a_secret_is_locked_until_its_counter_says_otherwise() {
        let mut refusals = Refusals::default();
        refusals.refused(Tries::Locked);
        refusals.observe(Tries::Locked);
        assert!(refusals.is_locked());
        refusals.observe(Tries::Left(3));
        assert!(!refusals.is_locked());
    }
}
