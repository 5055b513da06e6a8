//! A PDF document to sign, and what two programs that have nothing in common say of its signature: pyHanko and poppler's
//! pdfsig.

use crate::common::{Ran, Scratch, run, tool};
use crate::database;
use crate::ground::Card;
use crate::program::without_terminal;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A document of one page.
pub fn document(scratch: &Scratch) -> PathBuf {
    const CONTENT: &str = "BT /F1 24 Tf 72 720 Td (Practice makes perfect) Tj ET";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{CONTENT}\nendstream", CONTENT.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = "%PDF-1.7\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (index, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", pdf.len());
        pdf += &format!("{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let start = pdf.len();
    let trailer = format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n", objects.len() + 1);
    scratch.file("document.pdf", pdf + &table + &trailer)
}

/// A command of pyHanko's.
///
/// # Panics
/// Where `tests/programs/setup` has not run.
pub fn pyhanko() -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs/venv/bin/pyhanko");
    assert!(program.is_file(), "pyHanko is missing: tests/programs/setup (or `make setup-clients`)");
    without_terminal(program)
}

/// What pyHanko says of the document's signature when it trusts the card's signature CA. poppler writes cross-reference
/// tables that it takes only with `--no-strict-syntax`.
pub fn pyhanko_on(scratch: &Scratch, card: &Card, signed: &Path, options: &[&str]) -> Ran {
    let ca = scratch.file("sign-ca.pem", card.sign_ca());
    run(pyhanko()
        .args(["sign", "validate", "--pretty-print", "--no-revocation-check", "--trust-replace"])
        .args(options)
        .arg("--trust")
        .args([&ca, signed])
        .current_dir(scratch.path()))
}

/// What pdfsig says of it, trusting the same. The certificate names no responder for it to ask; with `-no-ocsp` poppler
/// 22.12 takes no certificate for good, whatever it is.
pub fn pdfsig_on(scratch: &Scratch, card: &Card, signed: &Path) -> Ran {
    let database = database::trusting(scratch, "verifier", card);
    run(without_terminal(tool("pdfsig", "poppler-utils")).arg("-nssdir").args([&database, signed]))
}

/// Asserts that both take the signature for whole, over the whole document, and its certificate for one of the card's CA.
pub fn assert_signed(scratch: &Scratch, card: &Card, signed: &Path, pyhanko_options: &[&str]) {
    let said = pyhanko_on(scratch, card, signed, pyhanko_options).ok();
    for part in ["The signature is cryptographically sound.", "The signer's certificate is trusted.", "judged VALID"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let said = pdfsig_on(scratch, card, signed).ok();
    for part in ["Signature is Valid.", "Certificate is Trusted.", "Total document signed"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

/// The same document with one letter of its page changed.
pub fn tampered(scratch: &Scratch, signed: &Path) -> PathBuf {
    let mut document = std::fs::read(signed).expect("it was signed");
    let at = document.windows(7).position(|part| part == b"perfect").expect("it is the document's text");
    document[at] = b'P';
    scratch.file("tampered.pdf", document)
}
