//! What the file of one secret says: which change of the secret was the last, and whether somebody is logged in by it.

use crate::transport::Stay;

/// Size of a record. What a file lacks of it is zeroes.
pub(super) const LEN: usize = 512;
/// Where the number of the last change lies, eight bytes.
pub(super) const CHANGE_AT: u64 = 8;
/// Where the mark begins. It and the number are written apart, by processes that do not wait for each other.
pub(super) const MARK_AT: u64 = 16;
/// What the file begins with, and the version of the format: another one's record is nobody's.
pub(super) const MAGIC: [u8; CHANGE_AT as usize] = *b"JPKI\x001\r\n";

/// That somebody has logged in to the card as it lies in its reader. Without a lock beside it: a login that nobody ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The run of the machine, after which no card has power any more.
    pub(super) boot: String,
    /// Where the card lies and since when, for a card that was taken out has forgotten its logins.
    pub(super) stay: Stay,
}

/// One file's contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) change: u64,
    pub(super) mark: Option<Mark>,
}

impl Record {
    /// Reads a file's bytes; `None` where they are no record, as those of an older version's file, which is empty.
    pub(super) fn parse(bytes: &[u8; LEN]) -> Option<Record> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (change, rest) = rest.split_first_chunk()?;
        Some(Record { change: u64::from_le_bytes(*change), mark: Mark::parse(rest) })
    }
}

impl Mark {
    /// The bytes from [`MARK_AT`] on. A reader's name longer than there is room for is cut, on both sides alike.
    pub(super) fn encode(mark: Option<&Mark>) -> [u8; LEN - MARK_AT as usize] {
        let mut bytes = [0; LEN - MARK_AT as usize];
        let Some(mark) = mark else { return bytes };
        let fields = [&mark.stay.events.to_le_bytes()[..], mark.boot.as_bytes(), &[0], mark.stay.reader.as_bytes()];
        let text: Vec<u8> = fields.concat().into_iter().take(bytes.len() - 2).collect();
        let (len, body) = bytes.split_at_mut(2);
        // At most 494, so it fits.
        len.copy_from_slice(&(text.len() as u16).to_le_bytes());
        body[..text.len()].copy_from_slice(&text);
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Mark> {
        let (len, rest) = bytes.split_first_chunk()?;
        let text = rest.get(..usize::from(u16::from_le_bytes(*len)))?;
        let (events, text) = text.split_first_chunk()?;
        let end = text.iter().position(|&byte| byte == 0)?;
        let (boot, reader) = (text.get(..end)?, text.get(end + 1..)?);
        let stay = Stay { reader: String::from_utf8(reader.to_vec()).ok()?, events: u32::from_le_bytes(*events) };
        Some(Mark { boot: String::from_utf8(boot.to_vec()).ok()?, stay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { boot: "b".repeat(36), stay: Stay { reader: "Reader 00 00".into(), events: 7 } }
    }

    fn record(change: u64, mark: Option<&Mark>) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[CHANGE_AT as usize..MARK_AT as usize].copy_from_slice(&change.to_le_bytes());
        bytes[MARK_AT as usize..].copy_from_slice(&Mark::encode(mark));
        bytes
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let written = Record { change: 3, mark: Some(mark()) };
        assert_eq!(Record::parse(&record(3, Some(&mark()))), Some(written));
        assert_eq!(Record::parse(&record(u64::MAX, None)), Some(Record { change: u64::MAX, mark: None }));
    }

    #[test]
    fn what_is_no_record_is_no_mark() {
        assert_eq!(Record::parse(&[0; LEN]), None);
        let whole = record(1, Some(&mark()));
        for at in 0..LEN {
            // Cut anywhere, and with each byte another one: nothing panics.
            let mut cut = whole;
            cut[at..].fill(0);
            let _ = Record::parse(&cut);
            let mut other = whole;
            other[at] ^= 0xFF;
            let _ = Record::parse(&other);
        }
        let mut newer = whole;
        newer[5] = b'2';
        assert_eq!(Record::parse(&newer), None, "another version");
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let stay = Stay { reader: "x".repeat(2 * LEN), events: 1 };
        let bytes = record(0, Some(&Mark { stay, ..mark() }));
        assert!(Record::parse(&bytes).unwrap().mark.unwrap().stay.reader.len() < LEN);
    }
}
