//! A client of Marionette, Firefox's remote control: JSON over TCP, each message after its length and a colon.

use crate::display::PATIENCE;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A connection.
pub struct Marionette {
    stream: TcpStream,
    received: Vec<u8>,
    /// The number of the last command.
    last: u64,
}

impl Marionette {
    /// Connects to the Firefox that listens there, and begins a session, in which no command waits for a page.
    pub fn connect(port: u16) -> Marionette {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("Firefox listens");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time can be set");
        let mut marionette = Marionette { stream, received: Vec::new(), last: 0 };
        let hello = marionette.receive(|message| message.get("marionetteProtocol").cloned(), || false);
        assert_eq!(hello, Some(json!(3)), "another protocol");
        marionette
            .call("WebDriver:NewSession", json!({ "pageLoadStrategy": "none", "unhandledPromptBehavior": "ignore" }));
        marionette
    }

    /// What a command answers.
    ///
    /// # Panics
    /// If it fails.
    pub fn call(&mut self, command: &str, parameters: Value) -> Value {
        let answer = self.call_until(command, parameters, || false).expect("nobody gave up");
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// What a command answers, unless `give_up` says that there will be no answer now.
    pub fn call_until(
        &mut self,
        command: &str,
        parameters: Value,
        give_up: impl FnMut() -> bool,
    ) -> Option<Result<Value, Value>> {
        self.last += 1;
        let number = self.last;
        let message = json!([0, number, command, parameters]).to_string();
        write!(self.stream, "{}:{message}", message.len()).expect("Firefox hears");
        // An answer that was given up comes late, before this one.
        let answer = |message: &Value| {
            (message[0] == 1 && message[1] == number).then(|| match &message[2] {
                Value::Null => Ok(message[3]["value"].clone()),
                error => Err(error["message"].clone()),
            })
        };
        self.receive(answer, give_up)
    }

    fn receive<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>, mut give_up: impl FnMut() -> bool) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(message) = self.message() {
                if let Some(wanted) = wanted(&message) {
                    return Some(wanted);
                }
            }
            let mut some = [0; 4096];
            match self.stream.read(&mut some) {
                Ok(0) => panic!("Firefox has hung up"),
                Ok(length) => self.received.extend(&some[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if give_up() {
                        return None;
                    }
                    assert!(Instant::now() < deadline, "Firefox does not answer");
                }
                Err(error) => panic!("Firefox cannot be heard: {error}"),
            }
        }
    }

    /// The first message of those received, if it is whole.
    fn message(&mut self) -> Option<Value> {
        let colon = self.received.iter().position(|&byte| byte == b':')?;
        let length: usize = str::from_utf8(&self.received[..colon]).ok()?.parse().expect("a length");
        let end = colon + 1 + length;
        let message = serde_json::from_slice(self.received.get(colon + 1..end)?).expect("JSON");
        self.received.drain(..end);
        Some(message)
    }
}
