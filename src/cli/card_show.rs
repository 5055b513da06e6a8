//! `jpki card show`: what a practice card's file holds. It is nobody's, so that nothing but keys and secrets is masked.

use super::machine::now;
use super::{Exit, Failure, Result, cards, output};
use crate::card::Key;
use crate::cert::Certificate;
use crate::cert::jpki::Personal;
use crate::cert::view::{View, personal_rows};
use crate::emulator::image::{Image, Secret};
use crate::emulator::store::Store;
use crate::words::{self, Language, Words};
use der::Document;
use serde::Serialize;
use std::path::PathBuf;

/// What `jpki card show` is asked.
#[derive(clap::Args)]
pub struct Arguments {
    /// The practice card's file.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is shown of a card.
#[derive(Serialize)]
struct Report {
    /// Version of this format.
    version: u8,
    kind: &'static str,
    serial: String,
    keys: Vec<KeyReport>,
}

#[derive(Serialize)]
struct KeyReport {
    #[serde(serialize_with = "cards::serialize_key")]
    key: Key,
    made: bool,
    secret: Option<SecretReport>,
    certificate: Option<View>,
    authority: Option<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<Personal>,
}

#[derive(Serialize)]
struct SecretReport {
    tries_left: u8,
    tries: u8,
}

/// Runs `jpki card show`.
pub fn run(arguments: &Arguments, language: Language) -> Result<()> {
    let image = Store::open(&arguments.file)
        .and_then(|store| store.read())
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let report = Report::of(&image);
    if arguments.json { output::json(&report) } else { output::lines(report.lines(language)) }
}

impl Report {
    fn of(image: &Image) -> Report {
        let Image { secrets, keys, certificates, .. } = image;
        let key = |key, made, secret: &Option<Secret>, certificate: &Option<String>, authority: &Option<String>| {
            let certificate = parse(certificate);
            KeyReport {
                key,
                made,
                secret: secret.as_ref().map(|secret| SecretReport { tries_left: secret.tries, tries: secret.limit }),
                personal: certificate.as_ref().and_then(Personal::of),
                certificate: certificate.map(|certificate| View::of(&certificate, now(), true)),
                authority: parse(authority).map(|authority| View::of(&authority, now(), true)),
            }
        };
        let authentication = image.kind.has_auth().then(|| {
            key(Key::Authentication, keys.auth.is_some(), &secrets.auth, &certificates.auth, &certificates.auth_ca)
        });
        let signature =
            key(Key::Signature, keys.sign.is_some(), &secrets.sign, &certificates.sign, &certificates.sign_ca);
        Report {
            version: 1,
            kind: image.kind.name(),
            serial: image.serial.clone(),
            keys: authentication.into_iter().chain([signature]).collect(),
        }
    }

    fn lines(&self, language: Language) -> Vec<String> {
        let mut lines = vec![format!("practice card, {}, serial number {}", self.kind, self.serial)];
        for key in &self.keys {
            lines.push(format!("{} key: {}", cards::key(key.key), if key.made { "made" } else { "none" }));
            lines.push(match &key.secret {
                Some(SecretReport { tries_left: 0, .. }) => format!("  secret: {}", words::LOCKED.text(language)),
                Some(SecretReport { tries_left, tries }) => {
                    format!("  secret: {} {tries_left} of {tries}", words::TRIES_LEFT.text(language))
                }
                None => "  secret: none".into(),
            });
            lines.extend(certificate_lines(cards::certificate(key.key), key.certificate.as_ref(), language));
            let personal = key.personal.iter().flat_map(|personal| personal_rows(personal, language));
            lines.extend(personal.map(|(label, value)| format!("    {label}: {value}")));
            lines.extend(certificate_lines(words::CA, key.authority.as_ref(), language));
        }
        if self.keys.iter().any(|key| key.certificate.is_some()) {
            lines.push(words::PRACTICE.text(language).into());
        }
        lines
    }
}

fn certificate_lines(name: Words, view: Option<&View>, language: Language) -> Vec<String> {
    let name = name.text(language);
    match view {
        None => vec![format!("  {name}: none")],
        Some(view) => {
            let rows = view.rows(language).into_iter().map(|(label, value)| format!("    {label}: {value}"));
            std::iter::once(format!("  {name}")).chain(rows).collect()
        }
    }
}

/// The certificate in a PEM text; a card file may hold anything there.
fn parse(pem: &Option<String>) -> Option<Certificate> {
    let (_, document) = Document::from_pem(pem.as_deref()?).ok()?;
    Certificate::parse(document.as_bytes()).ok()
}
