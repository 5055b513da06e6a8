//! What lies in the readers: cards, the state of their secrets, their certificates. No secret is presented; the state of
//! each is asked for with an empty VERIFY, which spends no try.

use super::finding::{Code, Finding};
use super::service;
use crate::card::{self, Card, File, Key, Tries};
use crate::cert::view::{japan_day, renewable_from};
use crate::cert::{Certificate, Period};
use crate::cli::cards::{self, Content, Reader};
use crate::cli::machine::{Machine, now};
use crate::cli::{Exit, output, secrets};
use crate::config::Config;
use crate::transport::{self, ReaderState, Readers};
use crate::words::{self, Language};
use std::time::SystemTime;

/// Whether there is a card of ours.
pub fn examine(
    machine: &Machine,
    config: &Config,
    readers: &dyn Readers,
    states: Vec<ReaderState>,
    language: Language,
    findings: &mut Vec<Finding>,
) -> bool {
    if states.is_empty() {
        return false;
    }
    let mut readers = cards::contents(config, readers, states);
    let ours = readers.iter().any(|reader| matches!(reader.content, Content::Card(_)));
    let empty = readers.iter().all(|reader| matches!(reader.content, Content::Empty | Content::Ignored));
    for reader in &mut readers {
        let Reader { name, content } = reader;
        match content {
            Content::Card(card) => examine_card(name, card, language, findings),
            other => findings.extend(strange(machine, name, other, ours)),
        }
    }
    if empty {
        findings.push(
            Finding::problem(Code::NoCard, "there is no card in any reader")
                .next("Put the card in a reader, chip first or flat on it."),
        );
    }
    ours
}

/// What is not a card of ours; where there is one elsewhere, no more than a note.
fn strange(machine: &Machine, reader: &str, content: &Content, ours: bool) -> Option<Finding> {
    let finding = |code, what: String, next: &str| {
        let finding = if ours { Finding::note } else { Finding::problem };
        Some(finding(code, format!("{reader}: {what}")).next(next))
    };
    match content {
        Content::Card(_) | Content::Empty => None,
        Content::Ignored => {
            let what = format!("{reader}: left alone, as `ignore_readers` of the configuration says");
            Some(Finding::note(Code::ReaderIgnored, what))
        }
        Content::Mute | Content::Failed(card::Error::Transport(transport::Error::Mute)) => finding(
            Code::CardMute,
            "a card that does not answer".into(),
            "In a slot: take it out, clean the contacts, and put it in chip first, face up.\n\
             On a contactless reader: lay it flat and alone, without a cover or another card, and leave it there. The\n\
             reader must read ISO 14443 type B.",
        ),
        Content::Foreign => finding(
            Code::CardForeign,
            "a card without certificates of JPKI".into(),
            "Use a My Number Card. Driving licences, residence cards and bank cards have no such certificates.",
        ),
        Content::Unserved(label) => finding(
            Code::CardUnserved,
            format!("a JPKI card of a kind that this version does not know ({label})"),
            "See whether there is a newer version of this program.",
        ),
        Content::Failed(card::Error::Transport(error @ transport::Error::Denied)) => {
            Some(service::refusal(machine, error))
        }
        Content::Failed(card::Error::Transport(transport::Error::Busy)) => finding(
            Code::CardBusy,
            "another program holds the card".into(),
            "End that program. GnuPG's scdaemon often is the one: gpgconf --kill scdaemon",
        ),
        Content::Failed(error) => {
            finding(Code::CardFails, error.to_string(), "Take the card out, put it back and try again.")
                .map(|finding| finding.exit(Exit::Failed))
        }
    }
}

fn examine_card(reader: &str, card: &mut Card, language: Language, findings: &mut Vec<Finding>) {
    let kind = card.kind();
    let serial = output::masked(&card.info().serial());
    let what = format!("{reader}: {}, serial number {serial}", cards::kind(kind));
    findings.push(Finding::ok(Code::Card, what));
    for profile in card.profile().keys {
        let name = secrets::name(kind, profile.key).text(language);
        findings.push(secret(card, profile.key, profile.tries, name, language));
    }
    for profile in card.profile().keys {
        findings.push(certificate(card, profile.key, language));
    }
}

fn secret(card: &mut Card, key: Key, all: u8, name: &str, language: Language) -> Finding {
    let left = |left: &str| format!("{name}: {} {left}", words::TRIES_LEFT.text(language));
    match card.tries(key) {
        Ok(Tries::Left(1)) => Finding::note(Code::SecretLastTry, left("1"))
            .next(format!("{} jpki pin change shows it before it asks.", words::LAST_TRY.text(language))),
        Ok(Tries::Left(tries)) if tries < all => Finding::note(Code::SecretTried, left(&format!("{tries} / {all}")))
            .next("The right one brings them all back."),
        Ok(Tries::Left(tries)) => Finding::ok(Code::Secret, left(&tries.to_string())),
        Ok(Tries::Locked) => {
            let what = format!("{name}: {}", words::LOCKED.text(language));
            Finding::problem(Code::SecretLocked, what)
                .next(secrets::locked_sentence(card.kind(), key).text(language))
                .exit(Exit::Locked)
        }
        Ok(Tries::NotInitialised) => Finding::note(Code::SecretNotSet, format!("{name}: never set on this card"))
            .next("It can be set at the municipal office."),
        Ok(Tries::Uncounted) => {
            Finding::note(Code::SecretUncounted, format!("{name}: the card does not count its tries"))
        }
        Err(error) => Finding::problem(Code::SecretUnknown, format!("{name}: {error}"))
            .next("Take the card out, put it back and try again."),
    }
}

fn certificate(card: &mut Card, key: Key, language: Language) -> Finding {
    let name = cards::certificate(key).text(language);
    let note = |code, what: &str| Finding::note(code, format!("{name}: {what}"));
    match card.certificate(File::Holder(key), None) {
        Ok(Some(der)) => match Certificate::parse(&der) {
            Ok(certificate) => period(name, &certificate, now(), language),
            Err(error) => Finding::problem(Code::CertificateDamaged, format!("{name}: {error}"))
                .next("Have it looked at by the municipal office."),
        },
        Ok(None) => note(Code::CertificateAbsent, "not on this card")
            .next("It is issued at the municipal office; a signature certificate not to everybody."),
        Err(error) if error.is_not_verified() && card.certificate_listed(key) == Some(false) => {
            note(Code::CertificateAbsent, "not in the card's own list")
                .next("It is issued at the municipal office; a signature certificate not to everybody.")
        }
        Err(error) if error.is_not_verified() => {
            Finding::ok(Code::CertificateGuarded, format!("{name}: on the card, behind its secret"))
        }
        Err(error) => Finding::problem(Code::CertificateUnread, format!("{name}: {error}"))
            .next("Take the card out, put it back and try again."),
    }
}

/// Where `now` stands in the certificate's period, and what can be done about its end.
fn period(name: &str, certificate: &Certificate, now: SystemTime, language: Language) -> Finding {
    let end = certificate.not_after();
    let date = japan_day(end);
    let what = format!("{name}: {} – {date}", japan_day(certificate.not_before()));
    let moment = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match (certificate.period(now), renewable_from(end)) {
        (Period::NotYet, _) => {
            let what = format!("{what} ({})", words::NOT_YET.text(language));
            Finding::note(Code::CertificateNotYet, what).next("Is the clock of this machine right?")
        }
        (Period::Over, _) => {
            let what = format!("{what} ({})", words::OVER.text(language));
            Finding::problem(Code::CertificateOver, what)
                .next("It is renewed at the municipal office, free of charge. Renewal makes a new key.")
        }
        (Period::Running, Some(from)) if moment >= from.unix_duration() => {
            let from = japan_day(from);
            Finding::note(Code::CertificateEndsSoon, what)
                .next(words::EXPIRES.filled(language, &[("date", &date), ("from", &from)]))
        }
        (Period::Running, _) => Finding::ok(Code::Certificate, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::image::Kind;
    use crate::emulator::issue::{Order, personalise};
    use crate::emulator::seed::Seed;
    use der::{DateTime, Document};

    #[test]
    fn a_certificate_that_can_be_renewed_says_so_in_the_persons_language() {
        // 2026-01-02 in UTC; the practice holder's fifth birthday after it is 2030-05-05.
        let image = personalise(&Order::new(Kind::MyNumber, Seed::from("doctor"), 1_767_322_800)).unwrap();
        let (_, der) = Document::from_pem(&image.certificates.auth.unwrap()).unwrap();
        let certificate = Certificate::parse(der.as_bytes()).unwrap();
        let at = |day, hour, minute| {
            let moment = DateTime::new(2030, 2, day, hour, minute, 0).unwrap().to_system_time();
            period("name", &certificate, moment, Language::Ja)
        };
        assert_eq!(at(5, 14, 59).code, Code::Certificate);
        // Midnight in Japan.
        let soon = at(5, 15, 0);
        assert_eq!(soon.code, Code::CertificateEndsSoon);
        assert_eq!(
            soon.next.as_deref(),
            Some(
                "2030-05-05に有効期間が満了します。2030-02-06から窓口で更新できます（無料）。更新すると鍵が変わります。"
            )
        );
    }
}
