//! What a volunteer's card answered (`docs/report-format.md`), read back: the switches with which a practice card answers
//! the same.

use super::image::{Image, Kind, SecretName};
use super::issue::{Choice, Order};
use super::switches::{AbsentSecret, Answers, Atr, AuthCertificate, Fci, Filler, Schemes, UnknownScheme, Unwritten};
use crate::apdu::{Hex, Sw};
use std::fmt;
use std::ops::Range;

/// The first line of a report.
pub const FORMAT: &str = "jpki card report, version 1";
/// More than any report has, in bytes; one of the program's own has some 10 000.
pub const LONGEST: usize = 1 << 18;
/// More than all its answers have in bytes: a masked run takes few characters, whatever its length.
const MOST: usize = 1 << 16;
/// Bytes of the token information, and where in it the model stands (`card.md` §2.2).
const TOKEN_INFO: usize = 160;
const MODEL: Range<usize> = 64..80;

/// A report, as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardReport {
    atr: Option<Vec<Option<u8>>>,
    probes: Vec<Probe>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Probe {
    name: String,
    exchanges: Vec<Exchange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exchange {
    command: Vec<u8>,
    /// `None` where a byte is masked.
    data: Vec<Option<u8>>,
    /// `None` where no answer came.
    sw: Option<Sw>,
}

impl Exchange {
    /// Whether the same came to `other`, as far as both tell. The model is another on every practice card.
    fn answered_as(&self, other: &Exchange) -> bool {
        let is_model = |index: usize| self.data.len() == TOKEN_INFO && MODEL.contains(&index);
        let alike = |(index, (a, b)): (usize, (&Option<u8>, &Option<u8>))| is_model(index) || same(a, b);
        self.sw == other.sw
            && self.data.len() == other.data.len()
            && self.data.iter().zip(&other.data).enumerate().all(alike)
    }

    /// Its answer, as a report's line has it.
    fn answer(&self) -> String {
        match self.sw {
            None => "none".into(),
            Some(sw) if self.data.is_empty() => sw.to_string(),
            Some(sw) => format!("{} {sw}", Shown(&self.data)),
        }
    }
}

/// Whether two bytes are the same as far as is known.
fn same(a: &Option<u8>, b: &Option<u8>) -> bool {
    a.is_none() || b.is_none() || a == b
}

/// Why a text is no report that a card can be made from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The first line is another.
    #[error("it does not begin with the line {FORMAT:?}")]
    Format,
    /// A line is none of the format's.
    #[error("line {0} is none of a report's")]
    Line(usize),
    /// It is longer than any report.
    #[error("it is longer than a report can be")]
    TooLong,
    /// The last line is missing: part of it was lost.
    #[error("its last line, \"end\", is missing")]
    CutOff,
    /// There is no token information in it, or of no kind that is known.
    #[error("it is about no kind of card that a practice card can be")]
    Kind,
}

impl CardReport {
    /// Reads a report.
    ///
    /// # Errors
    /// [`Unusable`], but for [`Unusable::Kind`].
    pub fn parse(text: &str) -> Result<CardReport, Unusable> {
        if text.len() > LONGEST {
            return Err(Unusable::TooLong);
        }
        let mut room = MOST;
        let mut lines = (1..).zip(text.lines().map(str::trim_end));
        if lines.next().is_none_or(|(_, line)| line != FORMAT) {
            return Err(Unusable::Format);
        }
        let mut report = CardReport { atr: None, probes: Vec::new() };
        for (number, line) in lines {
            let wrong = || Unusable::Line(number);
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" | "program" | "reader" => {}
                "atr" => report.atr = Some(bytes(rest.split(' ')).ok_or_else(wrong)?),
                "probe" => report.probes.push(Probe { name: rest.to_owned(), exchanges: Vec::new() }),
                ">" => {
                    let probe = report.probes.last_mut().ok_or_else(wrong)?;
                    let command = bytes([rest].into_iter()).and_then(|bytes| bytes.into_iter().collect());
                    let command = command.ok_or_else(wrong)?;
                    probe.exchanges.push(Exchange { command, data: Vec::new(), sw: None });
                }
                "<" => {
                    let exchange = report.probes.last_mut().and_then(|probe| probe.exchanges.last_mut());
                    let exchange = exchange.ok_or_else(wrong)?;
                    if rest != "none" {
                        let mut tokens: Vec<_> = rest.split(' ').collect();
                        let sw = tokens.pop().filter(|sw| sw.len() == 4);
                        let sw = sw.and_then(|sw| u16::from_str_radix(sw, 16).ok()).ok_or_else(wrong)?;
                        exchange.sw = Some(Sw(sw));
                        exchange.data = bytes(tokens.into_iter()).ok_or_else(wrong)?;
                        room = room.checked_sub(exchange.data.len()).ok_or(Unusable::TooLong)?;
                    }
                }
                "end" => return Ok(report),
                _ => return Err(wrong()),
            }
        }
        Err(Unusable::CutOff)
    }

    /// What kind of card it is about.
    ///
    /// # Errors
    /// [`Unusable::Kind`].
    pub fn kind(&self) -> Result<Kind, Unusable> {
        let info = ["token-info", "token-info-selected"].iter().find_map(|probe| {
            let data = self.data(probe);
            (data.len() == TOKEN_INFO).then_some(data)
        });
        let label: Option<Vec<u8>> = info.and_then(|info| info.into_iter().take(32).collect());
        let label = String::from_utf8(label.ok_or(Unusable::Kind)?).map_err(|_| Unusable::Kind)?;
        Kind::ALL.into_iter().find(|kind| kind.label() == label.trim_end()).ok_or(Unusable::Kind)
    }

    /// Has `order` ask for a card that answers as this one did; what was not asked of it stays as it is.
    ///
    /// # Errors
    /// [`Unusable::Kind`].
    pub fn apply(&self, order: &mut Order) -> Result<(), Unusable> {
        order.kind = self.kind()?;
        let [sign_listed, auth_listed] = [0, 1].map(|index| self.data("directory").get(index).copied().flatten());
        let auth = self.certificate("certificate-auth");
        let (auth_ca, sign_ca) = (self.certificate("certificate-auth-ca"), self.certificate("certificate-sign-ca"));
        order.auth_certificate = auth.there.unwrap_or(auth_listed != Some(0));
        // Its file is not read where there may be a certificate in it: that there is none tells the list, or that there is
        // no file.
        order.sign_certificate = self.first_sw("certificate-sign") != Some(Sw::NOT_FOUND) && sign_listed != Some(0);
        (order.auth_ca, order.sign_ca) = (auth_ca.there, sign_ca.there);
        order.auth_secret = self.secret("secret-auth", &order.auth_secret);
        order.sign_secret = self.secret("secret-sign", &order.sign_secret);
        let switches = &mut order.switches;
        set(&mut switches.atr, self.atr());
        set(&mut switches.first_command_fails, self.first_command_fails());
        set(&mut switches.contact_atr_at_power_on, self.at_power_on().then(|| self.is_ok("contact-atr")).flatten());
        set(&mut switches.isd, self.is_ok("issuer-domain"));
        set(
            &mut switches.fci,
            self.is_ok("select-fci")
                .filter(|ok| *ok)
                .map(|_| if self.data("select-fci").is_empty() { Fci::Nothing } else { Fci::Template }),
        );
        set(&mut switches.short_ids, self.first_sw("token-info").map(|sw| sw != Sw::WRONG_P1P2));
        set(&mut switches.read_le_zero, self.first_sw("le-zero").map(|sw| sw != Sw::WRONG_LENGTH));
        set(&mut switches.extended_length, self.extended_length());
        set(&mut switches.answers, self.answers());
        set(&mut switches.status_file, self.first_sw("directory").map(|sw| sw != Sw::NOT_FOUND));
        set(
            &mut switches.auth_certificate,
            auth.guarded.map(|guarded| match (guarded, order.kind) {
                (true, Kind::Android) | (false, Kind::MyNumber | Kind::Juki | Kind::Ios) => AuthCertificate::AsKind,
                (true, _) => AuthCertificate::Pin,
                (false, _) => AuthCertificate::Free,
            }),
        );
        set(&mut switches.unwritten_certificate, self.unwritten(order.auth_certificate, order.sign_certificate));
        set(&mut switches.absent_secret, self.absent_secret());
        set(&mut switches.unknown_scheme, self.unknown_scheme());
        set(&mut switches.schemes, self.schemes());
        set(&mut switches.default_key, self.sw("key-default").map(|sw| sw != Sw::WRONG_P1P2));
        set(&mut switches.filler, auth.filler.or(auth_ca.filler).or(sign_ca.filler));
        switches.file_sizes.auth = auth.size;
        switches.file_sizes.auth_ca = auth_ca.size;
        switches.file_sizes.sign_ca = sign_ca.size;
        if [auth, auth_ca, sign_ca].iter().any(|file| file.exact) {
            switches.certificate_filler_len = 0;
        }
        Ok(())
    }

    /// Sets the counters of a card made by that order to what they were.
    pub fn settle(&self, image: &mut Image) {
        for (probe, name) in [("secret-auth", SecretName::Auth), ("secret-sign", SecretName::Sign)] {
            let left = self.sw(probe).and_then(Sw::tries_left);
            if let (Some(left), Some(secret)) = (left, image.secrets.named_mut(name)) {
                secret.limit = secret.limit.max(left);
                secret.tries = left;
            }
        }
    }

    /// What a card made from this report answers otherwise, a line each, given the report of that card. What one of the two
    /// leaves out is no difference.
    pub fn differences(&self, made: &CardReport) -> Vec<String> {
        let mut lines = Vec::new();
        if let (Some(here), Some(there)) = (&self.atr, &made.atr)
            && (here.len() != there.len() || !here.iter().zip(there).all(|(a, b)| same(a, b)))
        {
            lines.push(format!("atr: the report has {}, the practice card {}", Shown(here), Shown(there)));
        }
        for Probe { name, exchanges } in &self.probes {
            let others = made.exchanges(name);
            // One of another version's program.
            if others.is_empty() {
                continue;
            }
            let so_far = lines.len();
            let asked_alike = exchanges.iter().zip(others).take_while(|(here, there)| here.command == there.command);
            let mut count = 0;
            for (here, there) in asked_alike {
                count += 1;
                if !here.answered_as(there) {
                    let command = Hex(&here.command);
                    let (answer, other) = (here.answer(), there.answer());
                    lines.push(format!("{name}: to {command} the report has {answer}, the practice card {other}"));
                }
            }
            // What is asked next depends on the answers; where those were the same, on what is left out of them.
            if lines.len() == so_far && (count < exchanges.len() || count < others.len()) {
                lines.push(format!("{name}: after {count} answers the practice card was asked something else"));
            }
        }
        lines
    }

    fn exchanges(&self, probe: &str) -> &[Exchange] {
        let probe = self.probes.iter().find(|candidate| candidate.name == probe);
        probe.map_or(&[], |probe| probe.exchanges.as_slice())
    }

    /// The status word that ended a probe.
    fn sw(&self, probe: &str) -> Option<Sw> {
        self.exchanges(probe).last()?.sw
    }

    /// The one it began with.
    fn first_sw(&self, probe: &str) -> Option<Sw> {
        self.exchanges(probe).first()?.sw
    }

    fn is_ok(&self, probe: &str) -> Option<bool> {
        self.sw(probe).map(Sw::is_ok)
    }

    /// All data of a probe's answers.
    fn data(&self, probe: &str) -> Vec<Option<u8>> {
        self.exchanges(probe).iter().flat_map(|exchange| exchange.data.iter().copied()).collect()
    }

    fn atr(&self) -> Option<Atr> {
        let atr: Option<Vec<u8>> = self.atr.as_ref()?.iter().copied().collect();
        Atr::ALL.into_iter().find(|known| atr.as_deref() == Some(known.bytes()))
    }

    fn first_command_fails(&self) -> Option<bool> {
        self.at_power_on().then(|| self.first_sw("first-command") == Some(Sw::NO_DIAGNOSIS))
    }

    /// Whether the report began with a card that had just got its power. With an application current, `00 A4 00 00` gets
    /// 9000.
    fn at_power_on(&self) -> bool {
        self.sw("first-command").is_some_and(|sw| !sw.is_ok())
    }

    fn answers(&self) -> Option<Answers> {
        let beyond = self.first_sw("le-beyond")?.0;
        Some(match beyond >> 8 {
            0x61 => Answers::GetResponse,
            0x6C => Answers::ExactLe,
            _ => Answers::Whole,
        })
    }

    /// The first command of the probe is a short one. No answer to the next is a refusal too: some readers know no other.
    fn extended_length(&self) -> Option<bool> {
        match self.exchanges("extended") {
            [] | [_] => None,
            [.., last] => Some(last.sw.is_some_and(Sw::is_ok)),
        }
    }

    fn secret(&self, probe: &str, otherwise: &Choice) -> Choice {
        match self.sw(probe) {
            Some(Sw::NOT_FOUND | Sw::KEY_NOT_FOUND) => Choice::Absent,
            Some(sw) if sw.is_locked() => Choice::Locked,
            _ => otherwise.clone(),
        }
    }

    fn absent_secret(&self) -> Option<AbsentSecret> {
        // Only the short form reaches VERIFY where there is no file.
        let asked = ["secret-auth", "secret-sign"].into_iter().filter_map(|probe| match self.exchanges(probe) {
            [only] => only.sw,
            _ => None,
        });
        asked.into_iter().find_map(|sw| match sw {
            Sw::NOT_FOUND => Some(AbsentSecret::FileNotFound),
            Sw::KEY_NOT_FOUND => Some(AbsentSecret::KeyNotFound),
            _ => None,
        })
    }

    fn unknown_scheme(&self) -> Option<UnknownScheme> {
        match self.sw("scheme-unknown")? {
            Sw::WRONG_P1P2 => Some(UnknownScheme::BeforePin),
            Sw::NOT_VERIFIED => Some(UnknownScheme::AfterPin),
            _ => None,
        }
    }

    /// Which schemes there are can be told only where an unknown one gets another answer than a missing PIN.
    fn schemes(&self) -> Option<Schemes> {
        (self.unknown_scheme()? == UnknownScheme::BeforePin).then_some(())?;
        let known = |probe| self.sw(probe).map(|sw| sw != Sw::WRONG_P1P2);
        Some(match (known("scheme-pss")?, known("scheme-digest-info")?) {
            (true, _) => Schemes::All,
            (false, true) => Schemes::WithoutPss,
            (false, false) => Schemes::PaddingOnly,
        })
    }

    fn unwritten(&self, auth: bool, sign: bool) -> Option<Unwritten> {
        let of = |probe: &str| match self.exchanges(probe) {
            [Exchange { sw: Some(Sw::NOT_FOUND), .. }] => Some(Unwritten::Missing),
            [_, read, ..] => match read.sw? {
                Sw::NOT_VERIFIED => Some(Unwritten::Guarded),
                _ => Some(Unwritten::Open),
            },
            _ => None,
        };
        let missing = |probe| of(probe).filter(|unwritten| *unwritten == Unwritten::Missing);
        let of_sign = if sign { None } else { of("certificate-sign") };
        let of_auth = || if auth { None } else { missing("certificate-auth") };
        // The others are free to read, so that only a file that is not there tells anything.
        let of_cas = || missing("certificate-auth-ca").or_else(|| missing("certificate-sign-ca"));
        of_sign.or_else(of_auth).or_else(of_cas)
    }

    fn certificate(&self, probe: &str) -> CertificateFile {
        let mut found = CertificateFile::default();
        let [select, head, rest @ ..] = self.exchanges(probe) else {
            if self.sw(probe) == Some(Sw::NOT_FOUND) {
                found.there = Some(false);
            }
            return found;
        };
        if !select.sw.is_some_and(Sw::is_ok) {
            return found;
        }
        found.guarded = head.sw.map(|sw| sw == Sw::NOT_VERIFIED);
        let head_data =
            head.data.iter().chain(rest.iter().take(1).filter(|_| head.data.is_empty()).flat_map(|next| &next.data));
        let head_data: Vec<_> = head_data.copied().collect();
        if found.guarded == Some(false) && !head_data.is_empty() {
            found.there = Some(head_data.starts_with(&[Some(0x30)]));
        }
        // READ BINARY of one byte each, here inside the file and there beyond it.
        let mut asked = None;
        found.exact = found.there == Some(true);
        for Exchange { command, data, sw } in rest {
            // With the highest bit, P1 names a file.
            if let [0x00, 0xB0, high @ 0x00..=0x7F, low, 0x01] = command[..] {
                asked = Some(u16::from_be_bytes([high, low]));
                found.exact = false;
            }
            let (Some(offset), Some(sw)) = (asked, sw) else { continue };
            if sw.is_ok() && data.len() == 1 {
                found.size = found.size.max(Some(offset + 1));
                if let [Some(byte)] = data[..] {
                    found.filler = [Filler::Ff, Filler::Zero].into_iter().find(|filler| filler.byte() == byte);
                }
            }
        }
        found
    }
}

/// Bytes, where masked ones stand as `XX*n`.
pub struct Shown<'a>(pub &'a [Option<u8>]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a.is_some() == b.is_some()).enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match run.iter().copied().collect::<Option<Vec<u8>>>() {
                Some(bytes) => write!(f, "{}", Hex(&bytes))?,
                None => write!(f, "XX*{}", run.len())?,
            }
        }
        Ok(())
    }
}

/// What a report says of one certificate's EF.
#[derive(Default)]
struct CertificateFile {
    there: Option<bool>,
    guarded: Option<bool>,
    size: Option<u16>,
    filler: Option<Filler>,
    /// It ends with its certificate: then its size is not told.
    exact: bool,
}

fn set<T>(switch: &mut T, seen: Option<T>) {
    if let Some(seen) = seen {
        *switch = seen;
    }
}

/// `3082 XX*2 FF`: capital hex digits, and masked bytes with their number.
fn bytes<'a>(tokens: impl Iterator<Item = &'a str>) -> Option<Vec<Option<u8>>> {
    let mut bytes = Vec::new();
    for token in tokens {
        match token.strip_prefix("XX*") {
            Some(count) => {
                let count = count.parse().ok().filter(|count| (1..=MOST).contains(count))?;
                bytes.resize(bytes.len() + count, None);
            }
            None => {
                let digits = token.as_bytes();
                if digits.is_empty() || digits.len() % 2 != 0 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                for pair in digits.chunks_exact(2) {
                    bytes.push(Some(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?));
                }
            }
        }
        if bytes.len() > MOST {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_digits_and_masked_runs() {
        assert_eq!(bytes("3082 XX*2 FF".split(' ')), Some(vec![Some(0x30), Some(0x82), None, None, Some(0xFF)]));
        for wrong in ["3", "XX*0", "XX*99999999", "XX", "é0", "+1", ""] {
            assert_eq!(bytes(wrong.split(' ')), None, "{wrong}");
        }
    }

    #[test]
    fn masked_bytes_are_counted() {
        assert_eq!(Shown(&[Some(0x30), Some(0x82), None, None, Some(0xFF)]).to_string(), "3082 XX*2 FF");
        assert_eq!(Shown(&[]).to_string(), "");
    }

    #[test]
    fn a_text_that_is_no_report_is_refused_by_line() {
        let parse = |rest: &str| CardReport::parse(&format!("{FORMAT}\n{rest}"));
        assert_eq!(CardReport::parse("something"), Err(Unusable::Format));
        assert_eq!(parse("> 00"), Err(Unusable::Line(2)));
        assert_eq!(parse("probe x\n> 00A4\n< 9"), Err(Unusable::Line(4)));
        assert_eq!(parse("probe x\n> 00XX*1"), Err(Unusable::Line(3)));
        assert_eq!(parse("hello"), Err(Unusable::Line(2)));
        assert_eq!(parse("probe x\n> 00A4\n< 9000"), Err(Unusable::CutOff));
        assert_eq!(parse("end").unwrap().kind(), Err(Unusable::Kind));
    }

    #[test]
    fn a_text_takes_no_more_memory_than_a_report_can() {
        let masked = "> 00B0\n< XX*60000 9000\n";
        assert!(CardReport::parse(&format!("{FORMAT}\nprobe x\n{masked}end")).is_ok());
        let twice = format!("{FORMAT}\nprobe x\n{masked}{masked}end");
        assert_eq!(CardReport::parse(&twice), Err(Unusable::TooLong));
        let remarks = format!("{FORMAT}\n{}end", "# \n".repeat(LONGEST / 3));
        assert_eq!(CardReport::parse(&remarks), Err(Unusable::TooLong));
    }

    #[test]
    fn an_offset_that_names_a_file_is_no_size() {
        let size = |offset: &str| {
            let text = format!(
                "{FORMAT}\nprobe certificate-auth\n> 00A4020C02000A\n< 9000\n> 00B0000004\n< 3082 XX*2 9000\n\
                 > 00B0{offset}01\n< FF 9000\nend"
            );
            CardReport::parse(&text).unwrap().certificate("certificate-auth").size
        };
        assert_eq!(size("7FFF"), Some(0x8000));
        assert_eq!(size("FFFF"), None);
    }
}
