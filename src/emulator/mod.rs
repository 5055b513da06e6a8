//! The practice card: a card for rehearsal and for every test, as a reader sees one.

/// A card as a reader sees it: power, reset, bytes in, bytes out.
pub trait Device: Send {
    /// Answer to reset; empty for a mute card.
    fn atr(&self) -> Vec<u8>;

    /// Cold start: volatile state is lost; the first command may get 6F00 (`card.md` §1.1).
    fn power_on(&mut self);

    /// Power is gone, and volatile state with it.
    fn power_off(&mut self);

    /// Warm reset, power kept.
    fn reset(&mut self);

    /// One command, one answer with its status word; empty if the card said nothing.
    fn transmit(&mut self, command: &[u8]) -> Vec<u8>;
}
