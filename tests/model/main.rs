//! A model of who is logged in to what, and random scripts that are played against the built module and held against it.
//!
//! A script says what processes of a user's, other programs and people do: see [`step`] and the scripts in
//! `tests/model/scripts`. Each step is taken in earnest, by real processes with the built module, a real pcscd and practice
//! cards. After each step the books ([`books`]) say what may be, and a witness that has no secret ([`witness`]), the cards'
//! own counters and their logs say what is:
//!
//! * no key signs for everybody to which nobody is logged in, but for the authentication key while a signature login
//!   lives; after an end that nobody could see to (SIGKILL, say), from the next look of any process on;
//! * no try is spent on what nobody has typed for this token since it was last refused, but on a held PIN after a change
//!   by a program that has none of our files;
//! * no signature but by the right key over the right data, and for who is logged in;
//! * no call waits beyond its bound;
//! * a login ends only for a reason.
//!
//! `cargo test --test model` plays random scripts for a minute, the same in each run. By hand:
//!
//! * `JPKI_MODEL_SECONDS=3600` for an hour of others;
//! * `JPKI_MODEL_SEED=…` for the scripts of an earlier run, which has printed its seed;
//! * `JPKI_MODEL_SCRIPT=FILE cargo test --test model a_script -- --nocapture` for one script.
//!
//! A script that goes wrong is made as short as it can be and still goes wrong, and printed: put it into
//! `tests/model/scripts`, where it is played by every run.

#![allow(clippy::print_stdout, reason = "what was played is said")]

#[path = "../common/mod.rs"]
mod common;

mod agent;
mod books;
mod card;
mod deeds;
mod entries;
mod others;
mod processes;
mod run;
mod script;
mod step;
mod witness;
mod world;

use common::pcscd::{with_pcscd, with_pcscd_for};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use run::{Failure, play};
use script::{Script, script};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs};
use world::Ground;

/// A number from the environment of whoever runs the tests.
fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
}

#[test]
fn random_scripts_go_as_the_model_says() {
    let long = number("JPKI_MODEL_SECONDS");
    let seconds = long.unwrap_or(60);
    // With time to make a script short.
    with_pcscd_for("random_scripts_go_as_the_model_says", seconds + 500, |pcscd| {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        // A plain run plays the same scripts each time, so that what it finds is the change's; by hand, others each time.
        let seed = number("JPKI_MODEL_SEED").unwrap_or_else(|| if long.is_some() { now() } else { 2 });
        println!("JPKI_MODEL_SEED={seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut ground = Ground::of(pcscd);
        let (begun, mut scripts, mut steps) = (Instant::now(), 0, 0);
        while begun.elapsed() < Duration::from_secs(seconds) {
            let mut tree = script().new_tree(&mut runner).expect("a script can be made");
            let script = tree.current();
            steps += script.steps.len();
            scripts += 1;
            if let Err(failure) = play(&mut ground, &script) {
                let (script, failure) = shortest(&mut ground, &mut tree, (script, failure));
                panic!("after {steps} steps with the seed {seed}:\n{}", told(&script, &failure));
            }
        }
        println!("{steps} steps in {scripts} scripts went as they should");
    });
}

/// The script and where it goes wrong.
fn told(script: &Script, failure: &Failure) -> String {
    let line = script.steps.get(failure.at).map_or("at the end".into(), |step| format!("at {step:?}: {step}"));
    format!("# {line}: {}\n{script}", failure.why)
}

/// The shortest script that can be found in five minutes by leaving out of one that goes wrong what it can do without.
fn shortest(
    ground: &mut Ground,
    tree: &mut impl ValueTree<Value = Script>,
    first: (Script, Failure),
) -> (Script, Failure) {
    let begun = Instant::now();
    let mut found = first;
    println!("{}\nshrinking it", told(&found.0, &found.1));
    let mut more = tree.simplify();
    while more && begun.elapsed() < Duration::from_secs(number("JPKI_MODEL_SHRINK").unwrap_or(240)) {
        let script = tree.current();
        more = match play(ground, &script) {
            Err(failure) if failure.is_like(&found.1) => {
                found = (script, failure);
                tree.simplify()
            }
            _ => tree.complicate(),
        };
    }
    found
}

/// Plays the script in a file.
fn replay(ground: &mut Ground, file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let script: Script = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    play(ground, &script)
        .map_err(|failure| format!("{}\n{}\n{}", file.display(), told(&script, &failure), failure.transcript))
}

#[test]
fn scripts_that_went_wrong_once_go_as_the_model_says() {
    with_pcscd("scripts_that_went_wrong_once_go_as_the_model_says", |pcscd| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model/scripts");
        let entries = fs::read_dir(directory).expect("there are scripts");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it is readable").path()).collect();
        files.sort();
        let mut ground = Ground::of(pcscd);
        let wrong: Vec<String> = files.iter().filter_map(|file| replay(&mut ground, file).err()).collect();
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
        println!("{} scripts", files.len());
    });
}

#[test]
fn a_script_named_by_the_environment_goes_as_the_model_says() {
    let Ok(file) = env::var("JPKI_MODEL_SCRIPT") else { return };
    with_pcscd("a_script_named_by_the_environment_goes_as_the_model_says", |pcscd| {
        replay(&mut Ground::of(pcscd), Path::new(&file)).unwrap_or_else(|wrong| panic!("{wrong}"));
    });
}
