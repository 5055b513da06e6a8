//! A pcscd of the test's own, with two virtual readers and nothing else, in private mount and network namespaces: no
//! real reader is ever touched, and any number of them live side by side.
//!
//! libpcsclite reads the name of its socket once in a process, so a test's body runs in a process of its own, with the
//! name in its environment ([`with_pcscd`]).

use super::namespaces::{is_root, own_mounts};
use super::{Scratch, eventually, run, target_dir, tool, write_private};
use jpki_pkcs11::emulator::vpcd::DEFAULT_PORT;
use std::fs::DirBuilder;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, fs};

/// The first virtual reader.
pub const READER: &str = "Virtual PCD 00 00";
/// What vpcd's readers are called, unless a test plugs in others ([`Pcscd::start_as`]).
const FRIENDLY_NAME: &str = "Virtual PCD";
/// All of them.
pub const READERS: [&str; 2] = [READER, "Virtual PCD 00 01"];

const VPCD: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";

/// What runs inside the namespaces: pcscd, and pcscd again at each SIGUSR1. It ends when its standard input is closed, and
/// that is when the test's process ends, however it does. One that asks polkit whom to admit (Debian 13) is told not to:
/// nobody but the test reaches it, and in a root without services polkit would admit nobody.
const INSIDE: &str = r#"
set -e
polkit=$(pcscd --help | grep -o -- --disable-polkit || true)
start() { pcscd --foreground $polkit --config "$2" >>"$3" 2>&1 & pcscd=$!; }
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/pcscd
mount --bind "$1" /run/pcscd
exec 3<&0
cat <&3 >/dev/null & life=$!
trap 'start "$@"' USR1
start "$@"
echo "$$"
while kill -0 "$life" 2>/dev/null; do wait "$life" || true; done
kill "$pcscd" 2>/dev/null || true
kill -CONT "$pcscd" 2>/dev/null || true
wait
"#;

/// The body's side of the bargain: scratch directory and process of the namespaces.
const GROUND: &str = "JPKI_TEST_GROUND";

/// Runs `body`, which is all that the test `name` does, in a process whose PC/SC is a pcscd of its own.
///
/// # Panics
/// If `body` does; where a tool is missing; where any reader is not a virtual one.
pub fn with_pcscd(name: &str, body: impl FnOnce(&Pcscd)) {
    with_pcscd_for(name, 600, body);
}

/// The same, for a body that may take this many seconds.
///
/// # Panics
/// As [`with_pcscd`].
pub fn with_pcscd_for(name: &str, seconds: u64, body: impl FnOnce(&Pcscd)) {
    if let Some(pcscd) = Pcscd::of_process() {
        return body(&pcscd);
    }
    let service = Service::start();
    let program = env::current_exe().expect("this process has a program");
    // Ended after that time, so that a deadlock is a failure; and with this process.
    let body = run(service
        .client(tool("setpriv", "util-linux"))
        .args(["--pdeathsig", "TERM"])
        .arg(tool("timeout", "coreutils"))
        .args(["--kill-after=5", &seconds.to_string()])
        .arg(program)
        .args(["--exact", name, "--nocapture"]));
    let output = format!("{}{}", body.stdout, body.stderr);
    assert!(body.success && output.contains("test result: ok. 1 passed"), "{name}, in {seconds} s at most:\n{output}");
    // The figures it measured.
    print!("{}", body.stdout);
}

fn home(scratch: &Scratch) -> PathBuf {
    scratch.path().join("home")
}

/// Tells the next pcscd what its two readers are called.
fn configure(directory: &Path, friendly_name: &str) {
    let readers = format!(
        "FRIENDLYNAME \"{friendly_name}\"\nDEVICENAME /dev/null:{DEFAULT_PORT:#X}\n\
         LIBPATH {VPCD}\nCHANNELID {DEFAULT_PORT:#X}\n"
    );
    fs::write(directory.join("readers/vpcd"), readers).expect("the scratch directory is ours");
}

/// A pcscd for processes that [`Service::client`] begins; it ends when this is dropped.
pub struct Service {
    /// Where pcscd has its socket and its log.
    scratch: Scratch,
    namespaces: Child,
    inside: u32,
}

impl Service {
    /// Starts one.
    ///
    /// # Panics
    /// Where a tool is missing, or no namespace is to be had.
    pub fn start() -> Service {
        for (name, package) in
            [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2"), ("pcscd", "pcscd")]
        {
            tool(name, package);
        }
        assert!(Path::new(VPCD).is_file(), "{VPCD} is missing: apt-get install vsmartcard-vpcd (or `make setup`)");
        let scratch = Scratch::new();
        for directory in ["run", "readers", "home", "system-run"] {
            fs::create_dir(scratch.path().join(directory)).expect("the scratch directory is ours");
        }
        configure(scratch.path(), FRIENDLY_NAME);
        let mut namespaces = Command::new("unshare")
            .args(own_mounts())
            .arg("--net")
            .args(["sh", "-c", INSIDE, "sh"])
            .args(["run", "readers", "log"].map(|name| scratch.path().join(name)))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare can be run");
        let mut inside = String::new();
        let stdout = namespaces.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut inside).expect("it can be heard");
        let inside = inside.trim().parse().unwrap_or_else(|_| {
            panic!("no private namespaces: unshare needs root, or user namespaces that are allowed")
        });
        Service { scratch, namespaces, inside }
    }

    /// A command whose PC/SC is this service; in it, [`Pcscd::of_process`] is this service's.
    pub fn client(&self, program: impl AsRef<Path>) -> Command {
        let mut client = Command::new(program.as_ref());
        client
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_for_programs)))
            .env(GROUND, format!("{} {}", self.inside, self.scratch.path().display()))
            .env("PCSCLITE_CSOCK_NAME", self.scratch.path().join("run/pcscd.comm"))
            // Servers of tests are on this machine, whatever a program's own configuration says of proxies.
            .env("no_proxy", "*")
            // A user of its own, too: no configuration, state or login of whoever runs the tests.
            .env("JPKI_TEST_RUN", self.scratch.path().join("system-run"))
            .envs(
                ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"]
                    .map(|name| (name, home(&self.scratch))),
            );
        client
    }
}

/// Whether a variable of whoever runs the tests is to reach the programs under test: it says where programs, libraries and
/// room for temporary files are, what Rust's programs do, or how long a test lasts. Of the others, GIT_DIR would have git write into a
/// developer's repository, https_proxy would send what is for this machine elsewhere, LANG would change the answers.
fn is_for_programs(name: &str) -> bool {
    ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "CI", "JPKI_STRESS_SECONDS"].contains(&name)
        || ["CARGO", "RUST", "LLVM_PROFILE", "JPKI_MODEL"].iter().any(|start| name.starts_with(start))
}

impl Drop for Service {
    fn drop(&mut self) {
        // Its end of life, as when this process dies.
        drop(self.namespaces.stdin.take());
        if let Err(error) = self.namespaces.wait() {
            eprintln!("a private pcscd may stay behind: {error}");
        }
    }
}

/// The pcscd of this test's body.
pub struct Pcscd {
    inside: u32,
    directory: PathBuf,
}

impl Pcscd {
    /// That of this process, if [`Service::client`] began it.
    ///
    /// # Panics
    /// Where any reader is not a virtual one.
    pub fn of_process() -> Option<Pcscd> {
        let ground = env::var_os(GROUND)?.into_string().expect("it is ASCII");
        let (inside, directory) = ground.split_once(' ').expect("it has two parts");
        let pcscd = Pcscd { inside: inside.parse().expect("it is a process"), directory: directory.into() };
        pcscd.await_readers();
        Some(pcscd)
    }

    /// Writes the module's configuration, for those who initialise it from now on.
    pub fn configure_module(&self, text: &str) {
        let directory = self.directory.join("home/jpki-pkcs11");
        // Private, since state and logins have the same place here.
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).expect("the scratch directory is ours");
        write_private(&directory.join("config.toml"), text);
    }

    /// Puts the practice card of `file` into the first reader, as a person does.
    pub fn insert(&self, file: &Path) -> Inserted {
        self.insert_into(0, file)
    }

    /// Puts it into one of the two; what it is asked is added to the file's name with the ending `log`.
    pub fn insert_into(&self, reader: u16, file: &Path) -> Inserted {
        let mut insert = self.inside(env!("CARGO_BIN_EXE_jpki"));
        insert.args(["card", "insert", "--host", "127.0.0.1", "--port", &(DEFAULT_PORT + reader).to_string()]);
        insert.arg("--log").arg(file.with_extension("log")).arg(file);
        self.inserted(reader, insert)
    }

    /// Puts a card into the first reader that does as it is told.
    pub fn insert_scripted(&self) -> Inserted {
        self.plug(0, |plug| plug.arg("scripted"))
    }

    /// Puts a card into the first reader that says nothing.
    pub fn insert_mute(&self) -> Inserted {
        self.plug(0, |plug| plug.arg("mute"))
    }

    /// Puts the practice card of `file` into one of the two readers and has it lie: see `examples/plug.rs`.
    pub fn insert_lying(&self, reader: u16, file: &Path, aim: &str, fault: &str) -> Inserted {
        self.plug(reader, |plug| plug.arg("lying").arg(file).args([aim, fault]))
    }

    /// Puts the practice card of `file` into the first reader and has it refuse every application but ours.
    pub fn insert_faithful(&self, file: &Path) -> Inserted {
        self.plug(0, |plug| plug.arg("faithful").arg(file))
    }

    /// Puts the practice card of `file` into the first reader, from where it goes in the middle of its `command`-th command.
    pub fn insert_leaving(&self, file: &Path, command: usize) -> Inserted {
        self.plug(0, |plug| plug.arg("leaving").arg(file).arg(command.to_string()))
    }

    /// See `examples/plug.rs`.
    fn plug(&self, reader: u16, card: impl FnOnce(&mut Command) -> &mut Command) -> Inserted {
        let program = target_dir().join("examples/plug");
        assert!(program.is_file(), "cargo test builds it, with --test only after: cargo build --example plug");
        let mut plug = self.inside(program);
        card(plug.arg(format!("127.0.0.1:{}", DEFAULT_PORT + reader)));
        self.inserted(reader, plug)
    }

    fn inserted(&self, reader: u16, mut insert: Command) -> Inserted {
        let child = insert.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut card = Inserted { child: child.expect("nsenter can be run"), reader };
        eventually("the card is in the reader", || {
            let ended = card.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the card left at once: {ended:?}");
            present(reader).then_some(())
        });
        card
    }

    /// Takes the card out.
    pub fn remove(&self, card: Inserted) {
        let reader = card.reader;
        drop(card);
        eventually("the reader is empty", || (!present(reader)).then_some(()));
    }

    /// Has the process that plays the card end by this signal; how it ended.
    pub fn signalled_out(&self, mut card: Inserted, signal: &str) -> ExitStatus {
        card.signal(signal);
        let status = eventually("the process ends", || card.child.try_wait().expect("it is our child"));
        eventually("the reader is empty", || (!present(card.reader)).then_some(()));
        status
    }

    /// Ends the service.
    pub fn stop(&self) {
        let pid = self.directory.join("run/pcscd.pid");
        let process = fs::read_to_string(&pid).expect("pcscd is running");
        run(Command::new("kill").arg(process.trim_end_matches(['\0', '\n']))).ok();
        eventually("pcscd has ended", || (!pid.exists()).then_some(()));
    }

    /// Stops the service in the middle of whatever it does, or lets it go on.
    pub fn signal(&self, signal: &str) {
        let process = fs::read_to_string(self.directory.join("run/pcscd.pid")).expect("pcscd is running");
        run(Command::new("kill").arg(signal).arg(process.trim_end_matches(['\0', '\n']))).ok();
    }

    /// Stops it until what this answers is dropped: every call to it waits.
    pub fn paused(&self) -> Paused<'_> {
        self.signal("-STOP");
        Paused(self)
    }

    /// Starts the service again.
    pub fn start(&self) {
        self.start_as(FRIENDLY_NAME);
    }

    /// Starts the service again, with other readers plugged in: "`friendly_name` 00 00" and "… 00 01".
    pub fn start_as(&self, friendly_name: &str) {
        configure(&self.directory, friendly_name);
        run(Command::new("kill").args(["-USR1", &self.inside.to_string()])).ok();
        self.await_readers();
    }

    fn await_readers(&self) {
        let readers = eventually("pcscd shows its readers", || {
            let context = pcsc::Context::establish(pcsc::Scope::User).ok()?;
            context.list_readers_owned().ok().filter(|readers| !readers.is_empty())
        });
        let configured = fs::read_to_string(self.directory.join("readers/vpcd")).expect("it was written");
        let ours = configured.split('"').nth(1).expect("it names the readers");
        let ours = [0, 1].map(|reader| format!("{ours} 00 0{reader}"));
        let strange = readers.iter().find(|reader| ours.iter().all(|ours| reader.as_bytes() != ours.as_bytes()));
        assert_eq!(strange, None, "a reader that this test did not start");
    }

    /// A command that runs where the virtual readers listen. It is for what plugs cards in; clients of PC/SC run outside.
    fn inside(&self, program: impl AsRef<Path>) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg("--target").arg(self.inside.to_string());
        if !is_root() {
            nsenter.args(["--user", "--preserve-credentials"]);
        }
        nsenter.arg("--net").arg("--").arg(program.as_ref());
        nsenter
    }
}

/// A service that does nothing; dropping this lets it go on.
pub struct Paused<'a>(&'a Pcscd);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.signal("-CONT");
    }
}

/// A card in a reader; dropping it takes it out.
pub struct Inserted {
    child: Child,
    reader: u16,
}

impl Inserted {
    /// Waits until a card that leaves of itself ([`Pcscd::insert_leaving`]) has done so.
    pub fn await_departure(&mut self) {
        eventually("the card has left", || self.child.try_wait().expect("it is our child"));
    }

    /// Stops or lets go on the process that plays the card: a card that falls silent in the middle of a command.
    pub fn signal(&self, signal: &str) {
        run(Command::new("kill").args([signal, &self.child.id().to_string()])).ok();
    }
}

impl Drop for Inserted {
    fn drop(&mut self) {
        // Killed, so that a card that hangs goes too.
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("the process of a card stays behind");
        }
    }
}

/// Whether pcscd sees a card there, whatever the reader is called just now.
fn present(reader: u16) -> bool {
    let look = || {
        let context = pcsc::Context::establish(pcsc::Scope::User)?;
        let names = context.list_readers_owned()?;
        let name = names.into_iter().nth(reader.into()).ok_or(pcsc::Error::UnknownReader)?;
        let mut state = [pcsc::ReaderState::new(name, pcsc::State::UNAWARE)];
        context.get_status_change(std::time::Duration::ZERO, &mut state)?;
        Ok::<_, pcsc::Error>(state[0].event_state())
    };
    look().is_ok_and(|state| state.contains(pcsc::State::PRESENT))
}
