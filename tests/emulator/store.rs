//! The card file: private, whole, and counting across processes.

use crate::fixture::{directory, image, send};
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::store::{ImageError, Store, Update};
use jpki_pkcs11::emulator::{Device, PracticeCard};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const JPKI: &str = "00A4040C0AD392F000260100000001";
const WRONG: &str = "0020009B06303030303030";
const RIGHT: &str = "0020009B06414243313233";
const QUERY: &str = "0020009B";

fn new_card() -> (TempDir, PathBuf) {
    let directory = directory();
    let path = directory.path().join("card.toml");
    PracticeCard::create(&path, &image(Kind::Juki)).unwrap();
    (directory, path)
}

fn opened(path: &Path) -> PracticeCard {
    let mut card = PracticeCard::open(path).unwrap();
    card.power_on();
    assert_eq!(send(&mut card, JPKI), "9000");
    card
}

#[test]
fn a_card_file_is_private_and_alone() {
    let (directory, path) = new_card();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(send(&mut opened(&path), WRONG), "63C4");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn a_file_open_to_others_is_refused_with_the_remedy() {
    for mode in [0o640, 0o604, 0o660] {
        let (_directory, path) = new_card();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = PracticeCard::open(&path).unwrap_err();
        assert!(matches!(error, ImageError::Exposed(_)) && error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_file_with_two_names_is_refused_under_both_until_one_is_gone() {
    let (directory, path) = new_card();
    let mut card = opened(&path);
    let other = directory.path().join("other");
    fs::hard_link(&path, &other).unwrap();
    for name in [&path, &other] {
        let error = PracticeCard::open(name).unwrap_err();
        assert!(matches!(error, ImageError::TwoNames(_)) && error.to_string().contains("-samefile"), "{error}");
    }
    // One that is in a reader already counts no try that the other name would give back.
    assert_eq!(send(&mut card, WRONG), "6581");
    fs::remove_file(&other).unwrap();
    assert_eq!(send(&mut opened(&path), WRONG), "63C4");
}

#[test]
fn a_card_never_takes_the_place_of_another_file() {
    let (directory, path) = new_card();
    let before = fs::read(&path).unwrap();
    assert!(matches!(PracticeCard::create(&path, &image(Kind::Juki)), Err(ImageError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_refused_and_says_what_to_do() {
    let (directory, path) = new_card();
    let text = fs::read_to_string(&path).unwrap();
    for damaged in [text[..text.len() / 2].to_owned(), String::new(), text.replace("version 1", "version 9")] {
        fs::write(&path, damaged).unwrap();
        let error = PracticeCard::open(&path).unwrap_err().to_string();
        assert!(error.contains("jpki card new") && !error.contains("ABC123"), "{error}");
    }
    fs::write(&path, [0xFF, 0xFE]).unwrap();
    assert!(matches!(PracticeCard::open(&path), Err(ImageError::Malformed(..))));
    fs::write(&path, text.replace("BEGIN PRIVATE KEY-----\nMII", "BEGIN PRIVATE KEY-----\nMIX")).unwrap();
    assert!(matches!(PracticeCard::open(&path), Err(ImageError::Key(_, "signature"))));
    // Somebody's own key: primes of 1104 and 944 bits, which OpenSSL takes.
    let (before, key) = text.split_once("-----BEGIN PRIVATE KEY-----").unwrap();
    let (_, after) = key.split_once("-----END PRIVATE KEY-----\n").unwrap();
    fs::write(&path, [before, include_str!("../data/rsa2048-unbalanced.pem"), after].concat()).unwrap();
    let error = PracticeCard::open(&path).unwrap_err();
    assert!(
        matches!(&error, ImageError::Key(_, "signature")) && error.to_string().contains("jpki card new"),
        "{error}"
    );
    assert!(matches!(PracticeCard::open(directory.path()), Err(ImageError::NotAFile(_))));
    assert!(matches!(PracticeCard::open(&directory.path().join("none")), Err(ImageError::Missing(_))));
}

#[test]
fn a_counter_is_on_disk_before_the_status_is_answered() {
    let (_directory, path) = new_card();
    let mut card = opened(&path);
    assert_eq!(send(&mut card, WRONG), "63C4");
    assert_eq!(Store::open(&path).unwrap().read().unwrap().secrets.sign.unwrap().tries, 4);
    drop(card);
    let mut card = opened(&path);
    assert_eq!(send(&mut card, QUERY), "63C4");
    assert_eq!(send(&mut card, RIGHT), "9000");
    assert_eq!(Store::open(&path).unwrap().read().unwrap().secrets.sign.unwrap().tries, 5);
}

#[test]
fn a_changed_password_is_kept() {
    let (_directory, path) = new_card();
    let mut card = opened(&path);
    assert_eq!(send(&mut card, RIGHT), "9000");
    assert_eq!(send(&mut card, "0024019B0458595A31"), "9000");
    assert_eq!(send(&mut opened(&path), "0020009B0458595A31"), "9000");
}

#[test]
fn a_card_that_root_changes_stays_its_owners() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        // Nobody but root can write another's file; continuous integration is root.
        assert!(std::env::var_os("CI").is_none(), "run this as root");
        // Past the test program's keeping of what tests say.
        writeln!(std::io::stderr(), "LEFT OUT, since it takes root: a card that root changes").unwrap();
        return;
    }
    let (directory, path) = new_card();
    chown(&path, Some(65534), Some(65533)).unwrap();
    let owner = || fs::metadata(&path).map(|file| (file.uid(), file.gid(), file.mode() & 0o777)).unwrap();
    assert_eq!(send(&mut opened(&path), WRONG), "63C4");
    assert_eq!(owner(), (65534, 65533, 0o600));
    // A second writer, after which the lock is the new file's.
    assert_eq!(send(&mut opened(&path), RIGHT), "9000");
    assert_eq!(owner(), (65534, 65533, 0o600));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn two_cards_on_one_file_share_its_counter() {
    let (_directory, path) = new_card();
    let (mut one, mut other) = (opened(&path), opened(&path));
    assert_eq!(send(&mut one, WRONG), "63C4");
    assert_eq!(send(&mut other, QUERY), "63C4");
    assert_eq!(send(&mut other, WRONG), "63C3");
    assert_eq!(send(&mut one, WRONG), "63C2");
}

#[test]
fn a_link_to_a_card_stays_a_link() {
    let (directory, path) = new_card();
    let link = directory.path().join("link.toml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(send(&mut opened(&link), WRONG), "63C4");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(send(&mut opened(&path), QUERY), "63C4");
}

/// The right password with the power cut in the middle costs a try like any other: else guesses would be free. The same
/// test is both processes, as below; this one's file has a name that leaves room beside it for ten writes and no more.
#[test]
fn a_try_is_spent_on_disk_before_the_secret_is_compared() {
    const CARD: &str = "CARD_WITH_A_LONG_NAME";
    let Some(directory) = std::env::var_os(CARD) else {
        let directory = directory();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["store::a_try_is_spent_on_disk_before_the_secret_is_compared", "--exact", "--nocapture"])
            .env(CARD, directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    // `.NAME.PROCESS.COUNT.new` is what the store writes first. From the eleventh on, COUNT has one digit too many.
    let longest = 255 - format!("..{}.9.new", std::process::id()).len();
    let path = Path::new(&directory).join("c".repeat(longest));
    let mut image = image(Kind::Juki);
    let secret = image.secrets.sign.as_mut().unwrap();
    (secret.tries, secret.limit) = (15, 15);
    fs::write(&path, image.to_text().unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut card = opened(&path);
    for left in (6..15).rev() {
        assert_eq!(send(&mut card, WRONG), format!("63C{left:X}"));
    }
    // The first of its two writes has room, and the second has not.
    assert_eq!(send(&mut card, RIGHT), "6581");
    assert_eq!(send(&mut card, QUERY), "63C5");
    assert_eq!(send(&mut card, RIGHT), "6581");
    assert_eq!(send(&mut card, "00B0810004"), "6982");
}

#[test]
fn nobody_comes_between_the_two_writes_of_a_right_secret() {
    let (_directory, path) = new_card();
    let is_locked = || match fs::File::open(&path).unwrap().try_lock() {
        Err(fs::TryLockError::WouldBlock) => true,
        other => other.map(|()| false).unwrap(),
    };
    let mut seen = Vec::new();
    let twice = |card: &mut Update| {
        for _ in 0..2 {
            card.save()?;
            seen.push(is_locked());
        }
        Ok::<_, ImageError>(())
    };
    Store::open(&path).unwrap().update(twice).unwrap();
    assert_eq!(seen, [true, true], "the file that a write has put in the old one's place is open to everybody");
    assert!(!is_locked());
}

/// Many threads with a card of their own on one file: each try is spent once, and none is lost.
#[test]
fn tries_are_spent_one_by_one() {
    let (_directory, path) = new_card();
    let mut store = Store::open(&path).unwrap();
    store
        .update(|card| {
            let secret = card.image.secrets.sign.as_mut().unwrap();
            (secret.tries, secret.limit) = (15, 15);
            card.save()
        })
        .unwrap();
    let mut answers: Vec<String> = std::thread::scope(|scope| {
        let guess = || {
            let mut card = opened(&path);
            (0..5).map(|_| send(&mut card, WRONG)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(guess)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    answers.sort();
    let expected: Vec<String> = (0..15).map(|tries| format!("63C{tries:X}")).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_store_that_fails_verifies_nothing() {
    let (directory, path) = new_card();
    let mut card = opened(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(send(&mut card, RIGHT), "6581");
    assert_eq!(send(&mut card, QUERY), "6581");
    assert_eq!(send(&mut card, "0024019B0458595A31"), "6982");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    card.power_on();
    assert_eq!(send(&mut card, JPKI), "", "a card without its file is mute");
}

/// The same test is both processes: the one that kills, and with [`WRITER`] set the one that is killed.
#[test]
fn a_process_killed_while_writing_leaves_a_whole_card() {
    if let Some(path) = std::env::var_os(WRITER) {
        println!("writing");
        write_until_killed(Path::new(&path));
    }
    let (directory, path) = new_card();
    for round in 0..10 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["store::a_process_killed_while_writing_leaves_a_whole_card", "--exact", "--nocapture"])
            .env(WRITER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("writing") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the writer ended early");
        }
        // Somewhere in the middle of a write, wherever that is: the moment is what varies, nothing waits for it.
        std::thread::sleep(Duration::from_micros(700 * round));
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(opened(&path).atr().len(), 9);
        assert!(Store::open(&path).unwrap().update(|card| card.save()).is_ok(), "the lock died with the process");
    }
    assert!(directory.path().join("card.toml").exists());
}

const WRITER: &str = "WRITE_UNTIL_KILLED";

fn write_until_killed(path: &Path) -> ! {
    let mut store = Store::open(path).unwrap();
    loop {
        for tries in 0..=5 {
            let refill = |card: &mut Update| {
                card.image.secrets.sign.as_mut().unwrap().tries = tries;
                card.save()
            };
            store.update(refill).unwrap();
        }
    }
}
