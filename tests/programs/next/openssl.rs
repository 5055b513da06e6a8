//! OpenSSL 3 with `pkcs11-provider`, both of Debian 13.

use super::{Both, assert_admitted, with_both};
use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::Padding;
use crate::common::run;
use crate::debian13::debian_13;
use crate::openssl::{Way, assert_page, with_pin_in};
use crate::tls::{Server, Version};
use std::process::Command;

const PROGRAM: &str = "OpenSSL provider";

/// The test `name`, with openssl(1) as `openssl-provider.cnf` sets it up.
fn with_provider(name: &str, body: impl FnOnce(&Both<'_>, &Way<'_>)) {
    with_both(&format!("openssl::{name}"), |both| {
        let conf = both.ground.installed.conf("openssl-provider.cnf");
        let openssl = || {
            let mut openssl = debian_13("openssl");
            openssl.env("OPENSSL_CONF", &conf);
            openssl
        };
        let way =
            Way { ground: both.ground, openssl: &openssl, key_options: &[], module_variable: "PKCS11_PROVIDER_MODULE" };
        body(both, &way);
    });
}

/// The URI of an object of this token.
fn uri(token: &str, object: &str) -> String {
    let token = token.replace(' ', "%20").replace('(', "%28").replace(')', "%29");
    format!("pkcs11:token={token};{object}")
}

/// The authentication key of the card with this token, with the PIN from a file.
fn auth_key(both: &Both<'_>, token: &str) -> String {
    with_pin_in(&uri(token, "id=%01;type=private"), &both.ground.scratch.file("pin", format!("{PIN}\n")))
}

#[test]
fn dgst_signs_with_either_generations_key() {
    with_provider("dgst_signs_with_either_generations_key", |both, way| {
        let auth = both.ground.installed.auth();
        let input = both.ground.scratch.file("input", "practice makes perfect");
        let output = both.ground.scratch.path().join("output");
        let dgst = |hash: &str, token: &str| -> Command {
            let mut dgst = way.command(&auth, "dgst");
            dgst.args([hash, "-sign", &auth_key(both, token), "-out"]).args([&output, &input]);
            dgst
        };
        let token = both.next.auth_token();
        both.measure(PROGRAM, "dgst -sign", 1, || run(&mut dgst("-sha384", &token)).ok());
        both.with_inserted(|| {
            for hash in ["-sha256", "-sha384", "-sha512"] {
                run(&mut dgst(hash, &token)).ok();
                let key = both.ground.scratch.file("next.pem", both.next.auth_certificate());
                let public =
                    run(crate::openssl::plain_openssl().args(["x509", "-noout", "-pubkey", "-in"]).arg(key)).ok();
                let public = both.ground.scratch.file("public.pem", public);
                let mut verify = crate::openssl::plain_openssl();
                verify.args(["dgst", hash, "-verify"]).arg(public).arg("-signature").args([&output, &input]);
                assert_eq!(run(&mut verify).ok().trim(), "Verified OK");
            }
            run(&mut dgst("-sha256", &both.today.auth_token())).ok();
            way.assert_dgst(both.today.auth_certificate(), Padding::Pkcs1);
        });
    });
}

#[test]
fn cms_signs_a_document_with_the_signature_key() {
    with_provider("cms_signs_a_document_with_the_signature_key", |both, way| {
        let sign = both.ground.installed.sign();
        let secret = both.ground.scratch.file("secret", format!("{PASSWORD}\n"));
        let cms = |token: &str| {
            let [key, signer] =
                ["id=%02;type=private", "id=%02;type=cert"].map(|object| with_pin_in(&uri(token, object), &secret));
            way.cms(&sign, &key, &signer, &["-md", "sha384"]).ok()
        };
        both.measure(PROGRAM, "cms -sign", 1, || cms(&both.next.sign_token()));
        let said = way.assert_cms(both.next.sign_ca());
        assert!(said.contains("ecdsa-with-SHA384"), "{said}");
        both.with_inserted(|| cms(&both.today.sign_token()));
        way.assert_cms(both.today.sign_ca());
    });
}

#[test]
fn req_makes_a_certificate_request() {
    with_provider("req_makes_a_certificate_request", |both, way| {
        let key = auth_key(both, &both.next.auth_token());
        both.measure(PROGRAM, "req -new", 1, || way.req(&both.ground.installed.auth(), &key).ok());
        way.assert_req(both.next.auth_certificate());
    });
}

fn s_client(both: &Both<'_>, way: &Way<'_>, version: Version) {
    let auth = both.ground.installed.auth();
    let page = |server: &Server, token: &str| {
        way.s_client(&auth, server, &uri(token, "id=%01;type=cert"), &auth_key(both, token)).ok()
    };
    let server = both.server(version);
    let token = both.next.auth_token();
    let said = both.measure(PROGRAM, &format!("s_client, {version}"), 1, || page(&server, &token));
    assert_admitted(&said, version, &server);
    let server = Server::start(&both.ground.scratch, version, both.today.auth_ca());
    let (said, _) = both.with_inserted(|| page(&server, &both.today.auth_token()));
    assert_page(&said, version);
}

#[test]
fn s_client_authenticates_in_tls_1_2() {
    with_provider("s_client_authenticates_in_tls_1_2", |both, way| s_client(both, way, Version::Tls12));
}

#[test]
fn s_client_authenticates_in_tls_1_3() {
    with_provider("s_client_authenticates_in_tls_1_3", |both, way| s_client(both, way, Version::Tls13));
}
