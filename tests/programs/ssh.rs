//! OpenSSH: a login with the card at a real sshd, by ssh itself and through an agent, and commits that git signs with it.

mod machine;

use crate::common::cards::PIN;
use crate::common::running::Running;
use crate::common::{Ran, eventually, run, tool};
use crate::ground::{Card, Ground, with_ground};
use crate::pages::snippets;
use machine::HOST;
pub use machine::Machine;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = "OpenSSH";

/// The module as a user has it; the machine has it there.
pub const MODULE: &str = "/usr/local/lib/pkcs11/libjpki_pkcs11-ssh.so";

/// The keys of a module, as `ssh-keygen -D` lists them.
pub fn keys(machine: &Machine, module: &Path) -> Vec<String> {
    machine.types("");
    let listed = run(machine.command("ssh-keygen").arg("-D").arg(module));
    assert_eq!(machine.asked(), [""; 0], "no secret is needed for that");
    listed.stdout.lines().map(str::to_owned).collect()
}

/// A machine whose sshd admits the card's holder.
fn machine(ground: &Ground<'_>, card: &Card) -> Machine {
    let machine = Machine::start(ground);
    let (listed, _) = ground.with_inserted(card, |_| keys(&machine, Path::new(MODULE)));
    machine.write("authorized_keys", &listed.join("\n"));
    machine
}

/// `ssh OPTIONS HOST`, to say something there.
pub fn log_in(mut ssh: Command, options: &[&str]) -> Ran {
    run(ssh.args(options).args([HOST, "echo", "at home"]))
}

pub fn is_at_home(ran: &Ran) -> bool {
    ran.success && ran.stdout == "at home\n"
}

#[test]
fn ssh_keygen_lists_the_users_key_only() {
    with_ground("ssh::ssh_keygen_lists_the_users_key_only", |ground| {
        let card = ground.card();
        let machine = Machine::start(ground);
        let certificate = ground.scratch.file("certificate.pem", card.auth_certificate());
        let openssl = || Command::new(tool("openssl", "openssl"));
        let spki = run(openssl().args(["x509", "-noout", "-pubkey", "-in"]).arg(certificate)).ok();
        let spki = ground.scratch.file("public.pem", spki);
        let expected = run(machine.command("ssh-keygen").args(["-i", "-m", "PKCS8", "-f"]).arg(spki)).ok();
        ground.compare(&card, PROGRAM, "list keys (ssh-keygen -D)", Path::new(MODULE), |module| {
            let listed = keys(&machine, module);
            if module == Path::new(MODULE) {
                assert_eq!(listed, [format!("{} User Authentication Public Key", expected.trim_end())]);
            }
            !listed.is_empty()
        });
    });
}

#[test]
fn ssh_logs_in_with_one_prompt_and_one_verify() {
    with_ground("ssh::ssh_logs_in_with_one_prompt_and_one_verify", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        ground.compare(&card, PROGRAM, "log in (ssh -I)", Path::new(MODULE), |module| {
            machine.types(PIN);
            is_at_home(&log_in(machine.command("ssh"), &["-I", &module.display().to_string()]))
        });
        let include = ground.installed.conf("ssh_config");
        machine.write("config", &format!("Host {HOST}\n    Include {}\n", include.display()));
        for algorithm in ["rsa-sha2-512", "rsa-sha2-256"] {
            let option = format!("-oPubkeyAcceptedAlgorithms={algorithm}");
            machine.types(PIN);
            let (ran, cost) = ground.with_inserted(&card, |_| log_in(machine.command("ssh"), &[&option]));
            assert!(is_at_home(&ran), "{algorithm}: {ran:?}");
            assert_eq!(cost.verifies, 1);
            assert!(
                matches!(&machine.asked()[..], [one] if one.contains("Auth (4-digit PIN)")),
                "{:?}",
                machine.asked()
            );
        }
    });
}

#[test]
fn a_wrong_pin_costs_ssh_one_try_and_asks_once() {
    with_ground("ssh::a_wrong_pin_costs_ssh_one_try_and_asks_once", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        let _card = ground.pcscd.insert(&card.file);
        let try_with = |pin: &str| {
            machine.types(pin);
            let before = card.cost().verifies;
            let ran = log_in(machine.command("ssh"), &["-I", MODULE]);
            (is_at_home(&ran), machine.asked().len(), card.cost().verifies - before, ran)
        };
        let (admitted, asked, verifies, ran) = try_with("0000");
        assert_eq!((admitted, asked, verifies), (false, 1, 1), "{ran:?}");
        assert!(ran.stderr.contains("PIN incorrect"), "{ran:?}");
        assert_eq!(card.tries(), (2, 5));
        let (admitted, _, verifies, ran) = try_with("12345");
        assert_eq!((admitted, verifies), (false, 0), "one of the wrong form is not sent: {ran:?}");
        assert_eq!(card.tries(), (2, 5));
        let (admitted, asked, verifies, ran) = try_with(PIN);
        assert_eq!((admitted, asked, verifies), (true, 1, 1), "{ran:?}");
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn an_agent_logs_in_any_number_of_times_for_one_verify() {
    with_ground("ssh::an_agent_logs_in_any_number_of_times_for_one_verify", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        ground.compare(&card, PROGRAM, "add to an agent, log in twice", Path::new(MODULE), |module| {
            let agent = machine.agent(&[]);
            let added = agent.add(module, PIN);
            let asked = machine.asked();
            assert!(matches!(&asked[..], [one] if one.contains("PKCS#11")), "{asked:?}");
            added.success && (0..2).all(|_| is_at_home(&log_in(agent.command("ssh"), &[])))
        });
        let _card = ground.pcscd.insert(&card.file);
        let agent = machine.agent(&[]);
        let before = card.cost().verifies;
        assert!(agent.add(Path::new(MODULE), PIN).success);
        machine.types("nothing is asked any more");
        for _ in 0..3 {
            let ran = log_in(agent.command("ssh"), &[]);
            assert!(is_at_home(&ran), "{ran:?}");
        }
        assert_eq!((machine.asked().len(), card.cost().verifies - before), (0, 1));
        let keys = agent.keys();
        assert_eq!(keys.lines().count(), 1, "{keys}");
        run(agent.command("ssh-add").args(["-e", MODULE])).ok();
        assert_eq!(agent.keys(), "");
        assert!(!is_at_home(&log_in(agent.command("ssh"), &[])), "nothing is left to log in with");
    });
}

#[test]
fn an_agent_takes_the_module_from_where_it_is_installed_and_from_nowhere_else() {
    with_ground("ssh::an_agent_takes_the_module_from_where_it_is_installed_and_from_nowhere_else", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        let _card = ground.pcscd.insert(&card.file);
        let elsewhere = ground.installed.auth().with_file_name("libjpki_pkcs11-ssh.so");
        let before = card.cost();
        {
            let agent = machine.agent(&[]);
            let refused = agent.add(&elsewhere, PIN);
            assert!(!refused.success && refused.stderr.contains("agent refused operation"), "{refused:?}");
            assert_eq!(card.cost(), before, "it is not even loaded");
        }
        let agent = machine.agent(&["-P", &format!("{}/*", elsewhere.parent().expect("it is in one").display())]);
        assert!(agent.add(&elsewhere, PIN).success, "unless the agent is told so");
        let ran = log_in(agent.command("ssh"), &[]);
        assert!(is_at_home(&ran), "{ran:?}");
    });
}

#[test]
fn a_wrong_pin_costs_an_agent_one_try() {
    with_ground("ssh::a_wrong_pin_costs_an_agent_one_try", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        let _card = ground.pcscd.insert(&card.file);
        let agent = machine.agent(&[]);
        let before = card.cost().verifies;
        assert!(!agent.add(Path::new(MODULE), "0000").success);
        assert_eq!((card.tries(), card.cost().verifies - before), ((2, 5), 1));
        assert_eq!(agent.keys(), "");
        assert!(!agent.add(Path::new(MODULE), "123").success);
        assert_eq!((card.tries(), card.cost().verifies - before), ((2, 5), 1), "one of the wrong form is not sent");
        assert!(agent.add(Path::new(MODULE), PIN).success);
        assert_eq!((card.tries(), card.cost().verifies - before), ((3, 5), 2));
        let ran = log_in(agent.command("ssh"), &[]);
        assert!(is_at_home(&ran), "{ran:?}");
    });
}

/// ssh-add asks for one PIN and the agent gives it to every token the module shows.
#[test]
fn an_agent_given_both_tokens_uses_up_no_try_of_the_signature_password() {
    with_ground("ssh::an_agent_given_both_tokens_uses_up_no_try_of_the_signature_password", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        let _card = ground.pcscd.insert(&card.file);
        let agent = machine.agent(&[]);
        let before = card.cost().verifies;
        agent.add(&Path::new(MODULE).with_file_name("libjpki_pkcs11.so"), PIN);
        assert_eq!((card.tries(), card.cost().verifies - before), ((3, 5), 1));
        let ran = log_in(agent.command("ssh"), &[]);
        assert!(is_at_home(&ran), "{ran:?}");
    });
}

#[test]
fn an_agent_survives_the_card_being_pulled_and_signs_after_it_is_added_again() {
    with_ground("ssh::an_agent_survives_the_card_being_pulled_and_signs_after_it_is_added_again", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        let agent = machine.agent(&[]);
        let mut inserted = ground.pcscd.insert(&card.file);
        assert!(agent.add(Path::new(MODULE), PIN).success);
        for _ in 0..2 {
            let ran = log_in(agent.command("ssh"), &[]);
            assert!(is_at_home(&ran), "{ran:?}");
            ground.pcscd.remove(inserted);
            let ran = log_in(agent.command("ssh"), &[]);
            assert!(!ran.success && ran.stderr.contains("agent refused operation"), "{ran:?}");
            assert_eq!(agent.keys().lines().count(), 1, "it answers");

            inserted = ground.pcscd.insert(&card.file);
            let before = card.cost().verifies;
            let ran = log_in(agent.command("ssh"), &[]);
            assert!(!is_at_home(&ran), "the login ended with the card's departure: {ran:?}");
            assert_eq!(card.cost().verifies - before, 0);
            run(agent.command("ssh-add").args(["-e", MODULE])).ok();
            assert!(agent.add(Path::new(MODULE), PIN).success);
            assert_eq!(card.cost().verifies - before, 1);
        }
        let ran = log_in(agent.command("ssh"), &[]);
        assert!(is_at_home(&ran), "{ran:?}");
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn an_agent_survives_a_card_that_falls_silent_in_a_signature_and_is_pulled() {
    with_ground("ssh::an_agent_survives_a_card_that_falls_silent_in_a_signature_and_is_pulled", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        let agent = machine.agent(&[]);
        let inserted = ground.pcscd.insert(&card.file);
        assert!(agent.add(Path::new(MODULE), PIN).success);
        let accepted = || machine.sshd_log().matches("Accepted key RSA").count();
        let before = accepted();
        inserted.signal("-STOP");
        let mut ssh = agent.command("ssh");
        ssh.args([HOST, "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut ssh = Running::start(&mut ssh);
        eventually("sshd wants a signature", || (accepted() > before).then_some(()));
        ground.pcscd.remove(inserted);
        assert!(!ssh.ended().success());
        assert_eq!(agent.keys().lines().count(), 1, "it answers");

        let _card = ground.pcscd.insert(&card.file);
        run(agent.command("ssh-add").args(["-e", MODULE])).ok();
        assert!(agent.add(Path::new(MODULE), PIN).success);
        let ran = log_in(agent.command("ssh"), &[]);
        assert!(is_at_home(&ran), "{ran:?}");
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn git_signs_commits_with_the_card_and_verifies_them() {
    with_ground("ssh::git_signs_commits_with_the_card_and_verifies_them", |ground| {
        let card = ground.card();
        let machine = machine(ground, &card);
        let inserted = ground.pcscd.insert(&card.file);
        let agent = machine.agent(&[]);
        // Most people's agents have another key already.
        let another = ground.scratch.path().join("another");
        run(machine.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&another)).ok();
        run(agent.command("ssh-add").arg("-q").arg(&another)).ok();
        assert!(agent.add(Path::new(MODULE), PIN).success);
        // As the page says.
        let commands = snippets("ssh", "sh").into_iter().find(|commands| commands.contains("gpg.format ssh"));
        let set_up = commands.expect("the page says how to set up git");
        run(agent.with(machine.with_minute(&tool("sh", "dash"))).args(["-ec", &set_up])).ok();
        let repository = ground.scratch.path().join("repository");
        let git = |arguments: &[&str]| {
            let mut git = agent.with(machine.with_minute(&tool("git", "git")));
            run(git.arg("-C").arg(&repository).args(arguments))
        };
        fs::create_dir(&repository).expect("the scratch directory is ours");
        git(&["init", "--quiet"]).ok();
        git(&["config", "user.name", "練習 太郎"]).ok();
        git(&["config", "user.email", "you@example.jp"]).ok();
        let before = card.cost().verifies;
        git(&["commit", "--quiet", "--allow-empty", "-S", "-m", "Practice"]).ok();
        git(&["tag", "-s", "-m", "Practice", "v1"]).ok();
        assert_eq!(card.cost().verifies, before, "the agent has logged in already");
        for verify in [["verify-commit", "HEAD"], ["verify-tag", "v1"]] {
            let verdict = git(&verify);
            assert!(verdict.success, "{verdict:?}");
            let good = "Good \"git\" signature for you@example.jp with RSA key";
            assert!(verdict.stderr.contains(good), "{verdict:?}");
        }
        // What was not signed is not taken for signed, nor is the key of somebody who is not allowed.
        git(&["commit", "--quiet", "--allow-empty", "-m", "Not signed"]).ok();
        git(&["verify-commit", "HEAD"]).refused();
        let other_uses = format!("you@example.jp namespaces=\"file\" {}", keys(&machine, Path::new(MODULE)).concat());
        machine.write("allowed_signers", &other_uses);
        git(&["verify-commit", "HEAD~1"]).refused();
        ground.pcscd.remove(inserted);
        git(&["commit", "--quiet", "--allow-empty", "-S", "-m", "No card"]).refused();
    });
}
