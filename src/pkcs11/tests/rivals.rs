//! Another program that selects an application of its own, or resets the card, before each transaction of a session.

use super::*;
use crate::config::LastTry;
use crate::emulator::switches::QueryWhenVerified;
use crate::transport::{self, Continuity, Disposition, Link, Patience, ReaderState, Readers, Stay, Waiter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the rival does.
#[derive(Clone, Copy)]
enum Deed {
    Select(&'static [&'static str]),
    Reset,
}

const DEEDS: [Deed; 9] = [
    Deed::Select(&[SELECT_ISD]),
    Deed::Select(&[SELECT_JPKI]),
    Deed::Select(&[SELECT_ISD, SELECT_JPKI]),
    Deed::Select(&["00A4040C0AD3921000310001010100"]),
    Deed::Select(&["00A4040C0AD3921000310001010401"]),
    Deed::Select(&["00A4040C0AD3921000310001010402"]),
    Deed::Select(&["00A4040C0AD3921000310001010408"]),
    // A file of our own application: the one of the other key's secret.
    Deed::Select(&["00A4020C02001B"]),
    Deed::Reset,
];

/// Practice readers in which the rival has its turn before one of our transactions.
struct Interrupted {
    readers: PracticeReaders,
    turn: Arc<Turn>,
}

struct Turn {
    /// Transactions begun.
    begun: AtomicUsize,
    before: usize,
    deed: Deed,
}

impl Readers for Interrupted {
    fn look(&self) -> transport::Result<Vec<ReaderState>> {
        self.readers.look()
    }

    fn connect(&self, reader: &str) -> transport::Result<Box<dyn Link>> {
        let link = self.readers.connect(reader)?;
        Ok(Box::new(InterruptedLink { link, readers: self.readers.clone(), turn: Arc::clone(&self.turn) }))
    }

    fn waiter(&self) -> transport::Result<Arc<dyn Waiter>> {
        self.readers.waiter()
    }
}

struct InterruptedLink {
    link: Box<dyn Link>,
    readers: PracticeReaders,
    turn: Arc<Turn>,
}

impl Link for InterruptedLink {
    fn begin(&mut self, patience: Patience) -> transport::Result<Continuity> {
        if self.turn.begun.fetch_add(1, Ordering::Relaxed) == self.turn.before {
            match self.turn.deed {
                Deed::Select(commands) => {
                    for command in commands {
                        assert!(self.readers.rival(READER, &hex(command)).is_some());
                    }
                }
                Deed::Reset => self.readers.reset(READER),
            }
        }
        self.link.begin(patience)
    }

    fn transmit(&mut self, command: &[u8]) -> transport::Result<Vec<u8>> {
        self.link.transmit(command)
    }

    fn end(&mut self) {
        self.link.end();
    }

    fn stay(&self) -> Stay {
        self.link.stay()
    }

    fn close(self: Box<Self>, disposition: Disposition) -> bool {
        self.link.close(disposition)
    }
}

/// A login whose loss is told is given again, once; then everything must work.
fn sign_or_log_in_again(ground: &Ground, session: CK_SESSION_HANDLE, secret: &[u8]) {
    let keys = ground.class(session, CKO_PRIVATE_KEY);
    let signed = match keys.first() {
        Some(&key) => ground
            .module
            .sign_init(session, sha256_pkcs1(), key)
            .and_then(|()| output(Some(512), |out| ground.module.sign(session, b"x", out))),
        None => Err(Rv::USER_NOT_LOGGED_IN),
    };
    match signed {
        Ok(signature) => assert_eq!(signature.len(), 256),
        Err(error) => {
            assert_eq!(error, Rv::USER_NOT_LOGGED_IN);
            assert_eq!(ground.state(session), CKS_RW_PUBLIC_SESSION, "the loss is not only told");
            ground.login(session, secret).unwrap();
            assert_eq!(ground.sign(session, b"x").unwrap().len(), 256);
        }
    }
}

/// A ground where the rival's turn is before transaction `before`.
fn interrupted(before: usize, deed: Deed) -> (Ground, Arc<Turn>) {
    let mut ground = Ground::new(card(&MY_NUMBER));
    let turn = Arc::new(Turn { begun: AtomicUsize::new(0), before, deed });
    let readers = Interrupted { readers: ground.readers.clone(), turn: Arc::clone(&turn) };
    ground.module = Module::over(ground.module.config.clone(), Tokens::Both, Box::new(readers));
    (ground, turn)
}

/// A session with all that touches the card, the rival's turn being before transaction `before`. Answers how many there
/// were.
fn session(before: usize, deed: Deed) -> usize {
    let (ground, turn) = interrupted(before, deed);
    let (auth, sign) = (ground.session(AUTH), ground.session(SIGN));
    assert_eq!(ground.flags(AUTH) & CKF_USER_PIN_COUNT_LOW, 0);
    ground.login(auth, PIN).unwrap();
    sign_or_log_in_again(&ground, auth, PIN);
    ground.login(sign, PASSWORD).unwrap();
    sign_or_log_in_again(&ground, sign, PASSWORD);
    sign_or_log_in_again(&ground, auth, PIN);
    ground.module.set_pin(auth, Some(PIN), Some(b"4321")).unwrap();
    sign_or_log_in_again(&ground, sign, PASSWORD);
    ground.module.logout(auth).unwrap();
    ground.module.logout(sign).unwrap();
    ground.login(auth, b"4321").unwrap();
    sign_or_log_in_again(&ground, auth, b"4321");
    for slot in [AUTH, SIGN] {
        assert_eq!(ground.flags(slot) & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED), 0);
    }
    ground.module.disconnect();

    for exchange in ground.readers.log() {
        if exchange.command.contains("[secret]") {
            assert_eq!(exchange.sw, Some(Sw::OK), "a secret went where it was wrong: {}", exchange.command);
        }
    }
    let counters = |p2: &str| {
        ground.rival(SELECT_JPKI);
        ground.rival(&format!("002000{p2}")).tries_left()
    };
    assert_eq!((counters("98"), counters("9B")), (Some(3), Some(5)));
    turn.begun.load(Ordering::Relaxed)
}

#[test]
fn a_rival_before_any_transaction_moves_no_try_and_nothing_fails_but_a_login_that_is_told() {
    let undisturbed = session(usize::MAX, Deed::Reset);
    assert!(undisturbed > 15, "{undisturbed} transactions");
    for deed in DEEDS {
        for before in 0..undisturbed {
            session(before, deed);
        }
    }
}

#[test]
fn a_card_that_tells_of_anothers_login_instead_of_its_tries_is_logged_in_to_all_the_same() {
    let ground = Ground::new(with(&MY_NUMBER, |switches| {
        (switches.query_when_verified, switches.first_command_fails) = (QueryWhenVerified::Ok, false);
    }));
    assert_eq!(ground.rival(SELECT_JPKI), Sw::OK);
    assert_eq!(ground.rival("002000980431323334"), Sw::OK);
    let counts = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
    assert_eq!(ground.flags(AUTH) & counts, 0, "nothing is known of the tries");
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    assert_eq!(ground.sign(session, b"x").unwrap().len(), 256);
}

#[test]
fn where_the_card_does_not_count_a_last_try_that_is_to_be_left_alone_is_not_risked() {
    let card = with(&MY_NUMBER, |switches| switches.query_when_verified = QueryWhenVerified::Ok);
    let ground = Ground::set(Tokens::Both, vec![Box::new(card)], |config| config.last_try = LastTry::Jpki);
    assert_eq!(ground.rival(SELECT_JPKI), Sw::OK);
    assert_eq!(ground.rival("002000980431323334"), Sw::OK);
    let (session, before) = (ground.session(AUTH), ground.readers.verifies());
    assert_eq!(ground.login(session, b"9999"), Err(Rv::FUNCTION_CANCELED));
    assert_eq!(ground.readers.verifies(), before);
}

#[test]
fn whether_a_login_is_owed_is_asked_of_the_records_and_not_of_a_service_that_may_hang() {
    let (ground, turn) = interrupted(usize::MAX, Deed::Reset);
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    let before = turn.begun.load(Ordering::Relaxed);
    ground.module.slot_info(AUTH).unwrap();
    ground.session(SIGN);
    assert_eq!(turn.begun.load(Ordering::Relaxed), before, "it is this process's own");
}
