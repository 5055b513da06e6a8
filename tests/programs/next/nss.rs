//! NSS's tools: what Firefox, Thunderbird, Chromium and LibreOffice are made with.

use super::{assert_admitted, with_both};
use crate::common::cards::{PASSWORD, PIN};
use crate::common::run;
use crate::ground::Card;
use crate::nss::Database;
use crate::openssl::plain_openssl;
use crate::tls::{Server, Version, admitted_by};
use std::path::Path;

const PROGRAM: &str = "NSS tools";

#[test]
fn certutil_lists_both_certificates_as_the_users() {
    with_both("nss::certutil_lists_both_certificates_as_the_users", |both| {
        let database = Database::with(both.ground, &both.ground.installed.auth());
        let listing =
            both.measure(PROGRAM, "certutil -L", 0, || database.run("certutil", &["-L", "-h", "all"], &[]).ok());
        for card in [&both.today, &both.next] {
            let row = format!("{}:User Authentication Certificate", card.auth_token());
            let row = listing.lines().find(|line| line.starts_with(&row)).expect("it is listed");
            assert!(row.trim_end().ends_with(" u,u,u"), "{listing}");
        }
    });
}

fn tstclnt_is_let_in(name: &str, version: Version) {
    with_both(&format!("nss::{name}"), |both| {
        let database = Database::with(both.ground, &both.ground.installed.auth());
        let versions = if version == Version::Tls12 { "tls1.2:tls1.2" } else { "tls1.3:tls1.3" };
        let request = both.ground.scratch.file("request", "GET / HTTP/1.0\r\n\r\n");
        let pin = both.ground.scratch.file("pin", PIN);
        let page = |server: &Server, card: &Card| {
            let mut tstclnt = database.tool("tstclnt");
            tstclnt.args(["-4", "-h", "localhost", "-p", &server.port().to_string(), "-V", versions]);
            tstclnt.args(["-n", &format!("{}:User Authentication Certificate", card.auth_token())]);
            run(tstclnt.arg("-W").arg(&pin).arg("-A").arg(&request)).stdout
        };
        let server = both.server(version);
        database.trust("CT,,", &server.authority);
        let said = both.measure(PROGRAM, &format!("tstclnt, {version}"), 1, || page(&server, &both.next));
        assert_admitted(&said, version, &server);
        let server = Server::start(&both.ground.scratch, version, both.today.auth_ca());
        let (said, costs) = both.with_inserted(|| page(&server, &both.today));
        assert_eq!(admitted_by(&said, version), Some("RSA-PSS"), "{said}\n{}", server.log());
        assert_eq!(costs.map(|cost| cost.verifies), [1, 0]);
    });
}

#[test]
fn tstclnt_is_let_in_at_tls_1_2() {
    tstclnt_is_let_in("tstclnt_is_let_in_at_tls_1_2", Version::Tls12);
}

#[test]
fn tstclnt_is_let_in_at_tls_1_3() {
    tstclnt_is_let_in("tstclnt_is_let_in_at_tls_1_3", Version::Tls13);
}

#[test]
fn cmsutil_signs_with_the_signature_key() {
    with_both("nss::cmsutil_signs_with_the_signature_key", |both| {
        let database = Database::with(both.ground, &both.ground.installed.sign());
        let scratch = &both.ground.scratch;
        let (password, document) = (scratch.file("password", PASSWORD), scratch.file("document", "practice"));
        let signed = scratch.path().join("signed");
        let cmsutil = |card: &Card| {
            let certificate = format!("{}:Digital Signature Certificate", card.sign_token());
            let mut cmsutil = database.tool("cmsutil");
            cmsutil.args(["-S", "-T", "-G", "-Y", "NONE", "-H", "SHA384", "-N", &certificate]);
            cmsutil.args([Path::new("-f"), &password, Path::new("-i"), &document, Path::new("-o"), &signed]);
            run(&mut cmsutil).ok()
        };
        let verify = |authority: &str| {
            let authority = scratch.file("sign-ca.pem", authority);
            let mut verify = plain_openssl();
            verify.args(["cms", "-verify", "-inform", "DER", "-purpose", "any", "-in"]);
            verify.args([&signed, Path::new("-content"), &document, Path::new("-CAfile"), &authority]);
            run(&mut verify).ok()
        };
        both.measure(PROGRAM, "cmsutil -S", 1, || cmsutil(&both.next));
        verify(both.next.sign_ca());
        both.with_inserted(|| cmsutil(&both.today));
        verify(both.today.sign_ca());
    });
}
