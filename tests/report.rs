//! `jpki doctor --report`: what it says of a card, what it never says, and that a card made from it answers the same.

mod common;

use common::cards::{PASSWORD, PIN, card_as};
use common::pcscd::with_pcscd;
use common::rival::Asked;
use common::{Scratch, configured, jpki, run};
use jpki_pkcs11::cert::Certificate;
use jpki_pkcs11::emulator::image::{Image, Kind, Pair, Secret};
use jpki_pkcs11::emulator::issue::{Choice, Order};
use jpki_pkcs11::emulator::report::CardReport;
use jpki_pkcs11::emulator::seed::Seed;
use jpki_pkcs11::emulator::switches::Switches;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The program with the card of `file` in its embedded reader.
fn with_card(scratch: &Scratch, file: &Path) -> Command {
    let config = scratch.configuration(&format!("practice = [{:?}]", file.to_str().unwrap()));
    let mut jpki = jpki();
    configured(&mut jpki, &config).env("HOME", scratch.path());
    jpki
}

fn report(scratch: &Scratch, file: &Path) -> String {
    run(with_card(scratch, file).args(["doctor", "--report"])).ok()
}

/// Makes a card from `report`, and gives what that one reports.
fn report_of_replay(scratch: &Scratch, report: &str) -> (String, Image) {
    let text = scratch.file("report", report);
    let replay = scratch.path().join("replay.card");
    let _ = fs::remove_file(&replay);
    let made = run(jpki().args(["card", "new", "--seed", "replay", "--from-report"]).arg(text).arg(&replay));
    assert_eq!(made.stderr, "", "nothing that a practice card cannot do");
    made.ok();
    (self::report(scratch, &replay), Image::parse(&fs::read_to_string(&replay).unwrap()).unwrap())
}

/// Holds a card's report against that of a card made from it, for each of these switches. The first of those cards is made
/// as a person makes it; the others get the keys and certificates of the one reported, since making them takes long.
fn comes_back(kind: Kind, order: impl FnOnce(&mut Order), switches: &[&str]) {
    let scratch = Scratch::new();
    let file = card_as(&scratch, kind, order);
    let mut image = Image::parse(&fs::read_to_string(&file).unwrap()).unwrap();
    for (number, switches) in switches.iter().enumerate() {
        image.switches = toml::from_str::<Switches>(switches).unwrap_or_else(|error| panic!("{switches}: {error}"));
        fs::write(&file, image.to_text().unwrap()).unwrap();
        let first = report(&scratch, &file);
        assert_eq!(fs::read_to_string(&file).unwrap(), image.to_text().unwrap(), "a report changes nothing");
        let second = if number == 0 {
            let (second, replay) = report_of_replay(&scratch, &first);
            assert_eq!(replay.kind, kind);
            second
        } else {
            let mut order = Order::new(Kind::MyNumber, Seed::from("replay"), 0);
            CardReport::parse(&first).unwrap().apply(&mut order).unwrap();
            assert_eq!(order.kind, kind);
            assert_eq!(order.sign_certificate, image.certificates.sign.is_some());
            let replay = Image { switches: order.switches, ..image.clone() };
            report(&scratch, &scratch.file("replay.card", replay.to_text().unwrap()))
        };
        assert_eq!(first, second, "{kind}: {switches}");
    }
}

#[test]
fn a_card_made_from_a_report_answers_as_the_card_that_was_reported() {
    comes_back(
        Kind::MyNumber,
        |_| {},
        &[
            "",
            "short-ids = false\nread-le-zero = false\nanswers = 'get-response'\nfiller = 'zero'\ncertificate-filler-len = 700",
            "answers = 'exact-le'\nfirst-command-fails = false\nisd = false\nschemes = 'without-pss'\nextended-length = false",
            "unknown-scheme = 'after-pin'\nfci = 'nothing'\ncontact-atr-at-power-on = false\nstatus-file = false",
            "default-key = false\natr = 'contactless'\nschemes = 'padding-only'\nauth-certificate = 'pin'",
            "file-sizes = { auth = 4000, auth-ca = 2048, sign-ca = 3001 }\nanswers = 'get-response'",
            "certificate-filler-len = 0",
            "listed = 'sign-only'",
            "certificate-filler-len = 0\nfile-sizes = { auth-ca = 2048 }\nanswers = 'get-response'",
        ],
    );
}

#[test]
fn so_does_every_kind_of_card() {
    comes_back(Kind::Juki, |_| {}, &["", "short-ids = false\natr = 'contactless-juki'"]);
    comes_back(Kind::Android, |_| {}, &["", "auth-certificate = 'free'"]);
    comes_back(Kind::Ios, |_| {}, &["isd = false"]);
}

#[test]
fn what_may_be_the_next_card_has_no_report() {
    let scratch = Scratch::new();
    let card = card_as(&scratch, Kind::Next, |_| {});
    let configuration = scratch.configuration(&format!("practice = [{card:?}]\n"));
    let said = run(configured(&mut jpki(), &configuration).args(["--lang", "en", "doctor", "--report"])).refused();
    assert_eq!(said.lines().next(), Some("jpki: no reader holds a card with certificates of JPKI"), "{said}");
}

#[test]
fn so_does_one_that_lacks_certificates_or_secrets() {
    comes_back(
        Kind::MyNumber,
        |order| order.sign_certificate = false,
        &[
            "unwritten-certificate = 'open'",
            "unwritten-certificate = 'missing'",
            "unwritten-certificate = 'guarded'",
            "unwritten-certificate = 'missing'\nstatus-file = false",
        ],
    );
    comes_back(
        Kind::MyNumber,
        |order| {
            order.auth_certificate = false;
            order.auth_secret = Choice::Locked;
            order.sign_secret = Choice::Absent;
        },
        &["absent-secret = 'key-not-found'", "unwritten-certificate = 'missing'"],
    );
}

#[test]
fn so_does_one_that_has_a_certificate_without_its_authoritys_or_the_other_way_round() {
    for missing in ["guarded", "missing"] {
        let scratch = Scratch::new();
        let file = card_as(&scratch, Kind::MyNumber, |_| {});
        let mut image = Image::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        (image.certificates.sign, image.certificates.auth_ca) = (None, None);
        image.switches = toml::from_str(&format!("unwritten-certificate = '{missing}'")).unwrap();
        fs::write(&file, image.to_text().unwrap()).unwrap();
        let first = report(&scratch, &file);
        let (second, replay) = report_of_replay(&scratch, &first);
        assert_eq!(first, second, "{missing}");
        let certificates = replay.certificates;
        assert!(certificates.auth.is_some() && certificates.auth_ca.is_none(), "{missing}");
        assert!(certificates.sign.is_none() && certificates.sign_ca.is_some(), "{missing}");
    }
}

#[test]
fn so_does_one_whose_tries_are_used_up_in_part() {
    let scratch = Scratch::new();
    let file = card_as(&scratch, Kind::MyNumber, |_| {});
    let mut image = Image::parse(&fs::read_to_string(&file).unwrap()).unwrap();
    image.secrets.auth.as_mut().unwrap().tries = 1;
    // More than usual as well: nobody knows that of every card.
    let password = image.secrets.sign.as_mut().unwrap();
    (password.tries, password.limit) = (9, 9);
    fs::write(&file, image.to_text().unwrap()).unwrap();
    let first = report(&scratch, &file);
    let (second, replay) = report_of_replay(&scratch, &first);
    assert_eq!(first, second);
    let left = |secret: Option<Secret>| secret.map(|secret| (secret.tries, secret.limit));
    assert_eq!((left(replay.secrets.auth), left(replay.secrets.sign)), (Some((1, 3)), Some((9, 9))));
}

/// `report` with `answer` in the place of the last answer of `probe`.
fn answered_otherwise(report: &str, probe: &str, answer: &str) -> String {
    let probe = format!("probe {probe}\n");
    let (before, rest) = report.split_once(&probe).unwrap_or_else(|| panic!("no {probe} in {report}"));
    let (exchanges, after) = rest.split_once("\n\n").unwrap();
    let (kept, _) = exchanges.rsplit_once("\n< ").unwrap();
    format!("{before}{probe}{kept}\n< {answer}\n\n{after}")
}

#[test]
fn a_card_that_kept_silent_at_the_extended_form_has_none() {
    let scratch = Scratch::new();
    let text = report(&scratch, &card_as(&scratch, Kind::MyNumber, |_| {}));
    let extended = |report: &str| {
        let mut order = Order::new(Kind::MyNumber, Seed::from("replay"), 0);
        CardReport::parse(report).unwrap().apply(&mut order).unwrap();
        order.switches.extended_length
    };
    assert!(extended(&text));
    assert!(!extended(&answered_otherwise(&text, "extended", "none")));
    assert!(!extended(&answered_otherwise(&text, "extended", "6700")));
}

#[test]
fn what_a_practice_card_answers_otherwise_is_said() {
    let scratch = Scratch::new();
    let text = report(&scratch, &card_as(&scratch, Kind::MyNumber, |_| {}));
    let card = scratch.path().join("replay.card");
    let notes = |report: &str| {
        let _ = fs::remove_file(&card);
        let report = scratch.file("report", report);
        let ran = run(jpki().args(["card", "new", "--seed", "replay", "--from-report"]).arg(report).arg(&card));
        assert!(ran.success, "{ran:?}");
        ran.stderr
    };
    // Of a real card the model is another, and the last byte of one field may be left out.
    let model: String = "E16R01NJ        ".bytes().map(|byte| format!("{byte:02X}")).collect();
    let practice: String = "PRACTICE        ".bytes().map(|byte| format!("{byte:02X}")).collect();
    let real = text.replace(&practice, &model).replace("probe select-again\n", "probe a-probe-of-another-version\n");
    assert!(real.contains(&model));
    assert_eq!(notes(&real), "");
    let third_byte = answered_otherwise(&text, "directory", "8F8F01 9000");
    let answers = answered_otherwise(&third_byte, "issuer-domain", "6985").replace("atr 3BE0", "atr 3BE1");
    let said = notes(&answers);
    for line in [
        "atr: the report has 3BE100FF8131FE4514, the practice card 3BE000FF8131FE4514",
        "directory: to 00B0000003 the report has 8F8F01 9000, the practice card 8F8F00 9000",
        "issuer-domain: to 00A4040C07A0000001510000 the report has 6985, the practice card 6A82",
    ] {
        assert!(said.lines().any(|said| said.ends_with(line)), "no {line:?} in\n{said}");
    }
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(card.exists());
}

#[test]
fn a_switch_of_the_command_line_goes_before_the_reports() {
    let scratch = Scratch::new();
    let text = report(&scratch, &card_as(&scratch, Kind::MyNumber, |_| {}));
    let text = scratch.file("report", text);
    let card = scratch.path().join("replay.card");
    let mut jpki = jpki();
    jpki.args(["card", "new", "--seed", "replay", "--switch", "short-ids=false", "--switch", "pss-salt=\"twenty\""]);
    run(jpki.args(["--switch", "file-sizes={sign=4000}", "--from-report"]).arg(text).arg(&card)).ok();
    let switches = Image::parse(&fs::read_to_string(&card).unwrap()).unwrap().switches;
    assert!(!switches.short_ids);
    assert_eq!((switches.pss_salt.bytes(), switches.file_sizes.sign), (20, Some(4000)));
    assert!(switches.file_sizes.auth.is_some(), "what the report says of the others stays");
}

#[test]
fn a_replayed_card_without_secrets_is_said_to_have_none() {
    let scratch = Scratch::new();
    let file = card_as(&scratch, Kind::MyNumber, |order| {
        (order.auth_secret, order.sign_secret) = (Choice::Absent, Choice::Locked);
    });
    let text = scratch.file("report", report(&scratch, &file));
    let card = scratch.path().join("replay.card");
    let said = run(jpki().args(["card", "new", "--seed", "replay", "--from-report"]).arg(text).arg(&card)).ok();
    assert!(said.contains("\nPIN: none; signature password: locked.\n"), "{said}");
}

#[test]
fn the_switches_that_a_report_shows_are_those_of_the_card() {
    let scratch = Scratch::new();
    let file = card_as(&scratch, Kind::MyNumber, |order| {
        order.switches = toml::from_str(
            "first-command-fails = false\nshort-ids = false\nextended-length = false\nisd = false\nfiller = 'zero'\n\
             unknown-scheme = 'after-pin'\nanswers = 'exact-le'",
        )
        .unwrap();
    });
    let before = Image::parse(&fs::read_to_string(&file).unwrap()).unwrap().switches;
    let (_, replay) = report_of_replay(&scratch, &report(&scratch, &file));
    let after = Switches { file_sizes: before.file_sizes, ..replay.switches };
    assert_eq!(after, before);
}

#[test]
fn a_report_holds_nothing_of_the_holder() {
    let scratch = Scratch::new();
    let file = card_as(&scratch, Kind::MyNumber, |_| {});
    let image = Image::parse(&fs::read_to_string(&file).unwrap()).unwrap();
    let report = report(&scratch, &file);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    // As text and as digits, whatever the gaps between them.
    let digits: String = report.split_whitespace().collect::<String>().to_uppercase();
    let absent = |what: &str, bytes: &[u8]| {
        assert!(bytes.len() >= 4, "{what} is too short to be looked for");
        assert!(!digits.contains(&hex(bytes)), "{what}: {report}");
        assert!(!report.contains(&*String::from_utf8_lossy(bytes)), "{what}: {report}");
    };
    let resident = Order::new(Kind::MyNumber, Seed::from(""), 0).resident;
    absent("name", resident.name.text.as_bytes());
    absent("address", resident.address.text.as_bytes());
    absent("prefecture", resident.prefecture.as_bytes());
    absent("municipality", resident.municipality.as_bytes());
    absent("card's serial number", image.serial.as_bytes());
    absent("end of it", &image.serial.as_bytes()[12..]);
    absent("PIN", PIN.as_bytes());
    absent("password", PASSWORD.as_bytes());
    let Pair { auth, sign } = image.keys.clone();
    assert!(auth.is_some() && sign.is_some());
    let certificates = image.certificates;
    for (name, pem) in [
        ("authentication", certificates.auth),
        ("authentication CA", certificates.auth_ca),
        ("signature", certificates.sign),
        ("signature CA", certificates.sign_ca),
    ] {
        let (_, der) = der::Document::from_pem(&pem.unwrap()).unwrap();
        let certificate = Certificate::parse(der.as_bytes()).unwrap();
        absent(&format!("{name}: serial number"), certificate.serial_number().as_bytes());
        // Any eight bytes of it: name, modulus, signature and all.
        for (at, bytes) in der.as_bytes().windows(8).enumerate() {
            // The model in a practice card's token information, and its authority's name; and bytes that are all alike.
            let practice = b"PRACTICE ".windows(8).any(|practice| practice == bytes);
            let alike = bytes.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(practice || alike || !digits.contains(&hex(bytes)), "{name} certificate, from {at}: {report}");
        }
        // Not even its length, which depends on the names in it.
        let length = der.as_bytes().len();
        assert!(!digits.contains(&hex(&der.as_bytes()[..4])), "{name} certificate's length {length}");
    }
}

#[test]
fn a_file_that_ends_with_its_certificate_does_not_tell_the_certificates_length() {
    let report_of = |municipality: &str| {
        let scratch = Scratch::new();
        let file = card_as(&scratch, Kind::MyNumber, |order| {
            order.resident.municipality = municipality.into();
            order.switches = toml::from_str("certificate-filler-len = 0").unwrap();
        });
        let auth = Image::parse(&fs::read_to_string(&file).unwrap()).unwrap().certificates.auth.unwrap();
        (auth.len(), report(&scratch, &file))
    };
    let (short, long) = (report_of("Tsu-shi"), report_of("Minamikyushu-shi"));
    assert_ne!(short.0, long.0, "what the names do to the certificate");
    assert_eq!(short.1, long.1);
}

#[test]
fn a_report_through_pcsc_presents_no_secret_and_reads_no_certificate() {
    with_pcscd("a_report_through_pcsc_presents_no_secret_and_reads_no_certificate", |pcscd| {
        let scratch = Scratch::new();
        let file = card_as(&scratch, Kind::MyNumber, |_| {});
        let before = fs::read(&file).unwrap();
        let inserted = pcscd.insert(&file);
        let path = scratch.path().join("my report");
        let (said, asked) = Asked::of(&file).by(|| run(jpki().args(["doctor", "--report"]).arg(&path)).ok());
        assert!(said.contains("Look it through before you send it."), "{said}");
        let report = fs::read_to_string(&path).unwrap();
        // The power is new: the first command was lost.
        assert!(report.contains("probe first-command\n"), "{report}");
        assert!(report.contains("> 00A40000\n< 6F00\n> 00A40000\n< 6A86\n"), "{report}");
        assert!(report.contains("reader Virtual PCD\natr 3BE000FF8131FE4514\n"), "{report}");
        assert!(asked.len() > 50, "{asked:?}");
        assert!(asked.iter().all(|command| !command.contains("[secret]")), "{asked:?}");
        // Of the signature certificate nothing, of the others four bytes and single ones.
        let signature = asked.iter().position(|command| command == "00 A4 02 0C 0001").unwrap();
        assert!(!asked[signature + 1].starts_with("00 B0"), "{}", asked[signature + 1]);
        assert_eq!(fs::read(&file).unwrap(), before);
        // A second time it is not written over.
        let again = run(jpki().args(["doctor", "--report"]).arg(&path)).refused();
        assert!(again.contains("exists"), "{again}");
        pcscd.remove(inserted);
        // The embedded reader's report is the same, but for the reader.
        let embedded = self::report(&scratch, &file);
        assert_eq!(embedded.replace("reader Practice Reader", "reader Virtual PCD"), report);
        let none = run(jpki().args(["doctor", "--report"])).refused();
        assert!(none.contains("no reader holds a card"), "{none}");
    });
}

#[test]
fn a_card_that_is_none_of_ours_has_no_report() {
    with_pcscd("a_card_that_is_none_of_ours_has_no_report", |pcscd| {
        let mute = pcscd.insert_mute();
        let said = run(jpki().args(["doctor", "--report"])).refused();
        assert!(said.contains("the card does not answer"), "{said}");
        pcscd.remove(mute);
        // Says 9000 to everything.
        let _foreign = pcscd.insert_scripted();
        let said = run(jpki().args(["doctor", "--report"])).refused();
        assert!(said.contains("no reader holds a card with certificates of JPKI"), "{said}");
    });
}

#[test]
fn a_text_that_is_no_report_makes_no_card() {
    let scratch = Scratch::new();
    let text = scratch.file("report", "jpki card report, version 1\nprobe token-info\n> 00B08600A0\n< 9000\nend\n");
    let card = scratch.path().join("a.card");
    let said = run(jpki().args(["card", "new", "--from-report"]).arg(&text).arg(&card)).refused();
    assert!(said.contains("no kind of card"), "{said}");
    assert!(!card.exists());
    let said = run(jpki().args(["card", "new", "--from-report", "/dev/zero"]).arg(&card)).refused();
    assert!(said.contains("longer than a report"), "{said}");
    let text = scratch.file("not text", [0xFF, 0xFE, b'j']);
    let said = run(jpki().args(["card", "new", "--from-report"]).arg(&text).arg(&card)).refused();
    assert!(said.contains("not text: ") && said.contains("UTF-8"), "{said}");
    assert!(!card.exists());
}
