//! VERIFY and CHANGE REFERENCE DATA (`card.md` §3.3–3.4).

use super::files::File;
use super::request::Target;
use super::{Applet, MEMORY_FAILURE};
use crate::apdu::Sw;
use crate::emulator::image::{Kind, SecretName};
use crate::emulator::store::ImageError;
use crate::emulator::switches::{Locked, QueryWhenVerified};

/// How a secret met what was presented.
enum Outcome {
    Locked,
    Wrong { tries: u8 },
    Right,
}

impl Applet {
    /// The tries left, at no cost; of a verified secret, too, unless the card is one that answers 9000 then.
    pub(super) fn query(&mut self, target: Target) -> Sw {
        match self.secret(target) {
            Ok(Some(name))
                if self.switches().query_when_verified == QueryWhenVerified::Ok
                    && self.state.verified.contains(&name) =>
            {
                Sw::OK
            }
            Ok(Some(name)) => match self.tries(name) {
                Ok(tries) => tries_left(tries),
                Err(sw) => sw,
            },
            Ok(None) => tries_left(0),
            Err(sw) => sw,
        }
    }

    pub(super) fn verify(&mut self, target: Target, presented: &[u8]) -> Result<Vec<u8>, Sw> {
        let name = self.secret(target)?.ok_or(self.locked())?;
        match self.spend(name, presented) {
            Ok(Outcome::Right) => {
                if !self.state.verified.contains(&name) {
                    self.state.verified.push(name);
                }
                Ok(Vec::new())
            }
            Ok(Outcome::Wrong { tries }) => {
                if self.switches().wrong_verify_clears {
                    self.state.verified.retain(|verified| *verified != name);
                }
                Err(tries_left(tries))
            }
            Ok(Outcome::Locked) => Err(self.locked()),
            Err(error) => Err(failed(&error)),
        }
    }

    pub(super) fn change(&mut self, target: Target, new: Option<&[u8]>) -> Result<Vec<u8>, Sw> {
        let name = self.secret(target)?.ok_or(self.locked())?;
        if !self.state.verified.contains(&name) {
            return Err(Sw::NOT_VERIFIED);
        }
        let new = new.ok_or(Sw::WRONG_LENGTH)?;
        // Another process's tries count too.
        if self.tries(name)? == 0 {
            return Err(self.locked());
        }
        if self.switches().new_secret_checked && !well_formed(name, self.contents.image.kind, new) {
            return Err(Sw(0x6A80));
        }
        let changed = self.store.update(|card| {
            if let Some(secret) = card.image.secrets.named_mut(name) {
                secret.change(new);
            }
            card.save()
        });
        changed.map(|()| Vec::new()).map_err(|error| failed(&error))
    }

    /// Spends a try, and only then compares: whoever cuts the power in between has lost it. A match gives all back.
    fn spend(&mut self, name: SecretName, presented: &[u8]) -> Result<Outcome, ImageError> {
        self.store.update(|card| {
            let Some(left) = card.image.secrets.named(name).map_or(0, |secret| secret.tries).checked_sub(1) else {
                return Ok(Outcome::Locked);
            };
            if let Some(secret) = card.image.secrets.named_mut(name) {
                secret.tries = left;
            }
            card.save()?;
            let Some(secret) = card.image.secrets.named_mut(name).filter(|secret| secret.matches(presented)) else {
                return Ok(Outcome::Wrong { tries: left });
            };
            secret.tries = secret.limit;
            card.save()?;
            Ok(Outcome::Right)
        })
    }

    /// The secret a command names, and makes current; `None` for one that was blocked from birth.
    fn secret(&mut self, target: Target) -> Result<Option<SecretName>, Sw> {
        let (id, file) = self.resolve(target, self.absent_secret())?;
        let secret = match file {
            File::Secret(name) => Some(name),
            File::Blocked => None,
            _ => return Err(Sw::WRONG_STRUCTURE),
        };
        self.state.current = Some(id);
        Ok(secret)
    }

    fn tries(&self, name: SecretName) -> Result<u8, Sw> {
        let image = self.store.read().map_err(|error| failed(&error))?;
        image.secrets.named(name).map(|secret| secret.tries).ok_or(self.absent_secret())
    }

    fn locked(&self) -> Sw {
        match self.switches().locked {
            Locked::KeyLocked => Sw::KEY_LOCKED,
            Locked::Blocked => Sw::BLOCKED,
        }
    }
}

fn tries_left(tries: u8) -> Sw {
    Sw(0x63C0 | u16::from(tries & 0xF))
}

fn failed(error: &ImageError) -> Sw {
    log::error!("practice card: {error}");
    MEMORY_FAILURE
}

fn well_formed(name: SecretName, kind: Kind, secret: &[u8]) -> bool {
    match name {
        SecretName::Auth | SecretName::Text => secret.len() == 4 && secret.iter().all(u8::is_ascii_digit),
        SecretName::Sign => {
            (kind.shortest_password()..=16).contains(&secret.len())
                && secret.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        }
    }
}
