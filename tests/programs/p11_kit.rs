//! p11-kit: the module file that `make install` installs, the proxy module, and the card shown to another host.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::Padding;
use crate::common::{Ran, eventually, library, run, tool};
use crate::ground::{Ground, with_ground};
use crate::openssl::{AUTH_KEY, assert_page, assert_signed};
use crate::program::{bounded, in_namespaces, program, with_p11_kit_modules};
use crate::tls::{self, Version};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = "p11-kit";
/// The tokens that are served.
const TOKENS: &str = "pkcs11:manufacturer=jpki-pkcs11";

fn proxy() -> PathBuf {
    library("p11-kit-proxy.so", "p11-kit-modules")
}

fn client() -> PathBuf {
    library("pkcs11/p11-kit-client.so", "p11-kit-modules")
}

fn pkcs11_tool() -> PathBuf {
    tool("pkcs11-tool", "opensc")
}

/// Has pkcs11-tool sign with the key that has this ID; the first token is the one.
fn signs<'a>(tool: &'a mut Command, ground: &Ground<'_>, module: &Path, id: &str, secret: &str) -> &'a mut Command {
    tool.arg("--module").arg(module).args(["--login", "--pin", secret, "--sign", "--id", id]);
    tool.args(["--mechanism", "SHA256-RSA-PKCS", "--input-file"]).arg(ground.scratch.file("input", CONTENT));
    tool.arg("--output-file").arg(output(ground))
}

const CONTENT: &str = "practice makes perfect";

fn output(ground: &Ground<'_>) -> PathBuf {
    ground.scratch.path().join("signature")
}

/// Asserts that what was last signed is signed with the key of this certificate.
fn assert_signature(ground: &Ground<'_>, certificate: &str) {
    let signature = std::fs::read(output(ground)).expect("there is a signature");
    assert_signed(&ground.scratch, certificate, Padding::Pkcs1, CONTENT, &signature);
    std::fs::remove_file(output(ground)).expect("the scratch directory is ours");
}

#[test]
fn the_installed_module_file_shows_the_authentication_token_alone() {
    with_ground("p11_kit::the_installed_module_file_shows_the_authentication_token_alone", |ground| {
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let list = with_p11_kit_modules(&ground.installed.p11_kit_modules(), tool("p11-kit", "p11-kit"));
        let listed = run({ list }.arg("list-modules")).ok();
        assert!(listed.contains("jpki-pkcs11: "), "{listed}");
        let tokens: Vec<&str> = listed.lines().filter_map(|line| line.trim().strip_prefix("token: ")).collect();
        assert!(matches!(tokens[..], [token] if token.starts_with("PRACTICE Auth")), "{listed}");
        assert_eq!(card.cost().verifies, 0);
    });
}

#[test]
fn the_proxy_module_signs() {
    with_ground("p11_kit::the_proxy_module_signs", |ground| {
        let card = ground.card();
        let auth = ground.installed.auth();
        let sign = |module: &Path| {
            let modules = if module == auth { ground.installed.p11_kit_modules() } else { own_modules(ground, module) };
            run(signs(&mut with_p11_kit_modules(&modules, pkcs11_tool()), ground, &proxy(), "01", PIN)).success
        };
        ground.compare(&card, PROGRAM, "sign through p11-kit-proxy.so", &auth, sign);
        let (signed, cost) = ground.with_inserted(&card, |_| sign(&auth));
        assert!(signed);
        assert_signature(ground, card.auth_certificate());
        assert_eq!(cost.verifies, 1);
    });
}

/// A directory of module files that has this module only.
fn own_modules(ground: &Ground<'_>, module: &Path) -> PathBuf {
    let directory = ground.scratch.path().join("modules");
    std::fs::create_dir_all(&directory).expect("the scratch directory is ours");
    ground.scratch.file("modules/own.module", format!("module: {}\n", module.display()));
    directory
}

/// `p11-kit server`, ended when this is dropped.
struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(ground: &Ground<'_>, module: &Path, tokens: &str) -> Server {
        let socket = ground.scratch.path().join("served");
        // One that ended left its own.
        if socket.exists() {
            std::fs::remove_file(&socket).expect("the scratch directory is ours");
        }
        let child = Command::new(tool("p11-kit", "p11-kit"))
            .args(["server", "--foreground"])
            .args([Path::new("--provider"), module, Path::new("--name"), &socket])
            .arg(tokens)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("p11-kit can be run");
        eventually("p11-kit listens", || socket.exists().then_some(()));
        Server { child, socket }
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("a p11-kit server stays behind");
        }
    }
}

/// Signs through the server, on this host.
fn signs_here(ground: &Ground<'_>, server: &Server, id: &str, secret: &str) -> Ran {
    let mut tool = bounded(pkcs11_tool());
    // Whatever reaches the card reaches it by way of the server.
    tool.env("P11_KIT_SERVER_ADDRESS", server.address()).env("PCSCLITE_CSOCK_NAME", "/nonexistent");
    run(signs(&mut tool, ground, &client(), id, secret))
}

#[test]
fn a_server_signs_for_its_clients() {
    with_ground("p11_kit::a_server_signs_for_its_clients", |ground| {
        let card = ground.card();
        let auth = ground.installed.auth();
        let sign = |module: &Path| {
            let opensc = "pkcs11:token=JPKI%20%28User%20Authentication%20PIN%29";
            let server = Server::start(ground, module, if module == auth { TOKENS } else { opensc });
            signs_here(ground, &server, "01", PIN).success
        };
        ground.compare(&card, PROGRAM, "sign through p11-kit server", &auth, sign);
        let (signed, cost) = ground.with_inserted(&card, |_| sign(&auth));
        assert!(signed);
        assert_signature(ground, card.auth_certificate());
        assert_eq!(cost.verifies, 1);
    });
}

#[test]
fn a_server_outlives_the_card() {
    with_ground("p11_kit::a_server_outlives_the_card", |ground| {
        let card = ground.card();
        let server = Server::start(ground, &ground.installed.sign(), TOKENS);
        for _ in 0..2 {
            let (signed, _) = ground.with_inserted(&card, |_| signs_here(ground, &server, "02", PASSWORD));
            signed.ok();
            assert_signature(ground, card.sign_certificate());
            signs_here(ground, &server, "02", PASSWORD).refused();
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

/// Two hosts: this one and another behind a network of their own, with an sshd and without a PC/SC service. `$1` is the
/// directory of the ssh files, `$2` that of pcscd's socket; the rest is run on this host.
const TWO_HOSTS: &str = r#"
set -e
ssh=$1 pcscd=$2
shift 2
ip link set lo up
unshare --net --uts --mount sh -c '
    set -e
    hostname elsewhere
    mount -t tmpfs tmpfs "$2"
    mount -t tmpfs tmpfs /run
    mkdir /run/sshd
    echo "$$" >"$1/elsewhere.pid"
    until ip addr add 192.0.2.2/24 dev there 2>/dev/null; do sleep 0.05; done
    ip link set there up
    exec "$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f "$1/sshd_config"
' sh "$ssh" "$pcscd" >"$ssh/sshd.log" 2>&1 &
until [ -s "$ssh/elsewhere.pid" ]; do kill -0 $!; sleep 0.05; done
ip link add here type veth peer name there netns "$(cat "$ssh/elsewhere.pid")"
ip addr add 192.0.2.1/24 dev here
ip link set here up
"$@"
"#;

/// Runs `command` on another host, to which ssh forwards the server's socket as /run/card.
fn elsewhere(ground: &Ground<'_>, server: &Server, command: &str) -> Ran {
    let ssh = ground.scratch.path().join("ssh");
    std::fs::create_dir_all(&ssh).expect("the scratch directory is ours");
    let keys = ["hostkey", "id"].map(|name| ssh.join(name));
    for key in &keys {
        if !key.exists() {
            let keygen = tool("ssh-keygen", "openssh-client");
            run(Command::new(keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key)).ok();
        }
    }
    let [hostkey, id] = keys.map(|key| key.display().to_string());
    tool("sshd", "openssh-server");
    ground.scratch.file(
        "ssh/sshd_config",
        format!("HostKey {hostkey}\nAuthorizedKeysFile {id}.pub\nStrictModes no\nPidFile none\n"),
    );
    ground.scratch.file("ssh/elsewhere.pid", "");
    let pcscd = PathBuf::from(std::env::var_os("PCSCLITE_CSOCK_NAME").expect("this is a test's process"));
    let pcscd = pcscd.parent().expect("it is a path");

    let mut hosts = in_namespaces(&["--net", "--pid", "--fork", "--kill-child"]);
    hosts.args(["sh", "-c", TWO_HOSTS, "sh"]).args([&ssh, pcscd, &tool("ssh", "openssh-client")]);
    hosts.args(["-F", "none", "-i", &id, "-o", "ConnectionAttempts=20", "-o", "StrictHostKeyChecking=no"]);
    hosts.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes"]);
    hosts.arg("-R").arg(format!("/run/card:{}", server.socket.display()));
    run(hosts.args(["root@192.0.2.2", "--", command]))
}

#[test]
fn a_program_on_another_host_signs_with_the_card_on_this_one() {
    with_ground("p11_kit::a_program_on_another_host_signs_with_the_card_on_this_one", |ground| {
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let server = Server::start(ground, &ground.installed.auth(), TOKENS);
        let with_pin = |pin: &str| {
            let (client, tool) = (client(), pkcs11_tool());
            let (input, output) = (ground.scratch.file("input", CONTENT), output(ground));
            format!(
                "hostname && {tool} --module {direct} --list-token-slots; P11_KIT_SERVER_ADDRESS=unix:path=/run/card \
                 {tool} --module {client} --login --pin {pin} --sign --id 01 --mechanism SHA256-RSA-PKCS \
                 --input-file {input} --output-file {output}",
                tool = tool.display(),
                direct = ground.installed.auth().display(),
                client = client.display(),
                input = input.display(),
                output = output.display(),
            )
        };
        let said = elsewhere(ground, &server, &with_pin(PIN)).ok();
        // There is no card there.
        assert!(said.starts_with("elsewhere\n") && !said.contains("PRACTICE"), "{said}");
        assert_signature(ground, card.auth_certificate());
        assert_eq!((card.cost().verifies, card.tries().0), (1, 3));

        let said = elsewhere(ground, &server, &with_pin("9999")).refused();
        assert!(said.contains("CKR_PIN_INCORRECT"), "{said}");
        assert_eq!((card.cost().verifies, card.tries().0), (2, 2));
    });
}

/// p11-kit's protocol passes on the mechanisms it knows: of PSS, CKM_RSA_PKCS_PSS and not CKM_SHA256_RSA_PKCS_PSS.
#[test]
fn tls_1_3_works_through_a_server_though_not_every_form_of_pss_does() {
    with_ground("p11_kit::tls_1_3_works_through_a_server_though_not_every_form_of_pss_does", |ground| {
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let server = Server::start(ground, &ground.installed.auth(), TOKENS);
        let mut list = bounded(pkcs11_tool());
        list.env("P11_KIT_SERVER_ADDRESS", server.address()).arg("--module").arg(client());
        let listed = run(list.arg("--list-mechanisms")).ok();
        let has = |mechanism: &str| listed.lines().any(|line| line.trim().starts_with(&format!("{mechanism},")));
        assert!(has("RSA-PKCS-PSS") && !has("SHA256-RSA-PKCS-PSS"), "{listed}");

        let site = tls::Server::start(&ground.scratch, Version::Tls13, card.auth_ca());
        let mut curl = program("curl", "curl");
        curl.env("P11_KIT_SERVER_ADDRESS", server.address()).env("PCSCLITE_CSOCK_NAME", "/nonexistent");
        curl.env("OPENSSL_CONF", ground.installed.conf("openssl-engine.cnf")).env("PKCS11_MODULE_PATH", client());
        curl.args(["--silent", "--show-error", "--fail", "--engine", "pkcs11", "--cacert"]).arg(&site.authority);
        curl.args(["--cert", "pkcs11:id=%01;type=cert", "--key", AUTH_KEY, "--pass", PIN]).arg(site.url());
        assert_page(&run(&mut curl).ok(), Version::Tls13);
        assert_eq!(card.cost().verifies, 1);
    });
}
