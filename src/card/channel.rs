//! A transaction with a card that is known: files read, counters asked for, signatures made, and, through
//! [`Application`] alone, secrets presented.

use super::commands::Target;
use super::profile::{Addressing, COMMON_AID, DIRECTORY_EF};
use super::talk::Talk;
use super::{Counter, Error, File, Key, KeyProfile, Result, Scheme, State, TokenInfo, Tries, commands};
use crate::apdu::{self, Response, Sw};
use crate::logins::Change;
use crate::secret::Pin;
use crate::tlv::{self, Header};
use crate::transport::{Continuity, Transaction};

/// The longest certificate that a file can hold: offsets have 15 bits.
const MAX_OBJECT: usize = 0x7FFF;
/// Block of a READ BINARY for cards that refuse Le = 00, as the Juki card's first driver read it (`card.md` §10).
const SMALL_BLOCK: u16 = 0xF4;

/// The application selected for certain, and nobody between: the only place from which a secret goes to the card.
pub struct Application<'c, 'a>(&'c mut Channel<'a>);

impl<'c, 'a> Application<'c, 'a> {
    /// Callers have seen SELECT AID → 9000 in this transaction.
    pub(super) fn new(channel: &'c mut Channel<'a>) -> Application<'c, 'a> {
        debug_assert!(channel.certain);
        Application(channel)
    }

    /// Presents `pin` for `key`, once. An empty VERIFY asks for the counter first if it is not yet known whether the card
    /// takes short EF ids, if the secret was last seen locked, which is not sent then, if the last try is to be left alone,
    /// or if the card has refused this very secret before: it is sent again only where the counter says that it may have
    /// been set anew.
    ///
    /// # Errors
    /// [`Error::Refused`] with what is left. [`Error::RefusedBefore`], [`Error::LastTry`]: it was not sent. Any other error
    /// leaves it unknown whether a try was spent; the secret must not be sent again without asking the person.
    pub fn verify(&mut self, key: Key, pin: &Pin) -> Result<()> {
        let profile = self.0.state.profile.key(key).ok_or(Error::NoKey)?;
        let known = self.0.state.counter(key).known;
        let (refused_before, keep_last_try) =
            (self.0.state.logins.has_refused(key, pin.bytes()), self.0.state.keep_last_try);
        if self.0.state.abilities.short_ids.is_none()
            || matches!(known, Some(Tries::Locked | Tries::NotInitialised))
            || refused_before
            || keep_last_try
        {
            let tries = self.tries(key)?;
            if matches!(tries, Tries::Locked | Tries::NotInitialised) {
                return Err(Error::Refused(tries));
            }
            // What the counter says may have made it forgotten.
            if refused_before && self.0.state.logins.has_refused(key, pin.bytes()) {
                return Err(Error::RefusedBefore);
            }
            // Where the card does not count, this may be the last.
            if keep_last_try && matches!(tries, Tries::Left(1) | Tries::Uncounted) {
                return Err(Error::LastTry);
            }
        }
        let target = self.0.target(profile.pin_ef)?;
        // Whatever happens now, the last count is no longer known.
        *self.0.state.counter(key) = Counter::default();
        let sw = self.0.talk.exchange_once(&commands::verify(target, pin.bytes()))?.sw;
        let tries = match sw {
            Sw::OK => Tries::Left(profile.tries),
            Sw::NO_MATCH => Tries::Uncounted,
            sw => tries_of(sw).ok_or(Error::Status { ins: apdu::VERIFY, sw })?,
        };
        if tries != Tries::Uncounted {
            self.0.state.counter(key).known = Some(tries);
        }
        if sw.is_ok() {
            self.0.state.logins.forget_refusals(key);
            return Ok(());
        }
        let left = match tries {
            Tries::Left(left) => Some(left),
            Tries::Locked => Some(0),
            Tries::Uncounted => None,
            // A card without a secret has compared nothing.
            Tries::NotInitialised => return Err(Error::Refused(tries)),
        };
        self.0.state.logins.remember_refusal(key, pin.bytes(), left);
        Err(Error::Refused(tries))
    }

    /// Makes ready for a change of the secret of `key`, before the old one is presented.
    ///
    /// # Errors
    /// [`Error::Logins`]: other processes, which may hold the old one, could not be told of it.
    pub fn prepare_change(&self, key: Key) -> Result<Change> {
        Ok(self.0.state.logins.prepare_change(key)?)
    }

    /// Sets a new secret for `key`, whose old one [`Application::verify`] has just presented; sent once. Other processes
    /// are told before that.
    ///
    /// # Errors
    /// [`Error::Status`] if the card refuses; the old secret then stays. [`Error::Logins`]: they could not be
    /// told, and it was not sent.
    pub fn change(&mut self, key: Key, pin: &Pin, change: &Change) -> Result<()> {
        let profile = self.0.state.profile.key(key).ok_or(Error::NoKey)?;
        let target = self.0.target(profile.pin_ef)?;
        change.tell()?;
        let sw = self.0.talk.exchange_once(&commands::change(target, pin.bytes()))?.sw;
        if sw.is_ok() { Ok(()) } else { Err(Error::Status { ins: apdu::CHANGE_REFERENCE_DATA, sw }) }
    }

    /// The try counter, as [`super::Card::tries`] tells it.
    ///
    /// # Errors
    /// As [`super::Card::tries`].
    pub fn tries(&mut self, key: Key) -> Result<Tries> {
        let profile = self.0.state.profile.key(key).ok_or(Error::NoKey)?;
        match self.0.state.counter(key).frozen() {
            Some(known) => Ok(known),
            None => self.0.query_tries(profile),
        }
    }

    /// Which change of the secret of `key` was the last, by processes of this user ([`crate::logins::Logins::changes`]).
    pub fn changes(&self, key: Key) -> Option<Vec<u64>> {
        self.0.state.logins.changes(key)
    }

    /// Whether EF 0006, read again now, is what it was when the card was recognised, to the last byte.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Malformed`].
    pub fn is_same_card(&mut self) -> Result<bool> {
        let (file, _) = self.0.talk.read_token_info()?;
        let info = file.as_deref().and_then(|file| TokenInfo::parse(self.0.state.profile.applet, file));
        Ok(info.is_some_and(|info| info == self.0.state.info))
    }
}

/// A transaction with a known card.
pub(super) struct Channel<'a> {
    talk: Talk<'a>,
    state: &'a mut State,
    /// Whether SELECT AID has answered 9000 in this transaction.
    certain: bool,
}

impl<'a> Channel<'a> {
    pub(super) fn new(transaction: Transaction<'a>, state: &'a mut State) -> Channel<'a> {
        if transaction.continuity() == Continuity::Lost {
            state.selected = false;
        }
        Channel { talk: Talk::new(transaction), state, certain: false }
    }

    /// Goes on with a card that was recognised just now, in the same transaction.
    pub(super) fn resume(talk: Talk<'a>, state: &'a mut State) -> Channel<'a> {
        Channel { talk, state, certain: true }
    }

    pub(super) fn is_selected(&self) -> bool {
        self.state.selected
    }

    pub(super) fn is_certain(&self) -> bool {
        self.certain
    }

    pub(super) fn state_mut(&mut self) -> &mut State {
        self.state
    }

    /// SELECT AID, after which answers are the application's own.
    pub(super) fn select(&mut self) -> Result<()> {
        (self.state.selected, self.certain) = (false, false);
        let sw = self.talk.select(self.state.profile.applet)?;
        if !sw.is_ok() {
            return Err(Error::Status { ins: apdu::SELECT, sw });
        }
        (self.state.selected, self.certain) = (true, true);
        Ok(())
    }

    /// Selects some other application, which ends the logins of this one.
    pub(super) fn leave_application(&mut self) -> Result<bool> {
        self.state.selected = false;
        self.certain = false;
        Ok(self.talk.exchange_once(&commands::select_isd())?.sw.is_ok()
            || self.talk.exchange_once(&commands::select_application(&COMMON_AID))?.sw.is_ok())
    }

    pub(super) fn query_tries(&mut self, key: &KeyProfile) -> Result<Tries> {
        let mut tries = self.ask_tries(key)?;
        // No count, with which the last one could be compared or which could be remembered.
        if tries == Tries::Uncounted {
            return Ok(tries);
        }
        let before = self.state.counter(key.key).known;
        if before.is_some_and(|before| rank(tries) < rank(before)) {
            // Somebody has presented a wrong secret, or asking costs tries: with nobody between, the second answer tells.
            let again = self.ask_tries(key)?;
            self.state.counter(key.key).frozen |= rank(again) < rank(tries);
            tries = again;
        }
        self.state.counter(key.key).known = Some(tries);
        if let Tries::Left(left) = tries {
            self.state.logins.note_tries(key.key, left, key.tries);
        }
        Ok(tries)
    }

    /// One answer of the counter.
    fn ask_tries(&mut self, key: &KeyProfile) -> Result<Tries> {
        let mut target = match self.target(key.pin_ef) {
            Err(Error::Status { sw: Sw::NOT_FOUND, .. }) if self.certain => return Ok(Tries::NotInitialised),
            target => target?,
        };
        let mut sw = self.talk.exchange_once(&commands::query_tries(target))?.sw;
        if self.learn_short_ids(target, sw) {
            target = match self.target(key.pin_ef) {
                Err(Error::Status { sw: Sw::NOT_FOUND, .. }) => return Ok(Tries::NotInitialised),
                target => target?,
            };
            sw = self.talk.exchange_once(&commands::query_tries(target))?.sw;
        }
        let tries = match tries_of(sw) {
            // More tries than the secret has: some other application's secret, unless this one was just selected.
            Some(Tries::Left(left)) if left > key.tries && !self.certain => None,
            Some(Tries::NotInitialised) if !self.certain => None,
            // Somebody's login, of which some cards tell instead of counting (`card.md` §11.22).
            None if sw.is_ok() && self.certain => Some(Tries::Uncounted),
            tries => tries,
        };
        let tries = tries.ok_or(Error::Status { ins: apdu::VERIFY, sw })?;
        if let Target::ShortId(_) = target
            && matches!(tries, Tries::Left(_) | Tries::Locked | Tries::Uncounted)
        {
            self.state.abilities.short_ids = Some(true);
        }
        Ok(tries)
    }

    /// EF 0008: its first two bytes, signature and authentication. `None` where the card does not have it.
    pub(super) fn read_directory(&mut self) -> Result<Option<[u8; 2]>> {
        Ok(match self.read_block(DIRECTORY_EF) {
            Ok(Some(bytes)) => bytes.first_chunk().copied(),
            Ok(None) | Err(Error::Status { .. }) => None,
            Err(error) => return Err(error),
        })
    }

    /// The key that this card was never given a certificate for, although it has one for the other key. EF 0008 alone
    /// does not decide: the certificate's file must hold none.
    pub(super) fn absent_key(&mut self) -> Result<Option<Key>> {
        let key = match self.state.directory {
            Some([0, authentication]) if authentication != 0 => Key::Signature,
            Some([signature, 0]) if signature != 0 => Key::Authentication,
            _ => return Ok(None),
        };
        let Some(ef) = self.state.profile.ef(File::Holder(key)) else { return Ok(None) };
        match self.read_block(ef) {
            Ok(head) => Ok(head.as_deref().and_then(object_len).is_none().then_some(key)),
            Err(Error::Status { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The DER object at the beginning of a file; `None` if the file is absent or begins with no object. Without certainty
    /// that is an error, since another application may have answered.
    pub(super) fn read_object(&mut self, ef: u8) -> Result<Option<Vec<u8>>> {
        let nothing =
            if self.certain { Ok(None) } else { Err(Error::Malformed("no certificate where one was expected")) };
        let Some(mut object) = self.read_block(ef)? else { return nothing };
        let Some(total) = object_len(&object) else { return nothing };
        if total > MAX_OBJECT {
            return Err(Error::Malformed("a certificate longer than its file can be"));
        }
        while object.len() < total {
            let wanted = (total - object.len()).min(usize::from(self.state.block));
            // Both fit: `total` is at most 15 bits.
            let response = self.talk.exchange(&commands::read(object.len() as u16, wanted as u32))?;
            let data = read_data(&response)?;
            if data.is_empty() || data.len() > wanted {
                return Err(Error::Malformed("a file that ends before its certificate"));
            }
            object.extend_from_slice(data);
        }
        object.truncate(total);
        Ok(Some(object))
    }

    /// The first bytes of a file, as many as one READ gives, and the file made current.
    pub(super) fn read_block(&mut self, ef: u8) -> Result<Option<Vec<u8>>> {
        loop {
            let short_id = self.state.abilities.short_ids != Some(false);
            let (le, extended) =
                if self.state.extended { (MAX_OBJECT as u32, true) } else { (u32::from(self.state.block), false) };
            let command = if short_id {
                commands::read_short_id(ef, le)
            } else {
                match self.talk.select_ef(ef)? {
                    Sw::OK => commands::read(0, le),
                    Sw::NOT_FOUND if self.certain => return Ok(None),
                    sw => return Err(Error::Status { ins: apdu::SELECT, sw }),
                }
            };
            let response = self.talk.exchange(&if extended { command.extended() } else { command })?;
            match response.sw {
                // Each of these three arms can be taken once only, so the loop ends.
                Sw::WRONG_P1P2 if short_id && self.learn_short_ids(Target::ShortId(ef), response.sw) => {}
                sw if extended && !sw.is_ok() && sw != Sw::NOT_VERIFIED && sw != Sw::NOT_FOUND => {
                    self.state.extended = false;
                }
                Sw::WRONG_LENGTH if self.state.block > SMALL_BLOCK => self.state.block = SMALL_BLOCK,
                Sw::NOT_FOUND if self.certain => return Ok(None),
                // Bytes beyond those asked for are nobody's.
                _ if response.data.len() > le as usize => {
                    return Err(Error::Malformed("more of a file than was asked for"));
                }
                _ => return read_data(&response).map(|data| Some(data.to_vec())),
            }
        }
    }

    /// [`super::Card::sign`] in this transaction.
    pub(super) fn sign(
        &mut self,
        profile: &KeyProfile,
        scheme: Scheme,
        data: &[u8],
        mut regain: impl FnMut(&mut Application<'_, 'a>) -> Result<bool>,
    ) -> Result<Vec<u8>> {
        if !self.is_selected() {
            self.select()?;
        }
        let refusal = match self.compute_signature(profile, scheme, data) {
            Err(refusal @ Error::Status { .. }) => refusal,
            result => return result,
        };
        let was_certain = self.is_certain();
        if !was_certain {
            self.select()?;
        }
        // What a lost login is told by, here or in another application; any other answer may have another reason.
        let lost = match refusal {
            Error::Status { sw: Sw::NOT_VERIFIED | Sw::NO_CURRENT_EF | Sw::NOT_FOUND, .. } => true,
            Error::Status { sw: Sw::KEY_NOT_FOUND | Sw::UNKNOWN_INS | Sw::UNKNOWN_CLA, .. } => !was_certain,
            _ => false,
        };
        if lost && regain(&mut Application::new(self))? {
            return self.compute_signature(profile, scheme, data);
        }
        if was_certain {
            return Err(refusal);
        }
        match self.compute_signature(profile, scheme, data) {
            Err(refusal) if refusal.is_not_verified() && !lost => {
                if regain(&mut Application::new(self))? {
                    self.compute_signature(profile, scheme, data)
                } else {
                    Err(refusal)
                }
            }
            result => result,
        }
    }

    fn compute_signature(&mut self, key: &KeyProfile, scheme: Scheme, data: &[u8]) -> Result<Vec<u8>> {
        let mut response = self.send_signature(key, scheme, data)?;
        if response.sw == Sw::WRONG_P1P2 && self.certain {
            if self.state.abilities.short_ids.is_none() {
                // P1 or P2? The query says whether it was P2, and takes nothing secret to ask.
                self.query_tries(key)?;
                response = self.send_signature(key, scheme, data)?;
            }
            if response.sw == Sw::WRONG_P1P2 && scheme == Scheme::Pss {
                self.state.abilities.pss = Some(false);
                self.state.abilities.save();
                return Err(Error::NoPss);
            }
        }
        if response.sw.is_ok() {
            Ok(response.data)
        } else {
            Err(Error::Status { ins: apdu::COMPUTE_DIGITAL_SIGNATURE, sw: response.sw })
        }
    }

    fn send_signature(&mut self, key: &KeyProfile, scheme: Scheme, data: &[u8]) -> Result<Response> {
        let target = match self.state.profile.addressing {
            Addressing::ShortId => self.target(key.key_ef)?,
            Addressing::CurrentKey => match self.talk.select_ef(key.key_ef)? {
                Sw::OK => Target::DefaultKey,
                sw => return Err(Error::Status { ins: apdu::SELECT, sw }),
            },
        };
        self.talk.exchange(&commands::compute_signature(target, scheme, data))
    }

    /// How a command names `ef`: by short id unless this card is known not to take them; then it is selected now.
    fn target(&mut self, ef: u8) -> Result<Target> {
        if self.state.abilities.short_ids != Some(false) {
            return Ok(Target::ShortId(ef));
        }
        match self.talk.select_ef(ef)? {
            Sw::OK => Ok(Target::CurrentEf),
            sw => Err(Error::Status { ins: apdu::SELECT, sw }),
        }
    }

    /// Learns that the card takes no short EF ids from `sw`, the answer to a command with one and with nothing secret in
    /// it. Only right after SELECT AID: in another application the same answer means nothing.
    fn learn_short_ids(&mut self, target: Target, sw: Sw) -> bool {
        let learns = self.certain
            && sw == Sw::WRONG_P1P2
            && matches!(target, Target::ShortId(_))
            && self.state.abilities.short_ids.is_none();
        if learns {
            self.state.abilities.short_ids = Some(false);
            self.state.abilities.save();
        }
        learns
    }
}

/// The data of a READ BINARY; "end of file reached" (6282) with data is an answer too.
fn read_data(response: &Response) -> Result<&[u8]> {
    match response.sw {
        Sw::OK => Ok(&response.data),
        Sw(0x6282) if !response.data.is_empty() => Ok(&response.data),
        sw => Err(Error::Status { ins: apdu::READ_BINARY, sw }),
    }
}

/// Size of the SEQUENCE that a file begins with; `None` where it begins with anything else, such as filler.
fn object_len(head: &[u8]) -> Option<usize> {
    Header::parse(head).filter(|header| header.tag == tlv::SEQUENCE)?.total_len()
}

/// What a status word says of a try counter; `None` if nothing.
fn tries_of(sw: Sw) -> Option<Tries> {
    match sw {
        Sw::NOT_FOUND | Sw::KEY_NOT_FOUND => Some(Tries::NotInitialised),
        sw if sw.is_locked() => Some(Tries::Locked),
        sw => sw.tries_left().map(Tries::Left),
    }
}

/// Orders counters: fewer tries, lower.
fn rank(tries: Tries) -> u8 {
    match tries {
        Tries::Locked | Tries::NotInitialised | Tries::Uncounted => 0,
        Tries::Left(left) => left,
    }
}
