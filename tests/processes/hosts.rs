//! What the program that loaded the module does to its own process, and what the module must not do to it.

#![allow(unsafe_code)]

use crate::common::cards::{PIN, card};
use crate::common::client::{AUTH, Client, program};
use crate::common::pcscd::{Pcscd, with_pcscd};
use crate::common::{Scratch, configured, eventually, run, tool};
use cryptoki_sys::CKS_RW_USER_FUNCTIONS;
use jpki_pkcs11::emulator::image::Kind;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Has a program become a daemon while the module has its log open; see `clients/daemon.c`.
fn becomes_a_daemon(when: &str) {
    let scratch = Scratch::new();
    let config = scratch.configuration("log_level = 'trace'\n");
    let (log, document) = (scratch.path().join("log"), scratch.path().join("document"));
    let mut daemon = program(&scratch, "daemon.c");
    daemon.current_dir(scratch.path()).env("JPKI_PKCS11_LOG", &log).arg(when).arg(&document);
    assert_eq!(run(configured(&mut daemon, &config)).ok(), "done\n");
    assert_eq!(fs::read_to_string(&document).unwrap(), "", "log lines in the program's own document");
    let logged = fs::read_to_string(&log).unwrap();
    let finalised = logged.lines().filter(|line| line.ends_with("C_Finalize: CKR_OK")).count();
    assert_eq!(finalised, if when == "child" { 2 } else { 1 }, "the log goes on:\n{logged}");
}

#[test]
fn no_log_line_stands_in_a_file_that_has_the_closed_logs_number() {
    becomes_a_daemon("begun");
}

#[test]
fn no_log_line_of_a_child_stands_in_a_file_that_has_the_closed_logs_number() {
    becomes_a_daemon("child");
}

/// Runs a program of `tests/clients` on a card.
fn does(name: &str, source: &str, arguments: &[&str]) {
    with_pcscd(name, |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        assert_eq!(run(program(&scratch, source).arg(PIN).args(arguments)).ok(), "done\n");
    });
}

#[test]
fn a_thread_that_is_cancelled_in_a_call_ends_and_leaves_the_module_whole() {
    does("hosts::a_thread_that_is_cancelled_in_a_call_ends_and_leaves_the_module_whole", "cancel.c", &[]);
}

#[test]
fn a_host_with_a_lock_of_its_own_around_calls_and_forks_is_held_up_but_goes_on() {
    let name = "hosts::a_host_with_a_lock_of_its_own_around_calls_and_forks_is_held_up_but_goes_on";
    does(name, "locks.c", &["8"]);
}

/// The first process of a pid namespace forks into another one; see `clients/namespace.c`.
fn is_taken_for_itself(name: &str, how: &str) {
    with_pcscd(name, |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let client = program(&scratch, "namespace.c");
        let mut first = Command::new(tool("unshare", "util-linux"));
        first.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]);
        first.arg(client.get_program()).args(client.get_args()).args([PIN, how]);
        assert_eq!(run(&mut first).ok(), "done\n");
    });
}

#[test]
fn a_child_of_its_parents_number_is_not_taken_for_its_parent() {
    is_taken_for_itself("hosts::a_child_of_its_parents_number_is_not_taken_for_its_parent", "fork");
}

#[test]
fn a_child_of_its_parents_number_that_was_made_without_handlers_is_not_taken_for_its_parent() {
    let name = "hosts::a_child_of_its_parents_number_that_was_made_without_handlers_is_not_taken_for_its_parent";
    is_taken_for_itself(name, "clone");
}

/// How long a fork of this process takes, whose child does nothing.
fn time_of_a_fork() -> Duration {
    let start = Instant::now();
    // SAFETY: the child leaves at once, running nothing.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(0);
        }
        child
    };
    let time = start.elapsed();
    // SAFETY: our own child, of which nothing is asked.
    assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child);
    time
}

#[test]
fn a_service_that_hangs_holds_up_the_call_that_asks_it_and_neither_the_others_nor_every_fork() {
    let name = "hosts::a_service_that_hangs_holds_up_the_call_that_asks_it_and_neither_the_others_nor_every_fork";
    with_pcscd(name, |pcscd: &Pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        pcscd.signal("-STOP");
        let first = thread::spawn(move || client.is_present(AUTH));
        let held_up = |what: &str| {
            let start = Instant::now();
            assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS));
            assert_eq!(client.is_present(AUTH), Ok(true));
            assert!(client.event().is_err());
            println!("{what}, three calls take {:?}", start.elapsed());
            start.elapsed()
        };
        // That thread, or this one, asks first: whoever does hangs with the service.
        eventually("the first call is inside", || inside_pcsc().then_some(()));
        assert!(held_up("at first") < Duration::from_secs(4));
        assert!(held_up("then") < Duration::from_millis(500));
        let forks: Vec<_> = (0..3).map(|_| time_of_a_fork()).collect();
        println!("forks take {forks:?}");
        assert!(forks.iter().all(|&time| time < Duration::from_millis(500)), "{forks:?}");
        assert!(!first.is_finished());
        pcscd.signal("-CONT");
        assert_eq!(first.join().unwrap(), Ok(true));
        client.sign(session, b"x").unwrap();
        client.finalize().unwrap();
    });
}

/// Whether a thread of this process waits for the PC/SC service's answer.
fn inside_pcsc() -> bool {
    let own = std::process::id().to_string();
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads.filter_map(|thread| thread.ok()).filter(|thread| *thread.file_name() != *own).any(|thread| {
        let call = fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
        // poll, whose number is the architecture's: x86-64 has 7, and 73 is ppoll of arm64.
        matches!(call.split_whitespace().next(), Some("7" | "73"))
    })
}
