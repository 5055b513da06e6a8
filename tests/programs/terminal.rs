//! Programs under test that ask on a terminal.

use crate::common::terminal::{self, Echo, script};
use std::process::Command;

/// What a program showed on its terminal, and how it ended.
pub struct Shown {
    pub text: String,
    pub success: bool,
}

/// Runs `command`, with what it adds to the environment, on a terminal, and types these lines when it asks for them.
pub fn on_a_terminal(command: &Command, answers: &[(&str, &str)]) -> Shown {
    let mut script = script();
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let lines: Vec<String> = answers.iter().map(|(_, answer)| format!("{answer}\n")).collect();
    let answers: Vec<_> = answers.iter().zip(&lines).map(|((question, _), line)| (*question, line.as_str())).collect();
    let shown = terminal::on_a_terminal(script, command, Echo::Never, &answers);
    Shown { text: shown.text, success: shown.code == Some(0) }
}
