//! Programs that end without C_Finalize, while another one has the card open.

use crate::common::witness::Open;
use crate::common::{eventually, jpki, run};
use crate::ground::{AUTH_LOGIN, Ground, Process, SIGN_LOGIN, looks, send, with_card, with_ground};
use cryptoki_sys::*;
use std::time::{Duration, Instant};

/// A process that is logged in to both tokens.
fn logged_in(ground: &Ground<'_>) -> Process {
    let mut process = ground.authenticated();
    process.ok(SIGN_LOGIN);
    process
}

#[test]
fn a_program_that_exits_without_c_finalize_leaves_no_key_open() {
    with_ground("exits::a_program_that_exits_without_c_finalize_leaves_no_key_open", |ground| {
        let witness = ground.witness();
        for (end, code) in [("exit 0", 0), ("exit 7", 7), ("return 0", 0), ("return 9", 9)] {
            let start = Instant::now();
            let process = logged_in(ground);
            assert_eq!(witness.signs_with(), Open::Both);
            assert_eq!(process.ends(end).code(), Some(code), "{end}");
            assert_eq!(witness.signs_with(), Open::Neither, "{end}");
            println!("{end}: {:?} with the logins", start.elapsed());
        }
        // With one token alone, either.
        for login in [AUTH_LOGIN, SIGN_LOGIN] {
            let mut process = ground.process();
            process.ok(login);
            assert_eq!(process.ends("exit 0").code(), Some(0), "{login}");
            assert_eq!(witness.signs_with(), Open::Neither, "{login}");
        }
        assert_eq!(ground.tries(), (3, 5));
        witness.leave();
    });
}

#[test]
fn a_program_that_exits_while_another_is_logged_in_leaves_that_login_alone() {
    with_ground("exits::a_program_that_exits_while_another_is_logged_in_leaves_that_login_alone", |ground| {
        let witness = ground.witness();
        let mut other = logged_in(ground);
        assert_eq!(logged_in(ground).ends("exit 3").code(), Some(3));
        other.ok("sign 1");
        other.ok("sign 0");
        assert_eq!(other.ends("exit 0").code(), Some(0));
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn a_program_may_exit_in_one_thread_while_another_signs() {
    let slow = |order: &mut jpki_pkcs11::emulator::issue::Order| order.switches.signature_ms = 200;
    with_card("exits::a_program_may_exit_in_one_thread_while_another_signs", slow, |ground| {
        let witness = ground.witness();
        for (slot, end, code) in [(0, "exit 5", 5), (1, "exit 6", 6), (1, "return 0", 0)] {
            let mut process = logged_in(ground);
            process.ok(&format!("keep-signing {slot}"));
            assert_eq!(process.ends(end).code(), Some(code), "slot {slot}, {end}");
            assert_eq!(witness.signs_with(), Open::Neither, "slot {slot}, {end}");
        }
        witness.leave();
    });
}

#[test]
fn a_host_that_finalises_in_a_handler_of_its_own_hears_that_all_is_well() {
    with_ground("exits::a_host_that_finalises_in_a_handler_of_its_own_hears_that_all_is_well", |ground| {
        let witness = ground.witness();
        // Handlers run in the opposite order of their registration: this one before the module's, and after it.
        for first in ["initialize", "at-exit"] {
            let mut process = ground.uninitialised(|command| command);
            for line in [first, if first == "initialize" { "at-exit" } else { "initialize" }, AUTH_LOGIN, SIGN_LOGIN] {
                process.ok(line);
            }
            assert_eq!(process.say("exit 4"), "at exit 0", "{first} first");
            assert_eq!(process.ended().code(), Some(4), "{first} first");
            assert_eq!(witness.signs_with(), Open::Neither, "{first} first");
        }
        witness.leave();
    });
}

#[test]
fn an_exit_takes_two_seconds_at_most_with_a_service_or_a_card_that_hangs() {
    with_ground("exits::an_exit_takes_two_seconds_at_most_with_a_service_or_a_card_that_hangs", |ground| {
        let witness = ground.witness();
        for what in ["service", "card"] {
            let process = logged_in(ground);
            let paused = (what == "service").then(|| ground.pcscd.paused());
            if what == "card" {
                ground.inserted.signal("-STOP");
            }
            let start = Instant::now();
            assert_eq!(process.ends("exit 8").code(), Some(8), "{what}");
            let time = start.elapsed();
            drop(paused);
            ground.inserted.signal("-CONT");
            println!("an exit with a {what} that hangs took {time:?}");
            assert!(time < Duration::from_millis(2800), "{what}: {time:?}");
            // It could not log the card out, and left word of that.
            let mut next = ground.process();
            next.ok("open 0");
            // The service resets a card whose user has ended in the middle of a command, and tells who was connected.
            let after = ground.witness();
            assert_eq!(after.signs_with(), Open::Neither, "{what}");
            after.leave();
            next.ok("finalize");
        }
        witness.leave();
    });
}

/// Has `process` or the program look at the card in one of the ways of [`looks`].
fn looks_at_the_card(ground: &Ground<'_>, process: &mut Process, look: &str) {
    match look {
        "initialize" => {
            let mut next = ground.process();
            assert_eq!(next.told("slots"), (CKR_OK, 2));
            // Its own end is no look: it is killed here.
        }
        "jpki status" => drop(run(jpki().arg("status")).ok()),
        look => assert_eq!(process.run(look), CKR_OK, "{look}"),
    }
}

#[test]
fn the_next_look_of_any_process_closes_what_a_killed_one_has_left_open() {
    with_ground("exits::the_next_look_of_any_process_closes_what_a_killed_one_has_left_open", |ground| {
        let witness = ground.witness();
        for look in looks() {
            let mut other = ground.process();
            // It has the card already, as a browser does.
            assert_eq!(other.run("token 1"), CKR_OK);
            logged_in(ground).ended_by(libc::SIGKILL);
            assert_eq!(witness.signs_with(), Open::Both, "nobody has looked");
            looks_at_the_card(ground, &mut other, look);
            assert_eq!(witness.signs_with(), Open::Neither, "{look}");
        }
        assert_eq!(ground.tries(), (3, 5));
        witness.leave();
    });
}

#[test]
fn whatever_has_ended_a_program_the_next_look_closes_what_it_left_open() {
    with_ground("exits::whatever_has_ended_a_program_the_next_look_closes_what_it_left_open", |ground| {
        let witness = ground.witness();
        for login in [&[AUTH_LOGIN][..], &[SIGN_LOGIN], &[AUTH_LOGIN, SIGN_LOGIN]] {
            for end in ["SIGINT", "SIGTERM", "SIGSEGV", "_exit"] {
                let mut process = ground.process();
                login.iter().for_each(|login| process.ok(login));
                match end {
                    "SIGINT" => process.ended_by(libc::SIGINT),
                    "SIGTERM" => process.ended_by(libc::SIGTERM),
                    "SIGSEGV" => process.ended_by(libc::SIGSEGV),
                    _ => assert_eq!(process.ends("_exit 0").code(), Some(0)),
                }
                assert_ne!(witness.signs_with(), Open::Neither, "nobody has looked");
                let mut next = ground.process();
                next.ok("open 0");
                assert_eq!(witness.signs_with(), Open::Neither, "{login:?}, {end}");
                next.ok("finalize");
            }
        }
        witness.leave();
    });
}

#[test]
fn what_a_killed_program_left_is_ended_without_ending_other_logins() {
    with_ground("exits::what_a_killed_program_left_is_ended_without_ending_other_logins", |ground| {
        let witness = ground.witness();
        let mut signer = ground.signing();
        logged_in(ground).ended_by(libc::SIGKILL);
        let mut looker = ground.process();
        looker.ok("open 1");
        signer.ok("sign 1");
        signer.ok("logout 1");
        assert_eq!(witness.signs_with(), Open::Neither, "with the signature key the authentication key is closed");

        let mut other = ground.authenticated();
        logged_in(ground).ended_by(libc::SIGKILL);
        looker.ok("slot 1");
        assert!(matches!(witness.signs_with(), Open::Neither | Open::Authentication));
        other.ok("sign 0");
        other.ok("logout 0");
        assert_eq!(witness.signs_with(), Open::Neither);
        assert_eq!(ground.tries(), (3, 5));
        witness.leave();
    });
}

#[test]
fn a_forked_child_keeps_no_login_of_its_killed_parent() {
    with_ground("exits::a_forked_child_keeps_no_login_of_its_killed_parent", |ground| {
        let witness = ground.witness();
        let mut parent = logged_in(ground);
        let (rv, child) = parent.told("fork");
        assert_eq!(rv, CKR_OK);
        parent.ended_by(libc::SIGKILL);
        let mut next = ground.process();
        next.ok("open 0");
        let open = witness.signs_with();
        send(u32::try_from(child).expect("a process"), "-KILL");
        assert_eq!(open, Open::Neither);
        witness.leave();
    });
}

#[test]
fn the_exit_of_a_forked_child_ends_no_login_of_its_parent() {
    with_ground("exits::the_exit_of_a_forked_child_ends_no_login_of_its_parent", |ground| {
        ground.pcscd.configure_module("hold_pin = false\n");
        let witness = ground.witness();
        let mut parent = logged_in(ground);
        assert_eq!(parent.told("fork-exit 5"), (CKR_OK, 5));
        assert_eq!(witness.signs_with(), Open::Both);
        parent.ok("sign 0");
        parent.ok("sign 1");
        // Others still see it.
        ground.signing().ok("finalize");
        parent.ok("sign 1");
        assert_eq!(parent.ends("exit 0").code(), Some(0));
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn what_a_killed_program_left_on_a_card_that_was_taken_out_is_void() {
    with_ground("exits::what_a_killed_program_left_on_a_card_that_was_taken_out_is_void", |ground| {
        let again = || {
            ground.inserted.signal("-KILL");
            eventually("the card is gone", || (ground.process().told("slots").1 == 0).then_some(()));
            ground.pcscd.insert(&ground.file)
        };
        logged_in(ground).ended_by(libc::SIGKILL);
        let inserted = again();
        let (mut next, asked) = (ground.uninitialised(|command| command), ground.asked());
        let ((), commands) = asked.by(|| {
            next.ok("initialize");
            assert_eq!(next.told("slots"), (CKR_OK, 2));
            next.ok("open 0");
        });
        assert!(!commands.iter().any(|command| is_of_another_application(command)), "{commands:#?}");
        next.ok(AUTH_LOGIN);
        next.ok("sign 0");
        ground.pcscd.remove(inserted);
    });
}

/// Whether a command selects an application by a name that is not ours.
fn is_of_another_application(command: &str) -> bool {
    command.starts_with("00 A4 04") && !command.contains("D392F000260100000001")
}

#[test]
fn a_look_costs_a_card_nothing_where_nobody_was_killed() {
    with_ground("exits::a_look_costs_a_card_nothing_where_nobody_was_killed", |ground| {
        let mut process = ground.process();
        assert_eq!(process.told("slots"), (CKR_OK, 2));
        let mut other = ground.authenticated();
        let asked = ground.asked();
        for look in ["open 0", "open 1", "slot 0", "slot 1", "close 0", "close 1"] {
            let ((), commands) = asked.by(|| process.ok(look));
            assert_eq!(commands, [""; 0], "{look}");
        }
        other.ok("logout 0");
        for look in ["open 0", "slot 0", "close 0"] {
            let ((), commands) = asked.by(|| process.ok(look));
            assert_eq!(commands, [""; 0], "{look}, after a logout");
        }
    });
}
