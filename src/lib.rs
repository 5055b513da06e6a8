//! PKCS#11 provider for the key pairs of Japan's public personal authentication service (JPKI).

pub mod apdu;
pub mod card;
pub mod cert;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
#[cfg(feature = "practice")]
pub mod emulator;
pub mod logging;
pub mod pkcs11;
pub mod readers;
pub mod secret;
pub mod sys;
pub mod text;
pub mod tlv;
pub mod transport;
pub mod words;
