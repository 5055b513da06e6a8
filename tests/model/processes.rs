//! How processes of the user's begin, stop, fork and end.

use crate::agent::BOUND;
use crate::run::{Outcome, Play, wants};
use crate::step::{Child, End, Who};
use cryptoki_sys::*;

impl Play<'_, '_> {
    /// The process, started and initialised; nothing where it is stopped.
    pub(crate) fn ready(&mut self, who: Who) -> Result<bool, String> {
        let process = who as usize;
        if self.world.agents[process].is_none() {
            self.world.start(process);
        }
        if self.agent(process).stopped {
            return Ok(false);
        }
        if !self.books.processes[process].initialized {
            let answer = self.agent(process).ask("initialize")?;
            if self.books.processes[process].starved && answer.rv != CKR_OK {
                return Ok(false);
            }
            wants(answer.rv == CKR_OK, || format!("C_Initialize: {:X}", answer.rv))?;
            self.books.processes[process].initialized = true;
            (0..2).for_each(|reader| self.looked(reader));
        }
        Ok(true)
    }

    pub(crate) fn finalize(&mut self, who: Who) -> Outcome {
        let process = who as usize;
        if self.world.agents[process].as_ref().is_none_or(|agent| agent.stopped) {
            return Ok(());
        }
        let answer = self.agent(process).ask("finalize")?;
        let expected = if self.books.processes[process].initialized { CKR_OK } else { CKR_CRYPTOKI_NOT_INITIALIZED };
        self.ended(process, true);
        self.books.processes[process].initialized = false;
        wants(answer.rv == expected, || format!("C_Finalize: {:X}", answer.rv))
    }

    pub(crate) fn end(&mut self, who: Who, end: End) -> Outcome {
        let process = who as usize;
        let Some(mut agent) = self.world.agents[process].take() else { return Ok(()) };
        if agent.stopped && end != End::Kill {
            self.world.agents[process] = Some(agent);
            return Ok(());
        }
        match end {
            End::Exit => drop(agent.tell("exit", false)),
            End::ExitBeside => {
                for slot in 0..4 {
                    if self.books.processes[process].logins[slot].is_some() {
                        drop(agent.tell(&format!("sign {slot} beside"), true));
                    }
                }
                drop(agent.tell("exit", false));
            }
            End::UnderscoreExit => drop(agent.tell("_exit", false)),
            End::Kill => agent.signal("-KILL"),
            End::Terminate => agent.signal("-TERM"),
            End::Interrupt => agent.signal("-INT"),
        }
        let status = agent.ended(BOUND)?;
        let exits = matches!(end, End::Exit | End::ExitBeside);
        let by_itself = exits || end == End::UnderscoreExit;
        wants(status.success() == by_itself, || format!("the process ended otherwise: {status}"))?;
        self.ended(process, exits);
        self.books.processes[process] = Default::default();
        Ok(())
    }

    /// All logins of a process have ended, and their keys are closed where it could see to that.
    pub(crate) fn ended(&mut self, process: usize, sees_to_it: bool) {
        self.books.see(process);
        for reader in 0..2 {
            if sees_to_it {
                self.looked(reader);
            }
            for slot in [2 * reader, 2 * reader + 1] {
                if let Some(login) = &self.books.processes[process].logins[slot] {
                    let starved = self.books.processes[process].starved;
                    self.now.closes[login.card][0] |= slot % 2 == 1;
                    self.now.closes[login.card][1] |= starved && slot % 2 == 1;
                }
                let free = self.books.is_free(process, reader);
                self.books.end(process, slot, sees_to_it && free);
            }
        }
        self.books.processes[process].sessions = [0; 4];
        self.books.processes[process].connected = [false; 2];
    }

    pub(crate) fn signal_stop(&mut self, who: Who) -> Outcome {
        if let Some(agent) = self.world.agents[who as usize].as_mut().filter(|agent| !agent.stopped) {
            agent.signal("-STOP");
            agent.stopped = true;
        }
        Ok(())
    }

    pub(crate) fn signal_continue(&mut self, who: Who) -> Outcome {
        let process = who as usize;
        if let Some(agent) = self.world.agents[process].as_mut().filter(|agent| agent.stopped) {
            agent.signal("-CONT");
            agent.stopped = false;
            if std::mem::take(&mut self.books.processes[process].shaken) {
                self.begin_anew(process)?;
            }
        }
        Ok(())
    }

    pub(crate) fn descriptors(&mut self, who: Who, none: bool) -> Outcome {
        let process = who as usize;
        if self.world.agents[process].as_ref().is_some_and(|agent| !agent.stopped) {
            self.agent(process).ask(if none { "descriptors none" } else { "descriptors some" })?;
            self.books.processes[process].starved = none;
        }
        Ok(())
    }

    pub(crate) fn fork(&mut self, who: Who, child: Child) -> Outcome {
        if !self.ready(who)? {
            return Ok(());
        }
        let answer = self.agent(who as usize).ask(&format!("fork {child}"))?;
        if child == Child::Stay {
            self.world.children.push(answer.more);
        }
        wants(answer.rv == 0, || format!("a forked child ended with {:X}", answer.rv))
    }
}
