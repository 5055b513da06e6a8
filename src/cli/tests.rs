//! What becomes of a login of the program when something befalls the card or the way to it.

use super::pin_change::{Outcome, change};
use super::secrets::Login;
use crate::apdu::{CHANGE_REFERENCE_DATA, Command, SELECT, Sw, VERIFY};
use crate::card::{self, Card, Key, Options, Probe};
use crate::config::Config;
use crate::emulator::PracticeCard;
use crate::emulator::fault::{Aim, Fault, Faults, FaultyCard};
use crate::emulator::image::{Image, Kind};
use crate::emulator::issue::{Order, personalise};
use crate::emulator::local::{Incident, PracticeReaders};
use crate::emulator::seed::Seed;
use crate::logins::Meeting;
use crate::secret::{self, Pin};
use crate::transport::{Error, Readers};
use crate::words::Language;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// A My Number Card; making its keys is what takes the time.
static CARD: LazyLock<Image> =
    LazyLock::new(|| personalise(&Order::new(Kind::MyNumber, Seed::from("cli"), 1_700_000_000)).unwrap());

/// A reader with a card whose file outlives its removal.
struct Ground {
    readers: PracticeReaders,
    faults: Faults,
    place: TempDir,
}

impl Ground {
    fn new() -> Ground {
        let (readers, faults) = (PracticeReaders::new(1), Faults::default());
        let ground = Ground { readers, faults, place: TempDir::new().unwrap() };
        drop(PracticeCard::create(&ground.place.path().join("card"), &CARD).unwrap());
        ground.put_back();
        ground
    }

    fn reader(&self) -> String {
        PracticeReaders::name(0)
    }

    /// Puts the card back if it was taken out; from now on nothing befalls it.
    fn put_back(&self) {
        self.readers.on_command(&self.reader(), |_| Incident::None);
        self.faults.end();
        if !self.readers.look().unwrap()[0].present {
            let card = PracticeCard::open(&self.place.path().join("card")).unwrap();
            self.readers.insert(&self.reader(), Box::new(FaultyCard::new(card, &self.faults)));
        }
    }

    /// From now on this befalls each command that `which` picks.
    fn befall(&self, incident: Incident, which: fn(&Command) -> bool) {
        let incident = move |command: &Command| if which(command) { incident.clone() } else { Incident::None };
        self.readers.on_command(&self.reader(), incident);
    }

    fn options(&self) -> Options {
        let meeting = Meeting::new(&[self.place.path().join("run")], &Arc::default());
        Options { meeting: Arc::new(meeting), ..Options::default() }
    }

    fn card(&self) -> Card {
        match Card::probe(self.readers.connect(&self.reader()).unwrap(), &self.options()).unwrap() {
            Probe::Ours(card) => *card,
            other => panic!("{other:?}"),
        }
    }

    fn login(&self, card: &Card, key: Key) -> Login {
        Login::announce(card, key, &Config::default()).unwrap()
    }

    /// Presents 1234 and ends the login. What the card said, and what came of the end.
    fn log_in_and_out(&self) -> (card::Result<()>, super::Result<()>) {
        let mut card = self.card();
        let mut login = self.login(&card, Key::Authentication);
        let pin = pin(b"1234");
        let presented = card.session(|application| login.verify(application, &pin));
        (presented, login.end(card, Language::En))
    }

    /// Changes 1234 into 5678 and ends the login. What came of it, and of the end.
    fn change(&self) -> (Outcome, super::Result<()>) {
        let mut card = self.card();
        let mut login = self.login(&card, Key::Authentication);
        let outcome = change(&mut card, &mut login, &pin(b"1234"), &pin(b"5678"));
        (outcome, login.end(card, Language::En))
    }

    /// Whether the card, put back, has 5678.
    fn is_changed(&self) -> bool {
        self.put_back();
        let mut card = self.card();
        let changed = card.session(|application| application.verify(Key::Authentication, &pin(b"5678"))).is_ok();
        assert!(card.end_logins().unwrap());
        changed
    }

    /// Whether the card signs without a secret.
    fn is_logged_in(&self) -> bool {
        self.put_back();
        let signed = self.card().sign(Key::Authentication, card::Scheme::Pkcs1, &[1], None, |_| Ok(false));
        match signed {
            Ok(_) => true,
            Err(error) if error.is_not_verified() => false,
            Err(error) => panic!("{error}"),
        }
    }
}

fn pin(digits: &[u8]) -> Pin {
    Pin::present(secret::AUTHENTICATION, digits).unwrap()
}

fn is_verify(command: &Command) -> bool {
    command.ins == VERIFY && command.is_secret()
}

fn is_change(command: &Command) -> bool {
    command.ins == CHANGE_REFERENCE_DATA
}

/// SELECT of an application that is not JPKI's, which is how a login is ended.
fn leaves(command: &Command) -> bool {
    const JPKI: [u8; 10] = [0xD3, 0x92, 0xF0, 0, 0x26, 1, 0, 0, 0, 1];
    (command.ins, command.p1) == (SELECT, 4) && command.data.as_slice() != JPKI
}

fn removed() -> card::Error {
    Error::Removed.into()
}

#[test]
fn a_login_whose_answer_was_unclear_is_ended_like_any_other() {
    for fault in [Fault::Status(Sw::NO_DIAGNOSIS), Fault::OneByte, Fault::Mute] {
        let ground = Ground::new();
        ground.faults.begin(Aim::Verify, fault.clone());
        let (presented, ended) = ground.log_in_and_out();
        assert!(presented.is_err(), "{fault}");
        assert!(ended.is_ok(), "{fault}: {ended:?}");
        assert!(!ground.is_logged_in(), "{fault}");
    }
}

#[test]
fn what_another_logout_has_left_to_a_login_that_is_refused_is_ended() {
    let ground = Ground::new();
    let mut card = ground.card();
    let mut other = ground.login(&card, Key::Authentication);
    card.session(|application| other.verify(application, &pin(b"1234"))).unwrap();
    let mut same_card = ground.card();
    let mut refused = ground.login(&same_card, Key::Signature);
    other.end(card, Language::En).unwrap();
    assert!(ground.is_logged_in(), "there is one more login");
    let wrong = Pin::present(secret::SIGNATURE, b"WRONG1").unwrap();
    assert!(same_card.session(|application| refused.verify(application, &wrong)).is_err());
    refused.end(same_card, Language::En).unwrap();
    assert!(!ground.is_logged_in());
}

#[test]
fn a_card_that_refuses_every_other_application_is_left_without_power() {
    let ground = Ground::new();
    ground.befall(Incident::Answer(vec![0x6A, 0x82]), leaves);
    let (presented, ended) = ground.log_in_and_out();
    assert!(presented.is_ok() && ended.is_ok(), "{presented:?} {ended:?}");
    assert!(!ground.is_logged_in());
}

#[test]
fn a_change_is_known_to_be_one_when_the_card_leaves_after_its_answer() {
    let ground = Ground::new();
    ground.befall(Incident::RemoveBefore, leaves);
    let (outcome, ended) = ground.change();
    assert_eq!(outcome, Outcome::Changed);
    assert!(ended.is_ok(), "a card without power is logged out: {ended:?}");
    assert!(ground.is_changed());
}

#[test]
fn whether_a_change_was_one_is_not_known_when_the_card_leaves_before_its_answer() {
    for (incident, changed) in [(Incident::RemoveBefore, false), (Incident::RemoveAfter, true)] {
        let ground = Ground::new();
        ground.befall(incident, is_change);
        let (outcome, ended) = ground.change();
        assert_eq!(outcome, Outcome::Unknown(removed()));
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(ground.is_changed(), changed);
    }
}

#[test]
fn an_answer_to_a_change_that_tells_nothing_is_no_refusal() {
    for (answer, refused) in
        [(&[0x69, 0x85][..], true), (&[0x6F, 0x00], false), (&[0x65, 0x81], false), (&[0x90], false)]
    {
        let ground = Ground::new();
        ground.befall(Incident::Answer(answer.to_vec()), is_change);
        let (outcome, ended) = ground.change();
        assert_eq!(matches!(outcome, Outcome::Refused(_)), refused, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Unknown(_)), !refused, "{outcome:?}");
        assert!(ended.is_ok(), "{ended:?}");
        assert!(!ground.is_logged_in());
    }
}

#[test]
fn a_new_secret_is_not_sent_after_an_old_one_whose_answer_was_lost() {
    let ground = Ground::new();
    ground.befall(Incident::RemoveAfter, is_verify);
    let (outcome, ended) = ground.change();
    assert_eq!(outcome, Outcome::NotPresented(removed()));
    assert!(ended.is_ok(), "{ended:?}");
    assert!(!ground.is_changed());
}

#[test]
fn a_login_that_cannot_be_ended_is_a_failure_that_says_so() {
    let ground = Ground::new();
    ground.befall(Incident::Silence, leaves);
    let (outcome, ended) = ground.change();
    assert_eq!(outcome, Outcome::Changed);
    assert_eq!(ended.unwrap_err().exit(), super::Exit::Failed);
    assert!(!ground.is_logged_in(), "it is owed, and whoever looks next pays");
}
