//! Plays a script: does each step in the world, enters it in the books, and judges what came of it.

use crate::agent::{Agent, Answer};
use crate::books::Books;
use crate::card::Exchange;
use crate::script::Script;
use crate::step::{Act, Deed, Name, Step, Token, What, Who};
use crate::world::{Ground, World};
use std::thread;
use std::time::Instant;

/// Where a script went wrong, and how.
#[derive(Debug)]
pub struct Failure {
    /// The step, from 0; the number of steps for what came after the last.
    pub at: usize,
    pub why: String,
    /// What was said and asked until then.
    pub transcript: String,
}

impl Failure {
    /// Whether this is the same thing that went wrong, as far as can be told.
    pub fn is_like(&self, other: &Failure) -> bool {
        let kind = |why: &str| why.chars().filter(|letter| !letter.is_ascii_digit()).take(32).collect::<String>();
        let [one, other] = [self, other].map(|failure| kind(failure.why.rsplit("⟩ ").next().unwrap_or_default()));
        one == other
    }
}

/// Plays `script` to its end, and ends what it has begun.
///
/// # Errors
/// The first thing that must not be.
pub fn play(ground: &mut Ground, script: &Script) -> Result<(), Failure> {
    let mut play = Play {
        world: World::new(ground, script.setting),
        books: Books::of(script.setting),
        now: Now::default(),
        transcript: String::new(),
    };
    play.books.readers[0].card = Some(0);
    for (at, step) in script.steps.iter().enumerate() {
        play.now = Now { number: at, ..Now::default() };
        play.note(&format!("{step}"));
        if let Err(why) = play.step(*step).and_then(|()| play.judge()) {
            return Err(Failure { at, why, transcript: play.transcript });
        }
    }
    let at = script.steps.len();
    play.now = Now { number: at, ..Now::default() };
    play.unwind().map_err(|why| Failure { at, why, transcript: play.transcript })
}

/// A script that is being played.
pub(crate) struct Play<'g, 'a> {
    pub(crate) world: World<'g, 'a>,
    pub(crate) books: Books,
    pub(crate) now: Now,
    transcript: String,
}

/// What the step that is being taken may do to logins.
#[derive(Default)]
pub(crate) struct Now {
    pub(crate) number: usize,
    /// Which keys of a card it may close that somebody is logged in to.
    pub(crate) closes: [[bool; 2]; 2],
}

/// A deed that was done.
pub(crate) struct Done {
    pub(crate) deed: Deed,
    /// What was typed.
    pub(crate) typed: String,
    pub(crate) answer: Answer,
    pub(crate) begun: Instant,
}

pub(crate) type Outcome = Result<(), String>;

impl Play<'_, '_> {
    pub(crate) fn note(&mut self, line: &str) {
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }

    /// What a card was asked since this was last called.
    pub(crate) fn asked(&mut self, card: usize) -> Vec<Exchange> {
        let asked = self.world.ground.cards[card].asked();
        if !asked.is_empty() {
            self.note(&format!("    {} {}", Name::ALL[card], shown(&asked)));
        }
        asked
    }

    pub(crate) fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Do(deed) => self.deed(deed),
            Step::Beside(one, other) => self.beside(one, other),
            Step::Finalize(who) => self.finalize(who),
            Step::End(who, end) => self.end(who, end),
            Step::Stop(who) => self.signal_stop(who),
            Step::Continue(who) => self.signal_continue(who),
            Step::Descriptors(who, none) => self.descriptors(who, none),
            Step::Fork(who, child) => self.fork(who, child),
            Step::Rival(reader, act) => self.rival(reader, act),
            Step::Pull(reader) => self.pull(reader),
            Step::Put(reader, name) => self.put(reader, name),
            Step::Service(runs) => self.service(runs),
            Step::Clean(place) => {
                self.clean(place);
                Ok(())
            }
            Step::Hog(begins) => {
                self.world.let_go();
                self.books.hogged = begins && self.world.hog();
                Ok(())
            }
            Step::Full(full) => {
                self.world.fill(full);
                self.books.full = full;
                Ok(())
            }
            Step::Wait => {
                if self.books.setting.max_login {
                    thread::sleep(crate::books::MAX_LOGIN.mul_f32(1.3));
                }
                Ok(())
            }
            Step::Status if self.books.readers.iter().any(|reader| reader.held) => Ok(()),
            Step::Status => {
                for reader in 0..2 {
                    self.looked(reader);
                }
                self.world.status(self.books.setting.runtime[0])
            }
        }
    }

    /// Who looks does what is owed, which may close the other key of a card, too.
    pub(crate) fn looked(&mut self, reader: usize) {
        if let Some(card) = self.books.readers[reader].card
            && (self.books.cards[card].owed[1] || self.books.cards[card].lost)
        {
            self.now.closes[card][0] = true;
        }
    }

    pub(crate) fn agent(&mut self, process: usize) -> &mut Agent {
        self.world.agents[process].as_mut().expect("it is there")
    }

    /// Looks at the cards, and says what must not be.
    pub(crate) fn judge(&mut self) -> Outcome {
        for reader in 0..2 {
            let Some(card) = self.books.readers[reader].card else { continue };
            if !self.books.service {
                continue;
            }
            let asked = self.asked(card);
            let typed = asked.iter().any(|exchange| exchange.presented().is_some());
            wants(!typed, || format!("a secret was presented that nobody typed: {}", shown(&asked)))?;
            let mut open = self.world.witness[reader].open()?;
            let opened =
                |books: &Books, open: [bool; 2]| (0..2).find(|&key| open[key] && !books.may_be_open(card, key));
            if opened(&self.books, open).is_some() && self.books.is_owed(card) && self.books.can_look(reader) {
                self.looked(reader);
                self.world.look(reader, &self.books.processes)?;
                open = self.world.witness[reader].open()?;
                self.books.cards[card].owed = [false; 2];
            }
            if let Some(key) = opened(&self.books, open).filter(|_| !self.books.is_owed(card)) {
                return Err(format!("nobody is logged in to it, and the {} key signs", KEYS[key]));
            }
            for key in 0..2 {
                let (was, is) = (self.books.cards[card].open[key], open[key]);
                if was
                    && !is
                    && !self.now.closes[card][key]
                    && let Some(process) = self.books.counts_on(card, key)
                {
                    return Err(format!("the login of {} to the {} key was ended", Who::ALL[process], KEYS[key]));
                }
                if !is {
                    self.books.cards[card].rival[key] = false;
                    self.books.cards[card].forgotten[key] = false;
                }
            }
            if open == [false; 2] {
                self.books.cards[card].owed = [false; 2];
            }
            self.note(&format!("  {}: {open:?}", Name::ALL[card]));
            self.books.cards[card].open = open;
            // What the witness asks is nobody's business, nor is what a look asks unless it is a secret.
            let asked = self.asked(card);
            let typed = asked.iter().any(|exchange| exchange.presented().is_some());
            wants(!typed, || format!("a look presented a secret: {}", shown(&asked)))?;
        }
        Ok(())
    }

    /// Lets everybody do what they still want, and ends them all.
    pub(crate) fn unwind(&mut self) -> Outcome {
        let mut steps = vec![Step::Hog(false), Step::Full(false), Step::Service(true)];
        steps.extend((0..2).map(|reader| Step::Rival(reader, Act::Release)));
        steps.extend(Who::ALL.iter().map(|who| Step::Continue(*who)));
        steps.extend(Who::ALL.iter().map(|who| Step::Descriptors(*who, false)));
        for who in Who::ALL {
            for token in Token::ALL {
                let logged_in = self.books.processes[*who as usize].logins[token.slot()].is_some();
                let sign = Deed { who: *who, token: *token, what: What::Sign };
                steps.extend(logged_in.then_some(Step::Do(sign)));
            }
        }
        steps.extend(Who::ALL.iter().map(|who| Step::Finalize(*who)));
        for step in steps {
            self.now = Now { number: self.now.number, ..Now::default() };
            self.note(&format!("at the end, {step}"));
            self.step(step).and_then(|()| self.judge()).map_err(|why| format!("at the end, {step} ⟩ {why}"))?;
        }
        Ok(())
    }
}

const KEYS: [&str; 2] = ["authentication", "signature"];

pub(crate) fn wants(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise()) }
}

pub(crate) fn shown(asked: &[Exchange]) -> String {
    asked.iter().map(|asked| format!("[{} → {:04X}]", asked.command, asked.sw)).collect()
}
