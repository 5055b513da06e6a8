//! poppler's pdfsig, which signs with what an NSS database knows.

use crate::common::cards::PASSWORD;
use crate::common::{Ran, opensc, run, tool};
use crate::database;
use crate::ground::{Ground, with_ground};
use crate::pdf::{assert_signed, document, pdfsig_on, tampered};
use crate::program::without_terminal;
use std::path::{Path, PathBuf};
use std::process::Command;

fn pdfsig(database: &Path, password: &str) -> Command {
    let mut command = without_terminal(tool("pdfsig", "poppler-utils"));
    command.arg("-nssdir").arg(database).args(["-nss-pwd", password]);
    command
}

/// The nicknames of the certificates it can sign with.
fn nicknames(database: &Path, password: &str) -> Ran {
    run(pdfsig(database, password).arg("-list-nicks"))
}

fn sign(ground: &Ground<'_>, database: &Path, nickname: &str, password: &str) -> (Ran, PathBuf) {
    let (document, signed) = (document(&ground.scratch), ground.scratch.path().join("signed.pdf"));
    let ran = run(pdfsig(database, password)
        .args(["-add-signature", "-nick", nickname, "-reason", "practice"])
        .args([&document, &signed]));
    (ran, signed)
}

/// The nickname of our signature certificate, as `pdfsig -list-nicks` shows it.
fn ours(listed: &str) -> Option<&str> {
    listed.lines().find(|line| line.ends_with(":Digital Signature Certificate"))
}

#[test]
fn a_signature_is_verified_by_pdfsig_and_pyhanko() {
    with_ground("pdfsig::a_signature_is_verified_by_pdfsig_and_pyhanko", |ground| {
        let card = ground.card();
        let database = database::with_module(ground, &card, &ground.installed.sign());
        let (nickname, listing) = ground.with_inserted(&card, |_| {
            let listed = nicknames(&database, PASSWORD).ok();
            ours(&listed).unwrap_or_else(|| panic!("{listed}")).to_owned()
        });
        let (signed, signing) = ground.with_inserted(&card, |_| {
            let (ran, signed) = sign(ground, &database, &nickname, PASSWORD);
            ran.ok();
            signed
        });
        assert_signed(&ground.scratch, &card, &signed, &["--no-strict-syntax"]);
        let tampered = tampered(&ground.scratch, &signed);
        assert!(pdfsig_on(&ground.scratch, &card, &tampered).stdout.contains("Digest Mismatch."));
        assert_eq!((listing.verifies, signing.verifies, card.tries()), (1, 1, (3, 5)));
    });
}

#[test]
fn a_wrong_password_costs_one_try() {
    with_ground("pdfsig::a_wrong_password_costs_one_try", |ground| {
        let card = ground.card();
        let database = database::with_module(ground, &card, &ground.installed.sign());
        let (said, cost) = ground.with_inserted(&card, |_| nicknames(&database, "WRONG12").refused());
        assert!(said.contains("Password was not accepted"), "{said}");
        assert_eq!((cost.verifies, card.tries()), (1, (3, 4)));
    });
}

/// It hands one password to every token (`clients.md` §2.9).
#[test]
fn with_both_tokens_it_gives_up_and_no_try_is_spent() {
    with_ground("pdfsig::with_both_tokens_it_gives_up_and_no_try_is_spent", |ground| {
        let card = ground.card();
        let database = database::with_module(ground, &card, &ground.installed.both());
        let (said, _) = ground.with_inserted(&card, |_| nicknames(&database, PASSWORD).refused());
        assert!(said.contains("Password was not accepted"), "{said}");
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn signing_costs_less_than_with_opensc() {
    with_ground("pdfsig::signing_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        let sign_module = ground.installed.sign();
        let databases = [&sign_module, &opensc()].map(|module| database::with_module(ground, &card, module));
        ground.compare(&card, "pdfsig", "list, sign a PDF document", &sign_module, |module| {
            let database = &databases[usize::from(module != sign_module)];
            let listed = nicknames(database, PASSWORD).stdout;
            ours(&listed).is_some_and(|nickname| sign(ground, database, nickname, PASSWORD).0.success)
        });
        assert_eq!(card.tries(), (3, 5));
    });
}
