//! The readers of the machine with what lies in them, and the one card that a command is about.

use super::terminal::Terminal;
use super::{Exit, Failure, Result, output};
use crate::card::{self, Card, Key, Kind, Probe};
use crate::config::Config;
use crate::logins::Meeting;
use crate::readers;
use crate::text::sanitise;
use crate::transport::pcsc::PcscReaders;
use crate::transport::{ReaderState, Readers};
use crate::words::{self, Words};
use serde::Serializer;
use std::sync::Arc;

/// A reader and what lies in it.
pub struct Reader {
    /// Its name.
    pub name: String,
    /// What one look found.
    pub content: Content,
}

/// What lies in a reader.
pub enum Content {
    /// Nothing.
    Empty,
    /// A reader that the configuration says to leave alone.
    Ignored,
    /// A card that does not answer.
    Mute,
    /// A card of some other kind.
    Foreign,
    /// A JPKI card of a generation that this program does not know, by its label.
    Unserved(String),
    /// A card that could not be asked.
    Failed(card::Error),
    /// A card with JPKI's certificates.
    Card(Box<Card>),
}

/// Looks into every reader, or into the one that `named` names: its whole name, or a part that no other has.
///
/// # Errors
/// [`Exit::NoCard`] where there is no such reader, or none at all; [`Exit::Usage`] where several have that part, or the
/// configuration cannot be used.
pub fn look(config: &Config, named: Option<&str>) -> Result<Vec<Reader>> {
    let readers = readers::open(config);
    let mut states = states(config, &*readers)?;
    if let Some(named) = named {
        let name = full_name(&states, named)?;
        states.retain(|state| state.name == name);
    }
    Ok(contents(config, &*readers, states))
}

/// All of `readers`, of which there is one at least.
///
/// # Errors
/// [`Exit::NoCard`] where there is none, or no PC/SC service to ask; [`Exit::Usage`] where the configuration leaves none.
pub fn states(config: &Config, readers: &dyn Readers) -> Result<Vec<ReaderState>> {
    if let Some(why) = &config.unusable {
        return Err(super::unusable(why));
    }
    let states = readers.look()?;
    if !states.is_empty() {
        return Ok(states);
    }
    if config.practice.is_empty() {
        // To look does not tell a service that is stopped from one without readers.
        PcscReaders::new(config.lock_timeout).reach()?;
    }
    Err(Failure::new(Exit::NoCard, "there is no card reader").next("Connect a reader."))
}

/// What lies in these of `readers`.
pub fn contents(config: &Config, readers: &dyn Readers, states: Vec<ReaderState>) -> Vec<Reader> {
    let options = card::Options {
        extended_read: config.extended_read,
        state_dir: config.state_dir.clone(),
        meeting: Arc::new(Meeting::new(&config.places, &Arc::default())),
        // The last try is this program's to use: it asks first.
        keep_last_try: false,
    };
    let look = |state: ReaderState| {
        let content = content(&state, config, readers, &options);
        Reader { name: state.name, content }
    };
    states.into_iter().map(look).collect()
}

/// The name of the reader that `named` means.
pub fn full_name(states: &[ReaderState], named: &str) -> Result<String> {
    let names: Vec<_> = states.iter().map(|state| state.name.as_str()).collect();
    if names.contains(&named) {
        return Ok(named.to_owned());
    }
    let part = named.to_lowercase();
    let matching: Vec<_> = names.iter().filter(|name| name.to_lowercase().contains(&part)).collect();
    match matching.as_slice() {
        [only] => Ok((**only).to_owned()),
        [] => Err(Failure::new(Exit::NoCard, format!("there is no reader named {named}"))
            .next(format!("There are: {}.", sanitise(&names.join(", "))))),
        _ => Err(Failure::new(Exit::Usage, format!("several readers have {named} in their names"))
            .next(format!("Give the whole name: {}.", sanitise(&names.join(", "))))),
    }
}

fn content(state: &ReaderState, config: &Config, readers: &dyn Readers, options: &card::Options) -> Content {
    if config.ignores(&state.name) {
        return Content::Ignored;
    }
    if state.mute {
        return Content::Mute;
    }
    if !state.present {
        return Content::Empty;
    }
    match readers.connect(&state.name).map_err(card::Error::from).and_then(|link| Card::probe(link, options)) {
        Ok(Probe::Ours(card)) => Content::Card(card),
        Ok(Probe::Unserved { label }) => Content::Unserved(label),
        Ok(Probe::Foreign) => Content::Foreign,
        Err(error) => Content::Failed(error),
    }
}

/// The index of the one card that is meant. Of several, the person chooses; a program must have named the reader.
///
/// # Errors
/// [`Exit::NoCard`] without a card of ours, [`Exit::Usage`] where nobody can be asked which.
pub fn choose(readers: &[Reader], terminal: &mut Terminal) -> Result<usize> {
    let cards: Vec<_> = readers
        .iter()
        .enumerate()
        .filter_map(|(index, reader)| match &reader.content {
            Content::Card(card) => Some((index, describe(&reader.name, card))),
            _ => None,
        })
        .collect();
    match cards.as_slice() {
        [] => Err(none(readers)),
        [(index, _)] => Ok(*index),
        several if terminal.is_interactive() => {
            for (number, (_, card)) in (1..).zip(several) {
                terminal.tell(&format!("{number}  {card}"))?;
            }
            let answer = terminal.line("Which card?")?;
            let chosen = answer.parse::<usize>().ok().and_then(|number| several.get(number.checked_sub(1)?));
            chosen.map(|(index, _)| *index).ok_or_else(|| Failure::new(Exit::Usage, "that is none of these cards"))
        }
        several => {
            let cards: Vec<_> = several.iter().map(|(_, card)| card.as_str()).collect();
            Err(Failure::new(Exit::Usage, "there are several cards")
                .next(format!("Name one with --reader:\n{}", cards.join("\n"))))
        }
    }
}

/// The failure of having no card of ours; of a card that could not be asked, why.
pub fn none(readers: &[Reader]) -> Failure {
    let failed = readers.iter().find_map(|reader| match &reader.content {
        Content::Failed(error) => Some(error.clone()),
        _ => None,
    });
    match failed {
        Some(error) => error.into(),
        None => Failure::new(Exit::NoCard, "no reader holds a card with certificates of JPKI")
            .next("Put the card in a reader, chip first or flat on it, and try again."),
    }
}

/// A card's kind in words.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::MyNumber => "My Number Card",
        Kind::Juki => "Basic Resident Register card (Juki card)",
        Kind::Android => "Android phone",
        Kind::Iphone => "iPhone",
        Kind::Next => "practice card of the next generation, as this project guesses it",
    }
}

/// What the holder's certificate for `key` is called.
pub fn certificate(key: Key) -> Words {
    match key {
        Key::Authentication => words::CERT_AUTH,
        Key::Signature => words::CERT_SIGN,
    }
}

/// A key's name in JSON.
pub fn key(key: Key) -> &'static str {
    match key {
        Key::Authentication => "authentication",
        Key::Signature => "signature",
    }
}

/// For serde.
pub fn serialize_key<S: Serializer>(of: &Key, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(key(*of))
}

fn describe(reader: &str, card: &Card) -> String {
    let serial = output::masked(&card.info().serial());
    sanitise(&format!("{}, serial {serial}, in {reader}", kind(card.kind()))).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readers_whole_name_is_that_reader_though_it_is_part_of_anothers() {
        let names = ["ACS ACR39U 00", "ACS ACR39U 00 01", "Gemalto 00 00"];
        let states = names.map(|name| ReaderState { name: name.into(), present: true, mute: false, event_count: 0 });
        for name in names {
            assert_eq!(full_name(&states, name).unwrap(), name);
        }
        assert_eq!(full_name(&states, "gemalto").unwrap(), "Gemalto 00 00", "a part, whatever its case");
        assert_eq!(full_name(&states, "ACS").unwrap_err().exit(), Exit::Usage);
        assert_eq!(full_name(&states, "acs acr39u 00").unwrap_err().exit(), Exit::Usage, "not as it is written");
        assert_eq!(full_name(&states, "Sony").unwrap_err().exit(), Exit::NoCard);
    }
}
