//! What a powered practice card does with a command: take it apart ([`request`]), hold it against the card's state and
//! switches, act, answer. Each rule has its source in `card.md` and a line in `tests/scripts` that fails without it.

mod contents;
mod files;
mod request;
mod secrets;
mod signature;

use super::image::{Kind, SecretName};
use super::seed::Seed;
use super::store::{ImageError, Store};
use super::switches::{AbsentSecret, Atr, Fci, Switches, Unwritten, WrongLength};
use crate::apdu::{Command, Hex, READ_BINARY, Response, SELECT, Sw, VERIFY};
use contents::Contents;
use files::{Application, CertificateName, File};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use request::{Request, Target};

/// GET DATA tag of the contact ATR (`card.md` §1.1).
const CONTACT_ATR: u16 = 0x5F51;
/// Length of an answer to INTERNAL AUTHENTICATE: an RSA signature's, of 2048 bits.
const AUTHENTICATION_BYTES: usize = 256;
/// Secure messaging in the JPKI application.
const NO_SECURE_MESSAGING_HERE: Sw = Sw(0x69FC);
/// No security environment.
const NO_SECURITY_ENVIRONMENT: Sw = Sw(0x66F1);
/// The card's memory failed: here, the card file.
const MEMORY_FAILURE: Sw = Sw(0x6581);

/// A card that has power.
pub struct Applet {
    store: Store,
    contents: Contents,
    state: State,
    random: ChaCha20Rng,
}

/// What is lost with the power.
struct State {
    application: Application,
    /// The application whose secrets `verified` is about: a warm reset leaves the application, yet not the status.
    secured: Application,
    current: Option<u16>,
    verified: Vec<SecretName>,
}

impl State {
    const AT_POWER_ON: State =
        State { application: Application::Issuer, secured: Application::Issuer, current: None, verified: Vec::new() };

    fn select(&mut self, application: Application) {
        if application != self.secured {
            self.verified.clear();
        }
        self.application = application;
        self.secured = application;
        self.current = None;
    }
}

impl Applet {
    /// Reads the card's contents. The random numbers begin at `seed`.
    pub fn load(store: Store, seed: [u8; 32]) -> Result<Applet, ImageError> {
        let contents = Contents::load(&store)?;
        Ok(Applet { store, contents, state: State::AT_POWER_ON, random: ChaCha20Rng::from_seed(seed) })
    }

    /// Begins anew, with what the card file says now.
    pub fn power_on(&mut self, seed: [u8; 32]) -> Result<(), ImageError> {
        self.contents = Contents::load(&self.store)?;
        self.random = ChaCha20Rng::from_seed(seed);
        self.power_off();
        Ok(())
    }

    /// Forgets what is volatile.
    pub fn power_off(&mut self) {
        self.state = State::AT_POWER_ON;
    }

    /// Warm reset: the application is left; what was verified stays (`card.md` §3.7), unless this card is switched.
    pub fn reset(&mut self) {
        if self.switches().warm_reset_leaves {
            self.state.application = Application::Issuer;
        }
        self.state.current = None;
        if self.switches().warm_reset_clears {
            self.state.verified.clear();
        }
    }

    /// How this card behaves.
    pub fn switches(&self) -> &Switches {
        &self.contents.image.switches
    }

    /// Answers one command.
    pub fn answer(&mut self, command: &Command) -> Response {
        let answer = self.gate(command).and_then(|request| self.act(request));
        match answer {
            Ok(data) => Response { data, sw: Sw::OK },
            Err(sw) => Response { data: Vec::new(), sw },
        }
    }

    fn gate<'a>(&self, command: &'a Command) -> Result<Request<'a>, Sw> {
        if command.extended && !self.switches().extended_length {
            return Err(Sw::WRONG_LENGTH);
        }
        let request = request::parse(command)?;
        let short = match &request {
            Request::Read { target, .. } | Request::Verify { target, .. } | Request::Change { target, .. } => {
                matches!(target, Target::Short(_))
            }
            Request::InternalAuthenticate { key, .. } => matches!(key, Target::Short(_)),
            Request::Sign { key, .. } => matches!(key, Some(Target::Short(_))),
            _ => false,
        };
        let incomplete = match &request {
            Request::Read { le, .. } => le.is_none(),
            Request::Change { new, .. } => new.is_none(),
            Request::Sign { input, le, .. } => input.is_empty() || self.lacks(*le),
            _ => false,
        };
        if incomplete && self.switches().wrong_length == WrongLength::BeforePin {
            return Err(Sw::WRONG_LENGTH);
        }
        if short && !self.switches().short_ids { Err(Sw::WRONG_P1P2) } else { Ok(request) }
    }

    /// Whether a signature's Le is missing that this card looks at.
    fn lacks(&self, le: Option<usize>) -> bool {
        le.is_none() && self.switches().signature_le_checked
    }

    fn act(&mut self, request: Request<'_>) -> Result<Vec<u8>, Sw> {
        match request {
            Request::SelectApplication { aid, fci } => self.select_application(aid, fci),
            Request::SelectFile(id) => self.select_file(id),
            Request::SelectById => Err(Sw::NOT_FOUND),
            Request::SelectNothing if self.state.application == Application::Issuer => Err(Sw::WRONG_P1P2),
            Request::SelectNothing => Ok(Vec::new()),
            Request::Read { target, offset, le } => self.read(target, offset, le),
            Request::Verify { target, secret: None } => Err(self.query(target)),
            Request::Verify { target, secret: Some(secret) } => self.verify(target, secret),
            Request::Change { target, new } => self.change(target, new),
            Request::Sign { scheme, key, input, le } => self.sign(scheme, key, input, le),
            Request::Challenge { le } => Ok(self.challenge(le)),
            Request::Data { tag, le } => self.data_object(tag, le),
            Request::InternalAuthenticate { key, challenge, le } => self.internal_authenticate(key, challenge, le),
            Request::SetSessionKey => Err(match self.state.application {
                Application::Jpki | Application::Next => Sw::NOT_VERIFIED,
                Application::Common | Application::Surface => NO_SECURITY_ENVIRONMENT,
                Application::Text if self.switches().text_session_key => NO_SECURITY_ENVIRONMENT,
                _ => Sw::UNKNOWN_INS,
            }),
            Request::LastCommand if self.contents.image.kind == Kind::Ios => Ok(Vec::new()),
            Request::LastCommand => Err(Sw::WRONG_LENGTH),
            Request::SecureMessaging { ins } => Err(match (self.state.application, ins) {
                (_, SELECT) => Sw::NO_SECURE_MESSAGING,
                (Application::Jpki | Application::Next, READ_BINARY | VERIFY) => NO_SECURE_MESSAGING_HERE,
                _ => Sw::NO_SECURE_MESSAGING,
            }),
        }
    }

    fn select_application(&mut self, aid: &[u8], fci: Option<usize>) -> Result<Vec<u8>, Sw> {
        let application = Application::of(self.contents.image.kind)
            .iter()
            .copied()
            .filter(|application| *application != Application::Issuer || self.switches().isd)
            .find(|application| application.aid().starts_with(aid))
            .ok_or(Sw::NOT_FOUND)?;
        let mut template = Vec::new();
        if let (Fci::Template, Some(le)) = (self.switches().fci, fci) {
            let aid = application.aid();
            template.extend([0x6F, aid.len() as u8 + 2, 0x84, aid.len() as u8]);
            template.extend_from_slice(aid);
            if le < template.len() {
                return Err(Sw::WRONG_LENGTH);
            }
        }
        self.state.select(application);
        Ok(template)
    }

    fn select_file(&mut self, id: u16) -> Result<Vec<u8>, Sw> {
        self.file(id).ok_or(Sw::NOT_FOUND)?;
        self.state.current = Some(id);
        Ok(Vec::new())
    }

    fn read(&mut self, target: Target, offset: usize, le: Option<usize>) -> Result<Vec<u8>, Sw> {
        let (id, file) = self.resolve(target, Sw::NOT_FOUND)?;
        let le = le.filter(|le| *le != 256 || self.switches().read_le_zero).ok_or(Sw::WRONG_LENGTH);
        if self.switches().wrong_length == WrongLength::BeforePin {
            le?;
        }
        let contents = match file {
            File::Certificate(name) => {
                if self.certificate_needs(name).is_some_and(|secret| !self.is_open(secret)) {
                    return Err(Sw::NOT_VERIFIED);
                }
                self.contents.certificate(name)
            }
            File::TokenInfo => &self.contents.token_info,
            File::Status => &self.contents.status,
            File::Protected => return Err(Sw::NOT_VERIFIED),
            File::Secret(_) | File::Blocked | File::Key(_) | File::Authentication | File::Internal => {
                return Err(Sw::WRONG_STRUCTURE);
            }
        };
        let le = le?;
        let rest = contents.get(offset..).filter(|rest| !rest.is_empty()).ok_or(Sw::WRONG_OFFSET)?;
        let data = rest.get(..le).unwrap_or(rest).to_vec();
        self.state.current = Some(id);
        Ok(data)
    }

    /// Whether what is behind that secret may be used. On the next card the verified password makes the PIN unnecessary; that
    /// the PIN cannot be changed without itself is a guess.
    fn is_open(&self, secret: SecretName) -> bool {
        let verified = |secret| self.state.verified.contains(&secret);
        let does_for_pin = self.contents.image.kind.password_does_for_pin();
        verified(secret) || secret == SecretName::Auth && does_for_pin && verified(SecretName::Sign)
    }

    /// The secret in front of a certificate.
    fn certificate_needs(&self, name: CertificateName) -> Option<SecretName> {
        let secret = match name {
            CertificateName::Sign => SecretName::Sign,
            CertificateName::Auth if self.contents.image.auth_certificate_needs_pin() => SecretName::Auth,
            _ => return None,
        };
        let open = !self.contents.has(name) && self.switches().unwritten_certificate == Unwritten::Open;
        (!open).then_some(secret)
    }

    fn challenge(&mut self, le: usize) -> Vec<u8> {
        let mut bytes = vec![0; le];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// The common application's key 0019 answers with no credential, those of the JPKI application never do. Nobody can
    /// hold its signature against anything, since its public half is on no card: any bytes will do, if the same challenge
    /// gets the same ones.
    fn internal_authenticate(&mut self, key: Target, challenge: &[u8], le: usize) -> Result<Vec<u8>, Sw> {
        if matches!(self.state.application, Application::Jpki | Application::Next) {
            return Err(Sw::NOT_VERIFIED);
        }
        let (id, file) = self.resolve(key, Sw::KEY_NOT_FOUND)?;
        if file != File::Authentication {
            return Err(Sw::KEY_NOT_FOUND);
        }
        let mut signature = vec![0; AUTHENTICATION_BYTES];
        if le < signature.len() {
            return Err(Sw::WRONG_LENGTH);
        }
        self.state.current = Some(id);
        Seed::from(self.contents.image.serial.as_str()).stream(&Hex(challenge).to_string()).fill_bytes(&mut signature);
        Ok(signature)
    }

    fn data_object(&self, tag: u16, le: usize) -> Result<Vec<u8>, Sw> {
        let answers = self.state.application != Application::Issuer || self.switches().contact_atr_at_power_on;
        match Atr::Contact.bytes() {
            [_initial, rest @ ..] if tag == CONTACT_ATR && answers => match le < rest.len() {
                true => Err(Sw::WRONG_LENGTH),
                false => Ok(rest.to_vec()),
            },
            _ => Err(Sw::KEY_NOT_FOUND),
        }
    }

    /// The file of that id in the current application, if this card has it.
    fn file(&self, id: u16) -> Option<File> {
        let image = &self.contents.image;
        let files = self.state.application.files(image.kind);
        let file = files.iter().find(|(own, _)| *own == id).map(|(_, file)| *file)?;
        let is_there = match file {
            File::Certificate(name) => {
                self.contents.has(name) || image.switches.unwritten_certificate != Unwritten::Missing
            }
            File::Status => image.switches.status_file,
            File::Secret(name) => image.secrets.named(name).is_some(),
            _ => true,
        };
        is_there.then_some(file)
    }

    /// The file a command acts on; `absent` where a short id names none.
    fn resolve(&self, target: Target, absent: Sw) -> Result<(u16, File), Sw> {
        let (id, absent) = match target {
            Target::Current => (self.state.current.ok_or(Sw::NO_CURRENT_EF)?, Sw::NO_CURRENT_EF),
            Target::Short(id) => (u16::from(id), absent),
        };
        Ok((id, self.file(id).ok_or(absent)?))
    }

    fn absent_secret(&self) -> Sw {
        match self.switches().absent_secret {
            AbsentSecret::FileNotFound => Sw::NOT_FOUND,
            AbsentSecret::KeyNotFound => Sw::KEY_NOT_FOUND,
        }
    }
}
