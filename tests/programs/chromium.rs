//! Chromium in a real window: its own dialogs, with keys typed into them, against servers that demand a certificate.

mod browser;
mod devtools;

use crate::common::cards::PIN;
use crate::common::opensc;
use crate::display::{Display, Seen, patiently};
use crate::ground::{Card, Ground, with_ground};
use crate::tls::{Server, Version};
use browser::{Chromium, Home};

const PROGRAM: &str = "Chromium";

/// What the server's page says of a client that signed with PSS.
const PSS: &str = "Peer signature type: RSA-PSS";

#[test]
fn the_nss_database_loads_the_module_and_one_pin_does_for_tls_1_3_and_1_2() {
    with_ground("chromium::the_nss_database_loads_the_module_and_one_pin_does_for_tls_1_3_and_1_2", |ground| {
        let card = ground.card();
        let display = Display::start();
        let servers = [Version::Tls13, Version::Tls12].map(|v| Server::start(&ground.scratch, v, card.auth_ca()));
        let home = Home::new(ground, "user", &ground.installed.auth(), &servers[0].authority);
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut chromium = Chromium::start(ground, &display, &home);
            chromium.open(&servers[0].url());
            let seen = chromium.confirm(&servers[0].url(), Some("chromium-choice"));
            let Seen::Prompt(prompt) = seen else { panic!("no prompt: {seen:?}") };
            display.screenshot("chromium-prompt");
            chromium.answer(&prompt, PIN);
            let Seen::Page(page) = chromium.sees(&servers[0].url()) else { panic!("no page: {}", servers[0].log()) };
            display.screenshot("chromium-page");
            assert!(page.contains("New, TLSv1.3") && page.contains(PSS), "{page}");
            let page = chromium.log_in(&servers[1].url(), &[]).expect("the page over TLS 1.2");
            // Chromium takes PKCS#1 v1.5 where it may.
            assert!(
                page.contains("New, TLSv1.2") && page.lines().any(|line| line == "Peer signature type: RSA"),
                "{page}"
            );
            chromium.quit();
        });
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

/// Asserts that the PIN, asked for once, logs in with the authentication certificate.
fn assert_one_pin_logs_in(ground: &Ground<'_>, card: &Card, display: &Display, home: &Home, server: &Server) {
    let ((), cost) = ground.with_inserted(card, |_| {
        let mut chromium = Chromium::start(ground, display, home);
        let page = chromium.log_in(&server.url(), &[PIN]).expect("the page, after one prompt");
        assert!(page.contains("OU=PRACTICE for user authentication"), "{page}");
        chromium.quit();
    });
    assert_eq!(cost.verifies, 1);
}

#[test]
fn it_finds_what_jpki_setup_added_to_the_database_in_the_newer_place_and_what_was_there() {
    let name = "chromium::it_finds_what_jpki_setup_added_to_the_database_in_the_newer_place_and_what_was_there";
    with_ground(name, |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        // The user trusts the server's authority there, without which the page would not be shown.
        let home = Home::set_up(ground, "user", ".local/share/pki/nssdb", &server.authority);
        assert_one_pin_logs_in(ground, &card, &display, &home, &server);
    });
}

#[test]
fn the_plain_module_shows_it_the_authentication_token_only() {
    with_ground("chromium::the_plain_module_shows_it_the_authentication_token_only", |ground| {
        let card = ground.card();
        // It would admit the holder of either certificate.
        let both = format!("{}{}", card.auth_ca(), card.sign_ca());
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, &both));
        let home = Home::new(ground, "user", &ground.installed.both(), &server.authority);
        assert_one_pin_logs_in(ground, &card, &display, &home, &server);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_wrong_pin_is_asked_for_again_and_a_locked_one_ends_it() {
    with_ground("chromium::a_wrong_pin_is_asked_for_again_and_a_locked_one_ends_it", |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        let home = Home::new(ground, "user", &ground.installed.auth(), &server.authority);
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut chromium = Chromium::start(ground, &display, &home);
            chromium.open(&server.url());
            let mut seen = chromium.confirm(&server.url(), None);
            // A PIN that the card has refused is not sent to it again, nor is one of the wrong form.
            for (pin, left) in [("9999", 2), ("9999", 2), ("12", 2), ("8888", 1), ("7777", 0)] {
                let Seen::Prompt(prompt) = seen else { panic!("no prompt for {pin}: {seen:?}") };
                chromium.answer(&prompt, pin);
                seen = chromium.sees(&server.url());
                assert_eq!(card.tries(), (left, 5), "after {pin}: {seen:?}");
                display.screenshot(&format!("chromium-tries-{left}"));
            }
            assert!(matches!(seen, Seen::Failure(_)), "{seen:?}");
            chromium.quit();
        });
        assert_eq!(cost.verifies, 3);
    });
}

#[test]
fn a_card_pulled_and_put_back_logs_in_again() {
    with_ground("chromium::a_card_pulled_and_put_back_logs_in_again", |ground| {
        let card = ground.card();
        let display = Display::start();
        let servers = [Version::Tls13, Version::Tls12].map(|v| Server::start(&ground.scratch, v, card.auth_ca()));
        let home = Home::new(ground, "user", &ground.installed.auth(), &servers[0].authority);
        let mut chromium = Chromium::start(ground, &display, &home);
        let ((), first) = ground.with_inserted(&card, |_| {
            chromium.log_in(&servers[0].url(), &[PIN]).expect("the page");
        });
        let without = chromium.log_in(&servers[1].url(), &[]);
        assert!(matches!(without, Err(Seen::Failure(_))), "{without:?}");
        let ((), second) = ground.with_inserted(&card, |_| {
            patiently("the page after the card is put back", || {
                chromium.open("about:blank");
                chromium.log_in(&servers[1].url(), &[PIN]).ok()
            });
            chromium.quit();
        });
        assert_eq!((first.verifies, second.verifies), (1, 1));
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn logging_in_costs_less_than_with_opensc() {
    with_ground("chromium::logging_in_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        let display = Display::start();
        for (version, what) in [(Version::Tls12, "log in, TLS 1.2"), (Version::Tls13, "log in, TLS 1.3")] {
            let server = Server::start(&ground.scratch, version, card.auth_ca());
            let ours = ground.installed.auth();
            let home =
                |name: &str, module| Home::new(ground, &format!("{name}-{version:?}"), module, &server.authority);
            let (with_ours, with_theirs) = (home("ours", &ours), home("theirs", &opensc()));
            ground.compare(&card, PROGRAM, what, &ours, |module| {
                // With OpenSC's module it asks for the signature password as well, which OpenSC knows this is not.
                let (home, pins) =
                    if module == ours { (&with_ours, &[PIN][..]) } else { (&with_theirs, &[PIN; 6][..]) };
                let mut chromium = Chromium::start(ground, &display, home);
                let page = chromium.log_in(&server.url(), pins);
                chromium.quit();
                page.is_ok()
            });
        }
    });
}

#[test]
fn the_script_takes_the_module_out_again() {
    with_ground("chromium::the_script_takes_the_module_out_again", |ground| {
        let card = ground.card();
        let server = Server::start(&ground.scratch, Version::Tls13, card.auth_ca());
        let home = Home::new(ground, "user", &ground.installed.auth(), &server.authority);
        let module = ground.installed.auth().display().to_string();
        assert!(home.modules().contains(&module));
        home.run(&ground.installed.conf("chromium-nssdb.sh"), &["--undo"]);
        assert!(!home.modules().contains(&module));
    });
}
