//! The header of a BER-TLV object: one tag byte and a definite length (ITU-T X.690 §8.1.2–8.1.3). Nothing more: contents
//! are read by the `der` crate, and only after the card has handed over as many bytes as the header promises.

/// Tag of a `SEQUENCE`, with which every certificate begins.
pub const SEQUENCE: u8 = 0x30;

/// What a header says about the object that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The tag, a single byte: card files use none of the longer ones.
    pub tag: u8,
    /// Bytes that tag and length themselves take.
    pub header_len: usize,
    /// Bytes of contents that follow.
    pub content_len: usize,
}

impl Header {
    /// Reads the header that `bytes` begins with; the contents need not be there yet.
    ///
    /// `None` if it is cut short, has a multi-byte tag, an indefinite length, a length that is not the shortest form
    /// (DER, X.690 §10.1), or one of more than four bytes.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let (&tag, rest) = bytes.split_first()?;
        if tag & 0x1F == 0x1F {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        if first < 0x80 {
            return Some(Header { tag, header_len: 2, content_len: usize::from(first) });
        }
        let count = usize::from(first & 0x7F);
        if count == 0 || count > 4 {
            return None;
        }
        let digits = rest.get(..count)?;
        let length = digits.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let shortest = if length < 0x80 { 0 } else { (length.ilog2() / 8 + 1) as usize };
        if shortest != count {
            return None;
        }
        Some(Header { tag, header_len: 2 + count, content_len: usize::try_from(length).ok()? })
    }

    /// Bytes of the whole object; `None` where that does not fit `usize`.
    pub fn total_len(&self) -> Option<usize> {
        self.header_len.checked_add(self.content_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_lengths_are_read() {
        assert_eq!(Header::parse(&[0x30, 0x05]), Some(Header { tag: 0x30, header_len: 2, content_len: 5 }));
        assert_eq!(Header::parse(&[0x30, 0x81, 0x80]), Some(Header { tag: 0x30, header_len: 3, content_len: 128 }));
        assert_eq!(
            Header::parse(&[0x30, 0x82, 0x06, 0x21, 0xFF]),
            Some(Header { tag: 0x30, header_len: 4, content_len: 0x621 })
        );
        assert_eq!(
            Header::parse(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
            Some(Header { tag: 0x30, header_len: 6, content_len: 0xFFFF_FFFF })
        );
    }

    #[test]
    fn cut_short_indefinite_overlong_and_multi_byte_tags_are_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x82, 0x06],
            &[0x30, 0x81, 0x7F],
            &[0x30, 0x82, 0x00, 0xFF],
            &[0x30, 0x85, 1, 0, 0, 0, 0],
            &[0x1F, 0x01, 0x00],
        ] {
            assert_eq!(Header::parse(bytes), None, "{bytes:02X?}");
        }
    }
}
