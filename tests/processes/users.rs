//! Two users of one machine and one reader. The card knows one login for everybody, and processes of different users have no
//! place where they could count their logins together: SECURITY.md says what that comes to.

use crate::common::cards::{PASSWORD, PIN, card};
use crate::common::client::{AUTH, Client, SIGN, program};
use crate::common::conversation::Conversation;
use crate::common::pcscd::with_pcscd;
use crate::common::rival::{Asked, Rival};
use crate::common::{Scratch, tool};
use cryptoki_sys::*;
use jpki_pkcs11::emulator::image::Kind;
use pcsc::{Disposition, ShareMode};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A process of another user, with that user's directories, to pcscd the same: its policy on users is not what this is about.
/// See `clients/client.c`.
fn another_user(scratch: &Scratch) -> Conversation {
    let own = scratch.path().join("another's");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o700)).unwrap();
    let client = program(scratch, "client.c");
    let mut another = Command::new(tool("unshare", "util-linux"));
    another.args(["--user", "--map-user=4711", "--map-group=4711"]).arg(client.get_program()).args(client.get_args());
    another.envs(
        ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "JPKI_TEST_RUN"].map(|name| (name, &own)),
    );
    let mut another = Conversation::with(&mut another);
    assert_eq!(another.say("initialize"), "0");
    another
}

#[test]
fn another_users_logout_ends_a_login_which_the_next_signature_says_or_mends_with_the_held_pin() {
    let name = "users::another_users_logout_ends_a_login_which_the_next_signature_says_or_mends_with_the_held_pin";
    with_pcscd(name, |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::MyNumber);
        let _card = pcscd.insert(&file);
        let client = Client::start();
        let mut another = another_user(&scratch);

        let session = client.logged_in(SIGN, PASSWORD).unwrap();
        client.sign(session, b"x").unwrap();
        assert_eq!([another.say(&format!("login {PIN}")), another.say("logout")], ["0", "0"]);
        assert_eq!(client.sign(session, b"x"), Err(CKR_USER_NOT_LOGGED_IN));
        assert_eq!(client.state(session), Ok(CKS_RW_PUBLIC_SESSION));

        let session = client.logged_in(AUTH, PIN).unwrap();
        client.sign(session, b"x").unwrap();
        let rival = Rival::connect(0, ShareMode::Shared);
        assert_eq!(rival.sign(), 0x9000, "the card knows one login for everybody");
        rival.leave(Disposition::LeaveCard);
        assert_eq!([another.say(&format!("login {PIN}")), another.say("logout")], ["0", "0"]);
        let (signed, commands) = Asked::of(&file).by(|| client.sign(session, b"x"));
        assert!(signed.is_ok());
        assert_eq!(commands.iter().filter(|command| command.contains("[secret]")).count(), 1, "{commands:?}");
        client.finalize().unwrap();
    });
}

/// What a reader does to a card in a machine that sleeps, as far as one that stays awake can show it.
#[test]
fn a_card_that_lost_its_power_is_logged_in_again_with_the_held_pin_and_never_with_the_password() {
    let name = "users::a_card_that_lost_its_power_is_logged_in_again_with_the_held_pin_and_never_with_the_password";
    with_pcscd(name, |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let client = Client::start();
        let lose_power = || Rival::connect(0, ShareMode::Shared).leave(Disposition::UnpowerCard);
        let auth = client.logged_in(AUTH, PIN).unwrap();
        client.sign(auth, b"x").unwrap();
        lose_power();
        client.sign(auth, b"x").unwrap();
        let sign = client.logged_in(SIGN, PASSWORD).unwrap();
        client.sign(sign, b"x").unwrap();
        lose_power();
        assert_eq!(client.sign(sign, b"x"), Err(CKR_USER_NOT_LOGGED_IN));
        client.finalize().unwrap();
    });
}
