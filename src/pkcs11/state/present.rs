//! A token that is there: what a call keeps in hand while it works on one.

use super::reader::CardReader;
use super::slots::{Epoch, Identity, Slot};
use super::token::State;
use crate::card::{File, Key};
use crate::logins;
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::secret::Form;
use std::sync::Arc;

/// A token as a call found it: in which slot, on which card, for which stay of it.
pub(crate) struct PresentToken {
    pub(crate) reader: Arc<CardReader>,
    pub(crate) slot: Slot,
    pub(crate) epoch: Epoch,
    pub(crate) identity: Arc<Identity>,
}

impl PresentToken {
    /// The form of the token's secret.
    pub(crate) fn form(&self) -> Result<Form> {
        Ok(self.identity.profile.key(self.slot.key).ok_or(Rv::DEVICE_REMOVED)?.form)
    }

    /// This process's login to the token, as other processes see it.
    pub(crate) fn announced(&self) -> Option<Arc<logins::Login>> {
        self.announced_for(self.slot.key)
    }

    /// [`PresentToken::announced`] for either token of the card.
    pub(crate) fn announced_for(&self, key: Key) -> Option<Arc<logins::Login>> {
        let announced = |state: &mut State| state.login().map(|login| Arc::clone(&login.announced));
        // A card that has gone has no logins.
        self.reader.token(key).with(self.epoch, announced).ok().flatten()
    }

    /// Whether this certificate can be read only after the secret.
    pub(crate) fn is_guarded(&self, file: File) -> bool {
        let profile = self.identity.profile.key(file.key());
        matches!(file, File::Holder(_)) && profile.is_some_and(|profile| profile.certificate_guarded)
    }
}
