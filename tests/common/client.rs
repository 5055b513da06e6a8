//! A client of the built module in this process, and client programs in C. The module is loaded once, as the dynamic
//! loader gives it to any program; what is unsafe about its C functions is kept in here.

#![allow(unsafe_code)]

use super::{Scratch, built, run, tool};
use cryptoki_sys::*;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;
use std::sync::OnceLock;

/// What a function of the module answers.
pub type Result<T> = std::result::Result<T, CK_RV>;

/// The slots of the first reader, and one of the second.
pub const AUTH: CK_SLOT_ID = 0;
pub const SIGN: CK_SLOT_ID = 1;
pub const OTHER_AUTH: CK_SLOT_ID = 2;

/// A PKCS#11 client. Copies are the same client, for any thread.
#[derive(Clone, Copy)]
pub struct Client {
    list: &'static CK_FUNCTION_LIST,
}

macro_rules! call {
    ($client:expr, $function:ident($($argument:expr),*)) => {{
        let function = $client.list.$function.expect("every function is there");
        // SAFETY: pointers are null or to values of this function that are as large as said.
        match unsafe { function($($argument),*) } {
            CKR_OK => Ok(()),
            rv => Err(rv),
        }
    }};
}

impl Client {
    /// Loads the module; not initialised.
    pub fn load() -> Client {
        static MODULE: OnceLock<Library> = OnceLock::new();
        let module = MODULE.get_or_init(|| {
            // SAFETY: the library's initialisers are Rust's own.
            unsafe { Library::open(Some(built()), RTLD_NOW | RTLD_LOCAL) }.expect("the module can be loaded")
        });
        let mut list = null_mut();
        // SAFETY: the symbol has this type by the standard, and the list lives as long as the process: `-z nodelete`.
        let list = unsafe {
            let function_list: CK_C_GetFunctionList = *module.get(b"C_GetFunctionList").expect("it is exported");
            assert_eq!(function_list.expect("it is not null")(&mut list), CKR_OK);
            &*list
        };
        Client { list }
    }

    /// Loads and initialises it.
    pub fn start() -> Client {
        let client = Client::load();
        client.initialize().expect("C_Initialize");
        client
    }

    pub fn initialize(self) -> Result<()> {
        call!(self, C_Initialize(null_mut()))
    }

    pub fn finalize(self) -> Result<()> {
        call!(self, C_Finalize(null_mut()))
    }

    /// C_GetSlotList twice: for the length, which takes in new readers, and for the list.
    pub fn slots(self, with_token: bool) -> Result<Vec<CK_SLOT_ID>> {
        let with_token = if with_token { CK_TRUE } else { CK_FALSE };
        let mut count = 0;
        call!(self, C_GetSlotList(with_token, null_mut(), &mut count))?;
        let mut slots = vec![0; count as usize];
        call!(self, C_GetSlotList(with_token, slots.as_mut_ptr(), &mut count))?;
        slots.truncate(count as usize);
        Ok(slots)
    }

    /// The name of the slot's reader.
    pub fn reader(self, slot: CK_SLOT_ID) -> Result<String> {
        let mut info = CK_SLOT_INFO::default();
        call!(self, C_GetSlotInfo(slot, &mut info))?;
        Ok(String::from_utf8_lossy(&info.slotDescription).trim_end().to_owned())
    }

    /// CKF_TOKEN_PRESENT.
    pub fn is_present(self, slot: CK_SLOT_ID) -> Result<bool> {
        let mut info = CK_SLOT_INFO::default();
        call!(self, C_GetSlotInfo(slot, &mut info))?;
        Ok(info.flags & CKF_TOKEN_PRESENT != 0)
    }

    /// The token's label, through C_GetTokenInfo.
    pub fn label(self, slot: CK_SLOT_ID) -> Result<String> {
        let mut info = CK_TOKEN_INFO::default();
        call!(self, C_GetTokenInfo(slot, &mut info))?;
        Ok(String::from_utf8_lossy(&info.label).trim_end().to_owned())
    }

    /// A read/write session.
    pub fn open(self, slot: CK_SLOT_ID) -> Result<CK_SESSION_HANDLE> {
        let mut session = 0;
        call!(self, C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, null_mut(), None, &mut session))?;
        Ok(session)
    }

    pub fn close(self, session: CK_SESSION_HANDLE) -> Result<()> {
        call!(self, C_CloseSession(session))
    }

    pub fn close_all(self, slot: CK_SLOT_ID) -> Result<()> {
        call!(self, C_CloseAllSessions(slot))
    }

    /// The session's state, through C_GetSessionInfo.
    pub fn state(self, session: CK_SESSION_HANDLE) -> Result<CK_STATE> {
        let mut info = CK_SESSION_INFO::default();
        call!(self, C_GetSessionInfo(session, &mut info))?;
        Ok(info.state)
    }

    pub fn login(self, session: CK_SESSION_HANDLE, pin: &str) -> Result<()> {
        let mut pin = pin.as_bytes().to_vec();
        call!(self, C_Login(session, CKU_USER, pin.as_mut_ptr(), pin.len() as CK_ULONG))
    }

    /// A session with a login.
    pub fn logged_in(self, slot: CK_SLOT_ID, pin: &str) -> Result<CK_SESSION_HANDLE> {
        let session = self.open(slot)?;
        self.login(session, pin)?;
        Ok(session)
    }

    pub fn logout(self, session: CK_SESSION_HANDLE) -> Result<()> {
        call!(self, C_Logout(session))
    }

    /// The only object of this class that has a key's id.
    pub fn find(self, session: CK_SESSION_HANDLE, mut class: CK_OBJECT_CLASS) -> Result<CK_OBJECT_HANDLE> {
        let mut template = [CK_ATTRIBUTE {
            type_: CKA_CLASS,
            pValue: (&raw mut class).cast(),
            ulValueLen: size_of::<CK_OBJECT_CLASS>() as CK_ULONG,
        }];
        call!(self, C_FindObjectsInit(session, template.as_mut_ptr(), 1))?;
        let (mut found, mut count) = (0, 0);
        call!(self, C_FindObjects(session, &mut found, 1, &mut count))?;
        call!(self, C_FindObjectsFinal(session))?;
        if count == 0 { Err(CKR_OBJECT_HANDLE_INVALID) } else { Ok(found) }
    }

    /// The session's private key.
    pub fn key(self, session: CK_SESSION_HANDLE) -> Result<CK_OBJECT_HANDLE> {
        self.find(session, CKO_PRIVATE_KEY)
    }

    /// The holder's certificate, as DER.
    pub fn certificate(self, session: CK_SESSION_HANDLE) -> Result<Vec<u8>> {
        let certificate = self.find(session, CKO_CERTIFICATE)?;
        let mut der = vec![0; 4096];
        let mut template =
            [CK_ATTRIBUTE { type_: CKA_VALUE, pValue: der.as_mut_ptr().cast(), ulValueLen: der.len() as CK_ULONG }];
        call!(self, C_GetAttributeValue(session, certificate, template.as_mut_ptr(), 1))?;
        der.truncate(template[0].ulValueLen as usize);
        Ok(der)
    }

    /// A signature by CKM_SHA256_RSA_PKCS with this key.
    pub fn sign_with(self, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE, data: &[u8]) -> Result<Vec<u8>> {
        let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA256_RSA_PKCS, pParameter: null_mut(), ulParameterLen: 0 };
        call!(self, C_SignInit(session, &mut mechanism, key))?;
        let (mut data, mut signature, mut length) = (data.to_vec(), vec![0; 512], 512);
        let room = signature.as_mut_ptr();
        call!(self, C_Sign(session, data.as_mut_ptr(), data.len() as CK_ULONG, room, &mut length))?;
        signature.truncate(length as usize);
        Ok(signature)
    }

    /// The same, with the session's private key.
    pub fn sign(self, session: CK_SESSION_HANDLE, data: &[u8]) -> Result<Vec<u8>> {
        self.sign_with(session, self.key(session)?, data)
    }

    /// C_WaitForSlotEvent, until there is one.
    pub fn wait(self) -> Result<CK_SLOT_ID> {
        let mut slot = CK_SLOT_ID::MAX;
        call!(self, C_WaitForSlotEvent(0, &mut slot, null_mut()))?;
        Ok(slot)
    }

    /// C_WaitForSlotEvent with CKF_DONT_BLOCK.
    pub fn event(self) -> Result<CK_SLOT_ID> {
        let mut slot = CK_SLOT_ID::MAX;
        call!(self, C_WaitForSlotEvent(CKF_DONT_BLOCK, &mut slot, null_mut()))?;
        Ok(slot)
    }
}

/// A client program of `tests/clients`, compiled, ready to be given arguments after the module's path.
pub fn program(scratch: &Scratch, source: &str) -> Command {
    let program = scratch.path().join(Path::new(source).with_extension(""));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(source);
    run(Command::new(tool("gcc", "gcc"))
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-pthread", "-o"])
        .args([&program, &source])
        .arg("-ldl"))
    .ok();
    let mut command = Command::new(program);
    command.arg(built());
    command
}
