//! pam_pkcs11, with `pam_pkcs11.conf` where the system has it: /etc as these programs see it has the test's own pam.d and
//! pam_pkcs11.

use crate::common::cards::PIN;
use crate::common::namespaces::own_mounts;
use crate::common::{Ran, Scratch, run, tool};
use crate::ground::{Card, Ground, with_ground};
use crate::program::{run_typing, without_terminal};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "pam_pkcs11";
/// The PAM service that pamtester asks, and the account it asks for, which every system has.
const SERVICE: &str = "jpki-test";
const ACCOUNT: &str = "root";

/// A directory with what stands in /etc, for a user with this certificate.
fn etc(ground: &Ground<'_>, card: &Card, certificate: &str) -> PathBuf {
    let etc = ground.scratch.path().join("etc");
    for directory in ["pam.d", "pam_pkcs11/cacerts", "pam_pkcs11/crls"] {
        fs::create_dir_all(etc.join(directory)).expect("the scratch directory is ours");
    }
    let write = |name: &str, text: String| fs::write(etc.join(name), text).expect("the scratch directory is ours");
    write(&format!("pam.d/{SERVICE}"), "auth required pam_pkcs11.so\naccount required pam_permit.so\n".to_owned());
    let conf = fs::read_to_string(ground.installed.conf("pam_pkcs11.conf")).expect("it is installed");
    write("pam_pkcs11/pam_pkcs11.conf", conf);
    write("pam_pkcs11/cacerts/jpki-auth-ca.pem", card.auth_ca().to_owned());
    run(without_terminal(tool("openssl", "openssl")).arg("rehash").arg(etc.join("pam_pkcs11/cacerts"))).ok();
    write("pam_pkcs11/digest_mapping", format!("{} -> {ACCOUNT}\n", fingerprint(&ground.scratch, certificate)));
    etc
}

fn fingerprint(scratch: &Scratch, certificate: &str) -> String {
    let certificate = scratch.file("mapped.pem", certificate);
    let said = run(without_terminal(tool("openssl", "openssl"))
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(certificate));
    said.ok().trim().split_once('=').expect("it is name and value").1.to_owned()
}

/// A command that finds `etc`'s two directories in /etc, in a mount namespace of its own.
fn with_etc(etc: &Path, program: &Path) -> Command {
    let script = r#"mount --bind "$0/pam.d" /etc/pam.d && mount --bind "$0/pam_pkcs11" /etc/pam_pkcs11 && exec "$@""#;
    let mut command = without_terminal(tool("unshare", "util-linux"));
    command.args(own_mounts()).args(["sh", "-c", script]).arg(etc).arg(program);
    command
}

fn log_in(ground: &Ground<'_>, etc: &Path, pin: &str) -> Ran {
    let pamtester = tool("pamtester", "pamtester");
    run_typing(&ground.scratch, with_etc(etc, &pamtester).args([SERVICE, ACCOUNT, "authenticate"]), pin)
}

#[test]
fn the_card_and_its_pin_log_in() {
    with_ground("pam::the_card_and_its_pin_log_in", |ground| {
        let card = ground.card();
        let etc = etc(ground, &card, card.auth_certificate());
        let (said, cost) = ground.with_inserted(&card, |_| log_in(ground, &etc, PIN).ok());
        assert!(said.contains("successfully authenticated"), "{said}");
        assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn a_wrong_pin_costs_one_try_and_one_of_wrong_form_none() {
    with_ground("pam::a_wrong_pin_costs_one_try_and_one_of_wrong_form_none", |ground| {
        let card = ground.card();
        let etc = etc(ground, &card, card.auth_certificate());
        let refused = |pin: &str| ground.with_inserted(&card, |_| log_in(ground, &etc, pin).refused()).1.verifies;
        assert_eq!((refused("PASSWORD"), card.tries()), (0, (3, 5)));
        assert_eq!((refused("4321"), card.tries()), (1, (2, 5)));
    });
}

#[test]
fn a_card_that_no_account_is_mapped_to_does_not_log_in() {
    with_ground("pam::a_card_that_no_account_is_mapped_to_does_not_log_in", |ground| {
        let card = ground.card();
        // Another's, as after renewal.
        let etc = etc(ground, &card, card.sign_certificate());
        let (said, _) = ground.with_inserted(&card, |_| log_in(ground, &etc, PIN).refused());
        assert!(said.contains("No matching certificate found"), "{said}");
    });
}

/// pam_pkcs11 looks at every certificate of the token, and everybody can have the authority's.
#[test]
fn the_authoritys_certificate_does_not_log_in() {
    with_ground("pam::the_authoritys_certificate_does_not_log_in", |ground| {
        let card = ground.card();
        let etc = etc(ground, &card, card.auth_ca());
        let (said, _) = ground.with_inserted(&card, |_| log_in(ground, &etc, PIN).refused());
        assert!(said.contains("No matching certificate found"), "{said}");
        // Nor does it by the file that shows it.
        let conf = etc.join("pam_pkcs11/pam_pkcs11.conf");
        let [auth, both] = [ground.installed.auth(), ground.installed.both()].map(|file| file.display().to_string());
        let text = fs::read_to_string(&conf).expect("it was written").replace(&auth, &both);
        fs::write(conf, text).expect("the scratch directory is ours");
        let (said, _) = ground.with_inserted(&card, |_| log_in(ground, &etc, PIN).refused());
        assert!(said.contains("Signing failed"), "{said}");
    });
}

#[test]
fn a_card_of_another_authority_does_not_log_in() {
    with_ground("pam::a_card_of_another_authority_does_not_log_in", |ground| {
        let card = ground.card();
        let etc = etc(ground, &card, card.auth_certificate());
        fs::remove_dir_all(etc.join("pam_pkcs11/cacerts")).expect("it is ours");
        fs::create_dir(etc.join("pam_pkcs11/cacerts")).expect("it is ours");
        let (said, _) = ground.with_inserted(&card, |_| log_in(ground, &etc, PIN).refused());
        assert!(said.contains("No matching certificate found"), "{said}");
    });
}

/// The line that the documentation has before `common-auth`, for which another stands here.
#[test]
fn without_a_card_the_service_goes_on_to_what_comes_next() {
    with_ground("pam::without_a_card_the_service_goes_on_to_what_comes_next", |ground| {
        let card = ground.card();
        let etc = etc(ground, &card, card.auth_certificate());
        let service = |next: &str| {
            let lines = format!("auth sufficient pam_pkcs11.so\nauth required {next}.so\n");
            fs::write(etc.join("pam.d").join(SERVICE), lines).expect("it is ours");
        };
        service("pam_permit");
        log_in(ground, &etc, PIN).ok();
        service("pam_deny");
        log_in(ground, &etc, PIN).refused();
        ground.with_inserted(&card, |_| log_in(ground, &etc, PIN).ok());
    });
}

#[test]
fn pklogin_finder_names_the_account_without_a_pin() {
    with_ground("pam::pklogin_finder_names_the_account_without_a_pin", |ground| {
        let card = ground.card();
        let etc = etc(ground, &card, card.auth_certificate());
        let finder = tool("pklogin_finder", "libpam-pkcs11");
        let (account, cost) = ground.with_inserted(&card, |_| run(&mut with_etc(&etc, &finder)).ok());
        assert_eq!(account.trim(), ACCOUNT);
        assert_eq!((cost.verifies, card.tries()), (0, (3, 5)));
    });
}

#[test]
fn logging_in_costs_less_than_with_opensc() {
    with_ground("pam::logging_in_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        let etc = etc(ground, &card, card.auth_certificate());
        let conf = etc.join("pam_pkcs11/pam_pkcs11.conf");
        let auth = ground.installed.auth();
        ground.compare(&card, PROGRAM, "log in", &auth, |module| {
            let text = fs::read_to_string(&conf).expect("it is ours");
            fs::write(&conf, text.replace(&auth.display().to_string(), &module.display().to_string()))
                .expect("it is ours");
            log_in(ground, &etc, PIN).success
        });
        assert_eq!(card.tries(), (3, 5));
    });
}
