//! The in-process readers: what PC/SC would do, and the log tests count by.

use crate::fixture::{bytes, card, directory, hex, image};
use jpki_pkcs11::apdu::Sw;
use jpki_pkcs11::emulator::foreign::{ForeignCard, ForeignKind};
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::local::{Incident, PracticeReaders};
use jpki_pkcs11::emulator::{Device, PracticeCard};
use jpki_pkcs11::transport::{Continuity, Disposition, Error, Link, Patience, Readers, Transaction};
use std::time::{Duration, Instant};

const JPKI: &str = "00A4040C0AD392F000260100000001";
const QUERY: &str = "0020009B";
const PASSWORD: &str = "0020009B06414243313233";
const READER: &str = "Practice Reader 00 00";

fn readers_with(device: Box<dyn Device>) -> PracticeReaders {
    let readers = PracticeReaders::with_lock_timeout(1, Duration::from_millis(200));
    readers.insert(READER, device);
    readers
}

fn juki() -> PracticeReaders {
    readers_with(Box::new(card(image(Kind::Juki))))
}

fn ask(link: &mut (dyn Link + 'static), command: &str) -> Result<String, Error> {
    Transaction::begin(link)?.transmit(&bytes(command)).map(|answer| hex(&answer))
}

#[test]
fn a_reader_is_seen_with_its_card_and_without() {
    let readers = PracticeReaders::new(2);
    let names: Vec<String> = readers.look().unwrap().into_iter().map(|reader| reader.name).collect();
    assert_eq!(names, ["Practice Reader 00 00", "Practice Reader 01 00"]);
    assert!(matches!(readers.connect(READER), Err(Error::NoCard)));
    assert!(matches!(readers.connect("Some Reader"), Err(Error::NoReader)));
    let before = readers.look().unwrap()[0].clone();
    assert!(!before.present);
    readers.insert(READER, Box::new(card(image(Kind::Juki))));
    let inserted = readers.look().unwrap()[0].clone();
    assert!(inserted.present && !inserted.mute && inserted.event_count != before.event_count);
    assert!(readers.remove(READER).is_some());
    let removed = readers.look().unwrap()[0].clone();
    assert!(!removed.present && removed.event_count != inserted.event_count);
    readers.unplug("Practice Reader 01 00");
    assert_eq!(readers.look().unwrap().len(), 1);
}

#[test]
fn a_mute_card_is_present_and_does_not_connect() {
    let readers = readers_with(Box::new(ForeignCard::new(ForeignKind::Mute)));
    let state = readers.look().unwrap()[0].clone();
    assert!(state.present && state.mute);
    assert!(matches!(readers.connect(READER), Err(Error::Mute)));
}

#[test]
fn links_share_the_card_and_what_it_has_verified() {
    let readers = juki();
    let (mut one, mut other) = (readers.connect(READER).unwrap(), readers.connect(READER).unwrap());
    assert_eq!(ask(&mut *one, JPKI).unwrap(), "9000");
    assert_eq!(ask(&mut *one, PASSWORD).unwrap(), "9000");
    assert_eq!(ask(&mut *other, "00A4020C02001A").unwrap(), "9000");
    assert!(ask(&mut *other, "802A00000201020000").unwrap().ends_with("6700"));
    assert!(ask(&mut *other, "802A000002010200").unwrap().ends_with("9000"));
}

#[test]
fn a_transaction_keeps_others_out_for_so_long() {
    let readers = juki();
    let (mut one, mut other) = (readers.connect(READER).unwrap(), readers.connect(READER).unwrap());
    let held = Transaction::begin(&mut *one).unwrap();
    let before = Instant::now();
    assert_eq!(other.begin(Patience::Some), Err(Error::Busy));
    assert!(before.elapsed() >= Duration::from_millis(200));
    assert_eq!(other.transmit(&bytes(JPKI)), Err(Error::Busy), "not without a transaction either");
    drop(held);
    assert_eq!(other.begin(Patience::Some), Ok(Continuity::Lost));
}

#[test]
fn who_waits_gets_the_card_when_it_is_free() {
    let readers = PracticeReaders::new(1);
    readers.insert(READER, Box::new(card(image(Kind::Juki))));
    let (mut one, mut other) = (readers.connect(READER).unwrap(), readers.connect(READER).unwrap());
    let held = Transaction::begin(&mut *one).unwrap();
    let waiting = std::thread::spawn(move || ask(&mut *other, JPKI));
    drop(held);
    assert_eq!(waiting.join().unwrap().unwrap(), "9000");
}

#[test]
fn a_link_that_is_dropped_gives_up_its_transaction() {
    let readers = juki();
    let (mut one, mut other) = (readers.connect(READER).unwrap(), readers.connect(READER).unwrap());
    one.begin(Patience::Some).unwrap();
    drop(one);
    assert_eq!(other.begin(Patience::Some), Ok(Continuity::Lost));
}

#[test]
fn a_reset_shows_at_the_next_transaction() {
    let readers = juki();
    let mut link = readers.connect(READER).unwrap();
    assert_eq!(link.begin(Patience::Some), Ok(Continuity::Lost), "the first time nothing is known");
    link.end();
    assert_eq!(link.begin(Patience::Some), Ok(Continuity::Kept));
    link.end();
    readers.reset(READER);
    assert_eq!(link.begin(Patience::Some), Ok(Continuity::Lost));
    readers.reset(READER);
    assert_eq!(link.transmit(&bytes(JPKI)), Err(Error::Reset));
    assert_eq!(link.begin(Patience::Some), Ok(Continuity::Lost));
    assert_eq!(hex(&link.transmit(&bytes(JPKI)).unwrap()), "9000");
}

#[test]
fn a_removed_card_is_removed_for_its_links_even_if_it_comes_back() {
    let readers = juki();
    let mut link = readers.connect(READER).unwrap();
    link.begin(Patience::Some).unwrap();
    let device = readers.remove(READER).unwrap();
    assert_eq!(link.transmit(&bytes(JPKI)), Err(Error::Removed));
    readers.insert(READER, device);
    assert_eq!(link.begin(Patience::Some), Err(Error::Removed));
    let mut new = readers.connect(READER).unwrap();
    assert_eq!(ask(&mut *new, JPKI).unwrap(), "9000");
}

#[test]
fn power_goes_only_with_the_last_link() {
    let readers = juki();
    let (mut one, other) = (readers.connect(READER).unwrap(), readers.connect(READER).unwrap());
    for command in [JPKI, PASSWORD, "00A4020C02001A"] {
        assert_eq!(ask(&mut *one, command).unwrap(), "9000");
    }
    other.close(Disposition::Unpower);
    assert!(ask(&mut *one, "802A000002010200").unwrap().ends_with("9000"));
    one.close(Disposition::Leave);
    let mut one = readers.connect(READER).unwrap();
    assert!(ask(&mut *one, "802A000002010200").unwrap().ends_with("9000"), "left as it was");
    one.close(Disposition::Unpower);
    let mut one = readers.connect(READER).unwrap();
    assert_eq!(ask(&mut *one, "802A000002010200").unwrap(), "6986");
}

#[test]
fn commands_are_counted_and_logged_without_secrets() {
    let readers = juki();
    let mut link = readers.connect(READER).unwrap();
    for command in [JPKI, QUERY, "0020009B0658595A393938", QUERY, PASSWORD, "0024019B06414243313233"] {
        ask(&mut *link, command).unwrap();
    }
    assert_eq!((readers.apdus(), readers.verifies(), readers.queries()), (6, 2, 2));
    readers.rival(READER, &bytes(PASSWORD));
    readers.rival(READER, &bytes(QUERY));
    assert_eq!((readers.apdus(), readers.verifies(), readers.queries()), (6, 2, 2), "a rival's are not ours");
    let log = readers.log();
    assert_eq!(log.len(), 8);
    assert!(log[7].rival && log[6].rival && !log[5].rival);
    assert_eq!(log[2].sw, Some(Sw(0x63C4)));
    for secret in ["414243313233", "58595A393938", "ABC123"] {
        assert!(!format!("{log:?}").contains(secret), "{log:?}");
    }
    readers.forget();
    assert_eq!((readers.apdus(), readers.verifies(), readers.queries(), readers.log().len()), (0, 0, 0, 0));
}

#[test]
fn a_rival_may_come_between_two_commands() {
    let readers = juki();
    let mut link = readers.connect(READER).unwrap();
    ask(&mut *link, JPKI).unwrap();
    readers.rival(READER, &bytes("00A4040C07A0000001510000")).unwrap();
    assert_eq!(ask(&mut *link, QUERY).unwrap(), "6A82");
}

#[test]
fn incidents_befall_a_command() {
    let happening = |incident: Incident| {
        let readers = juki();
        let mut link = readers.connect(READER).unwrap();
        ask(&mut *link, JPKI).unwrap();
        readers.on_command(READER, move |command| if command.ins == 0x20 { incident.clone() } else { Incident::None });
        let answer = ask(&mut *link, "0020009B06303030303030");
        (readers, answer)
    };
    let tries = |readers: &PracticeReaders| {
        readers.rival(READER, &bytes(JPKI));
        readers.rival(READER, &bytes(QUERY)).map(|answer| hex(&answer))
    };
    let (readers, answer) = happening(Incident::None);
    assert_eq!((answer, tries(&readers)), (Ok("63C4".into()), Some("63C4".into())));
    let (readers, answer) = happening(Incident::Silence);
    assert_eq!((answer, tries(&readers)), (Err(Error::Mute), Some("63C5".into())));
    let (readers, answer) = happening(Incident::Answer(vec![0x6F, 0x00]));
    assert_eq!((answer, tries(&readers)), (Ok("6F00".into()), Some("63C5".into())));
    let (readers, answer) = happening(Incident::Reset);
    assert_eq!((answer, tries(&readers)), (Err(Error::Reset), Some("63C5".into())));
    let (readers, answer) = happening(Incident::RemoveBefore);
    assert_eq!((answer, readers.look().unwrap()[0].present), (Err(Error::Removed), false));
    let (readers, answer) = happening(Incident::Rival(vec![bytes("00A4040C07A0000001510000")]));
    assert_eq!((answer, tries(&readers)), (Ok("6A82".into()), Some("63C5".into())));
}

#[test]
fn a_card_taken_out_while_it_works_has_spent_the_try() {
    let directory = directory();
    let path = directory.path().join("card.toml");
    let readers = readers_with(Box::new(PracticeCard::create(&path, &image(Kind::Juki)).unwrap()));
    let mut link = readers.connect(READER).unwrap();
    ask(&mut *link, JPKI).unwrap();
    readers.on_command(READER, |_| Incident::RemoveAfter);
    assert_eq!(ask(&mut *link, "0020009B06303030303030"), Err(Error::Removed));
    assert_eq!(readers.log().last().unwrap().sw, None);
    let mut card = PracticeCard::open(&path).unwrap();
    card.power_on();
    assert_eq!(hex(&card.transmit(&bytes(JPKI))), "9000");
    assert_eq!(hex(&card.transmit(&bytes(QUERY))), "63C4");
}

#[test]
fn a_wait_ends_with_a_change_a_cancel_or_its_time() {
    let readers = PracticeReaders::new(1);
    let waiter = readers.waiter().unwrap();
    let known = readers.look().unwrap();
    waiter.cancel();
    let long = Duration::from_secs(60);
    assert_eq!(waiter.wait(&known, long), Err(Error::Cancelled), "a cancel may come before the wait");
    assert_eq!(waiter.wait(&known, Duration::from_millis(20)), Ok(()));
    let before = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.wait(&known, long));
        readers.insert(READER, Box::new(ForeignCard::new(ForeignKind::Bank)));
        assert_eq!(waiting.join().unwrap(), Ok(()));
    });
    let known = readers.look().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.wait(&known, long));
        waiter.cancel();
        assert_eq!(waiting.join().unwrap(), Err(Error::Cancelled));
    });
    assert!(before.elapsed() < long);
}

#[test]
fn files_become_readers_and_a_bad_one_says_why() {
    let directory = directory();
    let good = directory.path().join("card.toml");
    PracticeCard::create(&good, &image(Kind::Juki)).unwrap();
    let readers = PracticeReaders::from_files(&[good, directory.path().join("none.toml")], Duration::from_secs(1));
    assert_eq!(ask(&mut *readers.connect(READER).unwrap(), JPKI).unwrap(), "9000");
    let Err(Error::Reader(reason)) = readers.connect("Practice Reader 01 00") else { panic!("it connected") };
    assert!(reason.contains("none.toml"), "{reason}");
}
