//! What is said about slots, tokens and mechanisms (PKCS#11 3.0 §5.5).

use super::module::Module;
use super::slots::Identity;
use crate::card::{Key, Kind, Tries};
use crate::pkcs11::edge::ffi::padded;
use crate::pkcs11::edge::rv::{Result, Rv};
use crate::pkcs11::signing::mechanism;
use crate::secret::{self, Form};
use crate::text;
use cryptoki_sys::*;

/// The maker of this module: the token information's manufacturer is the program that answers, not the card's.
pub(crate) const MANUFACTURER: &str = "jpki-pkcs11";

impl Module {
    /// C_GetSlotList. The size query takes in new readers (§5.5.1).
    pub(crate) fn slot_list(&self, token_present: bool, size_query: bool) -> Result<Vec<CK_SLOT_ID>> {
        self.look();
        if token_present || size_query {
            let readers = self.known.read().len();
            (0..readers).for_each(|number| self.recognise(number));
        }
        let mut slots = self.slots.lock();
        if size_query {
            slots.join();
        }
        let shown = slots.listed().iter().filter(|slot| !token_present || slots.token(**slot).is_some());
        Ok(shown.map(|slot| slot.id()).collect())
    }

    /// C_GetSlotInfo. No APDU once the card is recognised, but for ending a login that is over after `auth.max_login`.
    pub(crate) fn slot_info(&self, id: CK_SLOT_ID) -> Result<CK_SLOT_INFO> {
        let slot = self.slot(id)?;
        let present = match self.token(slot) {
            Ok(present) => {
                self.end_if_over(slot.reader, present.epoch);
                self.settle(&present);
                CKF_TOKEN_PRESENT
            }
            Err(Rv::TOKEN_NOT_PRESENT) => 0,
            Err(error) => return Err(error),
        };
        let reader = self.reader(slot)?;
        Ok(CK_SLOT_INFO {
            slotDescription: padded(&text::sanitise(&reader.name)),
            manufacturerID: padded(MANUFACTURER),
            flags: CKF_REMOVABLE_DEVICE | CKF_HW_SLOT | present,
            hardwareVersion: CK_VERSION { major: 0, minor: 0 },
            firmwareVersion: CK_VERSION { major: 0, minor: 0 },
        })
    }

    /// C_GetTokenInfo. One empty VERIFY each time, because programs read the flags just before they log in.
    pub(crate) fn token_info(&self, id: CK_SLOT_ID) -> Result<CK_TOKEN_INFO> {
        let slot = self.slot(id)?;
        let present = self.token(slot)?;
        self.end_if_over(slot.reader, present.epoch);
        self.settle(&present);
        let tries = match self.with_card(&present.reader, present.epoch, |card| card.tries(slot.key))? {
            Ok(tries) => Some(tries),
            // A card that will not be asked can still be used.
            Err(error) => {
                log::warn!("no count of tries: {error}");
                None
            }
        };
        if let Some(tries) = tries {
            present.reader.token(slot.key).with(present.epoch, |state| state.refusals.observe(tries))?;
        }
        let identity = &present.identity;
        let form = form(identity, slot.key);
        let (sessions, read_write) = self.sessions.lock().count(slot, present.epoch);
        Ok(CK_TOKEN_INFO {
            label: padded(&label(identity, slot.key)),
            manufacturerID: padded(MANUFACTURER),
            model: padded(&identity.info.model()),
            serialNumber: padded(&identity.info.serial()),
            flags: CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED | secret_flags(tries, full(identity, slot.key)),
            ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
            ulSessionCount: sessions as CK_ULONG,
            ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
            ulRwSessionCount: read_write as CK_ULONG,
            ulMaxPinLen: form.max as CK_ULONG,
            ulMinPinLen: form.min as CK_ULONG,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: CK_VERSION { major: identity.info.hardware_version(), minor: 0 },
            firmwareVersion: CK_VERSION { major: identity.info.firmware_version(), minor: 0 },
            utcTime: padded(""),
        })
    }

    /// C_GetMechanismList.
    pub(crate) fn mechanisms(&self, id: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>> {
        let present = self.token(self.slot(id)?)?;
        Ok(mechanism::list(self.offers(&present)))
    }

    /// C_GetMechanismInfo.
    pub(crate) fn mechanism_info(&self, id: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE) -> Result<CK_MECHANISM_INFO> {
        let present = self.token(self.slot(id)?)?;
        mechanism::info(mechanism, self.offers(&present))
    }

    /// C_* functions that this module does not offer still want a slot that exists.
    pub(crate) fn check_slot(&self, id: CK_SLOT_ID) -> Result<()> {
        self.slot(id).map(drop)
    }
}

/// A token's label: which secret it asks for, and the end of the card's serial number, for two cards in a family must not
/// look alike. No colon, which would break NSS nicknames; a practice card says so first, where a prompt cuts last.
fn label(identity: &Identity, key: Key) -> String {
    let maker = if identity.info.model() == "PRACTICE" || identity.kind() == Kind::Next { "PRACTICE" } else { "JPKI" };
    let purpose = match (key, identity.kind()) {
        (Key::Authentication, _) => "Auth (4-digit PIN)",
        (Key::Signature, Kind::Juki) => "Sign (4-16 chars)",
        (Key::Signature, _) => "Sign (6-16 chars)",
    };
    let serial: Vec<char> = identity.info.serial().chars().filter(char::is_ascii_alphanumeric).collect();
    let end: String = serial.iter().skip(serial.len().saturating_sub(4)).collect();
    format!("{maker} {purpose} {end}")
}

fn form(identity: &Identity, key: Key) -> Form {
    identity.profile.key(key).map_or(secret::SIGNATURE, |key| key.form)
}

fn full(identity: &Identity, key: Key) -> u8 {
    identity.profile.key(key).map_or(0, |key| key.tries)
}

/// The token flags that a try counter stands for (§3.2, CK_TOKEN_INFO).
fn secret_flags(tries: Option<Tries>, full: u8) -> CK_FLAGS {
    match tries {
        Some(Tries::NotInitialised) => 0,
        Some(Tries::Locked) => CKF_USER_PIN_INITIALIZED | CKF_USER_PIN_LOCKED,
        Some(Tries::Left(1)) => CKF_USER_PIN_INITIALIZED | CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY,
        Some(Tries::Left(left)) if left < full => CKF_USER_PIN_INITIALIZED | CKF_USER_PIN_COUNT_LOW,
        Some(Tries::Left(_) | Tries::Uncounted) | None => CKF_USER_PIN_INITIALIZED,
    }
}
