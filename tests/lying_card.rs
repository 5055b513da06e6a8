//! A lying card behind a real pcscd: what PC/SC cannot bound holds up its own reader and nothing else, and a card that
//! answers too much, too little or without end is an error and no more. What each fault comes to, command by command, is
//! in `docs/fault-table.md`, from readers where every APDU can be counted.

#![allow(clippy::print_stdout, reason = "what was measured is said")]

mod common;

use common::cards::{PIN, card};
use common::pcscd::with_pcscd;
use common::{Modules, Scratch};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, Result, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use jpki_pkcs11::emulator::image::Kind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn load(scratch: &Scratch) -> Pkcs11 {
    let module = Pkcs11::new(Modules::in_dir(scratch).auth).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    module
}

fn logged_in(module: &Pkcs11, slot: Slot) -> Result<Session> {
    let session = module.open_ro_session(slot)?;
    session.login(UserType::User, Some(&AuthPin::new(PIN.into())))?;
    Ok(session)
}

fn sign(session: &Session) -> Result<Vec<u8>> {
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?;
    let key = keys.first().ok_or(Error::Pkcs11(RvError::KeyHandleInvalid, cryptoki::context::Function::FindObjects))?;
    session.sign(&Mechanism::Sha256RsaPkcs, *key, b"a document")
}

#[test]
fn a_card_silent_for_thirty_seconds_holds_up_its_own_reader_only() {
    with_pcscd("a_card_silent_for_thirty_seconds_holds_up_its_own_reader_only", |pcscd| {
        let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
        let silent_card = pcscd.insert_lying(0, &card(&scratch, Kind::MyNumber), "Sign", "Pause30");
        let _other_card = pcscd.insert_lying(1, &card(&elsewhere, Kind::MyNumber), "Change", "Mute");
        let module = load(&scratch);
        let slots = module.get_slots_with_token().unwrap();
        let [silent, other] = slots[..] else { panic!("{slots:?}") };
        let (waiting, working) = (logged_in(&module, silent).unwrap(), logged_in(&module, other).unwrap());
        sign(&working).unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let begun = Instant::now();
            let ended = &ended;
            let signing = scope.spawn(move || {
                let result = sign(&waiting);
                ended.store(true, Ordering::SeqCst);
                (result, begun.elapsed())
            });
            // The signature is on its way once the reader's own calls have to wait.
            std::thread::sleep(Duration::from_secs(1));
            // The best of some: a call that is held up is held up each time, and this machine has other things to do.
            let prompt = |what: &str, call: &dyn Fn() -> Result<()>| {
                let took = (0..10).map(|_| {
                    let start = Instant::now();
                    call().unwrap_or_else(|error| panic!("{what}: {error}"));
                    start.elapsed()
                });
                let best = took.min().unwrap();
                assert!(best < Duration::from_millis(100), "{what} took {best:?}");
            };
            prompt("C_GetSlotInfo of the silent card", &|| module.get_slot_info(silent).map(drop));
            prompt("C_GetSlotInfo of the other", &|| module.get_slot_info(other).map(drop));
            prompt("C_GetTokenInfo of the other", &|| module.get_token_info(other).map(drop));
            prompt("C_Sign on the other", &|| sign(&working).map(drop));
            prompt("C_GetSlotList", &|| module.get_all_slots().map(drop));
            assert!(!ended.load(Ordering::SeqCst), "the card was not silent");
            // The driver gives up when the card goes, and then so does the call.
            let pulled = Instant::now();
            drop(silent_card);
            let (result, _) = signing.join().unwrap();
            assert!(pulled.elapsed() < Duration::from_secs(3), "{:?}", pulled.elapsed());
            let removed = matches!(result, Err(Error::Pkcs11(RvError::DeviceRemoved | RvError::DeviceError, _)));
            assert!(removed, "{result:?}");
        });
        sign(&working).unwrap();
    });
}

#[test]
fn answers_too_long_too_short_and_without_end_are_errors_and_the_next_card_is_served() {
    with_pcscd("answers_too_long_too_short_and_without_end_are_errors_and_the_next_card_is_served", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let module = load(&scratch);
        for aim in ["TokenInfo", "Certificate", "Verify", "Sign"] {
            for fault in ["Mute", "Long", "Garbage", "EndlessMore", "EndlessLength", "HugeLength", "90"] {
                let lying = pcscd.insert_lying(0, &file, aim, fault);
                let begun = Instant::now();
                let tried = || -> Result<Vec<u8>> {
                    let slot = *module.get_slots_with_token()?.first().ok_or(Error::NotSupported)?;
                    sign(&logged_in(&module, slot)?)
                };
                // A card that says "right" to the right PIN with 64 KiB more has lied about nothing.
                let lied = (aim, fault) != ("Verify", "Long") && (aim, fault) != ("Verify", "HugeLength");
                let result = tried();
                assert_eq!(result.is_err(), lied, "{aim}, {fault}: {result:?}");
                assert!(begun.elapsed() < Duration::from_secs(10), "{aim}, {fault}: {:?}", begun.elapsed());
                pcscd.remove(lying);
            }
        }
        let honest = pcscd.insert(&file);
        let slot = module.get_slots_with_token().unwrap()[0];
        assert_eq!(sign(&logged_in(&module, slot).unwrap()).unwrap().len(), 256);
        let info = module.get_token_info(slot).unwrap();
        assert!(!info.user_pin_count_low() && !info.user_pin_locked(), "a try was spent");
        pcscd.remove(honest);
    });
}

#[test]
fn a_card_pulled_out_at_any_command_of_a_session_wastes_no_try_and_is_served_when_it_is_back() {
    with_pcscd("a_card_pulled_out_at_any_command_of_a_session_wastes_no_try_and_is_served_when_it_is_back", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let module = load(&scratch);
        let tried = || -> Result<Vec<u8>> {
            let slot = *module.get_slots_with_token()?.first().ok_or(Error::NotSupported)?;
            let info = module.get_token_info(slot)?;
            assert!(!info.user_pin_count_low(), "a try was spent");
            sign(&logged_in(&module, slot)?)
        };
        let mut commands = 0;
        loop {
            commands += 1;
            let leaving = pcscd.insert_leaving(&file, commands);
            let begun = Instant::now();
            let result = tried();
            assert!(begun.elapsed() < Duration::from_secs(10), "command {commands}: {:?}", begun.elapsed());
            pcscd.remove(leaving);
            match result {
                // It left after the last one.
                Ok(_) => break,
                Err(Error::NotSupported) => {}
                Err(Error::Pkcs11(error, call)) => {
                    let honest = matches!(
                        error,
                        RvError::DeviceRemoved | RvError::TokenNotPresent | RvError::SessionHandleInvalid
                    );
                    assert!(honest, "command {commands}: {error} of {call}");
                }
                Err(error) => panic!("command {commands}: {error}"),
            }
            let back = pcscd.insert(&file);
            assert_eq!(tried().unwrap().len(), 256, "back after command {commands}");
            pcscd.remove(back);
        }
        println!("pulled out at each of {} commands", commands - 1);
        assert!(commands > 12, "{commands}");
    });
}
