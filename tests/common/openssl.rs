//! OpenSSL's opinion of what a card signed, with the key of the certificate it gave.

use super::{Scratch, run, tool};
use std::path::PathBuf;
use std::process::Command;

/// How a signature was padded.
#[derive(Debug, Clone, Copy)]
pub enum Padding {
    /// PKCS #1 v1.5.
    Pkcs1,
    /// RSASSA-PSS with MGF1 of the same hash and a salt as long as the hash.
    Pss,
}

/// A public key, as OpenSSL took it from a certificate.
pub struct PublicKey<'a> {
    scratch: &'a Scratch,
    file: PathBuf,
}

impl<'a> PublicKey<'a> {
    /// The key of a DER certificate.
    pub fn of_certificate(scratch: &'a Scratch, der: impl AsRef<[u8]>) -> PublicKey<'a> {
        let certificate = scratch.file("certificate.der", der);
        let pem = run(openssl().args(["x509", "-inform", "DER", "-pubkey", "-noout", "-in"]).arg(certificate)).ok();
        PublicKey { scratch, file: scratch.file("public-key.pem", pem) }
    }

    /// Asserts that `signature` is one of `message`, hashed with `hash`.
    pub fn assert_signed(&self, hash: &str, padding: Padding, message: &[u8], signature: &[u8]) {
        let message = self.scratch.file("message", message);
        let signature = self.scratch.file("signature", signature);
        let options: &[&str] = match padding {
            Padding::Pkcs1 => &[],
            Padding::Pss => &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
        };
        let verdict = run(openssl()
            .args(["dgst", &format!("-{hash}")])
            .args(options)
            .arg("-verify")
            .arg(&self.file)
            .arg("-signature")
            .args([signature, message]))
        .ok();
        assert_eq!(verdict.trim(), "Verified OK");
    }

    /// What a PKCS #1 v1.5 signature says inside its padding.
    pub fn recover(&self, signature: &[u8]) -> Vec<u8> {
        let signature = self.scratch.file("signature", signature);
        let recovered = self.scratch.path().join("recovered");
        run(openssl().args(["pkeyutl", "-verifyrecover", "-pubin", "-inkey"]).arg(&self.file).args([
            "-in".as_ref(),
            signature.as_os_str(),
            "-out".as_ref(),
            recovered.as_os_str(),
        ]))
        .ok();
        std::fs::read(recovered).expect("openssl has written it")
    }
}

fn openssl() -> Command {
    Command::new(tool("openssl", "openssl"))
}
