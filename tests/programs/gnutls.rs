//! GnuTLS: p11tool and gnutls-cli, which find the module through p11-kit, by the file that `make install` puts there.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::{Ran, opensc, run, tool};
use crate::ground::{Card, Ground, with_ground};
use crate::program::{program, with_p11_kit_modules};
use crate::tls::{Server, Version, admitted_by};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = "GnuTLS";

/// A p11-kit that knows one module.
pub struct P11Kit {
    modules: PathBuf,
    /// The URL of the authentication token.
    token: String,
}

impl P11Kit {
    /// One that knows our authentication token, and one that knows OpenSC's.
    fn pair(ground: &Ground<'_>, card: &Card) -> [P11Kit; 2] {
        let modules = ground.scratch.path().join("opensc.modules");
        fs::create_dir(&modules).expect("the scratch directory is ours");
        fs::write(modules.join("opensc.module"), format!("module: {}\n", opensc().display()))
            .expect("the scratch directory is ours");
        let modules = [ground.installed.p11_kit_modules(), modules];
        let (pair, cost) = ground.with_inserted(card, |_| modules.map(|modules| P11Kit::with(modules, "Auth")));
        assert_eq!(cost.verifies, 0);
        pair
    }

    /// One that knows these modules, and of their tokens, which are inserted, the one with this in its URL.
    pub fn with(modules: PathBuf, token: &str) -> P11Kit {
        let urls = run(with_p11_kit_modules(&modules, tool("p11tool", "gnutls-bin")).arg("--list-token-urls")).ok();
        let token = urls.lines().find(|url| url.contains(token)).expect("the token is listed").to_owned();
        P11Kit { modules, token }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = with_p11_kit_modules(&self.modules, tool(name, "gnutls-bin"));
        command.env("GNUTLS_PIN", PIN);
        command
    }

    /// What `server` says of a client with the card's key, or nothing.
    pub fn page_of(&self, server: &Server, priority: &str) -> String {
        let mut client = self
            .program("gnutls-cli")
            .args(["--port", &server.port().to_string(), "--priority", priority, "--x509cafile"])
            .arg(&server.authority)
            .args(["--x509certfile", &format!("{};id=%01;type=cert", self.token)])
            .args(["--x509keyfile", &format!("{};id=%01;type=private", self.token), "localhost"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare can be run");
        // It answers no more once the request's end is the connection's, so that stays open until it has ended. If it has
        // ended before, then what it said shows why.
        let mut request = client.stdin.take().expect("it is piped");
        request.write_all(b"GET / HTTP/1.0\r\n\r\n").ok();
        let output = client.wait_with_output().expect("it is our child");
        drop(request);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn p11tool(&self, arguments: &[&str], more: &str) -> Ran {
        run(self.program("p11tool").args(arguments).arg(format!("{}{more}", self.token)))
    }
}

#[test]
fn p11tool_lists_the_card_without_a_login() {
    with_ground("gnutls::p11tool_lists_the_card_without_a_login", |ground| {
        let card = ground.card();
        let [ours, theirs] = P11Kit::pair(ground, &card);
        let auth = ground.installed.auth();
        ground.compare(&card, PROGRAM, "p11tool --list-all", &auth, |module| {
            let p11_kit = if module == auth { &ours } else { &theirs };
            p11_kit.p11tool(&["--list-all"], "").stdout.contains("Label: User Authentication Certificate\n")
        });
        let (objects, cost) = ground.with_inserted(&card, |_| ours.p11tool(&["--list-all"], "").ok());
        assert!(objects.contains("Type: X.509 Certificate (RSA-2048)"), "{objects}");
        assert!(!objects.contains("Type: Private key"), "{objects}");
        assert_eq!(cost.verifies, 0);
    });
}

#[test]
fn p11tool_sends_the_pin_once_for_each_login_it_makes() {
    with_ground("gnutls::p11tool_sends_the_pin_once_for_each_login_it_makes", |ground| {
        let card = ground.card();
        let [ours, theirs] = P11Kit::pair(ground, &card);
        let auth = ground.installed.auth();
        let list = ["--login", "--list-all"];
        ground.compare(&card, PROGRAM, "p11tool --login --list-all", &auth, |module| {
            let p11_kit = if module == auth { &ours } else { &theirs };
            p11_kit.p11tool(&list, "").stdout.contains("Type: Private key (RSA-2048)")
        });
        // p11-kit itself says which calls it passes on.
        let module = ours.modules.join("jpki-pkcs11.module");
        let quiet = fs::read_to_string(&module).expect("it is installed");
        fs::write(&module, format!("{quiet}\nlog-calls: yes\n")).expect("the scratch directory is ours");
        let (calls, cost) = ground.with_inserted(&card, |_| ours.p11tool(&list, "").stderr);
        let logins = calls.lines().filter(|line| *line == "C_Login = CKR_OK").count();
        assert!(logins > 0, "{calls}");
        assert_eq!(cost.verifies, logins, "{calls}");
        assert!(cost.apdus < 100, "{cost:?}");
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn p11tool_signs_and_verifies() {
    with_ground("gnutls::p11tool_signs_and_verifies", |ground| {
        let card = ground.card();
        let [ours, theirs] = P11Kit::pair(ground, &card);
        let auth = ground.installed.auth();
        ground.compare(&card, PROGRAM, "p11tool --test-sign", &auth, |module| {
            let p11_kit = if module == auth { &ours } else { &theirs };
            let said = p11_kit.p11tool(&["--login", "--test-sign"], ";id=%01;type=private");
            said.success && said.stderr.matches("... ok").count() == 3
        });
        let pss = ["--login", "--test-sign", "--sign-params=rsa-pss", "--hash=sha256"];
        let (said, cost) = ground.with_inserted(&card, |_| ours.p11tool(&pss, ";id=%01;type=private"));
        assert!(said.stderr.contains("Signing using RSA-PSS-SHA256... ok"), "{said:?}");
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn p11tool_signs_with_the_signature_key_where_its_module_is_named() {
    with_ground("gnutls::p11tool_signs_with_the_signature_key_where_its_module_is_named", |ground| {
        let card = ground.card();
        let (said, cost) = ground.with_inserted(&card, |_| {
            let mut p11tool = program("p11tool", "gnutls-bin");
            p11tool.arg("--provider").arg(ground.installed.sign()).env("GNUTLS_PIN", PASSWORD);
            run(p11tool.args(["--login", "--test-sign", "pkcs11:id=%02;type=private"]))
        });
        assert!(said.success && said.stderr.matches("... ok").count() == 3, "{said:?}");
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_wrong_pin_costs_one_try() {
    with_ground("gnutls::a_wrong_pin_costs_one_try", |ground| {
        let card = ground.card();
        let [ours, _] = P11Kit::pair(ground, &card);
        let key = format!("{};id=%01;type=private", ours.token);
        let (_, cost) = ground.with_inserted(&card, |_| {
            let mut p11tool = ours.program("p11tool");
            run(p11tool.args(["--login", "--test-sign", &key]).env("GNUTLS_PIN", "9999")).refused()
        });
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (2, 5));
    });
}

fn gnutls_cli_is_let_in(name: &str, version: Version) {
    with_ground(name, |ground| {
        let card = ground.card();
        let server = Server::start(&ground.scratch, version, card.auth_ca());
        let [ours, theirs] = P11Kit::pair(ground, &card);
        let auth = ground.installed.auth();
        let priority = match version {
            Version::Tls12 => "NORMAL:-VERS-ALL:+VERS-TLS1.2",
            Version::Tls13 => "NORMAL:-VERS-ALL:+VERS-TLS1.3",
        };
        let page = |module: &Path| {
            let p11_kit = if module == auth { &ours } else { &theirs };
            p11_kit.page_of(&server, priority)
        };
        ground.compare(&card, PROGRAM, &format!("gnutls-cli, {version}"), &auth, |module| {
            admitted_by(&page(module), version).is_some()
        });
        let (page, cost) = ground.with_inserted(&card, |_| page(&auth));
        assert_eq!(admitted_by(&page, version), Some("RSA-PSS"), "{page}\n{}", server.log());
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn gnutls_cli_is_let_in_at_tls_1_2() {
    gnutls_cli_is_let_in("gnutls::gnutls_cli_is_let_in_at_tls_1_2", Version::Tls12);
}

#[test]
fn gnutls_cli_is_let_in_at_tls_1_3() {
    gnutls_cli_is_let_in("gnutls::gnutls_cli_is_let_in_at_tls_1_3", Version::Tls13);
}

/// GnuTLS takes what the server names first without asking the module, as OpenSSL does.
#[test]
fn gnutls_cli_needs_to_be_told_what_the_card_can_sign_where_the_server_prefers_something_else() {
    let name = "gnutls::gnutls_cli_needs_to_be_told_what_the_card_can_sign_where_the_server_prefers_something_else";
    with_ground(name, |ground| {
        let card = ground.card();
        let likes = Some("RSA-PSS+SHA512:RSA-PSS+SHA256:RSA+SHA512:RSA+SHA256");
        let server = Server::start_preferring(&ground.scratch, Version::Tls13, card.auth_ca(), likes);
        let [ours, _] = P11Kit::pair(ground, &card);
        let told = "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256";
        for (priority, outcome) in [("NORMAL", None), (told, Some("RSA-PSS"))] {
            let (page, _) = ground.with_inserted(&card, |_| ours.page_of(&server, priority));
            assert_eq!(admitted_by(&page, Version::Tls13), outcome, "{priority}: {page}\n{}", server.log());
        }
        assert_eq!(card.tries(), (3, 5));
    });
}
