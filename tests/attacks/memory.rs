//! Where a secret could stay behind: in the memory of the program that loaded the module, and in its log.

use crate::client;
use crate::common::cards::{PASSWORD, PIN, card, card_as};
use crate::common::pcscd::with_pcscd;
use crate::common::{Modules, Scratch, configured, jpki, run, tool};
use jpki_pkcs11::emulator::image::Kind;
use jpki_pkcs11::emulator::issue::Choice;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The card is in another process, since a practice card knows its own secrets.
#[test]
fn no_password_is_in_memory_after_c_logout() {
    with_pcscd("memory::no_password_is_in_memory_after_c_logout", |pcscd| {
        let scratch = Scratch::new();
        let file =
            card_as(&scratch, Kind::MyNumber, |order| order.sign_secret = Choice::Set("QZ7XJ2VK9W4TBM3H".into()));
        let (client, modules) = (client::compile(&scratch), Modules::in_dir(&scratch));
        let _card = pcscd.insert(&file);
        let mut client = Command::new(client)
            .args(["memory".as_ref(), modules.both.as_os_str(), "1".as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let secrets = "qz7xj2vk9w4tbm3h\nRrong5hcJd8GxL2e\nnWw6rPf3DyS8uKc1\n";
        client.stdin.take().unwrap().write_all(secrets.as_bytes()).unwrap();
        let output = client.wait_with_output().unwrap();
        let (seen, place) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let expected = "wrong: 0xa0\nright: 0\nchange: 0\nwhile logged in: 0\nlogout: 0\nafter C_Logout: 0\n\
                        finalize: 0\nafter C_Finalize: 0\n";
        assert_eq!(seen, expected, "{place}");
    });
}

/// The card is in another process, since a practice card knows its holder.
#[test]
fn nothing_of_the_holder_is_in_memory_after_c_logout() {
    with_pcscd("memory::nothing_of_the_holder_is_in_memory_after_c_logout", |pcscd| {
        let scratch = Scratch::new();
        let file = card_as(&scratch, Kind::MyNumber, |order| {
            order.resident.name = "Wilhelmina Quxquux".into();
            order.resident.address = "Zyxwvut 8-7-6, Kjihgfed".into();
        });
        let (client, modules) = (client::compile(&scratch), Modules::in_dir(&scratch));
        let _card = pcscd.insert(&file);
        let mut client = Command::new(client)
            .args(["holder".as_ref(), modules.both.as_os_str(), "1".as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = format!("{PASSWORD}\nWilhelmina Quxquux\nZyxwvut 8-7-6, Kjihgfed\n");
        client.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = client.wait_with_output().unwrap();
        let (seen, place) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let expected = "login: 0\nread: 1\nwhile logged in: 1\nlogout: 0\nafter C_Logout: 0\n\
                        finalize: 0\nafter C_Finalize: 0\n";
        assert_eq!(seen, expected, "{place}");
    });
}

/// Every secret that is right, wrong, malformed or new, at the level that tells most.
#[test]
fn no_secret_is_in_the_log_or_in_what_programs_show_of_an_error() {
    let scratch = Scratch::new();
    let file = card(&scratch, Kind::MyNumber);
    let modules = Modules::in_dir(&scratch);
    let mut said = String::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        let log = scratch.path().join(format!("{level}.log"));
        let config = scratch.configuration(&format!("practice = ['{}']\nlog_level = '{level}'\n", file.display()));
        let mut tool = |module: &Path, arguments: &[&str]| {
            let mut pkcs11_tool = Command::new(tool("pkcs11-tool", "opensc"));
            let ran = run(configured(&mut pkcs11_tool, &config)
                .arg("--module")
                .arg(module)
                .args(arguments)
                .env("JPKI_PKCS11_LOG", &log));
            said += &(ran.stdout + &ran.stderr);
        };
        tool(&modules.auth, &["--login", "--pin", PIN, "--list-objects"]);
        tool(&modules.auth, &["--login", "--pin", "8642", "--list-objects"]);
        tool(&modules.auth, &["--login", "--pin", "86x42", "--list-objects"]);
        tool(&modules.auth, &["--login", "--pin", PIN, "--change-pin", "--new-pin", "97531", "--pin", PIN]);
        tool(&modules.sign, &["--login", "--pin", PASSWORD, "--list-objects"]);
        tool(&modules.sign, &["--login", "--pin", "WRONGPASS1", "--list-objects"]);
        tool(&modules.sign, &["--change-pin", "--pin", PASSWORD, "--new-pin", PASSWORD]);
        said += &change(&config, &log, &["8531", "97531", "97531"]);
        said += &change(&config, &log, &[PIN, "97531", "97531"]);
        let logged = fs::read_to_string(&log).unwrap_or_default();
        assert!(matches!(level, "error" | "warn") || !logged.is_empty(), "nothing was logged at {level}");
        assert!(level != "trace" || logged.contains("[secret]"), "no VERIFY was logged");
        for secret in [PASSWORD, "8642", "86x42", "8531", "97531", "WRONGPASS1"] {
            assert!(!logged.contains(secret), "{secret} at {level}:\n{logged}");
        }
        // Four digits may stand in a time or a process id: looked for in messages only.
        let messages = logged.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
        assert!(!messages.clone().any(|message| message.contains(PIN)), "the PIN at {level}:\n{logged}");
    }
    for secret in ["8642", "86x42", "8531", "97531", "WRONGPASS1", PASSWORD] {
        assert!(!said.contains(secret), "{secret}:\n{said}");
    }
}

/// What the program says when it is given these secrets.
fn change(config: &Path, log: &Path, secrets: &[&str]) -> String {
    let mut running = configured(&mut jpki(), config)
        .args(["pin", "change", "auth", "--stdin"])
        .env("JPKI_PKCS11_LOG", log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have heard enough before the last line.
    let _ = running.stdin.take().unwrap().write_all((secrets.join("\n") + "\n").as_bytes());
    let output = running.wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}
