//! Chromium in a real window: its own dialogs, with keys typed into them, against servers that demand a certificate.

mod browser;
mod devtools;

use crate::common::cards::PIN;
use crate::display::{Display, patiently};
use crate::ground::with_ground;
use crate::tls::{Server, Version};
use browser::{Chromium, Seen, set_up};

const PROGRAM: &str = "Chromium";

/// What the server's page says of a client that signed with PSS.
const PSS: &str = "Peer signature type: RSA-PSS";

#[test]
fn the_nss_database_loads_the_module_and_one_pin_does_for_tls_1_3_and_1_2() {
    with_ground("chromium::the_nss_database_loads_the_module_and_one_pin_does_for_tls_1_3_and_1_2", |ground| {
        let card = ground.card();
        let display = Display::start();
        let servers = [Version::Tls13, Version::Tls12].map(|v| Server::start(&ground.scratch, v, card.auth_ca()));
        set_up(ground, &ground.installed.auth(), &servers[0].authority);
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut chromium = Chromium::start(ground, &display);
            let page = chromium.log_in(&servers[0].url(), PIN).expect("the page over TLS 1.3");
            display.screenshot("chromium-page");
            assert!(page.contains("New, TLSv1.3") && page.contains(PSS), "{page}");
            let page = chromium.log_in(&servers[1].url(), "none is asked for").expect("the page over TLS 1.2");
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

#[test]
fn the_plain_module_shows_it_the_authentication_token_only() {
    with_ground("chromium::the_plain_module_shows_it_the_authentication_token_only", |ground| {
        let card = ground.card();
        // It would admit the holder of either certificate.
        let both = format!("{}{}", card.auth_ca(), card.sign_ca());
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, &both));
        set_up(ground, &ground.installed.both(), &server.authority);
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut chromium = Chromium::start(ground, &display);
            let page = chromium.log_in(&server.url(), PIN).expect("the page, after one prompt");
            assert!(page.contains("OU=PRACTICE for user authentication"), "{page}");
            chromium.quit();
        });
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_wrong_pin_is_asked_for_again_and_a_locked_one_ends_it() {
    with_ground("chromium::a_wrong_pin_is_asked_for_again_and_a_locked_one_ends_it", |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        set_up(ground, &ground.installed.auth(), &server.authority);
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut chromium = Chromium::start(ground, &display);
            chromium.open(&server.url());
            let mut seen = chromium.confirm(&server.url());
            // A PIN that the card has refused is not sent to it again, nor is one of the wrong form.
            for (pin, left) in [("9999", 2), ("9999", 2), ("12", 2), ("8888", 1), ("7777", 0)] {
                let Seen::Prompt(prompt) = seen else { panic!("no prompt for {pin}: {seen:?}") };
                chromium.answer(&prompt, pin);
                seen = chromium.sees(&server.url());
                assert_eq!(card.tries(), (left, 5), "after {pin}: {seen:?}");
                display.screenshot(&format!("chromium-tries-{left}"));
            }
            println!("{seen:?}");
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
        set_up(ground, &ground.installed.auth(), &servers[0].authority);
        let mut chromium = Chromium::start(ground, &display);
        let ((), first) = ground.with_inserted(&card, |_| {
            chromium.log_in(&servers[0].url(), PIN).expect("the page");
        });
        let without = chromium.log_in(&servers[1].url(), "none is asked for");
        println!("{without:?}");
        assert!(without.is_err(), "{without:?}");
        let ((), second) = ground.with_inserted(&card, |_| {
            patiently("the page after the card is put back", || {
                chromium.open("about:blank");
                chromium.log_in(&servers[1].url(), PIN).ok()
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
            ground.compare(&card, PROGRAM, what, &ground.installed.auth(), |module| {
                set_up(ground, module, &server.authority);
                let mut chromium = Chromium::start(ground, &display);
                let page = chromium.log_in(&server.url(), PIN);
                println!("{} {:?}", module.display(), page.as_ref().err());
                display.screenshot(&format!("x-{version:?}-{}", module.file_stem().unwrap().display()));
                chromium.quit();
                page.is_ok()
            });
        }
    });
}
