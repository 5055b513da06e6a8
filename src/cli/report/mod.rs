//! `jpki doctor --report`: what a card answers to a fixed list of questions, in a text that its holder can read through and
//! send (`docs/report-format.md`). Reads only; no secret is presented, and nothing that tells one holder from another is
//! written down.

mod probes;
mod trace;

use super::{Exit, Failure, Result, cards, output, shown};
use crate::config::Config;
use crate::emulator::image::Image;
use crate::emulator::report::Shown;
use crate::emulator::{PracticeCard, PracticeReaders};
use crate::readers;
use crate::text::sanitise;
use crate::transport::{Disposition, Readers, Transaction};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use trace::Trace;

/// The first lines, after the format's name.
const ABOUT: &str = "\
# What a card with the JPKI application answers to questions that change nothing. No secret was presented. XX stands for a
# byte that is left out: serial numbers, names, keys, and whatever else may be somebody's own. The format is described in
# docs/report-format.md of jpki-pkcs11. Look it through before you send it.";

/// The report of a practice card with these contents.
pub fn of_practice_card(image: &Image) -> Result<String> {
    let card = PracticeCard::in_memory(image.clone());
    let card = card.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let readers = PracticeReaders::new(1);
    let reader = PracticeReaders::name(0);
    readers.insert(&reader, Box::new(card));
    of_card(&readers, &reader)
}

/// Writes the report of the card in the only reader that has one, or in the one named, to `file` or to stdout.
pub fn run(config: &Config, named: Option<&str>, file: Option<&Path>) -> Result<()> {
    let text = report(config, named)?;
    let Some(path) = file else {
        return output::lines(text.lines());
    };
    let written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", shown(path))))?;
    output::lines([
        format!("The report is in {}. Look it through before you send it.", shown(path)),
        "It holds no name, no address, no serial number, no key and no secret.".to_owned(),
    ])
}

fn report(config: &Config, named: Option<&str>) -> Result<String> {
    let readers = readers::open(config);
    let mut states = cards::states(config, &*readers)?;
    states.retain(|state| !config.ignores(&state.name));
    if let Some(named) = named {
        let name = cards::full_name(&states, named)?;
        states.retain(|state| state.name == name);
    }
    states.retain(|state| state.present);
    let reader = match states.as_slice() {
        [] => return Err(cards::none(&[])),
        [only] => &only.name,
        several => {
            let names: Vec<_> = several.iter().map(|state| state.name.as_str()).collect();
            return Err(Failure::new(Exit::Usage, "there are several cards")
                .next(format!("Name one with --reader: {}", sanitise(&names.join(", ")))));
        }
    };
    of_card(&*readers, reader)
}

/// The report of the card in that reader.
fn of_card(readers: &dyn Readers, reader: &str) -> Result<String> {
    // Without its power the card forgets what other programs have presented, and begins anew.
    readers.connect(reader)?.close(Disposition::Unpower);
    let mut link = readers.connect(reader)?;
    let atr = link.atr().unwrap_or_default();
    let mut trace = Trace::default();
    let answered = Transaction::begin(&mut *link).map_err(Failure::from).and_then(|mut transaction| {
        // Where the card falls silent in the middle, what it said until then is worth reading.
        match probes::run(&mut transaction, &mut trace) {
            Ok(true) => Ok(()),
            Ok(false) => Err(cards::none(&[])),
            Err(error) => {
                log::warn!("the report ends early: {error}");
                output::warn(&format!("the report ends early: {error}"));
                Ok(())
            }
        }
    });
    link.close(Disposition::Leave);
    answered?;
    Ok(format!(
        "{}\n{ABOUT}\nprogram {}\nreader {}\natr {}\n{trace}end\n",
        crate::emulator::report::FORMAT,
        env!("CARGO_PKG_VERSION"),
        reader_model(reader),
        Shown(&trace::masked_atr(&atr)),
    ))
}

/// A reader's name without what may be its serial number: all from the first bracket on, long runs of digits, the index at
/// its end.
fn reader_model(name: &str) -> String {
    let name = sanitise(name);
    let model = name.split(['(', '[']).next().unwrap_or_default();
    let words = model.split_whitespace().map(|word| {
        let digits = word.chars().filter(char::is_ascii_hexdigit).count();
        let numbers = word.chars().filter(char::is_ascii_digit).count();
        if digits == word.chars().count() && digits >= 6 || numbers >= 6 { "XX" } else { word }
    });
    let mut words: Vec<_> = words.collect();
    while words.last().is_some_and(|word| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        words.pop();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::reader_model;

    #[test]
    fn a_readers_name_is_told_without_its_serial_number() {
        assert_eq!(
            reader_model("SCM Microsystems Inc. SCR 3310 [CCID Interface] (21120713402) 00 00"),
            "SCM Microsystems Inc. SCR 3310"
        );
        assert_eq!(reader_model("ACS ACR122U PICC Interface 01 00"), "ACS ACR122U PICC Interface");
        assert_eq!(reader_model("Reader 0123456789AB 00 00"), "Reader XX");
        // A serial number may hold any character that USB's strings do.
        assert_eq!(reader_model("Reader (AB)12(C 34) 5) 00 00"), "Reader");
    }
}
