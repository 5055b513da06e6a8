//! The end of a login: who may still need it, and what makes the card forget it.

use super::channel::Channel;
use super::{Card, Error, Key, Result, State};
use crate::logins::{Last, Login};
use crate::transport::Patience;

/// After so many debts in a row, each of which came up while the last was paid, the next look goes on.
const DEBTS: usize = 3;

/// What the end of one login has made of the card.
#[derive(Debug)]
#[must_use = "a card that refused is still logged in"]
pub(crate) enum LoginEnd {
    /// Nobody is logged in to it.
    Out,
    /// It is as it was, for another login of this user's processes needs it.
    Others,
    /// It refused to be left and may still be logged in: [`Card::close`] without power is what remains, before anybody
    /// else begins a login.
    Refused(Last),
}

impl Card {
    /// Ends `login`: the card forgets every secret it was given, so that nobody uses its keys without them, unless another
    /// login of this user's processes lives which that must not end ([`crate::logins`]).
    ///
    /// # Errors
    /// [`Error::Transport`]: the login counts for nobody any more, and whoever has the card next ends it.
    pub(crate) fn end_login(&mut self, login: &Login) -> Result<LoginEnd> {
        login.release();
        // Held until the card is logged out, so that nobody begins a login that this would end.
        let Some(last) = self.logins().last(login.key()) else { return Ok(LoginEnd::Others) };
        if !self.end_logins()? {
            return Ok(LoginEnd::Refused(last));
        }
        last.left();
        // Whoever could not have the records meanwhile has left a login to us. What cannot be done about that now is owed by
        // all, and no failure of this end.
        if let Err(error) = self.settle() {
            log::debug!("another login stays on the card: {error}");
        }
        Ok(LoginEnd::Out)
    }

    /// Ends a login on the card that nobody ends: whoever had it was killed, or could not reach the card. No APDU where
    /// there is none, and no waiting for a card that another program holds. Where the records say that whoever has logged
    /// in is still there, the card is not even begun with: a service that hangs is no concern of a caller who wants nothing
    /// of it.
    ///
    /// # Errors
    /// [`Error::Transport`]: it is still owed.
    pub(crate) fn settle(&mut self) -> Result<()> {
        // Let go and taken again with the card in hand: the records are never held while a card is waited for.
        let is_owed = self.state.is_in_debt() && self.state.logins.owed().is_some();
        if is_owed { self.begin_with(Patience::None)?.settle() } else { Ok(()) }
    }
}

impl State {
    /// Whether the records say that somebody has logged in, who may be gone.
    fn is_in_debt(&self) -> bool {
        !self.clings && Key::ALL.iter().any(|&key| self.logins.is_marked(key))
    }
}

impl Channel<'_> {
    /// [`Card::settle`] in this transaction.
    pub(super) fn settle(&mut self) -> Result<()> {
        for _ in 0..DEBTS {
            if !self.state_mut().is_in_debt() {
                break;
            }
            let Some(last) = self.state_mut().logins.owed() else { break };
            if !self.leave_application()? {
                self.state_mut().clings = true;
                log::warn!("the card refuses to be logged out; take it out of its reader");
                break;
            }
            log::info!("a login that nobody ended was ended on the card");
            last.left();
        }
        Ok(())
    }

    /// Hands on what a command was answered that needs `login`. Where the card says that it knows nothing of such a login,
    /// nobody is logged in with this key: the record is set right in this transaction, in which nobody can log in, so that
    /// nobody ends a login that is over and takes the other key's along. What had been left to it is ended.
    pub(super) fn needing<R>(&mut self, login: Option<&Login>, answered: Result<R>) -> Result<R> {
        if let (Some(login), Err(error)) = (login, &answered)
            && error.is_not_verified()
            && self.is_certain()
        {
            login.release();
            if let Some(lost) = self.state_mut().logins.lost(login.key()) {
                lost.left();
            }
            if let Err(error) = self.settle() {
                log::debug!("another login stays on the card: {error}");
            }
        }
        answered
    }
}

impl Error {
    /// Whether the card may have taken a secret although presenting it ended with this error: then the login is to be
    /// ended like any other.
    pub(crate) fn may_have_logged_in(&self) -> bool {
        matches!(self, Error::Transport(_) | Error::Status { .. } | Error::Malformed(_))
    }
}
