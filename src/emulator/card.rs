//! The practice card as a device: power, reset, the first command's 6F00, and answers whole or in parts.

use super::Device;
use super::applet::Applet;
use super::image::Image;
use super::store::{ImageError, Store};
use super::switches::{Answers, Switches};
use crate::apdu::{Command, GET_RESPONSE, Response, SELECT, Sw};
use std::fmt;
use std::path::Path;

/// A practice card: a [`Device`] over a card file, or over an [`Image`] in memory.
pub struct PracticeCard {
    applet: Applet,
    power: Power,
    /// The rest of an answer that GET RESPONSE fetches.
    pending: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    Off,
    /// Powered, and no command yet.
    Fresh,
    On,
}

impl PracticeCard {
    /// Opens the card in `path`.
    ///
    /// # Errors
    /// See [`ImageError`]; each says what to do.
    pub fn open(path: &Path) -> Result<PracticeCard, ImageError> {
        PracticeCard::over(Store::open(path)?)
    }

    /// Writes `image` as a new card into `path`, which must not exist, and opens it.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn create(path: &Path, image: &Image) -> Result<PracticeCard, ImageError> {
        PracticeCard::over(Store::create(path, image)?)
    }

    /// A card in no file, which lives as long as this value.
    ///
    /// # Errors
    /// [`ImageError::Key`], [`ImageError::Malformed`].
    pub fn in_memory(image: Image) -> Result<PracticeCard, ImageError> {
        PracticeCard::over(Store::Memory(Box::new(image)))
    }

    /// How the card behaves.
    pub fn switches(&self) -> &Switches {
        self.applet.switches()
    }

    fn over(store: Store) -> Result<PracticeCard, ImageError> {
        // No power, no random numbers yet.
        Ok(PracticeCard { applet: Applet::load(store, [0; 32])?, power: Power::Off, pending: Vec::new() })
    }

    fn deliver(&mut self, command: &Command, response: Response) -> Response {
        let Response { data, sw } = response;
        if data.is_empty() || command.extended {
            return Response { data, sw };
        }
        match self.applet.switches().answers {
            Answers::GetResponse => {
                self.pending = data;
                Response { data: Vec::new(), sw: more(self.pending.len()) }
            }
            Answers::ExactLe if command.ins != SELECT && command.le.is_some_and(|le| le as usize > data.len()) => {
                Response { sw: Sw(0x6C00 | data.len() as u16), data: Vec::new() }
            }
            _ => Response { data, sw },
        }
    }

    fn rest(&mut self, command: &Command) -> Response {
        let asked = command.le.map_or(0, |le| le as usize);
        let data: Vec<u8> = self.pending.drain(..asked.min(self.pending.len())).collect();
        let sw = if self.pending.is_empty() { Sw::OK } else { more(self.pending.len()) };
        Response { data, sw }
    }
}

/// 61xx: so many bytes more, 00 for 256 or above.
fn more(bytes: usize) -> Sw {
    Sw(0x6100 | if bytes < 256 { bytes as u16 } else { 0 })
}

impl Device for PracticeCard {
    fn atr(&self) -> Vec<u8> {
        match self.power {
            Power::Off => Vec::new(),
            Power::Fresh | Power::On => self.applet.switches().atr.bytes().to_vec(),
        }
    }

    fn power_on(&mut self) {
        let mut seed = [0; 32];
        self.pending.clear();
        self.power = Power::Off;
        if let Err(error) = getrandom::fill(&mut seed) {
            log::error!("practice card: no random numbers: {error}");
        } else if let Err(error) = self.applet.power_on(seed) {
            log::error!("practice card: {error}");
        } else {
            self.power = Power::Fresh;
        }
    }

    fn power_off(&mut self) {
        self.applet.power_off();
        self.pending.clear();
        self.power = Power::Off;
    }

    fn reset(&mut self) {
        self.applet.reset();
        self.pending.clear();
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let response = match self.power {
            Power::Off => return Vec::new(),
            Power::Fresh if self.applet.switches().first_command_fails => {
                Response { data: Vec::new(), sw: Sw::NO_DIAGNOSIS }
            }
            Power::Fresh | Power::On => match Command::decode(command) {
                Ok(command) if (command.cla, command.ins) == (0x00, GET_RESPONSE) && !self.pending.is_empty() => {
                    self.rest(&command)
                }
                Ok(command) => {
                    self.pending.clear();
                    let response = self.applet.answer(&command);
                    self.deliver(&command, response)
                }
                Err(_) => Response { data: Vec::new(), sw: Sw::WRONG_LENGTH },
            },
        };
        self.power = Power::On;
        let mut answer = response.data;
        answer.extend_from_slice(&response.sw.0.to_be_bytes());
        answer
    }
}

impl fmt::Debug for PracticeCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PracticeCard").finish_non_exhaustive()
    }
}
