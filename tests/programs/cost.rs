//! What a program's action costs the card, and the table of that.

use std::fs;
use std::path::Path;

/// What a card was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub apdus: usize,
    /// VERIFYs with a secret in them.
    pub verifies: usize,
}

impl Cost {
    /// What the card of this file was asked so far.
    pub fn so_far(card: &Path) -> Cost {
        let log = fs::read_to_string(card.with_extension("log")).unwrap_or_default();
        let commands = || log.lines().filter_map(|line| line.strip_prefix("> "));
        Cost {
            apdus: commands().count(),
            verifies: commands().filter(|command| command.starts_with("00 20") && command.contains("[secret]")).count(),
        }
    }
}

/// Notes a row of the table; an error is what OpenSC's module cost until the program failed.
pub fn note(program: &str, what: &str, ours: Cost, theirs: Result<Cost, Cost>) {
    let theirs = match theirs {
        Ok(cost) => format!("{} | {}", cost.apdus, cost.verifies),
        Err(cost) => format!("fails ({}) | {}", cost.apdus, cost.verifies),
    };
    let row = format!("| {program} | {what} | {} | {} | {theirs} |\n", ours.apdus, ours.verifies);
    write(program, what, &row);
}

/// The same for an action on a card that OpenSC's module does not know.
pub fn note_alone(program: &str, what: &str, ours: Cost) {
    write(program, what, &format!("| {program} | {what} | {} | {} | – | – |\n", ours.apdus, ours.verifies));
}

fn write(program: &str, what: &str, row: &str) {
    print!("{row}");
    let costs = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs/costs");
    fs::create_dir_all(&costs).expect("target is ours");
    let name: String = format!("{program} {what}").chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    fs::write(costs.join(format!("{name}.md")), row).expect("target is ours");
}
