//! Files of ours: a practice card's, which nothing tears and nobody changes at once with another; and what is kept in the
//! state and runtime directories, which is private, about nobody, and worth nothing to us where it is not ours.

mod common;

use common::cards::{PIN, card};
use common::{Modules, Scratch, configured, run, tool};
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::store::Store;
use jpki_pkcs11::emulator::switches::Schemes;
use jpki_pkcs11::emulator::{Device, PracticeCard};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Set in the processes that these tests start of themselves.
const CARD: &str = "JPKI_TEST_CARD";

/// Another process that runs the test `name` on `card`.
fn another(name: &str, card: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CARD, card)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn tries(card: &Path) -> u8 {
    Store::open(card).unwrap().read().unwrap().secrets.sign.unwrap().tries
}

fn set_tries(card: &mut Store, tries: u8) {
    let set = |update: &mut jpki_pkcs11::emulator::store::Update<'_>| {
        let secret = update.image.secrets.sign.as_mut().unwrap();
        (secret.tries, secret.limit) = (tries, 15);
        update.save()
    };
    card.update(set).unwrap();
}

#[test]
fn a_card_killed_at_any_moment_is_the_old_or_the_new_one_and_leaves_no_keys_behind() {
    const NAME: &str = "a_card_killed_at_any_moment_is_the_old_or_the_new_one_and_leaves_no_keys_behind";
    if let Some(card) = std::env::var_os(CARD) {
        let mut store = Store::open(Path::new(&card)).unwrap();
        println!("writing");
        loop {
            (0..15).for_each(|tries| set_tries(&mut store, tries));
        }
    }
    let scratch = Scratch::new();
    let card = card(&scratch, Kind::Juki);
    let keys = Store::open(&card).unwrap().read().unwrap().keys;
    let mut leftovers = 0;
    for round in 0..60 {
        let mut writer = another(NAME, &card);
        let mut output = BufReader::new(writer.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("writing") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the writer ended early");
        }
        // The moment is what varies; nothing waits for it.
        std::thread::sleep(Duration::from_micros(137 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        leftovers += fs::read_dir(scratch.path()).unwrap().count() - 1;
        let image = Store::open(&card).unwrap().read().unwrap();
        assert!(image.secrets.sign.unwrap().tries <= 15 && image.keys == keys, "a card torn in two");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "keys were left behind");
        set_tries(&mut Store::open(&card).unwrap(), 7);
        assert_eq!(tries(&card), 7, "the lock died with its holder");
    }
    assert!(leftovers > 0, "no writer was met in the middle of a write: the moments are chosen badly");
}

/// What FAT cannot, and file systems outside the kernel; see `clients/without.c`.
#[test]
fn a_card_is_made_where_there_are_no_hard_links_and_takes_the_place_of_no_other() {
    let scratch = Scratch::new();
    let without = scratch.path().join("without");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/without.c");
    run(Command::new(tool("gcc", "gcc")).args(["-Wall", "-Werror", "-o"]).args([&without, &source])).ok();
    for (number, missing) in [&["links"][..], &["renames"], &["links", "renames"]].into_iter().enumerate() {
        let card = scratch.path().join(format!("{number}.card"));
        let make = || {
            let mut command = Command::new(&without);
            run(command.args(missing).arg("--").arg(env!("CARGO_BIN_EXE_jpki")).args(["card", "new"]).arg(&card))
        };
        make().ok();
        let made = fs::read(&card).unwrap();
        assert_eq!((mode(&card), tries(&card)), (0o600, 5), "{missing:?}");
        assert!(make().refused().contains("exists already"), "{missing:?}");
        assert_eq!(fs::read(&card).unwrap(), made, "{missing:?}");
    }
    // The three cards, and the program.
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 4);
}

#[test]
fn a_leftover_whose_writer_lives_and_files_of_other_names_stay() {
    let scratch = Scratch::new();
    let card = card(&scratch, Kind::Juki);
    let living = fs::File::create(scratch.path().join(".juki.card.1.0.new")).unwrap();
    living.lock().unwrap();
    let dead = scratch.file(".juki.card.1.1.new", "keys");
    let others = [".juki.card.new", ".juki.card.x.1.new", ".other.card.1.1.new", "juki.card.1.1.new"]
        .map(|name| scratch.file(name, "somebody's"));
    Store::open(&card).unwrap();
    assert!(!dead.exists());
    assert!(scratch.path().join(".juki.card.1.0.new").exists() && others.iter().all(|other| other.exists()));
}

#[test]
fn processes_on_one_card_spend_each_try_once() {
    const NAME: &str = "processes_on_one_card_spend_each_try_once";
    const WRONG: [u8; 11] = [0x00, 0x20, 0x00, 0x9B, 6, b'0', b'0', b'0', b'0', b'0', b'0'];
    if let Some(card) = std::env::var_os(CARD) {
        let mut card = PracticeCard::open(Path::new(&card)).unwrap();
        card.power_on();
        card.transmit(&[0x00, 0xA4, 0x04, 0x0C]);
        card.transmit(b"\x00\xA4\x04\x0C\x0A\xD3\x92\xF0\x00\x26\x01\x00\x00\x00\x01");
        for _ in 0..5 {
            let answer = card.transmit(&WRONG);
            println!("answer {:02X}{:02X}", answer[0], answer[1]);
        }
        return;
    }
    let scratch = Scratch::new();
    let card = card(&scratch, Kind::Juki);
    set_tries(&mut Store::open(&card).unwrap(), 15);
    let processes: Vec<Child> = (0..3).map(|_| another(NAME, &card)).collect();
    let mut answers = Vec::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        answers.extend(text.lines().filter_map(|line| Some(line.split_once("answer ")?.1.to_owned())));
    }
    answers.sort();
    assert_eq!(answers, (0..15).map(|left| format!("63C{left:X}")).collect::<Vec<_>>());
}

/// A user's directories, and a card that teaches the module something worth keeping.
struct Home {
    scratch: Scratch,
    card: PathBuf,
    modules: Modules,
}

impl Home {
    fn new() -> Home {
        let scratch = Scratch::new();
        let card =
            common::cards::card_as(&scratch, Kind::MyNumber, |order| order.switches.schemes = Schemes::WithoutPss);
        let modules = Modules::in_dir(&scratch);
        for directory in ["state", "run"] {
            fs::create_dir(scratch.path().join(directory)).unwrap();
        }
        let home = Home { scratch, card, modules };
        home.scratch.configuration(&format!("practice = ['{}']\n", home.card.display()));
        home
    }

    fn state(&self) -> PathBuf {
        self.scratch.path().join("state/jpki-pkcs11")
    }

    fn runtime(&self) -> PathBuf {
        self.scratch.path().join("run/jpki-pkcs11")
    }

    /// Logs in and asks for a PSS signature, which this card does not make, in a process of its own; what it logged.
    fn sign(&self) -> String {
        let log = self.scratch.path().join("log");
        // One that is there would be appended to.
        let _ = fs::remove_file(&log);
        let data = self.scratch.file("data", "a document");
        let mut pkcs11_tool = Command::new(tool("pkcs11-tool", "opensc"));
        run(configured(&mut pkcs11_tool, &self.scratch.path().join("config.toml"))
            .arg("--module")
            .arg(&self.modules.auth)
            .args([
                "--login",
                "--pin",
                PIN,
                "--id",
                "01",
                "--sign",
                "--mechanism",
                "SHA256-RSA-PKCS-PSS",
                "--input-file",
            ])
            .arg(data)
            .arg("--output-file")
            .arg(self.scratch.path().join("signature"))
            .env("JPKI_PKCS11_LOG", &log)
            .env("XDG_STATE_HOME", self.scratch.path().join("state"))
            .env("XDG_RUNTIME_DIR", self.scratch.path().join("run")))
        .refused();
        fs::read_to_string(log).unwrap()
    }

    /// The one file about the card.
    fn record(&self) -> PathBuf {
        let mut files = fs::read_dir(self.state().join("cards")).unwrap();
        let record = files.next().expect("something is kept").unwrap().path();
        assert!(files.next().is_none(), "one file a card");
        record
    }
}

#[test]
fn the_state_and_runtime_directories_are_private_and_about_nobody() {
    let home = Home::new();
    home.sign();
    for directory in [home.state(), home.state().join("cards"), home.runtime()] {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
    }
    let record = home.record();
    assert_eq!(mode(&record), 0o600);
    let lock = fs::read_dir(home.runtime()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&lock), 0o600);
    assert_eq!(fs::read_to_string(&record).unwrap(), "version = 1\nshort_ids = true\npss = false\n");
    // Neither is named by anything printed on the card or written in a certificate.
    let serial = Store::open(&home.card).unwrap().read().unwrap().serial;
    for name in [&record, &lock] {
        assert!(!name.to_string_lossy().contains(serial.trim()), "{}", name.display());
        let content = fs::read(name).unwrap();
        for of_the_holder in [serial.trim(), PIN] {
            let found = content.windows(of_the_holder.len()).any(|window| window == of_the_holder.as_bytes());
            assert!(!found, "{}", name.display());
        }
    }
}

#[test]
fn a_state_directory_that_is_open_to_others_is_not_used() {
    for open in ["state/jpki-pkcs11", "state/jpki-pkcs11/cards", "run/jpki-pkcs11"] {
        let home = Home::new();
        let path = home.scratch.path().join(open);
        fs::create_dir_all(&path).unwrap();
        if open.ends_with("cards") {
            fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let log = home.sign();
        assert!(log.contains("open to other users"), "{log}");
        assert_eq!((mode(&path), fs::read_dir(&path).unwrap().count()), (0o755, 0), "{open}");
    }
}

#[test]
fn a_damaged_or_foreign_file_in_the_state_directory_is_ignored_and_rewritten() {
    let home = Home::new();
    home.sign();
    let record = home.record();
    let good = fs::read(&record).unwrap();
    let target = home.scratch.file("target", "somebody else's");
    let damages: [(&str, &dyn Fn()); 7] = [
        ("empty", &|| fs::write(&record, "").unwrap()),
        ("cut short", &|| fs::write(&record, &good[..good.len() / 2]).unwrap()),
        ("not text", &|| fs::write(&record, [0xFF; 100]).unwrap()),
        ("another version", &|| fs::write(&record, "version = 2\nshort_ids = true\n").unwrap()),
        ("huge", &|| fs::write(&record, vec![b'#'; 1 << 20]).unwrap()),
        ("open to others", &|| fs::set_permissions(&record, Permissions::from_mode(0o666)).unwrap()),
        ("a link", &|| {
            fs::remove_file(&record).unwrap();
            symlink(&target, &record).unwrap();
        }),
    ];
    for (what, damage) in damages {
        damage();
        home.sign();
        assert_eq!(fs::read(&record).unwrap(), good, "{what}");
        assert!(mode(&record) == 0o600 && fs::symlink_metadata(&record).unwrap().is_file(), "{what}");
    }
    assert_eq!(fs::read_to_string(target).unwrap(), "somebody else's");
}
