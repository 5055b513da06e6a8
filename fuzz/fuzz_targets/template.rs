//! Templates and questions for attributes, over an honest card whose holder is logged in to both tokens. Every value lies
//! in memory of its own size.

#![no_main]

use cryptoki_sys::*;
use jpki_pkcs11::config::Config;
use jpki_pkcs11::emulator::image::Image;
use jpki_pkcs11::emulator::{PracticeCard, PracticeReaders};
use jpki_pkcs11::pkcs11::fuzzing::{functions, initialize};
use libfuzzer_sys::fuzz_target;
use std::ptr::null_mut;
use std::sync::LazyLock;

const SECRETS: [&str; 2] = ["7305", "ZQ7XJ2VK9W4TB8RM"];
const PATTERN: u8 = 0xA5;

/// A session with each token, and its objects.
struct Ground {
    sessions: [CK_SESSION_HANDLE; 2],
    objects: [Vec<CK_OBJECT_HANDLE>; 2],
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let image = Image::parse(include_str!("../cards/mynumber.toml")).expect("a card file");
    let readers = PracticeReaders::new(1);
    readers.insert(&PracticeReaders::name(0), Box::new(PracticeCard::in_memory(image).expect("a card")));
    assert_eq!(initialize(Config::default(), Box::new(readers)), CKR_OK);
    let sessions = [0, 1].map(|slot| {
        let mut session = 0;
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        let rv = unsafe { functions().C_OpenSession.unwrap()(slot, flags, null_mut(), None, &mut session) };
        assert_eq!(rv, CKR_OK);
        let mut secret = SECRETS[slot as usize].as_bytes().to_vec();
        let rv =
            unsafe { functions().C_Login.unwrap()(session, CKU_USER, secret.as_mut_ptr(), secret.len() as CK_ULONG) };
        assert_eq!(rv, CKR_OK);
        session
    });
    let objects = sessions.map(|session| find(session, &mut []).expect("an empty template"));
    assert_eq!(objects.each_ref().map(Vec::len), [8, 7]);
    Ground { sessions, objects }
});

/// The objects that match, or what C_FindObjectsInit said.
fn find(session: CK_SESSION_HANDLE, rows: &mut [CK_ATTRIBUTE]) -> Result<Vec<CK_OBJECT_HANDLE>, CK_RV> {
    let rv = unsafe { functions().C_FindObjectsInit.unwrap()(session, rows.as_mut_ptr(), rows.len() as CK_ULONG) };
    if rv != CKR_OK {
        return Err(rv);
    }
    let (mut found, mut count) = (vec![0; 16], 0);
    assert_eq!(unsafe { functions().C_FindObjects.unwrap()(session, found.as_mut_ptr(), 16, &mut count) }, CKR_OK);
    assert_eq!(unsafe { functions().C_FindObjectsFinal.unwrap()(session) }, CKR_OK);
    found.truncate(count as usize);
    Ok(found)
}

/// An attribute as the input has it: type, length, and a value or a null pointer.
type Row = (CK_ATTRIBUTE_TYPE, CK_ULONG, Option<Box<[u8]>>);

struct Rows(Vec<Row>);

impl Rows {
    fn read(mut bytes: &[u8]) -> Rows {
        let mut rows = Vec::new();
        while let [kind, low, high, how, rest @ ..] = bytes {
            let base = if how & 0x40 == 0 { 0 } else { CKA_VENDOR_DEFINED };
            let type_ = base | CK_ATTRIBUTE_TYPE::from(u16::from_le_bytes([*low, high & 0x47])) << (how & 0x20);
            let len = usize::from(*kind).min(rest.len());
            let (value, rest) = rest.split_at(len);
            rows.push(match how & 0x18 {
                0x18 => (type_, 0, None),
                // No room is there for this much, which must be seen before it is read.
                0x10 => (type_, CK_ULONG::MAX - CK_ULONG::from(how & 7), None),
                _ => (type_, len as CK_ULONG, Some(value.into())),
            });
            bytes = rest;
        }
        Rows(rows)
    }

    fn raw(&mut self) -> Vec<CK_ATTRIBUTE> {
        let raw = |(type_, len, value): &mut Row| CK_ATTRIBUTE {
            type_: *type_,
            pValue: value.as_mut().map_or(null_mut(), |value| value.as_mut_ptr().cast()),
            ulValueLen: *len,
        };
        self.0.iter_mut().map(raw).collect()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ground { sessions, objects } = &*GROUND;
    let [which, object, bytes @ ..] = bytes else { return };
    let (session, objects) = (sessions[usize::from(which & 1)], &objects[usize::from(which & 1)]);
    let object = objects.get(usize::from(*object)).copied().unwrap_or(CK_OBJECT_HANDLE::from(*object));
    let mut rows = Rows::read(bytes);

    if let Ok(found) = find(session, &mut rows.raw()) {
        assert!(found.iter().all(|found| objects.contains(found)));
        // What matches has each of the values.
        for &found in &found {
            for (type_, _, value) in &rows.0 {
                let value = value.as_deref().unwrap_or_default();
                let mut room = vec![PATTERN; value.len()].into_boxed_slice();
                let mut row = CK_ATTRIBUTE {
                    type_: *type_,
                    pValue: room.as_mut_ptr().cast(),
                    ulValueLen: room.len() as CK_ULONG,
                };
                let rv = unsafe { functions().C_GetAttributeValue.unwrap()(session, found, &mut row, 1) };
                assert_eq!((rv, row.ulValueLen, &*room), (CKR_OK, value.len() as CK_ULONG, value), "{type_:#x}");
            }
        }
    }

    let before = rows.0.iter().map(|(_, _, value)| value.clone()).collect::<Vec<_>>();
    let mut raw = rows.raw();
    let rv =
        unsafe { functions().C_GetAttributeValue.unwrap()(session, object, raw.as_mut_ptr(), raw.len() as CK_ULONG) };
    assert_ne!(rv, CKR_GENERAL_ERROR);
    let lengths: Vec<CK_ULONG> = raw.iter().map(|row| row.ulValueLen).collect();
    for (((_, room, value), before), len) in rows.0.iter().zip(&before).zip(&lengths) {
        let failed = *len == CK_UNAVAILABLE_INFORMATION;
        assert!(failed || value.is_none() || len <= room);
        assert!(!failed || value == before || rv == CKR_OBJECT_HANDLE_INVALID, "a value that is not there was written");
    }

    let mut made = 0;
    let mut raw = rows.raw();
    let (start, count) = (raw.as_mut_ptr(), raw.len() as CK_ULONG);
    let refused = unsafe {
        [
            functions().C_CreateObject.unwrap()(session, start, count, &mut made),
            functions().C_CopyObject.unwrap()(session, object, start, count, &mut made),
            functions().C_SetAttributeValue.unwrap()(session, object, start, count),
            functions().C_DestroyObject.unwrap()(session, object),
        ]
    };
    assert!(refused.iter().all(|&rv| rv != CKR_OK && rv != CKR_GENERAL_ERROR), "{refused:x?}");
});
