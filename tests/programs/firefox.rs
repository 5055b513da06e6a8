//! Firefox in a real window: its own dialogs, with keys typed into them, against servers that demand a certificate.

mod browser;
mod marionette;

use crate::common::cards::PIN;
use crate::display::{Display, Seen, patiently};
use crate::ground::{Ground, with_ground};
use crate::tls::{Server, Version};
use browser::Choice;
pub use browser::{Firefox, Profile};
use std::fs;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "Firefox";

/// What the server's page says of a client that signed with PSS.
const PSS: &str = "Peer signature type: RSA-PSS";

#[test]
fn policies_load_the_module_and_it_logs_in_over_tls_1_3() {
    with_ground("firefox::policies_load_the_module_and_it_logs_in_over_tls_1_3", |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        let profile = Profile::new(ground, "profile", &server.authority);
        let policies = ground.installed.conf("firefox-policies.json");
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut firefox = Firefox::start(ground, &display, &profile, Some(&policies));
            firefox.open(&server.url());
            let Choice { certificates, token } = firefox.choice();
            assert_eq!(certificates.len(), 1, "{certificates:?}");
            assert!(token.contains("Auth (4-digit PIN)"), "{token}");
            display.screenshot("firefox-choice");
            firefox.confirm();
            let Seen::Prompt(prompt) = firefox.sees(&server.url()) else { panic!("no prompt") };
            display.screenshot("firefox-prompt");
            firefox.answer(&prompt, PIN);
            let Seen::Page(page) = firefox.sees(&server.url()) else { panic!("no page: {}", server.log()) };
            display.screenshot("firefox-page");
            assert!(page.contains(PSS) && page.contains("New, TLSv1.3"), "{page}");
            assert_eq!(firefox.prompts(), [format!("Please authenticate to the security device ({token}).")]);
            firefox.quit();
        });
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn modutil_loads_the_module_and_one_pin_does_for_tls_1_2_and_1_3() {
    with_ground("firefox::modutil_loads_the_module_and_one_pin_does_for_tls_1_2_and_1_3", |ground| {
        let card = ground.card();
        let display = Display::start();
        let servers = [Version::Tls12, Version::Tls13].map(|v| Server::start(&ground.scratch, v, card.auth_ca()));
        let profile = Profile::new(ground, "profile", &servers[0].authority);
        profile.add_module(&ground.installed.auth());
        profile.choose_automatically();
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut firefox = Firefox::start(ground, &display, &profile, None);
            let page = firefox.log_in(&servers[0].url(), PIN).expect("the page over TLS 1.2");
            assert!(page.contains("New, TLSv1.2") && page.contains(PSS), "{page}");
            let page = firefox.log_in(&servers[1].url(), "none is asked for").expect("the page over TLS 1.3");
            assert!(page.contains("New, TLSv1.3") && page.contains(PSS), "{page}");
            assert_eq!(firefox.prompts().len(), 1);
            firefox.quit();
        });
        assert_eq!(cost.verifies, 1);
    });
}

#[test]
fn the_plain_module_shows_it_the_authentication_token_only() {
    with_ground("firefox::the_plain_module_shows_it_the_authentication_token_only", |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        let profile = Profile::new(ground, "profile", &server.authority);
        profile.add_module(&ground.installed.both());
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut firefox = Firefox::start(ground, &display, &profile, None);
            let tokens = firefox.tokens(&ground.installed.both());
            assert!(tokens.len() == 1 && tokens[0].contains("Auth (4-digit PIN)"), "{tokens:?}");
            firefox.open(&server.url());
            assert_eq!(firefox.choice().certificates.len(), 1);
            firefox.confirm();
            let Seen::Prompt(prompt) = firefox.sees(&server.url()) else { panic!("no prompt") };
            firefox.answer(&prompt, PIN);
            let Seen::Page(page) = firefox.sees(&server.url()) else { panic!("no page: {}", server.log()) };
            assert!(page.contains(PSS), "{page}");
            assert!(firefox.prompts().iter().all(|prompt| prompt.contains("Auth (4-digit PIN)")));
            firefox.quit();
        });
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_wrong_pin_is_asked_for_again_and_a_locked_one_ends_it() {
    with_ground("firefox::a_wrong_pin_is_asked_for_again_and_a_locked_one_ends_it", |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        let profile = Profile::new(ground, "profile", &server.authority);
        profile.add_module(&ground.installed.auth());
        profile.choose_automatically();
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut firefox = Firefox::start(ground, &display, &profile, None);
            firefox.open(&server.url());
            // A PIN that the card has refused is not sent to it again, nor is one of the wrong form.
            for (pin, left) in [("9999", 2), ("9999", 2), ("12", 2), ("8888", 1), ("7777", 0)] {
                let Seen::Prompt(prompt) = firefox.sees(&server.url()) else { panic!("no prompt for {pin}") };
                firefox.answer(&prompt, pin);
                let seen = firefox.sees(&server.url());
                assert_eq!(card.tries(), (left, 5), "after {pin}: {seen:?}");
                display.screenshot(&format!("firefox-tries-{left}"));
            }
            // NSS asks again for each connection, whatever the token says of itself, but for each once: not even the right
            // PIN is sent to the card.
            let asked = 5;
            for connection in 1..=2 {
                let end = firefox.log_in(&server.url(), PIN);
                assert!(end.is_err(), "{end:?}");
                firefox.open("about:blank");
                assert!(firefox.prompts().len() <= asked + 2 * connection, "it asks without end");
            }
            firefox.quit();
        });
        assert_eq!(cost.verifies, 3);
    });
}

#[test]
fn a_card_pulled_and_put_back_logs_in_again() {
    with_ground("firefox::a_card_pulled_and_put_back_logs_in_again", |ground| {
        let card = ground.card();
        let display = Display::start();
        let servers = [Version::Tls13, Version::Tls12].map(|v| Server::start(&ground.scratch, v, card.auth_ca()));
        let profile = Profile::new(ground, "profile", &servers[0].authority);
        profile.add_module(&ground.installed.auth());
        profile.choose_automatically();
        let mut firefox = Firefox::start(ground, &display, &profile, None);
        let ((), first) = ground.with_inserted(&card, |_| {
            firefox.log_in(&servers[0].url(), PIN).expect("the page");
        });
        let without = firefox.log_in(&servers[1].url(), "none is asked for");
        assert!(without.is_err(), "{without:?}");
        let ((), second) = ground.with_inserted(&card, |_| {
            // Firefox looks for cards every three seconds at most.
            patiently("the page after the card is put back", || {
                firefox.open("about:blank");
                firefox.log_in(&servers[1].url(), PIN).ok()
            });
            assert_eq!(firefox.prompts().len(), 2);
            firefox.quit();
        });
        assert_eq!((first.verifies, second.verifies), (1, 1));
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn the_certificate_manager_shows_the_certificate_without_a_pin() {
    with_ground("firefox::the_certificate_manager_shows_the_certificate_without_a_pin", |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        let profile = Profile::new(ground, "profile", &server.authority);
        profile.add_module(&ground.installed.auth());
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut firefox = Firefox::start(ground, &display, &profile, None);
            let rows = firefox.certificates();
            display.screenshot("firefox-certificates");
            let ours: Vec<_> = rows.iter().filter(|(_, token)| token.contains("Auth (4-digit PIN)")).collect();
            assert_eq!(ours.len(), 1, "{rows:?}");
            assert_eq!(firefox.prompts(), [""; 0]);
            firefox.quit();
        });
        assert_eq!(cost.verifies, 0);
    });
}

#[test]
fn logging_in_costs_less_than_with_opensc() {
    with_ground("firefox::logging_in_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        let display = Display::start();
        for (version, what) in [(Version::Tls12, "log in, TLS 1.2"), (Version::Tls13, "log in, TLS 1.3")] {
            let server = Server::start(&ground.scratch, version, card.auth_ca());
            ground.compare(&card, PROGRAM, what, &ground.installed.auth(), |module| {
                let name = module.file_stem().and_then(|name| name.to_str()).expect("it has a name");
                let profile = Profile::new(ground, &format!("{name}-{version:?}"), &server.authority);
                profile.choose_automatically();
                let mut firefox = Firefox::start(ground, &display, &profile, Some(&policies_for(ground, module)));
                let page = firefox.log_in(&server.url(), PIN);
                // With OpenSC's module it asks for the signature password as well.
                let prompts = firefox.prompts();
                assert!(prompts.len() == 1 || module != ground.installed.auth(), "{prompts:?}");
                firefox.quit();
                page.is_ok()
            });
        }
    });
}

/// Our policies, with this module in them.
fn policies_for(ground: &Ground<'_>, module: &Path) -> PathBuf {
    let policies = fs::read_to_string(ground.installed.conf("firefox-policies.json")).expect("it is installed");
    let (ours, theirs) = (ground.installed.auth().display().to_string(), module.display().to_string());
    assert!(policies.contains(&ours), "{policies}");
    ground.scratch.file("policies.json", policies.replace(&ours, &theirs))
}
