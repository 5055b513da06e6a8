//! Secrets that others change or mistype while a process is logged in.

use crate::common::witness::Open;
use crate::ground::{AUTH_LOGIN, change_secret, with_ground};
use crate::places::lock_files;
use cryptoki_sys::*;
use std::fs;

#[test]
fn a_held_pin_that_another_process_has_changed_is_not_presented() {
    with_ground("changes::a_held_pin_that_another_process_has_changed_is_not_presented", |ground| {
        let witness = ground.witness();
        for by in ["the module", "the program"] {
            let mut process = ground.authenticated();
            process.ok("sign 0");
            match by {
                "the module" => {
                    let mut other = ground.process();
                    other.ok("set-pin 0 1234 5678");
                    other.ok("finalize");
                }
                _ => drop(change_secret("auth", "1234", "5678").ok()),
            }
            witness.select_another();
            let asked = ground.asked();
            let (rv, commands) = asked.by(|| process.run("sign 0"));
            assert_eq!(rv, CKR_USER_NOT_LOGGED_IN, "{by}");
            assert!(!commands.iter().any(|command| command.contains("[secret]")), "{by}: {commands:#?}");
            assert_eq!(ground.tries(), (3, 5), "{by}");
            assert_eq!(process.told("state 0"), (CKR_OK, CKS_RW_PUBLIC_SESSION), "{by}");
            process.ok("login 0 5678");
            process.ok("sign 0");
            // Held is now the new one.
            witness.select_another();
            process.ok("sign 0");
            process.ok("finalize");
            change_secret("auth", "5678", "1234").ok();
        }
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn who_changes_its_own_pin_goes_on_with_the_new_one() {
    with_ground("changes::who_changes_its_own_pin_goes_on_with_the_new_one", |ground| {
        let witness = ground.witness();
        let mut process = ground.authenticated();
        process.ok("set-pin 0 1234 5678");
        witness.select_another();
        process.ok("sign 0");
        // One whose change was refused has the old one.
        assert_eq!(process.run("set-pin 0 9999 1234"), CKR_PIN_INCORRECT);
        process.ok("finalize");
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn what_another_process_mistypes_shows_in_the_flags_at_the_next_call() {
    with_ground("changes::what_another_process_mistypes_shows_in_the_flags_at_the_next_call", |ground| {
        const ALL: CK_FLAGS = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
        let mut process = ground.process();
        let mut other = ground.process();
        let flags = |process: &mut crate::ground::Process, slot: u8| {
            let (rv, flags) = process.told(&format!("token {slot}"));
            assert_eq!(rv, CKR_OK);
            flags & ALL
        };
        assert_eq!(flags(&mut process, 0), 0);
        assert_eq!(other.run("login 0 9999"), CKR_PIN_INCORRECT);
        assert_eq!(flags(&mut process, 0), CKF_USER_PIN_COUNT_LOW);
        assert_eq!(other.run("login 0 8888"), CKR_PIN_INCORRECT);
        assert_eq!(flags(&mut process, 0), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
        other.ok(AUTH_LOGIN);
        assert_eq!(flags(&mut process, 0), 0);
        assert_eq!(other.run("set-pin 0 7777 5678"), CKR_PIN_INCORRECT);
        assert_eq!(flags(&mut process, 0), CKF_USER_PIN_COUNT_LOW);
        for pin in ["6666", "5555"] {
            assert_ne!(other.run(&format!("set-pin 0 {pin} 5678")), CKR_OK);
        }
        assert_eq!(flags(&mut process, 0), CKF_USER_PIN_LOCKED);
        assert_eq!(ground.tries(), (0, 5));
    });
}

#[test]
fn a_login_is_regained_after_another_process_has_mistyped_and_then_not() {
    with_ground("changes::a_login_is_regained_after_another_process_has_mistyped_and_then_not", |ground| {
        let witness = ground.witness();
        let mut process = ground.authenticated();
        let mut other = ground.process();
        process.ok("token 0");
        for pin in ["9999", "8888"] {
            assert_eq!(other.run(&format!("login 0 {pin}")), CKR_PIN_INCORRECT);
            process.ok("token 0");
        }
        // With tries missing nothing is presented.
        let asked = ground.asked();
        other.ok(AUTH_LOGIN);
        other.ok("logout 0");
        process.ok("token 0");
        witness.select_another();
        let (rv, commands) = asked.by(|| process.run("sign 0"));
        assert_eq!(rv, CKR_OK, "{commands:#?}");
        assert_eq!(ground.tries(), (3, 5));
        process.ok("finalize");
        witness.leave();
    });
}

#[test]
fn a_change_is_noticed_though_a_cleaner_has_removed_what_counted_the_one_before() {
    with_ground("changes::a_change_is_noticed_though_a_cleaner_has_removed_what_counted_the_one_before", |ground| {
        let witness = ground.witness();
        let mut other = ground.process();
        other.ok("set-pin 0 1234 5678");
        let mut process = ground.process();
        process.ok("login 0 5678");
        process.ok("sign 0");
        lock_files().iter().for_each(|file| fs::remove_file(file).expect("it is ours"));
        other.ok("set-pin 0 5678 4321");
        witness.select_another();
        assert_eq!(process.run("sign 0"), CKR_USER_NOT_LOGGED_IN);
        assert_eq!(ground.tries(), (3, 5));
        process.ok("finalize");
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}
