//! Personalisation as the municipal window does it, in two steps: at the holder's terminal the card makes its keys and
//! takes the secrets the holder chose; then the clerk has certificates issued for those keys and writes them.

use super::authority::Authority;
use super::certificate::{self, CertificateError};
use super::date::{self, Date};
use super::image::{Certificates, FORMAT, Image, Kind, Pair, Secret, Secrets};
use super::private_key::PrivateKey;
use super::resident::{Birth, Resident, Unfit};
use super::seed::Seed;
use super::switches::Switches;
use der::DateTime;
use p384::pkcs8;
use std::time::Duration;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Validity;

/// Tries of a PIN of four digits.
const PIN_TRIES: u8 = 3;
/// Tries of the signature password.
const PASSWORD_TRIES: u8 = 5;
const DIGITS: &str = "0123456789";
const CAPITALS_AND_DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// What card to make, and for whom. The same order makes the same card, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub resident: Resident,
    /// Its authentication PIN; a Juki card has none whatever is said here.
    pub auth_secret: Choice,
    /// Its signature password.
    pub sign_secret: Choice,
    /// Whether an authentication certificate is issued; not for a Juki card.
    pub auth_certificate: bool,
    /// Whether a signature certificate is issued: not to those under 15, wards and holders of a PIN-less card.
    pub sign_certificate: bool,
    /// Whether the CA's certificate is written that goes with the authentication certificate; if not said, with that one.
    pub auth_ca: Option<bool>,
    /// The same for the signature certificate.
    pub sign_ca: Option<bool>,
    /// What all that is random about it comes from.
    pub seed: Seed,
    /// The moment of issue, in seconds since 1970 UTC.
    pub now: u64,
    /// The last day of the card itself, with which its certificates end if not before.
    pub expiry: Option<Date>,
    /// Its serial number, 16 printable characters; `None` has one made, which begins with 99.
    pub serial: Option<String>,
    /// How it behaves.
    pub switches: Switches,
}

/// What is chosen for a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Set(String),
    /// None: the file is there and locked for good, as on a PIN-less card.
    Locked,
    /// None: there is no such file.
    Absent,
}

/// Why an order cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The resident cannot be certified.
    #[error("{0}")]
    Resident(#[from] Unfit),
    /// The authentication PIN's form.
    #[error("the authentication PIN must have four digits")]
    AuthSecret,
    /// The signature password's form.
    #[error(
        "the signature password must have {min} to 16 characters of A-Z and 0-9, at least one letter and one digit"
    )]
    SignSecret {
        /// Fewest characters on this kind of card.
        min: usize,
    },
    /// The serial number's form.
    #[error("a serial number must have 16 printable ASCII characters")]
    Serial,
    /// A resident who is not born yet.
    #[error("the date of birth lies after the day of issue")]
    Unborn,
    /// A moment beyond the calendar.
    #[error("the moment of issue lies outside the years 1970 to 9980")]
    Now,
    /// A card that has run out.
    #[error("the card's last day lies before the day of issue")]
    Expired,
    /// No keys to certify.
    #[error("the card has no {0} key; the holder's step comes first")]
    NoKey(&'static str),
    /// A key that cannot be read: damaged, or of primes of unequal lengths.
    #[error("the card holds no usable {0} key; make a new card with: jpki card new")]
    UnusableKey(&'static str),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key could not be written.
    #[error("a key could not be encoded: {0}")]
    Key(#[from] pkcs8::Error),
}

impl Order {
    /// An order for nobody's card with PIN 1234 and password ABC123, as it comes.
    pub fn new(kind: Kind, seed: Seed, now: u64) -> Order {
        Order {
            kind,
            resident: Resident::default(),
            auth_secret: Choice::Set("1234".into()),
            sign_secret: Choice::Set("ABC123".into()),
            auth_certificate: true,
            sign_certificate: true,
            auth_ca: None,
            sign_ca: None,
            seed,
            now,
            expiry: None,
            serial: None,
            switches: Switches::default(),
        }
    }

    /// The authority this order's seed gives: one of its own, unless the caller has another.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn authority(&self) -> Result<Authority, CertificateError> {
        Authority::new(self.kind, &self.resident.prefecture, &self.seed.part("authority"), self.now)
    }

    /// The last day of its certificates (`words.md` §4).
    ///
    /// # Errors
    /// [`IssueError::Now`], [`IssueError::Expired`].
    pub fn last_day(&self) -> Result<Date, IssueError> {
        let today = Date::in_japan(self.now).filter(|today| today.year() <= 9980).ok_or(IssueError::Now)?;
        let birth = self.resident.birth;
        let last = match self.kind {
            Kind::Juki => today.three_years_less_a_day(),
            Kind::MyNumber | Kind::Android | Kind::Ios => today.birthday(5, birth.month, birth.day),
            // Ten years, five for who is under 18 (`card.md` §6.3). That birthdays are counted is a guess.
            Kind::Next => today.birthday(if is_minor(birth, today) { 5 } else { 10 }, birth.month, birth.day),
        };
        let last = last.ok_or(IssueError::Now)?;
        match self.expiry {
            Some(expiry) if expiry < today => Err(IssueError::Expired),
            Some(expiry) => Ok(last.min(expiry)),
            None => Ok(last),
        }
    }

    fn check(&self) -> Result<(), IssueError> {
        self.resident.check()?;
        self.last_day()?;
        let Birth { year, month, day, .. } = self.resident.birth;
        // What is not known is 0, and so before everything.
        if Date::in_japan(self.now).is_none_or(|today| (year, month, day) > today.parts()) {
            return Err(IssueError::Unborn);
        }
        if let Choice::Set(pin) = &self.auth_secret
            && (pin.len() != 4 || !pin.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(IssueError::AuthSecret);
        }
        let min = self.kind.shortest_password();
        if let Choice::Set(password) = &self.sign_secret {
            let digits = password.bytes().filter(u8::is_ascii_digit).count();
            let letters = password.bytes().filter(u8::is_ascii_uppercase).count();
            let len = password.len();
            if !(min..=16).contains(&len) || digits + letters != len || digits == 0 || letters == 0 {
                return Err(IssueError::SignSecret { min });
            }
        }
        match &self.serial {
            Some(serial) if serial.len() != 16 || !serial.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(IssueError::Serial)
            }
            _ => Ok(()),
        }
    }

    fn secret(&self, choice: &Choice, purpose: &str, tries: u8) -> Option<Secret> {
        match choice {
            Choice::Set(value) => Some(Secret::new(value, tries)),
            // Locked for good, and nobody knows it either.
            Choice::Locked => Some(Secret::new(&self.seed.text(purpose, 16, CAPITALS_AND_DIGITS), tries).locked()),
            Choice::Absent => None,
        }
    }
}

/// A finished card: both steps, by the order's own authority.
///
/// # Errors
/// [`IssueError`].
pub fn personalise(order: &Order) -> Result<Image, IssueError> {
    let mut image = holder_step(order)?;
    clerk_step(&mut image, order, &order.authority()?)?;
    Ok(image)
}

/// The holder's step: keys made inside the card, secrets set. The card has no certificates yet, and says so.
///
/// # Errors
/// [`IssueError`], but for [`IssueError::NoKey`] and [`IssueError::UnusableKey`].
pub fn holder_step(order: &Order) -> Result<Image, IssueError> {
    order.check()?;
    let make = |purpose: &str| -> Result<String, IssueError> {
        Ok(PrivateKey::new(order.kind.algorithm(), &order.seed, purpose)?.to_pem()?.to_string())
    };
    let keys = std::thread::scope(|scope| -> Result<Pair, IssueError> {
        let auth = order.kind.has_auth().then(|| scope.spawn(|| make("auth key")));
        let sign = make("sign key")?;
        // A panic in the thread goes on in this one.
        let auth = auth.map(|auth| auth.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok(Pair { auth: auth.transpose()?, sign: Some(sign) })
    })?;
    let auth = order.secret(&order.auth_secret, "auth secret", PIN_TRIES).filter(|_| order.kind.has_auth());
    Ok(Image {
        format: FORMAT.into(),
        kind: order.kind,
        serial: order.serial.clone().unwrap_or_else(|| format!("99{}", order.seed.text("token", 14, DIGITS))),
        switches: order.switches.clone(),
        secrets: Secrets {
            sign: order.secret(&order.sign_secret, "sign secret", PASSWORD_TRIES),
            // At the window all four-digit PINs are usually chosen alike.
            text: auth.clone().filter(|_| order.kind == Kind::MyNumber),
            auth,
        },
        keys,
        certificates: Certificates::default(),
    })
}

/// The clerk's step: certificates for the card's own keys, written with their CA's.
///
/// # Errors
/// [`IssueError`].
pub fn clerk_step(image: &mut Image, order: &Order, authority: &Authority) -> Result<(), IssueError> {
    order.check()?;
    let from = DateTime::from_unix_duration(Duration::from_secs(order.now)).map_err(|_| IssueError::Now)?;
    let to = order.last_day()?.end().ok_or(IssueError::Now)?;
    let validity = Validity::new(from.into(), to.into());
    let resident = &order.resident;
    let mut certificates = Certificates::default();
    if order.auth_certificate && order.kind.has_auth() {
        let opaque = format!("PRACTICE{}", order.seed.text("auth subject", 6, CAPITALS_AND_DIGITS));
        let subject = certificate::auth_subject(&opaque, resident).map_err(CertificateError::from)?;
        let extensions = certificate::auth_extensions(&authority.auth.name(), resident)?;
        let key = public_key(image.kind, &image.keys.auth, "authentication")?;
        let seed = order.seed.part("auth certificate");
        certificates.auth = Some(authority.auth.issue(key, subject, validity, &seed, extensions)?);
    }
    if order.auth_ca.unwrap_or(order.auth_certificate) && order.kind.has_auth() {
        certificates.auth_ca = Some(authority.auth.to_pem()?);
    }
    if order.sign_certificate {
        let instant = date::in_japan(order.now).ok_or(IssueError::Now)?;
        let count = order.seed.text("sign subject", 5, DIGITS);
        let subject = certificate::sign_subject(&instant, &count, resident).map_err(CertificateError::from)?;
        let extensions = certificate::sign_extensions(&authority.sign.name(), resident)?;
        let key = public_key(image.kind, &image.keys.sign, "signature")?;
        let seed = order.seed.part("sign certificate");
        certificates.sign = Some(authority.sign.issue(key, subject, validity, &seed, extensions)?);
    }
    if order.sign_ca.unwrap_or(order.sign_certificate) {
        certificates.sign_ca = Some(authority.sign.to_pem()?);
    }
    image.certificates = certificates;
    Ok(())
}

/// Whether somebody born then is under 18. What is not known is 0, and so long ago.
fn is_minor(Birth { year, month, day, .. }: Birth, today: Date) -> bool {
    let (this_year, this_month, today) = today.parts();
    (year, month, day) > (this_year - 18, this_month, today)
}

fn public_key(kind: Kind, pem: &Option<String>, name: &'static str) -> Result<SubjectPublicKeyInfoOwned, IssueError> {
    let pem = pem.as_ref().ok_or(IssueError::NoKey(name))?;
    let key = PrivateKey::from_pem(kind.algorithm(), pem).map_err(|_| IssueError::UnusableKey(name))?;
    Ok(key.public().map_err(CertificateError::from)?)
}
