//! What must hold whatever card and caller do. A breach ends the process, which the fuzzer takes for a crash; a panic would
//! not do, since the module's guard catches panics.

use jpki_pkcs11::apdu::{CHANGE_KEY, CHANGE_REFERENCE_DATA, Command, Response, SELECT, Sw, VERIFY};
use std::sync::LazyLock;

/// The password of the practice cards' signature key; found nowhere by chance.
pub const PASSWORD: &str = "ZQ7XJ2VK9W4TB8RM";
/// The PIN of their authentication key.
pub const PIN: &str = "7305";

/// Commands one call may send: a transaction has at most 1000, and C_FindObjectsInit reads two certificates in as many.
const MOST_COMMANDS: usize = 4096;
const JPKI: [u8; 10] = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];

/// Says what must not be, and ends.
pub fn breach(what: &str) -> ! {
    eprintln!("BREACH: {what}");
    std::process::abort()
}

/// Ends unless `holds`.
macro_rules! must {
    ($holds:expr, $($what:tt)*) => { if !$holds { $crate::watch::breach(&format!($($what)*)) } };
}
pub(crate) use must;

/// The call under way, and what was seen before it.
#[derive(Default)]
pub struct Watch {
    call: &'static str,
    /// Secrets the caller has given for this call, as the card takes them: the one to present, the one to set.
    typed: Option<Vec<u8>>,
    chosen: Option<Vec<u8>>,
    commands: usize,
    verifies: usize,
    changes: usize,
    /// Whether a VERIFY of this call was answered 9000.
    pub proved: bool,
    /// Secrets that were right in a C_Login or C_SetPIN, which alone may be presented again.
    right: Vec<Vec<u8>>,
    /// Secrets that the card in a reader has refused, and what was left then.
    refused: Vec<(usize, Vec<u8>, u8)>,
    /// Whether the fuzzer's own bytes, or a card's answer, have the password in them.
    leaked: bool,
}

/// What a transaction has done that matters to a secret.
#[derive(Default, Clone, Copy)]
pub struct Transaction {
    open: bool,
    selected: bool,
    verified: bool,
}

impl Transaction {
    pub fn begun() -> Transaction {
        Transaction { open: true, ..Transaction::default() }
    }
}

impl Watch {
    pub fn new(input: &[u8]) -> Watch {
        Watch { leaked: has_password(input), ..Watch::default() }
    }

    pub fn begin(&mut self, call: &'static str, typed: Option<&[u8]>, chosen: Option<&[u8]>) {
        let folded = |secret: &[u8]| secret.to_ascii_uppercase();
        (self.call, self.typed, self.chosen) = (call, typed.map(folded), chosen.map(folded));
        (self.commands, self.verifies, self.changes, self.proved) = (0, 0, 0, false);
    }

    /// A command on its way to a reader's card.
    pub fn command(&mut self, reader: usize, bytes: &[u8], transaction: &Transaction) {
        let call = self.call;
        must!(transaction.open, "{call}: a command outside a transaction");
        self.commands += 1;
        must!(self.commands <= MOST_COMMANDS, "{call}: more than {MOST_COMMANDS} commands");
        let Ok(command) = Command::decode(bytes) else { breach("bytes that are no command") };
        if command.data.is_empty() {
            return;
        }
        match command.ins {
            VERIFY => {
                must!(transaction.selected, "{call}: VERIFY without SELECT in its transaction");
                self.verifies += 1;
                must!(self.verifies == 1, "{call}: more than one VERIFY");
                let secret = command.data.to_vec();
                let again = self.refused.iter().any(|(by, refused, _)| *by == reader && *refused == secret);
                must!(!again, "{call}: a refused secret again");
                match call {
                    "C_Login" | "C_LoginUser" | "C_SetPIN" => {
                        must!(self.typed.as_ref() == Some(&secret), "{call}: another secret than the one given")
                    }
                    "C_Sign" | "C_SignFinal" => {
                        must!(self.right.contains(&secret), "{call}: a secret nobody logged in with");
                        must!(secret.len() == 4, "{call}: a held password");
                    }
                    _ => breach(&format!("{call}: VERIFY")),
                }
            }
            CHANGE_REFERENCE_DATA => {
                must!(call == "C_SetPIN" && transaction.verified, "{call}: CHANGE without VERIFY");
                self.changes += 1;
                must!(self.changes == 1, "{call}: more than one CHANGE");
                must!(self.chosen.as_deref() == Some(&command.data[..]), "{call}: another secret set");
            }
            CHANGE_KEY => breach("CHANGE KEY"),
            _ => must!(!has_password(&command.data), "{call}: a password in command {:02X}", command.ins),
        }
    }

    /// The card's answer as the module sees it; `None` where it sees none.
    pub fn answer(&mut self, reader: usize, command: &[u8], answer: Option<&[u8]>, transaction: &mut Transaction) {
        self.leaked |= answer.is_some_and(has_password);
        let Ok(command) = Command::decode(command) else { return };
        let sw = answer.and_then(|answer| Response::parse(answer.to_vec()).ok()).map(|response| response.sw);
        match command.ins {
            SELECT if command.p1 == 4 => {
                transaction.selected = sw == Some(Sw::OK) && *command.data == JPKI;
                transaction.verified = false;
            }
            VERIFY if command.data.is_empty() => {
                // A fuller counter: the secret may have been set anew.
                if let Some(left) = sw.and_then(Sw::tries_left) {
                    self.refused.retain(|(by, _, then)| *by != reader || left <= *then);
                }
            }
            VERIFY => match sw {
                Some(Sw::OK) => {
                    (self.proved, transaction.verified) = (true, true);
                    self.right.push(command.data.to_vec());
                    self.refused.retain(|(by, ..)| *by != reader);
                }
                Some(sw) if sw.is_locked() || sw.tries_left().is_some() => {
                    self.refused.push((reader, command.data.to_vec(), sw.tries_left().unwrap_or(0)));
                }
                _ => {}
            },
            CHANGE_REFERENCE_DATA if sw == Some(Sw::OK) => self.right.push(command.data.to_vec()),
            _ => {}
        }
    }

    /// A reader's card has gone, or may have: what it refused counts no more.
    pub fn card_gone(&mut self, reader: usize) {
        self.refused.retain(|(by, ..)| *by != reader);
    }

    /// Whether anybody has ever been logged in.
    pub fn ever_proved(&self) -> bool {
        !self.right.is_empty()
    }

    /// Bytes that the module hands to its caller, or writes to its log.
    pub fn output(&self, bytes: &[u8]) {
        must!(self.leaked || !has_password(bytes), "{}: a password comes out", self.call);
    }
}

fn has_password(bytes: &[u8]) -> bool {
    bytes.len() >= PASSWORD.len()
        && bytes.windows(PASSWORD.len()).any(|window| window.eq_ignore_ascii_case(PASSWORD.as_bytes()))
}

/// Reads the module's log: no secret at any level, and a panic that the guard has caught.
pub struct Log;

/// `FUZZ_LOG=1` shows the module's log, to see what a run did.
static SHOW: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FUZZ_LOG").is_some());

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        must!(!line.contains("panic at"), "{line}");
        must!(!has_password(line.as_bytes()), "a password in the log");
        if *SHOW {
            eprintln!("{}: {line}", record.level());
        }
    }

    fn flush(&self) {}
}
