//! What a command prints: lines for people, JSON for programs.

use super::{Exit, Failure, Result};
use crate::text::{is_unsafe, sanitise};
use serde::Serialize;
use std::io::{self, Write};

/// Prints lines on stdout, each of them safe for a terminal.
pub fn lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let write = || {
        for line in lines {
            writeln!(stdout, "{}", sanitise(line.as_ref()))?;
        }
        stdout.flush()
    };
    write().map_err(unwritten)
}

/// Prints `value` on stdout as JSON, safe for a terminal too and yet the same value.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| unwritten(error.into()))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", escaped(&text)).and_then(|()| stdout.flush()).map_err(unwritten)
}

/// What a failure to write on stdout means: a reader that has gone is not a failure of ours.
fn unwritten(error: io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Failed };
    Failure::new(exit, format!("the output cannot be written: {error}"))
}

/// JSON with what a terminal would act on escaped. The serialiser does so for C0 controls, as JSON asks; outside strings
/// there is none of the rest.
fn escaped(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if c != '\n' && is_unsafe(c) {
            text.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
        text
    })
}

/// Says something on stderr that is no failure.
pub fn warn(text: &str) {
    // Without stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "jpki: {}", sanitise(text));
}

/// `text` with everything but its last four characters masked: enough to tell two cards of a family apart.
pub fn masked(text: &str) -> String {
    let length = text.chars().count();
    text.chars().enumerate().map(|(index, c)| if index + 4 < length { '*' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{escaped, masked};

    #[test]
    fn only_the_last_four_characters_are_shown() {
        assert_eq!(masked("0000000020500003"), "************0003");
        assert_eq!(masked("123"), "123");
        assert_eq!(masked(""), "");
    }

    #[test]
    fn json_holds_nothing_that_a_terminal_acts_on_and_loses_nothing() {
        let hostile = "\x1b[2J\u{9b}31m\u{202e}\u{e0041}\n練習\"";
        let json = escaped(&serde_json::to_string_pretty(&[hostile]).unwrap());
        assert!(!json.chars().any(|c| c != '\n' && crate::text::is_unsafe(c)), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [hostile]);
    }
}
