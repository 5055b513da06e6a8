//! Readers with practice cards in them, whose answers the fuzzer bends, and a world in which anything may happen between
//! two calls.

use crate::input::Input;
use crate::watch::{Transaction, Watch, must};
use jpki_pkcs11::emulator::image::Image;
use jpki_pkcs11::emulator::{Device, PracticeCard};
use jpki_pkcs11::transport::{Continuity, Disposition, Error, Link, Patience, ReaderState, Readers, Result, Stay, Waiter};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Status words a card may say: those the module looks at, and some it does not.
const STATUS: [u16; 24] = [
    0x9000, 0x6300, 0x63C0, 0x63C1, 0x63C2, 0x63C3, 0x63C5, 0x63CF, 0x6282, 0x6700, 0x6981, 0x6982, 0x6983, 0x6984,
    0x6985, 0x6986, 0x6A82, 0x6A86, 0x6A88, 0x6B00, 0x6D00, 0x6F00, 0x6100, 0x6C10,
];

/// What calls and cards share.
pub struct World {
    pub input: Input,
    pub watch: Watch,
    pub readers: Vec<Reader>,
    /// Links that were opened and not closed.
    pub links: usize,
    /// Whether any answer was bent, any call of the transport failed, or anybody else was at the card.
    pub lied: bool,
    insertions: u64,
}

/// One reader.
pub struct Reader {
    name: String,
    plugged: bool,
    mute: bool,
    event_count: u32,
    card: Option<Inserted>,
}

struct Inserted {
    device: PracticeCard,
    insertion: u64,
    resets: u64,
    /// Answers 61xx for ever, until another command than GET RESPONSE comes.
    endless: bool,
}

/// The world, seen by module and target.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn new(input: &[u8], readers: usize) -> Shared {
        let name = |index| format!("Fuzz Reader {index:02} 00");
        let reader = |index| Reader { name: name(index), plugged: true, mute: false, event_count: 0, card: None };
        Shared(Arc::new(Mutex::new(World {
            input: Input::new(input),
            watch: Watch::new(input),
            readers: (0..readers).map(reader).collect(),
            links: 0,
            lied: false,
            insertions: 0,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    /// Puts a card into a reader; the one in it goes.
    pub fn insert(&mut self, reader: usize, image: &Image) {
        self.remove(reader);
        self.insertions += 1;
        let insertion = self.insertions;
        let mut device = PracticeCard::in_memory(image.clone()).expect("an image of our own");
        device.power_on();
        self.readers[reader].event_count += 1;
        self.readers[reader].card = Some(Inserted { device, insertion, resets: 0, endless: false });
    }

    /// Takes the card out.
    pub fn remove(&mut self, reader: usize) {
        self.watch.card_gone(reader);
        if self.readers[reader].card.take().is_some() {
            self.readers[reader].event_count += 1;
        }
    }

    /// Something that happens to a reader while nobody has its card.
    pub fn happen(&mut self, reader: usize, images: &[Image]) {
        self.lied = true;
        match self.input.byte() % 10 {
            0 => self.remove(reader),
            1 => {
                let image = self.input.byte();
                self.insert(reader, &images[usize::from(image) % images.len()]);
            }
            // Out and in again.
            2 => {
                self.watch.card_gone(reader);
                self.readers[reader].event_count += 2;
                if let Some(card) = &mut self.readers[reader].card {
                    self.insertions += 1;
                    card.insertion = self.insertions;
                    card.device.power_off();
                    card.device.power_on();
                }
            }
            3 => {
                self.watch.card_gone(reader);
                self.readers[reader].plugged ^= true;
            }
            4 => self.readers[reader].mute ^= true,
            5 => {
                self.watch.card_gone(reader);
                self.readers[reader].event_count = u32::from(self.input.word());
            }
            _ => self.rival(reader),
        }
    }

    /// Another program has the card for a moment.
    fn rival(&mut self, reader: usize) {
        self.lied = true;
        let kind = self.input.byte();
        let Some(card) = &mut self.readers[reader].card else { return };
        match kind % 6 {
            // The issuer security domain, the common application, this one again.
            0 => drop(card.device.transmit(&[0, 0xA4, 4, 0x0C, 7, 0xA0, 0, 0, 1, 0x51, 0, 0])),
            1 => drop(card.device.transmit(&[0, 0xA4, 4, 0x0C, 10, 0xD3, 0x92, 0x10, 0, 0x31, 0, 1, 1, 1, 0])),
            2 => drop(card.device.transmit(&[0, 0xA4, 4, 0x0C, 10, 0xD3, 0x92, 0xF0, 0, 0x26, 1, 0, 0, 0, 1])),
            3 => {
                card.device.reset();
                card.resets += 1;
            }
            4 => {
                card.device.power_off();
                card.device.power_on();
                card.resets += 1;
            }
            // A command of the fuzzer's.
            _ => {
                let len = usize::from(self.input.byte() % 24);
                let command = self.input.bytes(len);
                drop(card.device.transmit(&command));
            }
        }
    }

    fn any_error(&mut self, reader: usize) -> Error {
        self.lied = true;
        let error = match self.input.byte() % 9 {
            0 => Error::Removed,
            1 => Error::Reset,
            2 => Error::Mute,
            3 => Error::Timeout,
            4 => Error::NoService,
            5 => Error::NoReader,
            6 => Error::NoCard,
            7 => Error::Busy,
            _ => Error::Reader("it hums".into()),
        };
        if matches!(error, Error::Removed | Error::NoService | Error::NoReader | Error::NoCard) {
            self.watch.card_gone(reader);
        }
        error
    }

    /// What the card answers, as the fuzzer will have it.
    fn answer(&mut self, reader: usize, command: &[u8]) -> Result<Vec<u8>> {
        let how = self.input.byte();
        if (0xF0..0xF4).contains(&how) {
            return Err(self.any_error(reader));
        }
        let Some(card) = &mut self.readers[reader].card else { return Err(Error::Removed) };
        if card.endless && command.get(1) == Some(&0xC0) {
            return Ok([vec![how; usize::from(how)], vec![0x61, 0]].concat());
        }
        card.endless = false;
        let mut answer = card.device.transmit(command);
        if how < 0xA0 {
            return Ok(answer);
        }
        self.lied = true;
        match how {
            // Some of its bytes are others.
            0xA0..0xB4 => {
                for _ in 0..=how & 3 {
                    let (place, with) = (usize::from(self.input.word()), self.input.byte());
                    if !answer.is_empty() {
                        let place = place % answer.len();
                        answer[place] ^= with;
                    }
                }
            }
            // Its status is another.
            0xB4..0xCC => {
                let status = STATUS[usize::from(how - 0xB4)];
                let keep = self.input.is();
                let data = if keep { answer.len().saturating_sub(2) } else { 0 };
                answer.truncate(data);
                answer.extend_from_slice(&status.to_be_bytes());
            }
            0xCC => {
                answer.truncate(answer.len().saturating_sub(2));
                let status = self.input.bytes(2);
                answer.extend_from_slice(&status);
            }
            // Shorter, with its status or without.
            0xCD..0xD0 => {
                let status = answer.split_off(answer.len().saturating_sub(2));
                let len = usize::from(self.input.word()) % (answer.len() + 1);
                answer.truncate(len);
                if how != 0xCD {
                    answer.extend(status);
                }
            }
            // Longer.
            0xD0..0xD4 => {
                let status = answer.split_off(answer.len().saturating_sub(2));
                let (len, with) = (usize::from(self.input.word()), self.input.byte());
                answer.resize(answer.len() + len, with);
                answer.extend(status);
            }
            // Made up.
            0xD4..0xE4 => {
                let len = usize::from(self.input.word()) % 1024;
                answer = self.input.bytes(len);
                answer.extend_from_slice(&[0x90, 0x00]);
            }
            0xE4..0xE8 => {
                let len = usize::from(self.input.byte());
                answer = self.input.bytes(len);
            }
            // Without end.
            0xE8..0xEA => {
                if let Some(card) = &mut self.readers[reader].card {
                    card.endless = true;
                }
                answer = vec![0x61, self.input.byte()];
            }
            // Nothing.
            0xEA..0xEC => answer.clear(),
            // Too late: the card has seen the command, nobody the answer.
            0xF4.. => return Err(self.any_error(reader)),
            // A signature, certificate or file that begins as the real one does.
            _ => {
                let status = answer.split_off(answer.len().saturating_sub(2));
                let keep = usize::from(self.input.byte()) % (answer.len() + 1);
                answer.truncate(keep);
                let len = usize::from(self.input.word()) % 512;
                answer.extend(self.input.bytes(len));
                answer.extend(status);
            }
        }
        Ok(answer)
    }
}

impl Readers for Shared {
    fn look(&self) -> Result<Vec<ReaderState>> {
        let world = self.lock();
        let state = |reader: &Reader| ReaderState {
            name: reader.name.clone(),
            present: reader.card.is_some(),
            mute: reader.mute,
            event_count: reader.event_count,
        };
        Ok(world.readers.iter().filter(|reader| reader.plugged).map(state).collect())
    }

    fn connect(&self, name: &str) -> Result<Box<dyn Link>> {
        let mut world = self.lock();
        let reader = world.readers.iter().position(|reader| reader.name == name && reader.plugged);
        let reader = reader.ok_or(Error::NoReader)?;
        if world.input.byte() > 0xF8 {
            return Err(world.any_error(reader));
        }
        if world.readers[reader].mute {
            return Err(Error::Mute);
        }
        let insertion = world.readers[reader].card.as_ref().ok_or(Error::NoCard)?.insertion;
        let stay = Stay { reader: name.to_owned(), events: world.readers[reader].event_count };
        world.links += 1;
        let transaction = Transaction::default();
        let link = FuzzLink { world: self.clone(), reader, insertion, resets: None, transaction, stay };
        Ok(Box::new(link))
    }

    fn waiter(&self) -> Result<Arc<dyn Waiter>> {
        Ok(Arc::new(Impatient))
    }
}

/// Nobody waits here.
struct Impatient;

impl Waiter for Impatient {
    fn wait(&self, _: &[ReaderState], _: Duration) -> Result<()> {
        Err(Error::Cancelled)
    }

    fn cancel(&self) {}
}

struct FuzzLink {
    world: Shared,
    reader: usize,
    insertion: u64,
    resets: Option<u64>,
    transaction: Transaction,
    stay: Stay,
}

impl Link for FuzzLink {
    fn begin(&mut self, _: Patience) -> Result<Continuity> {
        let mut world = self.world.lock();
        match world.input.byte() {
            0..0xD0 => {}
            0xD0..0xF0 => world.rival(self.reader),
            _ => return Err(world.any_error(self.reader)),
        }
        let card = world.readers[self.reader].card.as_ref();
        let card = card.filter(|card| card.insertion == self.insertion).ok_or(Error::Removed)?;
        let before = self.resets.replace(card.resets);
        self.transaction = Transaction::begun();
        Ok(if before == self.resets { Continuity::Kept } else { Continuity::Lost })
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let mut world = self.world.lock();
        world.watch.command(self.reader, command, &self.transaction);
        let there = world.readers[self.reader].card.as_ref().is_some_and(|card| card.insertion == self.insertion);
        let answer = if there { world.answer(self.reader, command) } else { Err(Error::Removed) };
        world.watch.answer(self.reader, command, answer.as_deref().ok(), &mut self.transaction);
        answer
    }

    fn end(&mut self) {
        self.transaction = Transaction::default();
    }

    fn stay(&self) -> Stay {
        self.stay.clone()
    }

    fn close(self: Box<Self>, disposition: Disposition) -> bool {
        let mut world = self.world.lock();
        world.links -= 1;
        if disposition == Disposition::Unpower
            && let Some(card) = world.readers[self.reader].card.as_mut()
        {
            card.device.power_off();
            card.device.power_on();
            card.resets += 1;
        }
        true
    }
}

/// After C_Finalize: every link closed, and an honest card left as it was found.
pub fn check_end(world: &mut World) {
    must!(world.links == 0, "{} links are left open", world.links);
    if world.lied || !world.watch.ever_proved() {
        return;
    }
    for reader in &mut world.readers {
        let Some(card) = &mut reader.card else { continue };
        for key in [0x97, 0x9A] {
            drop(card.device.transmit(&[0, 0xA4, 4, 0x0C, 10, 0xD3, 0x92, 0xF0, 0, 0x26, 1, 0, 0, 0, 1]));
            let answer = card.device.transmit(&[0x80, 0x2A, 0, key, 1, 1, 0]);
            must!(!answer.ends_with(&[0x90, 0x00]), "the card still signs after C_Finalize");
        }
    }
}
