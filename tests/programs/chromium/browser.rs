//! Chromium in a window, with a profile of its own, and what its user does with it.

use super::devtools::{DevTools, Pipes};
use crate::common::{jpki, run, tool};
use crate::display::{Display, Seen, Window, patiently};
use crate::ground::Ground;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The title of the PIN prompt.
const PROMPT: &str = "^Unlock Security Device";
const WINDOW: &str = "Chromium$";

/// What makes a test's Chromium quiet, and lets root run it.
const OPTIONS: [&str; 10] = [
    "--no-sandbox",
    "--test-type",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--password-store=basic",
    "--window-position=0,0",
    "--window-size=1200,900",
    "--remote-debugging-pipe",
];

/// Chromium, running.
pub struct Chromium<'a> {
    process: Child,
    devtools: DevTools,
    display: &'a Display,
}

/// A user's home directory, whose NSS database has our module.
pub struct Home {
    directory: PathBuf,
    database: PathBuf,
}

impl Home {
    /// A new one, with `module` by the installed script, in which it stands instead of ours. It trusts the authority of this
    /// certificate for servers.
    pub fn new(ground: &Ground<'_>, name: &str, module: &Path, authority: &Path) -> Home {
        let home = Home::empty(ground, name, ".pki/nssdb");
        let script = fs::read_to_string(ground.installed.conf("chromium-nssdb.sh")).expect("it is installed");
        let (ours, theirs) = (ground.installed.auth().display().to_string(), module.display().to_string());
        assert!(script.contains(&ours), "{script}");
        home.run(&ground.scratch.file("chromium-nssdb.sh", script.replace(&ours, &theirs)), &[]);
        home.trust(authority);
        home
    }

    /// A new one, whose user had a database with that authority in this place before `jpki setup chromium` gave the module
    /// to Chromium.
    pub fn set_up(ground: &Ground<'_>, name: &str, place: &str, authority: &Path) -> Home {
        let home = Home::empty(ground, name, place);
        fs::create_dir_all(&home.database).expect("the scratch directory is ours");
        run(certutil().args(["-N", "--empty-password", "-d", &home.database()])).ok();
        home.trust(authority);
        let modules = ground.installed.auth();
        let modules = modules.parent().expect("it is in one");
        let mut setup = jpki();
        setup.args(["setup", "chromium", "--module-dir"]).arg(modules).env("HOME", &home.directory);
        run(setup.env_remove("XDG_STATE_HOME").env_remove("XDG_DATA_HOME")).ok();
        home
    }

    fn empty(ground: &Ground<'_>, name: &str, place: &str) -> Home {
        let directory = ground.scratch.path().join(name);
        fs::create_dir(&directory).expect("the scratch directory is ours");
        Home { database: directory.join(place), directory }
    }

    fn trust(&self, authority: &Path) {
        let arguments = ["-A", "-n", "Test server authority", "-t", "C,,", "-d", &self.database(), "-i"];
        run(certutil().args(arguments).arg(authority)).ok();
    }

    /// Runs the script for this user.
    pub fn run(&self, script: &Path, arguments: &[&str]) {
        run(Command::new("sh").arg(script).args(arguments).env("HOME", &self.directory)).ok();
    }

    /// What modutil says of the modules in it.
    pub fn modules(&self) -> String {
        run(Command::new(tool("modutil", "libnss3-tools")).args(["-list", "-dbdir", &self.database()])).ok()
    }

    fn database(&self) -> String {
        format!("sql:{}", self.database.display())
    }
}

fn certutil() -> Command {
    Command::new(tool("certutil", "libnss3-tools"))
}

impl<'a> Chromium<'a> {
    pub fn start(ground: &Ground<'_>, display: &'a Display, home: &Home) -> Chromium<'a> {
        let pipes = Pipes::new(&ground.scratch);
        let profile = tempfile::tempdir_in(ground.scratch.path()).expect("the scratch directory is ours").keep();
        let process = pipes
            .command(display.command("/bin/sh"))
            .arg(tool("chromium", "chromium"))
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .env("HOME", &home.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium can be run");
        let chromium = Chromium { process, devtools: DevTools::connect(&pipes), display };
        patiently("Chromium has a window", || chromium.display.window(WINDOW));
        // Into the page, where a Return too many does nothing; in the address bar it would end the loading of another.
        display.click();
        chromium
    }

    /// Goes to a page, without waiting for it.
    pub fn open(&mut self, url: &str) {
        self.devtools.send("Page.navigate", json!({ "url": url }));
    }

    /// Takes the certificate that Chromium proposes: presses Return in its window, until the PIN is asked for. The dialog
    /// can be seen on a screenshot only.
    pub fn confirm(&mut self, url: &str, screenshot: Option<&str>) -> Seen {
        patiently("the choice of a certificate leads on", || {
            if let Some(seen) = self.look(url) {
                return Some(seen);
            }
            if let Some(name) = screenshot {
                self.display.screenshot(name);
            }
            self.display.type_into(&self.display.window(WINDOW)?, "", "Return");
            None
        })
    }

    /// Types a PIN into its prompt and presses Return.
    pub fn answer(&mut self, prompt: &Window, pin: &str) {
        self.display.type_into(prompt, pin, "Return");
        patiently("the prompt closes", || (self.display.window(PROMPT).as_ref() != Some(prompt)).then_some(()));
    }

    /// Waits for the page at `url`, for a reason why there is none, or for a prompt.
    pub fn sees(&mut self, url: &str) -> Seen {
        patiently(url, || self.look(url))
    }

    fn look(&mut self, url: &str) -> Option<Seen> {
        if let Some(prompt) = self.display.window(PROMPT) {
            return Some(Seen::Prompt(prompt));
        }
        let script = "[document.readyState, document.URL, document.body?.innerText ?? '']";
        let script = json!({ "expression": script, "returnByValue": true });
        let page = self.devtools.call_within(Duration::from_millis(500), "Runtime.evaluate", script)?;
        let page = &page["result"]["value"];
        let text = page[2].as_str()?.to_owned();
        match (page[0].as_str()?, page[1].as_str()?) {
            ("complete", "chrome-error://chromewebdata/") if !text.is_empty() => Some(Seen::Failure(text)),
            ("complete", at) if at == url => Some(Seen::Page(text)),
            _ => None,
        }
    }

    /// Logs in to the server at `url`: takes the certificate that is proposed, and types one of these PINs after the other
    /// into the prompts, as long as there are any; an empty one closes the prompt. The server's page, or what is there in
    /// its place.
    pub fn log_in(&mut self, url: &str, pins: &[&str]) -> Result<String, Seen> {
        self.open(url);
        let mut seen = self.confirm(url, None);
        for pin in pins {
            if let Seen::Prompt(prompt) = seen {
                if pin.is_empty() {
                    self.cancel(&prompt)
                } else {
                    self.answer(&prompt, pin)
                }
                seen = self.confirm(url, None);
            }
        }
        match seen {
            Seen::Page(page) => Ok(page),
            other => Err(other),
        }
    }

    fn cancel(&mut self, prompt: &Window) {
        self.display.type_into(prompt, "", "Escape");
        patiently("the prompt closes", || (self.display.window(PROMPT).as_ref() != Some(prompt)).then_some(()));
    }

    /// Closes it as its menu does.
    pub fn quit(mut self) {
        while let Some(prompt) = self.display.window(PROMPT) {
            self.cancel(&prompt);
        }
        self.devtools.send("Browser.close", json!({}));
        patiently("Chromium ends", || self.process.try_wait().expect("it is our child"));
    }
}

impl Drop for Chromium<'_> {
    fn drop(&mut self) {
        self.display.screenshot_of_failure();
        if self.process.kill().and_then(|()| self.process.wait()).is_err() {
            eprintln!("a Chromium stays behind");
        }
    }
}
