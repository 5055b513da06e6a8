//! The strong login never yields to the weak one: what becomes of either key when a login to the other token lives.

use crate::common::cards::PASSWORD;
use crate::common::witness::Open;
use crate::common::{jpki, run};
use crate::ground::{AUTH_LOGIN, SIGN_LOGIN, change_secret, status_with, with_ground};
use cryptoki_sys::*;
use std::time::Duration;

/// How a login to the signature token ends. After C_SetPIN nobody was logged in before.
const ENDS: [&str; 5] = ["logout 1", "close 1", "close-all 1", "finalize", "set-pin 1 PRACTICE1 PRACTICE1"];

#[test]
fn the_signature_key_is_closed_with_its_login_whoever_else_has_the_authentication_token() {
    with_ground(
        "tokens::the_signature_key_is_closed_with_its_login_whoever_else_has_the_authentication_token",
        |ground| {
            let witness = ground.witness();
            let mut other = ground.authenticated();
            for end in ENDS {
                let mut signer = ground.process();
                if !end.starts_with("set-pin") {
                    signer.ok(SIGN_LOGIN);
                    signer.ok("sign 1");
                }
                signer.ok(end);
                assert!(
                    matches!(witness.signs_with(), Open::Neither | Open::Authentication),
                    "{end}: anybody signs with the signature key"
                );
                other.ok("sign 0");
                assert_eq!(other.told("state 0"), (CKR_OK, CKS_RW_USER_FUNCTIONS), "{end}");
            }
            other.ok("logout 0");
            assert_eq!(witness.signs_with(), Open::Neither);
            assert_eq!(ground.tries(), (3, 5));
            witness.leave();
        },
    );
}

#[test]
fn the_signature_key_is_closed_with_its_login_though_the_same_process_has_the_authentication_token() {
    with_ground(
        "tokens::the_signature_key_is_closed_with_its_login_though_the_same_process_has_the_authentication_token",
        |ground| {
            let witness = ground.witness();
            for end in ENDS {
                let mut process = ground.authenticated();
                if !end.starts_with("set-pin") {
                    process.ok(SIGN_LOGIN);
                    process.ok("sign 1");
                }
                process.ok(end);
                if end == "finalize" {
                    assert_eq!(witness.signs_with(), Open::Neither);
                    continue;
                }
                assert!(
                    matches!(witness.signs_with(), Open::Neither | Open::Authentication),
                    "{end}: anybody signs with the signature key"
                );
                process.ok("sign 0");
                assert_eq!(process.told("state 0"), (CKR_OK, CKS_RW_USER_FUNCTIONS), "{end}");
                process.ok("finalize");
                assert_eq!(witness.signs_with(), Open::Neither, "{end}");
            }
            assert_eq!(ground.tries(), (3, 5));
            witness.leave();
        },
    );
}

#[test]
fn a_signature_login_outlives_every_end_of_an_authentication_login() {
    with_ground("tokens::a_signature_login_outlives_every_end_of_an_authentication_login", |ground| {
        let witness = ground.witness();
        let mut signer = ground.signing();
        for end in
            ["logout 0", "close 0", "close-all 0", "finalize", "exit 0", "set-pin 0 1234 1234", "jpki pin change"]
        {
            let mut other = ground.process();
            match end {
                "jpki pin change" => drop(change_secret("auth", "1234", "1234").ok()),
                "exit 0" => {
                    other.ok(AUTH_LOGIN);
                    assert_eq!(other.ends(end).code(), Some(0));
                }
                end => {
                    if !end.starts_with("set-pin") {
                        other.ok(AUTH_LOGIN);
                        other.ok("sign 0");
                    }
                    other.ok(end);
                }
            }
            assert_eq!(signer.run("sign 1"), CKR_OK, "{end}");
        }
        signer.ok("logout 1");
        assert_eq!(witness.signs_with(), Open::Neither, "the authentication key is closed with the signature key");
        assert_eq!(ground.tries(), (3, 5));
        witness.leave();
    });
}

#[test]
fn the_program_logs_out_what_it_has_logged_in_and_nobody_else() {
    with_ground("tokens::the_program_logs_out_what_it_has_logged_in_and_nobody_else", |ground| {
        let witness = ground.witness();
        let mut other = ground.authenticated();
        status_with(PASSWORD).ok();
        assert!(matches!(witness.signs_with(), Open::Neither | Open::Authentication));
        other.ok("sign 0");
        let mut signer = ground.signing();
        status_with(PASSWORD).ok();
        run(jpki().arg("status")).ok();
        run(jpki().arg("doctor"));
        signer.ok("sign 1");
        other.ok("sign 0");
        signer.ok("logout 1");
        other.ok("logout 0");
        assert_eq!(witness.signs_with(), Open::Neither);
        status_with(PASSWORD).ok();
        assert_eq!(witness.signs_with(), Open::Neither);
        status_with("WRONG123").refused();
        assert_eq!(ground.tries(), (3, 4));
        witness.leave();
    });
}

#[test]
fn the_last_of_two_signature_logins_closes_the_key() {
    with_ground("tokens::the_last_of_two_signature_logins_closes_the_key", |ground| {
        let witness = ground.witness();
        for end in ["logout 1", "close 1", "finalize", "exit 0"] {
            let (mut first, mut second) = (ground.signing(), ground.signing());
            let mut other = ground.authenticated();
            match end {
                "exit 0" => assert_eq!(first.ends(end).code(), Some(0)),
                end => first.ok(end),
            }
            assert_eq!(second.run("sign 1"), CKR_OK, "{end}");
            second.ok("logout 1");
            assert!(matches!(witness.signs_with(), Open::Neither | Open::Authentication), "{end}");
            other.ok("sign 0");
            other.ok("finalize");
            assert_eq!(witness.signs_with(), Open::Neither, "{end}");
        }
        witness.leave();
    });
}

#[test]
fn an_expired_login_counts_as_none_when_the_other_token_is_logged_out() {
    with_ground("tokens::an_expired_login_counts_as_none_when_the_other_token_is_logged_out", |ground| {
        ground.pcscd.configure_module("[auth]\nmax_login = 1\n");
        let witness = ground.witness();
        let mut process = ground.authenticated();
        process.ok(SIGN_LOGIN);
        // What is waited for is time itself.
        std::thread::sleep(Duration::from_millis(1500));
        process.ok("logout 1");
        assert_eq!(witness.signs_with(), Open::Neither);
        // Its key is gone with the login.
        assert_eq!(process.run("sign 0"), CKR_KEY_HANDLE_INVALID);

        // The same where another process has the other token.
        let mut other = ground.authenticated();
        process.ok(SIGN_LOGIN);
        std::thread::sleep(Duration::from_millis(1500));
        process.ok("logout 1");
        assert!(matches!(witness.signs_with(), Open::Neither | Open::Authentication));
        assert_eq!(other.run("sign 0"), CKR_KEY_HANDLE_INVALID);
        other.ok("slot 0");
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn two_threads_with_a_token_each_take_no_login_from_each_other() {
    with_ground("tokens::two_threads_with_a_token_each_take_no_login_from_each_other", |ground| {
        for with_runtime_directory in [true, false] {
            let mut process = ground.process_with(|command| {
                if with_runtime_directory { command } else { command.env_remove("XDG_RUNTIME_DIR") }
            });
            process.ok("begin loop 0 1234 4000");
            let signature = process.say("loop 1 PRACTICE1 3000");
            let authentication = process.say("join");
            println!(
                "runtime directory: {with_runtime_directory}; signature: {signature}; authentication: {authentication}"
            );
            assert!(signature.starts_with("0 nothing"), "signature: {signature}");
            assert!(authentication.starts_with("0 nothing"), "authentication: {authentication}");
        }
        assert_eq!(ground.tries(), (3, 5));
    });
}
