//! Waiting for other processes: bounded, ended by C_Finalize, and never worth a login that nobody counts.

use crate::common::eventually;
use crate::common::witness::Open;
use crate::ground::{AUTH_LOGIN, Ground, SIGN_LOGIN, with_ground};
use crate::places::lock_files;
use cryptoki_sys::*;
use std::fs::File;
use std::time::{Duration, Instant};

/// All locks of the card, held as a process holds them that was stopped while it left the card. They go when this does.
struct Held(Vec<File>);

impl Held {
    fn everywhere(ground: &Ground<'_>) -> Held {
        // The first login makes the files, and is over.
        let mut process = ground.signing();
        process.ok(AUTH_LOGIN);
        process.ok("finalize");
        let files = lock_files();
        assert!(!files.is_empty());
        let locked = files.iter().map(|path| {
            let file = File::options().write(true).open(path).expect("it is ours");
            file.try_lock().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            file
        });
        Held(locked.collect())
    }
}

fn secrets(commands: &[String]) -> usize {
    commands.iter().filter(|command| command.contains("[secret]")).count()
}

#[test]
fn a_stopped_process_holds_a_login_up_no_longer_than_lock_timeout() {
    with_ground("waits::a_stopped_process_holds_a_login_up_no_longer_than_lock_timeout", |ground| {
        ground.pcscd.configure_module("lock_timeout = 1\n");
        let held = Held::everywhere(ground);
        let asked = ground.asked();
        for login in [AUTH_LOGIN, SIGN_LOGIN] {
            let mut process = ground.process();
            let ((), commands) = asked.by(|| {
                process.ok(&format!("begin {login}"));
                let start = Instant::now();
                // A call without end would be the end of this test: it is looked at from outside.
                let mut answer = None;
                std::thread::scope(|scope| {
                    let joining = scope.spawn(|| process.join());
                    while !joining.is_finished() && start.elapsed() < Duration::from_secs(5) {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    if joining.is_finished() {
                        answer = Some(joining.join().expect("it did not panic"));
                    } else {
                        held.0.iter().for_each(|file| file.unlock().expect("it is ours"));
                    }
                });
                let (rv, ms) = answer.unwrap_or_else(|| panic!("{login} waits without end"));
                println!("{login}: {rv:#X} after {ms} ms, lock_timeout being 1 s");
                assert_eq!(rv, CKR_DEVICE_ERROR, "{login}");
                assert!((900..2500).contains(&ms), "{login}: {ms} ms");
            });
            assert_eq!(secrets(&commands), 0, "{login}");
        }
        drop(held);
        let mut process = ground.process();
        process.ok(SIGN_LOGIN);
        process.ok("sign 1");
    });
}

#[test]
fn c_finalize_ends_the_wait_and_nothing_is_sent_after_it() {
    with_ground("waits::c_finalize_ends_the_wait_and_nothing_is_sent_after_it", |ground| {
        ground.pcscd.configure_module("lock_timeout = 60\n");
        let asked = ground.asked();
        for login in [AUTH_LOGIN, SIGN_LOGIN] {
            // From the moment the call begins to when it surely waits.
            for ms in [0, 1, 30, 300] {
                let mut held = Some(Held::everywhere(ground));
                let witness = ground.witness();
                let mut process = ground.process();
                let slot = if login == AUTH_LOGIN { "open 0" } else { "open 1" };
                process.ok(slot);
                process.ok(&format!("begin {login}"));
                std::thread::sleep(Duration::from_millis(ms));
                let start = Instant::now();
                process.ok("finalize");
                let time = start.elapsed();
                let before = asked.commands().len();
                held.take();
                let (rv, _) = process.join();
                assert_eq!(rv, CKR_CRYPTOKI_NOT_INITIALIZED, "{login}, {ms} ms");
                assert!(time < Duration::from_secs(12), "C_Finalize took {time:?}");
                let sent = asked.commands().split_off(before);
                assert_eq!(secrets(&sent), 0, "{login}, {ms} ms: {sent:#?}");
                assert_eq!(witness.signs_with(), Open::Neither, "{login}, {ms} ms");
                witness.leave();
            }
        }
        assert_eq!(ground.tries(), (3, 5));
    });
}

#[test]
fn an_exit_ends_the_wait_and_nothing_is_sent() {
    with_ground("waits::an_exit_ends_the_wait_and_nothing_is_sent", |ground| {
        ground.pcscd.configure_module("lock_timeout = 60\n");
        let held = Held::everywhere(ground);
        let (asked, witness) = (ground.asked(), ground.witness());
        let mut process = ground.process();
        process.ok("open 1");
        process.ok(&format!("begin {SIGN_LOGIN}"));
        let start = Instant::now();
        let (code, commands) = asked.by(|| process.ends("exit 3").code());
        let time = start.elapsed();
        assert_eq!(code, Some(3));
        assert!(time < Duration::from_millis(2800), "{time:?}");
        assert_eq!(secrets(&commands), 0, "{commands:#?}");
        drop(held);
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn a_login_that_signals_interrupt_while_it_waits_counts() {
    with_ground("waits::a_login_that_signals_interrupt_while_it_waits_counts", |ground| {
        ground.pcscd.configure_module("hold_pin = false\n");
        for (login, slot) in [(AUTH_LOGIN, 0), (SIGN_LOGIN, 1)] {
            let held = Held::everywhere(ground);
            let mut first = ground.process();
            first.ok(&format!("open {slot}"));
            first.ok(&format!("begin {login}"));
            first.ok("alarms");
            eventually("some alarms", || (first.told("alarmed").1 > 10).then_some(()));
            drop(held);
            assert_eq!(first.join().0, CKR_OK, "{login}");
            let mut second = ground.process();
            second.ok(login);
            second.ok(&format!("logout {slot}"));
            assert_eq!(first.run(&format!("sign {slot}")), CKR_OK, "{login}: the login counted for nobody");
            first.ok("finalize");
        }
    });
}

#[test]
fn a_login_that_cannot_be_announced_for_want_of_descriptors_is_refused_unsent() {
    with_ground("waits::a_login_that_cannot_be_announced_for_want_of_descriptors_is_refused_unsent", |ground| {
        let witness = ground.witness();
        let asked = ground.asked();
        for (login, slot) in [(AUTH_LOGIN, 0), (SIGN_LOGIN, 1)] {
            let mut process = ground.process();
            process.ok(&format!("token {slot}"));
            process.ok(&format!("open {slot}"));
            process.ok("no-descriptors");
            let (rv, commands) = asked.by(|| process.run(login));
            assert_eq!(rv, CKR_HOST_MEMORY, "{login}");
            assert_eq!(secrets(&commands), 0, "{login}: {commands:#?}");
            assert_eq!(witness.signs_with(), Open::Neither, "{login}");
            process.ok("descriptors");
            process.ok(login);
            process.ok(&format!("sign {slot}"));
            process.ok("finalize");
            assert_eq!(witness.signs_with(), Open::Neither, "{login}");
        }
        witness.leave();
    });
}

#[test]
fn a_logout_without_descriptors_is_carried_out_or_owed() {
    with_ground("waits::a_logout_without_descriptors_is_carried_out_or_owed", |ground| {
        let witness = ground.witness();
        let mut process = ground.authenticated();
        process.ok(SIGN_LOGIN);
        process.ok("no-descriptors");
        for logout in ["logout 1", "logout 0"] {
            process.run(logout);
        }
        if witness.signs_with() != Open::Neither {
            let mut next = ground.process();
            next.ok("open 0");
        }
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}
