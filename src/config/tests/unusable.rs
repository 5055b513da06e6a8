//! Files that cannot be used: which of them leave no readers, and which are nobody's concern here.

use super::*;
use crate::config::file::File;
use crate::config::unknown::KEYS;
use std::collections::BTreeSet;
use std::os::unix::fs::{chown, symlink};
use std::process::Command;

/// A group and a user that are nobody's here.
const FOREIGN: u32 = 4242;

const USERS: &str = "home/.config/jpki-pkcs11/config.toml";

impl Machine {
    /// A machine whose user's file says this.
    fn with(text: &str) -> Machine {
        let machine = Machine::new();
        machine.user(text);
        machine
    }

    /// Why there are no readers.
    fn unusable(&self) -> String {
        let config = self.load();
        config.unusable.clone().unwrap_or_else(|| panic!("it is used: {config:?}"))
    }

    /// Asserts that the configuration is used, but for the one file of which this is noted.
    fn assert_passed_over(&self, why: &str) {
        let config = self.load();
        assert_eq!((config.unusable, config.tokens), (None, Tokens::Both));
        assert!(config.notes.len() == 1 && config.notes[0].contains(why), "{:?}", config.notes);
    }

    /// Gives a file or a directory of this user's to another one, or makes this user another one.
    fn give_away(&mut self, names: &[&str]) {
        if self.user == 0 {
            names.iter().for_each(|name| chown(self.path(name), Some(FOREIGN), None).unwrap());
        } else {
            self.user += 1;
        }
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_malformed_file_leaves_no_readers_whatever_the_others_say() {
    for (text, why) in [
        ("tokens = ", "line 1"),
        ("\n\ntoken = 'both'", "line 3: unknown key `token`; the nearest known one is `tokens`"),
        ("pss = 'on'\n[auth]\n\npractice = ['a']", "line 4: unknown key `practice` in [auth]; it belongs above"),
        ("hold_pin = 'yes'", "line 1: invalid type"),
        ("auth = 3", "line 1: invalid type"),
        ("tokens = 'all'", "line 1: unknown variant `all`"),
        ("authorities = 'sometimes'", "line 1: unknown variant `sometimes`"),
        ("lock_timeout = 0", "line 1: invalid value"),
        ("lock_timeout = -1", "line 1: invalid value"),
        ("lock_timeout = nan", "line 1: invalid value"),
        ("lock_timeout = 121", "line 1: invalid value"),
        ("auth.max_login = 0", "line 1: invalid value"),
        ("auth.hold_pin = true", "line 1: unknown key `hold_pin` in [auth]"),
        ("ignore_readers = ['']", "line 1: an empty text"),
        ("practice = ['']", "line 1: an empty text"),
        ("log_level = 'loud'", "line 1: invalid value"),
        ("pss = 'on'\npss = 'off'", "line 2: duplicate key"),
    ] {
        for place in ["system", "user", "named"] {
            let mut machine = Machine::new();
            match place {
                "system" => drop(machine.system(text)),
                "user" => drop(machine.user(text)),
                _ => drop(machine.system("tokens = 'both'").user("pss = 'on'")),
            }
            machine.named(if place == "named" { text } else { "tokens = 'both'\npractice = ['x.card']" });
            let sentence = machine.unusable();
            assert!(sentence.contains(why), "{text}: {sentence}");
            assert!(sentence.contains(".toml: line") && !sentence.contains('\n'), "{sentence}");
        }
    }
}

#[test]
fn not_utf_8_and_too_long_are_malformed() {
    let mut machine = Machine::new();
    machine.named("");
    fs::write(machine.path("named.toml"), b"\n# \xff").unwrap();
    assert!(machine.unusable().contains("line 2: not UTF-8"));
    machine.named(&"#".repeat(70_000));
    assert!(machine.unusable().contains("longer than 65536 bytes"));
}

/// `unknown.rs` names the keys that `file.rs` takes.
#[test]
fn the_keys_that_a_misspelt_one_is_held_against_are_those_that_there_are() {
    let expected = |file: &str| {
        // "unknown field `?`, expected one of `tokens`, …"
        let error = toml::from_str::<File>(file).unwrap_err();
        let names = error.message().split('`').skip(3).step_by(2).map(str::to_owned);
        names.collect::<BTreeSet<_>>()
    };
    let tables: BTreeSet<_> =
        KEYS.iter().map(|(table, _)| (*table).to_owned()).filter(|name| !name.is_empty()).collect();
    let of = |table: &str| {
        let names = KEYS.iter().filter(|(its, _)| *its == table).map(|(_, name)| (*name).to_owned());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(expected("'?' = 1"), of("").union(&tables).cloned().collect());
    for table in &tables {
        assert_eq!(expected(&format!("[{table}]\n'?' = 1")), of(table), "{table}");
    }
}

#[test]
fn a_file_that_others_may_have_written_leaves_no_readers() {
    let machine = Machine::with("tokens = 'sign'");
    if machine.user == 0 {
        chown(machine.path(USERS), None, Some(FOREIGN)).unwrap();
    }
    for mode in [0o646, 0o666, 0o602].into_iter().chain((machine.user == 0).then_some(0o664)) {
        machine.set_mode(USERS, mode);
        let sentence = machine.unusable();
        assert!(sentence.contains("others may write to it; run chmod go-w on it"), "{mode:o}: {sentence}");
    }
    machine.set_mode(USERS, 0o640);
    assert_eq!(machine.load().tokens, Tokens::Sign);
}

#[test]
fn what_a_users_own_group_may_write_is_the_users_own() {
    let machine = Machine::with("tokens = 'sign'");
    let path = machine.path(USERS);
    machine.set_mode(USERS, 0o664);
    if fs::metadata(&path).unwrap().gid() == machine.user {
        assert_eq!((machine.load().unusable, machine.load().tokens), (None, Tokens::Sign));
    } else {
        assert!(machine.unusable().contains("others may write"));
    }
    // An access control list shows in the mode as the group's rights.
    #[cfg(all(target_os = "linux", not(miri)))]
    if crate::sys::acl_for_tests::give(&fs::File::open(&path).unwrap(), FOREIGN) {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o664);
        assert!(machine.unusable().contains("others may write"));
    }
}

#[test]
fn a_file_of_another_user_leaves_no_readers_but_behind_a_home_that_was_kept() {
    let mut machine = Machine::with("tokens = 'sign'");
    machine.give_away(&[USERS, "home/.config/jpki-pkcs11"]);
    machine.assert_passed_over("passed over, since it belongs to another user");

    let mut machine = Machine::new();
    machine.named("tokens = 'sign'").give_away(&["named.toml"]);
    assert!(machine.unusable().contains("it belongs to another user"));
    let mut machine = Machine::new();
    machine.system("tokens = 'sign'").path("");
    machine.give_away(&["system.toml"]);
    assert!(machine.unusable().contains("it belongs to another user"));
}

#[test]
fn a_strangers_file_in_a_directory_of_our_own_was_put_there() {
    let mut machine = Machine::with("tokens = 'sign'");
    if machine.user != 0 {
        // Nobody but root can make one; continuous integration is root.
        assert!(std::env::var_os("CI").is_none(), "run this as root");
        return;
    }
    machine.give_away(&[USERS]);
    assert!(machine.unusable().contains("it belongs to another user"));
}

#[test]
fn something_else_in_the_place_of_a_file_leaves_no_readers() {
    let mut machine = Machine::new();
    let pipe = machine.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe, machine.path("home"), "/dev/null".into()] {
        machine.set("JPKI_PKCS11_CONF", path);
        assert!(machine.unusable().contains("not a regular file"));
    }
    let machine = Machine::new();
    fs::create_dir(machine.path(USERS)).unwrap();
    assert!(machine.unusable().contains("not a regular file"));
}

#[test]
fn a_missing_file_is_none_and_a_link_to_nothing_was_meant() {
    let machine = Machine::new();
    assert_eq!((machine.load().unusable, machine.load().notes), (None, vec![]));
    symlink("nowhere", machine.path(USERS)).unwrap();
    assert!(machine.unusable().contains("a link to nothing"));

    let directory = "home/.config/jpki-pkcs11";
    for make in
        [&|path: &Path| symlink("nowhere", path).unwrap(), &|path: &Path| fs::write(path, "tokens = 'auth'").unwrap()]
            as [&dyn Fn(&Path); 2]
    {
        let machine = Machine::new();
        fs::remove_dir(machine.path(directory)).unwrap();
        make(&machine.path(directory));
        assert!(machine.unusable().contains("not a directory"));
    }

    // Nobody meant a file in a home that is none.
    let mut machine = Machine::new();
    for home in ["/dev/null", "/nonexistent", "relative"] {
        machine.set("HOME", home);
        assert_eq!(machine.load().unusable, None, "{home}");
    }
}

#[test]
fn a_file_that_cannot_be_read_leaves_no_readers_if_it_is_ours() {
    let machine = Machine::with("tokens = 'sign'");
    if machine.user == 0 {
        // Root reads everything: see `a_file_that_this_user_cannot_read…` of the program's tests.
        return;
    }
    for (closed, opened) in [(USERS, 0o644), ("home/.config/jpki-pkcs11", 0o755), ("home/.config", 0o755)] {
        machine.set_mode(closed, 0o000);
        assert!(machine.unusable().contains("it cannot be read"), "{closed}");
        machine.set_mode(closed, opened);
    }
    // The system's, which is root's and not for this user to read.
    let mut machine = Machine::new();
    machine.system("tokens = 'sign'").set_mode("system.toml", 0o000);
    machine.user += 1;
    machine.assert_passed_over("cannot be read");
    machine.variables.insert("JPKI_PKCS11_CONF", machine.path("system.toml").into());
    assert!(machine.unusable().contains("it cannot be read"));
}

#[test]
fn a_file_that_is_named_and_not_used_leaves_no_readers() {
    let mut machine = Machine::new();
    machine.named("tokens = 'auth'");
    assert_eq!(machine.load().unusable, None);
    for (path, why) in [
        (machine.path("absent.toml"), "there is no such file"),
        ("/dev/null/absent.toml".into(), "there is no such file"),
        ("named.toml".into(), "not a whole path"),
        ("~/named.toml".into(), "not a whole path"),
        (" ".into(), "not a whole path"),
    ] {
        machine.set("JPKI_PKCS11_CONF", path.clone());
        let sentence = machine.unusable();
        assert!(sentence.contains(why), "{sentence}");
        assert!(sentence.starts_with(&format!("JPKI_PKCS11_CONF={}: ", path.display())), "{sentence}");
    }
    machine.set("JPKI_PKCS11_CONF", "");
    assert_eq!(machine.load().unusable, None, "set to nothing is not set");
    machine.set("JPKI_PKCS11_CONF", "relative.toml").secure = true;
    assert_eq!(machine.load().unusable, None, "who lacks the rights of the process names nothing");
}

#[test]
fn of_several_files_that_cannot_be_used_none_is_forgotten() {
    let mut machine = Machine::with("token = 'auth'");
    machine.named("tokens = 'all'");
    let config = machine.load();
    assert!(config.unusable.is_some_and(|sentence| sentence.contains("unknown key `token`")));
    assert!(config.notes.len() == 1 && config.notes[0].contains("unknown variant `all`"), "{:?}", config.notes);
}

#[test]
fn practice_cards_without_a_practice_reader_are_not_looked_for_in_real_ones() {
    let practice = || Config { practice: vec!["/a.card".into()], ..Config::default() };
    for (mut config, there_is_a_reader, unusable) in
        [(practice(), true, false), (practice(), false, true), (Config::default(), false, false)]
    {
        config.refuse_practice_unless(there_is_a_reader);
        assert_eq!(config.unusable.is_some_and(|sentence| sentence.contains("`practice`")), unusable);
    }
}
