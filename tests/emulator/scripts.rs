//! Runs `tests/scripts/*.toml`: each case is a card, perhaps with switches turned, and lines `command = answer`.
//!
//! A line is hex, spaces allowed. `$NAME` stands for the commands in [`NAMES`]. In an answer `..` is any byte and `[n]`
//! any n bytes; no answer at all is `mute`. The lines `power`, `off` and `reset` are what a reader does.

use crate::fixture::{bytes, card, hex, image};
use jpki_pkcs11::emulator::Device;
use jpki_pkcs11::emulator::foreign::{ForeignCard, ForeignKind};
use jpki_pkcs11::emulator::image::{Certificates, Image, Kind};
use jpki_pkcs11::emulator::switches::Switches;
use serde::Deserialize;
use std::fs;
use std::path::Path;

/// None begins with one that stands before it.
const NAMES: [(&str, &str); 13] = [
    ("$NEXTPIN", "00 20 00 96 04 31323334"),
    ("$NEXTPASSWORD", "00 20 00 98 06 414243313233"),
    ("$NEXT", "00 A4 04 0C 0A F04A504B494E45585401"),
    ("$JPKI", "00 A4 04 0C 0A D392F000260100000001"),
    ("$TEXT", "00 A4 04 0C 0A D3921000310001010408"),
    ("$SURFACE", "00 A4 04 0C 0A D3921000310001010402"),
    ("$COMMON", "00 A4 04 0C 0A D3921000310001010100"),
    ("$ISD", "00 A4 04 0C 07 A0000001510000"),
    ("$PIN", "00 20 00 98 04 31323334"),
    ("$PASSWORD", "00 20 00 9B 06 414243313233"),
    ("$HASH20", "000102030405060708090A0B0C0D0E0F10111213"),
    ("$HASH", "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"),
    ("$SHA384", "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The rule, with its place in `card.md`.
    rule: String,
    /// A kind of practice card or a foreign card; `mynumber` if not said.
    #[serde(default = "mynumber")]
    card: String,
    /// Switches that differ.
    #[serde(default)]
    switches: toml::Table,
    /// Certificates the card lacks.
    #[serde(default)]
    without: Vec<String>,
    /// Tries left of the authentication PIN and the signature password; −1 for a secret that is not there.
    tries: Option<[i8; 2]>,
    lines: Vec<String>,
}

fn mynumber() -> String {
    "mynumber".into()
}

impl Case {
    fn device(&self) -> Box<dyn Device> {
        if let Some(kind) = ForeignKind::ALL.into_iter().find(|kind| kind.name() == self.card) {
            let mut device = ForeignCard::new(kind);
            device.power_on();
            return Box::new(device);
        }
        let mut image = image(self.card.parse::<Kind>().unwrap());
        let mut switches = toml::Table::try_from(&image.switches).unwrap();
        switches.extend(self.switches.clone());
        image.switches = switches.try_into::<Switches>().unwrap();
        self.take_away(&mut image);
        Box::new(card(image))
    }

    fn take_away(&self, image: &mut Image) {
        for name in &self.without {
            match name.as_str() {
                "auth" => (image.certificates.auth, image.certificates.auth_ca) = (None, None),
                "sign" => (image.certificates.sign, image.certificates.sign_ca) = (None, None),
                "all" => image.certificates = Certificates::default(),
                other => panic!("no certificate is named {other}"),
            }
        }
        if let Some([auth, sign]) = self.tries {
            for (secret, tries) in [(&mut image.secrets.auth, auth), (&mut image.secrets.sign, sign)] {
                match u8::try_from(tries) {
                    Ok(tries) => secret.as_mut().unwrap().tries = tries,
                    Err(_) => *secret = None,
                }
            }
        }
    }
}

/// Whether `answer` fits `expected`.
fn fits(answer: &[u8], expected: &str) -> bool {
    if expected.trim() == "mute" {
        return answer.is_empty();
    }
    let mut answer = answer.iter();
    for word in expected.split_whitespace() {
        if let Some(count) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if answer.by_ref().take(count.parse().unwrap()).count() != count.parse::<usize>().unwrap() {
                return false;
            }
            continue;
        }
        for pair in word.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).unwrap();
            let Some(byte) = answer.next() else { return false };
            if pair != ".." && *byte != bytes(pair)[0] {
                return false;
            }
        }
    }
    answer.next().is_none()
}

fn run(path: &Path, case: &Case, failures: &mut Vec<String>) {
    let mut device = case.device();
    for line in &case.lines {
        match line.as_str() {
            "power" => device.power_on(),
            "off" => device.power_off(),
            "reset" => device.reset(),
            line => {
                let (command, expected) = line.split_once('=').unwrap_or_else(|| panic!("{line}: no answer"));
                let command = NAMES.iter().fold(command.to_owned(), |text, (name, hex)| text.replace(name, hex));
                let answer = device.transmit(&bytes(&command));
                if !fits(&answer, expected) {
                    let file = path.file_name().unwrap().to_string_lossy();
                    failures.push(format!("{file}: {}\n    {line}\n    got {}", case.rule, hex(&answer)));
                }
            }
        }
    }
}

/// The scripts, and how many cases each has: a case that is no longer read is a rule that nobody looks at any more.
const SCRIPTS: [(&str, usize); 6] = [
    ("kinds.toml", 22),
    ("next.toml", 30),
    ("read.toml", 46),
    ("secrets.toml", 35),
    ("select.toml", 19),
    ("sign.toml", 17),
];

#[test]
fn the_card_answers_as_its_specification_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut failures = Vec::new();
    let mut cases = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let script: Script =
            toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for case in &script.case {
            assert!(case.rule.contains('§'), "{path:?}: {}: which section?", case.rule);
            assert!(case.lines.iter().any(|line| line.contains('=')), "{path:?}: {}: nothing is asked", case.rule);
            run(&path, case, &mut failures);
        }
        cases.push((path.file_name().unwrap().to_str().unwrap().to_owned(), script.case.len()));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    cases.sort();
    assert_eq!(cases, SCRIPTS.map(|(name, count)| (name.to_owned(), count)), "cases came or went: say so in SCRIPTS");
}

#[test]
fn a_pattern_fits_only_what_it_says() {
    assert!(fits(&[0x90, 0x00], "9000"));
    assert!(fits(&[1, 2, 3, 0x90, 0x00], "[3] 9000"));
    assert!(fits(&[1, 2, 0x90, 0x00], "01.. 9000"));
    assert!(fits(&[], "mute"));
    for (answer, expected) in [
        (&[0x90, 0x01][..], "9000"),
        (&[1, 0x90, 0x00], "9000"),
        (&[0x90], "9000"),
        (&[1, 2, 0x90, 0x00], "[3] 9000"),
        (&[0x90, 0x00], "mute"),
        (&[], "9000"),
    ] {
        assert!(!fits(answer, expected), "{answer:02X?} {expected}");
    }
}
