//! Sessions that end beside others that begin, and handles from before C_Finalize.

use crate::common::cards::PIN;
use crate::common::client::{AUTH, Client};
use crate::ground::with_ground;
use cryptoki_sys::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_session_from_before_c_finalize_means_none_afterwards() {
    with_ground("sessions::a_session_from_before_c_finalize_means_none_afterwards", |_| {
        let client = Client::start();
        let mut old = Vec::new();
        for _ in 0..3 {
            let session = client.logged_in(AUTH, PIN).unwrap();
            old.push(session);
            client.finalize().unwrap();
            client.initialize().unwrap();
            let new = client.open(AUTH).unwrap();
            assert!(!old.contains(&new), "{new} again");
            for &session in &old {
                assert_eq!(client.state(session), Err(CKR_SESSION_HANDLE_INVALID));
                assert_eq!(client.login(session, PIN), Err(CKR_SESSION_HANDLE_INVALID));
                assert_eq!(client.close(session), Err(CKR_SESSION_HANDLE_INVALID));
            }
            client.close(new).unwrap();
        }
    });
}

#[test]
fn who_closes_all_sessions_ends_no_login_of_a_session_that_goes_on() {
    with_ground("sessions::who_closes_all_sessions_ends_no_login_of_a_session_that_goes_on", |ground| {
        let client = Client::start();
        let (stop, logins) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let closed = client.close_all(AUTH);
                    assert_eq!(closed, Ok(()));
                }
            });
            let end = Instant::now() + Duration::from_secs(4);
            while Instant::now() < end {
                let session = client.open(AUTH).unwrap();
                // Any of these may hear that the session was closed: nothing else.
                match client.login(session, PIN) {
                    Ok(()) => {
                        logins.fetch_add(1, Ordering::SeqCst);
                        let state = client.state(session);
                        let whole = state == Ok(CKS_RW_USER_FUNCTIONS) || state == Err(CKR_SESSION_HANDLE_INVALID);
                        if !whole {
                            stop.store(true, Ordering::SeqCst);
                        }
                        assert!(whole, "logged in, its session not closed, and yet its state is {state:?}");
                    }
                    // Closed by now, or not even the last one is.
                    Err(CKR_SESSION_HANDLE_INVALID | CKR_USER_ALREADY_LOGGED_IN) => {}
                    Err(rv) => {
                        stop.store(true, Ordering::SeqCst);
                        panic!("{rv:#X}");
                    }
                }
            }
            stop.store(true, Ordering::SeqCst);
        });
        println!("{logins:?} logins beside C_CloseAllSessions");
        client.close_all(AUTH).unwrap();
        let witness = ground.witness();
        assert_eq!(witness.signs_with(), crate::common::witness::Open::Neither);
        witness.leave();
        assert_eq!(ground.tries(), (3, 5));
    });
}

#[test]
fn who_closes_all_sessions_leaves_the_token_public_whoever_opens_one_meanwhile() {
    with_ground("sessions::who_closes_all_sessions_leaves_the_token_public_whoever_opens_one_meanwhile", |ground| {
        let client = Client::start();
        let stop = AtomicBool::new(false);
        let outcome = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        client.open(AUTH).unwrap();
                    }
                });
            }
            let end = Instant::now() + Duration::from_secs(5);
            let (mut times, mut left) = (0, None);
            while left.is_none() && Instant::now() < end {
                client.logged_in(AUTH, PIN).unwrap();
                client.close_all(AUTH).unwrap();
                let state = client.state(client.open(AUTH).unwrap());
                left = (state != Ok(CKS_RW_PUBLIC_SESSION)).then_some(state);
                times += 1;
            }
            stop.store(true, Ordering::SeqCst);
            (times, left)
        });
        println!("after {} times: {:?}", outcome.0, outcome.1);
        assert_eq!(outcome.1, None, "nobody has logged in since C_CloseAllSessions");
        client.close_all(AUTH).unwrap();
        assert_eq!(ground.tries(), (3, 5));
    });
}
