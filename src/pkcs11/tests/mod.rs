//! The module's decisions, each shown by a test of its name, over practice cards in the in-process reader: every APDU
//! counted, and rivals, removals and lies wherever a test wants them.

mod faults;
mod forged;
mod fuzzed;
mod lost_login;
mod next;
mod removal;
mod rivals;
mod secrets;
mod signing;
mod switches;
mod tokens;

use super::edge::ffi::testing::{ask, output, template};
use super::edge::rv::{Result, Rv};
use super::signing::mechanism::Parsed;
use super::state::module::Module;
use crate::apdu::Sw;
use crate::config::{Config, Tokens};
use crate::emulator::image::{Image, Kind};
use crate::emulator::issue::{Order, personalise};
use crate::emulator::local::PracticeReaders;
use crate::emulator::seed::Seed;
use crate::emulator::switches::Switches;
use crate::emulator::{Device, PracticeCard};
use cryptoki_sys::*;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The moment at which the tests' cards are issued.
const NOW: u64 = 1_790_000_000;
const PIN: &[u8] = b"1234";
const PASSWORD: &[u8] = b"ABC123";

/// One finished card a kind; making keys is what takes the time.
static MY_NUMBER: LazyLock<Image> = LazyLock::new(|| issue(Kind::MyNumber, 1));
static JUKI: LazyLock<Image> = LazyLock::new(|| issue(Kind::Juki, 2));
static ANDROID: LazyLock<Image> = LazyLock::new(|| issue(Kind::Android, 3));
static IPHONE: LazyLock<Image> = LazyLock::new(|| issue(Kind::Ios, 4));
/// Another holder's card.
static OTHER: LazyLock<Image> = LazyLock::new(|| issue(Kind::MyNumber, 5));

fn issue(kind: Kind, seed: u64) -> Image {
    personalise(&Order::new(kind, Seed::from(seed.to_string().as_str()), NOW)).unwrap()
}

/// This card, without the 6F00 after power-up, so that counts are the plain ones.
fn card(image: &Image) -> PracticeCard {
    with(image, |_| {})
}

/// This card with other switches.
fn with(image: &Image, set: impl FnOnce(&mut Switches)) -> PracticeCard {
    let mut image = image.clone();
    image.switches.first_command_fails = false;
    set(&mut image.switches);
    PracticeCard::in_memory(image).unwrap()
}

/// A module over practice readers.
struct Ground {
    module: Module,
    readers: PracticeReaders,
    _directory: tempfile::TempDir,
}

const AUTH: CK_SLOT_ID = 0;
const SIGN: CK_SLOT_ID = 1;
const READER: &str = "Practice Reader 00 00";

impl Ground {
    /// One reader with this card, both tokens shown.
    fn new(device: impl Device + 'static) -> Ground {
        Ground::set(Tokens::Both, vec![Box::new(device)], |_| {})
    }

    /// A reader for each device, this view, and a changed configuration.
    fn set(view: Tokens, devices: Vec<Box<dyn Device>>, change: impl FnOnce(&mut Config)) -> Ground {
        let readers = PracticeReaders::with_lock_timeout(devices.len(), Duration::from_millis(200));
        for (index, device) in devices.into_iter().enumerate() {
            readers.insert(&PracticeReaders::name(index), device);
        }
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config {
            state_dir: Some(directory.path().join("state")),
            places: vec![directory.path().join("run")],
            ..Config::default()
        };
        change(&mut config);
        let module = Module::over(config, view, Box::new(readers.clone()));
        Ground { module, readers, _directory: directory }
    }

    /// A read/write session with the token in `slot`.
    fn session(&self, slot: CK_SLOT_ID) -> CK_SESSION_HANDLE {
        self.module.open_session(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION).unwrap()
    }

    fn login(&self, session: CK_SESSION_HANDLE, pin: &[u8]) -> Result<()> {
        self.module.login(session, CKU_USER, Some(pin))
    }

    fn find(&self, session: CK_SESSION_HANDLE, rows: &[(CK_ATTRIBUTE_TYPE, &[u8])]) -> Vec<CK_OBJECT_HANDLE> {
        self.module.find_init(session, &template(rows)).unwrap();
        let found = self.module.find(session, 100).unwrap();
        self.module.find_final(session).unwrap();
        found
    }

    fn class(&self, session: CK_SESSION_HANDLE, class: CK_OBJECT_CLASS) -> Vec<CK_OBJECT_HANDLE> {
        self.find(session, &[(CKA_CLASS, &class.to_ne_bytes())])
    }

    fn attribute(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        attribute: CK_ATTRIBUTE_TYPE,
    ) -> Result<Vec<u8>> {
        let (result, mut values) = ask(&[attribute], |questions| self.module.attributes(session, object, questions));
        result.map(|()| values.remove(0).unwrap())
    }

    fn label(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> String {
        String::from_utf8(self.attribute(session, object, CKA_LABEL).unwrap()).unwrap()
    }

    /// The session's private key; the user must be logged in.
    fn key(&self, session: CK_SESSION_HANDLE) -> CK_OBJECT_HANDLE {
        let keys = self.class(session, CKO_PRIVATE_KEY);
        assert_eq!(keys.len(), 1);
        keys[0]
    }

    fn sign(&self, session: CK_SESSION_HANDLE, data: &[u8]) -> Result<Vec<u8>> {
        self.sign_with(session, sha256_pkcs1(), data)
    }

    fn sign_with(&self, session: CK_SESSION_HANDLE, mechanism: Parsed, data: &[u8]) -> Result<Vec<u8>> {
        self.module.sign_init(session, mechanism, self.key(session))?;
        output(Some(512), |out| self.module.sign(session, data, out))
    }

    fn flags(&self, slot: CK_SLOT_ID) -> CK_FLAGS {
        self.module.token_info(slot).unwrap().flags
    }

    fn state(&self, session: CK_SESSION_HANDLE) -> CK_STATE {
        self.module.session_info(session).unwrap().state
    }

    /// C_WaitForSlotEvent, all its parts.
    fn event(&self, dont_block: bool) -> Result<CK_SLOT_ID> {
        let mut wait = None;
        loop {
            if let Some(slot) = self.module.wait_for_slot_event(dont_block, &mut wait)? {
                return Ok(slot);
            }
        }
    }

    /// Has a rival program send a command.
    fn rival(&self, command: &str) -> Sw {
        let bytes = hex(command);
        let answer = self.readers.rival(READER, &bytes).unwrap();
        crate::apdu::Response::parse(answer).unwrap().sw
    }

    /// APDUs that `call` takes.
    fn apdus<R>(&self, call: impl FnOnce() -> R) -> (usize, R) {
        let before = self.readers.apdus();
        let result = call();
        (self.readers.apdus() - before, result)
    }
}

/// This thread, as the system names it.
fn this_thread() -> PathBuf {
    std::fs::canonicalize("/proc/thread-self").unwrap()
}

/// Waits until `thread` has nothing to do but to wait, twice in a row: a lock that is held for a moment is soon had.
fn await_sleep(thread: &Path) {
    let mut looks = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    while looks < 2 {
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap();
        let (_, state) = stat.rsplit_once(") ").unwrap();
        looks = if state.starts_with('S') { looks + 1 } else { 0 };
        assert!(Instant::now() < deadline, "it never waits");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const SELECT_ISD: &str = "00A4040C07A0000001510000";
const SELECT_JPKI: &str = "00A4040C0AD392F000260100000001";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn sha256_pkcs1() -> Parsed {
    Parsed::new((CKM_SHA256_RSA_PKCS, &[])).unwrap()
}

fn sha256_pss() -> Parsed {
    let parameter = [CKM_SHA256, CKG_MGF1_SHA256, 32].map(CK_ULONG::to_ne_bytes).concat();
    Parsed::new((CKM_SHA256_RSA_PKCS_PSS, &parameter)).unwrap()
}

fn text(field: &[u8]) -> String {
    String::from_utf8(field.to_vec()).unwrap().trim_end().to_owned()
}
