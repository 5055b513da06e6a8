//! Java 17's own provider SunPKCS11.

use super::{Both, assert_admitted, with_both};
use crate::common::cards::PIN;
use crate::common::run;
use crate::java::{AUTH, Key, SIGN, archive, java, verified};
use crate::tls::{Server, Version, admitted_by};
use std::path::PathBuf;

const PROGRAM: &str = "Java";

/// The installed configuration of this key, for the second reader.
fn configuration(both: &Both<'_>, key: &Key) -> PathBuf {
    let installed = key.configuration(both.ground, &key.module(both.ground));
    let text = std::fs::read_to_string(&installed).expect("it is installed");
    let first = "\nslotListIndex = 0\n";
    assert!(text.contains(first), "{text}");
    let name = installed.file_name().expect("it has one").to_str().expect("it is ASCII").replace("java", "next");
    both.ground.scratch.file(&name, text.replace(first, "\nslotListIndex = 1\n"))
}

fn keytool_and_jarsigner(name: &str, key: &Key, what: &str) {
    with_both(&format!("java::{name}"), |both| {
        let next = configuration(both, key);
        let listing = both.measure(PROGRAM, &format!("keytool -list, {what}"), 1, || {
            run(key.tool("keytool", &next).arg("-list")).ok()
        });
        assert!(listing.contains(&format!("{}, PrivateKeyEntry", key.alias)), "{listing}");
        assert!(listing.contains("Your keystore contains 1 entry"), "{listing}");

        let archive = archive(both.ground);
        let signed = both.ground.scratch.path().join("signed.jar");
        let sign = |configuration: &PathBuf, algorithm: &str| {
            let mut jarsigner = key.tool("jarsigner", configuration);
            run(jarsigner.args(["-sigalg", algorithm, "-signedjar"]).args([&signed, &archive]).arg(key.alias)).ok()
        };
        both.measure(PROGRAM, &format!("jarsigner, {what}"), 1, || sign(&next, "SHA384withECDSA"));
        for (algorithm, size) in [("SHA256withECDSA", 384), ("SHA384withECDSA", 384), ("SHA512withECDSA", 384)] {
            both.with_inserted(|| sign(&next, algorithm));
            let said = verified(&signed).ok();
            assert!(said.contains("jar verified"), "{said}");
            assert!(said.contains(&format!("Signature algorithm: {algorithm}, {size}-bit")), "{said}");
        }
        let today = key.configuration(both.ground, &key.module(both.ground));
        let (_, costs) = both.with_inserted(|| sign(&today, "SHA256withRSA"));
        assert_eq!(costs.map(|cost| cost.verifies), [1, 0]);
        assert!(verified(&signed).ok().contains("Signature algorithm: SHA256withRSA, 2048-bit key"));
    });
}

#[test]
fn keytool_and_jarsigner_use_the_authentication_key() {
    keytool_and_jarsigner("keytool_and_jarsigner_use_the_authentication_key", &AUTH, "authentication key");
}

#[test]
fn keytool_and_jarsigner_use_the_signature_key() {
    keytool_and_jarsigner("keytool_and_jarsigner_use_the_signature_key", &SIGN, "signature key");
}

fn an_https_client_is_let_in(name: &str, version: Version) {
    with_both(&format!("java::{name}"), |both| {
        let page = |server: &Server, configuration: &PathBuf| {
            let mut client = java("java");
            client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/Client.java")).arg(server.url());
            run(client.arg(&server.authority).arg(configuration).arg(PIN)).ok()
        };
        let (server, next) = (both.server(version), configuration(both, &AUTH));
        let said = both.measure(PROGRAM, &format!("HttpsURLConnection, {version}"), 1, || page(&server, &next));
        assert_admitted(&said, version, &server);
        let server = Server::start(&both.ground.scratch, version, both.today.auth_ca());
        let today = AUTH.configuration(both.ground, &both.ground.installed.auth());
        let (said, _) = both.with_inserted(|| page(&server, &today));
        assert_eq!(admitted_by(&said, version), Some("RSA-PSS"), "{said}\n{}", server.log());
    });
}

#[test]
fn an_https_client_is_let_in_at_tls_1_2() {
    an_https_client_is_let_in("an_https_client_is_let_in_at_tls_1_2", Version::Tls12);
}

#[test]
fn an_https_client_is_let_in_at_tls_1_3() {
    an_https_client_is_let_in("an_https_client_is_let_in_at_tls_1_3", Version::Tls13);
}
