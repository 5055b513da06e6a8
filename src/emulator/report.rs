//! What a volunteer's card answered (`docs/report-format.md`), read back, and compared with what another answered.

mod replay;

use super::image::Kind;
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
        // A report is of the application of today, which what may be the next card has not.
        let mut kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Next);
        kinds.find(|kind| kind.label() == label.trim_end()).ok_or(Unusable::Kind)
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
    fn a_report_is_about_a_card_of_today() {
        let of = |kind: Kind| {
            let label: String = format!("{:160}", kind.label()).bytes().map(|byte| format!("{byte:02X}")).collect();
            let text = format!("{FORMAT}\nprobe token-info\n> 00B08600A0\n< {label} 9000\nend");
            CardReport::parse(&text).unwrap().kind()
        };
        assert_eq!(of(Kind::MyNumber), Ok(Kind::MyNumber));
        assert_eq!(of(Kind::Next), Err(Unusable::Kind));
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
}
