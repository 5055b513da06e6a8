//! What a program costs the card, counted at the card: APDUs by this module and by OpenSC's for the same calls on the
//! same practice card through the same pcscd, each in a new process; and the time that this module spends on a signature
//! outside the card. Fails where a budget is overrun.

#![allow(clippy::print_stdout, reason = "that is what a bench is for")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::cards::{PASSWORD, PIN, card_as};
use common::pcscd::{Pcscd, Service};
use common::{Scratch, built, configured, opensc, run};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use jpki_pkcs11::emulator::image::Kind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

/// Rows of the table: what a client does, and the most APDUs it may take here. `None`: 9 + ⌈n/256⌉ for a certificate of n
/// bytes.
const ROWS: [(&str, Option<usize>); 7] = [
    ("list slots and both token infos", Some(5)),
    ("first authentication signature, with the certificate's value, both infos, logout", None),
    ("each further authentication signature", Some(1)),
    ("first signature-key signature, the same way", None),
    ("each further signature-key signature", Some(1)),
    ("open and close a session", Some(0)),
    ("C_GetSlotInfo and C_GetSessionInfo of an identified card", Some(0)),
];
/// Most time outside the card for one RSA-2048 signature, its check included.
const MOST_TIME: Duration = Duration::from_millis(1);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--client", scenario, module, log] => client(scenario, Path::new(module), Path::new(log)),
        ["--time", module, log] => timed_client(Path::new(module), Path::new(log)),
        _ if Pcscd::of_process().is_some() => counts(),
        _ => {
            let program = env::current_exe().expect("this process has a program");
            print!("{}", run(&mut Service::start().client(program)).ok());
            time();
        }
    }
}

/// Counts for both modules, as a table, and against the budgets.
fn counts() {
    let pcscd = Pcscd::of_process().expect("it was asked for");
    let scratch = Scratch::new();
    // Without the command lost after power-up, which costs either module one more.
    let file = card_as(&scratch, Kind::MyNumber, |order| order.switches.first_command_fails = false);
    let ours = built();
    let opensc = opensc();
    let count = |module: &Path| {
        let mut rows = Vec::new();
        for scenario in ["list", "authentication", "signature", "sessions"] {
            let log = scratch.file("mynumber.log", "");
            let card = pcscd.insert(&file);
            let program = env::current_exe().expect("this process has a program");
            let mut client = Command::new(program);
            client.args(["--client", scenario]).args([module, &log]);
            let counted = run(&mut client).ok();
            rows.extend(counted.lines().map(|line| {
                let (count, bytes) = line.split_once(' ').expect("a count and a size");
                (count.parse::<usize>().expect("a count"), bytes.parse::<usize>().expect("a size"))
            }));
            pcscd.remove(card);
        }
        rows
    };
    println!("| what a client does in a new process | OpenSC 0.23 | ours | ours at most |\n|---|---|---|---|");
    let mut overrun: Vec<&str> = Vec::new();
    for ((row, most), (theirs, ours)) in ROWS.iter().zip(count(&opensc).into_iter().zip(count(&ours))) {
        let most = most.unwrap_or_else(|| 9 + ours.1.div_ceil(256));
        println!("| {row} | {} | {} | {most} |", theirs.0, ours.0);
        overrun.extend((ours.0 > most).then_some(*row));
    }
    assert!(overrun.is_empty(), "over the budget: {overrun:?}");
}

/// One program's calls, in a process of its own. Prints for each row its APDUs and the certificate's size.
fn client(scenario: &str, module: &Path, log: &Path) {
    let apdus = || fs::read_to_string(log).expect("the card keeps a log").matches("> ").count();
    let pkcs11 = loaded(module);
    let row = |before: usize, size: usize| println!("{} {size}", apdus() - before);
    // From the beginning of the log: loading and initialising the module is part of it.
    let start = 0;
    let mut size = 0;
    let slots = pkcs11.get_slots_with_token().expect("there are slots");
    let labels: Vec<(Slot, String)> =
        slots.iter().map(|&slot| (slot, pkcs11.get_token_info(slot).expect("a token").label().to_owned())).collect();
    if scenario == "list" {
        return row(start, size);
    }
    let (purpose, id, secret) = match scenario {
        "signature" => ("Sign", 2, PASSWORD),
        _ => ("Auth", 1, PIN),
    };
    let is_ours = |label: &str| label.contains(purpose);
    let slot = labels.iter().find(|(_, label)| is_ours(label)).expect("a token for it").0;
    let session = pkcs11.open_ro_session(slot).expect("a session");
    if scenario == "sessions" {
        let before = apdus();
        pkcs11.open_ro_session(slot).expect("a session").close().expect("it closes");
        row(before, size);
        let before = apdus();
        pkcs11.get_slot_info(slot).expect("slot info");
        session.get_session_info().expect("session info");
        return row(before, size);
    }
    session.login(UserType::User, Some(&AuthPin::new(secret.into()))).expect("the secret is right");
    let own = [Attribute::Class(ObjectClass::CERTIFICATE), Attribute::Id(vec![id])];
    let certificate = session.find_objects(&own).expect("objects")[0];
    if let Attribute::Value(value) = &session.get_attributes(certificate, &[AttributeType::Value]).expect("a value")[0]
    {
        size = value.len();
    }
    sign(&session, key(&session, id), secret);
    session.logout().expect("it logs out");
    row(start, size);
    session.login(UserType::User, Some(&AuthPin::new(secret.into()))).expect("the secret is right");
    let key = key(&session, id);
    sign(&session, key, secret);
    let before = apdus();
    sign(&session, key, secret);
    row(before, size);
}

fn loaded(module: &Path) -> Pkcs11 {
    let pkcs11 = Pkcs11::new(module).expect("the module can be loaded");
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("it can be initialised");
    pkcs11
}

fn key(session: &Session, id: u8) -> ObjectHandle {
    let key = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(vec![id])];
    session.find_objects(&key).expect("objects")[0]
}

/// Signs as a program does that heeds CKA_ALWAYS_AUTHENTICATE.
fn sign(session: &Session, key: ObjectHandle, secret: &str) {
    let always = session.get_attributes(key, &[AttributeType::AlwaysAuthenticate]).expect("an answer");
    session.sign_init(&Mechanism::Sha256RsaPkcs, key).expect("it can sign");
    if always == [Attribute::AlwaysAuthenticate(true)] {
        session.login(UserType::ContextSpecific, Some(&AuthPin::new(secret.into()))).expect("the secret is right");
    }
    session.sign_update(b"document").expect("it takes data");
    session.sign_final().expect("a signature");
}

/// Measures the time spent on a signature outside the card, with the practice card embedded in the module's process.
fn time() {
    let scratch = Scratch::new();
    let file = card_as(&scratch, Kind::MyNumber, |_| {});
    let configuration = scratch.configuration(&format!("practice = [{:?}]\nlog_level = \"trace\"\n", file.display()));
    let log = scratch.path().join("log");
    let mut client = Command::new(env::current_exe().expect("this process has a program"));
    client.args(["--time".as_ref(), built().as_os_str(), log.as_os_str()]);
    print!("{}", run(configured(&mut client, &configuration).env("JPKI_PKCS11_LOG", &log)).ok());
}

/// Signs, and takes from the whole time what the module's log says the card took.
fn timed_client(module: &Path, log: &Path) {
    const SIGNATURES: u32 = 200;
    let pkcs11 = loaded(module);
    let slot = pkcs11.get_slots_with_token().expect("there are slots")[0];
    let session = pkcs11.open_ro_session(slot).expect("a session");
    session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).expect("the PIN is right");
    let key = key(&session, 1);
    let written = fs::read_to_string(log).expect("the module keeps a log").len();
    let start = Instant::now();
    for _ in 0..SIGNATURES {
        session.sign(&Mechanism::Sha256RsaPkcs, key, b"document").expect("a signature");
    }
    let whole = start.elapsed();
    let log = fs::read_to_string(log).expect("the module keeps a log");
    let answers: Vec<Duration> =
        log[written..].lines().filter_map(|line| duration(line.split_once("] in ")?.1)).collect();
    assert_eq!(answers.len(), SIGNATURES as usize, "one APDU a signature");
    let outside = whole.saturating_sub(answers.iter().sum()) / SIGNATURES;
    println!(
        "\noutside the card, for one RSA-2048 signature with its check and the log: {outside:?} (at most {MOST_TIME:?})"
    );
    assert!(outside < MOST_TIME, "over the budget");
}

/// A duration as `Debug` writes it.
fn duration(text: &str) -> Option<Duration> {
    let units = [("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let (number, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * factor))
}
