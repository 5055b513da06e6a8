//! The protocol for volunteers with a real card (`docs/real-card.md`), word for word, on practice cards: that its commands
//! work, tell such cards apart, and put no try at risk.

mod common;

use common::cards::{PIN, card_as};
use common::pcscd::{Pcscd, with_pcscd};
use common::{Modules, Scratch, jpki, run, tool};
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::switches::{PssSalt, Switches};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// What the page has its reader type, once the packages are there.
fn steps() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/real-card.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, steps) = page.split_once("\n## The steps\n").unwrap();
    let (steps, _) = steps.split_once("\n## ").unwrap();
    steps.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0).collect()
}

/// What a volunteer sees, and what the card was asked.
struct Played {
    said: String,
    asked: String,
}

fn play(pcscd: &Pcscd, change: impl FnOnce(&mut Switches)) -> Played {
    for (program, package) in [
        ("p11tool", "gnutls-bin"),
        ("ssh-agent", "openssh-client"),
        ("ssh-add", "openssh-client"),
        ("opensc-tool", "opensc"),
    ] {
        tool(program, package);
    }
    let scratch = Scratch::new();
    let modules = Modules::in_dir(&scratch);
    let place = modules.both.parent().unwrap().to_str().unwrap();
    let programs = scratch.path().join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(jpki().get_program(), programs.join("jpki")).unwrap();
    let ask = scratch.file("ask", format!("#!/bin/sh\necho {PIN}\n"));
    fs::set_permissions(&ask, Permissions::from_mode(0o755)).unwrap();

    // ssh-agent loads modules from few places, of which a test's directory is none.
    let steps = steps()
        .replace("/usr/local/lib/pkcs11", place)
        .replace("$(ssh-agent -s)", &format!("$(ssh-agent -s -P '{place}/*')"));
    let card = card_as(&scratch, Kind::MyNumber, |order| change(&mut order.switches));
    let inserted = pcscd.insert(&card);
    let ran = run(Command::new("bash")
        .args(["-c", &steps])
        .current_dir(scratch.path())
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()))
        .env("GNUTLS_PIN", PIN)
        .env("SSH_ASKPASS", ask)
        .env("SSH_ASKPASS_REQUIRE", "force"));
    pcscd.remove(inserted);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    let folder = scratch.path().join("real-card");
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}\n{said}"));
    assert!(String::from_utf8(read("report.txt")).unwrap().ends_with("\nend\n"), "{said}");
    assert_eq!(String::from_utf8(read("differences.txt")).unwrap(), "");
    assert!(!read("long.pem").is_empty() && read("long.pem") == read("short.pem"), "{said}");
    assert_eq!(said.matches("tries left 3").count(), 1, "the look before: {said}");
    let text = fs::read_to_string(&card).unwrap();
    assert!(text.contains("tries = 3") && text.contains("tries = 5"), "no try was lost: {text}");
    Played { said, asked: fs::read_to_string(card.with_extension("log")).unwrap() }
}

impl Played {
    /// The answers to each VERIFY that had a secret in it.
    fn verifies(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.asked.lines().collect();
        let verify = |command: &str| command.starts_with("> 00 20 00") && command.contains('[');
        lines.windows(2).filter(|pair| verify(pair[0])).map(|pair| pair[1]).collect()
    }
}

#[test]
fn the_steps_for_a_real_card_go_through_and_send_no_wrong_secret() {
    with_pcscd("the_steps_for_a_real_card_go_through_and_send_no_wrong_secret", |pcscd| {
        let played = play(pcscd, |_| {});
        let said = &played.said;
        assert!(said.contains("Verifying against public key in the token... ok"), "{said}");
        assert!(said.contains("signed after the reset"), "{said}");
        let signatures = played.asked.lines().filter(|line| line.starts_with("> 80 2A 00 97 [")).count();
        assert_eq!(signatures, 11, "ten and one, beside that with PSS: {}", played.asked);
        assert!(!played.verifies().is_empty(), "{}", played.asked);
        assert!(played.verifies().iter().all(|answer| answer.starts_with("< 9000")), "{:?}", played.verifies());
        assert!(!played.asked.contains("> 00 20 00 9B ["), "the signature password was not asked for");
    });
}

#[test]
fn the_steps_for_a_real_card_tell_cards_apart() {
    with_pcscd("the_steps_for_a_real_card_tell_cards_apart", |pcscd| {
        let played = play(pcscd, |switches| {
            switches.warm_reset_clears = true;
            switches.pss_salt = PssSalt::Twenty;
        });
        let said = &played.said;
        assert!(said.contains("a salt of 20 bytes, not 32"), "{said}");
        assert!(said.contains("refused after the reset"), "{said}");
        assert!(played.verifies().iter().all(|answer| answer.starts_with("< 9000")), "{:?}", played.verifies());
    });
}
