//! What a signature costs through a real pcscd, counted at the card: the budgets of the module's own tests hold there too,
//! and so does what is added when another program has used the card in between.

#![allow(clippy::print_stdout, reason = "what was measured is said")]

mod common;

use common::Scratch;
use common::cards::{PASSWORD, PIN, card};
use common::client::{AUTH, Client, SIGN};
use common::pcscd::with_pcscd;
use common::rival::{self, Asked, ISD, JPKI};
use cryptoki_sys::CK_SESSION_HANDLE;
use jpki_pkcs11::emulator::image::Kind;

/// How many commands a signature takes whose session and key are there.
fn cost(client: Client, session: CK_SESSION_HANDLE, asked: &Asked) -> usize {
    asked.for_a_signature(client, session).len()
}

#[test]
fn sessions_polls_and_searches_cost_nothing_and_a_signature_one_command() {
    with_pcscd("sessions_polls_and_searches_cost_nothing_and_a_signature_one_command", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let _card = pcscd.insert(&file);
        let asked = Asked::of(&file);
        let (client, commands) = asked.by(Client::start);
        assert!(commands.is_empty(), "C_Initialize: {commands:#?}");
        let (_, commands) = asked.by(|| client.slots(true).unwrap());
        println!("recognising a card after power-up: {} commands", commands.len());
        // SELECT twice for the 6F00 after power-up, EF 0006, EF 0008.
        assert!(commands.len() <= 4, "{commands:#?}");
        for (slot, secret) in [(AUTH, PIN), (SIGN, PASSWORD)] {
            let (session, commands) = asked.by(|| client.open(slot).unwrap());
            assert!(commands.is_empty(), "C_OpenSession: {commands:#?}");
            let (_, commands) = asked.by(|| client.login(session, secret).unwrap());
            println!("C_Login: {} commands", commands.len());
            assert!(commands.len() <= 3, "{commands:#?}");
            let (_, commands) = asked.by(|| client.key(session).unwrap());
            println!("the certificate, for the first key: {} commands", commands.len());
            assert!(commands.len() <= 9, "{commands:#?}");
            assert_eq!(cost(client, session, &asked), 1);
            let polls = || {
                for _ in 0..100 {
                    assert!(client.is_present(slot).unwrap());
                    client.state(session).unwrap();
                    client.close(client.open(slot).unwrap()).unwrap();
                    client.key(session).unwrap();
                }
            };
            let ((), commands) = asked.by(polls);
            assert!(commands.is_empty(), "{commands:#?}");
            let (_, commands) = asked.by(|| client.label(slot).unwrap());
            assert_eq!(commands.len(), 1, "C_GetTokenInfo: {commands:#?}");
        }
    });
}

#[test]
fn after_a_rivals_select_a_signature_costs_at_most_one_more_and_after_its_logout_five() {
    with_pcscd("after_a_rivals_select_a_signature_costs_at_most_one_more_and_after_its_logout_five", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let _card = pcscd.insert(&file);
        let asked = Asked::of(&file);
        let client = Client::start();
        let session = client.logged_in(AUTH, PIN).unwrap();
        client.label(AUTH).unwrap();
        client.sign(session, b"x").unwrap();
        assert_eq!(cost(client, session, &asked), 1);
        let select_file: &[u8] = &[0, 0xA4, 2, 0x0C, 2, 0, 0x1A];
        let resets = || {
            rival::Rival::connect(0, pcsc::ShareMode::Shared).leave(pcsc::Disposition::ResetCard);
            0x9000
        };
        let rivals: [(&str, &dyn Fn() -> u16, usize); 5] = [
            ("SELECT of our application", &|| rival::once(0, &[JPKI]), 2),
            ("SELECT of a file of it", &|| rival::once(0, &[JPKI, select_file]), 2),
            ("reset", &resets, 2),
            ("SELECT of another application, a logout", &|| rival::once(0, &[ISD]), 6),
            ("the same, and back", &|| rival::once(0, &[ISD, JPKI]), 6),
        ];
        for (deed, rival, most) in rivals {
            assert_eq!(rival(), 0x9000, "{deed}");
            let count = cost(client, session, &asked);
            println!("after a rival's {deed}: {count} commands");
            assert!(count <= most, "{deed}: {count}");
            assert_eq!(cost(client, session, &asked), 1, "and no more than that once");
        }
    });
}
