//! A token: one key of the card in one reader. Its state is a leaf lock, held for no longer than it takes to look at it
//! or to change it, so that a session can be asked who is logged in while the card is busy.

use super::lock::Mutex;
use super::refusals::Refusals;
use super::slots::Epoch;
use crate::card::File;
use crate::cert::Certificate;
use crate::logins;
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::sys::{self, LockedBytes};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// One key of whatever card lies in a reader.
pub(crate) struct Token {
    state: Mutex<State>,
}

/// What belongs to one stay of a card in its reader.
pub(crate) struct State {
    epoch: Epoch,
    login: Option<Login>,
    holder: Read,
    authority: Read,
    handles: Handles,
    pub(crate) refusals: Refusals,
}

/// A login of this process (PKCS#11 3.0 §5.6.8): of all its sessions with the token.
pub(crate) struct Login {
    /// By the clock that goes on while the machine sleeps.
    since: Duration,
    /// The secret, where it may be presented again ([`crate::config::Config::hold_pin`]).
    pub(crate) pin: Option<Held>,
    /// How other processes see it.
    pub(crate) announced: Arc<logins::Login>,
    handles: Handles,
    /// No signature was made since, so an always-authenticate key needs no password of its own yet.
    fresh: bool,
}

/// A secret that was right once.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) bytes: Arc<LockedBytes>,
    /// The last change by then: after another one it is not presented.
    pub(crate) changes: Vec<u64>,
}

/// A certificate's file as it was read: `Some(None)` has none in it.
type Read = Option<Option<Arc<Certificate>>>;

/// A block of object handles that nobody else has, or ever had: handles die with what they were made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handles(u32);

impl Handles {
    /// Objects in one block.
    pub(crate) const BLOCK: u32 = 16;

    fn new() -> Handles {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Handles(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(Handles::BLOCK))
    }

    /// The handle of the object with this ordinal number.
    pub(crate) fn handle(self, ordinal: u32) -> u32 {
        self.0 | ordinal
    }

    /// The ordinal number behind a handle; `None` if it is none of this block.
    pub(crate) fn ordinal(self, handle: u32) -> Option<u32> {
        (handle & !(Handles::BLOCK - 1) == self.0).then_some(handle & (Handles::BLOCK - 1))
    }
}

impl Token {
    pub(crate) fn new() -> Token {
        Token { state: Mutex::new(State::new(Epoch::default())) }
    }

    /// Looks at the state, or changes it. What an older card left behind is gone by then.
    ///
    /// # Errors
    /// CKR_DEVICE_REMOVED: it is `epoch` that is over.
    pub(crate) fn with<R>(&self, epoch: Epoch, work: impl FnOnce(&mut State) -> R) -> Result<R> {
        let mut state = self.state.lock();
        if state.epoch < epoch {
            *state = State::new(epoch);
        }
        if state.epoch > epoch {
            return Err(Rv::DEVICE_REMOVED);
        }
        Ok(work(&mut state))
    }
}

impl State {
    fn new(epoch: Epoch) -> State {
        State {
            epoch,
            login: None,
            holder: None,
            authority: None,
            handles: Handles::new(),
            refusals: Refusals::default(),
        }
    }

    /// Whether somebody is logged in, and not for longer than `max_login`.
    pub(crate) fn is_logged_in(&self, max_login: Option<Duration>) -> bool {
        self.login.as_ref().is_some_and(|login| !login.is_over(max_login))
    }

    /// The login, over or not.
    pub(crate) fn login(&mut self) -> Option<&mut Login> {
        self.login.as_mut()
    }

    /// Begins a login.
    pub(crate) fn begin(&mut self, pin: Option<Held>, announced: logins::Login) {
        self.refusals = Refusals::default();
        let (since, announced) = (sys::since_boot(), Arc::new(announced));
        self.login = Some(Login { since, pin, announced, handles: Handles::new(), fresh: true });
    }

    /// Makes the token public: sessions report it, handles of private objects die, the secret is wiped with the login
    /// that is handed back. The holder's certificate goes too if it was `guarded` by the secret.
    pub(crate) fn end(&mut self, guarded: bool) -> Option<Login> {
        if guarded {
            self.holder = None;
        }
        self.login.take()
    }

    /// [`State::end`] for a login that has lasted longer than `max_login`.
    pub(crate) fn end_if_over(&mut self, max_login: Option<Duration>, guarded: bool) -> Option<Login> {
        if self.login.as_ref()?.is_over(max_login) { self.end(guarded) } else { None }
    }

    /// What was read of a certificate's file.
    pub(crate) fn certificate(&mut self, file: File) -> &mut Read {
        match file {
            File::Holder(_) => &mut self.holder,
            File::Authority(_) => &mut self.authority,
        }
    }

    /// The block that public objects take their handles from.
    pub(crate) fn public_handles(&self) -> Handles {
        self.handles
    }

    /// The block of the private objects; `None` while the token is public.
    pub(crate) fn private_handles(&self, max_login: Option<Duration>) -> Option<Handles> {
        self.login.as_ref().filter(|login| !login.is_over(max_login)).map(|login| login.handles)
    }
}

impl Login {
    fn is_over(&self, max_login: Option<Duration>) -> bool {
        max_login.is_some_and(|max| sys::since_boot().saturating_sub(self.since) > max)
    }

    /// Whether no signature has used it yet.
    #[cfg(test)]
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether this login has not been used for a signature yet; from now on it has.
    pub(crate) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkcs11::state::slots::Slots;
    use crate::transport::ReaderState;

    fn epochs() -> (Epoch, Epoch) {
        let mut slots = Slots::new(crate::config::Tokens::Both);
        let seen = |event_count| [ReaderState { name: "A".into(), present: true, mute: false, event_count }];
        slots.apply(&seen(1));
        let first = slots.epoch(0);
        slots.apply(&seen(3));
        (first, slots.epoch(0))
    }

    fn announced() -> logins::Login {
        let logins = logins::Logins::new(&Arc::default(), "card".into(), crate::transport::Stay::default());
        logins.announce(crate::card::Key::Authentication, &logins::Wait::NONE).unwrap()
    }

    #[test]
    fn a_login_and_its_handles_end_with_the_card() {
        let (first, second) = epochs();
        let token = Token::new();
        token.with(first, |state| state.begin(None, announced())).unwrap();
        let (public, private) =
            token.with(first, |state| (state.public_handles(), state.private_handles(None).unwrap())).unwrap();
        assert_ne!(public, private);
        token
            .with(second, |state| {
                assert!(!state.is_logged_in(None));
                assert_eq!(state.private_handles(None), None);
                assert_ne!(state.public_handles(), public);
            })
            .unwrap();
        assert_eq!(token.with(first, |_| ()), Err(Rv::DEVICE_REMOVED));
    }

    #[test]
    fn handles_of_private_objects_stay_dead_after_another_login() {
        let (epoch, _) = epochs();
        let token = Token::new();
        token
            .with(epoch, |state| {
                state.begin(None, announced());
                let handle = state.private_handles(None).unwrap().handle(3);
                state.end(true);
                state.begin(None, announced());
                assert_eq!(state.private_handles(None).unwrap().ordinal(handle), None);
            })
            .unwrap();
    }

    #[test]
    fn a_login_ends_by_itself_after_max_login() {
        let (epoch, _) = epochs();
        let token = Token::new();
        token
            .with(epoch, |state| {
                state.begin(None, announced());
                assert!(state.is_logged_in(Some(Duration::from_secs(3600))));
                assert!(!state.is_logged_in(Some(Duration::ZERO)));
                assert!(state.end_if_over(Some(Duration::ZERO), false).is_some());
            })
            .unwrap();
    }
}
