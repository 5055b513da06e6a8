//! A certificate as people and programs read it: rows of text, and a structure that serialises. Dates are Japan's,
//! wherever the reader is; what tells one holder from another is masked unless it is asked for.

use super::jpki::{self, Personal, Purpose};
use super::{Certificate, Period, hex};
use crate::text::sanitise;
use crate::words::{self, Language, Words};
use der::DateTime;
use serde::{Serialize, Serializer};
use std::time::{Duration, SystemTime};

/// What stands in the place of what is masked.
pub const MASK: &str = "********";

/// A certificate to be shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// What it is for; nothing where the policy is not JPKI's.
    pub purpose: Option<Purpose>,
    /// Whether a practice authority issued it.
    pub practice: bool,
    /// The subject's name, RFC 4514.
    pub subject: String,
    /// The issuer's name, RFC 4514.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// From when it holds.
    pub not_before: Moment,
    /// Until when it holds.
    pub not_after: Moment,
    /// Where the moment of looking stands in its period. Not a word about revocation.
    pub period: Period,
    /// SHA-256 of the certificate, hexadecimal.
    pub sha256: String,
    /// SHA-1 of the certificate, hexadecimal.
    pub sha1: String,
    /// Generation of the JPKI authority whose published fingerprint it has.
    pub generation: Option<u8>,
}

/// A moment of a certificate's period; serialises as RFC 3339, Japan time, or as the year in Japan if it is masked. A
/// holder's certificate begins when it was made and ends on a birthday.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The moment itself, for the holder's own screen.
    pub time: DateTime,
    masked: bool,
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = japan_time(self.time);
        match time.split_once('-') {
            Some((year, _)) if self.masked => serializer.serialize_str(year),
            _ => serializer.serialize_str(&time),
        }
    }
}

impl View {
    /// `certificate` as of `now`. Unless `unmask`, whatever identifies its holder is masked: subject, serial number,
    /// fingerprints and, where it serialises, the days of a certificate that is not an authority's own.
    pub fn of(certificate: &Certificate, now: SystemTime, unmask: bool) -> View {
        let masked = !unmask && !certificate.is_self_issued();
        let shown = |text: String| if masked { MASK.into() } else { text };
        View {
            purpose: jpki::purpose(certificate),
            practice: jpki::is_practice(certificate),
            subject: shown(sanitise(&certificate.subject_name()).into_owned()),
            issuer: sanitise(&certificate.issuer_name()).into_owned(),
            serial: shown(certificate.serial_number()),
            not_before: Moment { time: certificate.not_before(), masked },
            not_after: Moment { time: certificate.not_after(), masked },
            period: certificate.period(now),
            sha256: shown(hex(&certificate.sha256())),
            sha1: shown(hex(&certificate.sha1())),
            generation: jpki::anchor(certificate).map(|anchor| anchor.generation),
        }
    }

    /// What it says, as label and value.
    pub fn rows(&self, language: Language) -> Vec<(&'static str, String)> {
        let label = |words: Words| words.text(language);
        vec![
            (label(words::SUBJECT), self.subject.clone()),
            (label(words::ISSUER), self.issuer.clone()),
            (label(words::SERIAL), self.serial.clone()),
            (label(words::ISSUED_ON), japan_time(self.not_before.time)),
            (label(words::EXPIRY), japan_time(self.not_after.time)),
            (label(words::FINGERPRINT), format!("SHA-256 {}", self.sha256)),
            (label(words::FINGERPRINT), format!("SHA-1 {}", self.sha1)),
        ]
    }
}

/// What a signature certificate says about its holder, as label and value; safe for a terminal.
pub fn personal_rows(personal: &Personal, language: Language) -> Vec<(String, String)> {
    let label = |words: Words| words.text(language).to_owned();
    let substitutes = |of: Words| format!("{} ({})", words::SUBSTITUTE.text(language), of.text(language));
    let named = [
        (label(words::NAME), personal.name.clone()),
        (substitutes(words::NAME), substituted(personal.name.as_deref(), personal.name_substitutes.as_deref())),
        (label(words::BIRTH), personal.birth.map(|birth| birth.text(language))),
        (label(words::SEX), personal.sex.map(|sex| sex.text(language).to_owned())),
        (label(words::ADDRESS), personal.address.clone()),
        (
            substitutes(words::ADDRESS),
            substituted(personal.address.as_deref(), personal.address_substitutes.as_deref()),
        ),
    ];
    let named = named.into_iter().filter_map(|(label, value)| Some((label, value?)));
    let others = personal.others.iter().cloned();
    named.chain(others).map(|(label, value)| (label, sanitise(&value).into_owned())).collect()
}

/// The characters of `text` that stand in for others, by their flags; the flags themselves where they do not fit it.
fn substituted(text: Option<&str>, flags: Option<&str>) -> Option<String> {
    let (text, flags) = (text.unwrap_or_default(), flags?);
    if flags.len() != text.chars().count() || !flags.bytes().all(|flag| matches!(flag, b'0' | b'1')) {
        return Some(flags.to_owned());
    }
    let marked: Vec<_> =
        text.chars().zip(flags.bytes()).filter(|(_, flag)| *flag == b'1').map(|(c, _)| c.to_string()).collect();
    (!marked.is_empty()).then(|| marked.join(" "))
}

/// How far Japan's clocks are ahead of UTC.
const JAPAN: Duration = Duration::from_secs(9 * 3600);

/// What a clock in Japan shows at `time`; nothing in the last hours of the year 9999.
fn in_japan(time: DateTime) -> Option<DateTime> {
    DateTime::from_unix_duration(time.unix_duration() + JAPAN).ok()
}

/// `time` on a clock in Japan, RFC 3339.
fn japan_time(time: DateTime) -> String {
    match in_japan(time) {
        Some(there) => format!("{}+09:00", there.to_string().trim_end_matches('Z')),
        None => time.to_string(),
    }
}

/// The day of `time` in Japan, `YYYY-MM-DD`.
pub fn japan_day(time: DateTime) -> String {
    japan_time(time).chars().take(10).collect()
}

/// From when a certificate that ends at `end` can be renewed: the day after the one that lies three calendar months before
/// its last, or, in a month that is shorter, after the last one there. Midnight in Japan.
pub fn renewable_from(end: DateTime) -> Option<DateTime> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let last = in_japan(end)?;
    let (year, month) = match last.month() {
        month @ 4.. => (last.year(), month - 3),
        month => (last.year() - 1, month + 9),
    };
    let before = (1..=last.day()).rev().find_map(|day| DateTime::new(year, month, day, 0, 0, 0).ok())?;
    DateTime::from_unix_duration((before.unix_duration() + DAY).checked_sub(JAPAN)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_can_be_renewed_from_three_months_less_a_day_before_its_end() {
        for (end, from) in [
            ((2030, 5, 5), "2030-02-06"),
            ((2030, 2, 17), "2029-11-18"),
            ((2031, 1, 1), "2030-10-02"),
            // February is shorter, and in 2028 by one day less.
            ((2030, 5, 28), "2030-03-01"),
            ((2030, 5, 31), "2030-03-01"),
            ((2028, 5, 28), "2028-02-29"),
            ((2028, 5, 30), "2028-03-01"),
            ((2030, 3, 31), "2030-01-01"),
        ] {
            let (year, month, day) = end;
            let end = DateTime::new(year, month, day, 14, 59, 59).unwrap();
            assert_eq!(renewable_from(end).map(japan_day).as_deref(), Some(from), "{end}");
        }
        assert_eq!(renewable_from(DateTime::new(1970, 1, 1, 0, 0, 0).unwrap()), None);
        assert_eq!(renewable_from(DateTime::INFINITY), None);
    }

    #[test]
    fn the_last_second_of_a_japanese_day_is_that_day() {
        let end = DateTime::new(2031, 2, 17, 14, 59, 59).unwrap();
        assert_eq!(japan_time(end), "2031-02-17T23:59:59+09:00");
        assert_eq!(japan_day(DateTime::new(2030, 12, 31, 15, 0, 0).unwrap()), "2031-01-01");
        assert_eq!(japan_time(DateTime::INFINITY), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn substitutes_are_named_and_odd_flags_are_shown_raw() {
        assert_eq!(substituted(Some("髙橋"), Some("10")).as_deref(), Some("髙"));
        assert_eq!(substituted(Some("高橋"), Some("00")), None);
        assert_eq!(substituted(Some("高橋"), Some("1")).as_deref(), Some("1"));
        assert_eq!(substituted(None, Some("0x")).as_deref(), Some("0x"));
        assert_eq!(substituted(Some("高橋"), None), None);
    }

    #[test]
    fn what_a_certificate_says_cannot_reach_the_terminal_raw() {
        let personal = Personal {
            name: Some("a\x1b[31m".into()),
            others: vec![("1.2.3".into(), "x\ny".into())],
            ..Personal::default()
        };
        let rows = personal_rows(&personal, Language::En);
        assert_eq!(rows[0], ("Name".into(), "a\u{FFFD}[31m".into()));
        assert_eq!(rows[1], ("1.2.3".into(), "x\u{FFFD}y".into()));
    }
}
