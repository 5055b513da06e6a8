//! The books: who is logged in to what, and whom the card would have to know, as far as a person outside can tell. What
//! the module does is held against them.

use crate::script::Setting;
use crate::step::{Place, Token};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The longest that a login lasts in a world where they end.
pub const MAX_LOGIN: Duration = Duration::from_secs(1);

pub struct Books {
    pub setting: Setting,
    /// Whether pcscd runs.
    pub service: bool,
    /// Whether somebody holds all locks for ever.
    pub hogged: bool,
    /// Whether nothing can be written.
    pub full: bool,
    pub readers: [Reader; 2],
    pub cards: [Card; 2],
    pub processes: [Process; 3],
}

#[derive(Clone, Copy, Default)]
pub struct Reader {
    pub card: Option<usize>,
    /// By another program, alone.
    pub held: bool,
}

#[derive(Default)]
pub struct Card {
    /// Which keys signed for everybody at the last look.
    pub open: [bool; 2],
    /// Which keys another program has opened with the secret.
    pub rival: [bool; 2],
    /// Which logins have ended without their end having been carried out: whoever looks next does that.
    pub owed: [bool; 2],
    /// Whether a signature login that is over may be marked still: whoever ends it once more takes the other key along.
    pub lost: bool,
    /// Processes that have not seen yet that the card was taken out, or that its reader went with the service: they look
    /// logged in until they do.
    pub unaware: [HashSet<usize>; 2],
    /// Which of the owed nobody can know of any more.
    pub forgotten: [bool; 2],
    /// Secrets of each token that the card has refused, and to which process.
    pub refused: [Vec<(String, usize)>; 2],
    /// Whether another program has changed the secret, of which memory cannot know.
    pub changed: [bool; 2],
    /// What each process has typed and been refused, whatever became of the secret since.
    pub mistyped: [Vec<(String, usize)>; 2],
}

#[derive(Default)]
pub struct Process {
    pub initialized: bool,
    pub starved: bool,
    /// Whether the service was started anew while it was stopped.
    pub shaken: bool,
    /// Whether it is connected to the card in each reader. A connection that begins while another program holds the card is
    /// made when it lets go: PC/SC knows no bound for that.
    pub connected: [bool; 2],
    /// By slot.
    pub sessions: [u32; 4],
    pub logins: [Option<Login>; 4],
}

#[derive(Clone)]
pub struct Login {
    pub card: usize,
    begun: Instant,
    /// Whether the PIN that is held is the card's still, as far as the module can know.
    pub held: Held,
    /// Where others still see it, of the places that all have.
    pub places: HashSet<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Right,
    /// A file is gone that would say so if it had been changed: need not be presented.
    Doubtful,
    /// Changed by one of ours, who have said so: never to be presented.
    Stale,
    /// Changed by a program that has none of our files: a try is at risk.
    Overtaken,
    Not,
}

impl Books {
    pub fn of(setting: Setting) -> Books {
        Books {
            setting,
            service: true,
            hogged: false,
            full: false,
            readers: Default::default(),
            cards: Default::default(),
            processes: Default::default(),
        }
    }

    /// Places that every process has.
    pub fn places(&self, root: bool) -> HashSet<Place> {
        let places = [
            (Place::Runtime, self.setting.runtime == [true; 3]),
            (Place::User, self.setting.user),
            (Place::Root, root),
            (Place::State, true),
        ];
        places.into_iter().filter_map(|(place, there)| there.then_some(place)).collect()
    }

    /// Whether nothing stands between this process and the card in this reader.
    pub fn is_free(&self, process: usize, reader: usize) -> bool {
        self.can_look(reader) && !self.full && !self.processes[process].starved
    }

    /// Whether somebody who has just come can see to the card.
    pub fn can_look(&self, reader: usize) -> bool {
        self.service && !self.hogged && self.readers[reader].card.is_some() && !self.readers[reader].held
    }

    /// Logins to this key, by process.
    fn logins(&self, card: usize, key: usize) -> impl Iterator<Item = (usize, &Login)> {
        self.processes.iter().enumerate().flat_map(move |(number, process)| {
            let of_key = process.logins.iter().enumerate().filter(move |(slot, _)| slot % 2 == key);
            of_key.filter_map(move |(_, login)| login.as_ref().filter(|login| login.card == card).map(|l| (number, l)))
        })
    }

    /// Whether somebody is logged in to this key.
    pub fn is_used(&self, card: usize, key: usize) -> bool {
        self.logins(card, key).next().is_some()
    }

    /// Who is, and can be seen by all, and has not been so too long.
    pub fn counts_on(&self, card: usize, key: usize) -> Option<usize> {
        let counts = |login: &Login| !login.places.is_empty() && self.is_over(login, key) == Some(false);
        self.logins(card, key).find(|(_, login)| counts(login)).map(|(process, _)| process)
    }

    /// Whether a key may be open: somebody is logged in to it, or to the signature key, with which it closes, or another
    /// program is.
    pub fn may_be_open(&self, card: usize, key: usize) -> bool {
        let books = &self.cards[card];
        let is_used = |key| self.is_used(card, key) || !books.unaware[key].is_empty();
        is_used(key) || (key == 0 && is_used(1)) || books.rival[key] || books.forgotten[key]
    }

    /// Whether it may be until somebody looks.
    pub fn is_owed(&self, card: usize) -> bool {
        self.cards[card].owed != [false; 2]
    }

    pub fn begin(&mut self, process: usize, token: Token, card: usize, begun: Instant, root: bool) {
        let held = if token.key() == 0 && self.setting.hold_pin { Held::Right } else { Held::Not };
        let places = self.places(root);
        self.processes[process].logins[token.slot()] = Some(Login { card, begun, held, places });
    }

    /// Ends a login, which closes its key at once unless that could not be done, or nobody is there to do it.
    pub fn end(&mut self, process: usize, slot: usize, done: bool) {
        if let Some(login) = self.processes[process].logins[slot].take()
            && !done
        {
            let card = &mut self.cards[login.card];
            card.owed[slot % 2] = true;
            card.forgotten[slot % 2] |= login.places.is_empty();
        }
    }

    /// Whether some processes meet where others do not look. Who ends a signature login takes out the marks that lie where it
    /// looks; one elsewhere stays for those who find it there, who end it once more.
    pub fn is_mixed(&self) -> bool {
        self.setting.runtime != [self.setting.runtime[0]; 3]
    }

    /// Whether a login has lasted too long; `None` if it may depend on this moment.
    pub fn is_over(&self, login: &Login, key: usize) -> Option<bool> {
        if !self.setting.max_login || key != 0 {
            return Some(false);
        }
        let lasted = login.begun.elapsed();
        if lasted < MAX_LOGIN.mul_f32(0.8) {
            Some(false)
        } else if lasted > MAX_LOGIN.mul_f32(1.1) {
            Some(true)
        } else {
            None
        }
    }

    /// What a process must not present to the card again, for the card has refused it.
    pub fn has_refused(&self, card: usize, key: usize, secret: &str, process: usize, root: bool) -> bool {
        // Only what is below /run or in the runtime directory ends with the session; a service has neither, perhaps.
        let shared = root || self.setting.user || self.setting.runtime == [true; 3];
        self.cards[card].refused[key].iter().any(|(refused, to)| refused == secret && (shared || *to == process))
    }

    /// The card in this reader has lost its power, and with it all it knew; so has everybody who was logged in to it.
    pub fn lose_power(&mut self, reader: usize) {
        if let Some(card) = self.readers[reader].card {
            let card = &mut self.cards[card];
            *card = Card { changed: card.changed, unaware: std::mem::take(&mut card.unaware), ..Card::default() };
        }
    }

    /// The card in a reader was taken out, with all sessions and logins, as each process will see at its next look.
    pub fn forget_reader(&mut self, reader: usize) {
        for process in 0..3 {
            self.processes[process].connected[reader] = false;
            for slot in [2 * reader, 2 * reader + 1] {
                self.processes[process].sessions[slot] = 0;
                self.forget_login(process, slot);
            }
        }
    }

    /// A login that is over without its process having seen that.
    pub fn forget_login(&mut self, process: usize, slot: usize) {
        if let Some(login) = self.processes[process].logins[slot].take() {
            self.cards[login.card].unaware[slot % 2].insert(process);
        }
    }

    /// A process has looked at the readers, or has ended. What was left to its logins is owed now.
    pub fn see(&mut self, process: usize) {
        for card in &mut self.cards {
            for (unaware, owed) in card.unaware.iter_mut().zip(&mut card.owed) {
                *owed |= unaware.remove(&process);
            }
        }
    }
}
