//! A card whose every exchange is written down, secrets masked: what a test or a bench counts, at the card itself.

use super::Device;
use crate::apdu::{Command, Response};
use std::io::{self, Write};

/// A device with a log: a line `> COMMAND` and a line `< SW [LENGTH]` for each exchange, each written at once.
pub struct Logged<D, W> {
    device: D,
    log: W,
    written: io::Result<()>,
}

impl<D: Device, W: Write + Send> Logged<D, W> {
    /// `device`, logged into `log`.
    pub fn new(device: D, log: W) -> Logged<D, W> {
        Logged { device, log, written: Ok(()) }
    }

    /// The first error met in writing the log, after which nothing more was written.
    ///
    /// # Errors
    /// That error.
    pub fn finish(self) -> io::Result<()> {
        self.written
    }

    fn line(&mut self, line: String) {
        if self.written.is_ok() {
            self.written = self.log.write_all(line.as_bytes());
        }
    }
}

impl<D: Device, W: Write + Send> Device for Logged<D, W> {
    fn atr(&self) -> Vec<u8> {
        self.device.atr()
    }

    fn power_on(&mut self) {
        self.device.power_on();
    }

    fn power_off(&mut self) {
        self.device.power_off();
    }

    fn reset(&mut self) {
        self.device.reset();
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        self.line(match Command::decode(command) {
            Ok(command) => format!("> {command:?}\n"),
            Err(_) => "> no command\n".to_owned(),
        });
        let answer = self.device.transmit(command);
        self.line(match Response::parse(answer.clone()) {
            Ok(response) => format!("< {response:?}\n"),
            Err(_) => "< nothing\n".to_owned(),
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Yes;

    impl Device for Yes {
        fn atr(&self) -> Vec<u8> {
            Vec::new()
        }
        fn power_on(&mut self) {}
        fn power_off(&mut self) {}
        fn reset(&mut self) {}
        fn transmit(&mut self, _: &[u8]) -> Vec<u8> {
            vec![0x90, 0x00]
        }
    }

    #[test]
    fn commands_and_status_words_are_written_and_no_secret() {
        let mut log = Vec::new();
        let mut card = Logged::new(Yes, &mut log);
        card.transmit(&[0x00, 0x20, 0x00, 0x98, 0x04, b'1', b'2', b'3', b'4']);
        card.transmit(&[0x00]);
        card.finish().unwrap();
        let written = String::from_utf8(log).unwrap();
        assert_eq!(written, "> 00 20 00 98 [secret]\n< 9000 [0]\n> no command\n< 9000 [0]\n");
    }
}
