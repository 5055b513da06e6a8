//! What a process does with a token: done in the world, and what the card was asked meanwhile.

use crate::agent::NO_SESSION;
use crate::books::Held;
use crate::card::Exchange;
use crate::run::{Done, Outcome, Play, shown, wants};
use crate::step::{Deed, Token, What};
use crate::world::root;
use cryptoki_sys::*;
use std::time::Instant;

impl Play<'_, '_> {
    pub(crate) fn deed(&mut self, deed: Deed) -> Outcome {
        if self.prepare(deed)? { self.do_now(deed) } else { Ok(()) }
    }

    /// Whether the process can do this now: it is ready, and has a session where one is needed.
    pub(crate) fn prepare(&mut self, deed: Deed) -> Result<bool, String> {
        if !self.ready(deed.who)? {
            return Ok(false);
        }
        let (process, slot, reader) = (deed.who as usize, deed.token.slot(), deed.token.reader());
        if self.books.readers[reader].held && !self.books.processes[process].connected[reader] {
            return Ok(false);
        }
        let needs = !matches!(deed.what, What::Open | What::CloseAll | What::SlotInfo | What::TokenInfo);
        if needs && self.books.processes[process].sessions[slot] == 0 {
            self.do_now(Deed { what: What::Open, ..deed })?;
            return Ok(self.books.processes[process].sessions[slot] > 0);
        }
        Ok(true)
    }

    pub(crate) fn do_now(&mut self, deed: Deed) -> Outcome {
        let process = deed.who as usize;
        let (task, typed) = self.task(deed);
        let before = self.books.readers[deed.token.reader()].card.map(|card| self.world.ground.cards[card].tries());
        let right = typed == self.right(deed.token);
        let begun = Instant::now();
        let answer = self.agent(process).ask(&task)?;
        let more = answer.more.get(..8).unwrap_or(&answer.more);
        self.note(&format!("  {} {}: {:X} {more}", deed.who, task, answer.rv));
        let done = Done { deed, typed, answer, begun };
        if matches!(deed.what, What::Open | What::SlotInfo | What::TokenInfo) && self.books.service {
            self.books.see(process);
        }
        self.check_secrets(&[&done])?;
        let free = self.books.is_free(process, deed.token.reader());
        self.enter(&done, free, Some(right), before, true)
            .map_err(|why| format!("{why} (it answered {:X})", done.answer.rv))
    }

    /// The line for a deed, and what is typed in it.
    pub(crate) fn task(&self, deed: Deed) -> (String, String) {
        let slot = deed.token.slot();
        let card = self.books.readers[deed.token.reader()].card.unwrap_or(0);
        let [card, other] = [card, 1 - card].map(|card| &self.world.ground.cards[card]);
        let typed = match deed.what {
            What::Login(typed) | What::SetPin(typed) => card.typed(deed.token.key(), typed, other),
            _ => String::new(),
        };
        let task = match deed.what {
            What::Open => format!("open {slot}"),
            What::Login(_) => format!("login {slot} {typed}"),
            What::Sign => format!("sign {slot} {}", self.text(deed)),
            What::Logout => format!("logout {slot}"),
            What::Close => format!("close {slot}"),
            What::CloseAll => format!("closeall {slot}"),
            What::SetPin(_) => format!("setpin {slot} {typed} {}", card.secrets(deed.token.key())[1]),
            What::SlotInfo => format!("slotinfo {slot}"),
            What::TokenInfo => format!("tokeninfo {slot}"),
        };
        (task, typed)
    }

    /// What is signed: something else each time.
    pub(crate) fn text(&self, deed: Deed) -> String {
        format!("{}-{}-{}", self.now.number, deed.who, deed.token)
    }

    pub(crate) fn right(&self, token: Token) -> String {
        let card = self.books.readers[token.reader()].card.unwrap_or(0);
        self.world.ground.cards[card].secrets(token.key())[0].clone()
    }

    pub(crate) fn beside(&mut self, one: Deed, other: Deed) -> Outcome {
        if !self.prepare(one)? || !self.prepare(other)? {
            return Ok(());
        }
        let begun = Instant::now();
        let told = [one, other].map(|deed| {
            let (task, typed) = self.task(deed);
            let right = typed == self.right(deed.token);
            (deed, typed, right, self.agent(deed.who as usize).tell(&task, true))
        });
        let mut all = Vec::new();
        for (deed, typed, right, told) in told {
            let answer = self.agent(deed.who as usize).hear(told)?;
            self.note(&format!("  {deed}: {:X}", answer.rv));
            all.push((Done { deed, typed, answer, begun }, right));
        }
        self.check_secrets(&all.iter().map(|(done, _)| done).collect::<Vec<_>>())?;
        let change = |deed: &Deed| matches!(deed.what, What::SetPin(_));
        let changes = one.token == other.token && (change(&one) || change(&other));
        for (done, right) in &all {
            // Which of the two came first is not known: little is certain, and who is logged in is asked.
            self.enter(done, false, (!changes).then_some(*right), None, false)
                .map_err(|why| format!("{} beside another: {why}", done.deed))?;
            if let Some(card) = self.books.readers[done.deed.token.reader()].card {
                self.now.closes[card][0] |= one.token.key() == 1 || other.token.key() == 1;
            }
        }
        for deed in [one, other] {
            self.ask_state(deed)?;
        }
        Ok(())
    }

    /// Enters whether the module says that a process is logged in.
    pub(crate) fn ask_state(&mut self, deed: Deed) -> Outcome {
        let (process, slot) = (deed.who as usize, deed.token.slot());
        let mut answer = self.agent(process).ask(&format!("state {slot}"))?;
        if answer.rv == NO_SESSION && self.books.can_look(deed.token.reader()) {
            answer = self.agent(process).ask(&format!("open {slot}"))?;
            self.books.processes[process].sessions[slot] = u32::from(answer.rv == CKR_OK);
            answer = self.agent(process).ask(&format!("state {slot}"))?;
        }
        let logged_in = answer.rv == CKR_OK && answer.more == format!("{CKS_RW_USER_FUNCTIONS:X}");
        let entered = self.books.processes[process].logins[slot].is_some();
        if let Some(card) = self.books.readers[deed.token.reader()].card
            && logged_in
            && !entered
        {
            self.books.begin(process, deed.token, card, Instant::now(), root());
        } else if !logged_in && entered {
            self.books.end(process, slot, false);
        }
        Ok(())
    }

    /// Whether the latest session of a slot says that its user is logged in.
    pub(crate) fn says_logged_in(&mut self, process: usize, slot: usize) -> Result<bool, String> {
        let answer = self.agent(process).ask(&format!("state {slot}"))?;
        Ok(answer.rv == CKR_OK && answer.more == format!("{CKS_RW_USER_FUNCTIONS:X}"))
    }

    /// What was presented to the cards while this was done: nothing that nobody typed, and nothing twice.
    pub(crate) fn check_secrets(&mut self, all: &[&Done]) -> Outcome {
        for card in 0..2 {
            let asked = self.asked(card);
            let mut presented: Vec<&Exchange> = asked.iter().filter(|asked| asked.presented().is_some()).collect();
            for exchange in &presented {
                let key = exchange.presented().unwrap_or(0);
                if exchange.sw == 0x9000 {
                    self.books.cards[card].refused[key].clear();
                } else {
                    // A secret that is refused takes back what the right one has opened.
                    self.now.closes[card][key] = true;
                }
            }
            for done in all {
                let (process, token) = (done.deed.who as usize, done.deed.token);
                let key = token.key();
                if self.books.readers[token.reader()].card != Some(card) {
                    continue;
                }
                let explained = match done.deed.what {
                    What::Login(_) | What::SetPin(_) => true,
                    What::Sign if key == 0 => {
                        self.books.processes[process].logins[token.slot()].as_ref().is_some_and(|l| l.held != Held::Not)
                    }
                    _ => false,
                };
                let at = presented.iter().position(|exchange| explained && exchange.presented() == Some(key));
                let Some(exchange) = at.map(|at| presented.remove(at)) else { continue };
                if exchange.cost_a_try() {
                    self.check_try(done, card)?;
                }
            }
            wants(presented.is_empty(), || format!("a secret was presented that nobody typed now: {}", shown(&asked)))?;
        }
        Ok(())
    }

    /// A try was spent by this deed: on what was typed, for the first time; or on a held PIN that nobody could know of.
    pub(crate) fn check_try(&mut self, done: &Done, card: usize) -> Outcome {
        let (process, token) = (done.deed.who as usize, done.deed.token);
        let key = token.key();
        if done.deed.what == What::Sign {
            let login = self.books.processes[process].logins[token.slot()].as_ref();
            let held = login.map_or(Held::Not, |login| login.held);
            return wants(held == Held::Overtaken, || format!("a try was spent on a PIN that is held ({held:?})"));
        }
        let refused = self.books.has_refused(card, key, &done.typed, process, root());
        wants(!refused, || "a try was spent on a secret that this card has refused before".into())?;
        self.books.cards[card].mistyped[key].push((done.typed.clone(), process));
        if self.books.is_free(process, token.reader()) {
            self.books.cards[card].refused[key].push((done.typed.clone(), process));
        }
        Ok(())
    }
}
