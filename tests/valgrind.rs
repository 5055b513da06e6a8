//! The built module under valgrind's memcheck: no byte read or written that is not its own, and no memory that a program
//! running for days would lose, call by call.

mod common;

use common::cards::{PASSWORD, PIN, card};
use common::{Modules, Scratch, configured, run, tool};
use jpki_pkcs11::emulator::image::Kind;
use std::path::Path;
use std::process::Command;

/// What memcheck tells of memory in use at the end: what nobody can free any more, or everything.
const LOST: &str = "definite,indirect";
const ALL: &str = "all";

/// A command under memcheck, at a practice card in the embedded reader.
fn memcheck(scratch: &Scratch, report: &Path, kinds: &str, program: &Path) -> Command {
    let configuration = scratch.path().join("config.toml");
    if !configuration.exists() {
        card(scratch, Kind::MyNumber);
        scratch.configuration("practice = [\"mynumber.card\"]\n");
    }
    let mut command = Command::new(tool("valgrind", "valgrind"));
    configured(&mut command, &configuration)
        .args(["--leak-check=full", "--num-callers=40"])
        .arg(format!("--show-leak-kinds={kinds}"))
        .arg(format!("--log-file={}", report.display()))
        .arg(program)
        .env("HOME", scratch.path())
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("XDG_STATE_HOME");
    command
}

/// What memcheck found with a frame of the module in it.
fn findings(report: &Path) -> Vec<String> {
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("HEAP SUMMARY"), "memcheck did not come to its end\n{report}");
    // Between its paragraphs stand lines with nothing but the process number.
    let lines: Vec<&str> = report.lines().map(|line| line.splitn(3, "==").nth(2).unwrap_or(line).trim()).collect();
    let paragraphs = lines.split(|line| line.is_empty()).map(|paragraph| paragraph.join("\n"));
    paragraphs.filter(|paragraph| paragraph.contains("at 0x") && paragraph.contains("jpki_pkcs11")).collect()
}

/// Bytes and blocks that were in use when the program ended.
fn in_use_at_exit(report: &Path) -> (u64, u64) {
    let report = std::fs::read_to_string(report).unwrap();
    let line = report.lines().find_map(|line| line.split_once("in use at exit: ")).expect("a heap summary").1;
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.replace(',', "").parse().ok()).collect();
    (numbers[0], numbers[1])
}

#[test]
fn pkcs11_tool_lists_and_signs_without_a_stray_byte() {
    let scratch = Scratch::new();
    let modules = Modules::in_dir(&scratch);
    let report = scratch.path().join("report");
    let data = scratch.file("data", "practice makes perfect");
    let out = scratch.path().join("signature");
    for (module, secret) in [(&modules.auth, PIN), (&modules.sign, PASSWORD)] {
        let with = |arguments: &[&str]| {
            let mut command = memcheck(&scratch, &report, LOST, &tool("pkcs11-tool", "opensc"));
            command.arg("--module").arg(module).args(arguments);
            command.arg("--input-file").arg(&data).arg("--output-file").arg(&out);
            run(&mut command).ok();
            assert_eq!(findings(&report), [] as [String; 0]);
        };
        with(&["--list-slots", "--list-mechanisms"]);
        with(&["--login", "--pin", secret, "--list-objects"]);
        with(&["--login", "--pin", secret, "--sign", "--mechanism", "SHA256-RSA-PKCS"]);
        assert_eq!(std::fs::metadata(&out).unwrap().len(), 256);
    }
}

#[test]
fn a_program_that_signs_for_days_loses_no_memory() {
    let scratch = Scratch::new();
    let modules = Modules::in_dir(&scratch);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/valgrind/signer.c");
    let signer = scratch.path().join("signer");
    run(Command::new(tool("gcc", "gcc")).args(["-g", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&signer).arg(source))
        .ok();
    let sign = |report: &Path, kinds: &str, count: u32| {
        run(memcheck(&scratch, report, kinds, &signer).arg(&modules.auth).arg(PIN).arg(count.to_string())).ok();
        findings(report)
    };
    let report = scratch.path().join("report");
    assert!(!sign(&report, ALL, 1).is_empty(), "memcheck does not know the module's frames");
    let rounds = |count: u32| {
        assert_eq!(sign(&report, LOST, count), [] as [String; 0]);
        in_use_at_exit(&report)
    };
    let (few, many) = (rounds(3), rounds(12));
    assert_eq!(few, many, "bytes and blocks in use at exit after 3 rounds and after 12");
}
