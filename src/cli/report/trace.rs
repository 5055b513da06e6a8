//! What is written down of commands and answers. Of an answer's data only what a probe says may be shown is shown.

use crate::apdu::{Command, Hex, Response};
use crate::emulator::image::Kind;
use crate::emulator::report::Shown;
use crate::emulator::switches::Atr;
use std::fmt;

/// Which bytes of an answer may be shown, given all of them.
pub type Mask = fn(&[u8]) -> Vec<Option<u8>>;

/// The probes so far.
#[derive(Default)]
pub struct Trace {
    probes: Vec<Probe>,
}

struct Probe {
    name: &'static str,
    about: &'static str,
    exchanges: Vec<(Vec<u8>, Option<Response>)>,
    mask: Mask,
}

impl Trace {
    /// Begins a probe: its name, what it is about, and what may be shown of its answers' data.
    pub fn probe(&mut self, name: &'static str, about: &'static str, mask: Mask) {
        self.probes.push(Probe { name, about, exchanges: Vec::new(), mask });
    }

    /// Writes down an exchange of the probe that began last; no answer is an answer too.
    pub fn exchange(&mut self, command: &Command, answer: Option<Response>) {
        debug_assert!(!command.is_secret());
        if let Some(probe) = self.probes.last_mut() {
            probe.exchanges.push((command.encode().to_vec(), answer));
        }
    }

    /// How many exchanges the probe that began last has so far.
    pub fn exchanges(&self) -> usize {
        self.probes.last().map_or(0, |probe| probe.exchanges.len())
    }

    /// Of this probe, only the first `count` exchanges are written down.
    pub fn forget_beyond(&mut self, count: usize) {
        if let Some(probe) = self.probes.last_mut() {
            probe.exchanges.truncate(count);
        }
    }

    /// From now on, of this probe, what `mask` shows.
    pub fn unmask(&mut self, mask: Mask) {
        if let Some(probe) = self.probes.last_mut() {
            probe.mask = mask;
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Probe { name, about, exchanges, mask } in &self.probes {
            writeln!(f, "\nprobe {name}\n# {about}")?;
            // An answer in parts is masked as a whole.
            let answers = exchanges.iter().filter_map(|(_, answer)| answer.as_ref());
            let whole: Vec<u8> = answers.flat_map(|answer| answer.data.iter().copied()).collect();
            let mut shown = mask(&whole);
            shown.resize(whole.len(), None);
            let mut at = 0;
            for (command, answer) in exchanges {
                writeln!(f, "> {}", Hex(command))?;
                match answer {
                    None => writeln!(f, "< none")?,
                    Some(Response { data, sw }) => {
                        let part = shown.get(at..at + data.len()).unwrap_or_default();
                        let gap = if part.is_empty() { "" } else { " " };
                        writeln!(f, "< {}{gap}{sw}", Shown(part))?;
                        at += data.len();
                    }
                }
            }
        }
        writeln!(f)
    }
}

/// Nothing.
pub fn nothing(data: &[u8]) -> Vec<Option<u8>> {
    vec![None; data.len()]
}

/// Everything: of answers that are the same for every holder.
fn everything(data: &[u8]) -> Vec<Option<u8>> {
    data.iter().copied().map(Some).collect()
}

/// The list of certificates, three bytes without anything of the holder's.
pub fn directory(data: &[u8]) -> Vec<Option<u8>> {
    if data.len() == 3 { everything(data) } else { nothing(data) }
}

/// The ATR of the contacts, of which GET DATA leaves out the first byte, if it is the one that is published.
pub fn contact_atr(data: &[u8]) -> Vec<Option<u8>> {
    if Atr::Contact.bytes().get(1..) == Some(data) { everything(data) } else { nothing(data) }
}

/// The tag and the form of the length of a DER object, not the length: how long a certificate is depends on the names in it.
pub fn object_head(data: &[u8]) -> Vec<Option<u8>> {
    match data {
        [0x30, 0x82, ..] => vec![Some(0x30), Some(0x82)],
        [first @ (0x00 | 0xFF), ..] => vec![Some(*first)],
        _ => Vec::new(),
    }
}

/// The same, and the last byte, which is known to be filler.
pub fn object_head_and_filler(data: &[u8]) -> Vec<Option<u8>> {
    let mut shown = object_head(data);
    shown.resize(data.len(), None);
    if let (Some(place), Some(byte @ (0x00 | 0xFF))) = (shown.last_mut(), data.last()) {
        *place = Some(*byte);
    }
    shown
}

/// EF 0006 without its serial number, and without the two fields that are the same on the one card they were published of,
/// should they differ. Of a label that is not known, only that: nobody knows what such a card has in which place.
pub fn token_info(data: &[u8]) -> Vec<Option<u8>> {
    if data.len() != 160 || !data.starts_with(b"JPKIAP") {
        return nothing(data);
    }
    let known = Kind::ALL.iter().any(|kind| data.starts_with(format!("{:32}", kind.label()).as_bytes()));
    if !known {
        return data.iter().enumerate().map(|(index, byte)| (index < 32).then_some(*byte)).collect();
    }
    let mut shown = everything(data);
    let mut hide = |from: usize, to: usize, unless: &[u8]| {
        if data.get(from..to) != Some(unless) {
            shown.iter_mut().take(to).skip(from).for_each(|byte| *byte = None);
        }
    };
    hide(32, 64, b"00000000000000000000000000000001");
    hide(80, 96, b"");
    hide(144, 160, b"9999999999999999");
    shown
}

/// An answer to reset: whole if it is one of those that are published, else without the historical bytes, in which some
/// readers put the card's own number.
pub fn masked_atr(atr: &[u8]) -> Vec<Option<u8>> {
    if Atr::ALL.iter().any(|known| known.bytes() == atr) {
        return everything(atr);
    }
    let Some(format) = atr.get(1) else { return nothing(atr) };
    let mut at = 2;
    let mut present = format >> 4;
    // Each TD says which interface bytes follow it (ISO/IEC 7816-3 §8.2.3).
    while present != 0 {
        let bytes = present.count_ones() as usize;
        let next = if present & 8 != 0 { atr.get(at + bytes - 1).map_or(0, |td| td >> 4) } else { 0 };
        at += bytes;
        present = next;
    }
    // One that has not as many bytes as it says, with a check byte or without, is not put together by the standard: then
    // any of them may be the number.
    let whole = at + usize::from(format & 0x0F);
    if atr.len() != whole && atr.len() != whole + 1 {
        return nothing(atr);
    }
    atr.iter().enumerate().map(|(index, byte)| (index < at).then_some(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_token_information_the_serial_number_is_left_out() {
        let mut file = vec![b' '; 160];
        file[..15].copy_from_slice(b"JPKIAPICCTOKEN2");
        file[80..96].copy_from_slice(b"0000000020500003");
        let shown = Shown(&token_info(&file)).to_string();
        assert!(!shown.contains("3230353030303033"), "{shown}");
        assert!(shown.starts_with("4A504B49") && shown.contains(" XX*16 "), "{shown}");
        assert_eq!(Shown(&token_info(b"something else")).to_string(), "XX*14");
    }

    #[test]
    fn what_is_the_same_on_the_published_card_is_left_out_where_it_is_not() {
        let mut file = vec![b' '; 160];
        file[..15].copy_from_slice(b"JPKIAPICCTOKEN2");
        file[32..64].copy_from_slice(b"00000000000000000000000000000001");
        file[144..160].copy_from_slice(b"9999999999999999");
        let shown = |file: &[u8]| token_info(file).iter().map(Option::is_some).collect::<Vec<_>>();
        let hidden = |file: &[u8]| shown(file).iter().filter(|shown| !**shown).count();
        assert_eq!(hidden(&file), 16, "the serial number alone");
        // The manufacturer, and the time.
        for (field, at) in [(32..64, 63), (32..64, 32), (144..160, 144), (144..160, 159)] {
            let mut other = file.clone();
            other[at] = b'7';
            assert!(field.clone().all(|index| !shown(&other)[index]), "{at}: all of a field is one number");
            assert_eq!(hidden(&other), 16 + field.len(), "{at}");
        }
    }

    #[test]
    fn of_token_information_with_an_unknown_label_only_that_is_shown() {
        let mut file = vec![b'7'; 160];
        file[..32].copy_from_slice(b"JPKIAPICCTOKEN3                 ");
        assert_eq!(Shown(&token_info(&file)).to_string(), format!("{} XX*128", Hex(&file[..32])));
        file[14] = b'2';
        // Not padded as the known ones are.
        file[15..32].fill(0x00);
        assert_eq!(Shown(&token_info(&file)).to_string(), format!("{} XX*128", Hex(&file[..32])));
    }

    #[test]
    fn of_a_list_of_certificates_that_is_none_nothing_is_shown() {
        assert_eq!(Shown(&directory(&[0x8F, 0x8F, 0x00])).to_string(), "8F8F00");
        assert_eq!(Shown(&directory(&[0x8F, 0x8F, 0x00, 0x12])).to_string(), "XX*4");
    }

    #[test]
    fn an_unknown_answer_to_reset_is_shown_without_historical_bytes() {
        let shown = |atr: &[u8]| Shown(&masked_atr(atr)).to_string();
        assert_eq!(shown(Atr::ContactLong.bytes()), Hex(Atr::ContactLong.bytes()).to_string());
        assert_eq!(shown(&[0x3B, 0x88, 0x80, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 9]), "3B888001 XX*9");
        assert_eq!(shown(&[0x3B, 0x02, 0x14, 0x50]), "3B02 XX*2");
        assert_eq!(shown(&[0x3B]), "XX*1");
        assert_eq!(shown(&[0x3B, 0x65, 0x00, 0x00, 1, 2, 3, 4, 5]), "3B650000 XX*5");
        // No answer to reset by the standard: its "interface bytes" are the card's own number.
        assert_eq!(shown(&[0x3B, 0xF0]), "XX*2");
        assert_eq!(shown(&[0x3B, 0x70, 0x12, 0x34, 0x56, 0x78, 0x9A]), "XX*7");
    }

    #[test]
    fn of_a_certificate_neither_content_nor_length_is_shown() {
        assert_eq!(Shown(&object_head_and_filler(&[0x30, 0x82, 0x06, 0x21, 0x77, 0xFF])).to_string(), "3082 XX*3 FF");
        assert_eq!(Shown(&object_head_and_filler(&[0x30, 0x82, 0x06, 0x21, 0x77])).to_string(), "3082 XX*3");
    }
}
