//! Command and answer within one transaction, and the two things that are asked before a card is known.

use super::profile::{APPLETS, Applet, TOKEN_INFO_EF};
use super::{Error, Result, TokenInfo, commands};
use crate::apdu::{Command, Response, Sw};
use crate::transport::Transaction;

/// Most bytes that an answer may have, gathered over GET RESPONSE.
const MAX_ANSWER: usize = 65_536;
/// Most GET RESPONSE that one answer may take.
const MAX_ROUNDS: usize = 300;

/// Most commands in one transaction, or a card that hands out its files byte by byte would hold its reader for minutes. The
/// longest honest transaction reads one file in blocks, each fetched by GET RESPONSE: some 400.
const MAX_COMMANDS: u32 = 1000;

/// A transaction in which commands are exchanged.
pub(super) struct Talk<'a> {
    transaction: Transaction<'a>,
    sent: u32,
}

impl<'a> Talk<'a> {
    pub(super) fn new(transaction: Transaction<'a>) -> Talk<'a> {
        Talk { transaction, sent: 0 }
    }

    /// Sends `command` once; its answer is final. For what may cost a try.
    pub(super) fn exchange_once(&mut self, command: &Command) -> Result<Response> {
        self.sent += 1;
        if self.sent > MAX_COMMANDS {
            return Err(Error::Malformed("an answer without end"));
        }
        let answer = self.transaction.transmit(&command.encode())?;
        Response::parse(answer).map_err(|_| Error::Malformed("no status word"))
    }

    /// Sends `command` and fetches its whole answer: 6Cxx once with the length that the card wants, 61xx by GET RESPONSE.
    /// For commands that may be repeated.
    pub(super) fn exchange(&mut self, command: &Command) -> Result<Response> {
        let mut response = self.exchange_once(command)?;
        if let [0x6C, le] = response.sw.0.to_be_bytes() {
            response = self.exchange_once(&command.clone().le(short_le(le)))?;
        }
        for _ in 0..MAX_ROUNDS {
            let [0x61, more] = response.sw.0.to_be_bytes() else { return Ok(response) };
            let rest = self.exchange_once(&commands::response(short_le(more)))?;
            let mut data = response.data;
            data.extend_from_slice(&rest.data);
            if data.len() > MAX_ANSWER {
                return Err(Error::Malformed("an answer without end"));
            }
            response = Response { data, sw: rest.sw };
        }
        Err(Error::Malformed("an answer without end"))
    }

    /// SELECT the application. The first command after power-up may be lost to 6F00 (`card.md` §1.1): then once more.
    pub(super) fn select(&mut self, applet: &Applet) -> Result<Sw> {
        let command = commands::select_application(&applet.aid);
        let sw = self.exchange_once(&command)?.sw;
        Ok(if sw == Sw::NO_DIAGNOSIS { self.exchange_once(&command)?.sw } else { sw })
    }

    /// SELECT whichever application the card has of those that are ours; the next is asked for only where the card says that
    /// it does not have the one before. `None` if it has none.
    pub(super) fn select_first(&mut self) -> Result<Option<&'static Applet>> {
        for applet in APPLETS {
            match self.select(applet)? {
                Sw::OK => return Ok(Some(applet)),
                Sw::NOT_FOUND => {}
                _ => break,
            }
        }
        Ok(None)
    }

    /// SELECT an EF of the current application.
    pub(super) fn select_ef(&mut self, ef: u8) -> Result<Sw> {
        Ok(self.exchange_once(&commands::select_ef(ef))?.sw)
    }

    /// EF 0006 right after SELECT AID, and whether the card takes short EF ids if that showed. No file, whatever the
    /// reason, is no card of ours.
    pub(super) fn read_token_info(&mut self) -> Result<(Option<Vec<u8>>, Option<bool>)> {
        let le = TokenInfo::LEN as u32;
        let by_short_id = self.exchange(&commands::read_short_id(TOKEN_INFO_EF, le))?;
        if by_short_id.sw.is_ok() {
            return Ok((Some(by_short_id.data), None));
        }
        if by_short_id.sw != Sw::WRONG_P1P2 || !self.select_ef(TOKEN_INFO_EF)?.is_ok() {
            return Ok((None, None));
        }
        let by_selection = self.exchange(&commands::read(0, le))?;
        Ok((by_selection.sw.is_ok().then_some(by_selection.data), Some(false)))
    }
}

fn short_le(le: u8) -> u32 {
    if le == 0 { 256 } else { u32::from(le) }
}
