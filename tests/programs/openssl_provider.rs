//! OpenSSL 3 with `pkcs11-provider`, both of Debian 13: Debian 12 has no such package.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::Padding;
use crate::common::{Ran, run};
use crate::debian13::debian_13;
use crate::ground::{Card, Ground, with_ground};
use crate::openssl::{AUTH_KEY, SIGN_KEY, Way, assert_page, of_module, with_pin_in};
use crate::terminal::on_a_terminal;
use crate::tls::{Server, Version};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "OpenSSL provider";
/// It names the slot, not the token: another reason to show the program one token only.
const PROMPT: &str = "Enter pass phrase for PKCS#11 Token (Slot 0 - Virtual PCD 00 00):";
const CERTIFICATE: &str = "pkcs11:id=%01;type=cert";

/// The test `name`, with openssl(1) as `openssl-provider.cnf` sets it up.
fn with_provider(name: &str, body: impl FnOnce(&Way<'_>)) {
    with_ground(&format!("openssl_provider::{name}"), |ground| {
        let conf = conf(ground);
        body(&Way {
            ground,
            openssl: &|| {
                let mut openssl = debian_13("openssl");
                openssl.env("OPENSSL_CONF", &conf);
                openssl
            },
            key_options: &[],
            module_variable: "PKCS11_PROVIDER_MODULE",
        });
    });
}

fn conf(ground: &Ground<'_>) -> PathBuf {
    ground.installed.conf("openssl-provider.cnf")
}

/// A file with a secret on a line.
fn secret_file(ground: &Ground<'_>, secret: &str) -> PathBuf {
    ground.scratch.file("secret", format!("{secret}\n"))
}

/// The authentication key's URI, with the right PIN from a file.
fn auth_key(ground: &Ground<'_>) -> String {
    with_pin_in(AUTH_KEY, &secret_file(ground, PIN))
}

#[test]
fn dgst_signs_with_pkcs1_and_with_pss() {
    with_provider("dgst_signs_with_pkcs1_and_with_pss", |way| {
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
    with_provider("cms_signs_a_document_with_the_signature_key", |way| {
        let card = way.ground.card();
        let secret = secret_file(way.ground, PASSWORD);
        let key = with_pin_in(SIGN_KEY, &secret);
        // The card gives this certificate for the password only.
        let signer = with_pin_in("pkcs11:id=%02;type=cert", &secret);
        let sign = way.ground.installed.sign();
        way.ground.compare(&card, PROGRAM, "cms -sign", &sign, |module| way.cms(module, &key, &signer, &[]).success);

        let _inserted = way.ground.pcscd.insert(&card.file);
        let before = card.cost().verifies;
        way.cms(&sign, &key, &signer, &[]).ok();
        assert_eq!(card.cost().verifies - before, 1);
        assert!(!way.assert_cms(card.sign_ca()).contains("rsassaPss"));
        way.cms(&sign, &key, &signer, &["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest"]).ok();
        assert!(way.assert_cms(card.sign_ca()).contains("rsassaPss"));
        assert_eq!(card.tries(), (3, 5));
    });
}

/// It asks for the second one whatever the URI says.
#[test]
fn a_password_is_asked_for_at_each_signature_where_the_configuration_says_so() {
    let test = "a_password_is_asked_for_at_each_signature_where_the_configuration_says_so";
    with_provider(test, |way| {
        let card = way.ground.card();
        way.ground.pcscd.configure_module("[sign]\nalways_authenticate = true\n");
        let _inserted = way.ground.pcscd.insert(&card.file);
        let key = with_pin_in(SIGN_KEY, &secret_file(way.ground, PASSWORD));
        let dgst = way.dgst(&way.ground.installed.sign(), &key, Padding::Pkcs1);
        let shown = on_a_terminal(&dgst, &[("Enter PIN for PKCS#11 Token", PASSWORD)]);
        assert!(shown.success && !shown.text.contains(PASSWORD), "{}", shown.text);
        way.assert_dgst(card.sign_certificate(), Padding::Pkcs1);
        // To log in, and to sign.
        assert_eq!(card.cost().verifies, 2);
    });
}

#[test]
fn req_makes_a_certificate_request() {
    with_provider("req_makes_a_certificate_request", |way| way.makes_a_request(PROGRAM, &auth_key(way.ground)));
}

#[test]
fn s_client_authenticates_in_tls_1_2() {
    with_provider("s_client_authenticates_in_tls_1_2", |way| s_client(way, Version::Tls12));
}

#[test]
fn s_client_authenticates_in_tls_1_3() {
    with_provider("s_client_authenticates_in_tls_1_3", |way| s_client(way, Version::Tls13));
}

fn s_client(way: &Way<'_>, version: Version) {
    way.authenticates(PROGRAM, &way.ground.card(), version, CERTIFICATE, &auth_key(way.ground));
}

#[test]
fn s_client_signs_what_the_card_can_where_the_server_prefers_something_else() {
    with_provider("s_client_signs_what_the_card_can_where_the_server_prefers_something_else", |way| {
        let card = way.ground.card();
        way.s_client_to_a_server_that_prefers_sha512(&card, CERTIFICATE, &auth_key(way.ground));
    });
}

#[test]
fn a_card_without_pss_authenticates_in_tls_1_2_where_the_configuration_says_so() {
    let test = "a_card_without_pss_authenticates_in_tls_1_2_where_the_configuration_says_so";
    with_provider(test, |way| {
        let card = way.ground.card();
        way.s_client_without_pss(&card, &conf(way.ground), CERTIFICATE, &auth_key(way.ground));
    });
}

/// curl loads the provider by itself, past the configuration, and takes the module's name from the environment only.
fn curl(module: &Path, server: &Server, key: &str) -> Command {
    let mut curl = debian_13("curl");
    curl.env("PKCS11_PROVIDER_MODULE", module);
    curl.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(&server.authority);
    curl.args(["--engine", "pkcs11", "--cert-type", "PROV", "--key-type", "PROV"]);
    curl.args(["--cert", &of_module(module, CERTIFICATE), "--key", &of_module(module, key)]);
    curl.arg(server.url());
    curl
}

#[test]
fn curl_authenticates_by_uri_in_tls_1_3() {
    with_provider("curl_authenticates_by_uri_in_tls_1_3", |way| {
        let card = way.ground.card();
        let server = way.server(&card, Version::Tls13);
        let key = auth_key(way.ground);
        let auth = way.ground.installed.auth();
        way.ground.compare(&card, "curl 8.14, provider", "client certificate by URI, TLS 1.3", &auth, |module| {
            run(&mut curl(module, &server, &key)).success
        });
        let (page, cost) = way.ground.with_inserted(&card, |_| run(&mut curl(&auth, &server, &key)).ok());
        assert_page(&page, Version::Tls13);
        assert_eq!(cost.verifies, 1);
    });
}

#[test]
fn curl_needs_to_be_told_what_the_card_can_sign_where_the_server_prefers_something_else() {
    let test = "curl_needs_to_be_told_what_the_card_can_sign_where_the_server_prefers_something_else";
    with_provider(test, |way| {
        let card = way.ground.card();
        let signatures = Some("RSA-PSS+SHA512:RSA-PSS+SHA256");
        let server = Server::start_preferring(&way.ground.scratch, Version::Tls13, card.auth_ca(), signatures);
        let _inserted = way.ground.pcscd.insert(&card.file);
        let key = auth_key(way.ground);
        let auth = way.ground.installed.auth();
        run(&mut curl(&auth, &server, &key)).refused();
        let told = ["--sigalgs", "rsa_pss_rsae_sha256:rsa_pkcs1_sha256:ecdsa_secp256r1_sha256"];
        assert_page(&run(curl(&auth, &server, &key).args(told)).ok(), Version::Tls13);
    });
}

/// Signs with the authentication key of this URI.
fn sign(way: &Way<'_>, uri: &str) -> Ran {
    run(&mut way.dgst(&way.ground.installed.auth(), uri, Padding::Pkcs1))
}

/// The same, not yet run.
fn dgst(way: &Way<'_>) -> Command {
    way.dgst(&way.ground.installed.auth(), AUTH_KEY, Padding::Pkcs1)
}

/// The VERIFYs that `work` costs the card.
fn verifies(card: &Card, work: impl FnOnce()) -> usize {
    let before = card.cost().verifies;
    work();
    card.cost().verifies - before
}

#[test]
fn the_pin_is_taken_from_the_file_that_the_configuration_names() {
    with_provider("the_pin_is_taken_from_the_file_that_the_configuration_names", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let own = own_conf(way.ground, &secret_file(way.ground, PIN));
        run(dgst(way).env("OPENSSL_CONF", own)).ok();
        way.assert_dgst(card.auth_certificate(), Padding::Pkcs1);
        assert_eq!(card.cost().verifies, 1);
    });
}

/// The user's own copy of the configuration, with the PIN from a file.
fn own_conf(ground: &Ground<'_>, pin: &Path) -> PathBuf {
    let conf = fs::read_to_string(conf(ground)).expect("it is installed");
    let line = "#pkcs11-module-token-pin = file:/home/me/pin";
    assert!(conf.contains(line), "{conf}");
    ground.scratch.file("own.cnf", conf.replace(line, &format!("pkcs11-module-token-pin = file:{}", pin.display())))
}

#[test]
fn the_pin_is_asked_for_on_the_terminal_once() {
    with_provider("the_pin_is_asked_for_on_the_terminal_once", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let shown = on_a_terminal(&dgst(way), &[(PROMPT, PIN)]);
        assert!(shown.success && !shown.text.contains(PIN), "{}", shown.text);
        way.assert_dgst(card.auth_certificate(), Padding::Pkcs1);
        assert_eq!(card.cost().verifies, 1);
    });
}

#[test]
fn a_wrong_pin_costs_one_try_and_one_of_the_wrong_form_none() {
    with_provider("a_wrong_pin_costs_one_try_and_one_of_the_wrong_form_none", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let refused = |secret| {
            let uri = with_pin_in(AUTH_KEY, &secret_file(way.ground, secret));
            verifies(&card, || assert!(sign(way, &uri).refused().contains("Could not find private key")))
        };
        assert_eq!((refused("9999"), card.tries()), (1, (2, 5)));
        assert_eq!((refused("12345"), card.tries()), (0, (2, 5)));
        sign(way, &auth_key(way.ground)).ok();
        assert_eq!(card.tries(), (3, 5));
    });
}

/// It asks all the same, and says no more than that there is no key.
#[test]
fn the_last_try_is_not_used() {
    with_provider("the_last_try_is_not_used", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let wrong = with_pin_in(AUTH_KEY, &secret_file(way.ground, "9999"));
        for _ in 0..2 {
            sign(way, &wrong).refused();
        }
        assert_eq!(card.tries().0, 1);
        let spent = verifies(&card, || {
            assert!(sign(way, &auth_key(way.ground)).refused().contains("Could not find private key"));
            let shown = on_a_terminal(&dgst(way), &[(PROMPT, PIN)]);
            assert!(!shown.success && shown.text.contains("Could not find private key"), "{}", shown.text);
        });
        assert_eq!((spent, card.tries().0), (0, 1));
    });
}

/// Its own words for a list of slots with nothing in it; they stand in the manual.
#[test]
fn without_a_reader_it_speaks_of_memory() {
    with_provider("without_a_reader_it_speaks_of_memory", |way| {
        way.ground.pcscd.stop();
        let said = sign(way, &auth_key(way.ground)).refused();
        assert!(said.contains("Host out of memory") && said.contains("Module initialization failed"), "{said}");
    });
}

/// As servers and crawlers do: the parent loads the key, its children use it, and then the parent does.
const FORKING: &str = r#"
import os, ssl, sys, urllib.request
authority, certificate, key, url = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
context.load_cert_chain(certificate, key)
def fetch():
    with urllib.request.urlopen(url, context=context, timeout=50) as page:
        sys.stdout.write(page.read().decode())
        sys.stdout.flush()
for _ in range(2):
    child = os.fork()
    if child == 0:
        fetch()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("the child failed")
fetch()
"#;

/// A program that knows files only gets one with the key's URI in it.
#[test]
fn children_sign_with_a_key_that_the_parent_has_loaded_from_a_file() {
    with_provider("children_sign_with_a_key_that_the_parent_has_loaded_from_a_file", |way| {
        let card = way.ground.card();
        let server = way.server(&card, Version::Tls13);
        let _inserted = way.ground.pcscd.insert(&card.file);
        let auth = way.ground.installed.auth();
        let key = way.ground.scratch.path().join("key.pem");
        run(way.command(&auth, "pkey").args(["-in", &auth_key(way.ground), "-out"]).arg(&key)).ok();
        let text = fs::read_to_string(&key).expect("it was written");
        assert!(text.starts_with("-----BEGIN PKCS#11 PROVIDER URI-----"), "{text}");

        let certificate = way.ground.scratch.file("auth.pem", card.auth_certificate());
        let own = own_conf(way.ground, &secret_file(way.ground, PIN));
        let mut python = debian_13("python3");
        python.env("OPENSSL_CONF", own).arg(way.ground.scratch.file("forking.py", FORKING));
        let before = card.cost().verifies;
        let pages = run(python.args([&server.authority, &certificate, &key]).arg(server.url())).ok();
        for line in ["Subject: C=JP, CN=PRACTICE", "Peer signature type: RSA-PSS"] {
            assert_eq!(pages.matches(line).count(), 3, "{line}: {pages}");
        }
        // Each of the three processes has logged in for itself.
        assert_eq!(card.cost().verifies - before, 3);
    });
}
