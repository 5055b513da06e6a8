//! A secret that the card has refused is not sent again, by whichever process; and what is remembered of it, where.

use crate::common::rival::{JPKI, Rival};
use crate::common::terminal::{Echo, on_a_terminal, script};
use crate::common::{jpki, run};
use crate::ground::{Ground, Process, change_secret, compiled, with_ground};
use cryptoki_sys::*;
use pcsc::{Disposition, ShareMode};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A place in memory, as `/run/user/N` is: the ground's own directories may be on a disk.
fn in_memory() -> TempDir {
    let place = tempfile::Builder::new().prefix("jpki-").tempdir_in("/dev/shm").expect("there is a tmpfs");
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
    place
}

/// A process of a session with this runtime directory.
fn process(ground: &Ground<'_>, runtime_directory: &Path) -> Process {
    ground.process_with(|command| command.env("XDG_RUNTIME_DIR", runtime_directory))
}

#[test]
fn the_same_wrong_secret_in_three_processes_costs_one_try() {
    with_ground("refused::the_same_wrong_secret_in_three_processes_costs_one_try", |ground| {
        let memory = in_memory();
        for login in ["login 0 9999", "login 1 WRONG123"] {
            for _ in 0..3 {
                let mut process = process(ground, memory.path());
                assert_eq!(process.run(login), CKR_PIN_INCORRECT, "{login}");
                process.ok("finalize");
            }
        }
        assert_eq!(ground.tries(), (2, 4));
        // The right ones are taken, and a wrong one is then a new one.
        let mut process = process(ground, memory.path());
        process.ok(crate::ground::AUTH_LOGIN);
        process.ok(crate::ground::SIGN_LOGIN);
        process.ok("finalize");
        assert_eq!(ground.tries(), (3, 5));
    });
}

#[test]
fn the_same_wrong_secret_from_several_processes_at_once_costs_one_try() {
    with_ground("refused::the_same_wrong_secret_from_several_processes_at_once_costs_one_try", |ground| {
        let memory = in_memory();
        let mut processes = [(); 4].map(|()| process(ground, memory.path()));
        processes.iter_mut().for_each(|process| process.ok("open 0"));
        processes.iter_mut().for_each(|process| process.ok("begin login 0 9999"));
        for process in &mut processes {
            assert_eq!(process.join().0, CKR_PIN_INCORRECT);
        }
        assert_eq!(ground.tries(), (2, 5));
    });
}

#[test]
fn a_process_remembers_beyond_c_finalize_what_was_refused() {
    with_ground("refused::a_process_remembers_beyond_c_finalize_what_was_refused", |ground| {
        // Also where nothing can be left for others: these directories are on a disk, if the test's are.
        let mut process = ground.process();
        for again in 0..3 {
            let rv = process.run("login 0 9999");
            assert!(matches!(rv, CKR_PIN_INCORRECT | CKR_FUNCTION_CANCELED), "{again}: {rv:#X}");
            process.ok("finalize");
            process.ok("initialize");
        }
        assert_eq!(ground.tries(), (2, 5));
    });
}

#[test]
fn a_secret_refused_before_is_sent_again_once_the_card_has_another_one() {
    with_ground("refused::a_secret_refused_before_is_sent_again_once_the_card_has_another_one", |ground| {
        let memory = in_memory();
        let mut process = process(ground, memory.path());
        // Changed by another process with the module.
        assert_eq!(process.run("login 0 5678"), CKR_PIN_INCORRECT);
        let mut other = self::process(ground, memory.path());
        other.ok("set-pin 0 1234 5678");
        process.ok("login 0 5678");
        process.ok("logout 0");
        // By one that has none of our files.
        assert_eq!(process.run("login 0 4321"), CKR_PIN_INCORRECT);
        let rival = Rival::connect(0, ShareMode::Shared);
        assert_eq!(rival.send(JPKI), 0x9000);
        assert_eq!(rival.send(b"\x00\x20\x00\x98\x045678"), 0x9000);
        assert_eq!(rival.send(b"\x00\x24\x01\x98\x044321"), 0x9000);
        rival.leave(Disposition::LeaveCard);
        process.ok("login 0 4321");
        process.ok("logout 0");
        // By the program.
        assert_eq!(process.run("login 0 1111"), CKR_PIN_INCORRECT);
        change_secret("auth", "4321", "1111").ok();
        process.ok("login 0 1111");
        process.ok("finalize");
        assert_eq!(ground.tries(), (3, 5));
    });
}

#[test]
fn a_success_of_another_process_makes_a_wrong_secret_a_new_one() {
    with_ground("refused::a_success_of_another_process_makes_a_wrong_secret_a_new_one", |ground| {
        let memory = in_memory();
        let [mut first, mut second] = [(); 2].map(|()| process(ground, memory.path()));
        assert_eq!(first.run("login 0 9999"), CKR_PIN_INCORRECT);
        second.ok(crate::ground::AUTH_LOGIN);
        second.ok("logout 0");
        assert_eq!(ground.tries(), (3, 5));
        assert_eq!(first.run("login 0 9999"), CKR_PIN_INCORRECT);
        assert_eq!(ground.tries(), (2, 5), "the counter was full: there is a try to spare, and nobody knows better");
    });
}

/// All files below a directory.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn what_was_refused_is_kept_in_memory_only_private_and_not_in_clear() {
    with_ground("refused::what_was_refused_is_kept_in_memory_only_private_and_not_in_clear", |ground| {
        let memory = in_memory();
        let mut process = process(ground, memory.path());
        assert_eq!(process.run("login 0 9731"), CKR_PIN_INCORRECT);
        assert_eq!(process.run("login 1 SECRET9731"), CKR_PIN_INCORRECT);
        let mut kept = Vec::new();
        files(memory.path(), &mut kept);
        println!("{kept:#?}");
        assert!(kept.iter().any(|file| fs::metadata(file).expect("it is there").len() > 0));
        for file in &kept {
            assert_eq!(fs::metadata(file).expect("it is there").mode() & 0o777, 0o600, "{}", file.display());
            let content = fs::read(file).expect("it is ours");
            assert!(!content.windows(4).any(|part| part == b"9731"), "{}", file.display());
        }
    });
}

#[test]
fn nothing_is_kept_of_a_refused_secret_on_a_disk() {
    with_ground("refused::nothing_is_kept_of_a_refused_secret_on_a_disk", |ground| {
        // On the disk of the build, in any case: a scratch directory may be in memory.
        let disk = tempfile::Builder::new().prefix("jpki-").tempdir_in("/var/tmp").expect("there is room");
        let mut command_environment = Vec::new();
        for name in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME", "JPKI_TEST_RUN"] {
            let place = disk.path().join(name);
            fs::create_dir(&place).expect("it is ours");
            fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
            command_environment.push((name, place));
        }
        let [program, module] = compiled(&ground.scratch);
        let wrong = || {
            let mut command = std::process::Command::new(&program);
            let mut process = Process::start(command.arg(&module).envs(command_environment.iter().cloned()));
            process.ok("initialize");
            let rv = process.run("login 1 WRONG123");
            process.ok("finalize");
            rv
        };
        assert_eq!(wrong(), CKR_PIN_INCORRECT);
        let mut kept = Vec::new();
        files(disk.path(), &mut kept);
        println!("{kept:#?}");
        assert_eq!(wrong(), CKR_PIN_INCORRECT);
        assert_eq!(ground.tries(), (3, 3), "the second process knew of the first one's secret");
    });
}

#[test]
fn where_the_last_try_is_the_programs_the_module_does_not_use_it() {
    with_ground("refused::where_the_last_try_is_the_programs_the_module_does_not_use_it", |ground| {
        let mut process = ground.process();
        for pin in ["9999", "8888"] {
            assert_eq!(process.run(&format!("login 0 {pin}")), CKR_PIN_INCORRECT);
        }
        assert_eq!(ground.tries(), (1, 5));
        process.ok("finalize");
        ground.pcscd.configure_module("last_try = \"jpki\"\n");
        process.ok("initialize");
        let asked = ground.asked();
        for pin in ["1234", "7777"] {
            let (rv, commands) = asked.by(|| process.run(&format!("login 0 {pin}")));
            assert_eq!(rv, CKR_FUNCTION_CANCELED, "{pin}");
            assert!(!commands.iter().any(|command| command.contains("[secret]")), "{commands:#?}");
        }
        assert_eq!(process.run("set-pin 0 1234 5678"), CKR_FUNCTION_CANCELED);
        // The other secret has its tries.
        process.ok(crate::ground::SIGN_LOGIN);
        process.ok("finalize");
        assert_eq!(ground.tries(), (1, 5));

        // The program asks, and then may.
        let mut change = jpki();
        change.args(["pin", "change", "auth"]);
        let shown = on_a_terminal(
            script(),
            &change,
            Echo::Always,
            &[("[y/N] ", "y\r"), ("Tries left: 1. ", "1234\r"), ("new", "5678\r"), ("once more", "5678\r")],
        );
        assert_eq!(shown.code, Some(0), "{}", shown.text);
        assert_eq!(ground.tries(), (3, 5));
        // With tries enough it is the module's again.
        process.ok("initialize");
        process.ok("login 0 5678");
    });
}

#[test]
fn anybody_may_use_the_last_try_unless_the_configuration_keeps_it() {
    with_ground("refused::anybody_may_use_the_last_try_unless_the_configuration_keeps_it", |ground| {
        let mut process = ground.process();
        for pin in ["9999", "8888"] {
            assert_eq!(process.run(&format!("login 0 {pin}")), CKR_PIN_INCORRECT);
        }
        process.ok(crate::ground::AUTH_LOGIN);
        assert_eq!(ground.tries(), (3, 5));
    });
}

#[test]
fn the_program_and_the_module_know_of_each_others_refused_secrets() {
    with_ground("refused::the_program_and_the_module_know_of_each_others_refused_secrets", |ground| {
        let memory = in_memory();
        let mut process = process(ground, memory.path());
        assert_eq!(process.run("login 0 9999"), CKR_PIN_INCORRECT);
        let script = "printf '9999\\n5678\\n5678\\n' | \"$0\" pin change auth --stdin";
        let mut change = std::process::Command::new("sh");
        change.args(["-c", script]).arg(jpki().get_program()).env("XDG_RUNTIME_DIR", memory.path());
        let said = run(&mut change).refused();
        println!("{said}");
        assert_eq!(ground.tries(), (2, 5));
    });
}
