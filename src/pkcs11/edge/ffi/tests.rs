//! Misuse of every wrapper, as a C caller commits it. All of it runs under Miri.

use super::*;
use std::ptr::{null, null_mut};

const UNTOUCHED: CK_ULONG = 0x5555;

fn misaligned<T>(place: &mut [T; 2]) -> *mut T {
    place.as_mut_ptr().cast::<u8>().wrapping_add(1).cast()
}

#[test]
fn input_refuses_null_with_a_length_and_lengths_no_memory_has() {
    let bytes = [1, 2, 3];
    // SAFETY: readable as said, or refused before anything is read.
    unsafe {
        assert_eq!(In::new(bytes.as_ptr(), 3).unwrap().bytes(), bytes);
        assert!(In::new(null(), 0).unwrap().bytes().is_empty());
        assert!(In::new(bytes.as_ptr(), 0).unwrap().bytes().is_empty());
        for (start, len) in [(null(), 1), (bytes.as_ptr(), CK_ULONG::MAX), (bytes.as_ptr(), CK_ULONG::MAX / 2 + 1)] {
            assert_eq!(In::new(start, len).err(), Some(Rv::ARGUMENTS_BAD));
        }
        assert!(In::optional(null(), 7).unwrap().is_none());
        assert_eq!(In::optional(bytes.as_ptr(), 2).unwrap().unwrap().bytes(), [1, 2]);
    }
}

#[test]
fn input_longer_than_is_of_use_is_not_read() {
    let bytes = [1, 2, 3];
    // SAFETY: readable for three bytes, and of the other only the length is asked for.
    let (three, absurd) =
        unsafe { (In::new(bytes.as_ptr(), 3).unwrap(), In::new(bytes.as_ptr(), CK_ULONG::MAX / 4).unwrap()) };
    assert_eq!(three.at_most(3), Some(&bytes[..]));
    assert_eq!(three.at_most(2), None);
    assert_eq!(absurd.at_most(1 << 20), None);
}

#[test]
fn output_may_be_written_over_input_that_was_read() {
    let mut both = [7u8; 8];
    let start = both.as_mut_ptr();
    let mut len = 4;
    // SAFETY: all inside `both`.
    let (before, mut out) = unsafe { (In::new(start, 5).unwrap(), OutBuf::new(start.add(4), &mut len).unwrap()) };
    assert_eq!(before.read(|bytes| bytes.to_vec()), [7; 5]);
    out.write(&[9; 4]).unwrap();
    assert_eq!(both, [7, 7, 7, 7, 9, 9, 9, 9]);
}

#[test]
fn structures_and_places_refuse_misaligned_pointers() {
    let mut pair = [CK_VERSION { major: 3, minor: 0 }, CK_VERSION::default()];
    let mut longs = [UNTOUCHED; 2];
    // SAFETY: what is not refused is readable and writable.
    unsafe {
        assert_eq!(InRef::new(pair.as_mut_ptr()).unwrap().unwrap().read().major, 3);
        assert!(InRef::<CK_VERSION>::new(null()).unwrap().is_none());
        assert_eq!(InRef::new(misaligned(&mut longs)).err(), Some(Rv::ARGUMENTS_BAD));
        assert_eq!(Out::new(misaligned(&mut longs)).err(), Some(Rv::ARGUMENTS_BAD));
        assert_eq!(Out::<CK_ULONG>::new(null_mut()).err(), Some(Rv::ARGUMENTS_BAD));
        assert_eq!(OutBuf::new(misaligned(&mut longs), &mut 1).err(), Some(Rv::ARGUMENTS_BAD));
        assert_eq!(OutBuf::new(&mut 1u8, misaligned(&mut longs)).err(), Some(Rv::ARGUMENTS_BAD));
        assert_eq!(OutBuf::new(&mut 1u8, null_mut()).err(), Some(Rv::ARGUMENTS_BAD));
        assert_eq!(Attributes::new(misaligned(&mut longs).cast(), 1).err(), Some(Rv::ARGUMENTS_BAD));
        Out::new(&mut longs[1]).unwrap().write(1);
    }
    assert_eq!(longs, [UNTOUCHED, 1]);
}

#[test]
fn a_mechanism_whose_parameter_cannot_be_read_has_an_invalid_parameter() {
    let parts = |mechanism: CK_MECHANISM| {
        // SAFETY: the parameter is null or refused.
        unsafe { InRef::new(&mechanism) }.unwrap().unwrap().parts().map(|(type_, bytes)| (type_, bytes.len()))
    };
    let mut parameter = 0u8;
    let wild = CK_MECHANISM { mechanism: 1, pParameter: (&raw mut parameter).cast(), ulParameterLen: CK_ULONG::MAX };
    assert_eq!(parts(wild), Err(Rv::MECHANISM_PARAM_INVALID));
    let none = CK_MECHANISM { mechanism: 1, pParameter: null_mut(), ulParameterLen: 0 };
    assert_eq!(parts(none), Ok((1, 0)));
    assert_eq!(parts(CK_MECHANISM { ulParameterLen: 1, ..none }), Err(Rv::MECHANISM_PARAM_INVALID));
}

#[test]
fn text_is_read_no_further_than_it_differs() {
    // Without a zero byte: reading on would leave the array, which Miri would tell.
    let unended = *b"PKCS 1";
    // SAFETY: readable up to the first difference.
    unsafe {
        assert!(!InText::new(unended[..5].as_ptr()).unwrap().is(c"PKCX"));
        assert!(!InText::new(c"PKCS".as_ptr().cast()).unwrap().is(c"PKCS 11"));
        assert!(!InText::new(c"PKCS 11 ".as_ptr().cast()).unwrap().is(c"PKCS 11"));
        assert!(InText::new(c"PKCS 11".as_ptr().cast()).unwrap().is(c"PKCS 11"));
        assert!(InText::new(null()).is_none());
    }
}

#[test]
fn output_is_negotiated_before_anything_is_written() {
    let mut buffer = [0u8; 4];
    let write = |start: *mut u8, room: CK_ULONG| {
        let mut len = room;
        // SAFETY: writable for at least `room` bytes, or null.
        let result = unsafe { OutBuf::new(start, &mut len) }.unwrap().write(&[1, 2, 3]);
        (result, len)
    };
    assert_eq!(write(null_mut(), 0), (Ok(()), 3));
    assert_eq!(write(buffer.as_mut_ptr(), 0), (Err(Rv::BUFFER_TOO_SMALL), 3));
    assert_eq!(write(buffer.as_mut_ptr(), 2), (Err(Rv::BUFFER_TOO_SMALL), 3));
    assert_eq!(buffer, [0; 4]);
    assert_eq!(write(buffer.as_mut_ptr(), 4), (Ok(()), 3));
    assert_eq!(buffer, [1, 2, 3, 0]);
}

#[test]
fn a_refused_buffer_stays_refused_although_its_length_was_overwritten() {
    let (mut buffer, mut len) = ([0u8; 1], 1);
    // SAFETY: writable for `len` bytes.
    let mut out = unsafe { OutBuf::new(buffer.as_mut_ptr(), &mut len) }.unwrap();
    assert_eq!(out.negotiate(3), Err(Rv::BUFFER_TOO_SMALL));
    assert_eq!(out.write(&[1, 2, 3]), Err(Rv::BUFFER_TOO_SMALL));
    assert_eq!((buffer, len), ([0], 3));
}

#[test]
fn a_bounded_array_never_reads_the_count() {
    let (mut handles, mut count) = ([0; 2], CK_ULONG::MAX);
    // SAFETY: writable for two elements, or refused.
    unsafe {
        assert_eq!(OutBuf::<CK_ULONG>::bounded(null_mut(), 1, &mut count).err(), Some(Rv::ARGUMENTS_BAD));
        assert_eq!(OutBuf::bounded(handles.as_mut_ptr(), 1, null_mut()).err(), Some(Rv::ARGUMENTS_BAD));
        let mut out = OutBuf::bounded(handles.as_mut_ptr(), 2, &mut count).unwrap();
        assert_eq!(out.capacity(), 2);
        out.write(&[8]).unwrap();
    }
    assert_eq!((handles, count), ([8, 0], 1));
}

#[test]
fn templates_with_absurd_counts_or_values_or_nested_ones_are_refused() {
    let mut value = 1u8;
    let mut attribute = CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut value).cast(), ulValueLen: 1 };
    let template = |start, count| {
        // SAFETY: readable as said, or refused before anything is read.
        unsafe { Attributes::new(start, count) }?.template().map(|template| template.iter().len())
    };
    assert_eq!(template(null_mut(), 0), Ok(0));
    assert_eq!(template(null_mut(), 1), Err(Rv::ARGUMENTS_BAD));
    assert_eq!(template(&raw mut attribute, 1 << 31), Err(Rv::ARGUMENTS_BAD));
    assert_eq!(template(&raw mut attribute, 1), Ok(1));
    attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    assert_eq!(template(&raw mut attribute, 1), Err(Rv::ARGUMENTS_BAD));
    attribute.ulValueLen = 1;
    attribute.type_ = CKA_WRAP_TEMPLATE;
    assert_eq!(template(&raw mut attribute, 1), Err(Rv::ATTRIBUTE_TYPE_INVALID));
    attribute.type_ = CKA_ALLOWED_MECHANISMS;
    assert_eq!(template(&raw mut attribute, 1), Ok(1));
    attribute.pValue = null_mut();
    assert_eq!(template(&raw mut attribute, 1), Err(Rv::ARGUMENTS_BAD));
}

/// Asks for the label (5 bytes), a secret, an attribute that is not there, and the label again, with these rooms;
/// `None` is a null pointer.
fn ask(types: [CK_ATTRIBUTE_TYPE; 3], rooms: [Option<usize>; 3]) -> (Result<()>, [CK_ULONG; 3], [[u8; 8]; 3]) {
    let mut values = [[0u8; 8]; 3];
    let mut attributes = [CK_ATTRIBUTE { type_: 0, pValue: null_mut(), ulValueLen: 0 }; 3];
    for (index, attribute) in attributes.iter_mut().enumerate() {
        attribute.type_ = types[index];
        attribute.ulValueLen = rooms[index].unwrap_or(0) as CK_ULONG;
        attribute.pValue = rooms[index].map_or(null_mut(), |_| values[index].as_mut_ptr().cast());
    }
    // SAFETY: all rooms are at most 8 bytes.
    let asked = unsafe { Attributes::new(attributes.as_mut_ptr(), 3) }.unwrap();
    let result = asked.questions().answer(|type_| {
        Ok(match type_ {
            CKA_LABEL => Answer::Value(b"label"[..].into()),
            CKA_PRIME_1 => Answer::Sensitive,
            _ => Answer::Unknown,
        })
    });
    (result, attributes.map(|attribute| attribute.ulValueLen), values)
}

#[test]
fn every_attribute_is_answered_whatever_becomes_of_the_others() {
    const NONE: CK_ULONG = CK_UNAVAILABLE_INFORMATION;
    let label = [b'l', b'a', b'b', b'e', b'l', 0, 0, 0];

    let (result, lengths, values) = ask([CKA_PRIME_1, CKA_OWNER, CKA_LABEL], [Some(8), Some(8), Some(8)]);
    assert_eq!((result, lengths), (Err(Rv::ATTRIBUTE_SENSITIVE), [NONE, NONE, 5]));
    assert_eq!(values, [[0; 8], [0; 8], label]);

    let (result, lengths, values) = ask([CKA_LABEL, CKA_OWNER, CKA_LABEL], [Some(4), None, Some(5)]);
    assert_eq!((result, lengths), (Err(Rv::ATTRIBUTE_TYPE_INVALID), [NONE, NONE, 5]));
    assert_eq!(values, [[0; 8], [0; 8], label]);

    let (result, lengths, values) = ask([CKA_LABEL, CKA_LABEL, CKA_LABEL], [Some(4), None, Some(0)]);
    assert_eq!((result, lengths), (Err(Rv::BUFFER_TOO_SMALL), [NONE, 5, NONE]));
    assert_eq!(values, [[0; 8]; 3]);

    let (result, lengths, _) = ask([CKA_LABEL, CKA_LABEL, CKA_LABEL], [Some(8), None, Some(5)]);
    assert_eq!((result, lengths), (Ok(()), [5, 5, 5]));
}

#[test]
fn fixed_fields_are_blank_padded_and_cut_between_characters() {
    assert_eq!(&padded::<8>("JPKI"), b"JPKI    ");
    assert_eq!(&padded::<4>("JPKI Auth"), b"JPKI");
    assert_eq!(&padded::<4>("\u{9375}\u{9375}"), "\u{9375} ".as_bytes());
    assert_eq!(&padded::<2>("\u{9375}"), b"  ");
    assert_eq!(&padded::<0>("x"), b"");
}
