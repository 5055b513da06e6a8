//! Where browsers are and what they keep: which of them run in a box of their own, and which database Chromium uses.

use super::machine::Machine;
use super::nss;
use std::fs;
use std::path::{Path, PathBuf};

/// A browser that `jpki setup` knows, with its relatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Browser {
    Firefox,
    Chromium,
}

/// One from Snap or Flatpak: it runs in a box of its own, which loads no module of the system.
#[derive(Debug, Clone, Copy)]
pub struct Sandboxed {
    /// Nothing for a mail program.
    browser: Option<Browser>,
    name: &'static str,
    kind: &'static str,
    /// The name of the snap, or that of the application.
    id: &'static str,
}

const SANDBOXED: [Sandboxed; 6] = [
    Sandboxed { browser: Some(Browser::Firefox), name: "Firefox", kind: "snap", id: "firefox" },
    Sandboxed { browser: Some(Browser::Chromium), name: "Chromium", kind: "snap", id: "chromium" },
    Sandboxed { browser: Some(Browser::Firefox), name: "Firefox", kind: "flatpak", id: "org.mozilla.firefox" },
    Sandboxed { browser: Some(Browser::Chromium), name: "Chromium", kind: "flatpak", id: "org.chromium.Chromium" },
    Sandboxed { browser: Some(Browser::Chromium), name: "Google Chrome", kind: "flatpak", id: "com.google.Chrome" },
    Sandboxed { browser: None, name: "Thunderbird", kind: "flatpak", id: "org.mozilla.Thunderbird" },
];

impl Sandboxed {
    /// What to do about one.
    pub const NEXT: &str =
        "Use the card with one that is installed as an ordinary package, from Debian or from its makers.";

    /// Those that are installed.
    pub fn installed(machine: &Machine) -> Vec<Sandboxed> {
        SANDBOXED.into_iter().filter(|one| one.is_installed(machine)).collect()
    }

    /// Those of `browser` that are installed or have kept something for this user.
    pub fn used(machine: &Machine, browser: Browser) -> Vec<Sandboxed> {
        let of_browser = SANDBOXED.into_iter().filter(|one| one.browser == Some(browser));
        of_browser.filter(|one| one.is_installed(machine) || one.has_data(machine)).collect()
    }

    /// What is the matter with it.
    pub fn what(&self) -> String {
        let Sandboxed { name, kind, .. } = self;
        format!("{name}: there is a {kind} of it, which cannot load a module of the system")
    }

    fn is_installed(&self, machine: &Machine) -> bool {
        if self.kind == "snap" {
            return machine.system("/snap/bin").join(self.id).exists();
        }
        let place = format!("flatpak/app/{}", self.id);
        machine.system("/var/lib").join(&place).exists()
            || machine.home(".local/share").is_some_and(|share| share.join(&place).exists())
    }

    fn has_data(&self, machine: &Machine) -> bool {
        let place = if self.kind == "snap" { "snap" } else { ".var/app" };
        machine.home(place).is_some_and(|place| place.join(self.id).exists())
    }
}

impl Browser {
    /// Whether it is on this machine otherwise than in a box: as a program, or by what it keeps for this user.
    pub fn is_ordinary(self, machine: &Machine) -> bool {
        let (commands, places, kept): (&[&str], &[&str], &[&str]) = match self {
            Browser::Firefox => (&["firefox", "firefox-esr"], &["/opt/firefox/firefox"], &[]),
            Browser::Chromium => (
                &["chromium", "chromium-browser", "google-chrome", "microsoft-edge", "brave-browser", "vivaldi"],
                &[],
                &["chromium", "google-chrome"],
            ),
        };
        commands.iter().any(|command| ordinary_program(machine, command).is_some())
            || places.iter().any(|place| machine.system(place).is_file())
            || kept.iter().any(|place| machine.config(place).is_some_and(|kept| kept.exists()))
    }
}

/// Where a program of this name is, if that is not one of a snap.
pub fn ordinary_program(machine: &Machine, name: &str) -> Option<PathBuf> {
    machine.program(name).filter(|program| !starts_a_snap(machine, program))
}

/// Snap's own commands, and the scripts that stand for the programs on Ubuntu, whose packages of their names hold no more.
fn starts_a_snap(machine: &Machine, program: &Path) -> bool {
    let is_script = |text: &[u8]| text.starts_with(b"#!") && text.windows(10).any(|part| part == b"/snap/bin/");
    program.starts_with(machine.system("/snap")) || fs::read(program).is_ok_and(|text| is_script(&text))
}

/// The directory of the database that Chromium and its relatives share. They have moved it to the XDG directory for data,
/// but use the older one wherever there is one: to make that would hide the other from them, with all that is in it.
pub fn chromium_database(machine: &Machine) -> Option<PathBuf> {
    let (older, newer) = (machine.home(".pki/nssdb")?, machine.data("pki/nssdb")?);
    Some(if !older.exists() && newer.join(nss::FILE).is_file() { newer } else { older })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_ordinary_unless_its_command_starts_a_snap() {
        let ubuntu = "#!/bin/sh\nif ! [ -x /snap/bin/firefox ]; then exit 1; fi\nexec /snap/bin/firefox \"$@\"\n";
        for (files, is_ordinary) in [
            (&[][..], false),
            (&[("usr/bin/firefox", ubuntu)][..], false),
            (&[("usr/bin/firefox", "\x7fELF /snap/bin/ is in its code")], true),
            (&[("usr/bin/firefox", ubuntu), ("usr/bin/firefox-esr", "\x7fELF")], true),
            (&[("usr/bin/firefox", ubuntu), ("opt/firefox/firefox", "\x7fELF")], true),
        ] {
            let (_root, machine) = Machine::with_files(files);
            assert_eq!(Browser::Firefox.is_ordinary(&machine), is_ordinary, "{files:?}");
        }
    }

    #[test]
    fn the_older_database_is_chromiums_wherever_there_is_one() {
        for (files, place) in [
            (&[][..], ".pki/nssdb"),
            (&["home/me/.local/share/pki/nssdb/pkcs11.txt"][..], ".local/share/pki/nssdb"),
            (&["home/me/.local/share/pki/nssdb/pkcs11.txt", "home/me/.pki/nssdb/cert9.db"], ".pki/nssdb"),
            (&["home/me/.local/share/pki/nssdb/empty"], ".pki/nssdb"),
        ] {
            let files: Vec<_> = files.iter().map(|file| (*file, "")).collect();
            let (root, machine) = Machine::with_files(&files);
            assert_eq!(chromium_database(&machine), Some(root.path().join("home/me").join(place)), "{files:?}");
        }
    }
}
