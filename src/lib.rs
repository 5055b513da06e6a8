//! PKCS#11 provider for the key pairs of Japan's public personal authentication service (JPKI).

pub mod apdu;
pub mod card;
#[cfg(feature = "practice")]
pub mod emulator;
pub mod cert;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod logging;
pub mod secret;
pub mod text;
pub mod sys;
pub mod tlv;
pub mod transport;
pub mod words;
