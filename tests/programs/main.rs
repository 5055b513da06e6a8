//! The programs people use, driven for real with the built module and practice cards in a pcscd of the test's own. Each is
//! set up as its user would do it, with what `make install` installs. `make test-clients` installs the programs first.

mod bounded;
mod chromium;
#[path = "../common/mod.rs"]
mod common;
mod confined;
mod debian13;
mod display;
mod firefox;
mod conversation;
mod gnutls;
mod cryptoki;
mod ground;
mod java;
mod nss;
mod nginx;
mod openssl;
mod openssl_engine;
mod openssl_provider;
mod pdf;
mod pdfsig;
mod load_path;
mod pages;
mod p11_kit;
mod pkcs11_tool;
mod pyhanko;
mod python;
mod ssh;
mod terminal;
mod tls;
