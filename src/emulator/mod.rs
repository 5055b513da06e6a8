//! The practice card: a card for rehearsal and for every test, as a reader sees one.
//!
//! [`card::PracticeCard`] is the card: what it keeps is an [`image::Image`] in a file ([`store`]), what it does is its
//! `applet`, and where real cards differ or are not known it has [`switches`]. [`foreign`] has cards that are none of
//! ours, and [`fault`] one that lies. [`issue`] makes images, with certificates of a practice [`authority`], and [`report`]
//! finds out from what somebody's card answered how one has to be made that answers so. A card is used through a reader:
//! the in-process one of [`local`], or a real PC/SC service.
//!
//! Nothing here imports the card layer or the module: that the two sides agree on a constant is worth something only if
//! each has it from the specification.

mod applet;
pub mod authority;
pub mod card;
pub mod certificate;
pub mod date;
pub mod fault;
pub mod foreign;
pub mod image;
pub mod issue;
pub mod local;
pub mod logged;
mod private_key;
pub mod report;
pub mod resident;
pub mod seed;
pub mod store;
pub mod switches;
pub mod vpcd;

pub use card::PracticeCard;
pub use local::PracticeReaders;

use std::time::Duration;

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

    /// How long the card will keep silent before it answers `command`. The reader lets that time pass, or gives up.
    fn pause(&mut self, _command: &[u8]) -> Duration {
        Duration::ZERO
    }

    /// One command, one answer with its status word; empty if the card said nothing.
    fn transmit(&mut self, command: &[u8]) -> Vec<u8>;
}
