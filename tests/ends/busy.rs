//! Logouts that cannot be carried out: the card is in other hands, or refuses.

use crate::common::cards::card_as;
use crate::common::pcscd::with_pcscd;
use crate::common::witness::{Open, Witness};
use crate::common::{Scratch, jpki, run};
use crate::ground::{AUTH_LOGIN, Ground, Process, SIGN_LOGIN, compiled, with_ground};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::Kind;
use std::process::Command;
use std::time::{Duration, Instant};

fn logged_in(ground: &Ground<'_>) -> Process {
    let mut process = ground.authenticated();
    process.ok(SIGN_LOGIN);
    process
}

/// Ends logins in this way while a rival holds the card, and has another process look once it has let go.
fn owed(name: &str, end: fn(&mut Process), look: fn(&Ground<'_>, &mut Process)) {
    with_ground(name, |ground| {
        ground.pcscd.configure_module("lock_timeout = 1\n");
        let mut witness = ground.witness();
        let mut other = ground.process();
        other.ok("token 0");
        let mut process = logged_in(ground);
        witness.holding(|| end(&mut process));
        assert_eq!(witness.signs_with(), Open::Both, "nobody could log the card out");
        look(ground, &mut other);
        assert_eq!(witness.signs_with(), Open::Neither);
        assert_eq!(ground.tries(), (3, 5));
        witness.leave();
    });
}

#[test]
fn a_logout_that_a_rival_prevents_is_paid_by_the_next_process_that_looks() {
    owed(
        "busy::a_logout_that_a_rival_prevents_is_paid_by_the_next_process_that_looks",
        |process| {
            assert_eq!(process.run("logout 1"), CKR_DEVICE_ERROR);
            assert_eq!(process.run("logout 0"), CKR_DEVICE_ERROR);
            process.ok("finalize");
        },
        |_, other| other.ok("open 0"),
    );
}

#[test]
fn a_logout_that_a_rival_prevents_is_paid_by_the_program_that_looks() {
    owed(
        "busy::a_logout_that_a_rival_prevents_is_paid_by_the_program_that_looks",
        |process| {
            assert_eq!(process.run("logout 1"), CKR_DEVICE_ERROR);
            process.ok("finalize");
        },
        |_, _| drop(run(jpki().arg("status")).ok()),
    );
}

#[test]
fn closed_sessions_that_a_rival_keeps_logged_in_are_paid_for_by_the_next_look() {
    owed(
        "busy::closed_sessions_that_a_rival_keeps_logged_in_are_paid_for_by_the_next_look",
        |process| {
            process.ok("close 0");
            process.ok("close-all 1");
            process.ok("finalize");
        },
        |_, other| other.ok("slot 1"),
    );
}

#[test]
fn a_finalisation_that_a_rival_prevents_is_paid_for_by_the_next_look() {
    owed(
        "busy::a_finalisation_that_a_rival_prevents_is_paid_for_by_the_next_look",
        |process| process.ok("finalize"),
        |_, other| other.ok("finalize"),
    );
}

#[test]
fn an_exit_that_a_rival_prevents_from_logging_out_is_paid_for_by_the_next_look() {
    with_ground("busy::an_exit_that_a_rival_prevents_from_logging_out_is_paid_for_by_the_next_look", |ground| {
        let mut witness = ground.witness();
        let process = logged_in(ground);
        let start = Instant::now();
        assert_eq!(witness.holding(|| process.ends("exit 2").code()), Some(2));
        let time = start.elapsed();
        println!("an exit beside a rival took {time:?}");
        assert!(time < Duration::from_millis(2800), "{time:?}");
        let mut next = ground.process();
        next.ok("token 0");
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn a_process_whose_logout_a_rival_prevented_pays_at_its_own_next_look() {
    with_ground("busy::a_process_whose_logout_a_rival_prevented_pays_at_its_own_next_look", |ground| {
        ground.pcscd.configure_module("lock_timeout = 1\n");
        let mut witness = ground.witness();
        let mut process = logged_in(ground);
        witness.holding(|| {
            assert_eq!(process.run("logout 1"), CKR_DEVICE_ERROR);
            assert_eq!(process.run("logout 0"), CKR_DEVICE_ERROR);
        });
        process.ok("slot 0");
        assert_eq!(witness.signs_with(), Open::Neither);
        // A card that could not be logged out can be used again.
        process.ok(SIGN_LOGIN);
        process.ok("sign 1");
        process.ok("logout 1");
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn a_logout_that_the_card_refuses_is_an_error() {
    with_pcscd("busy::a_logout_that_the_card_refuses_is_an_error", |pcscd| {
        let scratch = Scratch::new();
        let [program, module] = compiled(&scratch);
        let file = card_as(&scratch, Kind::MyNumber, |_| {});
        let _card = pcscd.insert_faithful(&file);
        let witness = Witness::connect();
        for (login, logout) in [(AUTH_LOGIN, "logout 0"), (SIGN_LOGIN, "logout 1")] {
            let mut command = Command::new(&program);
            let mut process = Process::start(command.arg(&module));
            process.ok("initialize");
            process.ok(login);
            let rv = process.run(logout);
            let open = witness.signs_with();
            println!("{logout}: {rv:#X}, {open:?}");
            // What is not true is not said.
            assert_eq!(
                rv == CKR_OK,
                open == Open::Neither,
                "{logout} answered {rv:#X}, and the card is open: {open:?}"
            );
            assert_ne!(rv, CKR_USER_NOT_LOGGED_IN, "{logout}");
        }
        witness.leave();
    });
}
