//! Forks, and ends in the middle of calls.

use crate::common::cards::{PIN, card_as};
use crate::common::client::{self, AUTH, Client, OTHER_AUTH};
use crate::common::pcscd::{Inserted, Pcscd, with_pcscd};
use crate::common::rival::{Asked, Rival};
use crate::common::{Ran, Scratch, eventually, run};
use jpki_pkcs11::emulator::image::Kind;
use pcsc::{Disposition, ShareMode};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

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
    forks("ends::a_child_forked_before_c_initialize_is_a_process_like_any_other", "before", 0, 3);
}

#[test]
fn a_child_begins_anew_and_the_parent_stays_logged_in() {
    forks("ends::a_child_begins_anew_and_the_parent_stays_logged_in", "idle", 0, 10);
}

#[test]
fn a_fork_in_the_middle_of_a_signature_disturbs_neither() {
    forks("ends::a_fork_in_the_middle_of_a_signature_disturbs_neither", "signing", 50, 5);
}

#[test]
fn a_fork_in_the_middle_of_a_poll_disturbs_neither() {
    forks("ends::a_fork_in_the_middle_of_a_poll_disturbs_neither", "polling", 0, 100);
}

#[test]
fn a_fork_among_threads_that_wait_for_each_others_locks_disturbs_neither() {
    forks("ends::a_fork_among_threads_that_wait_for_each_others_locks_disturbs_neither", "crowded", 0, 100);
}

#[test]
fn a_fork_beside_the_first_call_leaves_a_child_that_can_begin() {
    with_pcscd("ends::a_fork_beside_the_first_call_leaves_a_child_that_can_begin", |pcscd| {
        let scratch = Scratch::new();
        let log = scratch.path().join("log");
        // The log is made first of all.
        pcscd.configure_module(&format!("log = '{}'\nlog_level = 'trace'\n", log.display()));
        pcscd.stop();
        let outcome = run(client::program(&scratch, "first.c").arg("1000")).ok();
        assert_eq!(outcome, "done\n");
        assert!(fs::read_to_string(&log).unwrap().lines().count() > 2_000);
    });
}

#[test]
fn a_fork_in_the_middle_of_a_search_for_the_service_disturbs_neither() {
    with_pcscd("ends::a_fork_in_the_middle_of_a_search_for_the_service_disturbs_neither", |pcscd| {
        let scratch = Scratch::new();
        pcscd.stop();
        let outcome = run(client::program(&scratch, "fork.c").args([PIN, "searching", "initialize", "100"])).ok();
        assert_eq!(outcome, "done\n");
    });
}

/// Ends a program in this way in the middle of calls; see `clients/leave.c`. Answers what its process said of its end.
fn leaves(pcscd: &Pcscd, how: &str) -> Ran {
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
    with_pcscd("ends::a_program_may_end_or_unload_the_module_in_the_middle_of_calls", |pcscd| {
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
    with_pcscd("ends::c_finalize_outwaits_a_card_that_never_answers_and_logs_the_other_out", |pcscd| {
        pcscd.configure_module("lock_timeout = 1\n");
        let scratches = [Scratch::new(), Scratch::new()];
        let file = card_as(&scratches[0], Kind::MyNumber, |order| order.switches.signature_ms = 1_000);
        let other = card_as(&scratches[1], Kind::MyNumber, |order| order.serial = Some("9900000000000042".into()));
        let hung = pcscd.insert(&file);
        let _other = pcscd.insert_into(1, &other);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        client.logged_in(OTHER_AUTH, PIN).unwrap();
        client.sign(session, b"x").unwrap();
        let asked = Asked::of(&file);
        let before = asked.commands().len();
        let signing = thread::spawn(move || client.sign(session, b"x"));
        eventually("the card is asked for a signature", || (asked.commands().len() > before).then_some(()));
        hung.signal("-STOP");
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
        assert_eq!(signing.join().unwrap().map(|signature| signature.len()), Ok(256), "it had been asked for before");
    });
}
