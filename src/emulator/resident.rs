//! Whom a practice card is for: nobody, unless the caller invents somebody else.

use std::fmt;

/// Most characters of an address in a certificate (`card.md` §5.3).
pub const LONGEST_ADDRESS: usize = 200;

/// The person whose name, address, date of birth and sex the signature certificate states. Nothing prints one.
#[derive(Clone, PartialEq, Eq)]
pub struct Resident {
    /// Family and given name, with a full-width space between them. Latin letters are as good.
    pub name: Written,
    /// Address, at most [`LONGEST_ADDRESS`] characters.
    pub address: Written,
    /// Date of birth.
    pub birth: Birth,
    /// Sex.
    pub sex: Sex,
    /// Prefecture in Latin letters, as in the subject: `Mihon-ken`.
    pub prefecture: String,
    /// Municipality in Latin letters: `Renshu-shi`.
    pub municipality: String,
    /// The municipality's code, five digits; 99999 is nowhere.
    pub municipality_code: String,
}

impl Default for Resident {
    /// 練習 太郎, who does not exist, in a town that does not exist.
    fn default() -> Resident {
        Resident {
            name: "練習　太郎".into(),
            address: "見本県練習市練習町1番地".into(),
            birth: Birth { era: Era::Heisei, year: 1995, month: 5, day: 5 },
            sex: Sex::Male,
            prefecture: "Mihon-ken".into(),
            municipality: "Renshu-shi".into(),
            municipality_code: "99999".into(),
        }
    }
}

impl Resident {
    /// Whether a certificate can state all this.
    ///
    /// # Errors
    /// [`Unfit`], which says what to change.
    pub fn check(&self) -> Result<(), Unfit> {
        let length = self.address.text.chars().count();
        if self.name.text.trim().is_empty() {
            return Err(Unfit::NoName);
        }
        if self.address.text.trim().is_empty() || length > LONGEST_ADDRESS {
            return Err(Unfit::Address(length));
        }
        for written in [&self.name, &self.address] {
            let length = written.text.chars().count();
            if let Some(&position) = written.substituted.iter().find(|&&position| position >= length) {
                return Err(Unfit::Substitute { position, length });
            }
        }
        if self.municipality_code.len() != 5 || !self.municipality_code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Unfit::MunicipalityCode);
        }
        let latin = |place: &str| !place.is_empty() && place.len() <= 64 && place.bytes().all(|b| b.is_ascii_graphic());
        if !latin(&self.prefecture) || !latin(&self.municipality) {
            return Err(Unfit::Place);
        }
        self.birth.check()
    }
}

/// Text of a certificate, and which of its characters stand for others: the certificate has a character of JIS X 0208
/// where the register has one outside it, and says so by a digit for each character.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// As the certificate has it.
    pub text: String,
    /// Positions, in characters from 0, of the substitutes.
    pub substituted: Vec<usize>,
}

impl Written {
    /// A digit for each character: 1 for a substitute, 0 for any other.
    pub fn flags(&self) -> String {
        self.text.chars().enumerate().map(|(at, _)| if self.substituted.contains(&at) { '1' } else { '0' }).collect()
    }
}

impl From<&str> for Written {
    fn from(text: &str) -> Written {
        Written { text: text.to_owned(), substituted: Vec::new() }
    }
}

/// Says no more than that there is one: command lines are parsed into it, and may be printed.
impl fmt::Debug for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Birth(…)")
    }
}

/// A date of birth as registers have it: an era with a Gregorian year; what is not known is 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// Era.
    pub era: Era,
    /// Year, Gregorian; 0 if not known.
    pub year: u16,
    /// Month; 0 if not known.
    pub month: u8,
    /// Day; 0 if not known.
    pub day: u8,
}

impl Birth {
    /// `EYYYYMMDD`, the certificate's form.
    pub fn code(&self) -> String {
        format!("{}{:04}{:02}{:02}", self.era as u8, self.year, self.month, self.day)
    }

    fn check(&self) -> Result<(), Unfit> {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let last = match self.month {
            2 if leap || self.year == 0 => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            0..=12 => 31,
            _ => return Err(Unfit::Birth),
        };
        let partial = self.year == 0 || self.month == 0 || self.day == 0;
        if self.day > last || self.year > 9999 {
            return Err(Unfit::Birth);
        }
        let (first, end) = self.era.span();
        // A partial date is held against the era by its year alone.
        let (date, first, end) = match partial {
            true => ((self.year, 0, 0), (first.0, 0, 0), (end.0, 0, 0)),
            false => ((self.year, self.month, self.day), first, end),
        };
        if self.year != 0 && !(first..=end).contains(&date) { Err(Unfit::Era) } else { Ok(()) }
    }
}

/// Era of a date of birth, with the certificate's digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// None: foreign residents, and where it is not known.
    None = 0,
    /// 明治
    Meiji = 1,
    /// 大正
    Taisho = 2,
    /// 昭和
    Showa = 3,
    /// 平成
    Heisei = 4,
    /// 令和
    Reiwa = 5,
}

impl Era {
    /// The era of a date.
    pub fn of(year: u16, month: u8, day: u8) -> Era {
        [Era::Reiwa, Era::Heisei, Era::Showa, Era::Taisho, Era::Meiji]
            .into_iter()
            .find(|era| era.span().0 <= (year, month, day))
            .unwrap_or(Era::None)
    }

    /// First and last day. The day on which an era changed belongs to both: registers have either.
    fn span(self) -> ((u16, u8, u8), (u16, u8, u8)) {
        match self {
            Era::None => ((1, 1, 1), (9999, 12, 31)),
            Era::Meiji => ((1868, 1, 25), (1912, 7, 30)),
            Era::Taisho => ((1912, 7, 30), (1926, 12, 25)),
            Era::Showa => ((1926, 12, 25), (1989, 1, 7)),
            Era::Heisei => ((1989, 1, 8), (2019, 4, 30)),
            Era::Reiwa => ((2019, 5, 1), (9999, 12, 31)),
        }
    }
}

/// Sex, with the certificate's digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// 男
    Male = 1,
    /// 女
    Female = 2,
    /// 不明
    Unknown = 3,
}

/// What a certificate cannot state. Quotes nothing of the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No name.
    #[error("the name is empty; give one")]
    NoName,
    /// An address too long or none.
    #[error("the address has {0} characters; a certificate takes 1 to 200")]
    Address(usize),
    /// A substitute beyond the text's end.
    #[error("character {position} cannot be a substitute: the text has {length}, counted from 0")]
    Substitute {
        /// The position.
        position: usize,
        /// Characters there are.
        length: usize,
    },
    /// Not a date.
    #[error("the date of birth is no day of the calendar; write 0 for a month or day that is not known")]
    Birth,
    /// Not in the era.
    #[error("the date of birth lies outside its era")]
    Era,
    /// Not a municipality's code.
    #[error("the municipality's code must have five digits; 99999 is nobody's")]
    MunicipalityCode,
    /// Not a place in Latin letters.
    #[error("prefecture and municipality must be Latin letters without spaces, such as Mihon-ken and Renshu-shi")]
    Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_resident_is_fit_and_nobody() {
        assert_eq!(Resident::default().check(), Ok(()));
        assert_eq!(Resident::default().municipality_code, "99999");
    }

    #[test]
    fn an_address_of_200_characters_is_the_longest() {
        let resident = |length| Resident { address: "町".repeat(length).as_str().into(), ..Resident::default() };
        assert_eq!(resident(200).check(), Ok(()));
        assert_eq!(resident(201).check(), Err(Unfit::Address(201)));
        assert_eq!(resident(0).check(), Err(Unfit::Address(0)));
    }

    #[test]
    fn substitutes_are_flagged_by_character() {
        let name = Written { text: "吉田　太郎".into(), substituted: vec![0] };
        assert_eq!(name.flags(), "10000");
        let beyond = Written { substituted: vec![5], ..name };
        let unfit = Resident { name: beyond, ..Resident::default() }.check();
        assert_eq!(unfit, Err(Unfit::Substitute { position: 5, length: 5 }));
    }

    #[test]
    fn a_date_of_birth_is_a_day_of_its_era() {
        let birth = |era, year, month, day| Birth { era, year, month, day };
        assert_eq!(birth(Era::Showa, 1980, 2, 17).code(), "319800217");
        assert_eq!(birth(Era::Showa, 1980, 0, 0).check(), Ok(()));
        assert_eq!(birth(Era::None, 0, 0, 0).check(), Ok(()));
        assert_eq!(birth(Era::None, 2000, 2, 29).check(), Ok(()));
        assert_eq!(birth(Era::Showa, 1989, 1, 7).check(), Ok(()));
        assert_eq!(birth(Era::Showa, 1989, 1, 8).check(), Err(Unfit::Era));
        assert_eq!(birth(Era::Heisei, 1988, 0, 0).check(), Err(Unfit::Era));
        assert_eq!(birth(Era::Heisei, 2001, 2, 29).check(), Err(Unfit::Birth));
        assert_eq!(birth(Era::Heisei, 2001, 13, 1).check(), Err(Unfit::Birth));
        assert_eq!(Era::of(1989, 1, 8), Era::Heisei);
        assert_eq!(Era::of(1989, 1, 7), Era::Showa);
        assert_eq!(Era::of(1860, 1, 1), Era::None);
    }
}
