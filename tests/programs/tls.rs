//! A TLS server that demands a certificate of the practice authority.

use crate::common::{Scratch, eventually, run, tool};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A version of TLS, and what a client with a card signs with in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// RSASSA-PKCS1-v1_5 or RSASSA-PSS, as the client likes.
    Tls12,
    /// RSASSA-PSS only.
    Tls13,
}

impl Version {
    fn option(self) -> &'static str {
        match self {
            Version::Tls12 => "-tls1_2",
            Version::Tls13 => "-tls1_3",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "TLS 1.2",
            Version::Tls13 => "TLS 1.3",
        })
    }
}

/// `openssl s_server` on a port of its own. It answers HTTP requests with a page of what it knows of the connection.
pub struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
    /// The certificate of the authority that issued the server's own, which a client has to trust.
    pub authority: PathBuf,
}

impl Server {
    /// A server for `localhost` that speaks this version only, and admits whom the CA of this PEM certificate vouches for.
    pub fn start(scratch: &Scratch, version: Version, client_ca: &str) -> Server {
        // All that OpenSSL knows, in its order.
        Server::start_preferring(scratch, version, client_ca, None)
    }

    /// One that asks its clients for these signatures, the best liked first: `RSA-PSS+SHA256:RSA+SHA256`.
    pub fn start_preferring(scratch: &Scratch, version: Version, client_ca: &str, signatures: Option<&str>) -> Server {
        let openssl = || Command::new(tool("openssl", "openssl"));
        let path = |name: &str| scratch.path().join(name);
        let (authority, key, certificate) = (path("server-ca.pem"), path("server.key"), path("server.pem"));
        if !authority.is_file() {
            let make = |subject: &str, key: &Path, certificate: &Path, more: &[&str]| {
                run(openssl()
                    .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", subject])
                    .args(more)
                    .arg("-keyout")
                    .arg(key)
                    .arg("-out")
                    .arg(certificate))
                .ok();
            };
            let ca_usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
            make("/CN=Test server authority", &path("server-ca.key"), &authority, &ca_usage);
            let (ca, ca_key) = (authority.display().to_string(), path("server-ca.key").display().to_string());
            let issued = ["-CA", &ca, "-CAkey", &ca_key, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
            let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"];
            make("/CN=localhost", &key, &certificate, &[&issued[..], &leaf].concat());
        }
        let admitted = scratch.file("admitted.pem", client_ca);
        let log = path(&format!("server-{version:?}.log"));
        let output = File::create(&log).expect("the scratch directory is ours");
        let child = openssl()
            .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "100", "-www", version.option()])
            .args(signatures.map(|signatures| ["-client_sigalgs", signatures]).into_iter().flatten())
            .args(["-Verify", "3", "-verify_return_error", "-CAfile"])
            .args([&admitted, Path::new("-cert"), &certificate, Path::new("-key"), &key])
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("a file can be shared"))
            .stdout(output)
            .spawn()
            .expect("openssl can be run");
        let port = eventually("the server listens", || {
            let said = fs::read_to_string(&log).ok()?;
            let address = said.lines().find_map(|line| line.strip_prefix("ACCEPT "))?;
            address.rsplit_once(':')?.1.trim().parse().ok()
        });
        Server { child, port, log, authority }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its page.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    /// What it has said so far: of each client's certificate, and of what was wrong.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the scratch directory is ours")
    }
}

/// The padding of the signature by which a client was let in, in the words of OpenSSL: `RSA` or `RSA-PSS`. None if it was
/// not, or showed no certificate.
pub fn admitted_by(page: &str, version: Version) -> Option<&str> {
    let protocol = match version {
        Version::Tls12 => "TLSv1.2",
        Version::Tls13 => "TLSv1.3",
    };
    let says = |what: &str| page.lines().find_map(|line| line.trim().strip_prefix(what)?.trim().strip_prefix(':'));
    let is_let_in = says("Protocol")?.trim() == protocol && page.contains("\nClient certificate\n");
    is_let_in.then(|| says("Peer signature type")).flatten().map(str::trim)
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("a TLS server stays behind");
        }
    }
}
