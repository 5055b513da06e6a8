//! A display that nobody looks at, and the hands and eyes of who would: keys, windows, screenshots.

use crate::common::{run, tool};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// How long a person would look at a display before calling it stuck.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An X server of the test's own, with a free number.
pub struct Display {
    server: Child,
    name: String,
    /// It says its number there, and would be stopped by a closed pipe.
    _number: BufReader<ChildStdout>,
}

/// A window on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window(String);

/// What a browser's user sees after a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The text of a server's page.
    Page(String),
    /// The text or the address of the browser's own page of what went wrong.
    Failure(String),
    /// The prompt for a PIN.
    Prompt(Window),
}

impl Display {
    pub fn start() -> Display {
        let mut server = mortal(tool("Xvfb", "xvfb"))
            .args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb can be run");
        let mut number = BufReader::new(server.stdout.take().expect("it is piped"));
        let mut line = String::new();
        number.read_line(&mut line).expect("it can be heard");
        assert!(!line.trim().is_empty(), "Xvfb did not start");
        Display { server, name: format!(":{}", line.trim()), _number: number }
    }

    /// A command that shows its windows here, in English, and dies with the test.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = mortal(program);
        command
            .env("DISPLAY", &self.name)
            .env("LC_ALL", "C.UTF-8")
            .env("NO_AT_BRIDGE", "1")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("XAUTHORITY")
            .env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    }

    /// A visible window with this in its title.
    pub fn window(&self, title: &str) -> Option<Window> {
        let found = run(self.xdotool().args(["search", "--onlyvisible", "--name", title]));
        found.stdout.lines().next().map(|id| Window(id.to_owned()))
    }

    /// Types `text`, if any, and then presses `key`, in a window.
    pub fn type_into(&self, window: &Window, text: &str, key: &str) {
        run(self.xdotool().args(["windowfocus", &window.0])).ok();
        if !text.is_empty() {
            run(self.xdotool().args(["type", "--delay", "20", text])).ok();
        }
        run(self.xdotool().args(["key", key])).ok();
    }

    /// Clicks on the middle of the display.
    pub fn click(&self) {
        run(self.xdotool().args(["mousemove", "640", "512", "click", "1"])).ok();
    }

    /// Keeps what is to be seen in `target/programs/screens`.
    pub fn screenshot(&self, name: &str) {
        let screens = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs/screens");
        fs::create_dir_all(&screens).expect("target is ours");
        run(self
            .command(tool("import", "imagemagick"))
            .args(["-window", "root"])
            .arg(screens.join(format!("{name}.png"))))
        .ok();
    }

    /// Keeps what is to be seen while a test fails, under the test's name.
    pub fn screenshot_of_failure(&self) {
        let thread = thread::current();
        if let (true, Some(test)) = (thread::panicking(), thread.name()) {
            self.screenshot(&format!("failed-{}", test.replace("::", "-")));
        }
    }

    fn xdotool(&self) -> Command {
        self.command(tool("xdotool", "xdotool"))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if self.server.kill().and_then(|()| self.server.wait()).is_err() {
            eprintln!("an Xvfb stays behind");
        }
    }
}

/// A command that is killed when the test that began it dies.
fn mortal(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(tool("setpriv", "util-linux"));
    command.args(["--pdeathsig", "KILL"]).arg(program.as_ref());
    command
}

/// Waits until `condition` holds, as long as there is [`PATIENCE`].
///
/// # Panics
/// When there is none left.
pub fn patiently<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(outcome) = condition() {
            return outcome;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
