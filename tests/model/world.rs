//! The world in which a script is played: a pcscd, two cards, processes of the user's and where they meet.

use crate::agent::{Agent, Answer, BOUND};
use crate::books::{Books, Process};
use crate::card::Card;
use crate::common::namespaces::is_root;
use crate::common::pcscd::{Inserted, Pcscd};
use crate::common::{Scratch, client, jpki, run, tool, write_private};
use crate::script::Setting;
use crate::step::{Name, Place};
use crate::witness::Witness;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What worlds have in common: it takes seconds to make.
pub struct Ground<'a> {
    pcscd: &'a Pcscd,
    /// For the agent and the cards.
    _scratch: Scratch,
    agent: PathBuf,
    module: PathBuf,
    pub cards: [Card; 2],
}

impl<'a> Ground<'a> {
    pub fn of(pcscd: &'a Pcscd) -> Ground<'a> {
        let scratch = Scratch::new();
        let agent = client::program(&scratch, "agent.c").get_program().into();
        let cards = [Name::X, Name::Y].map(|name| Card::issue(name, scratch.path()));
        Ground { pcscd, agent, module: crate::common::built(), cards, _scratch: scratch }
    }
}

pub struct World<'g, 'a> {
    pub ground: &'g mut Ground<'a>,
    setting: Setting,
    /// Where processes meet, in memory, since what the card has refused is remembered nowhere else.
    places: TempDir,
    pub agents: [Option<Agent>; 3],
    inserted: [Option<Inserted>; 2],
    pub witness: [Witness; 2],
    /// Children of agents that outlive them.
    pub children: Vec<String>,
    /// Locks that somebody holds for ever.
    hogged: Vec<File>,
    full: bool,
    looks: usize,
}

impl<'g, 'a> World<'g, 'a> {
    /// With the first card in the first reader.
    pub fn new(ground: &'g mut Ground<'a>, setting: Setting) -> World<'g, 'a> {
        let memory = Path::new("/dev/shm");
        let places = tempfile::Builder::new().prefix("jpki-model-").tempdir_in(memory).expect("there is a tmpfs");
        for (directory, there) in [("runtime", true), ("config/jpki-pkcs11", true), ("state", true), ("run", true)] {
            make(&places.path().join(directory), there);
        }
        make(&user(places.path()), setting.user);
        let max_login = if setting.max_login { "[auth]\nmax_login = 1\n" } else { "" };
        let text = format!("lock_timeout = 1\nhold_pin = {}\n{max_login}", setting.hold_pin);
        write_private(&places.path().join("config/jpki-pkcs11/config.toml"), &text);
        ground.cards.iter_mut().for_each(|card| card.renew(setting.issuer));
        let mut world = World {
            ground,
            setting,
            places,
            agents: [None, None, None],
            inserted: [None, None],
            witness: [Witness::of(0), Witness::of(1)],
            children: Vec::new(),
            hogged: Vec::new(),
            full: false,
            looks: 0,
        };
        world.put(0, 0);
        world
    }

    /// Surroundings of a process, with a runtime directory or without.
    fn surround<'c>(&self, command: &'c mut Command, runtime: bool) -> &'c mut Command {
        for (variable, place) in
            [("HOME", "."), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("JPKI_TEST_RUN", "run")]
        {
            command.env(variable, self.places.path().join(place));
        }
        if let Some(log) = std::env::var_os("JPKI_MODEL_LOG") {
            command.env("JPKI_PKCS11_LOG", log);
        }
        match runtime {
            true => command.env("XDG_RUNTIME_DIR", self.places.path().join("runtime")),
            false => command.env_remove("XDG_RUNTIME_DIR"),
        }
    }

    fn agent(&self, runtime: bool) -> Agent {
        let mut command = Command::new(&self.ground.agent);
        let agent = Agent::start(self.surround(command.arg(&self.ground.module), runtime));
        limit(&agent, self.full);
        agent
    }

    pub fn start(&mut self, process: usize) {
        self.agents[process] = Some(self.agent(self.setting.runtime[process]));
    }

    pub fn put(&mut self, reader: usize, card: usize) {
        self.inserted[reader] = Some(self.ground.pcscd.insert_into(reader as u16, &self.ground.cards[card].file));
        // Powers the card up, and takes the 6F00 that follows upon itself.
        self.witness[reader].select().unwrap_or_else(|error| panic!("a card that was put in: {error}"));
    }

    pub fn pull(&mut self, reader: usize) {
        if let Some(inserted) = self.inserted[reader].take() {
            self.ground.pcscd.remove(inserted);
        }
    }

    pub fn stop_service(&mut self) {
        self.ground.pcscd.stop();
        self.inserted = [None, None];
    }

    /// With the cards that have lain in the readers all the time.
    pub fn start_service(&mut self, books: &Books) {
        self.ground.pcscd.start();
        for (reader, state) in books.readers.iter().enumerate() {
            if let Some(card) = state.card {
                self.put(reader, card);
            }
        }
    }

    fn place(&self, place: Place) -> PathBuf {
        let base = match place {
            Place::Runtime => self.places.path().join("runtime"),
            Place::User => user(self.places.path()),
            Place::Root => self.places.path().join("run"),
            Place::State => self.places.path().join("state"),
        };
        base.join("jpki-pkcs11")
    }

    /// Removes every file there is in a place.
    pub fn clean(&self, place: Place) {
        for file in files(&self.place(place)) {
            fs::remove_file(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    /// Holds alone every lock that can be had, as a process would that was stopped with them. Whether there was any.
    pub fn hog(&mut self) -> bool {
        let locks = Place::ALL.iter().flat_map(|place| files(&self.place(*place)));
        let locks = locks.filter(|file| file.extension().is_some_and(|name| name == "login" || name == "sign"));
        self.hogged = locks.filter_map(|lock| File::open(lock).ok()).filter(|file| file.try_lock().is_ok()).collect();
        !self.hogged.is_empty()
    }

    pub fn let_go(&mut self) {
        self.hogged.clear();
    }

    /// From now on nothing can be written where processes meet, or it can again.
    pub fn fill(&mut self, full: bool) {
        self.full = full;
        self.agents.iter().flatten().for_each(|agent| limit(agent, full));
    }

    /// A look at the card, as by whoever comes next: a process that is there, a new one, or the program.
    pub fn look(&mut self, reader: usize, processes: &[Process; 3]) -> Result<(), String> {
        self.looks += 1;
        let (runtime, task) = (self.setting.runtime[self.looks % 3], ["open", "slotinfo", "tokeninfo"][self.looks % 3]);
        let there = self.agents.iter_mut().zip(processes).find_map(|(agent, process)| {
            let agent = agent.as_mut().filter(|agent| !agent.stopped);
            agent.filter(|_| process.initialized && !process.starved && !process.shaken)
        });
        match (self.looks % 5, there) {
            (0, _) => return self.status(runtime),
            (1, Some(agent)) => accepted(&agent.ask(&format!("tokeninfo {}", 2 * reader))?),
            (2, Some(agent)) => accepted(&agent.ask(&format!("slotinfo {}", 2 * reader + 1))?),
            (3, Some(agent)) => {
                // One session more and less, which ends no login.
                let opened = accepted(&agent.ask(&format!("open {}", 2 * reader))?);
                opened.and_then(|()| accepted(&agent.ask(&format!("close {}", 2 * reader))?))
            }
            _ => {
                let mut agent = self.agent(runtime);
                accepted(&agent.ask("initialize")?)?;
                // Killed then, so that this is all that it did.
                accepted(&agent.ask(&format!("{task} {}", 2 * reader))?)
            }
        }
        .map_err(|error| format!("a look at reader {reader}: {error}"))
    }

    /// `jpki status`.
    pub fn status(&self, runtime: bool) -> Result<(), String> {
        let mut status = Command::new(tool("timeout", "coreutils"));
        status.arg(BOUND.as_secs().to_string()).arg(jpki().get_program()).arg("status");
        let ran = run(self.surround(&mut status, runtime));
        // What it found is others' business; that it came back is ours.
        if ran.success || !ran.stdout.is_empty() || !ran.stderr.is_empty() { Ok(()) } else { Err("jpki status".into()) }
    }
}

impl Drop for World<'_, '_> {
    fn drop(&mut self) {
        for witness in &self.witness {
            witness.release().ok();
        }
        self.agents = [None, None, None];
        for child in &self.children {
            Command::new("kill").args(["-KILL", child]).status().ok();
        }
        for reader in 0..2 {
            self.pull(reader);
        }
    }
}

fn accepted(answer: &Answer) -> Result<(), String> {
    if answer.rv == 0 { Ok(()) } else { Err(format!("{:X}", answer.rv)) }
}

/// Lets an agent write nothing, or everything.
fn limit(agent: &Agent, full: bool) {
    let size = if full { "--fsize=0:unlimited" } else { "--fsize=unlimited:unlimited" };
    run(Command::new(tool("prlimit", "util-linux")).args(["--pid", &agent.pid().to_string(), size])).ok();
}

fn make(directory: &Path, there: bool) {
    if there {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).expect("there is room in memory");
    }
}

/// `/run/user/<euid>`.
fn user(places: &Path) -> PathBuf {
    let user = fs::metadata("/proc/self").expect("there is a /proc").uid();
    places.join("run/user").join(user.to_string())
}

/// Every file below this directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub fn root() -> bool {
    is_root()
}
