//! One card with the JPKI application: recognised, read, logged in to and made to sign.
//!
//! A [`Card`] owns a [`Link`] and what was learnt about the card behind it. Each of its methods is one transaction. What
//! costs nothing when it goes wrong (a query, a READ, a signature) is sent at once, on the belief that the application is
//! still selected, and repeated after a SELECT if the answer is not what the application would say. What may cost a try
//! (VERIFY, CHANGE) exists only on [`Application`], which [`Card::session`] lends after SELECT AID → 9000 in the same
//! transaction, and no layer ever repeats it.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod abilities;
mod channel;
mod commands;
mod info;
mod login;
mod profile;
mod talk;

pub use crate::key::Key;
pub use channel::Application;
pub use commands::Scheme;
pub use info::TokenInfo;
pub(crate) use login::LoginEnd;
pub use profile::{Algorithm, Applet, File, JPKI, KeyProfile, Kind, Profile};

use crate::apdu::Sw;
use crate::logins::{self, Login, Logins, Meeting};
use crate::secret::Form;
use crate::transport::{self, Disposition, Link, Patience, Transaction};
use abilities::Abilities;
use channel::Channel;
use std::path::PathBuf;
use std::sync::Arc;
use talk::Talk;

/// What went wrong between this program and the application on the card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The card could not be reached.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// The card refused a command.
    #[error("the card answered {sw} to command {ins:02X}")]
    Status {
        /// The command's instruction byte.
        ins: u8,
        /// What the card said.
        sw: Sw,
    },
    /// The card's answer makes no sense.
    #[error("the card gave an answer that makes no sense: {0}")]
    Malformed(&'static str),
    /// The secret was refused, or not even sent because the card says that it is locked or was never set.
    #[error("the secret was refused")]
    Refused(Tries),
    /// The secret was not sent: the card has refused it before.
    #[error("the card has refused this secret before; it was not sent again")]
    RefusedBefore,
    /// The secret was not sent: it would use the last try, which is not for this program to use.
    #[error("this may be the last try, which this program does not use; the secret was not sent")]
    LastTry,
    /// Other processes cannot be told what is about to happen; nothing was sent.
    #[error(transparent)]
    Logins(#[from] logins::Error),
    /// This kind of card has no such key.
    #[error("this card has no such key")]
    NoKey,
    /// This card cannot make RSASSA-PSS signatures; known from now on.
    #[error("this card cannot make PSS signatures")]
    NoPss,
}

impl Error {
    /// Whether the card said that the secret was not presented, or no longer counts.
    pub fn is_not_verified(&self) -> bool {
        matches!(self, Error::Status { sw: Sw::NOT_VERIFIED, .. })
    }
}

/// Result of a card operation.
pub type Result<T> = std::result::Result<T, Error>;

/// The state of a secret's try counter (`card.md` §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// So many wrong values more, and it is locked. Never 0.
    Left(u8),
    /// No try is left; the municipal office sets a new secret.
    Locked,
    /// The card has no such secret.
    NotInitialised,
    /// Refused without a count (status 6300), or not told while somebody is logged in (9000 to an empty VERIFY).
    Uncounted,
}

/// Settings that concern the card.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read whole files with one extended-length READ BINARY, where reader and card can.
    pub extended_read: bool,
    /// Where verdicts about cards are kept between processes; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// Where the user's processes meet, and what this one remembers.
    pub meeting: Arc<Meeting>,
    /// Leave the last try of a secret alone.
    pub keep_last_try: bool,
}

/// What one look at a card found.
#[derive(Debug)]
pub enum Probe {
    /// A card we serve.
    Ours(Box<Card>),
    /// The JPKI application of a generation that this program does not know; the link is closed.
    Unserved {
        /// Its label, printable ASCII.
        label: String,
    },
    /// Some other card; the link is closed.
    Foreign,
}

/// A card with the JPKI application.
pub struct Card {
    link: Box<dyn Link>,
    state: State,
}

/// What is known about a card, apart from the link to it.
struct State {
    profile: &'static Profile,
    info: TokenInfo,
    directory: Option<[u8; 2]>,
    absent: Option<Key>,
    /// Whether the application was the selected one when the last transaction of ours ended.
    selected: bool,
    abilities: Abilities,
    /// Bytes per READ BINARY: 256, or fewer for this link if the card refused that.
    block: u16,
    extended: bool,
    counters: [Counter; 2],
    logins: Logins,
    keep_last_try: bool,
    /// Whether the card was found to refuse every other application, so that it is not asked at every look.
    clings: bool,
}

/// What is known about a try counter.
#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    known: Option<Tries>,
    /// It fell between two queries in one transaction: this card spends tries on queries, so this link asks no more.
    frozen: bool,
}

impl Counter {
    /// What it was last, if this link asks no more.
    fn frozen(self) -> Option<Tries> {
        self.known.filter(|_| self.frozen)
    }
}

impl Card {
    /// Finds out what lies behind `link`: SELECT AID must answer 9000 *and* EF 0006 must be token information with a label
    /// of ours. Never an ATR, never a VERIFY. Three APDUs for a My Number Card; two, both SELECT, for a card that has neither
    /// its application nor the next practice kind's.
    ///
    /// # Errors
    /// [`Error::Transport`]; that is no verdict, and the link is closed.
    pub fn probe(mut link: Box<dyn Link>, options: &Options) -> Result<Probe> {
        match recognise(&mut *link, options) {
            Ok(Recognised::Ours(state)) => Ok(Probe::Ours(Box::new(Card { link, state: *state }))),
            Ok(Recognised::Unserved(label)) => {
                close_as_it_is(link);
                Ok(Probe::Unserved { label })
            }
            Ok(Recognised::Foreign) => {
                close_as_it_is(link);
                Ok(Probe::Foreign)
            }
            Err(error) => {
                close_as_it_is(link);
                Err(error)
            }
        }
    }

    /// The card's kind.
    pub fn kind(&self) -> Kind {
        self.state.profile.kind
    }

    /// What is true of every card of its kind.
    pub fn profile(&self) -> &'static Profile {
        self.state.profile
    }

    /// Who is logged in to it.
    pub fn logins(&self) -> &Logins {
        &self.state.logins
    }

    /// EF 0006 as it was read when the card was recognised.
    pub fn info(&self) -> &TokenInfo {
        &self.state.info
    }

    /// Whether the card offers `key` to its holder. No, if its kind lacks it, or if the card says that it holds only the
    /// other key's certificate and there is none in this key's file.
    pub fn has(&self, key: Key) -> bool {
        self.state.profile.key(key).is_some() && self.state.absent != Some(key)
    }

    /// What EF 0008 says about the holder's certificate for `key`; `None` where it says nothing.
    pub fn certificate_listed(&self, key: Key) -> Option<bool> {
        let [signature, authentication] = self.state.directory?;
        Some(match key {
            Key::Signature => signature != 0,
            Key::Authentication => authentication != 0,
        })
    }

    /// The form of the secret that guards `key`; `None` where the card lacks it.
    pub fn form(&self, key: Key) -> Option<Form> {
        Some(self.state.profile.key(key)?.form)
    }

    /// Whether PSS signatures can be asked for: `false` once the card has refused one for good.
    pub fn may_pss(&self) -> bool {
        matches!(self.state.profile.algorithm, Algorithm::Rsa { pss: true, .. })
            && self.state.abilities.pss != Some(false)
    }

    /// The try counter of `key`'s secret, by one empty VERIFY: no try is spent.
    ///
    /// Should the counter have fallen since the last call without a VERIFY of ours, it is asked once more at once. As a
    /// rule another program has had a wrong secret. But if it falls again, with nobody between, this link asks no more and
    /// goes on telling the last value, until [`Application::verify`] has settled it.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Transport`], [`Error::Status`].
    pub fn tries(&mut self, key: Key) -> Result<Tries> {
        let profile = self.state.profile.key(key).ok_or(Error::NoKey)?;
        if let Some(known) = self.state.counter(key).frozen() {
            return Ok(known);
        }
        self.optimistic(None, |channel| channel.query_tries(profile))
    }

    /// A certificate as DER, without the filler behind it; `None` if the file is absent or holds no certificate.
    /// ⌈n/256⌉ APDUs for n bytes. `login` is the caller's to the file's token, if it has one.
    ///
    /// # Errors
    /// [`Error::NoKey`]; [`Error::Status`] with 6982 if the key's secret must be presented first: `login` is over then;
    /// [`Error::Malformed`], [`Error::Transport`].
    pub fn certificate(&mut self, file: File, login: Option<&Login>) -> Result<Option<Vec<u8>>> {
        let ef = self.state.profile.ef(file).ok_or(Error::NoKey)?;
        self.optimistic(login, |channel| channel.read_object(ef))
    }

    /// The first 256 bytes of a certificate's file, after a SELECT of the application: enough to tell whether it is still
    /// the one known.
    ///
    /// # Errors
    /// As [`Card::certificate`].
    pub fn certificate_head(&mut self, file: File, login: Option<&Login>) -> Result<Option<Vec<u8>>> {
        let ef = self.state.profile.ef(file).ok_or(Error::NoKey)?;
        let mut channel = self.begin()?;
        channel.select()?;
        let head = channel.read_block(ef);
        channel.needing(login, head)
    }

    /// Runs `work` in one transaction in which SELECT AID has answered 9000. Only in here can a secret be sent.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Transport`]; [`Error::Status`] if the application cannot be selected.
    pub fn session<R>(&mut self, work: impl FnOnce(&mut Application<'_, '_>) -> Result<R>) -> Result<R> {
        let mut channel = self.begin()?;
        channel.select()?;
        work(&mut Application::new(&mut channel))
    }

    /// Makes a signature with `key`; its secret must have been verified. One APDU if nothing came between.
    ///
    /// If the card refuses, the application is selected and the signature asked for once more, in the same transaction.
    /// Where the refusal means that the login is lost, `regain` is called first to present the secret again; it answers
    /// whether it did.
    ///
    /// # Errors
    /// [`Error::Status`] with 6982: the login is lost, and `login`, the caller's, is over. [`Error::NoPss`],
    /// [`Error::NoKey`], [`Error::Transport`], [`Error::Status`].
    pub fn sign(
        &mut self,
        key: Key,
        scheme: Scheme,
        data: &[u8],
        login: Option<&Login>,
        regain: impl FnMut(&mut Application<'_, '_>) -> Result<bool>,
    ) -> Result<Vec<u8>> {
        let profile = self.state.profile.key(key).ok_or(Error::NoKey)?;
        let mut channel = self.begin()?;
        let signed = channel.sign(profile, scheme, data, regain);
        channel.needing(login, signed)
    }

    /// Ends every login on the card, so that nobody signs without the secret: SELECT of another application. `false` if
    /// the card refused each of them and may still be logged in; cutting its power is what remains.
    ///
    /// # Errors
    /// [`Error::Transport`].
    pub fn end_logins(&mut self) -> Result<bool> {
        self.begin()?.leave_application()
    }

    /// Ends the connection.
    /// Whether it left the card so, which may keep its power.
    pub fn close(self, disposition: Disposition) -> bool {
        self.link.close(disposition)
    }

    fn begin(&mut self) -> Result<Channel<'_>> {
        self.begin_with(Patience::Some)
    }

    fn begin_with(&mut self, patience: Patience) -> Result<Channel<'_>> {
        Ok(Channel::new(Transaction::begin_with(&mut *self.link, patience)?, &mut self.state))
    }

    /// Runs `work`, which spends nothing when it fails, on the belief that the application is selected; once more after a
    /// SELECT if that belief may have been wrong.
    fn optimistic<R>(
        &mut self,
        login: Option<&Login>,
        mut work: impl FnMut(&mut Channel<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut channel = self.begin()?;
        if !channel.is_selected() {
            channel.select()?;
        }
        let done = match work(&mut channel) {
            Err(Error::Status { .. } | Error::Malformed(_)) if !channel.is_certain() => {
                channel.select()?;
                work(&mut channel)
            }
            result => result,
        };
        channel.needing(login, done)
    }
}

enum Recognised {
    Ours(Box<State>),
    Unserved(String),
    Foreign,
}

fn recognise(link: &mut (dyn Link + 'static), options: &Options) -> Result<Recognised> {
    let stay = link.stay();
    let mut talk = Talk::new(Transaction::begin(link)?);
    let Some(applet) = talk.select_first()? else {
        return Ok(Recognised::Foreign);
    };
    let (file, short_ids) = talk.read_token_info()?;
    let Some(info) = file.as_deref().and_then(|file| TokenInfo::parse(applet, file)) else {
        return Ok(Recognised::Foreign);
    };
    let Some(profile) = Profile::of(applet, &info.label()) else {
        return Ok(Recognised::Unserved(info.label()));
    };
    let mut abilities = Abilities::load(options.state_dir.as_deref(), &info.fingerprint());
    if short_ids.is_some() {
        abilities.short_ids = short_ids;
    }
    let logins = Logins::new(&options.meeting, info.fingerprint(), stay);
    let mut state = State {
        profile,
        info,
        directory: None,
        absent: None,
        selected: true,
        abilities,
        block: 256,
        extended: options.extended_read,
        counters: Default::default(),
        logins,
        keep_last_try: options.keep_last_try,
        clings: false,
    };
    let mut channel = Channel::resume(talk, &mut state);
    if profile.directory {
        let directory = channel.read_directory()?;
        channel.state_mut().directory = directory;
        let absent = channel.absent_key()?;
        channel.state_mut().absent = absent;
    }
    // Before anything but what identifies the card: whoever was killed has left its keys open.
    channel.settle()?;
    drop(channel);
    Ok(Recognised::Ours(Box::new(state)))
}

/// Ends a connection to a card that is none of ours, or could not be asked: however it is.
fn close_as_it_is(link: Box<dyn Link>) {
    link.close(Disposition::Leave);
}

impl State {
    fn counter(&mut self, key: Key) -> &mut Counter {
        let [authentication, signature] = &mut self.counters;
        match key {
            Key::Authentication => authentication,
            Key::Signature => signature,
        }
    }
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card").field("kind", &self.state.profile.kind).finish_non_exhaustive()
    }
}
