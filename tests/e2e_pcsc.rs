//! The PC/SC layer against a real pcscd with virtual readers: what it waits for, what it never waits for, and what it
//! leaves behind.

mod common;

use common::cards::card;
use common::pcscd::{READER, READERS, Service, with_pcscd};
use common::rival::Rival;
use common::{Scratch, eventually, run};
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::transport::pcsc::PcscReaders;
use jpki_pkcs11::transport::{Continuity, Disposition, Error, Link, Patience, Readers, Transaction};
use std::env;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(400);

fn readers() -> PcscReaders {
    PcscReaders::new(Duration::from_millis(600))
}

/// How often the scripted card was powered up and reset.
fn power_ups_and_resets(link: &mut (dyn Link + 'static)) -> (u8, u8) {
    let answer = Transaction::begin(link).unwrap().transmit(&[0, 0xCA, 0, 0]).unwrap();
    let [power_ups, resets, 0x90, 0x00] = answer[..] else { panic!("{answer:02X?}") };
    (power_ups, resets)
}

fn elapsed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

#[test]
fn readers_and_their_cards_are_seen() {
    with_pcscd("readers_and_their_cards_are_seen", |pcscd| {
        let readers = readers();
        let empty = readers.look().unwrap();
        assert_eq!(empty.iter().map(|state| state.name.as_str()).collect::<Vec<_>>(), READERS);
        assert!(empty.iter().all(|state| !state.present && !state.mute));
        let card = pcscd.insert_scripted();
        let inserted = readers.look().unwrap();
        assert!(inserted[0].present && !inserted[0].mute && !inserted[1].present);
        assert_ne!(inserted[0].event_count, empty[0].event_count);
        pcscd.remove(card);
        let _another = pcscd.insert_scripted();
        let swapped = readers.look().unwrap();
        assert_ne!(swapped[0].event_count, inserted[0].event_count, "a swap between two looks is seen");
        assert_eq!(readers.connect("No such reader").err(), Some(Error::NoReader));
        assert_eq!(readers.connect(READERS[1]).err(), Some(Error::NoCard));
    });
}

#[test]
fn an_answer_of_any_length_comes_whole() {
    with_pcscd("an_answer_of_any_length_comes_whole", |pcscd| {
        let _card = pcscd.insert_scripted();
        let mut link = readers().connect(READER).unwrap();
        let mut alone = Transaction::begin(link.as_mut()).unwrap();
        // 65 535 bytes is all that a frame of vpcd holds.
        for length in [0u16, 1, 254, 256, 257, 1583, 65_533] {
            let [high, low] = length.to_be_bytes();
            let answer = alone.transmit(&[0, 0xB0, high, low, 0, 0, 0]).unwrap();
            assert_eq!(answer.len(), usize::from(length) + 2);
            assert!(answer.ends_with(&[0x90, 0x00]));
        }
    });
}

#[test]
fn an_end_leaves_the_card_as_it_is() {
    with_pcscd("an_end_leaves_the_card_as_it_is", |pcscd| {
        let _card = pcscd.insert_scripted();
        let readers = readers();
        // Keeps pcscd from cutting an unused card's power, which is its own affair and not ours to test.
        let mut witness = readers.connect(READER).unwrap();
        let before = power_ups_and_resets(witness.as_mut());
        drop(readers.connect(READER).unwrap());
        readers.connect(READER).unwrap().close(Disposition::Leave);
        let mut in_transaction = readers.connect(READER).unwrap();
        in_transaction.begin(Patience::Some).unwrap();
        drop(in_transaction);
        assert_eq!(power_ups_and_resets(witness.as_mut()), before);
    });
}

#[test]
fn unpower_cuts_the_power() {
    with_pcscd("unpower_cuts_the_power", |pcscd| {
        let _card = pcscd.insert_scripted();
        let readers = readers();
        let mut link = readers.connect(READER).unwrap();
        let (power_ups, _) = power_ups_and_resets(link.as_mut());
        link.close(Disposition::Unpower);
        let mut link = readers.connect(READER).unwrap();
        assert!(power_ups_and_resets(link.as_mut()).0 > power_ups);
    });
}

#[test]
fn unpower_leaves_a_card_that_others_use_as_it_is() {
    with_pcscd("unpower_leaves_a_card_that_others_use_as_it_is", |pcscd| {
        let _card = pcscd.insert_scripted();
        let mut other = readers().connect(READER).unwrap();
        let before = power_ups_and_resets(other.as_mut());
        readers().connect(READER).unwrap().close(Disposition::Unpower);
        assert_eq!(power_ups_and_resets(other.as_mut()), before);
    });
}

#[test]
fn a_reset_by_another_program_is_told_once() {
    with_pcscd("a_reset_by_another_program_is_told_once", |pcscd| {
        let _card = pcscd.insert_scripted();
        let mut link = readers().connect(READER).unwrap();
        assert_eq!(Transaction::begin(link.as_mut()).unwrap().continuity(), Continuity::Lost, "the first");
        assert_eq!(Transaction::begin(link.as_mut()).unwrap().continuity(), Continuity::Kept);
        let (power_ups, resets) = power_ups_and_resets(link.as_mut());
        let context = pcsc::Context::establish(pcsc::Scope::User).unwrap();
        let other = context.connect(c"Virtual PCD 00 00", pcsc::ShareMode::Shared, pcsc::Protocols::ANY).unwrap();
        other.disconnect(pcsc::Disposition::ResetCard).map_err(|(_, error)| error).unwrap();
        assert_eq!(Transaction::begin(link.as_mut()).unwrap().continuity(), Continuity::Lost);
        assert_eq!(Transaction::begin(link.as_mut()).unwrap().continuity(), Continuity::Kept);
        assert_ne!(power_ups_and_resets(link.as_mut()), (power_ups, resets), "the card was reset indeed");
    });
}

#[test]
fn a_card_that_left_is_removed_for_its_link_for_ever() {
    with_pcscd("a_card_that_left_is_removed_for_its_link_for_ever", |pcscd| {
        let readers = readers();
        let card = pcscd.insert_scripted();
        let mut link = readers.connect(READER).unwrap();
        drop(Transaction::begin(link.as_mut()).unwrap());
        pcscd.remove(card);
        assert_eq!(link.begin(Patience::Some), Err(Error::Removed));
        let _again = pcscd.insert_scripted();
        assert_eq!(link.begin(Patience::Some), Err(Error::Removed), "another card in the same reader");
        drop(link);
        assert!(readers.connect(READER).unwrap().begin(Patience::Some).is_ok());
    });
}

#[test]
fn a_card_swapped_for_another_before_a_reset_is_removed_for_its_link() {
    with_pcscd("a_card_swapped_for_another_before_a_reset_is_removed_for_its_link", |pcscd| {
        let card = pcscd.insert_scripted();
        let mut link = readers().connect(READER).unwrap();
        drop(Transaction::begin(link.as_mut()).unwrap());
        pcscd.remove(card);
        let _another = pcscd.insert_scripted();
        Rival::connect(0, pcsc::ShareMode::Shared).leave(pcsc::Disposition::ResetCard);
        assert_eq!(link.begin(Patience::Some), Err(Error::Removed));
        assert_eq!(link.begin(Patience::Some), Err(Error::Removed), "and for ever");
    });
}

#[test]
fn a_card_pulled_out_under_a_command_is_removed() {
    with_pcscd("a_card_pulled_out_under_a_command_is_removed", |pcscd| {
        let card = pcscd.insert_scripted();
        let mut link = readers().connect(READER).unwrap();
        let mut alone = Transaction::begin(link.as_mut()).unwrap();
        let puller = thread::spawn(move || {
            thread::sleep(SOON);
            drop(card);
        });
        assert_eq!(alone.transmit(&[0, 0x99, 50, 0]), Err(Error::Removed));
        puller.join().unwrap();
    });
}

#[test]
fn another_programs_transaction_is_waited_for_and_no_longer_than_told() {
    with_pcscd("another_programs_transaction_is_waited_for_and_no_longer_than_told", |pcscd| {
        let _card = pcscd.insert_scripted();
        let mut link = readers().connect(READER).unwrap();
        let mut patient = PcscReaders::new(Duration::from_secs(10)).connect(READER).unwrap();
        let mut other = readers().connect(READER).unwrap();
        other.begin(Patience::Some).unwrap();
        let (begun, time) = elapsed(|| link.begin(Patience::Some));
        assert_eq!(begun, Err(Error::Busy));
        assert!((600..1500).contains(&time.as_millis()), "{time:?}");
        let ender = thread::spawn(move || {
            thread::sleep(SOON);
            other.end();
            other
        });
        let (begun, time) = elapsed(|| patient.begin(Patience::Some));
        assert!(begun.is_ok() && time >= SOON - Duration::from_millis(50) && time < SOON * 2, "{begun:?} {time:?}");
        ender.join().unwrap();
    });
}

#[test]
fn an_exclusive_connection_is_waited_for_and_no_longer_than_told() {
    with_pcscd("an_exclusive_connection_is_waited_for_and_no_longer_than_told", |pcscd| {
        let _card = pcscd.insert_scripted();
        let context = pcsc::Context::establish(pcsc::Scope::User).unwrap();
        let exclusive =
            context.connect(c"Virtual PCD 00 00", pcsc::ShareMode::Exclusive, pcsc::Protocols::ANY).unwrap();
        let readers = readers();
        let (refused, time) = elapsed(|| readers.connect(READER).err());
        assert_eq!(refused, Some(Error::Busy));
        assert!((600..1500).contains(&time.as_millis()), "{time:?}");
        let (refused, time) = elapsed(|| readers.connect(READER).err());
        assert_eq!(refused, Some(Error::Busy));
        assert!(time < Duration::from_millis(300), "waited for once: {time:?}");
        exclusive.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).unwrap();
        assert!(readers.connect(READER).is_ok());
    });
}

#[test]
fn a_look_never_waits_for_a_card() {
    with_pcscd("a_look_never_waits_for_a_card", |pcscd| {
        let card = pcscd.insert_scripted();
        let readers = readers();
        let mut link = readers.connect(READER).unwrap();
        readers.look().unwrap();
        let busy = thread::spawn(move || {
            link.begin(Patience::Some).unwrap();
            link.transmit(&[0, 0x99, 20, 0])
        });
        let (_, time) = elapsed(|| {
            while !busy.is_finished() {
                let (states, time) = elapsed(|| readers.look().unwrap());
                assert!(states[0].present && time < Duration::from_millis(100), "{time:?}");
                thread::sleep(Duration::from_millis(50));
            }
        });
        assert!(time > Duration::from_secs(1), "the card was busy meanwhile");
        assert!(busy.join().unwrap().is_ok());
        card.signal("-STOP");
        let (_, time) = elapsed(|| readers.look().unwrap());
        assert!(time < Duration::from_millis(100), "a card that hangs: {time:?}");
    });
}

#[test]
fn a_mute_card_is_present_and_asked_at_most_once_in_two_seconds() {
    with_pcscd("a_mute_card_is_present_and_asked_at_most_once_in_two_seconds", |pcscd| {
        let _card = pcscd.insert_mute();
        let readers = readers();
        let state = eventually("pcscd has tried to power it up", || {
            readers.look().unwrap().into_iter().next().filter(|state| state.mute)
        });
        assert!(state.present);
        assert_eq!(readers.connect(READER).err(), Some(Error::Mute));
        pcscd.stop();
        assert_eq!(readers.clone().connect(READER).err(), Some(Error::Mute), "without asking anybody");
        thread::sleep(Duration::from_secs(2));
        assert_eq!(readers.connect(READER).err(), Some(Error::NoService), "asked again");
    });
}

#[test]
fn no_service_is_no_reader_and_a_new_one_is_found() {
    with_pcscd("no_service_is_no_reader_and_a_new_one_is_found", |pcscd| {
        let card = pcscd.insert_scripted();
        let readers = readers();
        assert_eq!(readers.look().unwrap().len(), 2);
        let mut link = readers.connect(READER).unwrap();
        link.begin(Patience::Some).unwrap();
        pcscd.stop();
        drop(card);
        assert_eq!(link.transmit(&[0, 0xCA, 0, 0]), Err(Error::NoService));
        link.end();
        assert_eq!(link.begin(Patience::Some), Err(Error::NoService));
        assert_eq!(readers.look(), Ok(Vec::new()));
        assert_eq!(readers.connect(READER).err(), Some(Error::NoService));
        pcscd.start();
        let _card = pcscd.insert_scripted();
        assert!(readers.look().unwrap()[0].present);
        assert!(readers.connect(READER).unwrap().begin(Patience::Some).is_ok());
        drop(link);
    });
}

#[test]
fn a_wait_ends_with_a_change_a_timeout_or_a_cancel() {
    with_pcscd("a_wait_ends_with_a_change_a_timeout_or_a_cancel", |pcscd| {
        let readers = readers();
        let known = readers.look().unwrap();
        let waiter = readers.waiter().unwrap();
        let (ended, time) = elapsed(|| waiter.wait(&known, Duration::from_millis(700)));
        assert!(ended.is_ok() && (700..1200).contains(&time.as_millis()), "timeout: {ended:?} {time:?}");

        waiter.cancel();
        assert_eq!(waiter.wait(&known, Duration::MAX), Err(Error::Cancelled), "a cancel that came first");

        let (send, ended) = mpsc::channel();
        thread::spawn({
            let (waiter, known) = (waiter.clone(), known.clone());
            move || send.send(waiter.wait(&known, Duration::MAX)).unwrap()
        });
        assert!(ended.recv_timeout(SOON).is_err(), "it waits");
        let (cancelled, time) = elapsed(|| {
            waiter.cancel();
            ended.recv_timeout(Duration::from_secs(5)).unwrap()
        });
        assert_eq!(cancelled, Err(Error::Cancelled));
        assert!(time < Duration::from_millis(600), "{time:?}");

        let (send, ended) = mpsc::channel();
        thread::spawn({
            let waiter = waiter.clone();
            move || send.send(waiter.wait(&known, Duration::MAX)).unwrap()
        });
        let _card = pcscd.insert_scripted();
        assert_eq!(ended.recv_timeout(Duration::from_secs(2)), Ok(Ok(())), "a card came");
    });
}

#[test]
fn a_wait_outlives_the_service() {
    with_pcscd("a_wait_outlives_the_service", |pcscd| {
        let readers = readers();
        pcscd.stop();
        let waiter = readers.waiter().unwrap();
        let (send, ended) = mpsc::channel();
        thread::spawn(move || send.send(waiter.wait(&[], Duration::MAX)).unwrap());
        assert!(ended.recv_timeout(SOON).is_err(), "no service is no reader, and no change");
        pcscd.start();
        assert_eq!(ended.recv_timeout(Duration::from_secs(2)), Ok(Ok(())));
    });
}

#[test]
fn two_cards_are_used_at_once() {
    with_pcscd("two_cards_are_used_at_once", |pcscd| {
        let _card = pcscd.insert_scripted();
        let readers = readers();
        let mut held = readers.connect(READER).unwrap();
        held.begin(Patience::Some).unwrap();
        let busy = thread::spawn(move || held.transmit(&[0, 0x99, 20, 0]));
        let (refused, time) = elapsed(|| readers.connect(READERS[1]).err());
        assert_eq!(refused, Some(Error::NoCard));
        assert!(time < Duration::from_millis(200) && !busy.is_finished(), "behind another reader: {time:?}");
        assert!(busy.join().unwrap().is_ok());
    });
}

#[test]
fn programs_under_test_see_nothing_of_the_environment_of_whoever_runs_the_tests() {
    const NAME: &str = "programs_under_test_see_nothing_of_the_environment_of_whoever_runs_the_tests";
    const THEIRS: [(&str, &str); 4] = [
        ("GIT_DIR", "/nonexistent"),
        ("https_proxy", "http://a.invalid"),
        ("DESTDIR", "/theirs"),
        ("LANG", "ja_JP.UTF-8"),
    ];
    if THEIRS.iter().all(|(name, value)| env::var_os(name).is_some_and(|found| found == *value)) {
        print!("{}", run(&mut Service::start().client("env")).ok());
        return;
    }
    let own = env::current_exe().unwrap();
    let seen = run(Command::new(own).args(["--exact", NAME, "--nocapture"]).envs(THEIRS)).ok();
    assert!(seen.contains("PCSCLITE_CSOCK_NAME=") && seen.contains("PATH="), "{seen}");
    for (name, _) in THEIRS {
        assert!(!seen.lines().any(|line| line.starts_with(&format!("{name}="))), "{seen}");
    }
}

#[test]
fn a_practice_card_inserted_by_the_program_is_out_when_that_is_told_to_end() {
    with_pcscd("a_practice_card_inserted_by_the_program_is_out_when_that_is_told_to_end", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        for signal in ["-INT", "-TERM"] {
            let ended = pcscd.signalled_out(pcscd.insert(&file), signal);
            assert_eq!(ended.code(), Some(0), "{signal}: {ended}");
        }
        // Nothing is left of it in the way of the next.
        pcscd.remove(pcscd.insert(&file));
    });
}
