//! Locks, marks and changes, between processes that are played by meetings of their own.

use super::*;
use crate::sys;
use std::fs;
use tempfile::TempDir;

const AUTH: Key = Key::Authentication;
const SIGN: Key = Key::Signature;

fn stay() -> Stay {
    Stay { reader: "Reader 00 00".into(), events: 3 }
}

/// A user's places.
struct Ground {
    place: TempDir,
}

impl Ground {
    fn new() -> Ground {
        Ground { place: tempfile::tempdir().unwrap() }
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// What one process knows of the card, which has these of the places.
    fn process(&self, places: &[&str]) -> Logins {
        self.process_at(places, stay())
    }

    fn process_at(&self, places: &[&str], stay: Stay) -> Logins {
        let directories: Vec<PathBuf> = places.iter().map(|name| self.directory(name)).collect();
        Logins::new(&Arc::new(Meeting::new(&directories, &Arc::default())), "card".into(), stay)
    }
}

fn announce(logins: &Logins, key: Key) -> Login {
    logins.announce(key, &Wait::NONE).unwrap()
}

#[test]
fn only_the_last_login_on_a_card_logs_it_out() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run"]), ground.process(&["run"]));
    for key in Key::ALL {
        let (first, second) = (announce(&one, key), announce(&other, key));
        first.release();
        assert!(one.last(key).is_none(), "the second login is still there");
        second.release();
        other.last(key).unwrap().left();
        assert!(!one.is_marked(key));
    }
}

#[test]
fn the_strong_login_does_not_yield_to_the_weak_one() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run"]), ground.process(&["run"]));
    // A signature login ends: the card is left although the other key's login lives.
    let (weak, strong) = (announce(&one, AUTH), announce(&other, SIGN));
    strong.release();
    other.last(SIGN).expect("an authentication login regains").left();
    assert!(!other.is_marked(SIGN));
    assert!(other.is_marked(AUTH), "it is still somebody's");
    // An authentication login ends: the card is not left, for the signature login would be lost.
    let strong = announce(&other, SIGN);
    weak.release();
    assert!(one.last(AUTH).is_none());
    // Its key closes with the signature's.
    strong.release();
    other.last(SIGN).unwrap().left();
    assert!(Key::ALL.iter().all(|&key| !one.is_marked(key)));
}

#[test]
fn a_mark_without_a_lock_is_owed_by_whoever_looks() {
    let ground = Ground::new();
    for key in Key::ALL {
        let (dead, living) = (ground.process(&["run"]), ground.process(&["run"]));
        assert!(living.owed().is_none());
        let login = announce(&dead, key);
        assert!(living.owed().is_none(), "somebody is logged in");
        // A process that is killed leaves its mark and no lock.
        drop(login);
        living.owed().expect("nobody ends it").left();
        assert!(living.owed().is_none());
    }
}

#[test]
fn what_is_owed_by_the_weak_key_waits_for_the_strong_ones_login() {
    let ground = Ground::new();
    let (dead, living) = (ground.process(&["run"]), ground.process(&["run"]));
    drop(announce(&dead, AUTH));
    let strong = announce(&living, SIGN);
    assert!(dead.owed().is_none(), "to pay would end the signature login");
    strong.release();
    assert!(dead.owed().is_some());
}

#[test]
fn a_card_that_could_not_be_logged_out_is_owed() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run"]), ground.process(&["run"]));
    announce(&one, SIGN).release();
    drop(one.last(SIGN).unwrap());
    other.owed().expect("the mark stays").left();
}

#[test]
fn a_mark_is_void_once_the_card_has_lost_its_power() {
    let ground = Ground::new();
    drop(announce(&ground.process(&["run"]), SIGN));
    for stay in [Stay { events: 4, ..stay() }, Stay { reader: "Reader 01 00".into(), ..stay() }] {
        assert!(ground.process_at(&["run"], stay.clone()).owed().is_none(), "{stay:?}");
    }
    assert!(ground.process(&["run"]).owed().is_some());
    // Another run of the machine.
    let mut later = Meeting::new(&[ground.directory("run")], &Arc::default());
    later.boot = "another".into();
    assert!(Logins::new(&Arc::new(later), "card".into(), stay()).owed().is_none());
}

#[test]
fn processes_with_different_places_meet_in_those_they_share() {
    let ground = Ground::new();
    let (with, without) = (ground.process(&["system", "session", "state"]), ground.process(&["system", "state"]));
    let (one, other) = (announce(&with, SIGN), announce(&without, SIGN));
    one.release();
    assert!(with.last(SIGN).is_none());
    let one = announce(&with, SIGN);
    other.release();
    assert!(without.last(SIGN).is_none());
    one.release();
    with.last(SIGN).unwrap().left();
    assert!(!without.is_marked(SIGN));
}

#[test]
fn without_a_place_logins_count_in_this_process() {
    let meeting = Arc::new(Meeting::default());
    let logins = Logins::new(&meeting, "card".into(), stay());
    let (one, other) = (announce(&logins, SIGN), announce(&logins, SIGN));
    one.release();
    assert!(logins.last(SIGN).is_none());
    other.release();
    drop(logins.last(SIGN).unwrap());
    logins.owed().expect("it could not be logged out").left();
    assert!(logins.owed().is_none());
    assert_eq!(logins.changes(AUTH), Some(vec![]), "nobody would notice a change");
}

#[test]
fn a_directory_that_is_open_to_others_is_no_place() {
    use std::os::unix::fs::PermissionsExt;
    let ground = Ground::new();
    fs::create_dir(ground.directory("open")).unwrap();
    fs::set_permissions(ground.directory("open"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(ground.directory("file"), "").unwrap();
    let logins = ground.process(&["open", "file", "file/below"]);
    drop(announce(&logins, AUTH));
    assert_eq!(fs::read_dir(ground.directory("open")).unwrap().count(), 0);
}

#[test]
fn nobody_logs_in_while_the_last_one_logs_the_card_out() {
    let ground = Ground::new();
    let logins = ground.process(&["run"]);
    announce(&logins, SIGN).release();
    let last = logins.last(SIGN).unwrap();
    assert_eq!(logins.announce(SIGN, &Wait::NONE).unwrap_err(), Error::Held);
    assert_eq!(logins.announce(AUTH, &Wait::NONE).unwrap_err(), Error::Held, "it would lose the card's state");
    thread::scope(|scope| {
        let (began, waits) = std::sync::mpsc::channel();
        let next = scope.spawn(|| {
            let told = began;
            let given_up = move || {
                // Asked at each look that finds the record taken.
                let _ = told.send(());
                false
            };
            logins.announce(SIGN, &Wait { longest: Duration::from_secs(60), given_up: &given_up }).map(drop)
        });
        waits.recv().unwrap();
        assert!(!next.is_finished());
        last.left();
        next.join().unwrap().unwrap();
    });
}

#[test]
fn a_wait_for_a_process_that_is_stopped_ends_in_time_or_when_it_is_given_up() {
    let ground = Ground::new();
    let logins = ground.process(&["run"]);
    announce(&logins, SIGN).release();
    let _stopped = logins.last(SIGN).unwrap();
    let start = Instant::now();
    let wait = Wait { longest: Duration::from_millis(100), given_up: &|| false };
    assert_eq!(logins.announce(SIGN, &wait).unwrap_err(), Error::Held);
    assert!((100..5_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let wait = Wait { longest: Duration::from_secs(60), given_up: &|| true };
    assert_eq!(logins.announce(SIGN, &wait).unwrap_err(), Error::GivenUp);
}

#[test]
fn a_login_whose_file_a_cleaner_took_is_shown_again() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run"]), ground.process(&["run"]));
    let login = announce(&one, SIGN);
    fs::remove_file(ground.directory("run/card.sign")).unwrap();
    one.renew(&login);
    assert!(other.last(SIGN).is_none(), "somebody is logged in");
    login.release();
    one.renew(&login);
    one.last(SIGN).unwrap().left();
}

#[test]
fn with_several_places_a_cleaner_of_one_takes_no_login() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run", "state"]), ground.process(&["run", "state"]));
    let _login = announce(&one, SIGN);
    fs::remove_file(ground.directory("run/card.sign")).unwrap();
    assert!(other.last(SIGN).is_none());
}

#[test]
fn changes_are_told_in_every_place_beside_the_marks() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run", "state"]), ground.process(&["run", "state"]));
    let _login = announce(&one, AUTH);
    let before = one.changes(AUTH).unwrap();
    assert_eq!(before, other.changes(AUTH).unwrap());
    other.prepare_change(AUTH).unwrap().tell().unwrap();
    let after = one.changes(AUTH).unwrap();
    assert!(before.iter().zip(&after).all(|(before, after)| after != before), "{before:?} {after:?}");
    assert!(one.is_marked(AUTH));
    // One place alone tells: another process may know no more than that.
    ground.process(&["state"]).prepare_change(AUTH).unwrap().tell().unwrap();
    assert_ne!(one.changes(AUTH).unwrap(), after);
    fs::remove_file(ground.directory("run/card.login")).unwrap();
    assert_eq!(one.changes(AUTH), None, "a file that was taken away tells nothing");
    other.prepare_change(AUTH).unwrap().tell().unwrap();
    assert_ne!(one.changes(AUTH).unwrap().first(), after.first(), "a record that begins anew comes back to no number");
}

#[test]
fn an_older_versions_lock_counts() {
    let ground = Ground::new();
    let logins = ground.process(&["run"]);
    sys::make_private(&ground.directory("run")).unwrap();
    let older = fs::File::create(ground.directory("run/card.login")).unwrap();
    older.lock_shared().unwrap();
    announce(&logins, AUTH).release();
    assert!(logins.last(AUTH).is_none());
    older.unlock().unwrap();
    logins.last(AUTH).unwrap().left();
}

#[cfg(unix)]
#[test]
fn a_login_that_is_over_does_not_live_on_in_who_has_its_file_open() {
    let ground = Ground::new();
    let logins = ground.process(&["run"]);
    let path = ground.directory("run/card.sign");
    sys::make_private(&ground.directory("run")).unwrap();
    let mut first = FileSheet::open(&path).unwrap();
    assert!(first.try_lock(Lock::Shared).unwrap());
    // What a child has of it whose fork called no handler: the same open file.
    let child = first.duplicate();
    drop(first);
    logins.last(SIGN).expect("no other is left").left();
    drop(child);
}

#[cfg(unix)]
#[test]
fn the_files_are_private_and_kept_from_cleaners() {
    use std::os::unix::fs::PermissionsExt;
    let ground = Ground::new();
    let _logins: Vec<Login> = Key::ALL.map(|key| announce(&ground.process(&["run"]), key)).into();
    for name in ["run/card.login", "run/card.sign"] {
        assert_eq!(fs::metadata(ground.directory(name)).unwrap().permissions().mode() & 0o7777, 0o1600);
    }
}

#[test]
fn a_refused_secret_is_known_to_every_process_until_its_counter_is_fuller() {
    let place = tempfile::Builder::new().prefix("jpki-logins-").tempdir_in("/dev/shm").unwrap();
    let ground = Ground { place };
    let (one, other) = (ground.process(&["run"]), ground.process(&["run"]));
    drop(announce(&one, AUTH));
    one.remember_refusal(AUTH, b"9999", Some(2));
    assert!(one.has_refused(AUTH, b"9999") && other.has_refused(AUTH, b"9999"));
    assert!(!other.has_refused(AUTH, b"1234") && !other.has_refused(SIGN, b"9999"));
    other.note_tries(AUTH, 2, 3);
    assert!(one.has_refused(AUTH, b"9999"));
    other.note_tries(AUTH, 3, 3);
    assert!(!other.has_refused(AUTH, b"9999"));
    one.note_tries(AUTH, 3, 3);
    assert!(!one.has_refused(AUTH, b"9999"));
    one.remember_refusal(AUTH, b"9999", None);
    one.forget_refusals(AUTH);
    assert!(!one.has_refused(AUTH, b"9999") && !other.has_refused(AUTH, b"9999"));
}

#[test]
fn a_secret_that_was_refused_may_be_right_after_a_change() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run"]), ground.process(&["run"]));
    drop(announce(&one, SIGN));
    one.remember_refusal(SIGN, b"PRACTICE2", Some(4));
    assert!(one.has_refused(SIGN, b"PRACTICE2"));
    other.prepare_change(SIGN).unwrap().tell().unwrap();
    assert!(!one.has_refused(SIGN, b"PRACTICE2"), "though the counter may have fallen again since");
}

#[test]
fn who_cannot_have_the_weak_keys_record_does_not_stand_in_the_way_of_the_strong_ones() {
    let ground = Ground::new();
    let (one, other) = (ground.process(&["run"]), ground.process(&["run"]));
    let weak = announce(&one, AUTH);
    let strong = announce(&other, SIGN);
    strong.release();
    // A look in this very moment: the authentication login is somebody's, so nothing is to be had.
    assert!(one.last(AUTH).is_none());
    other.last(SIGN).unwrap().left();
    drop(weak);
}

#[test]
fn a_process_remembers_what_was_refused_where_there_is_no_place_in_memory() {
    let memory = Arc::default();
    let before = Logins::new(&Arc::new(Meeting::new(&[], &memory)), "card".into(), stay());
    before.remember_refusal(AUTH, b"9999", Some(2));
    let after = Logins::new(&Arc::new(Meeting::new(&[], &memory)), "card".into(), stay());
    assert!(after.has_refused(AUTH, b"9999"), "after C_Finalize and C_Initialize");
}

#[test]
fn without_a_place_two_cards_that_say_the_same_of_themselves_are_two() {
    let meeting = Arc::new(Meeting::default());
    let in_reader = |reader: &str| Logins::new(&meeting, "card".into(), Stay { reader: reader.into(), events: 1 });
    let (one, other) = (in_reader("Reader 00 00"), in_reader("Reader 01 00"));
    let (first, _second) = (announce(&one, SIGN), announce(&other, SIGN));
    first.release();
    one.last(SIGN).expect("the other login is on another card").left();
}
