//! A machine for OpenSSH: an sshd and its one user, in namespaces of the test's own.

use crate::common::running::Running;
use crate::common::{Ran, eventually, run, tool};
use crate::ground::Ground;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The host that sshd answers for, as a person calls it.
pub const HOST: &str = "server.example.jp";

/// What holds the namespaces. In them the installed modules lie where a user has them, sshd has its directory, and the only
/// users are root, whose home is the test's, and sshd. All processes in there end with this one, and this one with the
/// test's.
const INSIDE: &str = r#"
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/sshd
mount --bind "$1" /usr/local/lib
for file in passwd shadow hosts; do mount --bind "$2/$file" /etc/$file; done
read -r outside _ </proc/self/stat
mount -t proc proc /proc
echo "$outside"
cat >/dev/null
"#;

/// The machine, with an sshd that knows no key yet.
pub struct Machine {
    namespaces: Child,
    inside: u32,
    scratch: PathBuf,
    home: PathBuf,
    sshd: Option<Running>,
}

impl Machine {
    /// Starts it.
    ///
    /// # Panics
    /// Where a tool is missing, and for whoever is not root: sshd lets nobody else change users.
    pub fn start(ground: &Ground<'_>) -> Machine {
        tool("ip", "iproute2");
        let scratch = ground.scratch.path().to_owned();
        let home = PathBuf::from(std::env::var_os("HOME").expect("the test has a home of its own"));
        fs::create_dir(scratch.join("etc")).expect("the scratch directory is ours");
        let root = format!("root:x:0:0::{}:/bin/sh\n", home.display());
        ground.scratch.file("etc/passwd", root + "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n");
        ground.scratch.file("etc/shadow", "root:*::0:::::\nsshd:*::0:::::\n");
        ground.scratch.file("etc/hosts", format!("127.0.0.1 localhost {HOST}\n"));
        let lib = ground.installed.auth().ancestors().nth(2).expect("it lies in lib/pkcs11").to_owned();
        let mut namespaces = Command::new(tool("unshare", "util-linux"))
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", INSIDE, "sh"])
            .args([lib, scratch.join("etc")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare can be run");
        let mut inside = String::new();
        let stdout = namespaces.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut inside).expect("it can be heard");
        let inside = inside.trim().parse().expect("root can make namespaces; nobody else can run this sshd");
        let mut machine = Machine { namespaces, inside, scratch, home, sshd: None };
        machine.start_sshd();
        machine
    }

    fn start_sshd(&mut self) {
        let ssh = self.home.join(".ssh");
        fs::create_dir(&ssh).expect("the home is ours");
        let host_key = self.scratch.join("host_key");
        run(self.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&host_key)).ok();
        let public = fs::read_to_string(host_key.with_extension("pub")).expect("it was made");
        fs::write(ssh.join("known_hosts"), format!("{HOST} {public}")).expect("the home is ours");
        let config = self.scratch.join("sshd_config");
        let settings = format!(
            "ListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nPermitRootLogin prohibit-password\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nLogLevel VERBOSE\n",
            host_key.display()
        );
        fs::write(&config, settings).expect("the scratch directory is ours");
        let log = self.scratch.join("sshd.log");
        let mut sshd = self.unbounded(&tool("sshd", "openssh-server"));
        sshd.args(["-D", "-e", "-f"]).arg(config);
        let output = File::create(log).expect("the scratch directory is ours");
        self.sshd = Some(Running::start(sshd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output)));
        eventually("sshd listens", || self.sshd_log().contains("Server listening").then_some(()));
    }

    /// Writes a file below ~/.ssh.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.home.join(".ssh").join(name), content).expect("the home is ours");
    }

    /// What sshd has said.
    pub fn sshd_log(&self) -> String {
        fs::read_to_string(self.scratch.join("sshd.log")).expect("sshd was started")
    }

    /// A program of OpenSSH on this machine that has a minute for what it does. Who it asks for a PIN is [`Machine::types`].
    pub fn command(&self, program: &str) -> Command {
        self.with_minute(&tool(program, "openssh-client"))
    }

    /// Any program on this machine that has a minute.
    pub fn with_minute(&self, program: &Path) -> Command {
        let mut command = self.unbounded(&tool("timeout", "coreutils"));
        command.args(["--kill-after=5", "60"]).arg(program);
        command
            .env("SSH_ASKPASS", self.scratch.join("askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env_remove("SSH_AUTH_SOCK");
        command
    }

    fn unbounded(&self, program: &Path) -> Command {
        let mut command = Command::new(tool("nsenter", "util-linux"));
        command.arg("--target").arg(self.inside.to_string());
        command.args(["--mount", "--net", "--pid", "--"]).arg(program);
        command
    }

    /// What is typed whenever something asks; counts anew how often that is.
    pub fn types(&self, secret: &str) {
        let (askpass, asked) = (self.scratch.join("askpass"), self.asked_file());
        let script = format!("#!/bin/sh\necho \"$1\" >>'{}'\necho '{secret}'\n", asked.display());
        fs::write(&askpass, script).expect("the scratch directory is ours");
        fs::set_permissions(&askpass, Permissions::from_mode(0o755)).expect("the file is ours");
        fs::write(asked, "").expect("the scratch directory is ours");
    }

    /// What it was asked since.
    pub fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.asked_file()).expect("it was written");
        asked.lines().map(str::to_owned).collect()
    }

    fn asked_file(&self) -> PathBuf {
        self.scratch.join("asked")
    }

    /// Starts an agent.
    pub fn agent(&self, options: &[&str]) -> Agent<'_> {
        self.agent_with(options, |agent| agent)
    }

    /// Starts one with something of its own, its environment for example.
    pub fn agent_with(&self, options: &[&str], change: impl FnOnce(&mut Command) -> &mut Command) -> Agent<'_> {
        let said = run(change(self.command("ssh-agent").args(options).env("TMPDIR", &self.scratch))).ok();
        let variable = |name: &str| {
            let (_, rest) = said.split_once(&format!("{name}=")).expect("it says where it is");
            rest.split(';').next().unwrap_or_default().to_owned()
        };
        Agent { machine: self, socket: variable("SSH_AUTH_SOCK"), pid: variable("SSH_AGENT_PID") }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // nsenter first, then the end of life of every process in the namespaces.
        drop(self.sshd.take());
        drop(self.namespaces.stdin.take());
        if let Err(error) = self.namespaces.wait() {
            eprintln!("an sshd may stay behind: {error}");
        }
    }
}

/// An ssh-agent.
pub struct Agent<'a> {
    machine: &'a Machine,
    socket: String,
    pid: String,
}

impl Agent<'_> {
    /// A program of OpenSSH that uses this agent.
    pub fn command(&self, program: &str) -> Command {
        self.with(self.machine.command(program))
    }

    /// A command that uses this agent.
    pub fn with(&self, mut command: Command) -> Command {
        command.env("SSH_AUTH_SOCK", &self.socket).env("SSH_AGENT_PID", &self.pid);
        command
    }

    /// `ssh-add -s MODULE`, with this PIN typed.
    pub fn add(&self, module: &Path, pin: &str) -> Ran {
        self.machine.types(pin);
        run(self.command("ssh-add").arg("-s").arg(module))
    }

    /// The keys it has, as in an authorized_keys file.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn keys(&self) -> String {
        let listed = run(self.command("ssh-add").arg("-L"));
        assert!(listed.success || listed.stdout.contains("no identities"), "{listed:?}");
        if listed.success { listed.stdout } else { String::new() }
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        // The machine would end it, too; but until then it would hold the card.
        let ended = self.command("ssh-agent").arg("-k").output();
        if !ended.is_ok_and(|ended| ended.status.success()) {
            eprintln!("an agent ends only with the test");
        }
    }
}
