//! OpenSC's pkcs11-tool. What it does with the module in detail is in `tests/e2e_pkcs11_tool.rs`; here stands its price.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::{run, tool};
use crate::ground::with_ground;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "pkcs11-tool";

fn pkcs11_tool(module: &Path) -> Command {
    let mut command = Command::new(tool(PROGRAM, "opensc"));
    command.arg("--module").arg(module);
    command
}

#[test]
fn listing_and_signing_cost_less_than_with_opensc() {
    with_ground("pkcs11_tool::listing_and_signing_cost_less_than_with_opensc", |ground| {
        let card = ground.card();
        let (both, auth, sign) = (ground.installed.both(), ground.installed.auth(), ground.installed.sign());
        let lists = |module: &Path| run(pkcs11_tool(module).arg("--list-objects")).success;
        ground.compare(&card, PROGRAM, "list tokens", &both, |module| run(pkcs11_tool(module).arg("-L")).success);
        ground.compare(&card, PROGRAM, "list objects", &auth, lists);
        let input = ground.scratch.file("input", "practice makes perfect");
        let signs = |module: &Path, label: &str, id: &str, secret: &str| {
            let tokens = run(pkcs11_tool(module).arg("--list-token-slots")).stdout;
            let token = tokens
                .lines()
                .filter_map(|line| line.trim().strip_prefix("token label"))
                .find(|token| token.contains(label));
            let token = token.and_then(|token| token.split_once(": ")).expect("there is a token for it").1.to_owned();
            run(pkcs11_tool(module)
                .args(["--token-label", &token, "--login", "--pin", secret, "--sign", "--id", id])
                .args(["--mechanism", "SHA256-RSA-PKCS", "--input-file"])
                .arg(&input)
                .arg("--output-file")
                .arg(ground.scratch.path().join("signature")))
            .success
        };
        ground.compare(&card, PROGRAM, "list, sign (authentication key)", &auth, |module| {
            signs(module, "Auth", "01", PIN)
        });
        ground.compare(&card, PROGRAM, "list, sign (signature key)", &sign, |module| {
            signs(module, if module == sign { "Sign" } else { "Digital Signature" }, "02", PASSWORD)
        });
        assert_eq!(card.tries(), (3, 5));
    });
}
