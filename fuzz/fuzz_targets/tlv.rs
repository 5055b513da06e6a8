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
    // `der` knows fewer tags of one byte; what it takes, we take, and read alike. It knows longer ones too, and we none.
    if let Ok(theirs) = SliceReader::new(bytes).and_then(|mut reader| Der::decode(&mut reader)) {
        let Some(header) = ours else {
            assert_eq!(bytes[0] & 0x1F, 0x1F, "a header to der is one to us");
            return;
        };
        assert_eq!(header.tag, bytes[0]);
        assert_eq!(Ok(header.content_len), usize::try_from(theirs.length()));
        assert_eq!(theirs.to_der().as_deref(), Ok(&bytes[..header.header_len]));
    }
});
