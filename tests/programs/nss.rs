//! NSS's tools, and a program of its library: what Firefox, Thunderbird, Chromium and LibreOffice are made with.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::conversation::Conversation;
use crate::common::rival::{self, ISD};
use crate::common::{Ran, Scratch, eventually, library, opensc, run, tool};
use crate::ground::{Ground, with_ground};
use crate::program::program;
use crate::tls::{Server, Version, admitted_by};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "NSS tools";

/// An NSS database.
pub struct Database(PathBuf);

impl Database {
    /// One that knows this module: ours by `nss.sh`, OpenSC's by what its users do. There is no card in the reader yet.
    pub fn with(ground: &Ground<'_>, module: &Path) -> Database {
        let directory = |name: &str| ground.scratch.path().join(name);
        if module == opensc() {
            let database = Database::empty(&ground.scratch, "opensc");
            database.run("modutil", &["-force", "-add", "OpenSC", "-libfile"], &[module]).ok();
            return database;
        }
        let what = if module == ground.installed.sign() { "sign" } else { "auth" };
        let database = Database(directory(what));
        database.nss_sh(ground, what).ok();
        database
    }

    /// One that knows no module but NSS's own.
    fn empty(scratch: &Scratch, name: &str) -> Database {
        let database = Database(scratch.path().join(name));
        fs::create_dir(&database.0).expect("the scratch directory is ours");
        database.run("certutil", &["-N", "--empty-password"], &[]).ok();
        database
    }

    /// Runs the installed `nss.sh` on it.
    fn nss_sh(&self, ground: &Ground<'_>, what: &str) -> Ran {
        run(nss_sh(ground).arg(what).arg(&self.0))
    }

    /// One of NSS's tools, which uses this database.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = program(name, "libnss3-tools");
        command.arg(if name == "modutil" { "-dbdir" } else { "-d" }).arg(format!("sql:{}", self.0.display()));
        command
    }

    pub fn run(&self, name: &str, arguments: &[&str], files: &[&Path]) -> Ran {
        run(self.tool(name).args(arguments).args(files))
    }

    /// Has it trust an authority: `CT,,` for servers, `,C,` for signers.
    pub fn trust(&self, trust: &str, authority: &Path) {
        self.run("certutil", &["-A", "-n", "authority", "-t", trust, "-i"], &[authority]).ok();
    }

    /// The name of the token with these words in its name.
    fn token(&self, words: &str) -> String {
        let modules = self.run("modutil", &["-list"], &[]).ok();
        let tokens = modules.lines().filter_map(|line| line.trim().strip_prefix("token: "));
        tokens
            .filter(|token| !token.starts_with("NSS "))
            .find(|token| token.contains(words))
            .expect("the token is listed")
            .to_owned()
    }
}

fn nss_sh(ground: &Ground<'_>) -> Command {
    let mut command = program("sh", "dash");
    command.arg(ground.installed.conf("nss.sh"));
    command
}

/// The trust flags that certutil lists beside the certificate with this label on a token. `u` is the user's own.
fn flags<'a>(listing: &'a str, label: &str) -> Option<&'a str> {
    let rows = listing.lines().filter_map(|row| row.trim_end().rsplit_once(' '));
    let label = format!(":{label}");
    rows.filter(|(name, _)| name.trim_end().ends_with(&label)).map(|(_, flags)| flags).next()
}

#[test]
fn the_users_certificate_is_listed_before_any_login_and_no_ca_is_taken_for_the_users() {
    let name = "nss::the_users_certificate_is_listed_before_any_login_and_no_ca_is_taken_for_the_users";
    with_ground(name, |ground| {
        let (card, auth) = (ground.card(), ground.installed.auth());
        let databases = [auth.clone(), opensc()].map(|module| Database::with(ground, &module));
        let list = |module: &Path| {
            let database = &databases[usize::from(module != auth)];
            database.run("certutil", &["-L", "-h", "all"], &[]).ok()
        };
        ground.compare(&card, PROGRAM, "certutil -L", &auth, |module| {
            flags(&list(module), "User Authentication Certificate") == Some("u,u,u")
        });
        let (listing, cost) = ground.with_inserted(&card, |_| list(&auth));
        assert_eq!(flags(&listing, "User Authentication Certificate CA"), None, "{listing}");
        assert_eq!(cost.verifies, 0);
        let both = Database::empty(&ground.scratch, "both");
        both.run("modutil", &["-force", "-add", "both", "-libfile"], &[&ground.installed.both()]).ok();
        let (listing, _) = ground.with_inserted(&card, |_| both.run("certutil", &["-L", "-h", "all"], &[]).ok());
        assert_eq!(flags(&listing, "User Authentication Certificate CA"), Some(",,"), "{listing}");
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn no_ca_is_taken_for_the_users_after_a_login_to_the_signature_token() {
    with_ground("nss::no_ca_is_taken_for_the_users_after_a_login_to_the_signature_token", |ground| {
        let card = ground.card();
        let database = Database::with(ground, &ground.installed.sign());
        let password = ground.scratch.file("password", PASSWORD);
        let (listing, cost) =
            ground.with_inserted(&card, |_| database.run("certutil", &["-L", "-h", "all", "-f"], &[&password]).ok());
        assert_eq!(flags(&listing, "Digital Signature Certificate"), Some("u,u,u"), "{listing}");
        assert_eq!(flags(&listing, "Digital Signature Certificate CA"), Some(",,"), "{listing}");
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn certutil_lists_the_key_after_one_login() {
    with_ground("nss::certutil_lists_the_key_after_one_login", |ground| {
        let (card, auth) = (ground.card(), ground.installed.auth());
        let databases = [auth.clone(), opensc()].map(|module| Database::with(ground, &module));
        let pin = ground.scratch.file("pin", PIN);
        let tokens = ground.with_inserted(&card, |_| databases.each_ref().map(|database| database.token("Auth"))).0;
        ground.compare(&card, PROGRAM, "certutil -K", &auth, |module| {
            let theirs = usize::from(module != auth);
            let keys = databases[theirs].run("certutil", &["-K", "-h", &tokens[theirs], "-f"], &[&pin]).ok();
            keys.lines().filter(|line| line.starts_with('<')).count() == 1 && keys.contains("User Authentication Key")
        });
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn modutil_lists_the_card_and_nss_sh_takes_it_out_again() {
    with_ground("nss::modutil_lists_the_card_and_nss_sh_takes_it_out_again", |ground| {
        let (card, auth) = (ground.card(), ground.installed.auth());
        let databases = [auth.clone(), opensc()].map(|module| Database::with(ground, &module));
        ground.compare(&card, PROGRAM, "modutil -list", &auth, |module| {
            let listing = databases[usize::from(module != auth)].run("modutil", &["-list"], &[]).ok();
            listing.lines().any(|line| line.trim().starts_with("token: ") && line.contains("Auth"))
        });
        let [database, _] = databases;
        let modules = || database.run("modutil", &["-list"], &[]).ok();
        assert!(modules().contains("My Number Card"));
        database.nss_sh(ground, "undo").ok();
        assert!(!modules().contains("My Number Card"));
    });
}

#[test]
fn nss_sh_puts_the_signature_token_into_no_database_by_default_and_into_none_with_the_other() {
    let name = "nss::nss_sh_puts_the_signature_token_into_no_database_by_default_and_into_none_with_the_other";
    with_ground(name, |ground| {
        let help = run(nss_sh(ground).arg("sign")).refused();
        assert!(help.contains("sh nss.sh sign DIRECTORY"), "{help}");
        let database = Database::with(ground, &ground.installed.auth());
        let refused = database.nss_sh(ground, "sign").refused();
        assert!(refused.contains("has the card already"), "{refused}");
        // The default is the database of Chromium and others.
        run(nss_sh(ground).arg("auth")).ok();
        let home = PathBuf::from(std::env::var_os("HOME").expect("the test has its own"));
        let modules = Database(home.join(".pki/nssdb")).run("modutil", &["-list"], &[]).ok();
        assert!(modules.contains("libjpki_pkcs11-auth.so"), "{modules}");
    });
}

/// Chromium uses ~/.pki/nssdb wherever there is one.
#[test]
fn the_scripts_use_the_database_in_the_newer_place_and_do_not_hide_it() {
    with_ground("nss::the_scripts_use_the_database_in_the_newer_place_and_do_not_hide_it", |ground| {
        let home = ground.scratch.path().join("home");
        let newer = home.join(".local/share/pki/nssdb");
        fs::create_dir_all(newer.parent().expect("it has one")).expect("the scratch directory is ours");
        let database = Database::empty(&ground.scratch, "home/.local/share/pki/nssdb");
        for (script, add, undo) in [("nss.sh", "auth", "undo"), ("chromium-nssdb.sh", "", "--undo")] {
            let script = ground.installed.conf(script);
            let run_script = |what: &str| {
                let arguments = (!what.is_empty()).then_some(what);
                run(program("sh", "dash").arg(&script).args(arguments).env("HOME", &home)).ok()
            };
            let modules = || database.run("modutil", &["-list"], &[]).ok();
            run_script(add);
            assert!(modules().contains("libjpki_pkcs11-auth.so"), "{}", modules());
            assert!(!home.join(".pki").exists());
            run_script(undo);
            assert!(!modules().contains("libjpki_pkcs11-auth.so"), "{}", modules());
        }
    });
}

/// tstclnt finds the user's certificate by itself, as a browser does, and signs with its key.
fn tstclnt_is_let_in(name: &str, version: Version) {
    with_ground(name, |ground| {
        let (card, auth) = (ground.card(), ground.installed.auth());
        let server = Server::start(&ground.scratch, version, card.auth_ca());
        let databases = [auth.clone(), opensc()].map(|module| Database::with(ground, &module));
        for database in &databases {
            database.trust("CT,,", &server.authority);
        }
        let (port, pin) = (server.port().to_string(), ground.scratch.file("pin", PIN));
        let request = ground.scratch.file("request", "GET / HTTP/1.0\r\n\r\n");
        let versions = if version == Version::Tls12 { "tls1.2:tls1.2" } else { "tls1.3:tls1.3" };
        let page = |module: &Path| {
            let mut tstclnt = databases[usize::from(module != auth)].tool("tstclnt");
            tstclnt.args(["-4", "-h", "localhost", "-p", &port, "-V", versions]);
            run(tstclnt.arg("-W").arg(&pin).arg("-A").arg(&request)).stdout
        };
        ground.compare(&card, PROGRAM, &format!("tstclnt, {version}"), &auth, |module| {
            admitted_by(&page(module), version).is_some()
        });
        let (page, cost) = ground.with_inserted(&card, |_| page(&auth));
        // NSS takes PSS where the server likes it as well, in TLS 1.2 too.
        assert_eq!(admitted_by(&page, version), Some("RSA-PSS"), "{page}\n{}", server.log());
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn tstclnt_is_let_in_at_tls_1_2() {
    tstclnt_is_let_in("nss::tstclnt_is_let_in_at_tls_1_2", Version::Tls12);
}

#[test]
fn tstclnt_is_let_in_at_tls_1_3() {
    tstclnt_is_let_in("nss::tstclnt_is_let_in_at_tls_1_3", Version::Tls13);
}

#[test]
fn cmsutil_signs_and_verifies() {
    with_ground("nss::cmsutil_signs_and_verifies", |ground| {
        let (card, sign) = (ground.card(), ground.installed.sign());
        let databases = [sign.clone(), opensc()].map(|module| Database::with(ground, &module));
        let password = ground.scratch.file("password", PASSWORD);
        let document = ground.scratch.file("document", "practice makes perfect");
        let signed = ground.scratch.path().join("signed");
        let tokens = ground.with_inserted(&card, |_| databases.each_ref().map(|database| database.token("Sign"))).0;
        ground.compare(&card, PROGRAM, "cmsutil -S", &sign, |module| {
            let theirs = usize::from(module != sign);
            let certificate = format!("{}:Digital Signature Certificate", tokens[theirs]);
            // -G: with the time. -Y NONE: with no preference for a certificate to encrypt to, for which the card has none.
            let cmsutil = ["-S", "-T", "-G", "-Y", "NONE", "-N", &certificate];
            run(databases[theirs].tool("cmsutil").args(cmsutil).args([Path::new("-f"), &password]).args([
                Path::new("-i"),
                &document,
                Path::new("-o"),
                &signed,
            ]))
            .success
        });
        assert_eq!(card.tries(), (3, 5));

        // Someone else, without a card.
        let authority = ground.scratch.file("sign-ca.pem", card.sign_ca());
        let database = Database::empty(&ground.scratch, "verifier");
        database.trust(",C,", &authority);
        let verifies = |pkix: bool, document: &Path| {
            let mut cmsutil = database.tool("cmsutil");
            if pkix {
                cmsutil.env("NSS_ENABLE_PKIX_VERIFY", "1");
            }
            run(cmsutil.args(["-D", "-n", "-c"]).arg(document).arg("-i").arg(&signed))
        };
        verifies(true, &document).ok();
        let other = ground.scratch.file("other", "practice makes perfect!");
        let refused = verifies(true, &other).refused();
        assert!(refused.contains("DigestMismatch"), "{refused}");
        // NSS's older verifier does not know critical certificate policies, which JPKI's certificates have.
        let refused = verifies(false, &document).refused();
        assert!(refused.contains("SEC_ERROR_UNKNOWN_CRITICAL_EXTENSION"), "{refused}");
        let openssl = program("openssl", "openssl")
            .args(["cms", "-verify", "-inform", "DER", "-purpose", "any", "-in"])
            .args([&signed, Path::new("-content"), &document, Path::new("-CAfile"), &authority])
            .output();
        assert!(openssl.expect("openssl can be run").status.success());
    });
}

/// `tests/clients/nss.c`: a program that signs through NSS.
struct Client(Conversation);

impl Client {
    fn start(ground: &Ground<'_>, module: &Path) -> Client {
        let flags = run(Command::new(tool("pkg-config", "pkg-config")).args(["--cflags", "--libs", "nss"]));
        assert!(flags.success, "NSS's headers are missing: apt-get install libnss3-dev (or `make setup-clients`)");
        let client = ground.scratch.path().join("nss");
        run(Command::new(tool("gcc", "gcc"))
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-o"])
            .arg(&client)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/nss.c"))
            .args(flags.stdout.split_whitespace()))
        .ok();
        Client(Conversation::with(Command::new(client).arg(module).arg(PIN)))
    }

    /// Has it do something. It answers with what came of that, and how many times NSS has asked for the PIN so far.
    fn does(&mut self, what: &str) -> (String, u32) {
        let answer = self.0.say(what);
        let (outcome, prompts) = answer.split_once(", prompts: ").expect("it has not ended");
        (outcome.to_owned(), prompts.parse().expect("it is a number"))
    }
}

#[test]
fn after_a_lost_login_nss_asks_once_more_and_goes_on() {
    with_ground("nss::after_a_lost_login_nss_asks_once_more_and_goes_on", |ground| {
        ground.pcscd.configure_module("hold_pin = false\n");
        let card = ground.card();
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut client = Client::start(ground, &ground.installed.auth());
            let answer = |outcome: &str, prompts| (outcome.to_owned(), prompts);
            assert_eq!(client.does("handshake"), answer("ok", 1));
            assert_eq!(client.does("handshake"), answer("ok", 1));
            rival::once(0, &[ISD]);
            // NSS could ask again itself, but leaves that to the program's next attempt.
            assert_eq!(client.does("handshake"), answer("SEC_ERROR_TOKEN_NOT_LOGGED_IN", 1));
            assert_eq!(card.cost().verifies, 1);
            // It believes for a second what the session's state was: until then it finds no key, and asks for nothing.
            let again = eventually("NSS looks at the session's state", || {
                let (outcome, prompts) = client.does("handshake");
                (outcome == "ok" || prompts > 1).then_some((outcome, prompts))
            });
            assert_eq!(again, answer("ok", 2));
            assert_eq!(client.does("handshake"), answer("ok", 2));
        });
        assert_eq!(cost.verifies, 2);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn with_the_pin_held_nss_does_not_notice_a_lost_login() {
    with_ground("nss::with_the_pin_held_nss_does_not_notice_a_lost_login", |ground| {
        let card = ground.card();
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut client = Client::start(ground, &ground.installed.auth());
            let signed = ("ok".to_owned(), 1);
            assert_eq!(client.does("handshake"), signed);
            rival::once(0, &[ISD]);
            assert_eq!(client.does("handshake"), signed);
            rival::once(0, &[ISD]);
            // With the key that was looked up before.
            assert_eq!(client.does("sign"), signed);
            assert_eq!(client.does("handshake"), signed);
        });
        // One for the PIN that was asked for, and one for each time that the card forgot it.
        assert_eq!(cost.verifies, 3);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn modutil_lists_the_tokens_through_opensc_s_spy() {
    with_ground("nss::modutil_lists_the_tokens_through_opensc_s_spy", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let database = Database::empty(&ground.scratch, "spied");
        let spied = |arguments: &[&str], files: &[&Path]| {
            let mut modutil = database.tool("modutil");
            modutil.env("PKCS11SPY", ground.installed.auth()).env("PKCS11SPY_OUTPUT", "/dev/null");
            run(modutil.args(arguments).args(files)).ok()
        };
        spied(&["-force", "-add", "spied", "-libfile"], &[&library("pkcs11-spy.so", "opensc-pkcs11")]);
        let listed = spied(&["-list"], &[]);
        assert!(listed.contains("token: PRACTICE Auth (4-digit PIN) "), "{listed}");
    });
}
