//! A signer in Java, through SunPKCS11 and `java-sign.cfg`: PDF with PDFBox and Bouncy Castle, as Java's document signers
//! have it, and XML with the JDK's own XML-DSig.

use crate::common::cards::PASSWORD;
use crate::common::{Ran, tool};
use crate::ground::{Ground, with_ground};
use crate::pdf::{assert_signed, document, pdfsig_on, tampered};
use crate::program::{run_typing, without_terminal};
use crate::xmlsec;
use std::fs;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "Java (PDFBox, XML-DSig)";

/// Where Debian puts Java's libraries.
fn class_path() -> String {
    let jar = |(name, package): (&str, &str)| {
        let path = format!("/usr/share/java/{name}.jar");
        assert!(Path::new(&path).is_file(), "{path} is missing: apt-get install {package} (or `make setup-clients`)");
        path
    };
    let pdfbox = ["pdfbox2", "fontbox2"].map(|name| (name, "libpdfbox2-java"));
    let logging = ("commons-logging", "libcommons-logging-java");
    let bouncy_castle = ["bcprov", "bcutil", "bcpkix"].map(|name| (name, "libbcpkix-java"));
    pdfbox.into_iter().chain([logging]).chain(bouncy_castle).map(jar).collect::<Vec<_>>().join(":")
}

/// Runs `tests/clients/DocumentSigner.java`.
fn sign(
    ground: &Ground<'_>,
    what: &str,
    conf: &Path,
    document: &Path,
    more: &[&str],
    password: &str,
) -> (Ran, PathBuf) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/DocumentSigner.java");
    let signed = ground.scratch.path().join("signed").with_extension(what);
    let ran = run_typing(
        &ground.scratch,
        without_terminal(tool("java", "openjdk-17-jdk-headless"))
            .args(["-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8", "--class-path", &class_path()])
            .arg(source)
            .arg(what)
            .args([conf, document, &signed])
            .args(more)
            // The holder's name is an argument.
            .env("LC_ALL", "C.UTF-8"),
        password,
    );
    (ran, signed)
}

#[test]
fn a_pdf_signature_has_a_name_and_a_date_and_is_verified_by_pdfsig_and_pyhanko() {
    with_ground(
        "java_documents::a_pdf_signature_has_a_name_and_a_date_and_is_verified_by_pdfsig_and_pyhanko",
        |ground| {
            let card = ground.card();
            let conf = ground.installed.conf("java-sign.cfg");
            let document = document(&ground.scratch);
            let ((ran, signed), cost) =
                ground.with_inserted(&card, |_| sign(ground, "pdf", &conf, &document, &["練習　太郎"], PASSWORD));
            ran.ok();
            let text = String::from_utf8_lossy(&fs::read(&signed).expect("it was signed")).into_owned();
            for part in ["/SubFilter /adbe.pkcs7.detached", "/M (D:", "/Name <FEFF7DF47FD23000592A90CE>"] {
                assert!(text.contains(part), "{part}");
            }
            assert_signed(&ground.scratch, &card, &signed, &[]);
            let tampered = tampered(&ground.scratch, &signed);
            assert!(pdfsig_on(&ground.scratch, &card, &tampered).stdout.contains("Digest Mismatch."));
            assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
        },
    );
}

#[test]
fn an_xml_signature_is_verified_by_xmlsec1() {
    with_ground("java_documents::an_xml_signature_is_verified_by_xmlsec1", |ground| {
        let card = ground.card();
        let conf = ground.installed.conf("java-sign.cfg");
        let document = xmlsec::application(&ground.scratch);
        let ((ran, signed), cost) =
            ground.with_inserted(&card, |_| sign(ground, "xml", &conf, &document, &[], PASSWORD));
        ran.ok();
        xmlsec::assert_signed(&ground.scratch, &card, &signed);
        assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn a_wrong_password_costs_one_try() {
    with_ground("java_documents::a_wrong_password_costs_one_try", |ground| {
        let card = ground.card();
        let conf = ground.installed.conf("java-sign.cfg");
        let document = xmlsec::application(&ground.scratch);
        let ((ran, signed), cost) =
            ground.with_inserted(&card, |_| sign(ground, "xml", &conf, &document, &[], "WRONG12"));
        let said = ran.refused();
        assert!(said.contains("CKR_PIN_INCORRECT") && !signed.exists(), "{said}");
        assert_eq!((cost.verifies, card.tries()), (1, (3, 4)));
    });
}

#[test]
fn signing_costs_less_than_with_opensc() {
    with_ground("java_documents::signing_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        let sign_module = ground.installed.sign();
        let document = document(&ground.scratch);
        ground.compare(&card, PROGRAM, "sign a PDF document", &sign_module, |module| {
            let mut conf = ground.installed.conf("java-sign.cfg");
            if module != sign_module {
                // OpenSC's module shows both tokens, the authentication token first.
                let text = format!("name = OpenSC\nlibrary = {}\nslotListIndex = 1\n", module.display());
                conf = ground.scratch.file("opensc.cfg", text);
            }
            sign(ground, "pdf", &conf, &document, &["Practice"], PASSWORD).0.success
        });
        assert_eq!(card.tries(), (3, 5));
    });
}
