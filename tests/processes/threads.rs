//! Threads that use one card, and one that lets other programs use it.

use crate::common::cards::{PIN, card, card_as};
use crate::common::client::{AUTH, Client, OTHER_AUTH};
use crate::common::openssl::{Padding, PublicKey};
use crate::common::pcscd::with_pcscd;
use crate::common::rival::Rival;
use crate::common::{Scratch, eventually};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::Kind;
use pcsc::{Disposition, ShareMode};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn two_slow_cards_sign_at_once_among_polls_and_waits() {
    with_pcscd("threads::two_slow_cards_sign_at_once_among_polls_and_waits", |pcscd| {
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
    with_pcscd("threads::thirty_two_threads_share_one_token_fairly", |pcscd| {
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
    with_pcscd("threads::a_program_that_signs_without_pause_lets_others_in", |pcscd| {
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
