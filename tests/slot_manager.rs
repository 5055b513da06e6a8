//! Readers and cards that come and go, as a client of the built module sees them through a real pcscd: slots that keep their
//! ids, sessions that end with their card, and waits that end when they should and cost nothing meanwhile.

#![allow(clippy::print_stdout, reason = "what was measured is said")]

mod common;

use common::cards::{PIN, card, card_as};
use common::client::{AUTH, Client, SIGN};
use common::pcscd::{READERS, with_pcscd};
use common::rival::{Asked, Rival};
use common::{Scratch, built, tool};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::Kind;
use pcsc::{Disposition, ShareMode};
use std::fs;
use std::io::{BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Asserts that a session is over, for every kind of call.
fn assert_over(client: Client, session: CK_SESSION_HANDLE) {
    assert_eq!(client.state(session), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(client.login(session, PIN), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(client.sign(session, b"x"), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(client.logout(session), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(client.close(session), Err(CKR_SESSION_HANDLE_INVALID));
}

/// All events there are.
fn events(client: Client) -> Vec<CK_SLOT_ID> {
    std::iter::from_fn(|| match client.event() {
        Ok(slot) => Some(slot),
        Err(CKR_NO_EVENT) => None,
        Err(rv) => panic!("0x{rv:X}"),
    })
    .collect()
}

#[test]
fn a_pin_for_one_card_does_not_go_to_another_that_was_put_in_and_reset() {
    with_pcscd("a_pin_for_one_card_does_not_go_to_another_that_was_put_in_and_reset", |pcscd| {
        let scratch = Scratch::new();
        let inserted = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let others = Scratch::new();
        let other = card(&others, Kind::MyNumber);
        let client = Client::start();
        let session = client.open(AUTH).unwrap();
        client.label(AUTH).unwrap();
        pcscd.remove(inserted);
        let _other = pcscd.insert(&other);
        Rival::connect(0, ShareMode::Shared).leave(Disposition::ResetCard);
        let (login, asked) = Asked::of(&other).by(|| client.login(session, PIN));
        assert_eq!((login, asked), (Err(CKR_DEVICE_REMOVED), vec![]));
        assert_over(client, session);
    });
}

#[test]
fn an_insertion_fills_the_slots_and_a_removal_empties_them() {
    with_pcscd("an_insertion_fills_the_slots_and_a_removal_empties_them", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let client = Client::start();
        assert_eq!(client.slots(false), Ok(vec![0, 1, 2, 3]), "before any card");
        assert_eq!(client.slots(true), Ok(vec![]));
        assert_eq!(client.open(AUTH), Err(CKR_TOKEN_NOT_PRESENT));
        assert!(events(client).is_empty());
        let inserted = pcscd.insert(&file);
        assert_eq!(events(client), [AUTH, SIGN]);
        assert_eq!(client.slots(true), Ok(vec![AUTH, SIGN]));
        assert_eq!((client.reader(AUTH), client.reader(2)), (Ok(READERS[0].into()), Ok(READERS[1].into())));
        let session = client.logged_in(AUTH, PIN).unwrap();
        pcscd.remove(inserted);
        assert_eq!(client.is_present(AUTH), Ok(false));
        assert_eq!(events(client), [AUTH, SIGN]);
        assert_over(client, session);
        let _again = pcscd.insert(&file);
        assert_over(client, session);
        let again = client.open(AUTH).unwrap();
        assert_ne!(again, session, "a handle is never used twice");
        assert_eq!(client.state(again), Ok(CKS_RW_PUBLIC_SESSION), "a card put back in is not logged in");
        client.login(again, PIN).unwrap();
        assert_eq!(client.sign(again, b"x").unwrap().len(), 256);
        assert_eq!(client.slots(false), Ok(vec![0, 1, 2, 3]));
    });
}

#[test]
fn a_swap_between_two_calls_ends_the_first_cards_sessions() {
    with_pcscd("a_swap_between_two_calls_ends_the_first_cards_sessions", |pcscd| {
        let (first, second) = (Scratch::new(), Scratch::new());
        let inserted = pcscd.insert(&card(&first, Kind::MyNumber));
        let other = card_as(&second, Kind::MyNumber, |order| order.serial = Some("9900000000000042".into()));
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        let label = client.label(AUTH).unwrap();
        pcscd.remove(inserted);
        let _other = pcscd.insert(&other);
        assert_over(client, session);
        assert!(client.label(AUTH).unwrap().ends_with("0042") && !label.ends_with("0042"));
        assert_eq!(events(client), [AUTH, SIGN]);
        let session = client.open(AUTH).unwrap();
        assert_eq!(client.state(session), Ok(CKS_RW_PUBLIC_SESSION));
    });
}

#[test]
fn the_same_card_out_and_in_between_two_calls_is_a_new_one() {
    with_pcscd("the_same_card_out_and_in_between_two_calls_is_a_new_one", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let inserted = pcscd.insert(&file);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        let key = client.key(session).unwrap();
        pcscd.remove(inserted);
        let _again = pcscd.insert(&file);
        // No look of the module's lies between the two: the first call after them is the one for the card.
        let signed = client.sign_with(session, key, b"x");
        assert!(matches!(signed, Err(CKR_DEVICE_REMOVED | CKR_SESSION_HANDLE_INVALID)), "{signed:X?}");
        assert_over(client, session);
    });
}

#[test]
fn readers_that_go_leave_their_slots_and_new_ones_get_new_ids() {
    with_pcscd("readers_that_go_leave_their_slots_and_new_ones_get_new_ids", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let inserted = pcscd.insert(&file);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        pcscd.stop();
        drop(inserted);
        assert_eq!(client.slots(false), Ok(vec![0, 1, 2, 3]), "the list does not shrink without a service");
        assert_eq!(client.slots(true), Ok(vec![]));
        assert_over(client, session);

        pcscd.start_as("Other PCD");
        assert_eq!(client.slots(false), Ok(vec![0, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(client.reader(0), Ok("Virtual PCD 00 00".into()), "gone, and still the slot's reader");
        assert_eq!(client.reader(4), Ok("Other PCD 00 00".into()));
        let inserted = pcscd.insert(&file);
        assert_eq!(client.slots(true), Ok(vec![4, 5]));
        let session = client.logged_in(4, PIN).unwrap();
        assert_eq!(client.sign(session, b"x").unwrap().len(), 256);
        pcscd.stop();
        drop(inserted);

        pcscd.start();
        let _inserted = pcscd.insert(&file);
        assert_eq!(client.slots(true), Ok(vec![0, 1]), "a reader that comes back has its slots again");
        assert_over(client, session);
        let session = client.logged_in(AUTH, PIN).unwrap();
        assert_eq!(client.sign(session, b"x").unwrap().len(), 256);
    });
}

#[test]
fn a_service_that_starts_after_the_module_is_found() {
    with_pcscd("a_service_that_starts_after_the_module_is_found", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        pcscd.stop();
        let client = Client::start();
        assert_eq!(client.slots(false), Ok(vec![]));
        assert_eq!(client.event(), Err(CKR_NO_EVENT));
        pcscd.start();
        let _card = pcscd.insert(&file);
        assert_eq!(client.slots(true), Ok(vec![AUTH, SIGN]));
        let session = client.logged_in(AUTH, PIN).unwrap();
        assert_eq!(client.sign(session, b"x").unwrap().len(), 256);
    });
}

#[test]
fn a_card_that_lost_power_is_logged_out_or_verified_again_and_never_confused() {
    with_pcscd("a_card_that_lost_power_is_logged_out_or_verified_again_and_never_confused", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let client = Client::start();
        let auth = client.logged_in(AUTH, PIN).unwrap();
        let sign = client.logged_in(SIGN, common::cards::PASSWORD).unwrap();
        client.sign(auth, b"x").unwrap();
        cut_power();
        // The authentication token by its held PIN; the signature token must ask a person.
        assert_eq!(client.sign(auth, b"x").unwrap().len(), 256);
        let key = client.key(sign);
        assert!(key.is_err() || client.sign_with(sign, key.unwrap(), b"x") == Err(CKR_USER_NOT_LOGGED_IN));
        assert_eq!(client.state(sign), Ok(CKS_RW_PUBLIC_SESSION));
        client.login(sign, common::cards::PASSWORD).unwrap();
        assert_eq!(client.sign(sign, b"x").unwrap().len(), 256);
    });
}

/// What a resume from suspend looks like: the card is where it was and has forgotten everything.
fn cut_power() {
    let context = pcsc::Context::establish(pcsc::Scope::User).unwrap();
    let name = std::ffi::CString::new(READERS[0]).unwrap();
    let card = context.connect(&name, ShareMode::Shared, pcsc::Protocols::ANY).unwrap();
    card.disconnect(Disposition::UnpowerCard).map_err(|(_, error)| error).unwrap();
}

#[test]
fn a_blocked_wait_sees_a_card_within_a_second_of_pcscd() {
    with_pcscd("a_blocked_wait_sees_a_card_within_a_second_of_pcscd", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let client = Client::start();
        let (send, told) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(slot) = client.wait() {
                send.send((slot, Instant::now())).unwrap();
            }
        });
        assert!(told.recv_timeout(Duration::from_secs(1)).is_err(), "it waits");
        let told_both = |seen: Instant| {
            for expected in [AUTH, SIGN] {
                let (slot, at) = told.recv_timeout(Duration::from_secs(5)).expect("an event");
                assert_eq!(slot, expected);
                let late = at.saturating_duration_since(seen);
                println!("told {late:?} after pcscd");
                assert!(late < Duration::from_secs(1), "{late:?}");
            }
        };
        let inserted = pcscd.insert(&file);
        told_both(Instant::now());
        pcscd.remove(inserted);
        told_both(Instant::now());
        // A service that goes and comes, with a wait under way.
        pcscd.stop();
        pcscd.start();
        let _inserted = pcscd.insert(&file);
        told_both(Instant::now());
    });
}

#[test]
fn a_blocked_wait_is_told_of_a_card_in_a_reader_that_was_not_there() {
    with_pcscd("a_blocked_wait_is_told_of_a_card_in_a_reader_that_was_not_there", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        pcscd.stop();
        let client = Client::start();
        let (send, told) = mpsc::channel();
        thread::spawn(move || send.send(client.wait()).unwrap());
        pcscd.start();
        let _card = pcscd.insert(&file);
        let slot = told.recv_timeout(Duration::from_secs(5)).expect("an event").unwrap();
        assert_eq!(client.is_present(slot), Ok(true), "what a wait names can be asked about");
        assert!(client.slots(true).unwrap().contains(&slot));
    });
}

#[test]
fn c_finalize_wakes_every_waiter_at_once() {
    with_pcscd("c_finalize_wakes_every_waiter_at_once", |pcscd| {
        for service in ["with a service", "without one"] {
            for round in 0..10 {
                let client = Client::start();
                let waiters: Vec<_> = (0..8).map(|_| thread::spawn(move || (client.wait(), Instant::now()))).collect();
                // From the first moments of the waits to well inside them.
                thread::sleep(Duration::from_millis(round * 30));
                let start = Instant::now();
                client.finalize().unwrap();
                let finalized = start.elapsed();
                for waiter in waiters {
                    let (answer, at) = waiter.join().unwrap();
                    let late = at.saturating_duration_since(start);
                    assert_eq!(answer, Err(CKR_CRYPTOKI_NOT_INITIALIZED));
                    assert!(late < Duration::from_millis(250), "{service}, round {round}: woken after {late:?}");
                }
                println!("{service}, round {round}: C_Finalize took {finalized:?}");
                assert!(finalized < Duration::from_millis(400), "{service}, round {round}: {finalized:?}");
                assert_eq!(client.wait(), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
            }
            if service == "with a service" {
                pcscd.stop();
            }
        }
    });
}

#[test]
fn several_waiters_share_the_events_and_each_is_told_once() {
    with_pcscd("several_waiters_share_the_events_and_each_is_told_once", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let client = Client::start();
        let (send, told) = mpsc::channel();
        for _ in 0..3 {
            let send = send.clone();
            thread::spawn(move || {
                while let Ok(slot) = client.wait() {
                    send.send(slot).unwrap();
                }
            });
        }
        let mut inserted = None;
        for round in 0..4 {
            match inserted.take() {
                None => inserted = Some(pcscd.insert(&file)),
                Some(card) => pcscd.remove(card),
            }
            let mut slots = [(); 2].map(|()| told.recv_timeout(Duration::from_secs(3)).expect("an event"));
            slots.sort_unstable();
            assert_eq!(slots, [AUTH, SIGN], "round {round}");
        }
        assert!(told.recv_timeout(Duration::from_secs(1)).is_err(), "nothing is told twice");
    });
}

/// Waits for a while in which nothing happens, and reckons what an hour of it costs. The while is ten slices of a wait:
/// whatever a wait does from time to time, it does in each of them.
fn wait_for_nothing() {
    const WATCHED: Duration = Duration::from_secs(5);
    let client = Client::start();
    let waiter = thread::spawn(move || client.wait());
    // What a wait costs as it begins is not what its hours cost.
    thread::sleep(Duration::from_millis(500));
    let before = processor_time();
    thread::sleep(WATCHED);
    let spent = processor_time() - before;
    println!("{spent:?} of processor time in {WATCHED:?} of waiting, {:?} in an hour", spent * 720);
    client.finalize().unwrap();
    assert_eq!(waiter.join().unwrap(), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    // A hundredth of a processor would already be eight times what was measured.
    assert!(spent < WATCHED / 100, "{spent:?}");
}

#[test]
fn a_long_wait_over_empty_readers_costs_next_to_no_processor_time() {
    with_pcscd("a_long_wait_over_empty_readers_costs_next_to_no_processor_time", |_| wait_for_nothing());
}

#[test]
fn a_long_wait_over_a_card_costs_next_to_no_processor_time() {
    with_pcscd("a_long_wait_over_a_card_costs_next_to_no_processor_time", |pcscd| {
        let _card = pcscd.insert(&card(&Scratch::new(), Kind::MyNumber));
        wait_for_nothing();
    });
}

#[test]
fn a_long_wait_without_a_service_costs_next_to_no_processor_time() {
    with_pcscd("a_long_wait_without_a_service_costs_next_to_no_processor_time", |pcscd| {
        pcscd.stop();
        wait_for_nothing();
    });
}

/// What this process has used of processors so far: proc(5), `utime` and `stime`, in hundredths of a second.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn removal_in_the_middle_of_a_signature_ends_it_in_time_and_leaves_the_other_reader_alone() {
    with_pcscd("removal_in_the_middle_of_a_signature_ends_it_in_time_and_leaves_the_other_reader_alone", |pcscd| {
        let (slow, other) = (Scratch::new(), Scratch::new());
        let file = card_as(&slow, Kind::MyNumber, |order| order.switches.signature_ms = 3_000);
        let other = card_as(&other, Kind::MyNumber, |order| order.serial = Some("9900000000000042".into()));
        let inserted = pcscd.insert(&file);
        let _other = pcscd.insert_into(1, &other);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        let key = client.key(session).unwrap();
        let undisturbed = client.logged_in(2, PIN).unwrap();
        client.sign(undisturbed, b"x").unwrap();
        let signing = thread::spawn(move || (client.sign_with(session, key, b"x"), Instant::now()));
        thread::sleep(Duration::from_millis(500));
        let others = thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(3);
            let mut longest = Duration::ZERO;
            while Instant::now() < deadline {
                let start = Instant::now();
                assert_eq!(client.sign(undisturbed, b"x").unwrap().len(), 256);
                longest = longest.max(start.elapsed());
            }
            longest
        });
        let pulled = Instant::now();
        pcscd.remove(inserted);
        let (signed, at) = signing.join().unwrap();
        assert_eq!(signed, Err(CKR_DEVICE_REMOVED));
        let late = at.saturating_duration_since(pulled);
        println!("CKR_DEVICE_REMOVED {late:?} after the card was pulled");
        assert!(late < Duration::from_secs(2), "{late:?}");
        assert_over(client, session);
        let longest = others.join().unwrap();
        println!("the other reader's longest signature meanwhile: {longest:?}");
        assert!(longest < Duration::from_secs(1), "the other reader waited: {longest:?}");
        let _again = pcscd.insert(&file);
        let again = client.logged_in(AUTH, PIN).unwrap();
        assert_eq!(client.sign(again, b"x").unwrap().len(), 256);
        assert_over(client, session);
    });
}

#[test]
fn pkcs11_tools_hotplug_test_sees_every_change() {
    with_pcscd("pkcs11_tools_hotplug_test_sees_every_change", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let mut tool = HotplugTest::start();
        tool.said("Testing card detection using C_GetSlotList()");
        tool.press("");
        tool.said("(empty)");
        let inserted = pcscd.insert(&file);
        tool.press("");
        tool.said("PRACTICE Auth (4-digit PIN)");
        tool.said("PRACTICE Sign (6-16 chars)");
        tool.press("x");
        tool.said("Testing card detection using C_WaitForSlotEvent()");
        for slot in ["0x0", "0x1"] {
            tool.press("");
            tool.said(&format!("event on slot {slot}"));
        }
        tool.press("");
        tool.said("Calling C_WaitForSlotEvent");
        pcscd.remove(inserted);
        tool.said("event on slot 0x0");
        tool.said("(empty)");
        tool.press("");
        tool.said("event on slot 0x1");
        tool.press("x");
        // What it says then does not matter: it goes on to open a session, and there is no card.
        tool.program.wait().unwrap();
    });
}

/// `pkcs11-tool --test-hotplug`, which goes on at each return, with what it says.
struct HotplugTest {
    program: Child,
    said: mpsc::Receiver<u8>,
}

impl HotplugTest {
    fn start() -> HotplugTest {
        // Its output is no terminal, and it flushes only its questions.
        let mut program = Command::new(tool("stdbuf", "coreutils"))
            .arg("-o0")
            .arg(tool("pkcs11-tool", "opensc"))
            .arg("--module")
            .arg(built())
            .arg("--test-hotplug")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, said) = mpsc::channel();
        let stdout = program.stdout.take().unwrap();
        thread::spawn(move || {
            BufReader::new(stdout).bytes().map_while(Result::ok).try_for_each(|byte| send.send(byte))
        });
        HotplugTest { program, said }
    }

    fn press(&mut self, line: &str) {
        writeln!(self.program.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits until it has said that.
    fn said(&mut self, text: &str) {
        let mut heard = Vec::new();
        while !heard.ends_with(text.as_bytes()) {
            match self.said.recv_timeout(Duration::from_secs(5)) {
                Ok(byte) => heard.push(byte),
                Err(_) => panic!("it did not say {text:?}, but {:?}", String::from_utf8_lossy(&heard)),
            }
        }
    }
}
