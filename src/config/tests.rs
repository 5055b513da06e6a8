use super::*;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use tempfile::TempDir;

/// A machine of its own: a system file, a home and variables.
struct Machine {
    root: TempDir,
    variables: HashMap<&'static str, OsString>,
    secure: bool,
    user: u32,
}

impl Machine {
    fn new() -> Machine {
        let root = tempfile::tempdir().unwrap();
        let user = fs::metadata(root.path()).unwrap().uid();
        let machine = Machine {
            variables: HashMap::from([("HOME", root.path().join("home").into())]),
            root,
            secure: false,
            user,
        };
        fs::create_dir_all(machine.path("home/.config/jpki-pkcs11")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn system(&self, text: &str) -> &Machine {
        self.write("system.toml", text);
        self
    }

    fn user(&self, text: &str) -> &Machine {
        self.write("home/.config/jpki-pkcs11/config.toml", text);
        self
    }

    fn named(&mut self, text: &str) -> &mut Machine {
        let path = self.write("named.toml", text);
        self.variables.insert("JPKI_PKCS11_CONF", path.into());
        self
    }

    fn set(&mut self, variable: &'static str, value: impl Into<OsString>) -> &mut Machine {
        self.variables.insert(variable, value.into());
        self
    }

    fn load(&self) -> Config {
        Config::load(&Environment {
            variable: Box::new(|name| self.variables.get(name).cloned()),
            secure: self.secure,
            user: self.user,
            system_file: self.path("system.toml"),
            run: self.path("run"),
        })
    }
}

#[test]
fn without_files_the_defaults_hold() {
    let machine = Machine::new();
    let config = machine.load();
    let state_dir = config.state_dir.clone();
    let places = state_dir.iter().cloned().collect();
    assert_eq!(config, Config { places, state_dir, ..Config::default() });
    assert!(config.ignores("Yubico YubiKey OTP+FIDO+CCID 00 00"));
    assert!(config.ignores("NITROKEY 3"));
    assert!(!config.ignores("SONY FeliCa RC-S300/S 00 00"));
}

/// As the file says.
#[test]
fn a_key_of_the_sample_file_is_set_by_removing_the_hash_before_it() {
    let lines: Vec<_> = include_str!("../../pkcs11-conf/config.toml").lines().collect();
    let is_key = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut keys = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some(without) = line.strip_prefix('#') else { continue };
        if without.split_once(" = ").is_none_or(|(name, _)| !is_key(name.trim_start())) {
            continue;
        }
        let mut machine = Machine::new();
        let mut set = lines.clone();
        set[at] = without;
        machine.named(&set.join("\n"));
        assert_eq!(machine.load().unusable, None, "{without}");
        keys += 1;
    }
    assert_eq!(keys, 13);
}

#[test]
fn the_sample_file_says_what_the_defaults_are() {
    let mut machine = Machine::new();
    let sample = include_str!("../../pkcs11-conf/config.toml");
    let without = machine.load();
    machine.named(sample);
    assert_eq!(machine.load(), without, "as shipped");

    // Every key in it is commented out with `#key`; prose is `# Prose`.
    let mut machine = Machine::new();
    let live: String = sample
        .lines()
        .map(|line| if line.starts_with("# ") { "" } else { line.trim_start_matches('#') })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(live.contains("hold_pin"), "{live}");
    machine.named(&live);
    let config = machine.load();
    assert_eq!(config.unusable, None, "{live}");
    let defaults = Config::default();
    assert_eq!(
        (config.tokens, config.hold_pin, config.pss, config.extended_read, config.lock_timeout, config.log_level),
        (
            defaults.tokens,
            defaults.hold_pin,
            defaults.pss,
            defaults.extended_read,
            defaults.lock_timeout,
            defaults.log_level
        )
    );
    assert_eq!(config.ignore_readers, defaults.ignore_readers);
}

#[test]
fn a_later_file_overrides_the_keys_it_has() {
    let mut machine = Machine::new();
    machine.system("tokens = 'sign'\npss = 'off'\nlock_timeout = 5").user("pss = 'on'\nextended_read = true");
    let config = machine.load();
    assert_eq!((config.tokens, config.pss, config.extended_read), (Tokens::Sign, Pss::On, true));
    assert_eq!(config.lock_timeout, Duration::from_secs(5));

    machine.named("pss = 'auto'\nlock_timeout = 0.5\n[auth]\nmax_login = 300\n[sign]\nalways_authenticate = true");
    let config = machine.load();
    assert_eq!((config.tokens, config.pss, config.extended_read), (Tokens::Sign, Pss::Auto, true));
    assert_eq!(config.lock_timeout, Duration::from_millis(500));
    assert_eq!((config.max_login, config.always_authenticate), (Some(Duration::from_secs(300)), true));

    for (value, meaning) in
        [("always", Authorities::Always), ("after-login", Authorities::AfterLogin), ("never", Authorities::Never)]
    {
        machine.named(&format!("authorities = '{value}'"));
        assert_eq!(machine.load().authorities, Some(meaning));
    }
}

#[test]
fn the_users_file_is_where_xdg_says() {
    let mut machine = Machine::new();
    machine.user("tokens = 'sign'");
    fs::create_dir_all(machine.path("xdg/jpki-pkcs11")).unwrap();
    machine.write("xdg/jpki-pkcs11/config.toml", "tokens = 'auth'");
    let xdg = machine.path("xdg");
    assert_eq!(machine.load().tokens, Tokens::Sign);
    machine.set("XDG_CONFIG_HOME", xdg);
    assert_eq!(machine.load().tokens, Tokens::Auth);
    machine.set("XDG_CONFIG_HOME", "relative");
    assert_eq!(machine.load().tokens, Tokens::Sign);
}

#[test]
fn relative_paths_lie_beside_the_file_that_names_them() {
    let mut machine = Machine::new();
    machine.named("practice = ['one.card', '/two.card']\nlog = 'the.log'");
    let config = machine.load();
    assert_eq!(config.practice, [machine.path("one.card"), "/two.card".into()]);
    assert_eq!(config.log, Some(machine.path("the.log")));
    machine.set("JPKI_PKCS11_LOG", "/elsewhere.log");
    assert_eq!(machine.load().log, Some("/elsewhere.log".into()));
}

#[test]
fn with_rights_the_caller_lacks_only_the_systems_file_counts() {
    let mut machine = Machine::new();
    machine.system("lock_timeout = 5").user("tokens = 'sign'");
    machine.named("pss = 'on'\npractice = ['x.card']");
    let home = machine.path("home");
    fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
    machine.set("JPKI_PKCS11_LOG", "/elsewhere.log").set("XDG_RUNTIME_DIR", home.clone()).set("XDG_STATE_HOME", home);
    machine.secure = true;
    assert_eq!(machine.load(), Config { lock_timeout: Duration::from_secs(5), ..Config::default() });
}

#[test]
fn processes_of_one_user_meet_in_every_place_that_is_ours_alone() {
    let mut machine = Machine::new();
    let state = machine.path("home/.local/state/jpki-pkcs11");
    assert_eq!(machine.load().places, std::slice::from_ref(&state));
    // The system's, which is found without the variable too.
    let of_system = machine.path("run").join("user").join(machine.user.to_string());
    let (session, root) = (machine.path("session"), machine.path("run/jpki-pkcs11"));
    for directory in [&of_system, &session] {
        fs::create_dir_all(directory).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap();
    }
    let of_root = (machine.user == 0).then_some(root);
    let expected = |places: &[&PathBuf]| -> Vec<PathBuf> {
        let found = places.iter().map(|place| place.join("jpki-pkcs11"));
        found.chain(of_root.clone()).chain([state.clone()]).collect()
    };
    assert_eq!(machine.load().places, expected(&[&of_system]));
    machine.set("XDG_RUNTIME_DIR", session.clone());
    assert_eq!(machine.load().places, expected(&[&of_system, &session]));
    fs::set_permissions(&session, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(machine.load().places, expected(&[&of_system]), "where everybody may write");
    // With more rights than the caller: what does not come from the caller.
    machine.secure = true;
    let found = machine.load().places;
    assert_eq!(found.first(), Some(&of_system.join("jpki-pkcs11")));
    assert!(!found.contains(&state));
    machine.secure = false;
    machine.user += 1;
    assert_eq!(machine.load().places, [] as [PathBuf; 0], "nothing of another user's");
}

#[test]
fn state_is_kept_in_a_home_of_our_own_only() {
    let mut machine = Machine::new();
    assert_eq!(machine.load().state_dir, Some(machine.path("home/.local/state/jpki-pkcs11")));
    fs::create_dir(machine.path("state")).unwrap();
    let state = machine.path("state");
    machine.set("XDG_STATE_HOME", state.clone());
    assert_eq!(machine.load().state_dir, Some(state.join("jpki-pkcs11")));
    // As in a `sudo` that keeps the variables.
    machine.user += 1;
    assert_eq!(machine.load().state_dir, None);
}

mod unusable;
