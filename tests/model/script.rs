//! A script: a world's setting, and the steps taken in it. As text it has a line for each; `#` begins a comment.

use crate::step::{Step, step};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt;
use std::str::FromStr;

/// What a world is like from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `hold_pin` of the configuration.
    pub hold_pin: bool,
    /// Whether `auth.max_login` is one second.
    pub max_login: bool,
    /// Whether there is a `/run/user/<euid>`.
    pub user: bool,
    /// Whether A, B and C have XDG_RUNTIME_DIR.
    pub runtime: [bool; 3],
    /// Whether the cards' issuer domain can be selected, as that of a telephone may not.
    pub issuer: bool,
}

/// What it is unless a script says otherwise.
impl Default for Setting {
    fn default() -> Setting {
        Setting { hold_pin: true, max_login: false, user: true, runtime: [true; 3], issuer: true }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub setting: Setting,
    pub steps: Vec<Step>,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (setting, usual) = (self.setting, Setting::default());
        let differs = [
            (setting.hold_pin, usual.hold_pin, "the PIN is not held"),
            (setting.max_login, usual.max_login, "a login lasts a second"),
            (setting.user, usual.user, "no directory of the user below /run"),
            (setting.runtime[0], true, "A without XDG_RUNTIME_DIR"),
            (setting.runtime[1], true, "B without XDG_RUNTIME_DIR"),
            (setting.runtime[2], true, "C without XDG_RUNTIME_DIR"),
            (setting.issuer, usual.issuer, "the cards refuse their issuer domain"),
        ];
        for (_, _, line) in differs.into_iter().filter(|(value, usual, _)| value != usual) {
            writeln!(f, "with {line}")?;
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        let mut script = Script { setting: Setting::default(), steps: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            match line.strip_prefix("with ") {
                _ if line.is_empty() => {}
                Some("the PIN is not held") => script.setting.hold_pin = false,
                Some("a login lasts a second") => script.setting.max_login = true,
                Some("no directory of the user below /run") => script.setting.user = false,
                Some("A without XDG_RUNTIME_DIR") => script.setting.runtime[0] = false,
                Some("B without XDG_RUNTIME_DIR") => script.setting.runtime[1] = false,
                Some("C without XDG_RUNTIME_DIR") => script.setting.runtime[2] = false,
                Some("the cards refuse their issuer domain") => script.setting.issuer = false,
                Some(other) => return Err(format!("line {}: there is no world with {other:?}", number + 1)),
                None => {
                    let step = line.parse().map_err(|error| format!("line {}: {error}", number + 1))?;
                    script.steps.push(step);
                }
            }
        }
        Ok(script)
    }
}

/// Any script.
pub fn script() -> impl Strategy<Value = Script> {
    let often = || prop_oneof![4 => Just(true), 1 => Just(false)];
    let mostly = || prop_oneof![7 => Just(true), 1 => Just(false)];
    // Shrinks to a setting like the usual one, which has `true` almost everywhere.
    let runtime = prop_oneof![6 => Just([true; 3]), 1 => Just([false; 3]), 3 => [often(), often(), often()]];
    let setting = (often(), mostly(), often(), runtime, mostly());
    let setting = setting.prop_map(|(hold_pin, lasts, user, runtime, issuer)| Setting {
        hold_pin,
        max_login: !lasts,
        user,
        runtime,
        issuer,
    });
    (setting, vec(step(), 4..40)).prop_map(|(setting, steps)| Script { setting, steps })
}

#[test]
fn every_script_can_be_written_down() {
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |(script in script())| {
        prop_assert_eq!(script.to_string().parse::<Script>(), Ok(script));
    });
}
