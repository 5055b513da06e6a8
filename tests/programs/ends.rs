//! How programs end, judged by a program that knows no secret and stays connected to the card; and programs that are set up
//! with a wrong PIN and begin again and again.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::Padding;
use crate::common::witness::{Open, Witness};
use crate::common::{jpki, run, tool};
use crate::display::Display;
use crate::firefox::{Firefox, Profile};
use crate::ground::with_ground;
use crate::java::{self, AUTH, SIGN};
use crate::openssl::{AUTH_KEY, SIGN_KEY, with_pin_in};
use crate::openssl_engine::with_engine_of;
use crate::program::bounded;
use crate::python::python;
use crate::ssh::{MODULE, Machine};
use crate::tls::{Server, Version};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn openssl_with_the_engine_leaves_no_key_open() {
    with_engine_of("ends::openssl_with_the_engine_leaves_no_key_open", |way| {
        let ground = way.ground;
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let witness = Witness::connect();
        for (module, key, secret, certificate) in [
            (ground.installed.auth(), AUTH_KEY, PIN, card.auth_certificate()),
            (ground.installed.sign(), SIGN_KEY, PASSWORD, card.sign_certificate()),
        ] {
            let key = with_pin_in(key, &ground.scratch.file("secret", secret));
            run(&mut way.dgst(&module, &key, Padding::Pkcs1)).ok();
            way.assert_dgst(certificate, Padding::Pkcs1);
            assert_eq!(witness.signs_with(), Open::Neither, "{key}");
        }
        witness.leave();
    });
}

#[test]
fn jarsigner_leaves_no_key_open() {
    with_ground("ends::jarsigner_leaves_no_key_open", |ground| {
        let card = ground.card();
        let archive = java::archive(ground);
        let signed = ground.scratch.path().join("signed.jar");
        let _inserted = ground.pcscd.insert(&card.file);
        let witness = Witness::connect();
        for key in [&AUTH, &SIGN] {
            let mut jarsigner = key.tool("jarsigner", &key.configuration(ground, &key.module(ground)));
            jarsigner.args(["-sigalg", "SHA256withRSA", "-signedjar"]).args([&signed, &archive]).arg(key.alias);
            run(&mut jarsigner).ok();
            assert_eq!(witness.signs_with(), Open::Neither, "{}", key.alias);
        }
        witness.leave();
    });
}

#[test]
fn what_a_program_in_go_leaves_open_the_next_look_closes() {
    with_ground("ends::what_a_program_in_go_leaves_open_the_next_look_closes", |ground| {
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let program = ground.scratch.path().join("leave");
        run(Command::new(tool("go", "golang-go"))
            .args(["build", "-o"])
            .arg(&program)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/leave.go"))
            .env("GO111MODULE", "off")
            .env("CGO_ENABLED", "1"))
        .ok();
        let witness = Witness::connect();
        for code in ["0", "3"] {
            let ran = run(bounded(&program).arg(ground.installed.both()).args([PIN, PASSWORD, code]));
            assert_eq!((ran.success, &*ran.stdout), (code == "0", "signed\n"), "{ran:?}");
            println!("after a program in Go that ended with {code}: {:?}", witness.signs_with());
            run(jpki().arg("status")).ok();
            assert_eq!(witness.signs_with(), Open::Neither, "{code}");
        }
        assert_eq!(card.tries(), (3, 5));
        witness.leave();
    });
}

#[test]
fn what_firefox_leaves_open_when_it_is_quit_the_next_look_closes() {
    with_ground("ends::what_firefox_leaves_open_when_it_is_quit_the_next_look_closes", |ground| {
        let card = ground.card();
        let (display, server) = (Display::start(), Server::start(&ground.scratch, Version::Tls13, card.auth_ca()));
        let profile = Profile::new(ground, "profile", &server.authority);
        profile.add_module(&ground.installed.auth());
        profile.choose_automatically();
        let _inserted = ground.pcscd.insert(&card.file);
        let witness = Witness::connect();
        let mut firefox = Firefox::start(ground, &display, &profile, None);
        firefox.log_in(&server.url(), PIN).expect("the page");
        assert_eq!(witness.signs_with(), Open::Authentication);
        firefox.quit_by_menu();
        println!("after Firefox was quit: {:?}", witness.signs_with());
        run(jpki().arg("status")).ok();
        assert_eq!(witness.signs_with(), Open::Neither);
        assert_eq!(card.tries(), (3, 5));
        witness.leave();
    });
}

/// A runtime directory in memory, as a session's is: what is remembered of refused secrets is kept nowhere else.
fn runtime_directory() -> TempDir {
    let place = tempfile::Builder::new().prefix("jpki-").tempdir_in("/dev/shm").expect("there is a tmpfs");
    fs::set_permissions(place.path(), Permissions::from_mode(0o700)).expect("it is ours");
    place
}

#[test]
fn a_wrong_pin_in_a_uri_costs_openssl_one_try_however_often_it_runs() {
    with_engine_of("ends::a_wrong_pin_in_a_uri_costs_openssl_one_try_however_often_it_runs", |way| {
        let card = way.ground.card();
        let _inserted = way.ground.pcscd.insert(&card.file);
        let runtime = runtime_directory();
        let key = format!("{AUTH_KEY}?pin-value=9999");
        for time in 1..=3 {
            let mut dgst = way.dgst(&way.ground.installed.auth(), &key, Padding::Pkcs1);
            let said = run(dgst.env("XDG_RUNTIME_DIR", runtime.path())).refused();
            assert_eq!(card.tries(), (2, 5), "time {time}: {said}");
        }
    });
}

#[test]
fn a_wrong_pin_costs_an_agent_one_try_however_often_it_is_told() {
    with_ground("ends::a_wrong_pin_costs_an_agent_one_try_however_often_it_is_told", |ground| {
        let card = ground.card();
        let machine = Machine::start(ground);
        let _inserted = ground.pcscd.insert(&card.file);
        let runtime = runtime_directory();
        let agent = machine.agent_with(&[], |agent| agent.env("XDG_RUNTIME_DIR", runtime.path()));
        for time in 1..=3 {
            let added = agent.add(Path::new(MODULE), "9999");
            assert_eq!(agent.keys(), "", "time {time}: {added:?}");
            assert_eq!(card.tries(), (2, 5), "time {time}: {added:?}");
        }
        assert!(agent.add(Path::new(MODULE), PIN).success);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_wrong_pin_costs_pykcs11_one_try_however_often_it_begins_again() {
    with_ground("ends::a_wrong_pin_costs_pykcs11_one_try_however_often_it_begins_again", |ground| {
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let service = |pin: &str| {
            let mut service = python();
            service.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/mistype.py"));
            run(service.arg(ground.installed.auth()).args([pin, "3"])).ok()
        };
        let said = service("9999");
        assert_eq!((said.lines().count(), said.contains("logged in")), (3, false), "{said}");
        assert_eq!(card.tries(), (2, 5), "{said}");
        assert_eq!(service(PIN), "logged in\n".repeat(3));
        assert_eq!(card.tries(), (3, 5));
    });
}
