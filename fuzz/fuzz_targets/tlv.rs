//! The header of a BER-TLV object, beside the `der` crate's reading of it.

#![no_main]

use der::{Decode, Encode, Header as Der, SliceReader};
use jpki_pkcs11::tlv::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let ours = Header::parse(bytes);
    if let Some(header) = ours {
        assert!(header.header_len <= bytes.len());
        assert_eq!(header.total_len(), header.header_len.checked_add(header.content_len));
    }
    // `der` knows fewer tags and no length above 256 MiB; what it takes, we take, and read alike.
    if let Ok(theirs) = SliceReader::new(bytes).and_then(|mut reader| Der::decode(&mut reader)) {
        let header = ours.expect("a header to der is one to us");
        assert_eq!(header.tag, u8::from(theirs.tag));
        assert_eq!(Ok(header.content_len), usize::try_from(theirs.length));
        assert_eq!(theirs.encoded_len().and_then(usize::try_from), Ok(header.header_len));
    }
});
