//! The module's state in this process: made by C_Initialize, ended by C_Finalize, and never seen by a forked child.

use super::cards::Present;
use super::events::Wait;
use super::exit;
use super::lock::{Mutex, SESSIONS};
use super::looking::Looking;
use super::reader::Reader;
use super::sessions::Sessions;
use super::slots::{Slot, Slots};
use super::view::{Origin, View};
use crate::card;
use crate::config::{Config, Environment, LastTry, Pss};
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
    pub(crate) known: RwLock<Vec<Arc<Reader>>>,
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

/// The module of one process. A child that was forked has the parent's in its memory and must not touch it: not its
/// locks, which a thread that does not exist there may hold, nor its handles to the PC/SC service.
struct Process {
    owner: sys::Process,
    module: RwLock<Option<Arc<Module>>>,
    /// What is remembered beyond C_Finalize.
    memory: Arc<Memory>,
}

static PROCESS: sys::Leaked<Process> = sys::Leaked::new();

/// How long C_Finalize waits for calls in flight, beyond the time that a call may wait for a busy card.
const PATIENCE: Duration = Duration::from_secs(5);

/// C_Initialize (PKCS#11 3.0 §5.4.1). Succeeds without PC/SC service, reader or card.
///
/// # Errors
/// CKR_CRYPTOKI_ALREADY_INITIALIZED.
pub fn initialize() -> Result<()> {
    initialize_with(|memory| Module::new(Config::load(&Environment::of_process()), memory))
}

/// C_Initialize with this module, which is made only where there is none.
///
/// # Errors
/// CKR_CRYPTOKI_ALREADY_INITIALIZED.
pub(crate) fn initialize_with(make: impl FnOnce(&Arc<Memory>) -> Module) -> Result<()> {
    let process = own_process();
    let mut module = process.module.write();
    if module.is_some() {
        return Err(Rv::CRYPTOKI_ALREADY_INITIALIZED);
    }
    *module = Some(Arc::new(make(&process.memory)));
    drop(module);
    exit::watch();
    Ok(())
}

/// C_Finalize (PKCS#11 3.0 §5.4.2): wakes waiting calls, waits for those in flight, logs out and disconnects.
///
/// # Errors
/// CKR_CRYPTOKI_NOT_INITIALIZED, also in a forked child that has not initialised the module itself.
pub fn finalize() -> Result<()> {
    let module = process()?.module.write().take().ok_or(Rv::CRYPTOKI_NOT_INITIALIZED)?;
    module.close();
    let deadline = Instant::now() + module.config.lock_timeout + PATIENCE;
    // A call in flight holds a clone of the `Arc`; it cannot be joined, only outwaited.
    let mut closing = module.closing.lock();
    while Arc::strong_count(&module) > 1 && Instant::now() < deadline {
        module.told.wait_for(&mut closing, Duration::from_millis(1));
    }
    drop(closing);
    if Arc::strong_count(&module) > 1 {
        log::warn!("C_Finalize goes on although a call has not come back");
    }
    module.disconnect();
    Ok(())
}

/// The module, for one call.
///
/// # Errors
/// CKR_CRYPTOKI_NOT_INITIALIZED, also in a forked child that has not initialised the module itself.
pub fn current() -> Result<Arc<Module>> {
    let module = process()?.module.read().clone();
    // One that was closed as the process ends stays for a C_Finalize.
    module.filter(|module| !module.is_closed()).ok_or(Rv::CRYPTOKI_NOT_INITIALIZED)
}

/// The module, if it can be had without waiting: for what runs while the process ends, in the middle of anything.
pub(crate) fn at_once() -> Option<Arc<Module>> {
    process().ok()?.module.try_read()?.clone()
}

/// This process's state; a child's is not its parent's. Whose it is is compared before any lock is touched.
fn process() -> Result<&'static Process> {
    PROCESS.get().filter(|process| process.owner.is_current()).ok_or(Rv::CRYPTOKI_NOT_INITIALIZED)
}

/// This process's state, made where there is none. What a parent left is leaked: nothing of it may be closed here.
fn own_process() -> &'static Process {
    let mut found = PROCESS.get();
    loop {
        match found {
            Some(process) if process.owner.is_current() => return process,
            stale => {
                let fresh =
                    Process { owner: sys::Process::current(), module: RwLock::new(None), memory: Arc::default() };
                match PROCESS.replace_if(stale, Box::new(fresh)) {
                    Ok(process) => return process,
                    Err(other) => found = other,
                }
            }
        }
    }
}

impl Module {
    /// The module under this configuration, with the slots of the readers that are there now. Nothing is asked of a card.
    fn new(config: Config, memory: &Arc<Memory>) -> Module {
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

    /// Whether PSS is offered on this token: as configured, and unless its card has refused it for good.
    pub(crate) fn offers_pss(&self, present: &Present) -> bool {
        match self.config.pss {
            Pss::Auto => present.identity.pss,
            Pss::On => present.identity.profile.pss,
            Pss::Off => false,
        }
    }
}
