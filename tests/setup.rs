//! `jpki setup` in a home directory of the test's own: that the programs themselves read what it writes, that a second time
//! changes nothing, and that `--undo` restores every byte.

mod common;

use common::{Modules, Ran, Scratch, install, needs_root, run, tool};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A person with a home directory, who is nobody: setting up for everybody is root's.
struct Home {
    scratch: Scratch,
    modules: PathBuf,
}

/// What is in a directory: each file's rights and contents, by name.
type Contents = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl Home {
    fn new() -> Home {
        let scratch = Scratch::new();
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
        let modules = scratch.path().join("lib");
        fs::create_dir_all(scratch.path().join("home")).unwrap();
        fs::create_dir(&modules).unwrap();
        let built = Modules::in_dir(&scratch);
        for module in [built.both, built.auth, built.sign] {
            fs::rename(&module, modules.join(module.file_name().unwrap())).unwrap();
        }
        install(Path::new(env!("CARGO_BIN_EXE_jpki")), &scratch.path().join("jpki"));
        let home = Home { scratch, modules };
        home.give_to_nobody();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join("home").join(name)
    }

    fn auth(&self) -> PathBuf {
        self.modules.join("libjpki_pkcs11-auth.so")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.give_to_nobody();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn give_to_nobody(&self) {
        if !is_root() {
            return;
        }
        run(Command::new("chown").args(["-R", "65534:65534"]).arg(self.scratch.path().join("home"))).ok();
    }

    /// A program that this person runs.
    fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        if is_root() {
            command = Command::new(tool("setpriv", "util-linux"));
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program.as_ref());
        }
        command.env_clear();
        command.env("HOME", self.path("")).env("PATH", "/usr/bin:/bin").current_dir(self.path(""));
        command
    }

    fn jpki(&self, arguments: &[&str]) -> Ran {
        run(self.program(self.scratch.path().join("jpki")).args(arguments))
    }

    fn setup(&self, arguments: &[&str]) -> Ran {
        let modules = self.modules.to_str().unwrap();
        self.jpki(&[&["setup"], arguments, &["--module-dir", modules]].concat())
    }

    fn undo(&self, program: &str) -> String {
        self.jpki(&["setup", program, "--undo"]).ok()
    }

    /// Everything but our own notes and caches.
    fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        let mut directories = vec![self.path("")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                // Ours, and what the programs themselves keep.
                if path.ends_with(".local") || path.ends_with(".cache") {
                    continue;
                }
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                if path.is_dir() {
                    contents.insert(path.clone(), (mode, Vec::new()));
                    directories.push(path);
                } else {
                    contents.insert(path.clone(), (mode, fs::read(&path).unwrap()));
                }
            }
        }
        contents
    }

    /// What `doctor` says.
    fn doctor(&self) -> String {
        self.jpki(&["doctor"]).stdout
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Sets up twice and undoes it: the second time changes nothing, and afterwards everything is as it was. `works` is asked
/// in between.
fn there_and_back(home: &Home, arguments: &[&str], works: impl FnOnce()) {
    let before = home.contents();
    let state = home.path(".local/state").exists();
    let would = home.setup(&[arguments, &["--dry-run"]].concat()).ok();
    assert!(would.contains("would "), "{would}");
    assert_eq!(home.contents(), before, "a dry run");
    assert_eq!(home.path(".local/state").exists(), state, "nor does it leave notes of its own");
    home.setup(arguments).ok();
    let done = home.contents();
    assert_ne!(done, before);
    works();
    let again = home.setup(arguments).ok();
    assert!(again.contains("as it should be already") && !again.contains("wrote "), "{again}");
    let would = home.jpki(&["setup", arguments[0], "--undo", "--dry-run"]).ok();
    assert!(would.contains("would "), "{would}");
    assert_eq!(home.contents(), done, "a second time, and an undo that is dry");
    home.undo(arguments[0]);
    assert_eq!(home.contents(), before, "undone");
    assert_eq!(home.undo(arguments[0]), "There is nothing to undo.\n");
}

#[test]
fn ssh_uses_the_card_for_the_servers_named_and_no_other() {
    let home = Home::new();
    let provider = |host: &str| {
        let shown = run(home.program(tool("ssh", "openssh-client")).args([
            "-F",
            home.path(".ssh/config").to_str().unwrap(),
            "-G",
            host,
        ]))
        .ok();
        let line = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        (line("pkcs11provider "), line("user "))
    };
    home.write(".ssh/config", "Host old\n    User first\nUser early");
    fs::set_permissions(home.path(".ssh/config"), Permissions::from_mode(0o640)).unwrap();
    let is_ours = |module: Option<String>| {
        module.is_some_and(|module| module.starts_with(home.modules.join("libjpki_pkcs11-").to_str().unwrap()))
    };
    there_and_back(&home, &["ssh", "--host", "card.example", "--host", "*.cards.example"], || {
        assert!(is_ours(provider("card.example").0));
        assert!(is_ours(provider("a.cards.example").0));
        let none = |provider: Option<String>| provider.is_none_or(|provider| provider == "none");
        assert!(none(provider("other.example").0));
        assert_eq!(provider("old").1.as_deref(), Some("first"));
        assert!(home.doctor().contains(&format!("ssh_config names {}", home.modules.display())), "{}", home.doctor());
    });
    // And where there was no configuration at all.
    fs::remove_dir_all(home.path(".ssh")).unwrap();
    there_and_back(&home, &["ssh", "--host", "card.example"], || {
        assert_eq!(fs::metadata(home.path(".ssh")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(home.path(".ssh/config")).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn ssh_wants_to_know_the_servers() {
    let home = Home::new();
    let before = home.contents();
    let said = home.setup(&["ssh"]).refused();
    assert!(said.contains("which servers") && said.contains("--host"), "{said}");
    home.setup(&["ssh", "--host", "a\nProxyCommand evil"]).refused();
    assert_eq!(home.contents(), before);
}

#[test]
fn what_a_person_wrote_after_the_setup_stays_when_it_is_undone() {
    let home = Home::new();
    home.write(".ssh/config", "Host old\n");
    home.setup(&["ssh", "--host", "card.example"]).ok();
    let with = home.read(".ssh/config");
    home.write(".ssh/config", &format!("# mine\n{with}Host new\n"));
    let said = home.undo("ssh");
    assert!(said.contains("changed since"), "{said}");
    assert_eq!(home.read(".ssh/config"), "# mine\nHost old\nHost new\n");
}

#[test]
fn every_profile_of_firefox_lists_the_module_as_modutil_reads_it() {
    let home = Home::new();
    for profile in ["one.default", "two.work"] {
        home.write(&format!(".mozilla/firefox/{profile}/times.json"), "{}");
        new_database(&home, &home.path(&format!(".mozilla/firefox/{profile}")));
    }
    home.write(".mozilla/firefox/never-used/times.json", "{}");
    there_and_back(&home, &["firefox"], || {
        for profile in ["one.default", "two.work"] {
            assert!(listed(&home, &home.path(&format!(".mozilla/firefox/{profile}"))));
        }
        assert!(home.doctor().contains("two.work/pkcs11.txt names "), "{}", home.doctor());
    });
    let none = Home::new().setup(&["firefox"]).refused();
    assert!(none.contains("Start Firefox once"), "{none}");
}

#[test]
fn chromium_finds_the_module_in_a_database_that_is_made_if_there_is_none() {
    let home = Home::new();
    let database = home.path(".pki/nssdb");
    there_and_back(&home, &["chromium"], || assert!(listed(&home, &database)));
    home.write(".pki/nssdb/x", "");
    new_database(&home, &database);
    there_and_back(&home, &["chromium"], || assert!(listed(&home, &database)));
}

#[test]
fn chromiums_database_in_the_newer_place_is_used_and_not_hidden_by_one_in_the_older() {
    let home = Home::new();
    home.write(".local/share/pki/nssdb/x", "");
    let database = home.path(".local/share/pki/nssdb");
    new_database(&home, &database);
    let list = || home.read(".local/share/pki/nssdb/pkcs11.txt");
    let before = list();
    home.setup(&["chromium"]).ok();
    assert!(listed(&home, &database));
    assert!(!home.path(".pki").exists(), "Chromium would use that one from now on");
    assert!(home.doctor().contains("share/pki/nssdb/pkcs11.txt names "), "{}", home.doctor());
    home.undo("chromium");
    assert_eq!(list(), before);
}

#[test]
fn without_certutil_its_package_is_named_and_no_browser_that_would_not_make_the_database_either() {
    let home = Home::new();
    let before = home.contents();
    let modules = home.modules.to_str().unwrap();
    let mut jpki = home.program(home.scratch.path().join("jpki"));
    let said = run(jpki.args(["setup", "chromium", "--module-dir", modules]).env("PATH", "/nowhere")).refused();
    assert!(said.contains("apt install libnss3-tools") && !said.contains("Start Chromium"), "{said}");
    assert_eq!(home.contents(), before);
}

#[test]
fn a_firefox_that_is_only_there_in_a_box_is_said_to_be_and_not_to_be_started_once() {
    let home = Home::new();
    home.write(".local/share/flatpak/app/org.mozilla.firefox/current/x", "");
    home.write(".var/app/org.mozilla.firefox/.mozilla/firefox/x.default/pkcs11.txt", "library=\n");
    home.write("snap/firefox/common/.mozilla/firefox/x.default/pkcs11.txt", "library=\n");
    let before = home.contents();
    let said = home.setup(&["firefox"]).refused();
    assert!(said.contains("which cannot load a module of the system"), "{said}");
    assert!(said.contains("ordinary package"), "{said}");
    assert_eq!(home.contents(), before);
}

#[test]
fn what_people_put_a_pin_into_is_for_their_eyes_only() {
    let home = Home::new();
    for arguments in [&["openssl"][..], &["java"], &["p11-kit"], &["ssh", "--host", "card.example"]] {
        home.setup(arguments).ok();
    }
    let ours = home.contents().into_iter().filter(|(path, _)| path.is_file());
    let modes: Vec<_> = ours.map(|(path, (mode, _))| (path, mode & 0o777)).collect();
    assert!(modes.len() >= 7 && modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

#[test]
fn where_no_notes_can_be_kept_the_reason_is_said() {
    let home = Home::new();
    let modules = home.modules.to_str().unwrap();
    let said = |variables: &[(&str, &str)]| {
        let mut jpki = home.program(home.scratch.path().join("jpki"));
        jpki.args(["setup", "java", "--module-dir", modules]).envs(variables.iter().copied());
        run(&mut jpki).refused()
    };
    let unset = said(&[("HOME", "")]);
    assert!(unset.contains("the variable HOME is not set"), "{unset}");
    let missing = said(&[("XDG_STATE_HOME", "/nowhere")]);
    assert!(missing.contains("/nowhere: No such file"), "{missing}");
    let file = said(&[("HOME", "/dev/null")]);
    assert!(file.contains("/dev/null is no directory"), "{file}");
    fs::set_permissions(home.path(""), Permissions::from_mode(0o775)).unwrap();
    let open = said(&[]);
    assert!(open.contains("others may write to ") && open.contains("chmod go-w "), "{open}");
    if is_root() {
        let theirs = said(&[("HOME", "/root")]);
        assert!(theirs.contains("/root") && theirs.contains("sudo -H"), "{theirs}");
    }
}

#[test]
fn a_module_directory_that_cannot_be_found_because_ours_is_gone_is_named() {
    let home = Home::new();
    let gone = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
    let jpki = home.scratch.path().join("jpki");
    let said =
        run(home.program("/bin/sh").args(["-c", gone, "sh"]).arg(jpki).args(["setup", "java", "--module-dir", "lib"]));
    let said = said.refused();
    assert!(said.contains("lib: No such file"), "{said}");
}

fn new_database(home: &Home, directory: &Path) {
    let certutil = tool("certutil", "libnss3-tools");
    run(home.program(certutil).arg("-N").arg("-d").arg(format!("sql:{}", directory.display())).arg("--empty-password"))
        .ok();
}

fn listed(home: &Home, database: &Path) -> bool {
    let modutil = tool("modutil", "libnss3-tools");
    let list =
        run(home.program(modutil).arg("-force").arg("-dbdir").arg(format!("sql:{}", database.display())).arg("-list"))
            .ok();
    list.contains("My Number Card") && list.contains(home.auth().to_str().unwrap())
}

#[test]
fn p11_kit_lists_the_module() {
    let home = Home::new();
    there_and_back(&home, &["p11-kit"], || {
        let list = run(home.program(tool("p11-kit", "p11-kit")).arg("list-modules")).ok();
        assert!(list.contains("jpki-pkcs11") && list.contains(home.auth().to_str().unwrap()), "{list}");
    });
}

#[test]
fn openssl_and_java_get_their_files_with_the_module_filled_in() {
    let home = Home::new();
    there_and_back(&home, &["openssl"], || {
        let conf = home.path(".config/jpki-pkcs11/openssl-engine.cnf");
        // openssl reads the file at its start, and says so if it cannot.
        let said = run(home.program(tool("openssl", "openssl")).args(["version"]).env("OPENSSL_CONF", &conf));
        assert!(said.success && said.stderr.is_empty(), "{said:?}");
        assert!(home.doctor().contains("openssl-provider.cnf names "), "{}", home.doctor());
    });
    there_and_back(&home, &["java"], || {
        for (file, module) in [("auth", "-auth.so"), ("sign", "-sign.so")] {
            let text = home.read(&format!(".config/jpki-pkcs11/java-{file}.cfg"));
            assert!(text.contains(module) && !text.contains("@moduledir@"), "{text}");
        }
    });
}

#[test]
fn a_file_that_somebody_else_wrote_is_left_as_it_is() {
    let home = Home::new();
    home.write(".config/pkcs11/modules/jpki-pkcs11.module", "module: /mine.so\n");
    let before = home.contents();
    let said = home.setup(&["p11-kit"]).refused();
    assert!(said.contains("is there and is not ours"), "{said}");
    assert_eq!(home.contents(), before);
}

#[test]
fn lines_of_ours_that_a_person_has_changed_are_left_and_said_to_be() {
    let home = Home::new();
    home.setup(&["ssh", "--host", "card.example"]).ok();
    let changed = home.read(".ssh/config").replace("Host card.example", "Host card.example other.example");
    home.write(".ssh/config", &changed);
    let said = home.setup(&["ssh", "--host", "new.example"]).refused();
    assert!(said.contains("changed since") && said.contains("Host new.example"), "{said}");
    assert_eq!(home.read(".ssh/config"), changed);
}

#[test]
fn what_was_done_before_a_failure_is_said_and_can_be_undone() {
    let home = Home::new();
    for profile in ["one.default", "two.broken"] {
        home.write(&format!(".mozilla/firefox/{profile}/pkcs11.txt"), "library=\n\n");
    }
    fs::write(home.path(".mozilla/firefox/two.broken/pkcs11.txt"), [0xFF]).unwrap();
    let before = home.contents();
    let ran = home.setup(&["firefox"]);
    assert!(!ran.success && ran.stderr.contains("two.broken/pkcs11.txt is not UTF-8"), "{ran:?}");
    assert!(ran.stdout.contains("added to ") && ran.stdout.contains("one.default"), "{ran:?}");
    home.undo("firefox");
    assert_eq!(home.contents(), before);
}

#[test]
fn what_a_new_version_could_not_write_leaves_the_way_back_from_the_old_one() {
    let home = Home::new();
    home.write(".ssh/config", "Host old\n");
    let before = home.contents();
    home.setup(&["ssh", "--host", "one.example"]).ok();
    let set_up = home.contents();
    // The directory cannot be written to; for root neither, since the programs of this test are nobody's.
    let ssh = home.path(".ssh");
    let mode = fs::metadata(&ssh).unwrap().permissions();
    fs::set_permissions(&ssh, Permissions::from_mode(0o500)).unwrap();
    home.setup(&["ssh", "--host", "two.example"]).refused();
    fs::set_permissions(&ssh, mode).unwrap();
    assert_eq!(home.contents(), set_up);
    home.undo("ssh");
    assert_eq!(home.contents(), before);
}

#[test]
fn a_link_is_followed_and_one_to_nothing_is_left_as_it_is() {
    let home = Home::new();
    home.write("dotfiles/config", "Host old\n");
    home.write(".ssh/known_hosts", "");
    symlink("../dotfiles/config", home.path(".ssh/config")).unwrap();
    home.setup(&["ssh", "--host", "card.example"]).ok();
    assert!(home.path(".ssh/config").is_symlink());
    assert!(home.read("dotfiles/config").contains("card.example"));
    home.undo("ssh");
    assert!(home.path(".ssh/config").is_symlink());
    assert_eq!(home.read("dotfiles/config"), "Host old\n");
    fs::remove_file(home.path("dotfiles/config")).unwrap();
    let said = home.setup(&["ssh", "--host", "card.example"]).refused();
    assert!(said.contains("a link to a file that is not there"), "{said}");
    assert!(home.path(".ssh/config").is_symlink() && !home.path("dotfiles/config").exists());
}

#[test]
fn root_with_a_users_variables_writes_nothing_of_that_users() {
    if !needs_root("nobody else can write what is another user's") {
        return;
    }
    let home = Home::new();
    home.write(".ssh/config", "Host old\n");
    let before = home.contents();
    let root = home.scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    let modules = home.modules.to_str().unwrap();
    for arguments in [&["ssh", "--host", "card.example"][..], &["java"], &["p11-kit"]] {
        let said = run(Command::new(home.scratch.path().join("jpki"))
            .env_clear()
            .envs([("HOME", home.path("")), ("XDG_STATE_HOME", root.clone())])
            .arg("setup")
            .args(arguments)
            .args(["--module-dir", modules]))
        .refused();
        assert!(said.contains("belongs to another user"), "{said}");
        assert_eq!(home.contents(), before);
    }
}

#[test]
fn an_undo_by_root_leaves_what_is_another_users_by_now() {
    if !needs_root("nobody else can write what is another user's") {
        return;
    }
    let home = Home::new();
    let root = home.scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    let jpki = |arguments: &[&str]| {
        run(Command::new(home.scratch.path().join("jpki")).env_clear().env("HOME", &root).arg("setup").args(arguments))
    };
    let modules = ["--module-dir", home.modules.to_str().unwrap()];
    let config = root.join(".ssh/config");
    // One that was there and one that was not: to be restored, and to be removed.
    for before in [Some("Host old\n"), None] {
        fs::create_dir_all(root.join(".ssh")).unwrap();
        before.iter().for_each(|before| fs::write(&config, before).unwrap());
        jpki(&[&["ssh", "--host", "card.example"], &modules[..]].concat()).ok();
        chown(&config, Some(65534), Some(65534)).unwrap();
        let written = fs::read(&config).unwrap();
        let said = jpki(&["ssh", "--undo"]).refused();
        assert!(said.contains("belongs to another user"), "{said}");
        assert_eq!(fs::read(&config).unwrap(), written);
        assert_eq!(fs::metadata(&config).unwrap().uid(), 65534);
        // Root's again, it is undone.
        chown(&config, Some(0), Some(0)).unwrap();
        jpki(&["ssh", "--undo"]).ok();
        assert_eq!(fs::read_to_string(&config).ok().as_deref(), before);
        fs::remove_dir_all(root.join(".ssh")).unwrap();
    }
}

#[test]
fn without_the_module_nothing_is_set_up() {
    let home = Home::new();
    let before = home.contents();
    let said = home.jpki(&["setup", "java", "--module-dir", "/nowhere"]).refused();
    assert!(said.contains("libjpki_pkcs11-auth.so is not in /nowhere"), "{said}");
    assert_eq!(home.contents(), before);
}
