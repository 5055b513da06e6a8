//! The end of the process without C_Finalize. Many programs exit like that, and while another one is connected to the card
//! it keeps its power, and would keep the login.
//!
//! This is the one thread of ours: nothing else bounds what libpcsclite does against a service that is stopped. What cannot
//! be done in time, and the end of a process that runs no handler, is left to the mark ([`crate::logins`]).

use super::module::Module;
use super::reader::CardReader;
use super::slots::{Epoch, Slot};
use super::token::Login;
use crate::card::Key;
use crate::pkcs11::edge::guard::guard;
use crate::sys::{self, Registered};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the end of a process may be held up.
const LONGEST: Duration = Duration::from_secs(2);

/// Has `at_exit` called when this process ends by `exit` or returns from `main`; registered once in a process, and
/// inherited by its children.
pub(crate) fn watch(at_exit: extern "C" fn()) {
    static WATCHED: Registered = Registered::not_yet();
    if let Err(error) = WATCHED.ensure(|| sys::at_exit(at_exit)) {
        log::warn!("a program that ends without C_Finalize will leave its logins to the next one: {error}");
    }
}

/// Ends the logins of this process, or as many as can be ended in time.
pub(crate) fn end_in_time(module: Arc<Module>) {
    module.shut();
    let (done, end) = mpsc::channel();
    let ending = thread::Builder::new().name("jpki-exit".into()).spawn(move || {
        guard("exit", || {
            module.end_logins_at_exit();
            Ok(())
        });
        // Nobody listens any more if it took too long.
        let _ = done.send(());
    });
    match ending {
        Ok(_) if end.recv_timeout(LONGEST).is_ok() => {}
        Ok(_) => log::warn!("a card does not answer; its login is left to the next program"),
        Err(error) => log::warn!("logins are left to the next program, for there is no thread to end them: {error}"),
    }
}

impl Module {
    /// Ends all logins. First those of this process, so that no call that is under way presents a held secret again; then
    /// the cards', each unless somebody holds it.
    fn end_logins_at_exit(&self) {
        let readers = self.known.read().clone();
        let logins: Vec<(Arc<CardReader>, Epoch, Login)> =
            readers.iter().flat_map(|reader| self.taken(reader)).collect();
        for (reader, epoch, login) in logins {
            if reader.connection.try_lock_for(LONGEST / 4).is_none() {
                login.announced.release();
                log::warn!("reader {}: its card is in use; the login is left to the next program", reader.number);
                continue;
            }
            self.leave_card_of(&reader, epoch, &login);
        }
    }

    /// The logins to the tokens of one reader, which are public from now on.
    fn taken(&self, reader: &Arc<CardReader>) -> Vec<(Arc<CardReader>, Epoch, Login)> {
        let epoch = self.slots.lock().epoch(reader.number);
        let end = |key| {
            let guarded = self.guarded(Slot { reader: reader.number, key });
            let login = reader.token(key).with(epoch, |state| state.end(guarded)).ok()??;
            Some((Arc::clone(reader), epoch, login))
        };
        Key::ALL.into_iter().filter_map(end).collect()
    }
}
