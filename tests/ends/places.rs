//! Where processes of one user meet: with a runtime directory in their environment, without one, and mixed.

use crate::common::namespaces::is_root;
use crate::common::witness::Open;
use crate::ground::{AUTH_LOGIN, Ground, Process, SIGN_LOGIN, with_ground};
use cryptoki_sys::*;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What has a process of a session, and what has one that cron, su or a service manager begins.
fn process(ground: &Ground<'_>, with_runtime_directory: bool) -> Process {
    ground.process_with(|command| if with_runtime_directory { command } else { command.env_remove("XDG_RUNTIME_DIR") })
}

/// The directory that stands for `/run`.
fn run_directory() -> PathBuf {
    std::env::var_os("JPKI_TEST_RUN").expect("the ground has set it").into()
}

/// Makes what a login manager makes, if the user has a session.
fn make_users_directory() {
    let user = fs::metadata("/proc/self").expect("there is a /proc").uid();
    let directory = run_directory().join("user").join(user.to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).expect("the scratch directory is ours");
}

#[test]
fn no_login_is_lost_whichever_processes_have_a_runtime_directory() {
    with_ground("places::no_login_is_lost_whichever_processes_have_a_runtime_directory", |ground| {
        // Without it, what shows is whether a login was taken for the last one.
        ground.pcscd.configure_module("hold_pin = false\n");
        let witness = ground.witness();
        for users_directory in [false, true] {
            if users_directory {
                make_users_directory();
            }
            for who in [[true, true], [false, false], [true, false], [false, true]] {
                for (login, slot) in [(AUTH_LOGIN, 0), (SIGN_LOGIN, 1)] {
                    let case = format!("user/N: {users_directory}, XDG_RUNTIME_DIR: {who:?}, {login}");
                    let [mut first, mut second] = who.map(|with| process(ground, with));
                    first.ok(login);
                    second.ok(login);
                    second.ok(&format!("logout {slot}"));
                    assert_eq!(first.run(&format!("sign {slot}")), CKR_OK, "{case}");
                    second.ok(login);
                    first.ok(&format!("logout {slot}"));
                    assert_eq!(second.run(&format!("sign {slot}")), CKR_OK, "{case}");
                    second.ok("finalize");
                    assert_eq!(witness.signs_with(), Open::Neither, "{case}");
                }
            }
        }
        assert_eq!(ground.tries(), (3, 5));
        witness.leave();
    });
}

#[test]
fn what_a_killed_process_left_is_seen_whichever_processes_have_a_runtime_directory() {
    with_ground("places::what_a_killed_process_left_is_seen_whichever_processes_have_a_runtime_directory", |ground| {
        let witness = ground.witness();
        for who in [[true, true], [false, false], [true, false], [false, true]] {
            let [mut killed, mut next] = who.map(|with| process(ground, with));
            killed.ok(AUTH_LOGIN);
            killed.ok(SIGN_LOGIN);
            killed.ended_by(libc::SIGKILL);
            assert_eq!(witness.signs_with(), Open::Both);
            next.ok("open 0");
            assert_eq!(witness.signs_with(), Open::Neither, "XDG_RUNTIME_DIR: {who:?}");
        }
        witness.leave();
    });
}

/// The files below the ground's directories by whose locks logins are counted.
pub fn lock_files() -> Vec<PathBuf> {
    let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").expect("the ground has set it"));
    let mut files = Vec::new();
    for directory in [runtime, run_directory()] {
        collect(&directory, &mut files);
    }
    files
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "login" || ending == "sign") {
            files.push(path);
        }
    }
}

#[test]
fn a_login_whose_files_a_cleaner_has_removed_still_counts() {
    with_ground("places::a_login_whose_files_a_cleaner_has_removed_still_counts", |ground| {
        ground.pcscd.configure_module("hold_pin = false\n");
        let witness = ground.witness();
        for (login, slot) in [(AUTH_LOGIN, 0), (SIGN_LOGIN, 1)] {
            let mut first = process(ground, true);
            first.ok(login);
            let removed = lock_files();
            assert!(!removed.is_empty());
            removed.iter().for_each(|file| fs::remove_file(file).expect("it is ours"));
            // Whatever it does next, it notices.
            first.ok(&format!("slot {slot}"));
            let mut second = process(ground, true);
            second.ok(login);
            second.ok(&format!("logout {slot}"));
            assert_eq!(first.run(&format!("sign {slot}")), CKR_OK, "{login}");
            first.ok(&format!("logout {slot}"));
            assert_eq!(witness.signs_with(), Open::Neither, "{login}");
        }
        witness.leave();
    });
}

#[test]
fn a_login_that_a_cleaner_has_hidden_is_not_left_open() {
    with_ground("places::a_login_that_a_cleaner_has_hidden_is_not_left_open", |ground| {
        let witness = ground.witness();
        let mut first = process(ground, true);
        first.ok(SIGN_LOGIN);
        lock_files().iter().for_each(|file| fs::remove_file(file).expect("it is ours"));
        // By its own end, and by that of others that could not see it.
        let mut second = process(ground, true);
        second.ok(SIGN_LOGIN);
        second.ok("logout 1");
        let rv = first.run("sign 1");
        assert!(matches!(rv, CKR_OK | CKR_USER_NOT_LOGGED_IN | CKR_KEY_HANDLE_INVALID), "{rv:#X}");
        first.ok("finalize");
        assert_eq!(witness.signs_with(), Open::Neither);
        witness.leave();
    });
}

#[test]
fn no_place_is_open_to_other_users() {
    with_ground("places::no_place_is_open_to_other_users", |ground| {
        make_users_directory();
        let mut process = process(ground, true);
        process.ok(AUTH_LOGIN);
        process.ok(SIGN_LOGIN);
        let files = lock_files();
        println!("{files:#?}");
        for file in &files {
            let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o077;
            assert_eq!(mode(file), 0, "{}", file.display());
            assert_eq!(mode(file.parent().expect("it lies somewhere")), 0, "{}", file.display());
        }
        let below = |directory: &Path| files.iter().filter(|file| file.starts_with(directory)).count();
        assert_eq!(below(&run_directory().join("user")), 2, "both logins are announced where the user's session is");
        assert_eq!(below(&run_directory().join("jpki-pkcs11")), if is_root() { 2 } else { 0 }, "root's own place");
    });
}
