//! A card that lies, and one that is pulled out at every moment: what each caller is told, that no try is wasted, no wrong
//! signature leaves, nothing hangs, and the next card is served. The tables in `docs/fault-table.md` are what these tests
//! saw.

use super::*;
use crate::emulator::fault::{Aim, Fault, Faults, FaultyCard};
use crate::emulator::local::Incident;
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Verifier;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

const DOCUMENT: &[u8] = b"a document";
/// The time-outs of these readers: another's transaction, and a silent card.
const LOCK_TIMEOUT: Duration = Duration::from_millis(200);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);
/// Beyond the time-outs, for this machine's own work. No call of these waits for more than a few answers in vain.
const PATIENCE: Duration = Duration::from_secs(5);

/// A ground whose card lies when told to.
struct Lying {
    ground: Ground,
    faults: Faults,
    slot: CK_SLOT_ID,
    /// The card's file, where it has one.
    file: PathBuf,
}

/// What came of one session on a lying card.
struct Outcome {
    /// The first call that failed, and how.
    failed: Option<(&'static str, Rv)>,
    /// VERIFY commands with a secret, and how many of them cost a try.
    verifies: usize,
    spent: u8,
    recovery: Recovery,
}

/// What it takes to sign once the card is honest again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    Nothing,
    Login,
    NewSession,
    Reinsertion,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Recovery::Nothing => "goes on",
            Recovery::Login => "after C_Login",
            Recovery::NewSession => "in a new session",
            Recovery::Reinsertion => "when put in again",
        })
    }
}

impl Lying {
    /// One in memory.
    fn new(slot: CK_SLOT_ID) -> Lying {
        let faults = Faults::default();
        Lying::with(FaultyCard::new(card(&MY_NUMBER), &faults), &faults, slot, tempfile::tempdir().unwrap())
    }

    /// One in a file, from which it can be put in again after it was pulled out.
    fn in_file(slot: CK_SLOT_ID) -> Lying {
        let (faults, directory) = (Faults::default(), tempfile::tempdir().unwrap());
        let mut image = MY_NUMBER.clone();
        image.switches.first_command_fails = false;
        let card = PracticeCard::create(&directory.path().join("card"), &image).unwrap();
        Lying::with(FaultyCard::new(card, &faults), &faults, slot, directory)
    }

    fn with(card: FaultyCard<PracticeCard>, faults: &Faults, slot: CK_SLOT_ID, directory: tempfile::TempDir) -> Lying {
        let readers = PracticeReaders::with_timeouts(1, LOCK_TIMEOUT, ANSWER_TIMEOUT);
        readers.insert(READER, Box::new(card));
        let file = directory.path().join("card");
        let config = Config {
            state_dir: Some(directory.path().join("state")),
            // Where logins are seen, a PIN may be held.
            places: vec![directory.path().join("run")],
            ..Config::default()
        };
        let module = Module::over(config, Tokens::Both, Box::new(readers.clone()));
        Lying { ground: Ground { module, readers, _directory: directory }, faults: faults.clone(), slot, file }
    }

    fn secret(&self) -> &'static [u8] {
        if self.slot == AUTH { PIN } else { PASSWORD }
    }

    /// The calls of a session, in the order in which a program makes them, up to the first that fails.
    fn live(&self) -> (Option<CK_SESSION_HANDLE>, Option<(&'static str, Rv)>) {
        let module = &self.ground.module;
        let mut session = None;
        let mut run = || -> std::result::Result<(), (&'static str, Rv)> {
            let call = |name, result: Result<()>| result.map_err(|error| (name, error));
            timed(|| call("C_GetSlotList", module.slot_list(true, true).map(drop)))?;
            let opened = timed(|| module.open_session(self.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION));
            let handle = opened.map_err(|error| ("C_OpenSession", error))?;
            session = Some(handle);
            timed(|| call("C_GetTokenInfo", module.token_info(self.slot).map(drop)))?;
            timed(|| call("C_Login", self.ground.login(handle, self.secret())))?;
            timed(|| call("C_FindObjects", self.try_key(handle).map(drop)))?;
            timed(|| call("C_Sign", self.sign(handle)))?;
            timed(|| call("C_SetPIN", module.set_pin(handle, Some(self.secret()), Some(self.secret()))))?;
            timed(|| call("C_Logout", module.logout(handle)))
        };
        let failed = run().err();
        (session, failed)
    }

    fn try_key(&self, session: CK_SESSION_HANDLE) -> Result<CK_OBJECT_HANDLE> {
        let module = &self.ground.module;
        module.find_init(session, &template(&[(CKA_CLASS, &CKO_PRIVATE_KEY.to_ne_bytes())]))?;
        let found = module.find(session, 1)?;
        module.find_final(session)?;
        found.first().copied().ok_or(Rv::KEY_HANDLE_INVALID)
    }

    /// Signs; whatever leaves as a signature is one by the holder's key over the document.
    fn sign(&self, session: CK_SESSION_HANDLE) -> Result<()> {
        let key = self.try_key(session)?;
        self.ground.module.sign_init(session, sha256_pkcs1(), key)?;
        let signature = output(Some(512), |out| self.ground.module.sign(session, DOCUMENT, out))?;
        let signature = rsa::pkcs1v15::Signature::try_from(&signature[..]).unwrap();
        holders_key(self.slot).verify(DOCUMENT, &signature).expect("a wrong signature has left the module");
        Ok(())
    }

    /// Tries left on the card, as another program would ask.
    fn tries(&self) -> Sw {
        self.ground.rival(SELECT_JPKI);
        self.ground.rival(if self.slot == AUTH { "00200098" } else { "0020009B" })
    }

    /// Lives on the lying card, then finds out what it takes to sign on it, and puts in a good one.
    fn outcome(&self, begin: impl FnOnce(&Lying)) -> Outcome {
        let full = self.tries().tries_left().unwrap();
        self.ground.readers.forget();
        begin(self);
        let (session, failed) = self.live();
        self.faults.end();
        self.ground.readers.on_command(READER, |_| Incident::None);
        let verifies = self.ground.readers.verifies();
        if self.ground.readers.rival(READER, &hex(SELECT_JPKI)).is_none() {
            self.put_in_again();
        }
        let spent = full - self.tries().tries_left().unwrap();
        let recovery = self.recover(session);
        self.serve_another();
        Outcome { failed, verifies, spent, recovery }
    }

    fn put_in_again(&self) {
        let card = match self.ground.readers.remove(READER) {
            Some(card) => card,
            None => Box::new(PracticeCard::open(&self.file).unwrap()),
        };
        self.ground.readers.insert(READER, card);
    }

    fn recover(&self, session: Option<CK_SESSION_HANDLE>) -> Recovery {
        // As programs do, with a look at the flags first.
        let again = |session| {
            let login =
                self.ground.module.token_info(self.slot).and_then(|_| self.ground.login(session, self.secret()));
            login.and_then(|()| self.sign(session)).is_ok()
        };
        let open = || self.ground.module.open_session(self.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
        if session.is_some_and(|session| self.sign(session).is_ok()) {
            Recovery::Nothing
        } else if session.is_some_and(again) {
            Recovery::Login
        } else if open().is_ok_and(again) {
            Recovery::NewSession
        } else {
            self.put_in_again();
            assert!(open().is_ok_and(again), "the card is not even served when it is put in again");
            Recovery::Reinsertion
        }
    }

    /// The next card in this reader works from beginning to end.
    fn serve_another(&self) {
        self.ground.readers.insert(READER, Box::new(card(&MY_NUMBER)));
        assert_eq!(self.live().1, None, "the next operation with a good card");
    }
}

fn timed<T>(call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    let took = start.elapsed();
    assert!(took < LOCK_TIMEOUT + ANSWER_TIMEOUT + PATIENCE, "a call took {took:?}");
    result
}

/// The key of the certificate on the card, by way of an honest one.
fn holders_key(slot: CK_SLOT_ID) -> &'static rsa::pkcs1v15::VerifyingKey<sha2::Sha256> {
    static KEYS: LazyLock<[rsa::pkcs1v15::VerifyingKey<sha2::Sha256>; 2]> = LazyLock::new(|| {
        [(AUTH, PIN), (SIGN, PASSWORD)].map(|(slot, secret)| {
            let ground = Ground::new(card(&MY_NUMBER));
            let session = ground.session(slot);
            ground.login(session, secret).unwrap();
            let info = ground.attribute(session, ground.key(session), CKA_PUBLIC_KEY_INFO).unwrap();
            rsa::pkcs1v15::VerifyingKey::new(rsa::PublicKey::from_public_key_der(&info).unwrap())
        })
    });
    &KEYS[slot as usize]
}

/// A signature over the document by another holder's key of the same size.
fn anothers_signature() -> Vec<u8> {
    let ground = Ground::new(card(&OTHER));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    [ground.sign(session, DOCUMENT).unwrap(), vec![0x90, 0x00]].concat()
}

/// The faults that are tried on every command.
fn faults() -> Vec<Fault> {
    let mut faults = vec![
        Fault::Mute,
        Fault::Pause(Duration::from_secs(30)),
        Fault::OneByte,
        Fault::Empty,
        Fault::Short,
        Fault::Long,
        Fault::Garbage,
        Fault::EndlessMore,
        Fault::EndlessLength,
        Fault::HugeLength,
        Fault::Flipped,
    ];
    faults.extend(
        [0x6300, 0x63C0, 0x6700, 0x6982, 0x6984, 0x6A82, 0x6A86, 0x6D00, 0x6F00, 0xFFFF]
            .map(|sw| Fault::Status(Sw(sw))),
    );
    faults
}

fn tables() -> String {
    let mut text = String::from(
        "# What a card that lies, or goes, can do\n\n\
         Generated by the tests of `src/pkcs11/tests/faults.rs`, which fail where this page is not what they see\n\
         (`UPDATE_GOLDEN=1 cargo test --lib faults` writes it anew).\n\n\
         One program lists the slots, opens a session, asks for the token information, logs in with the right PIN, finds\n\
         the key, signs, changes the PIN and logs out, on a card that acts on every command, and whose answers to one\n\
         command are spoilt every time. The first call that fails is shown. Then the card is honest again, and the last\n\
         column says what it takes to sign on it. In every row no wrong signature leaves, no call takes longer than the\n\
         time-outs, and the next card put into the reader is served.\n",
    );
    for aim in Aim::ALL {
        write!(
            text,
            "\n## {aim}\n\n\
             | answer | first failure | VERIFYs sent | tries spent | once honest |\n|---|---|---|---|---|\n"
        )
        .unwrap();
        for fault in faults() {
            row(&mut text, &fault.to_string(), aim, &fault);
        }
        if aim == Aim::Sign {
            row(&mut text, "another key's signature", aim, &Fault::Answer(anothers_signature()));
        }
    }
    text.push_str(&wrong_pins());
    text.push_str(&removals());
    text
}

fn row(text: &mut String, name: &str, aim: Aim, fault: &Fault) {
    let outcome = Lying::new(AUTH).outcome(|lying| lying.faults.begin(aim, fault.clone()));
    assert!(outcome.verifies <= 2, "{aim}, {name}: one VERIFY a secret that was typed");
    writeln!(text, "| {name} {}", outcome.cells()).unwrap();
}

impl Outcome {
    fn cells(&self) -> String {
        let failed = match self.failed {
            Some((call, rv)) => format!("{call}: {rv}"),
            None => "none".to_owned(),
        };
        format!("| {failed} | {} | {} | {} |", self.verifies, self.spent, self.recovery)
    }
}

/// The card is pulled out at the N-th command of a session, for every N.
fn removals() -> String {
    let mut text = String::from(
        "\n## The card is pulled out\n\n\
         The same session; the card goes at its N-th command and is put in again once a call has failed.\n\n\
         | N | command | goes before the card has seen it | VERIFYs sent | tries spent | once back \
         | goes before its answer is through | VERIFYs sent | tries spent | once back |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let honest = Lying::new(AUTH);
    assert_eq!(honest.live().1, None);
    let commands: Vec<String> = honest.ground.readers.log().into_iter().map(|exchange| exchange.command).collect();
    assert!(commands.len() > 15, "{commands:#?}");
    for (index, command) in commands.iter().enumerate() {
        write!(text, "| {} | `{command}` ", index + 1).unwrap();
        for incident in [Incident::RemoveBefore, Incident::RemoveAfter] {
            let lying = Lying::in_file(AUTH);
            let outcome = lying.outcome(|lying| {
                let mut seen = 0;
                lying.ground.readers.on_command(READER, move |_| {
                    seen += 1;
                    if seen == index + 1 { incident.clone() } else { Incident::None }
                });
            });
            text.push_str(outcome.cells().trim_end_matches('|'));
        }
        text.push_str("|\n");
    }
    text
}

#[test]
fn the_table_of_faults_is_what_the_documentation_says() {
    let tables = tables();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fault-table.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &tables).unwrap();
    }
    let documented = std::fs::read_to_string(&path).unwrap();
    for (number, (seen, said)) in tables.lines().zip(documented.lines()).enumerate() {
        assert_eq!(seen, said, "line {}", number + 1);
    }
    assert_eq!(tables.len(), documented.len());
}

#[test]
fn the_signature_token_stands_the_same_faults() {
    for aim in [Aim::Every, Aim::SelectApplication, Aim::Certificate, Aim::Verify, Aim::Change, Aim::Sign] {
        for fault in faults() {
            let outcome = Lying::new(SIGN).outcome(|lying| lying.faults.begin(aim, fault.clone()));
            assert_eq!(outcome.spent, 0, "{aim}, {fault}");
            assert!(outcome.verifies <= 2, "{aim}, {fault}");
        }
    }
}

#[test]
fn status_words_at_random_waste_no_try_and_let_no_wrong_signature_out() {
    // A fixed walk through all of them: the multiplier is odd, so no word comes twice.
    for step in 0..64u16 {
        let sw = Sw(step.wrapping_mul(40_503).wrapping_add(0x6000));
        let aim = Aim::ALL[usize::from(step) % Aim::ALL.len()];
        let outcome = Lying::new(AUTH).outcome(|lying| lying.faults.begin(aim, Fault::Status(sw)));
        assert!(outcome.spent == 0 && outcome.verifies <= 2, "{aim}, {sw}");
    }
}

/// A wrong PIN, on a card that acts on it and whose answer is spoilt.
fn wrong_pins() -> String {
    let mut text = String::from(
        "\n## VERIFY with a wrong secret\n\n\
         C_Login with a wrong PIN. A card that answers 9000 to it is believed, since the login is the card's affair; what it\n\
         signs is checked all the same.\n\n\
         | answer | C_Login | VERIFYs sent | tries spent |\n|---|---|---|---|\n",
    );
    for fault in faults() {
        let lying = Lying::new(AUTH);
        let session = lying.ground.session(AUTH);
        let full = lying.tries().tries_left().unwrap();
        lying.faults.begin(Aim::Verify, fault.clone());
        let answer = Rv::from(timed(|| lying.ground.login(session, b"9999")));
        lying.faults.end();
        let (verifies, spent) = (lying.ground.readers.verifies(), full - lying.tries().tries_left().unwrap());
        assert!(verifies == 1 && spent <= 1, "{fault}: one VERIFY, one try, whatever it says");
        writeln!(text, "| {fault} | {answer} | {verifies} | {spent} |").unwrap();
    }
    text
}

#[test]
fn a_silent_card_holds_up_its_own_reader_only() {
    let faults = Faults::default();
    let readers = PracticeReaders::with_timeouts(2, LOCK_TIMEOUT, Duration::from_secs(20));
    readers.insert(READER, Box::new(FaultyCard::new(card(&MY_NUMBER), &faults)));
    readers.insert(&PracticeReaders::name(1), Box::new(card(&OTHER)));
    let module = Module::over(Config::default(), Tokens::Both, Box::new(readers.clone()));
    let ground = Ground { module, readers, _directory: tempfile::tempdir().unwrap() };
    let (silent, other) = (ground.session(AUTH), ground.session(2));
    ground.login(silent, PIN).unwrap();
    ground.login(other, PIN).unwrap();
    ground.sign(silent, DOCUMENT).unwrap();
    ground.sign(other, DOCUMENT).unwrap();
    faults.begin(Aim::Sign, Fault::Pause(Duration::from_secs(30)));
    std::thread::scope(|scope| {
        let (asked, heard) = std::sync::mpsc::channel();
        ground.readers.on_command(READER, move |command| {
            if command.ins == crate::apdu::COMPUTE_DIGITAL_SIGNATURE {
                asked.send(()).unwrap();
            }
            Incident::None
        });
        let signing = scope.spawn(|| ground.sign(silent, DOCUMENT));
        heard.recv().unwrap();
        // The best of some: a call that is held up is held up each time, and this machine has other things to do.
        let prompt = |what: &str, call: &dyn Fn()| {
            let took = (0..5).map(|_| {
                let start = Instant::now();
                call();
                start.elapsed()
            });
            let best = took.min().unwrap();
            assert!(best < Duration::from_millis(100), "{what}: {best:?}");
        };
        prompt("C_GetSlotInfo of the silent card", &|| ground.module.slot_info(AUTH).map(|_| ()).unwrap());
        prompt("C_GetSessionInfo on it", &|| ground.module.session_info(silent).map(|_| ()).unwrap());
        prompt("C_GetSlotList", &|| ground.module.slot_list(true, true).map(drop).unwrap());
        prompt("C_GetTokenInfo of the other", &|| ground.module.token_info(2).map(|_| ()).unwrap());
        prompt("C_Sign on the other", &|| ground.sign(other, DOCUMENT).map(drop).unwrap());
        assert!(!signing.is_finished());
        ground.readers.remove(READER);
        assert_eq!(signing.join().unwrap(), Err(Rv::DEVICE_REMOVED), "removal ends the silence");
    });
}
