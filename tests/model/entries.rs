//! What came of a deed, entered in the books, and what must not have come of it.

use crate::agent::{Answer, NO_KEY};
use crate::books::Held;
use crate::card::FULL;
use crate::run::{Done, Outcome, Play, wants};
use crate::step::{Typed, What};
use crate::world::root;
use cryptoki_sys::*;

impl Play<'_, '_> {
    /// Enters in the books what came of a deed. `free` where nothing stood in its way, `alone` where nothing was done beside;
    /// `right` says whether what was typed is the secret, unless that was changed beside.
    pub(crate) fn enter(
        &mut self,
        done: &Done,
        free: bool,
        right: Option<bool>,
        before: Option<[u8; 2]>,
        alone: bool,
    ) -> Outcome {
        let Done { deed, answer, .. } = done;
        let (process, token, rv) = (deed.who as usize, deed.token, answer.rv);
        let (slot, key) = (token.slot(), token.key());
        let Some(card) = self.books.readers[token.reader()].card else {
            return wants(answer.rv != CKR_OK || !matches!(deed.what, What::Login(_) | What::Sign), || {
                "no card".into()
            });
        };
        self.looked(token.reader());
        // A login of this process that is over counts for nothing as soon as it is asked anything about the card.
        let mut unclear = !alone;
        for over in [2 * token.reader(), 2 * token.reader() + 1] {
            let login = self.books.processes[process].logins[over].clone();
            match login.and_then(|login| self.books.is_over(&login, over % 2)) {
                Some(true) => self.books.end(process, over, free),
                None if self.books.processes[process].logins[over].is_some() => unclear = true,
                _ => {}
            }
        }
        let free = free && !unclear;
        let logged_in = self.books.processes[process].logins[slot].is_some();
        // Who cannot tell whether somebody else is logged in ends it all: a login lost costs less than one that stays.
        if self.books.processes[process].starved
            && logged_in
            && matches!(deed.what, What::Logout | What::Close | What::CloseAll)
        {
            self.now.closes[card] = [true; 2];
        }
        // Whatever ends on the signature token may close the other key.
        self.now.closes[card][0] |= key == 1 && !matches!(deed.what, What::Open | What::Sign);
        self.books.cards[card].lost |=
            key == 1 && self.books.is_mixed() && matches!(deed.what, What::Login(_) | What::SetPin(_));
        match deed.what {
            What::Open => {
                self.books.processes[process].sessions[slot] += u32::from(rv == CKR_OK);
                self.books.processes[process].connected[token.reader()] |= rv == CKR_OK;
                wants(rv == CKR_OK || !free, || "a session cannot be opened".into())
            }
            What::Login(typed) => self.enter_login(done, typed, free, right, before.map(|tries| tries[key])),
            What::Sign => self.enter_signature(done, card, free, unclear, before.map(|tries| tries[key])),
            What::Logout => {
                self.books.end(process, slot, free && rv == CKR_OK);
                wants(rv == CKR_OK || !(free && logged_in), || "a logout failed".into())?;
                wants(rv != CKR_OK || logged_in || unclear, || "a logout of nobody succeeded".into())
            }
            What::Close | What::CloseAll => {
                let sessions = &mut self.books.processes[process].sessions[slot];
                *sessions = if deed.what == What::Close { sessions.saturating_sub(1) } else { 0 };
                if *sessions == 0 {
                    self.books.end(process, slot, free && rv == CKR_OK);
                }
                wants(rv == CKR_OK || !free, || "a session cannot be closed".into())
            }
            What::SetPin(_) => self.enter_change(done, card, free, right, before.map(|tries| tries[key])),
            What::SlotInfo => wants(rv == CKR_OK || !free, || "C_GetSlotInfo failed".into()),
            What::TokenInfo => {
                wants(rv == CKR_OK || !free, || "C_GetTokenInfo failed".into())?;
                if free { self.check_flags(card, key, answer) } else { Ok(()) }
            }
        }
    }

    pub(crate) fn check_flags(&self, card: usize, key: usize, answer: &Answer) -> Outcome {
        let tries = self.world.ground.cards[card].tries()[key];
        let flags = u64::from_str_radix(&answer.more, 16).unwrap_or_default();
        let said = [CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY].map(|flag| flags & flag != 0);
        let low = flags & CKF_USER_PIN_COUNT_LOW != 0;
        wants(said == [tries == 0, tries == 1] && (tries == 0 || low == (tries < FULL[key])), || {
            format!("C_GetTokenInfo says {flags:X} of {tries} tries")
        })
    }

    pub(crate) fn enter_login(
        &mut self,
        done: &Done,
        typed: Typed,
        free: bool,
        right: Option<bool>,
        tries: Option<u8>,
    ) -> Outcome {
        let Done { deed, answer, begun, .. } = done;
        let (process, token, rv) = (deed.who as usize, deed.token, answer.rv);
        let card = self.books.readers[token.reader()].card.expect("it was looked up");
        let logged_in = self.books.processes[process].logins[token.slot()].is_some();
        if rv == CKR_OK {
            wants(right != Some(false), || format!("a login with what was typed {typed}"))?;
            wants(!logged_in || !free, || "a login beside a login".into())?;
            self.books.begin(process, token, card, *begun, root());
            return Ok(());
        }
        if !matches!(rv, CKR_PIN_INCORRECT | CKR_PIN_LOCKED | CKR_FUNCTION_CANCELED | CKR_USER_ALREADY_LOGGED_IN) {
            // The card may have taken the secret all the same.
            self.books.cards[card].owed[token.key()] |= right != Some(false) && !free;
        }
        if logged_in && free {
            return wants(rv == CKR_USER_ALREADY_LOGGED_IN, || "a second login was not refused as one".into());
        }
        let possible = right == Some(true) && self.may_succeed(done, card, tries);
        wants(!(free && possible), || "a login with the right secret failed".into())?;
        let incorrect = matches!(rv, CKR_PIN_INCORRECT | CKR_FUNCTION_CANCELED);
        wants(!(possible && incorrect), || "the right secret was called wrong".into())
    }

    /// Whether the right secret has to be taken: the card is not locked, and no memory speaks against it. A process that was
    /// refused what is right now may go on to refuse it until it sees a fuller counter.
    pub(crate) fn may_succeed(&self, done: &Done, card: usize, tries: Option<u8>) -> bool {
        let key = done.deed.token.key();
        let card = &self.books.cards[card];
        let mistyped = card.mistyped[key].contains(&(done.typed.clone(), done.deed.who as usize));
        let remembered = mistyped && tries != Some(FULL[key]);
        tries.is_none_or(|tries| tries > 0) && !card.changed[key] && !remembered
    }

    pub(crate) fn enter_signature(
        &mut self,
        done: &Done,
        card: usize,
        free: bool,
        unclear: bool,
        tries: Option<u8>,
    ) -> Outcome {
        let Done { deed, answer, .. } = done;
        let (process, token, rv) = (deed.who as usize, deed.token, answer.rv);
        let (slot, key) = (token.slot(), token.key());
        let login = self.books.processes[process].logins[slot].clone();
        if rv == CKR_OK {
            wants(login.is_some() || unclear, || "a signature without a login".into())?;
            let good = self.world.ground.cards[card].has_signed(key, &self.text(*deed), &answer.more);
            return wants(good, || "not the signature of this key over this text".into());
        }
        let Some(login) = login else { return Ok(()) };
        let open = self.books.cards[card].open[key];
        if free {
            wants(!open, || "a key that is open has not signed for who is logged in".into())?;
            // With fewer tries than there are, the card may have refused this PIN for all one knows: it is not presented.
            let regains = login.held == Held::Right && tries.is_none_or(|tries| tries == FULL[key]);
            wants(!regains, || "the held PIN would have brought the login back".into())?;
        }
        // Where the certificate cannot be read any more, the module may have yet to be told that the login is lost.
        if rv == NO_KEY && self.says_logged_in(process, slot)? {
            return Ok(());
        }
        if matches!(rv, CKR_USER_NOT_LOGGED_IN | CKR_SESSION_HANDLE_INVALID | NO_KEY) {
            self.books.processes[process].logins[slot] = None;
            if key == 1 && !free {
                // What was left to it is ended at once where nothing stands in the way, and by whoever looks next otherwise.
                self.books.cards[card].lost = true;
                self.books.cards[card].owed = [true; 2];
                self.now.closes[card][0] = true;
            }
            return Ok(());
        }
        wants(!free, || "a signature failed".into())
    }

    pub(crate) fn enter_change(
        &mut self,
        done: &Done,
        card: usize,
        free: bool,
        right: Option<bool>,
        tries: Option<u8>,
    ) -> Outcome {
        let Done { deed, answer, .. } = done;
        let (process, token, rv) = (deed.who as usize, deed.token, answer.rv);
        let (slot, key) = (token.slot(), token.key());
        let possible = right == Some(true) && self.may_succeed(done, card, tries);
        wants(rv == CKR_OK || !(free && possible), || "a change with the right secret failed".into())?;
        wants(rv != CKR_OK || right != Some(false), || "a change with a wrong secret".into())?;
        // With the new one, or with none after a failure.
        let held = |held: Held| if held == Held::Not { held } else { Held::Stale };
        for (number, other) in self.books.processes.iter_mut().enumerate() {
            for login in other.logins.iter_mut().skip(key).step_by(2).flatten().filter(|login| login.card == card) {
                if rv == CKR_OK && number != process || rv != CKR_OK && number == process {
                    login.held = held(login.held);
                } else if rv == CKR_OK && key == 0 && self.books.setting.hold_pin {
                    login.held = Held::Right;
                }
            }
        }
        if self.books.processes[process].logins[slot].is_none() {
            self.books.cards[card].owed[key] |= !free;
        }
        Ok(())
    }
}
