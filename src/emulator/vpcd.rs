//! Plugs a card into vpcd, the virtual reader of the vsmartcard project, so that every program of the machine meets it
//! through PC/SC.
//!
//! vpcd listens and the card connects: a connection is a card in the reader, its end is the removal. A frame is a length
//! of two bytes, big endian, and as many bytes. A frame of one byte is an order to the reader, any other a command APDU.

use super::Device;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::linux::net::TcpStreamExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Where vpcd's first virtual reader listens.
pub const DEFAULT_PORT: u16 = 35963;

/// Orders of vpcd.
const POWER_OFF: u8 = 0;
const POWER_ON: u8 = 1;
const RESET: u8 = 2;
const ATR: u8 = 4;

/// How often `stop` is looked at while vpcd has nothing to say.
const STOP_POLL: Duration = Duration::from_millis(100);

/// By what a mute card shows that it is there: an empty frame would be no card to vpcd. Its silence is for the power-up.
const PRESENT: &[u8] = &[0x3B];

/// Why a card is not in the virtual reader, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there: no pcscd with vpcd runs, or on another port.
    #[error("no virtual reader at {address} (is pcscd running, with vpcd installed?): {source}")]
    NoReader {
        /// Where it was looked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// vpcd ended the connection: pcscd stopped, or the slot has a card already.
    #[error("the virtual reader ended the connection: pcscd was stopped, or there is another card in the reader")]
    Ended,
    /// The connection broke.
    #[error("the connection to the virtual reader broke: {0}")]
    Broken(#[from] io::Error),
    /// The card's answer does not fit a frame.
    #[error("the card's answer of {0} bytes is too long for a virtual reader")]
    TooLong(usize),
}

/// Keeps `device` in the virtual reader at `address` until `stop` is set; then takes it out, without power.
///
/// # Errors
/// Any [`Error`]. The card is without power then too.
pub fn plug(device: &mut dyn Device, address: impl ToSocketAddrs + ToString, stop: &AtomicBool) -> Result<(), Error> {
    loop {
        let stream =
            TcpStream::connect(&address).map_err(|source| Error::NoReader { address: address.to_string(), source })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STOP_POLL))?;
        let served = Slot { stream, stop }.serve(device);
        device.power_off();
        match served {
            Ok(Served::Silent) => {}
            Ok(Served::Stopped) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

struct Slot<'a> {
    stream: TcpStream,
    stop: &'a AtomicBool,
}

/// How a connection came to its end without an error.
enum Served {
    Stopped,
    /// The card said nothing, for which vpcd knows no other way than an empty frame, and forgets the connection.
    Silent,
}

impl Slot<'_> {
    fn serve(mut self, device: &mut dyn Device) -> Result<Served, Error> {
        let mut powered_up = false;
        while let Some(frame) = self.receive()? {
            let answer = match *frame {
                [order @ (POWER_OFF | POWER_ON | RESET)] => {
                    match order {
                        POWER_OFF => device.power_off(),
                        POWER_ON => device.power_on(),
                        _ => device.reset(),
                    }
                    powered_up = order != POWER_OFF;
                    continue;
                }
                // Asked for to power the card up, and then a few times a second to see whether it is there.
                [ATR] => match device.atr() {
                    atr if atr.is_empty() && !powered_up => PRESENT.to_vec(),
                    atr => atr,
                },
                ref command => {
                    thread::sleep(device.pause(command));
                    device.transmit(command)
                }
            };
            powered_up = false;
            self.send(&answer)?;
            if answer.is_empty() {
                return Ok(Served::Silent);
            }
        }
        Ok(Served::Stopped)
    }

    /// The next frame; `None` once `stop` is set.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut length = [0; 2];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
        Ok(self.fill(&mut frame)?.then_some(frame))
    }

    /// Fills `buffer`; false once `stop` is set.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, Error> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            match self.stream.read(rest) {
                Ok(0) => return Err(Error::Ended),
                Ok(count) => filled += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            // vpcd sends length and data apart, and Nagle's algorithm holds the second until the first is acknowledged:
            // 40 ms for every command. The kernel forgets the setting, so it is renewed after each receive.
            self.stream.set_quickack(true)?;
        }
        Ok(true)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let length = u16::try_from(bytes.len()).map_err(|_| Error::TooLong(bytes.len()))?;
        let mut frame = Vec::with_capacity(2 + bytes.len());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(bytes);
        Ok(self.stream.write_all(&frame)?)
    }
}
