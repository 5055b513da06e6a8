//! Three processes, two tokens each, that log in, sign, log out, exit and are killed at random. A few seconds of it in every
//! run, as many as `JPKI_STRESS_SECONDS` says by hand.

use crate::common::witness::Open;
use crate::common::{jpki, run};
use crate::ground::{AUTH_LOGIN, Ground, Process, SIGN_LOGIN, with_ground};
use cryptoki_sys::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Who has a runtime directory.
const MIXES: [[bool; 3]; 3] = [[true; 3], [false; 3], [true, false, true]];

#[derive(Debug, Default)]
struct Done {
    logins: AtomicU64,
    signatures: [AtomicU64; 2],
    logouts: AtomicU64,
    exits: AtomicU64,
    kills: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Numbers as random as this needs them, and the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One of the processes, over and over again.
fn live(ground: &Ground<'_>, number: u64, with_runtime_directory: bool, end: Instant, done: &Done) {
    let mut random = Random(number);
    let begin = || {
        ground.process_with(
            |command| {
                if with_runtime_directory { command } else { command.env_remove("XDG_RUNTIME_DIR") }
            },
        )
    };
    let mut process: Process = begin();
    let mut logged_in = [false; 2];
    while Instant::now() < end {
        let slot = usize::try_from(random.below(2)).expect("it is small");
        match random.below(20) {
            0 => {
                process.ended_by(libc::SIGKILL);
                (process, logged_in) = (begin(), [false; 2]);
                count(&done.kills);
            }
            1 => {
                assert_eq!(process.ends("exit 0").code(), Some(0));
                (process, logged_in) = (begin(), [false; 2]);
                count(&done.exits);
            }
            2..=5 if logged_in[slot] => {
                process.ok(&format!("logout {slot}"));
                logged_in[slot] = false;
                count(&done.logouts);
            }
            _ if logged_in[slot] => {
                assert_eq!(
                    process.run(&format!("sign {slot}")),
                    CKR_OK,
                    "process {number}, slot {slot}: a login was lost"
                );
                count(&done.signatures[slot]);
            }
            _ => {
                process.ok([AUTH_LOGIN, SIGN_LOGIN][slot]);
                logged_in[slot] = true;
                count(&done.logins);
            }
        }
    }
    // One of them ends well, the others as they please.
    match number {
        0 => process.ok("finalize"),
        1 => assert_eq!(process.ends("exit 0").code(), Some(0)),
        _ => process.ended_by(libc::SIGKILL),
    }
}

#[test]
fn three_processes_that_come_and_go_lose_no_login_and_leave_no_key_open() {
    with_ground("stress::three_processes_that_come_and_go_lose_no_login_and_leave_no_key_open", |ground| {
        let seconds = std::env::var("JPKI_STRESS_SECONDS").ok().map_or(6, |seconds| seconds.parse().expect("a number"));
        let witness = ground.witness();
        for mix in MIXES {
            let done = Done::default();
            let end = Instant::now() + Duration::from_secs(seconds) / 3;
            thread::scope(|scope| {
                for (number, with_runtime_directory) in (0..).zip(mix) {
                    let done = &done;
                    scope.spawn(move || live(ground, number, with_runtime_directory, end, done));
                }
            });
            run(jpki().arg("status")).ok();
            let open = witness.signs_with();
            println!("runtime directory {mix:?}, {} s: {done:?}; open afterwards: {open:?}", seconds as f64 / 3.0);
            assert_eq!(open, Open::Neither);
            assert_eq!(ground.tries(), (3, 5), "a try was spent");
        }
        witness.leave();
    });
}
