//! A pcscd, a card in its first reader, and processes of one user; see `clients/obedient.c` for what these can be told.

use crate::common::cards::{PASSWORD, PIN, card_as};
use crate::common::client;
use crate::common::conversation::Conversation;
use crate::common::pcscd::{Inserted, Pcscd, with_pcscd};
use crate::common::rival::Asked;
use crate::common::witness::Witness;
use crate::common::{Ran, Scratch, jpki, run};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::{Image, Kind, SecretName};
use jpki_pkcs11::emulator::issue::Order;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

/// Logs in to either token.
pub const AUTH_LOGIN: &str = "login 0 1234";
pub const SIGN_LOGIN: &str = "login 1 PRACTICE1";

/// Where such a test stands.
pub struct Ground<'a> {
    pub pcscd: &'a Pcscd,
    pub scratch: Scratch,
    /// The card's file.
    pub file: PathBuf,
    pub inserted: Inserted,
    /// The compiled client, and the module.
    client: [OsString; 2],
}

/// Runs `body`, which is all that the test `name` does, on a ground of its own.
pub fn with_ground(name: &str, body: impl FnOnce(&Ground<'_>)) {
    with_card(name, |_| {}, body);
}

/// The same with another card.
pub fn with_card(name: &str, change: impl FnOnce(&mut Order), body: impl FnOnce(&Ground<'_>)) {
    with_pcscd(name, |pcscd| {
        let scratch = Scratch::new();
        let file = card_as(&scratch, Kind::MyNumber, change);
        let inserted = pcscd.insert(&file);
        body(&Ground { pcscd, file, inserted, client: compiled(&scratch), scratch });
    });
}

/// The client and its argument. Compiled once, since a test begins many.
pub fn compiled(scratch: &Scratch) -> [OsString; 2] {
    let command = client::program(scratch, "obedient.c");
    let module = command.get_args().next().expect("it is given the module").to_owned();
    [command.get_program().to_owned(), module]
}

impl Ground<'_> {
    /// A process that has initialised the module.
    pub fn process(&self) -> Process {
        self.process_with(|command| command)
    }

    /// The same begun with something of its own, its environment for example.
    pub fn process_with(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> Process {
        let mut process = self.uninitialised(change);
        process.ok("initialize");
        process
    }

    /// The same before C_Initialize.
    pub fn uninitialised(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> Process {
        let [program, module] = &self.client;
        let mut command = Command::new(program);
        command.arg(module);
        Process::start(change(&mut command))
    }

    /// A process that is logged in to the authentication token.
    pub fn authenticated(&self) -> Process {
        let mut process = self.process();
        process.ok(AUTH_LOGIN);
        process
    }

    /// A process that is logged in to the signature token.
    pub fn signing(&self) -> Process {
        let mut process = self.process();
        process.ok(SIGN_LOGIN);
        process
    }

    /// A witness, connected from now on.
    pub fn witness(&self) -> Witness {
        Witness::connect()
    }

    /// What the card was asked.
    pub fn asked(&self) -> Asked {
        Asked::of(&self.file)
    }

    /// Tries left, of the authentication PIN and of the signature password, as the card's own file has them.
    pub fn tries(&self) -> (u8, u8) {
        let image = fs::read_to_string(&self.file).expect("the card is a file");
        let secrets = Image::parse(&image).expect("the card's file is whole").secrets;
        [SecretName::Auth, SecretName::Sign].map(|name| secrets.named(name).expect("it was set").tries).into()
    }
}

/// A process of the same user with the module. It is killed where this is dropped.
pub struct Process(Conversation);

impl Process {
    /// One that this command begins.
    pub fn start(command: &mut Command) -> Process {
        Process(Conversation::with(command))
    }

    /// Its answer to a line.
    pub fn say(&mut self, line: &str) -> String {
        self.0.say(line)
    }

    /// What a function answers in it.
    pub fn run(&mut self, line: &str) -> CK_RV {
        self.told(line).0
    }

    /// The same, and the value after it.
    pub fn told(&mut self, line: &str) -> (CK_RV, u64) {
        let answer = self.say(line);
        let mut numbers = answer.split(' ').map(|number| u64::from_str_radix(number, 16));
        match (numbers.next(), numbers.next()) {
            (Some(Ok(rv)), Some(Ok(value))) => (rv, value),
            (Some(Ok(rv)), _) => (rv, 0),
            _ => panic!("{line}: {answer:?}"),
        }
    }

    /// # Panics
    /// If the function fails.
    #[track_caller]
    pub fn ok(&mut self, line: &str) {
        assert_eq!(self.run(line), CKR_OK, "{line}");
    }

    /// What the call in its thread of its own has answered, and how many milliseconds it took.
    pub fn join(&mut self) -> (CK_RV, u64) {
        let answer = self.say("join");
        let (rv, ms) = answer.split_once(' ').unwrap_or_else(|| panic!("join: {answer:?}"));
        (CK_RV::from_str_radix(rv, 16).expect("a number"), ms.parse().expect("a number"))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> ExitStatus {
        self.0.ended()
    }

    pub fn signal(&self, signal: &str) {
        send(self.id(), signal);
    }

    /// Tells it to end, and waits until it has.
    pub fn ends(mut self, line: &str) -> ExitStatus {
        assert_eq!(self.say(line), "", "{line}: it goes on");
        self.0.ended()
    }

    /// Has it end by a signal from outside.
    pub fn ended_by(mut self, signal: i32) {
        self.signal(&format!("-{signal}"));
        assert_eq!(self.0.ended().signal(), Some(signal));
    }
}

/// Sends a signal to a process.
pub fn send(process: u32, signal: &str) {
    run(Command::new("kill").args([signal, &process.to_string()])).ok();
}

/// `jpki pin change` of a secret.
pub fn change_secret(which: &str, old: &str, new: &str) -> Ran {
    let answers = format!("{old}\n{new}\n{new}\n");
    run(Command::new("sh")
        .args(["-c", "printf %s \"$1\" | \"$0\" pin change \"$2\" --stdin"])
        .arg(jpki().get_program())
        .args([&answers, which]))
}

/// `jpki status --sign`, which logs in and out.
pub fn status_with(password: &str) -> Ran {
    run(Command::new("sh")
        .args(["-c", "echo \"$1\" | \"$0\" status --sign --stdin"])
        .arg(jpki().get_program())
        .arg(password))
}

/// Every way in which the module may be asked to look at the card by a process that is not logged in.
pub fn looks() -> [&'static str; 6] {
    ["initialize", "open 0", "slot 0", "token 0", "finalize", "jpki status"]
}

/// The secrets that [`AUTH_LOGIN`] and [`SIGN_LOGIN`] have.
#[test]
fn the_lines_that_log_in_have_the_cards_secrets() {
    assert_eq!((AUTH_LOGIN, SIGN_LOGIN), (&*format!("login 0 {PIN}"), &*format!("login 1 {PASSWORD}")));
}
