//! Firefox in a real window.

use super::with_both;
use crate::common::cards::PIN;
use crate::display::{Display, Seen};
use crate::firefox::{Firefox, Profile};
use crate::tls::{Server, Version};

const PROGRAM: &str = "Firefox";

/// It asks which of the two to send, and for the PIN of that one's card.
fn logs_in_with_each_card(name: &str, version: Version) {
    with_both(&format!("firefox::{name}"), |both| {
        let display = Display::start();
        let log_in = |authority: &str, card: &crate::ground::Card, signature: &str| {
            let server = Server::start(&both.ground.scratch, version, authority);
            let profile = Profile::new(both.ground, &format!("profile-{signature}"), &server.authority);
            profile.add_module(&both.ground.installed.auth());
            let mut firefox = Firefox::start(both.ground, &display, &profile, None);
            firefox.open(&server.url());
            assert_eq!(firefox.choice().certificates.len(), 2);
            firefox.choose(&card.auth_token());
            firefox.confirm();
            let Seen::Prompt(prompt) = firefox.sees(&server.url()) else { panic!("no prompt: {}", server.log()) };
            firefox.answer(&prompt, PIN);
            let Seen::Page(page) = firefox.sees(&server.url()) else { panic!("no page: {}", server.log()) };
            assert!(page.contains(&format!("Peer signature type: {signature}")), "{page}");
            let prompts = firefox.prompts();
            assert!(matches!(&prompts[..], [one] if one.contains(&card.auth_token())), "{prompts:?}");
            firefox.quit();
        };
        let what = format!("log in, {version}");
        both.measure(PROGRAM, &what, 1, || log_in(both.next.auth_ca(), &both.next, "ECDSA"));
        let ((), costs) = both.with_inserted(|| log_in(both.today.auth_ca(), &both.today, "RSA-PSS"));
        assert_eq!(costs.map(|cost| cost.verifies), [1, 0]);
    });
}

#[test]
fn it_logs_in_with_each_card_over_tls_1_2() {
    logs_in_with_each_card("it_logs_in_with_each_card_over_tls_1_2", Version::Tls12);
}

#[test]
fn it_logs_in_with_each_card_over_tls_1_3() {
    logs_in_with_each_card("it_logs_in_with_each_card_over_tls_1_3", Version::Tls13);
}
