//! Another program that uses the same card through PC/SC, and what a card was asked.

use super::client::Client;
use super::pcscd::READERS;
use cryptoki_sys::CK_SESSION_HANDLE;
use pcsc::{Card, Context, Disposition, Protocols, Scope, ShareMode};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

/// SELECT of the JPKI application.
pub const JPKI: &[u8] = &[0, 0xA4, 4, 0x0C, 10, 0xD3, 0x92, 0xF0, 0, 0x26, 1, 0, 0, 0, 1];
/// SELECT of the issuer security domain.
pub const ISD: &[u8] = &[0, 0xA4, 4, 0x0C, 7, 0xA0, 0, 0, 1, 0x51, 0, 0];

/// A program connected to the card in one of the readers.
pub struct Rival(Card);

impl Rival {
    pub fn connect(reader: usize, mode: ShareMode) -> Rival {
        let context = Context::establish(Scope::User).expect("pcscd is running");
        let reader = CString::new(READERS[reader]).expect("no NUL");
        Rival(context.connect(&reader, mode, Protocols::ANY).expect("there is a card"))
    }

    /// Sends a command and answers its status word; once more after the 6F00 that follows a power-up.
    pub fn send(&self, command: &[u8]) -> u16 {
        self.ask(command).1
    }

    /// The same, and the data before it.
    pub fn ask(&self, command: &[u8]) -> (Vec<u8>, u16) {
        let transmit = || {
            let mut room = [0; 512];
            let answer = self.0.transmit(command, &mut room).expect("the card answers");
            let (data, sw) = answer.split_last_chunk().expect("a status word");
            (data.to_vec(), u16::from_be_bytes(*sw))
        };
        match transmit() {
            (_, 0x6F00) => transmit(),
            answer => answer,
        }
    }

    /// Tries to sign with the authentication key, without having shown any PIN.
    pub fn sign(&self) -> u16 {
        assert_eq!(self.send(JPKI), 0x9000);
        self.send(&[0x80, 0x2A, 0, 0x97, 2, 1, 2, 0])
    }

    /// Holds the card for as long as `work` takes.
    pub fn holding<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let held = self.0.transaction().expect("the card is free");
        let done = work();
        held.end(Disposition::LeaveCard).map_err(|(_, error)| error).expect("the transaction ends");
        done
    }

    /// Leaves, and does this to the card.
    pub fn leave(self, disposition: Disposition) {
        self.0.disconnect(disposition).map_err(|(_, error)| error).expect("the connection ends");
    }
}

/// Leaves the card as it is: the crate's own Drop would reset it.
pub fn once(reader: usize, commands: &[&[u8]]) -> u16 {
    let rival = Rival::connect(reader, ShareMode::Shared);
    let mut sw = 0;
    for command in commands {
        sw = rival.send(command);
    }
    rival.leave(Disposition::LeaveCard);
    sw
}

/// What the card of a file was asked.
pub struct Asked(PathBuf);

impl Asked {
    pub fn of(card: &Path) -> Asked {
        Asked(card.with_extension("log"))
    }

    /// The commands that `work` has led to, secrets masked.
    pub fn by<R>(&self, work: impl FnOnce() -> R) -> (R, Vec<String>) {
        let before = self.commands().len();
        let done = work();
        (done, self.commands().split_off(before))
    }

    /// The commands that a good signature takes whose session and key are there.
    pub fn for_a_signature(&self, client: Client, session: CK_SESSION_HANDLE) -> Vec<String> {
        let key = client.key(session).unwrap();
        let (signed, commands) = self.by(|| client.sign_with(session, key, b"x"));
        assert_eq!(signed.map(|signature| signature.len()), Ok(256));
        commands
    }

    /// All that it was asked.
    pub fn commands(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.0).expect("the card writes a log");
        log.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned).collect()
    }
}
