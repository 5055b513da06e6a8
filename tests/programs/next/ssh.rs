//! OpenSSH.

use super::{Both, with_both};
use crate::common::cards::PIN;
use crate::ssh::{MODULE, Machine, is_at_home, keys, log_in};
use std::path::Path;

const PROGRAM: &str = "OpenSSH";

/// A machine whose sshd admits the holder of the card whose key is of this type, and nobody else.
fn machine(both: &Both<'_>, admitted: &str) -> Machine {
    let machine = Machine::start(both.ground);
    let (listed, _) = both.with_inserted(|| keys(&machine, Path::new(MODULE)));
    let types: Vec<_> = listed.iter().filter_map(|key| key.split(' ').next()).collect();
    assert_eq!(types, ["ssh-rsa", "ecdsa-sha2-nistp384"]);
    let key = listed.iter().find(|key| key.starts_with(admitted)).expect("it is listed");
    machine.write("authorized_keys", key);
    machine
}

#[test]
fn ssh_keygen_lists_a_key_of_each() {
    with_both("ssh::ssh_keygen_lists_a_key_of_each", |both| {
        let machine = Machine::start(both.ground);
        let listed = both.measure(PROGRAM, "list keys (ssh-keygen -D)", 0, || keys(&machine, Path::new(MODULE)));
        assert_eq!(listed.len(), 2, "{listed:?}");
    });
}

#[test]
fn ssh_logs_in_with_the_key_that_the_server_knows_and_asks_for_its_pin_only() {
    with_both("ssh::ssh_logs_in_with_the_key_that_the_server_knows_and_asks_for_its_pin_only", |both| {
        let machine = machine(both, "ecdsa-sha2-nistp384");
        let ran = both.measure(PROGRAM, "log in (ssh -I)", 1, || {
            machine.types(PIN);
            log_in(machine.command("ssh"), &["-I", MODULE])
        });
        assert!(is_at_home(&ran), "{ran:?}");
        let asked = machine.asked();
        // It shows 31 of a label's 32 characters.
        assert!(matches!(&asked[..], [one] if one.contains(&both.next.auth_token()[..31])), "{asked:?}");
        assert!(machine.sshd_log().contains("Accepted publickey for root"));
    });
}

#[test]
fn todays_key_logs_in_beside_the_next_cards() {
    with_both("ssh::todays_key_logs_in_beside_the_next_cards", |both| {
        let machine = machine(both, "ssh-rsa");
        let (ran, costs) = both.with_inserted(|| {
            machine.types(PIN);
            log_in(machine.command("ssh"), &["-I", MODULE])
        });
        assert!(is_at_home(&ran), "{ran:?}");
        assert_eq!(costs.map(|cost| cost.verifies), [1, 0]);
    });
}

#[test]
fn an_agent_signs_with_both_keys() {
    with_both("ssh::an_agent_signs_with_both_keys", |both| {
        let machine = machine(both, "ecdsa-sha2-nistp384");
        let (ran, costs) = both.with_inserted(|| {
            let agent = machine.agent(&[]);
            assert!(agent.add(Path::new(MODULE), PIN).success);
            assert_eq!(agent.keys().lines().count(), 2, "{}", agent.keys());
            (0..2).map(|_| log_in(agent.command("ssh"), &[])).collect::<Vec<_>>()
        });
        assert!(ran.iter().all(is_at_home), "{ran:?}");
        // ssh-add gives the one PIN that it asks for to every token.
        assert_eq!(costs.map(|cost| cost.verifies), [1, 1]);
    });
}
