//! The end of a login: who may still need it, and what makes the card forget it.

use super::{Card, Error, Result};
use crate::login_lock::{self, LastLogin, LoginLock};

/// What the end of one login has made of the card.
#[derive(Debug)]
#[must_use = "a card that refused is still logged in"]
pub(crate) enum LoginEnd {
    /// Nobody is logged in to it.
    Out,
    /// It is as it was, for another process of this user is logged in to it.
    Others,
    /// It refused to be left and may still be logged in: [`Card::close`] without power is what remains, before anybody
    /// else begins a login.
    Refused(LastLogin),
}

impl Card {
    /// Ends the login that `lock` announced: the card forgets every secret it was given, so that nobody uses its keys
    /// without them, unless another process of this user is logged in, whose login that would end too.
    ///
    /// # Errors
    /// [`Error::Transport`].
    pub(crate) fn end_login(&mut self, lock: Option<LoginLock>) -> Result<LoginEnd> {
        // Held until the card is logged out, so that nobody begins a login that this would end.
        let Some(last) = login_lock::end(lock) else { return Ok(LoginEnd::Others) };
        Ok(if self.end_logins()? { LoginEnd::Out } else { LoginEnd::Refused(last) })
    }
}

impl Error {
    /// Whether the card may have taken a secret although presenting it ended with this error: then the login is to be
    /// ended like any other.
    pub(crate) fn may_have_logged_in(&self) -> bool {
        matches!(self, Error::Transport(_) | Error::Status { .. } | Error::Malformed(_))
    }
}
