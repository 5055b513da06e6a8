//! nginx of Debian 13, which shows the card's certificate to the server behind it: the master process loads the key, by the
//! provider or the engine, and a worker uses it.

use crate::common::cards::PIN;
use crate::common::{eventually, run};
use crate::debian13::debian_13;
use crate::ground::{Card, Ground, with_ground};
use crate::openssl::{AUTH_KEY, assert_page, with_pin_in};
use crate::program::program;
use crate::tls::{Server, Version};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Paths are in `@scratch@`.
const CONF: &str = r#"
user root;
worker_processes 1;
daemon off;
pid @scratch@/nginx.pid;
error_log stderr;
env PCSCLITE_CSOCK_NAME;
events {}
http {
    access_log off;
    client_body_temp_path @scratch@;
    proxy_temp_path @scratch@;
    fastcgi_temp_path @scratch@;
    uwsgi_temp_path @scratch@;
    scgi_temp_path @scratch@;
    server {
        listen unix:@scratch@/nginx;
        location / {
            proxy_pass https://127.0.0.1:@port@/;
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_session_reuse off;
            proxy_ssl_trusted_certificate @authority@;
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_certificate @scratch@/auth.pem;
            proxy_ssl_certificate_key "@key@";
        }
    }
}
"#;

/// Ended with its worker when this is dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // timeout(1) passes it on; a killed master would leave its worker behind.
        let asked = run(Command::new("kill").arg(self.0.id().to_string()));
        if !asked.success || self.0.wait().is_err() {
            eprintln!("an nginx stays behind");
        }
    }
}

/// A program that knows files only gets one with the key's URI in it.
#[test]
fn a_worker_signs_with_the_key_that_the_master_has_loaded_and_each_logs_in_once() {
    with_ground("nginx::a_worker_signs_with_the_key_that_the_master_has_loaded_and_each_logs_in_once", |ground| {
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let pin = ground.scratch.file("pin", PIN);
        let pin_line = format!("pkcs11-module-token-pin = file:{}", pin.display());
        let conf =
            own_conf(ground, "openssl-provider.cnf", &[("#pkcs11-module-token-pin = file:/home/me/pin", &pin_line)]);
        let key = ground.scratch.path().join("key.pem");
        let mut pkey = debian_13("openssl");
        pkey.env("OPENSSL_CONF", &conf).args(["pkey", "-in", &with_pin_in(AUTH_KEY, &pin), "-out"]).arg(&key);
        run(&mut pkey).ok();
        proxy(ground, &card, &conf, &key.display().to_string());
    });
}

/// It loads an engine's key without initialising the engine, which the configuration has to do.
#[test]
fn a_worker_signs_with_the_engine_and_logs_in_once() {
    with_ground("nginx::a_worker_signs_with_the_engine_and_logs_in_once", |ground| {
        let card = ground.card();
        let _inserted = ground.pcscd.insert(&card.file);
        let conf = own_conf(ground, "openssl-engine.cnf", &[("#PIN = ", "PIN = "), ("init = 0", "init = 1")]);
        proxy(ground, &card, &conf, &format!("engine:pkcs11:{AUTH_KEY}"));
    });
}

/// The user's own copy of a configuration file, with these changes.
fn own_conf(ground: &Ground<'_>, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let mut conf = fs::read_to_string(ground.installed.conf(name)).expect("it is installed");
    for (line, own) in changes {
        assert!(conf.contains(line), "{conf}");
        conf = conf.replace(line, own);
    }
    ground.scratch.file("own.cnf", conf)
}

/// Has nginx fetch three pages with the card's certificate and this key: master and worker log in once each.
fn proxy(ground: &Ground<'_>, card: &Card, openssl_conf: &Path, key: &str) {
    let server = Server::start(&ground.scratch, Version::Tls13, card.auth_ca());
    ground.scratch.file("auth.pem", card.auth_certificate());
    let conf = CONF
        .replace("@scratch@", &ground.scratch.path().display().to_string())
        .replace("@port@", &server.port().to_string())
        .replace("@authority@", &server.authority.display().to_string())
        .replace("@key@", key);
    let conf = ground.scratch.file("nginx.conf", conf);
    let socket = ground.scratch.path().join("nginx");

    let before = card.cost().verifies;
    let mut nginx = debian_13("nginx");
    nginx.env("OPENSSL_CONF", openssl_conf).arg("-c").arg(conf).stdin(Stdio::null());
    let _nginx = Nginx(nginx.spawn().expect("unshare can be run"));
    eventually("nginx listens", || socket.exists().then_some(()));
    for _ in 0..3 {
        let mut curl = program("curl", "curl");
        curl.args(["--silent", "--show-error", "--fail", "--unix-socket"]).arg(&socket);
        assert_page(&run(curl.arg("http://localhost/")).ok(), Version::Tls13);
    }
    assert_eq!(card.cost().verifies - before, 2);
}
