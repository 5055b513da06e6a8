//! Logins of several processes, and what is left of them for a program that knows no PIN.

use crate::common::cards::{PASSWORD, PIN, card};
use crate::common::client::{self, AUTH, Client, SIGN};
use crate::common::conversation::Conversation;
use crate::common::pcscd::{READER, with_pcscd};
use crate::common::rival::{self, Asked, ISD, Rival};
use crate::common::{Scratch, jpki, run, tool};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::Kind;
use pcsc::{Disposition, ShareMode};
use std::io::Write;
use std::process::{Command, Stdio};

/// Another process of the same user with the module; see `clients/client.c`. It is killed in the end, as a process may be
/// at any time.
struct Process(Conversation);

impl Process {
    fn start(scratch: &Scratch) -> Process {
        let mut process = Process(Conversation::with(&mut client::program(scratch, "client.c")));
        assert_eq!(process.run("initialize"), CKR_OK);
        process
    }

    fn run(&mut self, line: &str) -> CK_RV {
        let answer = self.0.say(line);
        CK_RV::from_str_radix(&answer, 16).unwrap_or_else(|_| panic!("{line}: {answer:?}"))
    }
}

/// Whether a program that knows no PIN can sign now.
fn anybody_signs() -> bool {
    let rival = Rival::connect(0, ShareMode::Shared);
    let sw = rival.sign();
    rival.leave(Disposition::LeaveCard);
    assert!(matches!(sw, 0x9000 | 0x6982), "{sw:04X}");
    sw == 0x9000
}

#[test]
fn the_first_logout_of_two_processes_leaves_the_others_login_and_the_last_ends_the_cards() {
    with_pcscd(
        "logins::the_first_logout_of_two_processes_leaves_the_others_login_and_the_last_ends_the_cards",
        |pcscd| {
            // What a logout does to the other process shows only where that cannot log in again by itself.
            pcscd.configure_module("hold_pin = false\n");
            let scratch = Scratch::new();
            let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
            let login = format!("login {PIN}");
            for end in ["logout", "finalize", "killed"] {
                let mut first = Process::start(&scratch);
                let mut second = Process::start(&scratch);
                assert_eq!([first.run(&login), second.run(&login)], [CKR_OK; 2]);
                assert_eq!([first.run("sign"), second.run("sign")], [CKR_OK; 2]);
                match end {
                    "killed" => drop(first),
                    end => assert_eq!(first.run(end), CKR_OK),
                }
                assert_eq!(second.run("sign"), CKR_OK, "{end}");
                assert_eq!(second.run("state"), CKS_RW_USER_FUNCTIONS);
                assert!(anybody_signs(), "while somebody is logged in, the card signs for everybody");
                assert_eq!(second.run("logout"), CKR_OK);
                assert!(!anybody_signs(), "{end}: after the last login the card wants the PIN");
            }
        },
    );
}

#[test]
fn the_programs_pin_change_leaves_another_processs_login_and_ends_its_own() {
    with_pcscd("logins::the_programs_pin_change_leaves_another_processs_login_and_ends_its_own", |pcscd| {
        pcscd.configure_module("hold_pin = false\n");
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let change = |old: &str, new: &str| {
            let mut change = jpki();
            change.args(["pin", "change", "auth", "--stdin"]).stdin(Stdio::piped()).stdout(Stdio::null());
            let mut change = change.spawn().unwrap();
            write!(change.stdin.take().unwrap(), "{old}\n{new}\n{new}\n").unwrap();
            assert!(change.wait().unwrap().success());
        };
        let mut other = Process::start(&scratch);
        assert_eq!(other.run(&format!("login {PIN}")), CKR_OK);
        change(PIN, "5678");
        assert_eq!(other.run("sign"), CKR_OK);
        assert_eq!(other.run("logout"), CKR_OK);
        change("5678", PIN);
        assert!(!anybody_signs());
    });
}

#[test]
fn after_the_last_login_another_program_cannot_sign_without_the_pin() {
    with_pcscd("logins::after_the_last_login_another_program_cannot_sign_without_the_pin", |pcscd| {
        use myna_card::ap::jpki::{JpkiAp, SignatureScheme};
        use myna_card::transport::pcsc::{Sharing, connect};
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let myna_signs = || {
            let mut card = connect(READER, Sharing::Shared).unwrap();
            // The first command after a power-up gets 6F00.
            let _ = JpkiAp::select(&mut card);
            JpkiAp::select(&mut card).unwrap().sign_with_auth_key(SignatureScheme::Verbatim, b"x").is_ok()
        };
        // OpenSC, told to ask what we say and nothing of its own.
        let opensc_signs = || {
            let mut tool = Command::new(tool("opensc-tool", "opensc"));
            tool.args(["--card-driver", "default", "--send-apdu", "00A4040C0AD392F000260100000001"]);
            let said = run(tool.args(["--send-apdu", "802A00970201FF00"])).ok();
            assert!(said.contains("SW1=0x90") || said.contains("SW1=0x69, SW2=0x82"), "{said}");
            !said.contains("SW1=0x69, SW2=0x82")
        };
        let client = Client::start();
        let auth = client.logged_in(AUTH, PIN).unwrap();
        let sign = client.logged_in(SIGN, PASSWORD).unwrap();
        client.sign(auth, b"x").unwrap();
        client.sign(sign, b"x").unwrap();
        assert!(opensc_signs(), "as long as somebody is logged in, for that is how the card is made");
        client.logout(auth).unwrap();
        // One application, two secrets: the card forgets both or none, and one is still in use.
        assert_eq!(client.sign(sign, b"x").unwrap().len(), 256);
        client.logout(sign).unwrap();
        assert!(!myna_signs() && !opensc_signs() && !anybody_signs());
        client.login(auth, PIN).unwrap();
        client.close(auth).unwrap();
        client.close(sign).unwrap();
        assert!(!myna_signs() && !opensc_signs(), "the last session's end is a logout");
        client.logged_in(AUTH, PIN).unwrap();
        client.finalize().unwrap();
        assert!(!myna_signs() && !opensc_signs());
    });
}

#[test]
fn after_a_lost_login_nss_would_ask_once_and_go_on() {
    with_pcscd("logins::after_a_lost_login_nss_would_ask_once_and_go_on", |pcscd| {
        pcscd.configure_module("hold_pin = false\n");
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let _card = pcscd.insert(&file);
        let asked = Asked::of(&file);
        let client = Client::start();
        // NSS asks its default session's state, prompts if it is public, and has a session for each operation.
        let standing = client.open(AUTH).unwrap();
        let prompts = std::cell::Cell::new(0);
        let handshake = || -> client::Result<usize> {
            if client.state(standing)? != CKS_RW_USER_FUNCTIONS {
                prompts.set(prompts.get() + 1);
                client.login(standing, PIN)?;
            }
            let session = client.open(AUTH)?;
            let signed = client.sign(session, b"x").map(|signature| signature.len());
            client.close(session)?;
            signed
        };
        assert_eq!((handshake(), handshake(), prompts.get()), (Ok(256), Ok(256), 1));
        rival::once(0, &[ISD]);
        let (lost, commands) = asked.by(handshake);
        assert_eq!(lost, Err(CKR_USER_NOT_LOGGED_IN));
        assert!(!commands.iter().any(|command| command.contains("[secret]")), "{commands:#?}");
        assert_eq!(client.state(standing), Ok(CKS_RW_PUBLIC_SESSION), "by then the session says so");
        let (again, commands) = asked.by(handshake);
        assert_eq!((again, prompts.get()), (Ok(256), 2));
        let verifies = commands.iter().filter(|command| command.contains("[secret]")).count();
        assert_eq!(verifies, 1, "{commands:#?}");
        assert_eq!((handshake(), prompts.get()), (Ok(256), 2));
    });
}
