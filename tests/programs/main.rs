//! The programs people use, driven for real with the built module and practice cards in a pcscd of the test's own. Each is
//! set up as its user would do it, with what `make install` installs. `make test-clients` installs the programs first.

#![allow(clippy::print_stderr, reason = "what a test leaves behind is said where its failure is said")]
#![allow(clippy::print_stdout, reason = "what was measured is said")]

mod chromium;
#[path = "../common/mod.rs"]
mod common;
mod cost;
mod cryptoki;
mod database;
mod debian13;
mod display;
mod ends;
mod firefox;
mod gnutls;
mod ground;
mod java;
mod java_documents;
mod load_path;
mod mail;
mod next;
mod nginx;
mod nss;
mod openssl;
mod openssl_engine;
mod openssl_provider;
mod p11_kit;
mod pages;
mod pam;
mod pdf;
mod pdfsig;
mod pkcs11_tool;
mod program;
mod pyhanko;
mod python;
mod ssh;
mod terminal;
mod tls;
mod xmlsec;
