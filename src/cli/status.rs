//! `jpki status`: readers, cards, tries left and certificates. One report, for people or as JSON.

use super::cards::{self, Content, Reader};
use super::machine::now;
use super::secrets::{self, Login, Secret};
use super::terminal::Terminal;
use super::{Failure, Result, output};
use crate::card::{self, Card, File, Key, Kind, Tries};
use crate::cert::jpki::Personal;
use crate::cert::view::{View, japan_day, personal_rows};
use crate::cert::{Certificate, Period};
use crate::config::Config;
use crate::words::{self, Language, Words};
use serde::Serialize;
use std::mem;

/// What `jpki status` is asked.
#[derive(clap::Args)]
pub struct Arguments {
    /// Show the signature certificate too; asks for the signature password.
    #[arg(long)]
    sign: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show in full what tells you from others: subjects, serial numbers, fingerprints, in JSON the days of your
    /// certificates, of which the last is a birthday, and with --sign what the certificate says about you.
    #[arg(long)]
    unmask: bool,
    /// The reader to look at: its name, or a part of it.
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    #[command(flatten)]
    asking: secrets::Asking,
}

/// Everything that was found.
#[derive(Serialize)]
struct Report {
    /// Version of this format.
    version: u8,
    readers: Vec<ReaderReport>,
}

#[derive(Serialize)]
struct ReaderReport {
    name: String,
    #[serde(flatten)]
    found: Found,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Found {
    Empty,
    Ignored,
    Mute,
    Foreign,
    Unserved { label: String },
    Failed { reason: String },
    Card(CardReport),
}

#[derive(Serialize)]
struct CardReport {
    #[serde(serialize_with = "kind_name")]
    kind: Kind,
    label: String,
    model: String,
    serial: String,
    keys: Vec<KeyReport>,
}

#[derive(Serialize)]
struct KeyReport {
    #[serde(serialize_with = "cards::serialize_key")]
    key: Key,
    secret: SecretReport,
    certificate: CertificateReport,
    authority: CertificateReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<Personal>,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum SecretReport {
    Ready { tries_left: u8 },
    Locked,
    NotSet,
    Uncounted,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum CertificateReport {
    /// Read.
    Shown(Box<View>),
    /// Not on the card.
    Absent,
    /// Behind its secret; whether the card's own list has it, where there is one.
    Guarded { listed: Option<bool> },
    /// On the card, and not a certificate.
    Unreadable { reason: String },
}

/// Runs `jpki status`.
pub fn run(arguments: &Arguments, config: &Config, language: Language) -> Result<()> {
    let mut readers = cards::look(config, arguments.reader.as_deref())?;
    let mut opened = if arguments.sign { Some(open(&mut readers, arguments, config, language)?) } else { None };
    let mut without_card = cards::none(&readers);
    let mut ended = Ok(());
    let mut report = Report { version: 1, readers: Vec::new() };
    for (index, Reader { name, content }) in readers.into_iter().enumerate() {
        let found = match content {
            Content::Empty => Found::Empty,
            Content::Ignored => Found::Ignored,
            Content::Mute => Found::Mute,
            Content::Foreign => Found::Foreign,
            Content::Unserved(label) => Found::Unserved { label },
            Content::Failed(error) => Found::Failed { reason: error.to_string() },
            Content::Card(mut card) => {
                let found = card_report(&mut card, arguments.unmask);
                if let Some((_, login)) = opened.take_if(|(opened, _)| *opened == index) {
                    ended = login.end(*card, language);
                }
                found.map_or_else(
                    |error| {
                        let reason = error.to_string();
                        without_card = error.into();
                        Found::Failed { reason }
                    },
                    Found::Card,
                )
            }
        };
        report.readers.push(ReaderReport { name, found });
    }
    // What was read is worth showing, however the card was left.
    let said = if arguments.json { output::json(&report) } else { output::lines(report.lines(language)) };
    let any = report.readers.iter().any(|reader| matches!(reader.found, Found::Card(_)));
    Failure::both(said.and(if any { Ok(()) } else { Err(without_card) }), ended)
}

/// Presents the signature password to the card that is meant, and returns its reader's index.
fn open(readers: &mut [Reader], arguments: &Arguments, config: &Config, language: Language) -> Result<(usize, Login)> {
    let mut terminal = Terminal::open(arguments.asking.stdin)?;
    let index = cards::choose(readers, &mut terminal)?;
    let Some(reader) = readers.get_mut(index) else { return Err(cards::none(readers)) };
    let Content::Card(mut card) = mem::replace(&mut reader.content, Content::Empty) else {
        return Err(cards::none(readers));
    };
    let secret = Secret::of(&mut card, Key::Signature, language)?;
    terminal.tell(words::SIGN_NOTICE.text(language))?;
    let password = secret.ask(&mut terminal, &arguments.asking)?;
    let mut login = Login::announce(&card, Key::Signature, config)?;
    match card.session(|application| login.verify(application, &password)) {
        Ok(()) => {
            reader.content = Content::Card(card);
            Ok((index, login))
        }
        Err(error) => Err(secret.failure(error).also(login.end(*card, language))),
    }
}

fn card_report(card: &mut Card, unmask: bool) -> card::Result<CardReport> {
    let info = card.info();
    let serial = info.serial();
    let mut report = CardReport {
        kind: card.kind(),
        label: info.label(),
        model: info.model(),
        serial: if unmask { serial } else { output::masked(&serial) },
        keys: Vec::new(),
    };
    for profile in card.profile().keys {
        let key = profile.key;
        let secret = match card.tries(key)? {
            Tries::Left(tries_left) => SecretReport::Ready { tries_left },
            Tries::Locked => SecretReport::Locked,
            Tries::NotInitialised => SecretReport::NotSet,
            Tries::Uncounted => SecretReport::Uncounted,
        };
        let (certificate, parsed) = certificate_report(card, File::Holder(key), unmask)?;
        let (authority, _) = certificate_report(card, File::Authority(key), unmask)?;
        let personal = parsed.filter(|_| unmask).as_ref().and_then(Personal::of);
        report.keys.push(KeyReport { key, secret, certificate, authority, personal });
    }
    Ok(report)
}

/// What can be told about one certificate. An error is one of the way to the card; what the card says is a report.
fn certificate_report(
    card: &mut Card,
    file: File,
    unmask: bool,
) -> card::Result<(CertificateReport, Option<Certificate>)> {
    let report = match card.certificate(file, None) {
        Ok(Some(der)) => match Certificate::parse(&der) {
            Ok(certificate) => {
                let view = View::of(&certificate, now(), unmask);
                return Ok((CertificateReport::Shown(Box::new(view)), Some(certificate)));
            }
            Err(error) => CertificateReport::Unreadable { reason: error.to_string() },
        },
        Ok(None) => CertificateReport::Absent,
        Err(error @ card::Error::Transport(_)) => return Err(error),
        Err(error) if error.is_not_verified() => {
            CertificateReport::Guarded { listed: card.certificate_listed(file.key()) }
        }
        Err(error) => CertificateReport::Unreadable { reason: error.to_string() },
    };
    Ok((report, None))
}

impl Report {
    fn lines(&self, language: Language) -> Vec<String> {
        let mut lines = Vec::new();
        for reader in &self.readers {
            lines.push(reader.name.clone());
            match &reader.found {
                Found::Empty => lines.push("  no card".into()),
                Found::Ignored => lines.push("  left alone, as the configuration says".into()),
                Found::Mute => lines.push("  a card that does not answer".into()),
                Found::Foreign => lines.push("  a card without certificates of JPKI".into()),
                Found::Unserved { label } => {
                    lines.push(format!("  a JPKI card of a kind that this version does not know ({label})"));
                }
                Found::Failed { reason } => lines.push(format!("  {reason}")),
                Found::Card(card) => card.lines(language, &mut lines),
            }
        }
        lines
    }
}

impl CardReport {
    fn lines(&self, language: Language, lines: &mut Vec<String>) {
        lines.push(format!("  {}, serial number {}", cards::kind(self.kind), self.serial));
        for key in &self.keys {
            key.lines(self.kind, language, lines);
        }
        let locked: Vec<_> = self.keys.iter().filter(|key| key.is_locked()).collect();
        match locked.as_slice() {
            [] => {}
            [key] => {
                lines.push(format!("  {}", secrets::locked_sentence(self.kind, key.key).text(language)));
                if self.keys.len() > 1 {
                    lines.push(format!("  {}", words::OTHER_WORKS.text(language)));
                }
            }
            _ => lines.push(format!("  {}", words::LOCKED_BOTH.text(language))),
        }
        let shown = || {
            self.keys.iter().flat_map(|key| [&key.certificate, &key.authority]).filter_map(|certificate| {
                match certificate {
                    CertificateReport::Shown(view) => Some(view),
                    _ => None,
                }
            })
        };
        if shown().next().is_none() {
            lines.push("  The card holds no certificate yet, or none any more.".into());
        } else if shown().any(|view| view.practice) {
            lines.push(format!("  {}", words::PRACTICE.text(language)));
        } else {
            lines.push(format!("  {}", words::REVOCATION_CLOSED.text(language)));
        }
    }
}

impl KeyReport {
    fn is_locked(&self) -> bool {
        matches!(self.secret, SecretReport::Locked)
    }

    fn lines(&self, kind: Kind, language: Language, lines: &mut Vec<String>) {
        let secret = secrets::name(kind, self.key).text(language);
        let state = match self.secret {
            SecretReport::Ready { tries_left } => format!("{} {tries_left}", words::TRIES_LEFT.text(language)),
            SecretReport::Locked => words::LOCKED.text(language).into(),
            SecretReport::NotSet => "never set on this card".into(),
            SecretReport::Uncounted => "the card does not count its tries".into(),
        };
        lines.push(format!("  {secret}: {state}"));
        self.certificate.lines(cards::certificate(self.key), self.key, language, lines);
        let personal = self.personal.iter().flat_map(|personal| personal_rows(personal, language));
        lines.extend(personal.map(|(label, value)| format!("    {label}: {value}")));
        if self.key == Key::Signature && matches!(self.certificate, CertificateReport::Shown(_)) {
            lines.push(format!("    {}", words::MOVED.text(language)));
        }
        self.authority.lines(words::CA, self.key, language, lines);
    }
}

impl CertificateReport {
    fn lines(&self, name: Words, key: Key, language: Language, lines: &mut Vec<String>) {
        let name = name.text(language);
        match self {
            CertificateReport::Shown(view) => {
                let (from, to) = (japan_day(view.not_before.time), japan_day(view.not_after.time));
                let state = match view.period {
                    Period::NotYet => format!(" ({})", words::NOT_YET.text(language)),
                    Period::Over => format!(" ({})", words::OVER.text(language)),
                    Period::Running => String::new(),
                };
                lines.push(format!("  {name}: {from} – {to}{state}"));
                if let Some(generation) = view.generation {
                    lines.push(format!("    has the fingerprint of JPKI's authority, generation {generation}"));
                }
            }
            CertificateReport::Absent => lines.push(format!("  {name}: not on this card")),
            CertificateReport::Guarded { listed: Some(false) } => {
                lines.push(format!("  {name}: not in the card's own list"));
            }
            CertificateReport::Guarded { .. } if key == Key::Signature => {
                lines.push(format!("  {name}: behind its password; jpki status --sign asks for it"));
            }
            CertificateReport::Guarded { .. } => lines.push(format!("  {name}: behind its PIN")),
            CertificateReport::Unreadable { reason } => lines.push(format!("  {name}: {reason}")),
        }
    }
}

fn kind_name<S: serde::Serializer>(kind: &Kind, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(match kind {
        Kind::MyNumber => "mynumber",
        Kind::Juki => "juki",
        Kind::Android => "android",
        Kind::Iphone => "ios",
        Kind::Next => "next",
    })
}
