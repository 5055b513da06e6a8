//! What other programs and people do to cards, readers and the service.

use crate::books::Held;
use crate::common::rival::ISD;
use crate::run::{Outcome, Play, wants};
use crate::step::{Act, Name, Place};
use pcsc::Disposition;

/// SELECT of another application, for cards whose issuer domain cannot be.
const COMMON: &[u8] = &[0, 0xA4, 4, 0x0C, 10, 0xD3, 0x92, 0x10, 0, 0x31, 0, 1, 1, 1, 0];
/// VERIFY and CHANGE REFERENCE DATA, by key.
const VERIFY: [[u8; 3]; 2] = [[0x20, 0, 0x98], [0x20, 0, 0x9B]];
const CHANGE: [[u8; 3]; 2] = [[0x24, 1, 0x98], [0x24, 1, 0x9B]];

impl Play<'_, '_> {
    pub(crate) fn rival(&mut self, reader: usize, act: Act) -> Outcome {
        let (Some(card), true) = (self.books.readers[reader].card, self.books.service) else { return Ok(()) };
        let witness = &self.world.witness[reader];
        let held = self.books.readers[reader].held;
        let issuer = self.books.setting.issuer;
        let present = |ins: [u8; 3], secret: &str| {
            let mut command = vec![0, ins[0], ins[1], ins[2], secret.len() as u8];
            command.extend_from_slice(secret.as_bytes());
            witness.select()?;
            witness.send(&command)
        };
        match act {
            Act::Select => {
                witness.send(if issuer { ISD } else { COMMON })?;
                witness.select()?;
                self.now.closes[card] = [true; 2];
            }
            Act::Reset | Act::Unpower if held => {}
            Act::Reset | Act::Unpower => {
                let power = if act == Act::Reset { Disposition::ResetCard } else { Disposition::UnpowerCard };
                witness.begin(power)?;
                self.now.closes[card] = [true; 2];
            }
            Act::Hold => {
                witness.hold()?;
                self.books.readers[reader].held = true;
            }
            Act::Release => {
                witness.release()?;
                self.books.readers[reader].held = false;
            }
            Act::VerifyAuth | Act::VerifySign | Act::ChangeAuth | Act::ChangeSign => {
                let key = usize::from(matches!(act, Act::VerifySign | Act::ChangeSign));
                let [now, next] = self.world.ground.cards[card].secrets(key);
                let sw = present(VERIFY[key], &now)?;
                if sw == 0x9000 {
                    self.books.cards[card].rival[key] = true;
                    self.books.cards[card].refused[key].clear();
                }
                if sw == 0x9000 && matches!(act, Act::ChangeAuth | Act::ChangeSign) {
                    let sw = present(CHANGE[key], &next)?;
                    wants(sw == 0x9000, || format!("the secret cannot be changed: {sw:04X}"))?;
                    self.overtake(card, key);
                }
            }
            Act::MistypeAuth | Act::MistypeSign => {
                let key = usize::from(act == Act::MistypeSign);
                present(VERIFY[key], ["0000", "RIVAL0"][key])?;
                self.now.closes[card][key] = true;
            }
        }
        // What the rival has presented is the rival's.
        self.world.ground.cards[card].asked();
        Ok(())
    }

    /// Another program has changed the secret: nobody of ours can know.
    pub(crate) fn overtake(&mut self, card: usize, key: usize) {
        self.books.cards[card].changed[key] = true;
        let logins = self.books.processes.iter_mut().flat_map(|process| &mut process.logins);
        for login in logins.skip(key).step_by(2).flatten().filter(|login| login.card == card) {
            if matches!(login.held, Held::Right | Held::Doubtful) {
                login.held = Held::Overtaken;
            }
        }
    }

    pub(crate) fn pull(&mut self, reader: usize) -> Outcome {
        if self.books.readers[reader].card.is_some() {
            self.world.witness[reader].release()?;
            self.world.pull(reader);
            self.books.lose_power(reader);
            self.books.readers[reader] = Default::default();
            self.books.forget_reader(reader);
            for agent in self.world.agents.iter_mut().flatten() {
                // Of sessions that there are no more. A stopped process will hear it.
                drop(agent.tell(&format!("forget {}", 2 * reader), false));
                drop(agent.tell(&format!("forget {}", 2 * reader + 1), false));
            }
        }
        Ok(())
    }

    pub(crate) fn put(&mut self, reader: usize, name: Name) -> Outcome {
        let card = name as usize;
        if self.books.service && self.books.readers.iter().all(|reader| reader.card != Some(card)) {
            self.pull(reader)?;
            self.world.put(reader, card);
            self.books.readers[reader].card = Some(card);
        }
        Ok(())
    }

    pub(crate) fn service(&mut self, runs: bool) -> Outcome {
        if runs == self.books.service {
            return Ok(());
        }
        if !runs {
            for reader in 0..2 {
                self.world.witness[reader].release()?;
                self.books.lose_power(reader);
                self.books.readers[reader].held = false;
            }
            self.world.stop_service();
            self.books.service = false;
            return Ok(());
        }
        self.world.start_service(&self.books);
        self.books.service = true;
        for process in 0..3 {
            (0..4).for_each(|slot| self.books.forget_login(process, slot));
            self.books.processes[process].connected = [false; 2];
            match &self.world.agents[process] {
                Some(agent) if !agent.stopped => self.begin_anew(process)?,
                _ => self.books.processes[process].shaken = true,
            }
        }
        Ok(())
    }

    /// After the service has been away: whether sessions have outlived that is left open.
    pub(crate) fn begin_anew(&mut self, process: usize) -> Outcome {
        for slot in 0..4 {
            if self.books.processes[process].sessions[slot] > 0 {
                self.agent(process).ask(&format!("closeall {slot}"))?;
                self.books.processes[process].sessions[slot] = 0;
            }
        }
        self.books.see(process);
        Ok(())
    }

    /// A cleaner removes what lies in a place.
    pub(crate) fn clean(&mut self, place: Place) {
        self.world.clean(place);
        for login in self.books.processes.iter_mut().flat_map(|process| &mut process.logins).flatten() {
            login.places.remove(&place);
            if login.held == Held::Right {
                login.held = Held::Doubtful;
            }
        }
        for card in &mut self.books.cards {
            card.refused = Default::default();
            for (forgotten, owed) in card.forgotten.iter_mut().zip(card.owed) {
                *forgotten |= owed;
            }
        }
    }
}
