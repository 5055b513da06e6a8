//! Practice cards for tests.

use super::Scratch;
use jpki_pkcs11::emulator::PracticeCard;
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::issue::{self, Choice, Order};
use jpki_pkcs11::emulator::seed::Seed;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The authentication PIN of every card made here.
pub const PIN: &str = "1234";
/// The signature password.
pub const PASSWORD: &str = "PRACTICE1";

/// A new practice card of `kind`, in a file.
pub fn card(scratch: &Scratch, kind: Kind) -> PathBuf {
    card_as(scratch, kind, |_| {})
}

/// A new practice card of `kind`, ordered otherwise.
pub fn card_as(scratch: &Scratch, kind: Kind, change: impl FnOnce(&mut Order)) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let mut order = Order::new(kind, Seed::from("end-to-end tests"), now);
    order.auth_secret = Choice::Set(PIN.into());
    order.sign_secret = Choice::Set(PASSWORD.into());
    change(&mut order);
    let image = issue::personalise(&order).unwrap_or_else(|error| panic!("{error}"));
    let file = scratch.path().join(format!("{kind}.card"));
    drop(PracticeCard::create(&file, &image).unwrap_or_else(|error| panic!("{error}")));
    file
}
