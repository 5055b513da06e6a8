//! What a command prints: lines for people, JSON for programs.

use super::Result;
use crate::text::sanitise;
use serde::Serialize;
use std::io::{self, Write};

/// Prints lines on stdout, each of them safe for a terminal.
pub fn lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    for line in lines {
        writeln!(stdout, "{}", sanitise(line.as_ref()))?;
    }
    Ok(stdout.flush()?)
}

/// Prints `value` on stdout as JSON.
pub fn json(value: &impl Serialize) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
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
    use super::masked;

    #[test]
    fn only_the_last_four_characters_are_shown() {
        assert_eq!(masked("0000000020500003"), "************0003");
        assert_eq!(masked("123"), "123");
        assert_eq!(masked(""), "");
    }
}
