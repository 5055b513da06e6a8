//! The module between C_Initialize and C_Finalize: what it has, how it is made, and how it is closed.

use super::lock::{Mutex, SESSIONS};
use super::looking::Looking;
use super::present::PresentToken;
use super::reader::CardReader;
use super::session::Sessions;
use super::slots::{Slot, Slots};
use super::view::{Origin, View};
use super::wait::Wait;
use crate::card::{self, Algorithm};
use crate::config::{Config, LastTry, Pss};
use crate::logins::{Meeting, Memory};
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::transport::{Disposition, Readers, Waiter};
use crate::{logging, readers, sys};
use cryptoki_sys::CK_SLOT_ID;
use parking_lot::{Condvar, RwLock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Everything between C_Initialize and C_Finalize. The order of its locks stands on the crate's page.
pub struct Module {
    pub(crate) config: Config,
    pub(crate) card_options: card::Options,
    pub(crate) view: View,
    description: String,
    pub(crate) readers: Box<dyn Readers>,
    pub(crate) looking: Looking,
    pub(crate) slots: Mutex<Slots>,
    pub(crate) known: RwLock<Vec<Arc<CardReader>>>,
    pub(crate) sessions: Mutex<Sessions, SESSIONS>,
    /// All there are, for C_Finalize to wake.
    pub(crate) waiters: Mutex<Vec<Weak<dyn Waiter>>>,
    /// Those that nobody waits with just now.
    pub(crate) idle_waiters: Mutex<Vec<Arc<dyn Waiter>>>,
    /// What the parts of a wait know this module by.
    pub(crate) waits: Wait,
    /// Whether C_Finalize has begun: calls that wait are told.
    closing: parking_lot::Mutex<bool>,
    told: Condvar,
    /// Whether nothing goes to a card any more but what ends a login.
    closed: AtomicBool,
}

/// How long C_Finalize waits for calls in flight, beyond the time that a call may wait for a busy card.
const PATIENCE: Duration = Duration::from_secs(5);

impl Module {
    /// The module under this configuration, with the slots of the readers that are there now. Nothing is asked of a card.
    pub(crate) fn new(config: Config, memory: &Arc<Memory>) -> Module {
        if let (Some(log), Some(user)) = (&config.log, sys::effective_user()) {
            // A log that cannot be had must not keep the card from being used, and there is nowhere to say so.
            let _ = logging::start(log, user, config.log_level);
        }
        let origin = Origin::of_process();
        let view = View::of(origin, &config);
        for note in config.notes.iter().chain(&origin.remark(view)) {
            log::warn!("{note}");
        }
        if let Some(unusable) = &config.unusable {
            log::error!("no reader is used: {unusable}");
        }
        log::info!("initialised: shows {view}");
        let readers = readers::open(&config);
        Module::remembering(config, view, readers, memory)
    }

    /// The module over these readers, showing what this view shows, in a process that remembers nothing.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn over(config: Config, view: impl Into<View>, readers: Box<dyn Readers>) -> Module {
        Module::remembering(config, view, readers, &Arc::default())
    }

    /// The module over these readers, showing what this view shows.
    fn remembering(config: Config, view: impl Into<View>, readers: Box<dyn Readers>, memory: &Arc<Memory>) -> Module {
        let view = view.into();
        // 32 bytes of CK_INFO are all a program shows its user.
        let description =
            if config.unusable.is_some() { "bad JPKI config: run jpki doctor" } else { "JPKI card module" };
        let module = Module {
            card_options: card::Options {
                extended_read: config.extended_read,
                state_dir: config.state_dir.clone(),
                meeting: Arc::new(Meeting::new(&config.places, memory)),
                keep_last_try: config.last_try == LastTry::Jpki,
            },
            config,
            view,
            description: description.to_owned(),
            readers,
            looking: Looking::new(),
            slots: Mutex::new(Slots::new(view)),
            known: RwLock::default(),
            sessions: Mutex::default(),
            waiters: Mutex::default(),
            idle_waiters: Mutex::default(),
            waits: Wait::new(),
            closing: parking_lot::Mutex::new(false),
            told: Condvar::new(),
            closed: AtomicBool::new(false),
        };
        module.look();
        let mut slots = module.slots.lock();
        slots.join();
        slots.settle();
        drop(slots);
        module
    }

    /// For `CK_INFO.libraryDescription`: that the configuration cannot be used, if so.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whether C_Finalize, or the end of the process, has begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closed() || *self.closing.lock()
    }

    /// Whether nothing goes to a card any more but what ends a login. Looked at with the card in hand.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// From now on [`Module::is_closed`].
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Sleeps for `time`, or until C_Finalize begins.
    pub(crate) fn rest(&self, time: Duration) {
        let mut closing = self.closing.lock();
        if !*closing {
            self.told.wait_for(&mut closing, time);
        }
    }

    pub(crate) fn close(&self) {
        *self.closing.lock() = true;
        self.told.notify_all();
        let waiters: Vec<_> = self.waiters.lock().iter().filter_map(Weak::upgrade).collect();
        waiters.iter().for_each(|waiter| waiter.cancel());
    }

    /// Waits, once the module is closed, until nobody else has a hold on it; answers whether that was in time. A call in
    /// flight holds a clone of the `Arc`; it cannot be joined, only outwaited.
    pub(crate) fn outwait_calls(self: &Arc<Module>) -> bool {
        let deadline = Instant::now() + self.config.lock_timeout + PATIENCE;
        let mut closing = self.closing.lock();
        while Arc::strong_count(self) > 1 && Instant::now() < deadline {
            self.told.wait_for(&mut closing, Duration::from_millis(1));
        }
        drop(closing);
        Arc::strong_count(self) <= 1
    }

    /// Logs out and disconnects, explicitly: nothing of this may be left to a `Drop`, which may run in a forked child.
    pub(crate) fn disconnect(&self) {
        self.shut();
        // Not in the loop's head, which would hold the lock for the whole loop: what goes wrong in it takes a look at the
        // readers, which writes there.
        let readers = self.known.read().clone();
        for reader in readers {
            // A call that never came back may hold its reader, and for as long as the card likes.
            if reader.connection.try_lock_for(PATIENCE).is_none() {
                log::warn!("reader {}: its card does not answer, and keeps its login", reader.number);
                self.forget_logins(&reader);
                continue;
            }
            self.end_all_logins(&reader);
            if let Some(mut connection) = reader.connection.lock().take() {
                if let Err(error) = connection.card.settle() {
                    log::warn!("reader {}: a login that nobody ends stays on its card: {error}", reader.number);
                }
                connection.card.close(Disposition::Leave);
            }
        }
        // After the lock is given back: it ends their connections to the service.
        let idle = std::mem::take(&mut *self.idle_waiters.lock());
        drop(idle);
        log::info!("finalised");
    }

    /// The slot with this id.
    ///
    /// # Errors
    /// CKR_SLOT_ID_INVALID.
    pub(crate) fn slot(&self, id: CK_SLOT_ID) -> Result<Slot> {
        self.slots.lock().slot(id).ok_or(Rv::SLOT_ID_INVALID)
    }

    /// What this token's key is and signs by: PSS as configured, and unless its card has refused it for good.
    pub(crate) fn offers(&self, present: &PresentToken) -> Algorithm {
        match (present.identity.profile.algorithm, self.config.pss) {
            (Algorithm::Rsa { bits, .. }, Pss::Auto) => Algorithm::Rsa { bits, pss: present.identity.pss },
            (Algorithm::Rsa { bits, .. }, Pss::Off) => Algorithm::Rsa { bits, pss: false },
            (algorithm, _) => algorithm,
        }
    }
}
