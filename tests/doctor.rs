//! `jpki doctor` on a real pcscd: what it says of a service that is stopped, of readers and cards, and that it changes
//! nothing at the card.

mod common;

use common::cards::{card, card_as};
use common::pcscd::with_pcscd;
use common::rival::Asked;
use common::{Modules, Scratch, jpki, run, tool};
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::issue::Choice;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What the doctor says between the service and the module: the programs of this machine are its own affair.
struct Said {
    findings: Vec<Finding>,
    code: Option<i32>,
}

#[derive(Debug, serde::Deserialize)]
struct Finding {
    step: String,
    verdict: String,
    code: String,
    what: String,
    next: Option<String>,
}

#[derive(serde::Deserialize)]
struct Report {
    version: u8,
    findings: Vec<Finding>,
}

impl Said {
    fn by(command: &mut Command) -> Said {
        let output = command.args(["doctor", "--json"]).output().expect("jpki can be run");
        let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let report: Report = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(report.version, 1);
        Said { findings: report.findings, code: output.status.code() }
    }

    /// `verdict code` of every finding up to the certificates.
    fn codes(&self) -> Vec<String> {
        let of_the_card = |finding: &&Finding| !["module", "program"].contains(&finding.step.as_str());
        self.findings
            .iter()
            .filter(of_the_card)
            .map(|finding| format!("{} {}", finding.verdict, finding.code))
            .collect()
    }

    fn finding(&self, code: &str) -> &Finding {
        self.findings.iter().find(|finding| finding.code == code).unwrap_or_else(|| panic!("{:#?}", self.findings))
    }
}

/// The program as installed: with the modules beside it.
fn installed(scratch: &Scratch) -> PathBuf {
    let prefix = scratch.path().join("usr");
    let (bin, lib) = (prefix.join("bin"), prefix.join("lib/pkcs11"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&lib).unwrap();
    let modules = Modules::in_dir(scratch);
    for module in [modules.both, modules.auth, modules.sign] {
        fs::rename(&module, lib.join(module.file_name().unwrap())).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_jpki"), bin.join("jpki")).unwrap();
    bin.join("jpki")
}

fn tries(card: &Path) -> Vec<u8> {
    let secrets = Image::parse(&fs::read_to_string(card).unwrap()).unwrap().secrets;
    [secrets.auth, secrets.sign].into_iter().flatten().map(|secret| secret.tries).collect()
}

#[test]
fn a_sound_machine_is_said_to_be_sound_and_nothing_changes_at_the_card() {
    with_pcscd("a_sound_machine_is_said_to_be_sound_and_nothing_changes_at_the_card", |pcscd| {
        let scratch = Scratch::new();
        let card = card(&scratch, Kind::MyNumber);
        let program = installed(&scratch);
        let _inserted = pcscd.insert(&card);
        let before = fs::read(&card).unwrap();
        let home = scratch.path().join("home");
        fs::create_dir(&home).unwrap();
        let mut doctor = Command::new(&program);
        doctor.env("HOME", &home).env_remove("XDG_STATE_HOME");
        let (said, asked) = Asked::of(&card).by(|| Said::by(&mut doctor));
        assert_eq!(
            said.codes(),
            [
                "ok service",
                "ok reader",
                "ok reader",
                "ok card",
                "ok secret",
                "ok secret",
                "ok certificate",
                "ok certificate-guarded",
            ]
        );
        let modules: Vec<_> = said.findings.iter().filter(|finding| finding.code == "module").collect();
        let serial = Image::parse(&String::from_utf8(before.clone()).unwrap()).unwrap().serial;
        let last_four = &serial[12..];
        for (module, tokens) in [("libjpki_pkcs11.so", 2), ("libjpki_pkcs11-auth.so", 1), ("libjpki_pkcs11-sign.so", 1)]
        {
            let what = &modules.iter().find(|finding| finding.what.contains(&format!("/{module}:"))).unwrap().what;
            assert_eq!(what.matches(last_four).count(), tokens, "{what}");
        }
        assert!(
            !serde_json::to_string(&said.findings.iter().map(|f| &f.what).collect::<Vec<_>>())
                .unwrap()
                .contains(&serial)
        );
        assert!(asked.iter().all(|command| !command.contains("[secret]")), "{asked:?}");
        assert_eq!(fs::read(&card).unwrap(), before, "the card's file is as it was");
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "nor is anything kept of the card");
        let text = run(Command::new(&program).arg("doctor")).stdout;
        assert!(text.contains("PC/SC service\n  OK    it answers, and "), "{text}");
    });
}

#[test]
fn a_stopped_service_is_told_from_a_machine_without_readers() {
    with_pcscd("a_stopped_service_is_told_from_a_machine_without_readers", |pcscd| {
        pcscd.stop();
        let said = Said::by(&mut jpki());
        assert!(
            ["service-stopped", "service-dead"].iter().any(|code| said.codes()[0] == format!("problem {code}")),
            "{:?}",
            said.codes()
        );
        assert_eq!(said.code, Some(3));
        assert!(said.findings[0].next.as_deref().is_some_and(|next| next.contains("tart")));
        pcscd.start();
        let said = Said::by(&mut jpki());
        assert_eq!(said.codes(), ["ok service", "ok reader", "ok reader", "problem no-card"]);
        assert_eq!(said.code, Some(3));
    });
}

#[test]
fn a_card_that_says_nothing_is_a_mute_one() {
    with_pcscd("a_card_that_says_nothing_is_a_mute_one", |pcscd| {
        let _card = pcscd.insert_mute();
        let said = Said::by(&mut jpki());
        assert_eq!(said.codes(), ["ok service", "ok reader", "ok reader", "problem card-mute"]);
        assert!(said.finding("card-mute").next.as_deref().is_some_and(|next| next.contains("type B")));
        assert_eq!(said.code, Some(3));
    });
}

#[test]
fn a_card_of_another_kind_is_a_foreign_one_and_is_shown_no_secret() {
    with_pcscd("a_card_of_another_kind_is_a_foreign_one_and_is_shown_no_secret", |pcscd| {
        let _foreign = pcscd.insert_scripted();
        let said = Said::by(&mut jpki());
        assert_eq!(said.codes(), ["ok service", "ok reader", "ok reader", "problem card-foreign"]);
        assert_eq!(said.code, Some(3));
        // Beside a card of ours it is in nobody's way.
        let scratch = Scratch::new();
        let _ours = pcscd.insert_into(1, &card(&scratch, Kind::MyNumber));
        let said = Said::by(&mut jpki());
        assert!(said.codes().contains(&"note card-foreign".to_owned()), "{:?}", said.codes());
    });
}

#[test]
fn a_locked_secret_is_said_with_the_way_out_in_the_persons_language() {
    with_pcscd("a_locked_secret_is_said_with_the_way_out_in_the_persons_language", |pcscd| {
        let scratch = Scratch::new();
        let card = card_as(&scratch, Kind::MyNumber, |order| {
            order.sign_secret = Choice::Locked;
            order.sign_certificate = false;
        });
        let _inserted = pcscd.insert(&card);
        for (language, locked, office) in [
            ("en", "locked", "municipal office"),
            ("ja", "ロックされています", "市区町村の窓口"),
            ("zh-tw", "已鎖卡", "市區町村窗口"),
        ] {
            let said = Said::by(jpki().args(["--lang", language]));
            let finding = said.finding("secret-locked");
            assert!(finding.what.ends_with(locked), "{finding:?}");
            assert!(finding.next.as_deref().is_some_and(|next| next.contains(office)), "{finding:?}");
            assert!(
                said.codes().ends_with(&["ok certificate".into(), "note certificate-absent".into()]),
                "{:?}",
                said.codes()
            );
            assert_eq!(said.code, Some(5));
        }
        assert_eq!(tries(&card), [3, 0]);
    });
}

#[test]
fn a_secret_before_its_last_try_is_a_note_and_no_try_is_used() {
    with_pcscd("a_secret_before_its_last_try_is_a_note_and_no_try_is_used", |pcscd| {
        let scratch = Scratch::new();
        let card = card(&scratch, Kind::MyNumber);
        let text = fs::read_to_string(&card).unwrap();
        fs::write(&card, text.replacen("tries = 3", "tries = 1", 1)).unwrap();
        let _inserted = pcscd.insert(&card);
        let said = Said::by(&mut jpki());
        assert_eq!(said.finding("secret-last-try").verdict, "note");
        assert_eq!(tries(&card), [1, 5]);
    });
}

#[test]
fn a_user_whom_polkit_refuses_is_told_of_the_rule() {
    // pcscd hangs up on a client that polkit refuses, whose greeting of 8 and 12 bytes has come by then and stays unread.
    // So does this listener.
    let scratch = Scratch::new();
    let socket = scratch.path().join("pcscd.comm");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|mut client| drop(client.read_exact(&mut [0; 9]))));
    for (over, says) in [(Some("192.0.2.1 1 192.0.2.2 22"), "it came over ssh"), (None, "refuses this session")] {
        let mut doctor = jpki();
        doctor.env("PCSCLITE_CSOCK_NAME", &socket).env_remove("SSH_CONNECTION").env_remove("SSH_TTY");
        let said = Said::by(doctor.envs(over.map(|over| ("SSH_CONNECTION", over))));
        assert_eq!(said.codes()[0], "problem service-denied");
        assert!(said.findings[0].what.contains(says), "{:?}", said.findings[0]);
        assert!(said.findings[0].next.as_deref().is_some_and(|next| next.contains("polkit.addRule")));
        assert_eq!(said.code, Some(1));
    }
}

#[test]
fn a_module_that_is_no_library_crashes_or_never_answers_does_not_take_the_doctor_with_it() {
    let scratch = Scratch::new();
    let program = installed(&scratch);
    let lib = scratch.path().join("usr/lib/pkcs11");
    fs::write(lib.join("libjpki_pkcs11.so"), "no library").unwrap();
    for (name, body) in [
        ("crashes", "abort();"),
        ("hangs", "for (;;) pause();"),
        // What it starts holds the pipe to the doctor.
        ("leaves-somebody", "if (!fork()) { sleep(60); _exit(0); }"),
    ] {
        let source = format!(
            "#include <stdlib.h>\n#include <unistd.h>\n__attribute__((constructor)) void f(void) {{ {body} }}\n"
        );
        let source = scratch.file(&format!("{name}.c"), source);
        let library = lib.join(format!("libjpki_pkcs11-{name}.so"));
        run(Command::new(tool("gcc", "gcc")).args(["-shared", "-fPIC", "-o"]).arg(library).arg(source)).ok();
    }
    fs::remove_file(lib.join("libjpki_pkcs11-sign.so")).unwrap();
    let config = scratch.file("config.toml", "lock_timeout = 1");
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    let said = Said::by(
        Command::new(&program)
            .env("JPKI_PKCS11_CONF", config)
            .env("PCSCLITE_CSOCK_NAME", scratch.path().join("no service")),
    );
    let fails: Vec<_> = said.findings.iter().filter(|finding| finding.code == "module-fails").collect();
    for (file, why) in [
        ("/libjpki_pkcs11.so: ", "file too short"),
        ("/libjpki_pkcs11-crashes.so: ", "it ended the process that asked it"),
        ("/libjpki_pkcs11-hangs.so: ", "it did not answer within 11 s"),
        ("/libjpki_pkcs11-leaves-somebody.so: ", "it did not answer within 11 s"),
    ] {
        let of_it = fails.iter().find(|finding| finding.what.contains(file));
        assert!(of_it.is_some_and(|finding| finding.what.contains(why)), "{file}: {fails:?}");
    }
    assert!(said.finding("module-incomplete").what.contains("libjpki_pkcs11-sign.so"));
    assert!(said.finding("module").what.contains("-auth.so: no token"));
}
