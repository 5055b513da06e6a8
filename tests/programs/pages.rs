//! The pages of `docs/programs`. What a page tells its reader to run, the program's tests run.

use std::fs;
use std::path::Path;

/// The blocks of code in this language on the English page of a program.
pub fn snippets(program: &str, language: &str) -> Vec<String> {
    blocks(&read(&top().join(format!("docs/programs/{program}.md"))), language)
}

fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("\n```{language}\n");
    let block = |rest: &str| rest.split_once("\n```").map(|(block, _)| format!("{block}\n"));
    page.split(&opening).skip(1).filter_map(block).collect()
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
