//! `jpki card new`: a practice card's file, made in the two steps of the municipal window, or in either of them.

use super::report::of_practice_card;
use super::{Exit, Failure, Result, output, shown};
use crate::emulator::PracticeCard;
use crate::emulator::date::Date;
use crate::emulator::image::{Kind, Secret, Secrets};
use crate::emulator::issue::{self, Choice, Order};
use crate::emulator::report::{self, CardReport};
use crate::emulator::resident::{Birth, Era, Resident, Sex, Written};
use crate::emulator::seed::Seed;
use crate::emulator::store::Store;
use crate::emulator::switches::Switches;
use clap::ValueEnum;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The authentication PIN of a card whose holder chose none.
const PIN: &str = "1234";
/// The signature password of such a card.
const PASSWORD: &str = "PRACTICE1";

/// What is told with a card of the kind that nobody has seen yet.
const GUESS: [&str; 2] = [
    "What the next card will be is not published. All but ECDSA of 384 bits with SHA-384, two secrets of which the password",
    "makes the PIN unnecessary, and certificates for ten years is a guess of this program's.",
];

/// What `jpki card new` is asked. Whatever is not said about the resident is nobody's.
#[derive(clap::Args)]
pub struct Arguments {
    /// The file to make. With `--step clerk`, the file that the holder's step made.
    file: PathBuf,
    /// What the card is: mynumber, juki, android, ios, or next, a guess at the next card, whose keys are not RSA; mynumber if
    /// not given.
    #[arg(long)]
    kind: Option<Kind>,
    /// Only one step of the window: the holder's makes keys and sets secrets, the clerk's writes certificates.
    #[arg(long, value_enum)]
    step: Option<Step>,
    /// The authentication PIN, four digits; 1234 if not given.
    #[arg(long, value_name = "DIGITS")]
    pin: Option<String>,
    /// The signature password, capitals and digits; PRACTICE1 if not given.
    #[arg(long)]
    password: Option<String>,
    /// A key of which there is to be no certificate.
    #[arg(long, value_enum, value_name = "KEY")]
    without: Vec<Key>,
    /// A secret that is to be locked for good, as on a card without PIN.
    #[arg(long, value_enum, value_name = "KEY")]
    locked: Vec<Key>,
    #[command(flatten)]
    resident: ResidentArguments,
    /// The card's last day; its certificates end with it if not before.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    expiry: Option<Date>,
    /// The moment of issue in UTC; now if not given.
    #[arg(long, value_name = "YYYY-MM-DDThh:mm:ssZ", value_parser = moment)]
    now: Option<u64>,
    /// Any text: the same version makes of the same seed and the same moment the same card.
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// The card's serial number, 16 characters.
    #[arg(long)]
    serial: Option<String>,
    /// A card that answers as the one in this report did: what `jpki doctor --report` wrote.
    #[arg(long, value_name = "REPORT", conflicts_with_all = ["kind", "step", "without", "locked"])]
    from_report: Option<PathBuf>,
    /// A switch of the card's behaviour, as its file has it: `short-ids=false`, `filler="zero"`. Unless it is told
    /// `first-command-fails=false`, the first command after power-up gets 6F00, as on most cards, and is not carried out.
    #[arg(long, value_name = "NAME=VALUE")]
    switch: Vec<String>,
}

/// The holder of the card.
#[derive(clap::Args)]
struct ResidentArguments {
    /// Family and given name, a full-width space between.
    #[arg(long)]
    name: Option<String>,
    /// Characters of the name that stand in for others, counted from 1.
    #[arg(long, value_name = "POSITIONS", value_delimiter = ',')]
    name_substitutes: Vec<usize>,
    /// Address, at most 200 characters.
    #[arg(long)]
    address: Option<String>,
    /// Characters of the address that stand in for others, counted from 1.
    #[arg(long, value_name = "POSITIONS", value_delimiter = ',')]
    address_substitutes: Vec<usize>,
    /// Date of birth, its era found by the date; or with an era digit, EYYYYMMDD, and zeros for what is not known.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = birth)]
    birth: Option<Birth>,
    /// Sex.
    #[arg(long, value_enum)]
    sex: Option<SexArgument>,
    /// Prefecture in Latin letters.
    #[arg(long, value_name = "Xxx-ken")]
    prefecture: Option<String>,
    /// Municipality in Latin letters.
    #[arg(long, value_name = "Yyy-shi")]
    municipality: Option<String>,
    /// The municipality's code, five digits.
    #[arg(long, value_name = "CODE")]
    municipality_code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    Holder,
    Clerk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Key {
    Auth,
    Sign,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SexArgument {
    Male,
    Female,
    Unknown,
}

/// Runs `jpki card new`.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut order = order(arguments)?;
    let file = &arguments.file;
    let report = arguments.from_report.as_deref().map(report).transpose()?;
    if let Some((path, report)) = &report {
        report.apply(&mut order).map_err(|error| failed(format!("{}: {error}", shown(path))))?;
    }
    // After the report's, since these are a person's wish.
    order.switches = switched(&order.switches, &arguments.switch)?;
    match arguments.step {
        None => {
            let mut image = issue::personalise(&order).map_err(failed)?;
            let mut differences = Vec::new();
            if let Some((_, report)) = &report {
                report.settle(&mut image);
                let made = CardReport::parse(&of_practice_card(&image)?).map_err(failed)?;
                differences = report.differences(&made);
            }
            PracticeCard::create(file, &image).map_err(failed)?;
            if !differences.is_empty() {
                output::warn("the practice card differs from the report where no switch makes it the same:");
            }
            differences.iter().for_each(|line| output::warn(line));
            let what = format!("{}: a practice card ({}), of no use in real procedures.", shown(file), order.kind);
            let told = [secrets(&image.secrets), format!("Look at it with: jpki card show {}", shown(file))];
            output::lines([what].into_iter().chain(guess(order.kind)).chain(told))
        }
        Some(Step::Holder) => {
            PracticeCard::create(file, &issue::holder_step(&order).map_err(failed)?).map_err(failed)?;
            let what = format!("{}: a practice card with keys and secrets, and without certificates.", shown(file));
            let told = format!("The clerk's step writes them: jpki card new --step clerk {}", shown(file));
            output::lines([what].into_iter().chain(guess(order.kind)).chain([told]))
        }
        Some(Step::Clerk) => {
            of_the_holder(arguments)?;
            let mut store = Store::open(file).map_err(failed)?;
            // What the card is decides who certifies it. That is known before the card is locked, since the authority's
            // keys take a while to make, and the card never becomes another one.
            let order = Order { kind: store.read().map_err(failed)?.kind, ..order };
            let authority = order.authority().map_err(failed)?;
            let issued = store
                .update(|update| match issue::clerk_step(&mut update.image, &order, &authority) {
                    Ok(()) => update.save().map(Ok),
                    Err(error) => Ok(Err(error)),
                })
                .map_err(failed)?;
            issued.map_err(failed)?;
            output::lines([format!("{}: the certificates are written.", shown(file))])
        }
    }
}

/// What is told of a card that is a guess.
fn guess(kind: Kind) -> impl Iterator<Item = String> {
    GUESS.into_iter().filter(move |_| kind == Kind::Next).map(str::to_owned)
}

/// What a new card's secrets are, those that somebody chose left out.
fn secrets(secrets: &Secrets) -> String {
    let told = |secret: &Option<Secret>, otherwise: &'static str| match secret {
        None => "none",
        Some(secret) if secret.tries == 0 => "locked",
        Some(secret) if secret.matches(otherwise.as_bytes()) => otherwise,
        Some(_) => "as you chose",
    };
    format!("PIN: {}; signature password: {}.", told(&secrets.auth, PIN), told(&secrets.sign, PASSWORD))
}

/// Refuses what only the holder's step can do: the clerk's would do nothing with it.
fn of_the_holder(arguments: &Arguments) -> Result<()> {
    let given = [
        ("--kind", arguments.kind.is_some()),
        ("--pin", arguments.pin.is_some()),
        ("--password", arguments.password.is_some()),
        ("--locked", !arguments.locked.is_empty()),
        ("--serial", arguments.serial.is_some()),
        ("--switch", !arguments.switch.is_empty()),
    ];
    let given: Vec<_> = given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
    if given.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("the clerk's step writes certificates only, and takes no {}", given.join(", ")),
    )
    .next("What the card is, its secrets and its behaviour are settled by the holder's step."))
}

/// The report in `path`.
fn report(path: &Path) -> Result<(&Path, CardReport)> {
    let mut text = String::new();
    // One byte more than the longest, so that what is longer is told so, and not read to its end.
    let most = report::LONGEST as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    read.map_err(|error| failed(format!("{}: {error}", shown(path))))?;
    let report = CardReport::parse(&text).map_err(|error| failed(format!("{}: {error}", shown(path))))?;
    Ok((path, report))
}

fn order(arguments: &Arguments) -> Result<Order> {
    let seed = match &arguments.seed {
        Some(text) => Seed::from(text.as_str()),
        None => Seed::random().map_err(failed)?,
    };
    let now = match arguments.now {
        Some(now) => now,
        None => SystemTime::now().duration_since(UNIX_EPOCH).map_err(failed)?.as_secs(),
    };
    let secret = |key, chosen: &Option<String>, otherwise: &str| match arguments.locked.contains(&key) {
        true => Choice::Locked,
        false => Choice::Set(chosen.as_deref().unwrap_or(otherwise).to_ascii_uppercase()),
    };
    Ok(Order {
        resident: resident(&arguments.resident)?,
        auth_secret: secret(Key::Auth, &arguments.pin, PIN),
        sign_secret: secret(Key::Sign, &arguments.password, PASSWORD),
        auth_certificate: !arguments.without.contains(&Key::Auth),
        sign_certificate: !arguments.without.contains(&Key::Sign),
        expiry: arguments.expiry,
        serial: arguments.serial.clone(),
        ..Order::new(arguments.kind.unwrap_or(Kind::MyNumber), seed, now)
    })
}

/// These switches, but for those that `lines` set otherwise.
fn switched(switches: &Switches, lines: &[String]) -> Result<Switches> {
    let merged = || {
        let set: toml::Table = toml::from_str(&lines.join("\n"))?;
        let mut all = toml::Table::try_from(switches).map_err(serde::de::Error::custom)?;
        for (name, value) in set {
            match (all.get_mut(&name), value) {
                (Some(toml::Value::Table(old)), toml::Value::Table(new)) => old.extend(new),
                (_, value) => drop(all.insert(name, value)),
            }
        }
        all.try_into::<Switches>()
    };
    merged().map_err(|error: toml::de::Error| {
        Failure::new(Exit::Usage, format!("there is no such switch: {}", error.message()))
            .next("A practice card's file lists them all, with their values.")
    })
}

fn resident(arguments: &ResidentArguments) -> Result<Resident> {
    let nobody = Resident::default();
    Ok(Resident {
        name: written(&arguments.name, &arguments.name_substitutes, nobody.name)?,
        address: written(&arguments.address, &arguments.address_substitutes, nobody.address)?,
        birth: arguments.birth.unwrap_or(nobody.birth),
        sex: arguments.sex.map_or(nobody.sex, |sex| match sex {
            SexArgument::Male => Sex::Male,
            SexArgument::Female => Sex::Female,
            SexArgument::Unknown => Sex::Unknown,
        }),
        prefecture: arguments.prefecture.clone().unwrap_or(nobody.prefecture),
        municipality: arguments.municipality.clone().unwrap_or(nobody.municipality),
        municipality_code: arguments.municipality_code.clone().unwrap_or(nobody.municipality_code),
    })
}

/// A text with its substitutes; people count characters from 1.
fn written(text: &Option<String>, substitutes: &[usize], nobody: Written) -> Result<Written> {
    let text = text.clone().unwrap_or(nobody.text);
    let length = text.chars().count();
    match substitutes.iter().find(|position| !(1..=length).contains(*position)) {
        Some(position) => Err(Failure::new(
            Exit::Usage,
            format!("there is no character {position} in a text of {length}, counted from 1"),
        )),
        None => Ok(Written { text, substituted: substitutes.iter().map(|position| position - 1).collect() }),
    }
}

/// `YYYY-MM-DD`.
fn day(text: &str) -> std::result::Result<Date, String> {
    let parts = numbers(text).ok_or("write it as YYYY-MM-DD")?;
    Date::new(parts.0, parts.1, parts.2).ok_or_else(|| "there is no such day".into())
}

/// `YYYY-MM-DD`, or `EYYYYMMDD`.
fn birth(text: &str) -> std::result::Result<Birth, String> {
    if let Some((year, month, day)) = numbers(text) {
        return Ok(Birth { era: Era::of(year, month, day), year, month, day });
    }
    let coded = (text.len() == 9 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.split_at(1));
    let (era, date) = coded.ok_or("write it as YYYY-MM-DD, or as EYYYYMMDD with the digit of an era")?;
    let era = match era {
        "0" => Era::None,
        "1" => Era::Meiji,
        "2" => Era::Taisho,
        "3" => Era::Showa,
        "4" => Era::Heisei,
        "5" => Era::Reiwa,
        _ => return Err("the digits of the eras are 1 to 5, or 0 for none".into()),
    };
    let number = |range: std::ops::Range<usize>| date.get(range).and_then(|digits| digits.parse::<u16>().ok());
    match (number(0..4), number(4..6), number(6..8)) {
        (Some(year), Some(month), Some(day)) => Ok(Birth { era, year, month: month as u8, day: day as u8 }),
        _ => Err("write it as EYYYYMMDD".into()),
    }
}

fn numbers(text: &str) -> Option<(u16, u8, u8)> {
    let mut parts = text.splitn(3, '-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A moment of RFC 3339 in UTC, as seconds since 1970.
fn moment(text: &str) -> std::result::Result<u64, String> {
    let moment: der::DateTime = text.parse().map_err(|_| "write it as YYYY-MM-DDThh:mm:ssZ, from 1970 on")?;
    Ok(moment.unix_duration().as_secs())
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}
