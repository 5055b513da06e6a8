//! The module among other processes and threads: forks, ends in the middle of calls, and programs that use the same card,
//! through a real pcscd.

#![allow(clippy::print_stdout, reason = "what was measured is said")]

mod common;

use common::cards::{PASSWORD, PIN, card, card_as};
use common::client::{self, Client};
use common::openssl::{Padding, PublicKey};
use common::pcscd::{Inserted, Pcscd, with_pcscd};
use common::rival::{self, Asked, ISD, JPKI, Rival};
use common::{Scratch, eventually, jpki, run};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::Kind;
use pcsc::{Disposition, ShareMode};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const AUTH: CK_SLOT_ID = 0;
const SIGN: CK_SLOT_ID = 1;
const OTHER_AUTH: CK_SLOT_ID = 2;

/// A card that a reset would log out, so that one would be noticed: the module here holds no PIN to log in again with.
fn insert_sensitive(pcscd: &Pcscd, scratch: &Scratch, signature_ms: u32) -> Inserted {
    pcscd.configure_module("hold_pin = false\n");
    let file: PathBuf = card_as(scratch, Kind::MyNumber, |order| {
        order.switches.warm_reset_clears = true;
        order.switches.signature_ms = signature_ms;
    });
    pcscd.insert(&file)
}

/// Forks in this situation, once for each way a child may begin; see `clients/fork.c`.
fn forks(name: &str, when: &str, signature_ms: u32, children: usize) {
    with_pcscd(name, |pcscd| {
        let scratch = Scratch::new();
        let _card = insert_sensitive(pcscd, &scratch, signature_ms);
        for child in ["exit", "finalize-first", "initialize"] {
            let outcome = run(client::program(&scratch, "fork.c").args([PIN, when, child, &children.to_string()])).ok();
            assert_eq!(outcome, "done\n", "{when}, {child}");
        }
    });
}

#[test]
fn a_child_forked_before_c_initialize_is_a_process_like_any_other() {
    forks("a_child_forked_before_c_initialize_is_a_process_like_any_other", "before", 0, 3);
}

#[test]
fn a_child_begins_anew_and_the_parent_stays_logged_in() {
    forks("a_child_begins_anew_and_the_parent_stays_logged_in", "idle", 0, 10);
}

#[test]
fn a_fork_in_the_middle_of_a_signature_disturbs_neither() {
    forks("a_fork_in_the_middle_of_a_signature_disturbs_neither", "signing", 50, 5);
}

#[test]
fn a_fork_in_the_middle_of_a_poll_disturbs_neither() {
    forks("a_fork_in_the_middle_of_a_poll_disturbs_neither", "polling", 0, 100);
}

#[test]
fn a_fork_in_the_middle_of_a_search_for_the_service_disturbs_neither() {
    with_pcscd("a_fork_in_the_middle_of_a_search_for_the_service_disturbs_neither", |pcscd| {
        let scratch = Scratch::new();
        pcscd.stop();
        let outcome = run(client::program(&scratch, "fork.c").args([PIN, "searching", "initialize", "100"])).ok();
        assert_eq!(outcome, "done\n");
    });
}

/// Ends a program in this way in the middle of calls; see `clients/leave.c`. Answers what its process said of its end.
fn leaves(pcscd: &Pcscd, how: &str) -> common::Ran {
    let scratch = Scratch::new();
    let file = card_as(&scratch, Kind::MyNumber, |order| order.switches.signature_ms = 200);
    let card = pcscd.insert(&file);
    let ran = run(client::program(&scratch, "leave.c").args([PIN, how]));
    if how == "finalize" {
        let rival = Rival::connect(0, ShareMode::Shared);
        assert_eq!(rival.sign(), 0x6982, "after C_Finalize nobody signs without the PIN");
        rival.leave(Disposition::LeaveCard);
    }
    pcscd.remove(card);
    ran
}

#[test]
fn a_program_may_end_or_unload_the_module_in_the_middle_of_calls() {
    with_pcscd("a_program_may_end_or_unload_the_module_in_the_middle_of_calls", |pcscd| {
        for how in ["exit", "dlclose", "finalize"] {
            for _ in 0..3 {
                assert_eq!(leaves(pcscd, how).ok(), "done\n", "{how}");
            }
        }
        // Its card can be used by the next program.
        leaves(pcscd, "kill").refused();
        assert_eq!(leaves(pcscd, "finalize").ok(), "done\n");
    });
}

#[test]
fn c_finalize_outwaits_a_card_that_never_answers_and_logs_the_other_out() {
    with_pcscd("c_finalize_outwaits_a_card_that_never_answers_and_logs_the_other_out", |pcscd| {
        pcscd.configure_module("lock_timeout = 1\n");
        let scratches = [Scratch::new(), Scratch::new()];
        let other = card_as(&scratches[1], Kind::MyNumber, |order| order.serial = Some("9900000000000042".into()));
        let hung = pcscd.insert(&card(&scratches[0], Kind::MyNumber));
        let _other = pcscd.insert_into(1, &other);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        client.logged_in(OTHER_AUTH, PIN).unwrap();
        client.sign(session, b"x").unwrap();
        hung.signal("-STOP");
        let signing = thread::spawn(move || client.sign(session, b"x"));
        thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        client.finalize().unwrap();
        let time = start.elapsed();
        println!("C_Finalize took {time:?}");
        assert!(!signing.is_finished());
        assert!(time < Duration::from_secs(13), "{time:?}");
        let rival = Rival::connect(1, ShareMode::Shared);
        assert_eq!(rival.sign(), 0x6982, "the card that answers is logged out");
        rival.leave(Disposition::LeaveCard);
        hung.signal("-CONT");
        signing.join().unwrap().ok();
    });
}

#[test]
fn two_slow_cards_sign_at_once_among_polls_and_waits() {
    with_pcscd("two_slow_cards_sign_at_once_among_polls_and_waits", |pcscd| {
        let scratches = [Scratch::new(), Scratch::new()];
        let files = [0, 1].map(|reader: usize| {
            card_as(&scratches[reader], Kind::MyNumber, |order| {
                order.switches.signature_ms = 1_000;
                order.serial = Some(format!("990000000000000{reader}"));
            })
        });
        let _cards = [0, 1].map(|reader| pcscd.insert_into(reader, &files[usize::from(reader)]));
        let client = Client::start();
        let sessions = [AUTH, OTHER_AUTH].map(|slot| client.logged_in(slot, PIN).unwrap());
        let keys = sessions.map(|session| client.key(session).unwrap());
        let sign = |which: usize| client.sign_with(sessions[which], keys[which], b"x").map(|signature| signature.len());

        let stop = AtomicBool::new(false);
        let waiter = thread::spawn(move || client.wait());
        let (alone, together) = thread::scope(|scope| {
            let poller = scope.spawn(|| {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    for (slot, session) in [(AUTH, sessions[0]), (OTHER_AUTH, sessions[1])] {
                        let start = Instant::now();
                        assert_eq!(client.is_present(slot), Ok(true));
                        assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS));
                        longest = longest.max(start.elapsed());
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                longest
            });
            // The shortest of several, since the machine has other things to do.
            let shortest = |work: &dyn Fn()| {
                let times = (0..4).map(|_| {
                    let start = Instant::now();
                    work();
                    start.elapsed()
                });
                times.min().unwrap()
            };
            let alone = shortest(&|| assert_eq!(sign(0), Ok(256)));
            let together = shortest(&|| {
                thread::scope(|scope| {
                    let other = scope.spawn(|| sign(1));
                    assert_eq!(sign(0), Ok(256));
                    assert_eq!(other.join().unwrap(), Ok(256));
                });
            });
            stop.store(true, Ordering::Relaxed);
            let longest = poller.join().unwrap();
            println!("one card {alone:?}, two cards at once {together:?}; the longest poll took {longest:?}");
            assert!(longest < Duration::from_millis(500), "a poll waited for a card: {longest:?}");
            (alone, together)
        });
        assert!(together <= alone.mul_f64(1.05), "{together:?} against {alone:?}");
        client.finalize().unwrap();
        assert_eq!(waiter.join().unwrap(), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    });
}

#[test]
fn thirty_two_threads_share_one_token_fairly() {
    with_pcscd("thirty_two_threads_share_one_token_fairly", |pcscd| {
        const THREADS: usize = 32;
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let client = Client::start();
        let first = client.logged_in(AUTH, PIN).unwrap();
        let key = client.key(first).unwrap();
        let openssl = PublicKey::of_certificate(&scratch, client.certificate(first).unwrap());
        let start = Barrier::new(THREADS);
        let signed: Vec<(usize, Vec<u8>)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let start = &start;
                    scope.spawn(move || {
                        let session = client.open(AUTH).unwrap();
                        let message = format!("thread {thread}");
                        start.wait();
                        let deadline = Instant::now() + Duration::from_secs(5);
                        let (mut count, mut last) = (0, Vec::new());
                        while Instant::now() < deadline {
                            last = client.sign_with(session, key, message.as_bytes()).unwrap();
                            count += 1;
                        }
                        client.close(session).unwrap();
                        (count, last)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (thread, (_, signature)) in signed.iter().enumerate() {
            openssl.assert_signed("sha256", Padding::Pkcs1, format!("thread {thread}").as_bytes(), signature);
        }
        let counts: Vec<usize> = signed.iter().map(|(count, _)| *count).collect();
        let total: usize = counts.iter().sum();
        println!("{total} signatures in 5 s by {THREADS} threads, each: {counts:?}");
        let least = *counts.iter().min().unwrap();
        assert!(least * THREADS * 3 >= total, "somebody got less than a third of its share: {counts:?}");
    });
}

#[test]
fn a_program_that_signs_without_pause_lets_others_in() {
    with_pcscd("a_program_that_signs_without_pause_lets_others_in", |pcscd| {
        let scratch = Scratch::new();
        let slow = card_as(&scratch, Kind::MyNumber, |order| order.switches.signature_ms = 500);
        let _card = pcscd.insert(&slow);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        let key = client.key(session).unwrap();
        let (stop, signed) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    client.sign_with(session, key, b"x").unwrap();
                    signed.fetch_add(1, Ordering::SeqCst);
                }
            });
            let times: Vec<Duration> = (0..4)
                .map(|_| {
                    let before = signed.load(Ordering::SeqCst);
                    eventually("the next signature", || (signed.load(Ordering::SeqCst) > before).then_some(()));
                    let start = Instant::now();
                    // pcscd looks ten times a second whether the card is free, and by chance met it so once in minutes.
                    Rival::connect(0, ShareMode::Shared).leave(Disposition::LeaveCard);
                    start.elapsed()
                })
                .collect();
            stop.store(true, Ordering::SeqCst);
            println!("connected after {times:?}");
            assert!(times.iter().all(|&time| time < Duration::from_secs(8)), "{times:?}");
        });
    });
}

/// Asserts a good signature and how many commands it took.
fn signs(client: Client, session: CK_SESSION_HANDLE, asked: &Asked, most: usize) {
    let key = client.key(session).unwrap();
    let (signed, commands) = asked.by(|| client.sign_with(session, key, b"x"));
    assert_eq!(signed.map(|signature| signature.len()), Ok(256));
    assert!(commands.len() <= most, "{commands:#?}");
}

#[test]
fn whatever_another_program_does_to_the_card_the_next_signature_is_right() {
    with_pcscd("whatever_another_program_does_to_the_card_the_next_signature_is_right", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let _card = pcscd.insert(&file);
        let asked = Asked::of(&file);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        signs(client, session, &asked, 7);
        signs(client, session, &asked, 1);
        // Selects our application: nothing is lost.
        rival::once(0, &[JPKI]);
        signs(client, session, &asked, 2);
        // Signs on our login.
        let rival = Rival::connect(0, ShareMode::Shared);
        assert_eq!(rival.sign(), 0x9000);
        rival.leave(Disposition::LeaveCard);
        signs(client, session, &asked, 2);
        // Logs out, and leaves the card with another application or with ours.
        for commands in [&[ISD][..], &[ISD, JPKI]] {
            assert_eq!(rival::once(0, commands), 0x9000);
            signs(client, session, &asked, 6);
        }
        // Resets it; takes its power; holds it alone for a while.
        Rival::connect(0, ShareMode::Shared).leave(Disposition::ResetCard);
        signs(client, session, &asked, 2);
        Rival::connect(0, ShareMode::Shared).leave(Disposition::UnpowerCard);
        signs(client, session, &asked, 8);
        let mut rival = Rival::connect(0, ShareMode::Shared);
        rival.holding(|| {
            let signing = thread::spawn(move || client.sign(session, b"x").map(|signature| signature.len()));
            thread::sleep(Duration::from_millis(700));
            assert!(!signing.is_finished());
            signing
        });
        signs(client, session, &asked, 2);
        rival.leave(Disposition::LeaveCard);
        assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS));
        // No try was lost in all this: the counter is full.
        assert_eq!(rival::once(0, &[JPKI, &[0, 0x20, 0, 0x98]]), 0x63C3);
    });
}

#[test]
fn a_card_that_another_program_holds_is_waited_for_as_long_as_told_and_then_told() {
    with_pcscd("a_card_that_another_program_holds_is_waited_for_as_long_as_told_and_then_told", |pcscd| {
        pcscd.configure_module("lock_timeout = 1\n");
        let scratches = [Scratch::new(), Scratch::new()];
        let other = card_as(&scratches[1], Kind::MyNumber, |order| order.serial = Some("9900000000000042".into()));
        let _cards = [pcscd.insert(&card(&scratches[0], Kind::MyNumber)), pcscd.insert_into(1, &other)];
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        let undisturbed = client.logged_in(OTHER_AUTH, PIN).unwrap();
        let key = client.key(session).unwrap();
        client.sign(session, b"x").unwrap();
        client.sign(undisturbed, b"x").unwrap();
        let mut rival = Rival::connect(0, ShareMode::Shared);
        rival.holding(|| {
            let signing = thread::spawn(move || {
                let start = Instant::now();
                (client.sign_with(session, key, b"x"), start.elapsed())
            });
            // Everything that needs not this card goes on.
            while !signing.is_finished() {
                let start = Instant::now();
                assert_eq!(client.is_present(AUTH), Ok(true));
                assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS));
                assert_eq!(client.event(), Err(CKR_NO_EVENT));
                client.sign(undisturbed, b"x").unwrap();
                assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
            }
            let (refused, time) = signing.join().unwrap();
            println!("CKR_DEVICE_ERROR after {time:?}, lock_timeout being 1 s");
            assert_eq!(refused, Err(CKR_DEVICE_ERROR));
            assert!((1000..1600).contains(&time.as_millis()), "{time:?}");
        });
        rival.leave(Disposition::LeaveCard);
        assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS), "waiting in vain is no logout");
        assert_eq!(client.sign(session, b"x").unwrap().len(), 256);

        // Held exclusively from before the module has met the card.
        client.finalize().unwrap();
        let exclusive = Rival::connect(0, ShareMode::Exclusive);
        client.initialize().unwrap();
        assert_eq!(client.is_present(OTHER_AUTH), Ok(true));
        assert_eq!(client.is_present(AUTH), Ok(false), "nobody knows yet what card that is");
        exclusive.leave(Disposition::LeaveCard);
        assert_eq!(client.is_present(AUTH), Ok(true));
    });
}

/// Another process of the same user with the module; see `clients/client.c`.
struct Process {
    program: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(scratch: &Scratch) -> Process {
        let mut program =
            client::program(scratch, "client.c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
        let mut process = Process { program, stdin, stdout: BufReader::new(stdout) };
        assert_eq!(process.run("initialize"), CKR_OK);
        process
    }

    fn run(&mut self, line: &str) -> CK_RV {
        writeln!(self.stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        CK_RV::from_str_radix(answer.trim(), 16).unwrap_or_else(|_| panic!("{line}: {answer:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed, as a process may be at any time.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Whether a program that knows no PIN can sign now.
fn anybody_signs() -> bool {
    let rival = Rival::connect(0, ShareMode::Shared);
    let sw = rival.sign();
    rival.leave(Disposition::LeaveCard);
    assert!(matches!(sw, 0x9000 | 0x6982), "{sw:04X}");
    sw == 0x9000
}

#[test]
fn the_first_logout_of_two_processes_leaves_the_others_login_and_the_last_ends_the_cards() {
    with_pcscd("the_first_logout_of_two_processes_leaves_the_others_login_and_the_last_ends_the_cards", |pcscd| {
        // What a logout does to the other process shows only where that cannot log in again by itself.
        pcscd.configure_module("hold_pin = false\n");
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let login = format!("login {PIN}");
        for end in ["logout", "finalize", "killed"] {
            let mut first = Process::start(&scratch);
            let mut second = Process::start(&scratch);
            assert_eq!([first.run(&login), second.run(&login)], [CKR_OK; 2]);
            assert_eq!([first.run("sign"), second.run("sign")], [CKR_OK; 2]);
            match end {
                "killed" => drop(first),
                end => assert_eq!(first.run(end), CKR_OK),
            }
            assert_eq!(second.run("sign"), CKR_OK, "{end}");
            assert_eq!(second.run("state"), CKS_RW_USER_FUNCTIONS);
            assert!(anybody_signs(), "while somebody is logged in, the card signs for everybody");
            assert_eq!(second.run("logout"), CKR_OK);
            assert!(!anybody_signs(), "{end}: after the last login the card wants the PIN");
        }
    });
}

#[test]
fn the_programs_pin_change_leaves_another_processs_login_and_ends_its_own() {
    with_pcscd("the_programs_pin_change_leaves_another_processs_login_and_ends_its_own", |pcscd| {
        pcscd.configure_module("hold_pin = false\n");
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let change = |old: &str, new: &str| {
            let mut change = jpki();
            change.args(["pin", "change", "auth", "--stdin"]).stdin(Stdio::piped()).stdout(Stdio::null());
            let mut change = change.spawn().unwrap();
            write!(change.stdin.take().unwrap(), "{old}\n{new}\n{new}\n").unwrap();
            assert!(change.wait().unwrap().success());
        };
        let mut other = Process::start(&scratch);
        assert_eq!(other.run(&format!("login {PIN}")), CKR_OK);
        change(PIN, "5678");
        assert_eq!(other.run("sign"), CKR_OK);
        assert_eq!(other.run("logout"), CKR_OK);
        change("5678", PIN);
        assert!(!anybody_signs());
    });
}

#[test]
fn after_the_last_login_another_program_cannot_sign_without_the_pin() {
    with_pcscd("after_the_last_login_another_program_cannot_sign_without_the_pin", |pcscd| {
        use myna_card::ap::jpki::{JpkiAp, SignatureScheme};
        use myna_card::transport::pcsc::{Sharing, connect};
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let myna_signs = || {
            let mut card = connect(common::pcscd::READER, Sharing::Shared).unwrap();
            // The first command after a power-up gets 6F00.
            let _ = JpkiAp::select(&mut card);
            JpkiAp::select(&mut card).unwrap().sign_with_auth_key(SignatureScheme::Verbatim, b"x").is_ok()
        };
        // OpenSC, told to ask what we say and nothing of its own.
        let opensc_signs = || {
            let mut tool = std::process::Command::new(common::tool("opensc-tool", "opensc"));
            tool.args(["--card-driver", "default", "--send-apdu", "00A4040C0AD392F000260100000001"]);
            let said = run(tool.args(["--send-apdu", "802A00970201FF00"])).ok();
            assert!(said.contains("SW1=0x90") || said.contains("SW1=0x69, SW2=0x82"), "{said}");
            !said.contains("SW1=0x69, SW2=0x82")
        };
        let client = Client::start();
        let auth = client.logged_in(AUTH, PIN).unwrap();
        let sign = client.logged_in(SIGN, PASSWORD).unwrap();
        client.sign(auth, b"x").unwrap();
        client.sign(sign, b"x").unwrap();
        assert!(opensc_signs(), "as long as somebody is logged in, for that is how the card is made");
        client.logout(auth).unwrap();
        // One application, two secrets: the card forgets both or none, and one is still in use.
        assert_eq!(client.sign(sign, b"x").unwrap().len(), 256);
        client.logout(sign).unwrap();
        assert!(!myna_signs() && !opensc_signs() && !anybody_signs());
        client.login(auth, PIN).unwrap();
        client.close(auth).unwrap();
        client.close(sign).unwrap();
        assert!(!myna_signs() && !opensc_signs(), "the last session's end is a logout");
        client.logged_in(AUTH, PIN).unwrap();
        client.finalize().unwrap();
        assert!(!myna_signs() && !opensc_signs());
    });
}

#[test]
fn after_a_lost_login_nss_would_ask_once_and_go_on() {
    with_pcscd("after_a_lost_login_nss_would_ask_once_and_go_on", |pcscd| {
        pcscd.configure_module("hold_pin = false\n");
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let _card = pcscd.insert(&file);
        let asked = Asked::of(&file);
        let client = Client::start();
        // NSS asks its default session's state, prompts if it is public, and has a session for each operation.
        let standing = client.open(AUTH).unwrap();
        let prompts = std::cell::Cell::new(0);
        let handshake = || -> client::Result<usize> {
            if client.state(standing)? != CKS_RW_USER_FUNCTIONS {
                prompts.set(prompts.get() + 1);
                client.login(standing, PIN)?;
            }
            let session = client.open(AUTH)?;
            let signed = client.sign(session, b"x").map(|signature| signature.len());
            client.close(session)?;
            signed
        };
        assert_eq!((handshake(), handshake(), prompts.get()), (Ok(256), Ok(256), 1));
        rival::once(0, &[ISD]);
        let (lost, commands) = asked.by(handshake);
        assert_eq!(lost, Err(CKR_USER_NOT_LOGGED_IN));
        assert!(!commands.iter().any(|command| command.contains("[secret]")), "{commands:#?}");
        assert_eq!(client.state(standing), Ok(CKS_RW_PUBLIC_SESSION), "by then the session says so");
        let (again, commands) = asked.by(handshake);
        assert_eq!((again, prompts.get()), (Ok(256), 2));
        let verifies = commands.iter().filter(|command| command.contains("[secret]")).count();
        assert_eq!(verifies, 1, "{commands:#?}");
        assert_eq!((handshake(), prompts.get()), (Ok(256), 2));
    });
}
