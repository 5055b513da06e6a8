//! Programs that use the same card in between.

use crate::common::Scratch;
use crate::common::cards::{PIN, card, card_as};
use crate::common::client::{AUTH, Client, OTHER_AUTH};
use crate::common::pcscd::with_pcscd;
use crate::common::rival::{self, Asked, ISD, JPKI, Rival};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::Kind;
use pcsc::{Disposition, ShareMode};
use std::thread;
use std::time::{Duration, Instant};

/// Asserts a good signature and how many commands it took.
fn signs(client: Client, session: CK_SESSION_HANDLE, asked: &Asked, most: usize) {
    let commands = asked.for_a_signature(client, session);
    assert!(commands.len() <= most, "{commands:#?}");
}

#[test]
fn whatever_another_program_does_to_the_card_the_next_signature_is_right() {
    with_pcscd("rivals::whatever_another_program_does_to_the_card_the_next_signature_is_right", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let _card = pcscd.insert(&file);
        let asked = Asked::of(&file);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        signs(client, session, &asked, 7);
        signs(client, session, &asked, 1);
        // Selects our application: nothing is lost.
        rival::once(0, &[JPKI]);
        signs(client, session, &asked, 2);
        // Signs on our login.
        let rival = Rival::connect(0, ShareMode::Shared);
        assert_eq!(rival.sign(), 0x9000);
        rival.leave(Disposition::LeaveCard);
        signs(client, session, &asked, 2);
        // Logs out, and leaves the card with another application or with ours.
        for commands in [&[ISD][..], &[ISD, JPKI]] {
            assert_eq!(rival::once(0, commands), 0x9000);
            signs(client, session, &asked, 6);
        }
        // Resets it; takes its power; holds it alone for a while.
        Rival::connect(0, ShareMode::Shared).leave(Disposition::ResetCard);
        signs(client, session, &asked, 2);
        Rival::connect(0, ShareMode::Shared).leave(Disposition::UnpowerCard);
        signs(client, session, &asked, 8);
        let mut rival = Rival::connect(0, ShareMode::Shared);
        let signing = rival.holding(|| {
            let signing = thread::spawn(move || client.sign(session, b"x").map(|signature| signature.len()));
            thread::sleep(Duration::from_millis(700));
            assert!(!signing.is_finished());
            signing
        });
        assert_eq!(signing.join().unwrap(), Ok(256), "when the rival has let go");
        signs(client, session, &asked, 1);
        rival.leave(Disposition::LeaveCard);
        assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS));
        // No try was lost in all this: the counter is full.
        assert_eq!(rival::once(0, &[JPKI, &[0, 0x20, 0, 0x98]]), 0x63C3);
    });
}

#[test]
fn a_card_that_another_program_holds_is_waited_for_as_long_as_told_and_then_told() {
    with_pcscd("rivals::a_card_that_another_program_holds_is_waited_for_as_long_as_told_and_then_told", |pcscd| {
        pcscd.configure_module("lock_timeout = 1\n");
        let scratches = [Scratch::new(), Scratch::new()];
        let other = card_as(&scratches[1], Kind::MyNumber, |order| order.serial = Some("9900000000000042".into()));
        let _cards = [pcscd.insert(&card(&scratches[0], Kind::MyNumber)), pcscd.insert_into(1, &other)];
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        let undisturbed = client.logged_in(OTHER_AUTH, PIN).unwrap();
        let key = client.key(session).unwrap();
        client.sign(session, b"x").unwrap();
        client.sign(undisturbed, b"x").unwrap();
        let mut rival = Rival::connect(0, ShareMode::Shared);
        rival.holding(|| {
            let signing = thread::spawn(move || {
                let start = Instant::now();
                (client.sign_with(session, key, b"x"), start.elapsed())
            });
            // Everything that needs not this card goes on.
            while !signing.is_finished() {
                let start = Instant::now();
                assert_eq!(client.is_present(AUTH), Ok(true));
                assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS));
                assert_eq!(client.event(), Err(CKR_NO_EVENT));
                client.sign(undisturbed, b"x").unwrap();
                assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
            }
            let (refused, time) = signing.join().unwrap();
            println!("CKR_DEVICE_ERROR after {time:?}, lock_timeout being 1 s");
            assert_eq!(refused, Err(CKR_DEVICE_ERROR));
            assert!((1000..1600).contains(&time.as_millis()), "{time:?}");
        });
        rival.leave(Disposition::LeaveCard);
        assert_eq!(client.state(session), Ok(CKS_RW_USER_FUNCTIONS), "waiting in vain is no logout");
        assert_eq!(client.sign(session, b"x").unwrap().len(), 256);

        // Held exclusively from before the module has met the card.
        client.finalize().unwrap();
        let exclusive = Rival::connect(0, ShareMode::Exclusive);
        client.initialize().unwrap();
        assert_eq!(client.is_present(OTHER_AUTH), Ok(true));
        assert_eq!(client.is_present(AUTH), Ok(false), "nobody knows yet what card that is");
        exclusive.leave(Disposition::LeaveCard);
        assert_eq!(client.is_present(AUTH), Ok(true));
    });
}
