//! nginx of Debian 13, which shows the card's certificate to the server behind it: the key comes from a file that refers to
//! the card, is loaded by the master process and used by a worker.

#![allow(clippy::print_stderr, reason = "what a test leaves behind is said where its failure is said")]

use crate::common::cards::PIN;
use crate::common::{eventually, run, tool};
use crate::confined::bounded;
use crate::debian13::debian_13;
use crate::ground::with_ground;
use crate::openssl::{AUTH_KEY, assert_page, with_pin_in};
use crate::tls::{Server, Version};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Paths are in `@scratch@`.
const CONF: &str = "
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
            proxy_ssl_certificate_key @scratch@/key.pem;
        }
    }
}
";

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

#[test]
fn a_worker_signs_with_the_key_that_the_master_has_loaded_and_each_logs_in_once() {
    with_ground("nginx::a_worker_signs_with_the_key_that_the_master_has_loaded_and_each_logs_in_once", |ground| {
        let card = ground.card();
        let server = Server::start(&ground.scratch, Version::Tls13, card.auth_ca());
        let _inserted = ground.pcscd.insert(&card.file);
        let place = |name: &str| ground.scratch.path().join(name);

        let pin = ground.scratch.file("pin", PIN);
        let conf = fs::read_to_string(ground.installed.conf("openssl-provider.cnf")).expect("it is installed");
        let pin_line = format!("pkcs11-module-token-pin = file:{}", pin.display());
        let own =
            ground.scratch.file("own.cnf", conf.replace("#pkcs11-module-token-pin = file:/home/me/pin", &pin_line));
        let mut pkey = debian_13("openssl");
        pkey.env("OPENSSL_CONF", &own).args(["pkey", "-in", &with_pin_in(AUTH_KEY, &pin), "-out"]);
        run(pkey.arg(place("key.pem"))).ok();
        ground.scratch.file("auth.pem", card.auth_certificate());
        let shown = |path: &Path| path.display().to_string();
        let conf = CONF
            .replace("@scratch@", &shown(ground.scratch.path()))
            .replace("@port@", &server.port().to_string())
            .replace("@authority@", &shown(&server.authority));
        let conf = ground.scratch.file("nginx.conf", conf);

        let before = card.cost().verifies;
        let mut nginx = debian_13("nginx");
        nginx.env("OPENSSL_CONF", own).arg("-c").arg(conf).stdin(Stdio::null());
        let _nginx = Nginx(nginx.spawn().expect("unshare can be run"));
        eventually("nginx listens", || place("nginx").exists().then_some(()));
        for _ in 0..3 {
            let mut curl = bounded(&tool("curl", "curl"));
            curl.args(["--silent", "--show-error", "--fail", "--unix-socket"]).arg(place("nginx"));
            assert_page(&run(curl.arg("http://localhost/")).ok(), Version::Tls13);
        }
        assert_eq!(card.cost().verifies - before, 2);
    });
}
