//! Text from a card that would act on whoever looks at it. CK_TOKEN_INFO and labels are in `src/pkcs11/tests/forged.rs`.

use crate::common::cards::{PASSWORD, card};
use crate::common::forgery::{Forgery, rename};
use crate::common::pcscd::with_pcscd;
use crate::common::{Modules, Scratch, configured, jpki, run, tool};
use der::Tag;
use der::asn1::{Any, Utf8StringRef};
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::store::Store;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Clears the screen, sets the title, ends the line, reverses what follows, and pretends to be HTML and JSON.
const HOSTILE: &str = "\x1b[2J\x1b]0;t\x07\r\nforged: line\u{9b}31m\u{202e}<b onclick='x'>\",\"tries\":9\0:\u{2028}";

/// Nothing that a terminal would obey, or that would end a line or turn it round.
fn assert_harmless(what: &str, shown: &str) {
    let bad = shown.chars().find(|&c| c != '\n' && (c.is_control() || "\u{202e}\u{2028}".contains(c)));
    assert_eq!(bad, None, "{what}: {shown:?}");
    assert!(!shown.lines().any(|line| line.trim_start().starts_with("forged")), "{what}: {shown}");
}

/// Its certificate, with hostile text for every name, and for the holder's own name and address.
fn forged(pem: &str) -> String {
    let mut certificate = Forgery::from_pem(pem);
    let hostile = Any::new(Tag::Utf8String, Utf8StringRef::new(HOSTILE).unwrap().as_bytes()).unwrap();
    let tbs = &mut certificate.tbs;
    rename(&mut tbs.subject, &hostile);
    rename(&mut tbs.issuer, &hostile);
    // Of the same length, so that no length around it changes.
    for extension in tbs.extensions.iter_mut().flatten() {
        let bytes = extension.extn_value.as_bytes().to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(name) = ["練習　太郎"].into_iter().find(|name| text.contains(name)) {
            let at = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
            let mut forged = bytes;
            let mut hostile = b"\x1b[2J\r\n\xc2\x9b1m<".to_vec();
            hostile.resize(name.len(), b'\n');
            forged[at..at + name.len()].copy_from_slice(&hostile);
            extension.extn_value = der::asn1::OctetString::new(forged).unwrap();
        }
    }
    certificate.to_pem()
}

fn forge(file: &Path) {
    let forge = |certificate: &mut Option<String>| *certificate = certificate.as_deref().map(forged);
    let change = |image: &mut Image| {
        let certificates = &mut image.certificates;
        [&mut certificates.auth, &mut certificates.sign, &mut certificates.auth_ca, &mut certificates.sign_ca]
            .into_iter()
            .for_each(forge);
    };
    let mut store = Store::open(file).unwrap();
    store
        .update(|update| {
            change(&mut update.image);
            update.save()
        })
        .unwrap();
}

#[test]
fn hostile_names_in_certificates_are_shown_harmlessly() {
    let scratch = Scratch::new();
    let file = card(&scratch, Kind::MyNumber);
    forge(&file);
    let log = scratch.path().join("log");
    let text = format!("practice = ['{}']\nlog = '{}'\nlog_level = 'trace'\n", file.display(), log.display());
    let config = scratch.configuration(&text);
    for arguments in
        [&["status"][..], &["status", "--unmask"], &["status", "--json"], &["status", "--json", "--unmask"]]
    {
        let mut status = jpki();
        configured(&mut status, &config).args(arguments).args(["--sign", "--stdin"]);
        let (stdout, stderr) = answered(&mut status, PASSWORD);
        assert!(stdout.contains('\u{fffd}') || !arguments.contains(&"--unmask"), "nothing hostile was met: {stdout}");
        assert_harmless(&arguments.join(" "), &stdout);
        assert_harmless(&arguments.join(" "), &stderr);
        if arguments.contains(&"--json") {
            let parsed: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(parsed["readers"].as_array().unwrap().len(), 1);
        }
    }
    let mut pkcs11_tool = Command::new(tool("pkcs11-tool", "opensc"));
    pkcs11_tool.arg("--module").arg(Modules::in_dir(&scratch).sign);
    pkcs11_tool.args(["--login", "--pin", PASSWORD, "--list-objects"]);
    let listed = run(configured(&mut pkcs11_tool, &config));
    assert!(listed.ok().contains("Digital Signature Certificate"));
    assert_harmless("log", &fs::read_to_string(log).unwrap());
}

/// What the card says of itself: EF 0006, through a real pcscd.
#[test]
fn hostile_token_information_is_shown_harmlessly() {
    with_pcscd("hostile_text::hostile_token_information_is_shown_harmlessly", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let mut information = [b' '; 162];
        information[..15].copy_from_slice(b"JPKIAPICCTOKEN2");
        information[160..].copy_from_slice(&[0x90, 0x00]);
        let mut shown_with_hostile = |fields: &[(usize, usize)]| {
            for &(at, length) in fields {
                let hostile = HOSTILE.as_bytes().iter().cycle();
                information[at..at + length].iter_mut().zip(hostile).for_each(|(byte, hostile)| *byte = *hostile);
            }
            let answer: String = information.iter().map(|byte| format!("{byte:02X}")).collect();
            let card = pcscd.insert_lying(0, &file, "TokenInfo", &answer);
            let shown =
                [&["status"][..], &["status", "--unmask"], &["status", "--json", "--unmask"]].map(|arguments| {
                    let shown = run(jpki().args(arguments));
                    assert_harmless(&arguments.join(" "), &shown.stdout);
                    assert_harmless(&arguments.join(" "), &shown.stderr);
                    shown.stdout
                });
            pcscd.remove(card);
            shown
        };
        // The fields of a card that is one of ours by its label, then the label itself.
        let [_, unmasked, json] = shown_with_hostile(&[(32, 32), (64, 16), (80, 16), (96, 64)]);
        assert!(unmasked.contains("forg"), "the serial number was not met: {unmasked}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for field in ["model", "serial"] {
            let met = json["readers"][0][field].as_str().is_some_and(|text| text.contains("forg"));
            assert!(met, "{field}: {json:#}");
        }
        for shown in shown_with_hostile(&[(15, 17)]) {
            assert!(shown.contains("forg"), "the label was not met: {shown}");
        }
    });
}

fn answered(command: &mut Command, line: &str) -> (String, String) {
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(running.stdin.take().unwrap(), "{line}").unwrap();
    let output = running.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}
