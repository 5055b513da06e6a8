//! What the program that loaded the module does to its own process, and what the module must not do to it.

use crate::common::client::program;
use crate::common::{Scratch, configured, run};
use std::fs;

/// Has a program become a daemon while the module has its log open; see `clients/daemon.c`.
fn becomes_a_daemon(when: &str) {
    let scratch = Scratch::new();
    let config = scratch.configuration("log_level = 'trace'\n");
    let (log, document) = (scratch.path().join("log"), scratch.path().join("document"));
    let mut daemon = program(&scratch, "daemon.c");
    daemon.current_dir(scratch.path()).env("JPKI_PKCS11_LOG", &log).arg(when).arg(&document);
    assert_eq!(run(configured(&mut daemon, &config)).ok(), "done\n");
    assert_eq!(fs::read_to_string(&document).unwrap(), "", "log lines in the program's own document");
    let logged = fs::read_to_string(&log).unwrap();
    let finalised = logged.lines().filter(|line| line.ends_with("C_Finalize: CKR_OK")).count();
    assert_eq!(finalised, if when == "child" { 2 } else { 1 }, "the log goes on:\n{logged}");
}

#[test]
fn no_log_line_stands_in_a_file_that_has_the_closed_logs_number() {
    becomes_a_daemon("begun");
}

#[test]
fn no_log_line_of_a_child_stands_in_a_file_that_has_the_closed_logs_number() {
    becomes_a_daemon("child");
}
