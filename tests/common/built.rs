//! Where the module is.

use std::path::PathBuf;

/// The module as built for these tests and benches: beside their programs. That beside `jpki`, `cargo build` alone renews.
pub fn built() -> PathBuf {
    std::env::current_exe().expect("this process has a program").with_file_name("libjpki_pkcs11.so")
}
