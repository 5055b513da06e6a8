//! The program that calls the module. Its buffers are of the very size it claims, so that AddressSanitizer sees a byte too
//! many.

mod refused;
mod verify;

use crate::cards::CARDS;
use crate::reader::{Shared, check_end};
use crate::watch::{PASSWORD, PIN, must};
use cryptoki_sys::*;
use jpki_pkcs11::config::{Config, Pss, Tokens};
use jpki_pkcs11::pkcs11::fuzzing::{functions, initialize};
use rsa::{BoxedUint, Pkcs1v15Sign, Pss as PssScheme, PublicKey};
use sha2::{Digest, Sha256};
use std::ptr::null_mut;
use std::time::Duration;

/// Calls of one run; more would only be slower.
const MOST_CALLS: usize = 48;
const PATTERN: u8 = 0xA5;

const MECHANISMS: [CK_MECHANISM_TYPE; 10] = [
    CKM_SHA256_RSA_PKCS,
    CKM_RSA_PKCS,
    CKM_SHA256_RSA_PKCS_PSS,
    CKM_RSA_PKCS_PSS,
    CKM_SHA1_RSA_PKCS,
    CKM_SHA224_RSA_PKCS,
    CKM_SHA384_RSA_PKCS,
    CKM_SHA512_RSA_PKCS,
    CKM_SHA512_RSA_PKCS_PSS,
    CKM_AES_GCM,
];
const ATTRIBUTES: [CK_ATTRIBUTE_TYPE; 32] = [
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKA_CERTIFICATE_TYPE,
    CKA_ISSUER,
    CKA_SERIAL_NUMBER,
    CKA_SUBJECT,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_PUBLIC_KEY_INFO,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_TRUSTED,
    CKA_CERTIFICATE_CATEGORY,
    CKA_CHECK_VALUE,
    CKA_SENSITIVE,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_ALLOWED_MECHANISMS,
    CKA_WRAP_TEMPLATE,
    CKA_PROFILE_ID,
    CKA_PRIVATE_EXPONENT,
    CKA_NSS_EMAIL,
    CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
    CKA_MODIFIABLE,
];
const CKA_NSS_EMAIL: CK_ATTRIBUTE_TYPE = 0xCE53_4352;

/// A session as the program remembers it.
#[derive(Default, Clone)]
struct Session {
    handle: CK_SESSION_HANDLE,
    slot: CK_SLOT_ID,
    sign: Option<Signing>,
}

/// What is being signed, and by which key.
#[derive(Clone)]
struct Signing {
    mechanism: CK_MECHANISM_TYPE,
    key: Option<(Vec<u8>, Vec<u8>)>,
    data: Vec<u8>,
}

/// A signature that has come out, and what it is one over.
#[derive(Clone)]
struct Signed {
    mechanism: CK_MECHANISM_TYPE,
    modulus: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

struct Program {
    world: Shared,
    sessions: Vec<Session>,
    objects: Vec<CK_OBJECT_HANDLE>,
    /// The last one.
    signed: Option<Signed>,
    /// Whether the signature key wants a password of its own, so that CKR_USER_NOT_LOGGED_IN says nothing of the session.
    always_authenticate: bool,
}

/// One run, from C_Initialize to C_Finalize.
pub fn run(bytes: &[u8]) {
    let [settings, cards, rest @ ..] = bytes else { return };
    let readers = 1 + usize::from(settings >> 7);
    let world = Shared::new(rest, readers);
    for reader in 0..readers {
        let card = usize::from(if reader == 0 { cards & 0xF } else { cards >> 4 });
        if let Some(image) = CARDS.get(card) {
            world.lock().insert(reader, image);
        }
    }
    let mut config = Config::default();
    config.tokens = [Tokens::Both, Tokens::Both, Tokens::Auth, Tokens::Sign][usize::from(settings & 3)];
    config.hold_pin = settings & 4 == 0;
    config.always_authenticate = settings & 8 != 0;
    config.extended_read = settings & 16 != 0;
    config.pss = if settings & 32 == 0 { Pss::Auto } else { Pss::On };
    config.max_login = (settings & 0x5F == 0x40).then_some(Duration::from_nanos(1));
    let always_authenticate = config.always_authenticate;
    must!(initialize(config, Box::new(world.clone())) == CKR_OK, "C_Initialize");

    let mut program = Program { world, sessions: Vec::new(), objects: Vec::new(), signed: None, always_authenticate };
    for _ in 0..MOST_CALLS {
        if program.world.lock().input.is_empty() {
            break;
        }
        program.step();
    }
    let rv = program.call("C_Finalize", None, None, |list| unsafe { list.C_Finalize.unwrap()(null_mut()) });
    must!(rv == CKR_OK, "C_Finalize: {rv:#x}");
    check_end(&mut program.world.lock());
}

impl Program {
    /// Calls one function, and looks at what every function must keep to.
    fn call(
        &self,
        name: &'static str,
        typed: Option<&[u8]>,
        chosen: Option<&[u8]>,
        call: impl FnOnce(&CK_FUNCTION_LIST_3_2) -> CK_RV,
    ) -> CK_RV {
        self.world.lock().watch.begin(name, typed, chosen);
        let rv = call(functions());
        must!(rv != CKR_GENERAL_ERROR, "{name}: CKR_GENERAL_ERROR");
        rv
    }

    fn byte(&self) -> u8 {
        self.world.lock().input.byte()
    }

    fn bytes(&self, len: usize) -> Vec<u8> {
        self.world.lock().input.bytes(len)
    }

    fn session(&self) -> CK_SESSION_HANDLE {
        let byte = self.byte();
        match self.sessions.len() {
            0 => u64::from(byte),
            len if byte < 0xF0 => self.sessions[usize::from(byte) % len].handle,
            _ => self.world.lock().input.long(),
        }
    }

    fn remembered(&mut self, handle: CK_SESSION_HANDLE) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.handle == handle)
    }

    fn slot(&self) -> CK_SLOT_ID {
        match self.byte() {
            byte @ 0..0xF0 => CK_SLOT_ID::from(byte & 3),
            _ => self.world.lock().input.long(),
        }
    }

    fn object(&self) -> CK_OBJECT_HANDLE {
        let byte = self.byte();
        match self.objects.len() {
            len if len > 0 && byte < 0xF0 => self.objects[usize::from(byte) % len],
            _ => self.world.lock().input.long(),
        }
    }

    /// A secret that the program thinks is this session's; `None` for a null pointer.
    fn secret(&self, session: CK_SESSION_HANDLE) -> Option<Vec<u8>> {
        let session = self.sessions.iter().find(|known| known.handle == session);
        let (right, other) =
            if session.is_some_and(|session| session.slot & 1 == 1) { (PASSWORD, PIN) } else { (PIN, PASSWORD) };
        Some(match self.byte() {
            0..0x80 => right.into(),
            0x80..0xA0 => other.into(),
            0xA0..0xB0 => PASSWORD.to_ascii_lowercase().into(),
            0xB0..0xC0 => "9999".into(),
            0xC0..0xD0 => "WRONG1WRONG1".into(),
            0xD0..0xD8 => Vec::new(),
            0xD8..0xE0 => return None,
            _ => {
                let len = usize::from(self.byte() % 20);
                self.bytes(len)
            }
        })
    }

    fn mechanism(&self) -> (CK_MECHANISM_TYPE, Vec<u8>) {
        let byte = self.byte();
        let mechanism = MECHANISMS[usize::from(byte) % MECHANISMS.len()];
        let parameter = if byte >= 0xF0 {
            let len = usize::from(self.byte() % 40);
            self.bytes(len)
        } else {
            right_parameter(mechanism)
        };
        (mechanism, parameter)
    }

    fn step(&mut self) {
        match self.byte() % 36 {
            0..3 => self.sign_from_the_start(),
            3 => self.slots(),
            4 => self.token_info(),
            5 => self.mechanisms(),
            6..8 => self.open(),
            8 => self.close(),
            9 => self.session_info(),
            10..13 => {
                let session = self.session();
                self.login(session);
            }
            13 => self.logout(),
            14..16 => self.set_pin(),
            16..18 => self.find(),
            18..20 => self.attributes(),
            20..22 => {
                let (session, object) = (self.session(), self.object());
                self.sign_init(session, object);
            }
            22..25 => {
                let session = self.session();
                self.sign(session);
            }
            25 => self.sign_update(),
            26 => self.sign_final(),
            27..29 => self.verify(),
            29 => self.cancel(),
            30 => self.others(),
            31 => self.events(),
            _ => {
                let mut world = self.world.lock();
                let reader = usize::from(world.input.byte()) % world.readers.len();
                world.happen(reader, &CARDS);
            }
        }
    }

    /// What a program does that wants a signature.
    fn sign_from_the_start(&mut self) {
        let slot = self.slot();
        let Some(session) = self.open_session(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION) else { return };
        if self.login(session) != CKR_OK {
            return;
        }
        let class = CKO_PRIVATE_KEY.to_ne_bytes();
        self.find_by(session, &[(CKA_CLASS, class.to_vec())]);
        let Some(&key) = self.objects.last() else { return };
        if self.sign_init(session, key) == CKR_OK {
            self.sign(session);
        }
    }

    fn slots(&mut self) {
        let (present, room) = (self.byte() & 1, usize::from(self.byte() % 6));
        let mut count = 0;
        let rv = self.call("C_GetSlotList", None, None, |list| unsafe {
            list.C_GetSlotList.unwrap()(present, null_mut(), &mut count)
        });
        must!(rv == CKR_OK, "C_GetSlotList: {rv:#x}");
        let mut slots = vec![0; room];
        count = room as CK_ULONG;
        let rv = self.call("C_GetSlotList", None, None, |list| unsafe {
            list.C_GetSlotList.unwrap()(present, slots.as_mut_ptr(), &mut count)
        });
        must!(rv == CKR_OK && count <= room as CK_ULONG || rv == CKR_BUFFER_TOO_SMALL, "C_GetSlotList: {rv:#x}");
        let slot = self.slot();
        let mut info = CK_SLOT_INFO::default();
        let rv = self.call("C_GetSlotInfo", None, None, |list| unsafe { list.C_GetSlotInfo.unwrap()(slot, &mut info) });
        if rv == CKR_OK {
            printable(&info.slotDescription);
        }
    }

    fn token_info(&mut self) {
        let slot = self.slot();
        let mut info = CK_TOKEN_INFO::default();
        let rv =
            self.call("C_GetTokenInfo", None, None, |list| unsafe { list.C_GetTokenInfo.unwrap()(slot, &mut info) });
        if rv == CKR_OK {
            for field in [&info.label[..], &info.model[..], &info.serialNumber[..], &info.manufacturerID[..]] {
                printable(field);
                self.world.lock().watch.output(field);
            }
            must!(!info.label.contains(&b':'), "a colon in a label breaks NSS's names");
        }
    }

    fn mechanisms(&mut self) {
        let (slot, room) = (self.slot(), usize::from(self.byte() % 12));
        let (mut types, mut count) = (vec![0; room], room as CK_ULONG);
        self.call("C_GetMechanismList", None, None, |list| unsafe {
            list.C_GetMechanismList.unwrap()(slot, types.as_mut_ptr(), &mut count)
        });
        let (mechanism, _) = self.mechanism();
        let mut info = CK_MECHANISM_INFO::default();
        self.call("C_GetMechanismInfo", None, None, |list| unsafe {
            list.C_GetMechanismInfo.unwrap()(slot, mechanism, &mut info)
        });
    }

    fn open(&mut self) {
        let (slot, flags) = (self.slot(), self.byte());
        let flags = if flags & 0x1F == 0x1F { 0 } else { CKF_SERIAL_SESSION }
            | if flags & 0x80 == 0 { CKF_RW_SESSION } else { 0 };
        self.open_session(slot, flags);
    }

    fn open_session(&mut self, slot: CK_SLOT_ID, flags: CK_FLAGS) -> Option<CK_SESSION_HANDLE> {
        let mut handle = 0;
        let rv = self.call("C_OpenSession", None, None, |list| unsafe {
            list.C_OpenSession.unwrap()(slot, flags, null_mut(), None, &mut handle)
        });
        if rv != CKR_OK {
            return None;
        }
        must!(handle != 0 && self.remembered(handle).is_none(), "a session handle comes twice");
        self.sessions.push(Session { handle, slot, sign: None });
        Some(handle)
    }

    fn close(&mut self) {
        if self.byte() & 3 == 0 {
            let slot = self.slot();
            self.call("C_CloseAllSessions", None, None, |list| unsafe { list.C_CloseAllSessions.unwrap()(slot) });
        } else {
            let session = self.session();
            let rv = self.call("C_CloseSession", None, None, |list| unsafe { list.C_CloseSession.unwrap()(session) });
            if rv == CKR_OK {
                must!(self.state(session).is_none(), "a session that was closed");
            }
        }
    }

    fn session_info(&mut self) {
        let session = self.session();
        self.state(session);
    }

    fn state(&self, session: CK_SESSION_HANDLE) -> Option<CK_STATE> {
        let mut info = CK_SESSION_INFO::default();
        let rv = self
            .call("C_GetSessionInfo", None, None, |list| unsafe { list.C_GetSessionInfo.unwrap()(session, &mut info) });
        (rv == CKR_OK).then_some(info.state)
    }

    fn login(&mut self, session: CK_SESSION_HANDLE) -> CK_RV {
        let secret = self.secret(session);
        let user = match self.byte() {
            0..0xC0 => CKU_USER,
            0xC0..0xF0 => CKU_CONTEXT_SPECIFIC,
            byte => CK_USER_TYPE::from(byte & 3),
        };
        let mut typed = secret.clone().unwrap_or_default();
        let start = if secret.is_some() { typed.as_mut_ptr() } else { null_mut() };
        let len = typed.len() as CK_ULONG;
        let rv = self.call("C_Login", secret.as_deref(), None, |list| unsafe {
            list.C_Login.unwrap()(session, user, start, len)
        });
        if rv == CKR_OK {
            must!(self.world.lock().watch.proved, "C_Login without proof");
        }
        rv
    }

    fn logout(&mut self) {
        let session = self.session();
        let rv = self.call("C_Logout", None, None, |list| unsafe { list.C_Logout.unwrap()(session) });
        let state = self.state(session);
        if rv == CKR_OK || rv == CKR_DEVICE_ERROR {
            must!(state.is_none_or(is_public), "logged in after C_Logout");
        }
    }

    fn set_pin(&mut self) {
        let session = self.session();
        let (old, new) = (self.secret(session), self.secret(session));
        let (mut old_bytes, mut new_bytes) = (old.clone().unwrap_or_default(), new.clone().unwrap_or_default());
        let start = |given: &Option<Vec<u8>>, bytes: &mut Vec<u8>| {
            if given.is_some() { bytes.as_mut_ptr() } else { null_mut() }
        };
        let (old_start, new_start) = (start(&old, &mut old_bytes), start(&new, &mut new_bytes));
        let rv = self.call("C_SetPIN", old.as_deref(), new.as_deref(), |list| unsafe {
            list.C_SetPIN.unwrap()(
                session,
                old_start,
                old_bytes.len() as CK_ULONG,
                new_start,
                new_bytes.len() as CK_ULONG,
            )
        });
        if rv == CKR_OK {
            must!(self.world.lock().watch.proved, "C_SetPIN without proof");
        }
    }

    fn find(&mut self) {
        let session = self.session();
        let rows = self.template();
        self.find_by(session, &rows);
    }

    fn template(&self) -> Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)> {
        let count = self.byte() % 5;
        let row = |_| {
            let kind = self.attribute_type();
            let value = match self.byte() {
                byte @ 0..0x40 => CK_ULONG::from(byte & 7).to_ne_bytes().to_vec(),
                byte @ 0x40..0x80 => vec![byte & 1],
                byte @ 0x80..0xC0 => vec![byte & 7],
                _ => {
                    let len = usize::from(self.byte());
                    self.bytes(len)
                }
            };
            (kind, value)
        };
        (0..count).map(row).collect()
    }

    fn attribute_type(&self) -> CK_ATTRIBUTE_TYPE {
        match self.byte() {
            byte @ 0..0xF0 => ATTRIBUTES[usize::from(byte) % ATTRIBUTES.len()],
            _ => self.world.lock().input.long(),
        }
    }

    fn find_by(&mut self, session: CK_SESSION_HANDLE, rows: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)]) {
        let mut rows_raw: Vec<CK_ATTRIBUTE> = rows.iter().map(|(type_, value)| row(*type_, value)).collect();
        let rv = self.call("C_FindObjectsInit", None, None, |list| unsafe {
            list.C_FindObjectsInit.unwrap()(session, rows_raw.as_mut_ptr(), rows_raw.len() as CK_ULONG)
        });
        if rv != CKR_OK {
            return;
        }
        let room = [4, 1, 9, 0][usize::from(self.byte() & 3)];
        let (mut found, mut count) = (vec![0; room], 0);
        for _ in 0..4 {
            let rv = self.call("C_FindObjects", None, None, |list| unsafe {
                list.C_FindObjects.unwrap()(session, found.as_mut_ptr(), room as CK_ULONG, &mut count)
            });
            must!(rv != CKR_OK || count <= room as CK_ULONG, "C_FindObjects: {count} of {room}");
            if rv != CKR_OK || count == 0 {
                break;
            }
            self.objects.extend(&found[..count as usize]);
        }
        self.call("C_FindObjectsFinal", None, None, |list| unsafe { list.C_FindObjectsFinal.unwrap()(session) });
    }

    fn attributes(&mut self) {
        let (session, object) = (self.session(), self.object());
        let count = self.byte() % 6;
        let questions: Vec<(CK_ATTRIBUTE_TYPE, Option<usize>)> = (0..count)
            .map(|_| {
                let type_ = self.attribute_type();
                let room = match self.byte() {
                    0..0x40 => None,
                    0x40..0x80 => Some(4096),
                    byte => Some(usize::from(byte & 0x3F)),
                };
                (type_, room)
            })
            .collect();
        self.ask(session, object, &questions);
        let mut size = 0;
        self.call("C_GetObjectSize", None, None, |list| unsafe {
            list.C_GetObjectSize.unwrap()(session, object, &mut size)
        });
    }

    /// C_GetAttributeValue, with so much room for each value; the values that came.
    fn ask(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        questions: &[(CK_ATTRIBUTE_TYPE, Option<usize>)],
    ) -> (CK_RV, Vec<Option<Vec<u8>>>) {
        let mut rooms: Vec<Option<Vec<u8>>> =
            questions.iter().map(|(_, room)| room.map(|room| vec![PATTERN; room])).collect();
        let mut rows: Vec<CK_ATTRIBUTE> = questions
            .iter()
            .zip(&mut rooms)
            .map(|(&(type_, _), room)| match room {
                Some(room) => {
                    CK_ATTRIBUTE { type_, pValue: room.as_mut_ptr().cast(), ulValueLen: room.len() as CK_ULONG }
                }
                None => CK_ATTRIBUTE { type_, pValue: null_mut(), ulValueLen: 0 },
            })
            .collect();
        let rv = self.call("C_GetAttributeValue", None, None, |list| unsafe {
            list.C_GetAttributeValue.unwrap()(session, object, rows.as_mut_ptr(), rows.len() as CK_ULONG)
        });
        let answered =
            matches!(rv, CKR_OK | CKR_ATTRIBUTE_SENSITIVE | CKR_ATTRIBUTE_TYPE_INVALID | CKR_BUFFER_TOO_SMALL);
        let mut values = Vec::new();
        for (row, room) in rows.iter().zip(rooms) {
            let value = room.filter(|_| answered && row.ulValueLen != CK_UNAVAILABLE_INFORMATION).map(|mut value| {
                must!(row.ulValueLen as usize <= value.len(), "C_GetAttributeValue: a value longer than its room");
                value.truncate(row.ulValueLen as usize);
                self.world.lock().watch.output(&value);
                value
            });
            must!(value.is_none() || row.type_ != CKA_PRIVATE_EXPONENT, "a private exponent");
            values.push(value);
        }
        (rv, values)
    }

    fn sign_init(&mut self, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> CK_RV {
        let (mechanism, parameter) = self.mechanism();
        let (_, public) = self.ask(session, key, &[(CKA_MODULUS, Some(512)), (CKA_PUBLIC_EXPONENT, Some(8))]);
        let mut raw = raw_mechanism(mechanism, &parameter);
        let rv =
            self.call("C_SignInit", None, None, |list| unsafe { list.C_SignInit.unwrap()(session, &mut raw, key) });
        if rv == CKR_OK {
            let key = match &public[..] {
                [Some(modulus), Some(exponent)] => Some((modulus.clone(), exponent.clone())),
                _ => None,
            };
            if let Some(session) = self.remembered(session) {
                session.sign = Some(Signing { mechanism, key, data: Vec::new() });
            }
        }
        rv
    }

    fn data(&self) -> Vec<u8> {
        match self.byte() {
            byte @ 0..0x40 => vec![byte; usize::from(byte)],
            0x40..0x60 => vec![7; 32],
            byte @ 0x60..0xA0 => vec![byte; usize::from(self.world.lock().input.word() % 520)],
            _ => {
                let len = usize::from(self.byte());
                self.bytes(len)
            }
        }
    }

    fn sign(&mut self, session: CK_SESSION_HANDLE) {
        let mut data = self.data();
        let len = data.len() as CK_ULONG;
        self.end_sign("C_Sign", session, &data.clone(), |list, room, room_len| unsafe {
            list.C_Sign.unwrap()(session, data.as_mut_ptr(), len, room, room_len)
        });
    }

    fn sign_final(&mut self) {
        let session = self.session();
        self.end_sign("C_SignFinal", session, &[], |list, room, room_len| unsafe {
            list.C_SignFinal.unwrap()(session, room, room_len)
        });
    }

    /// C_Sign or C_SignFinal with some room for the signature; one that comes out must be good.
    fn end_sign(
        &mut self,
        name: &'static str,
        session: CK_SESSION_HANDLE,
        data: &[u8],
        call: impl FnOnce(&CK_FUNCTION_LIST_3_2, *mut CK_BYTE, *mut CK_ULONG) -> CK_RV,
    ) {
        let room = match self.byte() {
            0..0x80 => Some(128),
            0x80..0xA0 => Some(256),
            0xA0..0xC0 => Some(600),
            0xC0..0xE0 => None,
            byte => Some(usize::from(byte)),
        };
        let mut signature = vec![PATTERN; room.unwrap_or(0)];
        let mut len = signature.len() as CK_ULONG;
        let start = if room.is_some() { signature.as_mut_ptr() } else { null_mut() };
        let rv = self.call(name, None, None, |list| call(list, start, &mut len));
        self.world.lock().watch.output(&signature);
        if rv == CKR_OK && room.is_some() {
            signature.truncate(len as usize);
            let signing = self.remembered(session).and_then(|session| session.sign.take());
            let Some(signing) = signing else { crate::watch::breach("a signature that was not asked for") };
            let message = [&signing.data[..], data].concat();
            must!(self.world.lock().watch.ever_proved(), "{name}: a signature before any login");
            must!(is_sound(&signing, &message, &signature), "{name}: a signature that does not verify");
            self.signed =
                signing.key.map(|(modulus, _)| Signed { mechanism: signing.mechanism, modulus, message, signature });
        } else {
            must!(signature.iter().all(|&byte| byte == PATTERN), "{name}: {rv:#x}, and something written");
        }
        if rv == CKR_USER_NOT_LOGGED_IN
            && !self.always_authenticate
            && let Some(state) = self.state(session)
        {
            must!(is_public(state), "{name}: not logged in, says the call, and the session does not");
        }
    }

    fn sign_update(&mut self) {
        let session = self.session();
        let mut part = self.data();
        let rv = self.call("C_SignUpdate", None, None, |list| unsafe {
            list.C_SignUpdate.unwrap()(session, part.as_mut_ptr(), part.len() as CK_ULONG)
        });
        if rv == CKR_OK
            && let Some(signing) = self.remembered(session).and_then(|session| session.sign.as_mut())
        {
            signing.data.extend(part);
        }
    }

    fn cancel(&mut self) {
        let (session, flags) = (self.session(), self.byte());
        if flags & 0x80 == 0 {
            self.call("C_SessionCancel", None, None, |list| unsafe {
                list.C_SessionCancel.unwrap()(session, CK_FLAGS::from(flags) << 8)
            });
        } else {
            self.call("C_SignInit", None, None, |list| unsafe { list.C_SignInit.unwrap()(session, null_mut(), 0) });
        }
    }

    fn events(&mut self) {
        let mut slot = 0;
        let rv = self.call("C_WaitForSlotEvent", None, None, |list| unsafe {
            list.C_WaitForSlotEvent.unwrap()(CKF_DONT_BLOCK, &mut slot, null_mut())
        });
        must!(matches!(rv, CKR_OK | CKR_NO_EVENT), "C_WaitForSlotEvent: {rv:#x}");
    }
}

fn is_public(state: CK_STATE) -> bool {
    matches!(state, CKS_RO_PUBLIC_SESSION | CKS_RW_PUBLIC_SESSION)
}

fn row(type_: CK_ATTRIBUTE_TYPE, value: &[u8]) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_, pValue: value.as_ptr().cast_mut().cast(), ulValueLen: value.len() as CK_ULONG }
}

/// The parameter by which the module takes this mechanism.
fn right_parameter(mechanism: CK_MECHANISM_TYPE) -> Vec<u8> {
    match mechanism {
        CKM_SHA256_RSA_PKCS_PSS | CKM_RSA_PKCS_PSS => {
            [CKM_SHA256, CKG_MGF1_SHA256, 32].map(CK_ULONG::to_ne_bytes).concat()
        }
        _ => Vec::new(),
    }
}

fn raw_mechanism(mechanism: CK_MECHANISM_TYPE, parameter: &[u8]) -> CK_MECHANISM {
    let start = if parameter.is_empty() { null_mut() } else { parameter.as_ptr().cast_mut().cast() };
    CK_MECHANISM { mechanism, pParameter: start, ulParameterLen: parameter.len() as CK_ULONG }
}

/// Whether a text field is what any terminal may be shown.
fn printable(field: &[u8]) {
    let text = std::str::from_utf8(field);
    must!(text.is_ok_and(|text| !text.contains(char::is_control)), "control characters in {field:?}");
}

/// Whether this is the key's signature over the message, by another way than the module's.
fn is_sound(signing: &Signing, message: &[u8], signature: &[u8]) -> bool {
    let Some((modulus, exponent)) = &signing.key else { return false };
    let Ok(key) = PublicKey::new(BoxedUint::from_be_slice_vartime(modulus), BoxedUint::from_be_slice_vartime(exponent)) else {
        return false;
    };
    let pkcs1 = |scheme: Pkcs1v15Sign, hash: &[u8]| key.verify(scheme, hash, signature).is_ok();
    let pss = |hash: &[u8]| key.verify(PssScheme::<Sha256>::new_with_salt(32), hash, signature).is_ok();
    match signing.mechanism {
        CKM_RSA_PKCS => pkcs1(Pkcs1v15Sign::new_unprefixed(), message),
        CKM_SHA1_RSA_PKCS => pkcs1(Pkcs1v15Sign::new::<sha1::Sha1>(), &sha1::Sha1::digest(message)),
        CKM_SHA224_RSA_PKCS => pkcs1(Pkcs1v15Sign::new::<sha2::Sha224>(), &sha2::Sha224::digest(message)),
        CKM_SHA256_RSA_PKCS => pkcs1(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)),
        CKM_SHA384_RSA_PKCS => pkcs1(Pkcs1v15Sign::new::<sha2::Sha384>(), &sha2::Sha384::digest(message)),
        CKM_SHA512_RSA_PKCS => pkcs1(Pkcs1v15Sign::new::<sha2::Sha512>(), &sha2::Sha512::digest(message)),
        CKM_RSA_PKCS_PSS => pss(message),
        CKM_SHA256_RSA_PKCS_PSS => pss(&Sha256::digest(message)),
        _ => false,
    }
}
