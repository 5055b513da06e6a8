//! OpenSSL's engine `pkcs11`, of libp11, with openssl(1) and curl.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::Padding;
use crate::common::{Ran, library, run};
use crate::ground::{Card, Ground, with_ground};
use crate::openssl::{AUTH_KEY, SIGN_KEY, Way, assert_page, of_module, with_pin_in};
use crate::program::program;
use crate::terminal::on_a_terminal;
use crate::tls::{Server, Version};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "OpenSSL engine";
const PROMPT: &str = "Enter PKCS#11 token PIN for PRACTICE Auth";

/// The test `name`, with openssl(1) as `openssl-engine.cnf` sets it up.
fn with_engine(name: &str, body: impl FnOnce(&Way<'_>)) {
    with_engine_of(&format!("openssl_engine::{name}"), body);
}

/// The same for a test of another module, which is in its name.
pub fn with_engine_of(name: &str, body: impl FnOnce(&Way<'_>)) {
    with_ground(name, |ground| {
        let conf = ground.installed.conf("openssl-engine.cnf");
        library("engines-3/pkcs11.so", "libengine-pkcs11-openssl");
        body(&Way {
            ground,
            openssl: &|| {
                let mut openssl = program("openssl", "openssl");
                openssl.env("OPENSSL_CONF", &conf);
                openssl
            },
            key_options: &["-engine", "pkcs11", "-keyform", "engine"],
            module_variable: "PKCS11_MODULE_PATH",
        });
    });
}

/// A file with a secret and nothing else, which is what the engine wants.
fn secret_file(ground: &Ground<'_>, secret: &str) -> PathBuf {
    ground.scratch.file("secret", secret)
}

/// The authentication key's URI, with the right PIN from a file.
fn auth_key(ground: &Ground<'_>) -> String {
    with_pin_in(AUTH_KEY, &secret_file(ground, PIN))
}

#[test]
fn dgst_signs_with_pkcs1_and_with_pss() {
    with_engine("dgst_signs_with_pkcs1_and_with_pss", |way| {
        let card = way.ground.card();
        let key = auth_key(way.ground);
        for (padding, what) in [(Padding::Pkcs1, "dgst -sign"), (Padding::Pss, "dgst -sign, PSS")] {
            way.ground.compare(&card, PROGRAM, what, &way.ground.installed.auth(), |module| {
                run(&mut way.dgst(module, &key, padding)).success
            });
            way.ground.with_inserted(&card, |_| run(&mut way.dgst(&way.ground.installed.auth(), &key, padding)).ok());
            way.assert_dgst(card.auth_certificate(), padding);
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn cms_signs_a_document_with_the_signature_key() {
    with_engine("cms_signs_a_document_with_the_signature_key", |way| {
        let card = way.ground.card();
        let key = with_pin_in(SIGN_KEY, &secret_file(way.ground, PASSWORD));
        // The engine loads keys for openssl(1), not certificates.
        let signer = way.ground.scratch.file("signer.pem", card.sign_certificate()).display().to_string();
        let sign = way.ground.installed.sign();
        way.ground.compare(&card, PROGRAM, "cms -sign", &sign, |module| way.cms(module, &key, &signer, &[]).success);

        let _inserted = way.ground.pcscd.insert(&card.file);
        way.cms(&sign, &key, &signer, &[]).ok();
        assert!(!way.assert_cms(card.sign_ca()).contains("rsassaPss"));
        let pss = ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest"];
        way.cms(&sign, &key, &signer, &pss).ok();
        assert!(way.assert_cms(card.sign_ca()).contains("rsassaPss"));
        assert_eq!(card.tries(), (3, 5));
    });
}

/// OpenSSL 3.0 asks for the longest salt where none is named. The card has only the hash's length.
#[test]
fn a_salt_of_another_length_is_refused() {
    with_engine("a_salt_of_another_length_is_refused", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let key = with_pin_in(SIGN_KEY, &secret_file(way.ground, PASSWORD));
        let signer = way.ground.scratch.file("signer.pem", card.sign_certificate()).display().to_string();
        let refused =
            way.cms(&way.ground.installed.sign(), &key, &signer, &["-keyopt", "rsa_padding_mode:pss"]).refused();
        assert!(refused.contains("Mechanism invalid"), "{refused}");
    });
}

#[test]
fn req_makes_a_certificate_request() {
    with_engine("req_makes_a_certificate_request", |way| way.makes_a_request(PROGRAM, &auth_key(way.ground)));
}

#[test]
fn s_client_authenticates_in_tls_1_2() {
    with_engine("s_client_authenticates_in_tls_1_2", |way| s_client(way, Version::Tls12));
}

#[test]
fn s_client_authenticates_in_tls_1_3() {
    with_engine("s_client_authenticates_in_tls_1_3", |way| s_client(way, Version::Tls13));
}

fn s_client(way: &Way<'_>, version: Version) {
    let card = way.ground.card();
    // The engine gives openssl(1) no certificates.
    let certificate = way.ground.scratch.file("auth.pem", card.auth_certificate()).display().to_string();
    way.authenticates(PROGRAM, &card, version, &certificate, &auth_key(way.ground));
}

#[test]
fn s_client_signs_what_the_card_can_where_the_server_prefers_something_else() {
    with_engine("s_client_signs_what_the_card_can_where_the_server_prefers_something_else", |way| {
        let card = way.ground.card();
        let certificate = way.ground.scratch.file("auth.pem", card.auth_certificate()).display().to_string();
        way.s_client_to_a_server_that_prefers_sha512(&card, &certificate, &auth_key(way.ground));
    });
}

#[test]
fn a_card_without_pss_authenticates_in_tls_1_2_where_the_configuration_says_so() {
    let test = "a_card_without_pss_authenticates_in_tls_1_2_where_the_configuration_says_so";
    with_engine(test, |way| {
        let card = way.ground.card();
        let certificate = way.ground.scratch.file("auth.pem", card.auth_certificate()).display().to_string();
        let conf = way.ground.installed.conf("openssl-engine.cnf");
        way.s_client_without_pss(&card, &conf, &certificate, &auth_key(way.ground));
    });
}

/// curl with the certificate and the key by URI.
fn curl(way: &Way<'_>, module: &Path, server: &Server, key: &str) -> Command {
    let mut curl = program("curl", "curl");
    curl.env("OPENSSL_CONF", way.ground.installed.conf("openssl-engine.cnf")).env(way.module_variable, module);
    curl.args(["--silent", "--show-error", "--fail", "--engine", "pkcs11", "--cacert"]).arg(&server.authority);
    curl.args(["--cert", &of_module(module, "pkcs11:id=%01;type=cert"), "--key", &of_module(module, key)]);
    curl.arg(server.url());
    curl
}

#[test]
fn curl_authenticates_by_uri_in_tls_1_2() {
    with_engine("curl_authenticates_by_uri_in_tls_1_2", |way| curl_by_uri(way, Version::Tls12));
}

#[test]
fn curl_authenticates_by_uri_in_tls_1_3() {
    with_engine("curl_authenticates_by_uri_in_tls_1_3", |way| curl_by_uri(way, Version::Tls13));
}

fn curl_by_uri(way: &Way<'_>, version: Version) {
    let card = way.ground.card();
    let server = way.server(&card, version);
    let key = auth_key(way.ground);
    let auth = way.ground.installed.auth();
    way.ground.compare(&card, "curl", &format!("client certificate by URI, {version}"), &auth, |module| {
        run(&mut curl(way, module, &server, &key)).success
    });
    let (page, cost) = way.ground.with_inserted(&card, |_| run(&mut curl(way, &auth, &server, &key)).ok());
    assert_page(&page, version);
    assert_eq!(cost.verifies, 1);
}

#[test]
fn curl_asks_for_the_pin_on_the_terminal() {
    with_engine("curl_asks_for_the_pin_on_the_terminal", |way| {
        let card = way.ground.card();
        let server = way.server(&card, Version::Tls13);
        let _inserted = way.ground.pcscd.insert(&card.file);
        let curl = curl(way, &way.ground.installed.auth(), &server, AUTH_KEY);
        let shown = on_a_terminal(&curl, &[(PROMPT, PIN)]);
        assert!(shown.success, "{}", shown.text);
        assert_eq!(card.cost().verifies, 1);
    });
}

#[test]
fn a_password_is_asked_for_at_each_signature_where_the_configuration_says_so() {
    let test = "a_password_is_asked_for_at_each_signature_where_the_configuration_says_so";
    with_engine(test, |way| {
        let card = way.ground.card();
        way.ground.pcscd.configure_module("[sign]\nalways_authenticate = true\n");
        let _inserted = way.ground.pcscd.insert(&card.file);
        let key = with_pin_in(SIGN_KEY, &secret_file(way.ground, PASSWORD));
        let dgst = way.dgst(&way.ground.installed.sign(), &key, Padding::Pkcs1);
        let shown = on_a_terminal(&dgst, &[("Enter PKCS#11 key PIN for", PASSWORD)]);
        assert!(shown.success && !shown.text.contains(PASSWORD), "{}", shown.text);
        way.assert_dgst(card.sign_certificate(), Padding::Pkcs1);
        // To log in, and to sign.
        assert_eq!(card.cost().verifies, 2);
    });
}

/// Signs with the authentication key of this URI.
fn sign(way: &Way<'_>, uri: &str) -> Ran {
    run(&mut way.dgst(&way.ground.installed.auth(), uri, Padding::Pkcs1))
}

/// The VERIFYs that `work` costs the card.
fn verifies(card: &Card, work: impl FnOnce()) -> usize {
    let before = card.cost().verifies;
    work();
    card.cost().verifies - before
}

#[test]
fn the_pin_is_taken_from_the_configuration() {
    with_engine("the_pin_is_taken_from_the_configuration", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let conf = fs::read_to_string(way.ground.installed.conf("openssl-engine.cnf")).expect("it is installed");
        let own = way.ground.scratch.file("own.cnf", conf.replace("#PIN = ", "PIN = "));
        run(way.dgst(&way.ground.installed.auth(), AUTH_KEY, Padding::Pkcs1).env("OPENSSL_CONF", own)).ok();
        way.assert_dgst(card.auth_certificate(), Padding::Pkcs1);
        assert_eq!(card.cost().verifies, 1);
    });
}

#[test]
fn the_pin_is_asked_for_on_the_terminal_once() {
    with_engine("the_pin_is_asked_for_on_the_terminal_once", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let dgst = way.dgst(&way.ground.installed.auth(), AUTH_KEY, Padding::Pkcs1);
        let shown = on_a_terminal(&dgst, &[(PROMPT, PIN)]);
        assert!(shown.success && !shown.text.contains(PIN), "{}", shown.text);
        way.assert_dgst(card.auth_certificate(), Padding::Pkcs1);
        assert_eq!(card.cost().verifies, 1);
    });
}

#[test]
fn a_wrong_pin_costs_one_try_and_one_of_the_wrong_form_none() {
    with_engine("a_wrong_pin_costs_one_try_and_one_of_the_wrong_form_none", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let wrong = with_pin_in(AUTH_KEY, &secret_file(way.ground, "9999"));
        let spent = verifies(&card, || assert!(sign(way, &wrong).refused().contains("PIN incorrect")));
        assert_eq!((spent, card.tries()), (1, (2, 5)));

        // An editor's newline, which the engine takes for a part of the PIN.
        let line = with_pin_in(AUTH_KEY, &secret_file(way.ground, "1234\n"));
        let spent = verifies(&card, || assert!(sign(way, &line).refused().contains("PIN incorrect")));
        assert_eq!((spent, card.tries()), (0, (2, 5)));

        sign(way, &auth_key(way.ground)).ok();
        assert_eq!(card.tries(), (3, 5));
    });
}

/// The engine does not look at the tries left: it neither warns nor refuses.
#[test]
fn the_last_try_is_used_like_any_other_and_a_locked_pin_is_told() {
    with_engine("the_last_try_is_used_like_any_other_and_a_locked_pin_is_told", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let wrong = |pin| with_pin_in(AUTH_KEY, &secret_file(way.ground, pin));
        for _ in 0..2 {
            sign(way, &wrong("9999")).refused();
        }
        assert_eq!(card.tries().0, 1);
        sign(way, &auth_key(way.ground)).ok();
        assert_eq!(card.tries().0, 3);

        for _ in 0..2 {
            sign(way, &wrong("9999")).refused();
        }
        let last = sign(way, &wrong("9999")).refused();
        assert!(last.contains("PIN locked"), "{last}");
        assert_eq!(card.tries().0, 0);
        let spent = verifies(&card, || assert!(sign(way, &auth_key(way.ground)).refused().contains("PIN locked")));
        assert_eq!(spent, 0);
    });
}
