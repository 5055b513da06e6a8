//! The steps of a script: what processes of the user's, other programs and people do. Each can be taken in any state, in
//! which it may mean nothing, so that a script stays one whichever of its lines are left out.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use std::fmt;
use std::str::FromStr;

/// A choice of words, each written as one.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $word,)+ })
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(format!("{word:?} is none of {}", concat!($($word, " "),+).trim_end())),
                }
            }
        }
    };
}

words! {
    /// A process of the user's. It is started, initialised and given a session when a step needs it.
    Who { A = "A", B = "B", C = "C", }
}

words! {
    /// A token by its slot.
    Token { Auth0 = "auth0", Sign0 = "sign0", Auth1 = "auth1", Sign1 = "sign1", }
}

words! {
    /// What somebody types.
    Typed {
        Right = "right",
        Wrong = "wrong",
        /// Wrong too, and another.
        Worse = "worse",
        /// What was right before the last change, or will be after the next.
        Former = "former",
        /// Of no form that any secret has.
        Malformed = "malformed",
        /// The secret of the card's other token.
        OtherToken = "other-token",
        /// The same token's secret of the other card.
        OtherCard = "other-card",
    }
}

words! {
    /// How a process ends that does not call C_Finalize.
    End {
        Exit = "exit",
        /// `exit` in one thread while another signs.
        ExitBeside = "exit-beside",
        UnderscoreExit = "_exit",
        Kill = "kill",
        Terminate = "terminate",
        Interrupt = "interrupt",
    }
}

words! {
    /// What a forked child does.
    Child { Exit = "exit", UnderscoreExit = "_exit", Finalize = "finalize", Stay = "stay", }
}

words! {
    /// What a program does that has none of our files.
    Act {
        Select = "select",
        Reset = "reset",
        Unpower = "unpower",
        Hold = "hold",
        Release = "release",
        VerifyAuth = "verify-auth",
        VerifySign = "verify-sign",
        MistypeAuth = "mistype-auth",
        MistypeSign = "mistype-sign",
        ChangeAuth = "change-auth",
        ChangeSign = "change-sign",
    }
}

words! {
    /// A practice card.
    Name { X = "X", Y = "Y", }
}

words! {
    /// Where processes meet.
    Place { Runtime = "runtime", User = "user", Root = "root", State = "state", }
}

impl Token {
    pub fn slot(self) -> usize {
        self as usize
    }

    pub fn reader(self) -> usize {
        self.slot() / 2
    }

    /// Of its card: 0 the authentication key, 1 the signature key.
    pub fn key(self) -> usize {
        self.slot() % 2
    }
}

/// What one process does with one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed {
    pub who: Who,
    pub token: Token,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Open,
    Login(Typed),
    Sign,
    Logout,
    Close,
    CloseAll,
    /// C_SetPIN, with this old secret; the new one is the card's other ([`Typed::Former`]).
    SetPin(Typed),
    SlotInfo,
    TokenInfo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Do(Deed),
    /// Both at once: in two threads, if it is one process.
    Beside(Deed, Deed),
    Finalize(Who),
    End(Who, End),
    Stop(Who),
    Continue(Who),
    /// Whether the process is refused every further descriptor.
    Descriptors(Who, bool),
    Fork(Who, Child),
    Rival(usize, Act),
    Pull(usize),
    Put(usize, Name),
    /// Whether pcscd runs.
    Service(bool),
    /// A cleaner removes what lies in a place.
    Clean(Place),
    /// Whether a process that never goes on holds every lock alone.
    Hog(bool),
    /// Whether the file system of the meeting places is full.
    Full(bool),
    /// More time passes than a login may last.
    Wait,
    /// `jpki status`.
    Status,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Open => f.write_str("open"),
            What::Login(typed) => write!(f, "login {typed}"),
            What::Sign => f.write_str("sign"),
            What::Logout => f.write_str("logout"),
            What::Close => f.write_str("close"),
            What::CloseAll => f.write_str("close-all"),
            What::SetPin(typed) => write!(f, "set-pin {typed}"),
            What::SlotInfo => f.write_str("slot-info"),
            What::TokenInfo => f.write_str("token-info"),
        }
    }
}

/// `A auth0 login right`.
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.who, self.token, self.what)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |yes: bool, words: [&'static str; 2]| words[usize::from(!yes)];
        match self {
            Step::Do(deed) => write!(f, "{deed}"),
            Step::Beside(one, other) => write!(f, "{one} | {other}"),
            Step::Finalize(who) => write!(f, "{who} finalize"),
            Step::End(who, end) => write!(f, "{who} ends by {end}"),
            Step::Stop(who) => write!(f, "{who} stops"),
            Step::Continue(who) => write!(f, "{who} continues"),
            Step::Descriptors(who, starved) => write!(f, "{who} descriptors {}", or(*starved, ["none", "some"])),
            Step::Fork(who, child) => write!(f, "{who} forks {child}"),
            Step::Rival(reader, act) => write!(f, "rival {reader} {act}"),
            Step::Pull(reader) => write!(f, "pull {reader}"),
            Step::Put(reader, name) => write!(f, "put {reader} {name}"),
            Step::Service(runs) => write!(f, "service {}", or(*runs, ["starts", "stops"])),
            Step::Clean(place) => write!(f, "clean {place}"),
            Step::Hog(begins) => write!(f, "locks {}", or(*begins, ["held", "free"])),
            Step::Full(full) => write!(f, "disk {}", or(*full, ["full", "free"])),
            Step::Wait => f.write_str("wait"),
            Step::Status => f.write_str("status"),
        }
    }
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<What, String> {
        Ok(match text.split_once(' ').unwrap_or((text, "")) {
            ("open", "") => What::Open,
            ("login", typed) => What::Login(typed.parse()?),
            ("sign", "") => What::Sign,
            ("logout", "") => What::Logout,
            ("close", "") => What::Close,
            ("close-all", "") => What::CloseAll,
            ("set-pin", typed) => What::SetPin(typed.parse()?),
            ("slot-info", "") => What::SlotInfo,
            ("token-info", "") => What::TokenInfo,
            _ => return Err(format!("{text:?} is nothing to do with a token")),
        })
    }
}

impl FromStr for Deed {
    type Err = String;

    fn from_str(text: &str) -> Result<Deed, String> {
        let mut words = text.splitn(3, ' ');
        let mut word = || words.next().ok_or(format!("{text:?} has too few words"));
        Ok(Deed { who: word()?.parse()?, token: word()?.parse()?, what: word()?.parse()? })
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Step, String> {
        if let Some((one, other)) = line.split_once(" | ") {
            return Ok(Step::Beside(one.parse()?, other.parse()?));
        }
        let words: Vec<&str> = line.split(' ').collect();
        let reader = |word: &str| word.parse().map_err(|_| format!("{word:?} is no reader"));
        let reader =
            |word| reader(word).and_then(|reader: usize| (reader < 2).then_some(reader).ok_or("0 or 1".into()));
        Ok(match words[..] {
            ["wait"] => Step::Wait,
            ["status"] => Step::Status,
            ["pull", at] => Step::Pull(reader(at)?),
            ["put", at, name] => Step::Put(reader(at)?, name.parse()?),
            ["rival", at, act] => Step::Rival(reader(at)?, act.parse()?),
            ["service", word @ ("starts" | "stops")] => Step::Service(word == "starts"),
            ["clean", place] => Step::Clean(place.parse()?),
            ["locks", word @ ("held" | "free")] => Step::Hog(word == "held"),
            ["disk", word @ ("full" | "free")] => Step::Full(word == "full"),
            [who, "finalize"] => Step::Finalize(who.parse()?),
            [who, "ends", "by", end] => Step::End(who.parse()?, end.parse()?),
            [who, "stops"] => Step::Stop(who.parse()?),
            [who, "continues"] => Step::Continue(who.parse()?),
            [who, "descriptors", word @ ("none" | "some")] => Step::Descriptors(who.parse()?, word == "none"),
            [who, "forks", child] => Step::Fork(who.parse()?, child.parse()?),
            _ => Step::Do(line.parse()?),
        })
    }
}

/// Mostly the first reader and its card, on which logins meet.
fn reader() -> impl Strategy<Value = usize> {
    prop_oneof![5 => Just(0), 1 => Just(1)]
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::A), 4 => Just(Who::B), 1 => Just(Who::C)]
}

fn typed() -> impl Strategy<Value = Typed> {
    prop_oneof![20 => Just(Typed::Right), 5 => select(Typed::ALL)]
}

fn deed() -> impl Strategy<Value = Deed> {
    let what = prop_oneof![
        1 => Just(What::Open),
        10 => typed().prop_map(What::Login),
        8 => Just(What::Sign),
        6 => Just(What::Logout),
        2 => Just(What::Close),
        1 => Just(What::CloseAll),
        2 => typed().prop_map(What::SetPin),
        1 => Just(What::SlotInfo),
        2 => Just(What::TokenInfo),
    ];
    let token = (reader(), 0..2_usize).prop_map(|(reader, key)| Token::ALL[2 * reader + key]);
    (who(), token, what).prop_map(|(who, token, what)| Deed { who, token, what })
}

/// Any step, the more likely the more there is to be learnt from it.
pub fn step() -> impl Strategy<Value = Step> {
    let steps: Vec<(u32, BoxedStrategy<Step>)> = vec![
        (120, deed().prop_map(Step::Do).boxed()),
        (16, (deed(), deed()).prop_map(|(one, other)| Step::Beside(one, other)).boxed()),
        (6, who().prop_map(Step::Finalize).boxed()),
        (16, (who(), select(End::ALL)).prop_map(|(who, end)| Step::End(who, end)).boxed()),
        (5, who().prop_map(Step::Stop).boxed()),
        (6, who().prop_map(Step::Continue).boxed()),
        (2, who().prop_map(|who| Step::Descriptors(who, true)).boxed()),
        (4, who().prop_map(|who| Step::Descriptors(who, false)).boxed()),
        (8, (who(), select(Child::ALL)).prop_map(|(who, child)| Step::Fork(who, child)).boxed()),
        (16, (reader(), select(Act::ALL)).prop_map(|(reader, act)| Step::Rival(reader, act)).boxed()),
        (5, reader().prop_map(|reader| Step::Rival(reader, Act::Release)).boxed()),
        (2, reader().prop_map(Step::Pull).boxed()),
        (4, (reader(), select(Name::ALL)).prop_map(|(reader, name)| Step::Put(reader, name)).boxed()),
        (1, Just(Step::Service(false)).boxed()),
        (2, Just(Step::Service(true)).boxed()),
        (4, select(Place::ALL).prop_map(Step::Clean).boxed()),
        (2, Just(Step::Hog(true)).boxed()),
        (4, Just(Step::Hog(false)).boxed()),
        (2, Just(Step::Full(true)).boxed()),
        (4, Just(Step::Full(false)).boxed()),
        (3, Just(Step::Wait).boxed()),
        (2, Just(Step::Status).boxed()),
    ];
    Union::new_weighted(steps)
}
