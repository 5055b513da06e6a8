//! What openssl(1) is asked to do with a card's key, whichever way it has to the card, and what is asked of the outcome.

use crate::common::openssl::{Padding, PublicKey};
use crate::common::{Ran, Scratch, opensc, run};
use crate::ground::{Card, Ground};
use crate::program::program;
use crate::tls::{Server, Version};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The authentication key, as URI without a PIN.
pub const AUTH_KEY: &str = "pkcs11:id=%01;type=private";
/// The signature key.
pub const SIGN_KEY: &str = "pkcs11:id=%02;type=private";

/// A URI's PIN: the content of the file.
pub fn with_pin_in(uri: &str, file: &Path) -> String {
    format!("{uri}?pin-source=file:{}", file.display())
}

/// The same, if `module` is OpenSC's, with the token's name: it shows both, and OpenSSL logs in where there is no choice.
pub fn of_module(module: &Path, uri: &str) -> String {
    if module != opensc() {
        return uri.to_owned();
    }
    uri.replace("pkcs11:id=%01", "pkcs11:token=JPKI%20%28User%20Authentication%20PIN%29;id=%01")
        .replace("pkcs11:id=%02", "pkcs11:token=JPKI%20%28Digital%20Signature%20PIN%29;id=%02")
}

/// The system's openssl, without any configuration.
pub fn plain_openssl() -> Command {
    let mut command = program("openssl", "openssl");
    command.env("OPENSSL_CONF", "/dev/null");
    command
}

/// A way OpenSSL has to a card.
pub struct Way<'a> {
    pub ground: &'a Ground<'a>,
    /// openssl(1), set up as the user's is.
    pub openssl: &'a dyn Fn() -> Command,
    /// The options that say of a key that it is on a card.
    pub key_options: &'static [&'static str],
    /// The variable that names another module than the configuration does.
    pub module_variable: &'static str,
}

impl Way<'_> {
    /// Has it make a certificate request, and notes what that costs `program`.
    pub fn makes_a_request(&self, program: &str, key: &str) {
        let card = self.ground.card();
        let auth = self.ground.installed.auth();
        self.ground.compare(&card, program, "req -new", &auth, |module| self.req(module, key).success);
        let _inserted = self.ground.pcscd.insert(&card.file);
        self.req(&auth, key).ok();
        self.assert_req(card.auth_certificate());
    }

    /// Has it authenticate to a server with the card's key, and notes what that costs `program`.
    pub fn authenticates(&self, program: &str, card: &Card, version: Version, certificate: &str, key: &str) {
        let server = self.server(card, version);
        let auth = self.ground.installed.auth();
        self.ground.compare(card, program, &format!("s_client, {version}"), &auth, |module| {
            let page = self.s_client(module, &server, certificate, key);
            page.success && page.stdout.contains("Peer signature type")
        });
        let _inserted = self.ground.pcscd.insert(&card.file);
        assert_page(&self.s_client(&auth, &server, certificate, key).ok(), version);
    }

    /// A command of openssl(1) with that module.
    pub fn command(&self, module: &Path, name: &str) -> Command {
        let mut command = (self.openssl)();
        command.env(self.module_variable, module).arg(name);
        command
    }

    /// `openssl dgst -sign`, not yet run.
    pub fn dgst(&self, module: &Path, key: &str, padding: Padding) -> Command {
        let mut command = self.command(module, "dgst");
        command.args(self.key_options).args(["-sha256", "-sign", &of_module(module, key)]);
        if let Padding::Pss = padding {
            command.args(["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]);
        }
        command.arg("-out").arg(self.output()).arg(self.input());
        command
    }

    /// Asserts that the last `dgst` signed with the key of this certificate, given as PEM.
    pub fn assert_dgst(&self, certificate: &str, padding: Padding) {
        let signature = std::fs::read(self.output()).expect("there is a signature");
        assert_signed(&self.ground.scratch, certificate, padding, CONTENT, &signature);
    }

    /// `openssl cms -sign` of a whole document, with more options.
    pub fn cms(&self, module: &Path, key: &str, signer: &str, more: &[&str]) -> Ran {
        let mut command = self.command(module, "cms");
        command.arg("-sign").args(self.key_options).args(["-inkey", &of_module(module, key)]);
        command.args(["-signer", &of_module(module, signer)]).args(more);
        command.args(["-binary", "-nodetach", "-outform", "DER", "-in"]).arg(self.input());
        run(command.arg("-out").arg(self.output()))
    }

    /// Asserts that the last `cms` was signed by someone whom this authority vouches for. Says how, in OpenSSL's words.
    pub fn assert_cms(&self, authority: &str) -> String {
        let authority = self.ground.scratch.file("cms-authority.pem", authority);
        let verified = plain_openssl()
            .args(["cms", "-verify", "-purpose", "any", "-inform", "DER", "-CAfile"])
            .args([&authority, Path::new("-in"), &self.output()])
            .output()
            .expect("openssl can be run");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        assert_eq!(String::from_utf8_lossy(&verified.stdout), CONTENT);
        run(plain_openssl().args(["cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in"]).arg(self.output()))
            .ok()
    }

    /// `openssl req -new`.
    pub fn req(&self, module: &Path, key: &str) -> Ran {
        let mut command = self.command(module, "req");
        command.arg("-new").args(self.key_options).args(["-key", &of_module(module, key), "-subj", "/CN=practice"]);
        run(command.arg("-out").arg(self.output()))
    }

    /// Asserts that the last `req` is for the key of this certificate and signed with it.
    pub fn assert_req(&self, certificate: &str) {
        let request = self.output();
        let said = run(plain_openssl().args(["req", "-verify", "-noout", "-in"]).arg(&request));
        assert!(said.success && said.stderr.contains("verify OK"), "{}", said.stderr);
        let of_request = run(plain_openssl().args(["req", "-pubkey", "-noout", "-in"]).arg(&request)).ok();
        let certificate = self.ground.scratch.file("certificate.pem", certificate);
        let of_card = run(plain_openssl().args(["x509", "-pubkey", "-noout", "-in"]).arg(certificate)).ok();
        assert_eq!(of_request, of_card);
    }

    /// `openssl s_client`, showing this certificate; what it answers is the server's page.
    pub fn s_client(&self, module: &Path, server: &Server, certificate: &str, key: &str) -> Ran {
        let mut command = self.command(module, "s_client");
        command.args(["-quiet", "-verify_return_error", "-verify_quiet", "-CAfile"]).arg(&server.authority);
        command.args(["-connect", &format!("127.0.0.1:{}", server.port())]);
        command.args(self.key_options).args([
            "-cert",
            &of_module(module, certificate),
            "-key",
            &of_module(module, key),
        ]);
        let request = self.ground.scratch.file("request", "GET / HTTP/1.0\r\n\r\n");
        run(command.stdin(std::fs::File::open(request).expect("it was written")))
    }

    /// A server that admits the card's authentication certificate.
    pub fn server(&self, card: &Card, version: Version) -> Server {
        Server::start(&self.ground.scratch, version, card.auth_ca())
    }

    /// The card makes PSS with SHA-256 only, and OpenSSL does not ask the module: it would take what the server likes best.
    /// Runs `s_client` to a server that likes SHA-512.
    pub fn s_client_to_a_server_that_prefers_sha512(&self, card: &Card, certificate: &str, key: &str) {
        let _inserted = self.ground.pcscd.insert(&card.file);
        for version in [Version::Tls12, Version::Tls13] {
            let signatures = Some("RSA-PSS+SHA512:RSA-PSS+SHA256");
            let server = Server::start_preferring(&self.ground.scratch, version, card.auth_ca(), signatures);
            assert_page(&self.s_client(&self.ground.installed.auth(), &server, certificate, key).ok(), version);
        }
    }

    /// The same, of PSS at all. Runs `s_client` with a module that offers none: in both versions as set up, and with the
    /// lines for such a card in `conf`.
    pub fn s_client_without_pss(&self, card: &Card, conf: &Path, certificate: &str, key: &str) {
        self.ground.pcscd.configure_module("pss = \"off\"\n");
        let _inserted = self.ground.pcscd.insert(&card.file);
        let auth = self.ground.installed.auth();
        for version in [Version::Tls12, Version::Tls13] {
            let server = self.server(card, version);
            let page = self.s_client(&auth, &server, certificate, key);
            assert!(!page.stdout.contains("Peer signature type"), "{}", page.stdout);
        }
        let text = std::fs::read_to_string(conf).expect("it is installed");
        let own = self
            .ground
            .scratch
            .file("without-pss.cnf", text.replace("#MaxProtocol", "MaxProtocol").replace("#ClientSig", "ClientSig"));
        let server = self.server(card, Version::Tls12);
        let openssl = || {
            let mut openssl = (self.openssl)();
            openssl.env("OPENSSL_CONF", &own);
            openssl
        };
        let page = Way { openssl: &openssl, ..*self }.s_client(&auth, &server, certificate, key).ok();
        assert!(page.contains("New, TLSv1.2") && page.contains("Peer signature type: RSA\n"), "{page}");
        assert_eq!(card.tries(), (3, 5));
    }

    fn input(&self) -> PathBuf {
        self.ground.scratch.file("input", CONTENT)
    }

    fn output(&self) -> PathBuf {
        self.ground.scratch.path().join("output")
    }
}

const CONTENT: &str = "practice makes perfect";

/// Asserts that `signature` is one of `content`, hashed with SHA-256, by the key of this certificate, given as PEM.
pub fn assert_signed(scratch: &Scratch, certificate: &str, padding: Padding, content: &str, signature: &[u8]) {
    let pem = scratch.file("of-card.pem", certificate);
    let der = scratch.path().join("of-card.der");
    run(plain_openssl().args(["x509", "-outform", "DER", "-in"]).args([&pem, Path::new("-out"), &der])).ok();
    let der = std::fs::read(der).expect("openssl has written it");
    PublicKey::of_certificate(scratch, der).assert_signed("sha256", padding, content.as_bytes(), signature);
}

/// Asserts that the page of `server` shows the card's authentication certificate, in this version, with PSS.
pub fn assert_page(page: &str, version: Version) {
    let protocol = match version {
        Version::Tls12 => "New, TLSv1.2",
        Version::Tls13 => "New, TLSv1.3",
    };
    assert!(page.contains(protocol), "{page}");
    assert!(page.contains("Subject: C=JP, CN=PRACTICE"), "{page}");
    // What the server says of its peer, which is the card.
    assert!(page.contains("Peer signature type: RSA-PSS"), "{page}");
}
