//! A program without any secret that is connected to a reader all the time, as a browser that never logged in is. It says
//! whether anybody signs; it plays the other programs, too, so that it can look while one of them holds the card. What it
//! selects is the application that is selected already, which leaves the card's state as it is.

use crate::common::pcscd::READERS;
use crate::common::rival::JPKI;
use pcsc::{Card, Context, Disposition, Protocols, Scope, ShareMode};
use std::ffi::CString;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// A signature over one byte that nobody has asked for, with either key.
const SIGN: [&[u8]; 2] = [&[0x80, 0x2A, 0, 0x97, 1, 0x41, 0], &[0x80, 0x2A, 0, 0x9A, 1, 0x41, 0]];

enum Order {
    Send(Vec<u8>),
    Hold,
    Release,
    Begin(Disposition),
}

pub struct Witness {
    orders: Sender<Order>,
    answers: Receiver<Result<u16, pcsc::Error>>,
}

impl Witness {
    /// Of this reader.
    pub fn of(reader: usize) -> Witness {
        let (orders, to_do) = channel();
        let (done, answers) = channel();
        // Ends when the witness is dropped.
        thread::spawn(move || Connection { reader, context: None, card: None }.serve(&to_do, &done));
        Witness { orders, answers }
    }

    fn order(&self, order: Order) -> Result<u16, String> {
        self.orders.send(order).expect("the witness lives");
        match self.answers.recv_timeout(Duration::from_secs(15)) {
            Ok(answer) => answer.map_err(|error| format!("the witness is told: {error}")),
            Err(_) => Err("the card belongs to some process that does not let go".into()),
        }
    }

    /// Which keys sign for everybody.
    pub fn open(&self) -> Result<[bool; 2], String> {
        self.select()?;
        let mut open = [false; 2];
        for (open, sign) in open.iter_mut().zip(SIGN) {
            *open = match self.send(sign)? {
                0x9000 => true,
                0x6982 => false,
                sw => return Err(format!("a key is neither open nor closed: {sw:04X}")),
            };
        }
        Ok(open)
    }

    /// SELECT of the application, which is selected already unless the card has just been powered up.
    pub fn select(&self) -> Result<(), String> {
        match self.send(JPKI)? {
            0x9000 => Ok(()),
            sw => Err(format!("the application cannot be selected: {sw:04X}")),
        }
    }

    /// Sends a command; once more after the 6F00 that follows a power-up.
    pub fn send(&self, command: &[u8]) -> Result<u16, String> {
        match self.order(Order::Send(command.to_vec()))? {
            0x6F00 => self.order(Order::Send(command.to_vec())),
            sw => Ok(sw),
        }
    }

    /// Holds the card alone.
    pub fn hold(&self) -> Result<(), String> {
        self.order(Order::Hold).map(drop)
    }

    /// Lets others have it again.
    pub fn release(&self) -> Result<(), String> {
        self.order(Order::Release).map(drop)
    }

    /// Begins anew, and does this to the card. Not while it is held.
    pub fn begin(&self, disposition: Disposition) -> Result<(), String> {
        self.order(Order::Begin(disposition)).map(drop)
    }
}

struct Connection {
    reader: usize,
    context: Option<Context>,
    card: Option<Card>,
}

impl Connection {
    fn serve(mut self, orders: &Receiver<Order>, done: &Sender<Result<u16, pcsc::Error>>) {
        while let Ok(order) = orders.recv() {
            let answer = match order {
                Order::Send(command) => self.send(&command),
                Order::Hold => self.hold(orders, done),
                Order::Release => Ok(0x9000),
                Order::Begin(disposition) => self.begin(disposition),
            };
            if done.send(answer).is_err() {
                break;
            }
        }
        self.leave();
    }

    /// Ends the connection and leaves the card as it is: the crate's own Drop would reset it.
    fn leave(&mut self) {
        if let Some(card) = self.card.take()
            && let Err((card, _)) = card.disconnect(Disposition::LeaveCard)
        {
            std::mem::forget(card);
        }
    }

    fn card(&mut self) -> Result<&mut Card, pcsc::Error> {
        if self.card.is_none() {
            let reader = CString::new(READERS[self.reader]).expect("no NUL");
            let mut connected = Err(pcsc::Error::NoService);
            // A context ends with the service that gave it.
            for _ in 0..2 {
                let context = match &self.context {
                    Some(context) => context.clone(),
                    None => self.context.insert(Context::establish(Scope::User)?).clone(),
                };
                connected = context.connect(&reader, ShareMode::Shared, Protocols::ANY);
                if connected.is_ok() {
                    break;
                }
                self.context = None;
            }
            self.card = Some(connected?);
        }
        Ok(self.card.as_mut().expect("it is connected"))
    }

    /// Once more over a new connection, if this one was ended by what became of the card.
    fn send(&mut self, command: &[u8]) -> Result<u16, pcsc::Error> {
        transmit(self.card()?, command).or_else(|_| {
            self.leave();
            transmit(self.card()?, command)
        })
    }

    fn begin(&mut self, disposition: Disposition) -> Result<u16, pcsc::Error> {
        self.send(JPKI)?;
        self.card()?.reconnect(ShareMode::Shared, Protocols::ANY, disposition)?;
        Ok(0x9000)
    }

    /// Holds the card until it is told to let go.
    fn hold(&mut self, orders: &Receiver<Order>, done: &Sender<Result<u16, pcsc::Error>>) -> Result<u16, pcsc::Error> {
        // For a connection that is still one.
        self.send(JPKI)?;
        let transaction = self.card()?.transaction()?;
        done.send(Ok(0x9000)).ok();
        for order in orders {
            match order {
                Order::Send(command) => done.send(transmit(&transaction, &command)).ok(),
                Order::Hold => done.send(Ok(0x9000)).ok(),
                Order::Begin(_) => done.send(Err(pcsc::Error::SharingViolation)).ok(),
                Order::Release => break,
            };
        }
        // A card that has gone meanwhile is no longer held.
        if let Err((transaction, _)) = transaction.end(Disposition::LeaveCard) {
            std::mem::forget(transaction);
        }
        Ok(0x9000)
    }
}

fn transmit(card: &Card, command: &[u8]) -> Result<u16, pcsc::Error> {
    let mut room = [0; 512];
    let answer = card.transmit(command, &mut room)?;
    answer.last_chunk().map(|sw| u16::from_be_bytes(*sw)).ok_or(pcsc::Error::CommError)
}
