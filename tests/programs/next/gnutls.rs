//! GnuTLS's tools, through p11-kit.

use super::{Both, assert_admitted, with_both};
use crate::gnutls::P11Kit;
use crate::ground::Card;
use crate::tls::{Server, Version, admitted_by};

const PROGRAM: &str = "GnuTLS";

/// Where p11-kit and the authentication token of this card are known, both cards being in their readers.
fn p11_kit(both: &Both<'_>, card: &Card) -> P11Kit {
    // The end of the serial number, with which a URL's label ends, too.
    let token = card.auth_token();
    let serial = token.rsplit(' ').next().expect("it ends so");
    P11Kit::with(both.ground.installed.p11_kit_modules(), &format!("%29%20{serial}"))
}

#[test]
fn p11tool_lists_both_keys_and_signs_with_each() {
    with_both("gnutls::p11tool_lists_both_keys_and_signs_with_each", |both| {
        let ([today, next], _) = both.with_inserted(|| [&both.today, &both.next].map(|card| p11_kit(both, card)));
        let said = both.measure(PROGRAM, "p11tool --list-all", 0, || next.p11tool(&["--list-all"], "").ok());
        assert!(said.contains("Type: X.509 Certificate (EC/ECDSA-SECP384R1)"), "{said}");
        let test = ["--login", "--test-sign"];
        let key = ";id=%01;type=private";
        let said = both.measure(PROGRAM, "p11tool --test-sign", 1, || next.p11tool(&test, key));
        assert!(said.success && said.stderr.matches("... ok").count() == 3, "{said:?}");
        let (said, costs) = both.with_inserted(|| today.p11tool(&test, key));
        assert!(said.success && said.stderr.matches("... ok").count() == 3, "{said:?}");
        assert_eq!(costs.map(|cost| cost.verifies), [1, 0]);
    });
}

fn gnutls_cli_is_let_in(name: &str, version: Version, priority: &str) {
    with_both(&format!("gnutls::{name}"), |both| {
        let ([today, next], _) = both.with_inserted(|| [&both.today, &both.next].map(|card| p11_kit(both, card)));
        let server = both.server(version);
        let page = both.measure(PROGRAM, &format!("gnutls-cli, {version}"), 1, || next.page_of(&server, priority));
        assert_admitted(&page, version, &server);
        let server = Server::start(&both.ground.scratch, version, both.today.auth_ca());
        let (page, _) = both.with_inserted(|| today.page_of(&server, priority));
        assert_eq!(admitted_by(&page, version), Some("RSA-PSS"), "{page}\n{}", server.log());
    });
}

#[test]
fn gnutls_cli_is_let_in_at_tls_1_2() {
    gnutls_cli_is_let_in("gnutls_cli_is_let_in_at_tls_1_2", Version::Tls12, "NORMAL:-VERS-ALL:+VERS-TLS1.2");
}

#[test]
fn gnutls_cli_is_let_in_at_tls_1_3() {
    gnutls_cli_is_let_in("gnutls_cli_is_let_in_at_tls_1_3", Version::Tls13, "NORMAL:-VERS-ALL:+VERS-TLS1.3");
}
