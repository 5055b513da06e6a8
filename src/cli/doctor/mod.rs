//! `jpki doctor`: walks from the configuration and the PC/SC service to the programs that use the card, and says at each
//! step that it is well or what to do. Changes nothing: it asks for no secret and presents none.

mod card;
mod configuration;
mod finding;
mod module;
mod programs;
mod service;
mod usb;

use super::machine::Machine;
use super::{Failure, Result, output, report};
use crate::config::Config;
use crate::readers;
use crate::words::Language;
use finding::{Finding, Step, Verdict};
use serde::Serialize;
use std::path::PathBuf;

/// What `jpki doctor` is asked.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Instead of all that, write what the card answers to questions that change nothing, for this project to learn from: no
    /// secret, no name, no number. To FILE, or to stdout.
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "json")]
    report: Option<Option<PathBuf>>,
    /// With --report: the reader the card is in, by its name or a part of it.
    #[arg(long, value_name = "NAME", requires = "report")]
    reader: Option<String>,
    /// The module in this file is asked what it is, and nothing else is done: the doctor's own question to itself.
    #[arg(long, value_name = "FILE", hide = true, exclusive = true)]
    ask_module: Option<PathBuf>,
}

/// Everything that was found.
#[derive(Serialize)]
struct Report {
    /// Version of this format.
    version: u8,
    findings: Vec<Finding>,
}

/// Runs `jpki doctor`.
pub fn run(arguments: &Arguments, config: &Config, language: Language) -> Result<()> {
    if let Some(module) = &arguments.ask_module {
        return module::answer(module);
    }
    if let Some(file) = &arguments.report {
        config.notes.iter().for_each(|note| output::warn(note));
        return report::run(config, arguments.reader.as_deref(), file.as_deref());
    }
    let report = Report { version: 1, findings: examine(&Machine::of_process(), config, language) };
    if arguments.json {
        output::json(&report)?;
    } else {
        output::lines(report.lines())?;
    }
    let mut problems = report.findings.iter().filter(|finding| finding.verdict == Verdict::Problem);
    match (problems.next(), problems.count()) {
        (None, _) => Ok(()),
        (Some(first), 0) => Err(Failure::new(first.exit, "one thing is to be done")),
        (Some(first), more) => Err(Failure::new(first.exit, format!("{} things are to be done", more + 1))),
    }
}

fn examine(machine: &Machine, config: &Config, language: Language) -> Vec<Finding> {
    // What is learnt of a card here is not written down.
    let config = &Config { state_dir: None, ..config.clone() };
    let mut findings = Vec::new();
    let mut card_is_there = false;
    if !configuration::examine(config, &mut findings) {
        // Which readers were meant is not known, and none is looked at.
    } else if service::examine(machine, config, &mut findings) {
        let readers = readers::open(config);
        let states = readers.look().unwrap_or_else(|error| {
            findings.push(service::refusal(machine, &error));
            Vec::new()
        });
        let names: Vec<_> = states.iter().map(|state| state.name.clone()).collect();
        usb::examine(machine, &names, config.practice.is_empty(), &mut findings);
        card_is_there = card::examine(machine, config, &*readers, states, language, &mut findings);
    } else {
        usb::examine_without_service(machine, &mut findings);
    }
    let modules = module::examine(machine, config, card_is_there, &mut findings);
    programs::examine(machine, &modules, &mut findings);
    findings
}

impl Report {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for step in Step::ALL {
            let mut findings = self.findings.iter().filter(|finding| finding.step == step).peekable();
            if findings.peek().is_some() {
                lines.push(step.heading().to_owned());
                lines.extend(findings.flat_map(Finding::lines));
            }
        }
        lines
    }
}
