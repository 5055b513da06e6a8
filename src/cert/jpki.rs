//! What is particular to JPKI's certificates: which policy says what a certificate is for, which authorities there are,
//! and the holder's four attributes in a signature certificate (`card.md` §5).

use super::Certificate;
use crate::words::{self, Language};
use der::asn1::{ObjectIdentifier, Utf8StringRef};
use der::{Decode, Reader, SliceReader};
use serde::{Serialize, Serializer};
use std::fmt;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// What a JPKI certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// User authentication.
    Authentication,
    /// Digital signature.
    Signature,
}

/// Certificate policies (`card.md` §5.2 and §5.3), by their last arcs under 1.2.392.200149.8.5.1.
const POLICIES: [(&str, Purpose); 5] = [
    ("1.2.392.200149.8.5.1.3.30", Purpose::Authentication),
    ("1.2.392.200149.8.5.1.1.20", Purpose::Signature),
    // In phones; by hearsay.
    ("1.2.392.200149.8.5.1.1.40", Purpose::Signature),
    // Of the test authorities.
    ("1.2.392.200149.8.5.1.0.30", Purpose::Authentication),
    ("1.2.392.200149.8.5.1.0.20", Purpose::Signature),
];

/// What `certificate` is for by its policy; `None` for a policy that is not JPKI's, as on a practice card.
pub fn purpose(certificate: &Certificate) -> Option<Purpose> {
    let contents = certificate.extension(CERTIFICATE_POLICIES)?;
    let mut reader = SliceReader::new(contents).ok()?;
    // Not with a type of its own: a policy of another arc need not fit the OIDs that `der` can hold.
    reader
        .sequence(|policies| -> der::Result<_> {
            let mut found = None;
            while !policies.is_finished() {
                let policy = policies.sequence(|information| -> der::Result<_> {
                    let policy = information.tlv_bytes()?;
                    while !information.is_finished() {
                        information.tlv_bytes()?;
                    }
                    Ok(policy)
                })?;
                let known = ObjectIdentifier::from_der(policy).ok().and_then(|policy| {
                    POLICIES
                        .iter()
                        .find(|(oid, _)| ObjectIdentifier::new(oid) == Ok(policy))
                        .map(|(_, purpose)| *purpose)
                });
                found = found.or(known);
            }
            Ok(found)
        })
        .ok()?
}

/// Whether `certificate` says of itself that it comes from a practice authority.
pub fn is_practice(certificate: &Certificate) -> bool {
    const MARK: &[u8] = b"PRACTICE, NOT VALID";
    certificate.issuer().windows(MARK.len()).any(|bytes| bytes == MARK)
}

/// One of JPKI's own authorities. All generations share their names, so that only a fingerprint tells them apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Anchor {
    /// What it issues.
    pub purpose: Purpose,
    /// Its generation, from 1.
    pub generation: u8,
    /// SHA-256 of its certificate, in capital hexadecimal digits.
    pub sha256: &'static str,
}

/// The authorities of a My Number Card (`card.md` §5.1, over the files that J-LIS publishes).
#[rustfmt::skip]
pub const ANCHORS: [Anchor; 6] = [
    Anchor { purpose: Purpose::Authentication, generation: 1, sha256: "4DCFC4CA0AAF9FB2A3081B3F0C991C320B3ACC008667A341EEAEC5AF1D58CA7D" },
    Anchor { purpose: Purpose::Authentication, generation: 2, sha256: "0D98DE47FC11B7F67126874B7028B6026A803D2638D6EDFE53176953961FADE6" },
    Anchor { purpose: Purpose::Authentication, generation: 3, sha256: "64114F29620C24ED2631D46476A040E7EE740D956089C00B036A6A8118C322B5" },
    Anchor { purpose: Purpose::Signature, generation: 1, sha256: "19645405A1FE14377434BD55957628AC4038557C542403A2243F21C706FC9355" },
    Anchor { purpose: Purpose::Signature, generation: 2, sha256: "79679C33E4CC9319440F1AD120A597FF1844E2EF217063ADB176966FD5E6FBEB" },
    Anchor { purpose: Purpose::Signature, generation: 3, sha256: "D227F6CDE11D35C5252178F106F843D24651944975413B539FA2FB68DBFA365F" },
];

/// The authority that `certificate` is, by its fingerprint.
pub fn anchor(certificate: &Certificate) -> Option<&'static Anchor> {
    let sha256 = super::hex(&certificate.sha256());
    ANCHORS.iter().find(|anchor| anchor.sha256 == sha256)
}

/// What a signature certificate says about its holder, in the six otherNames of `card.md` §5.3.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Personal {
    /// Family and given name, a full-width space between.
    pub name: Option<String>,
    /// Date of birth.
    pub birth: Option<Birth>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Address.
    pub address: Option<String>,
    /// One digit per character of the name: 1 where it stands in for one that could not be written.
    pub name_substitutes: Option<String>,
    /// The same for the address.
    pub address_substitutes: Option<String>,
    /// Every other name, and each of the six that is not written as it should be: its OID and what it holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(String, String)>,
}

impl Personal {
    /// Reads the names of `certificate`; `None` where it has no otherName, like an authentication certificate.
    pub fn of(certificate: &Certificate) -> Option<Personal> {
        let SubjectAltName(names) = SubjectAltName::from_der(certificate.extension(SUBJECT_ALT_NAME)?).ok()?;
        let mut personal = Personal::default();
        for name in &names {
            if let GeneralName::OtherName(other) = name {
                personal.take(other);
            }
        }
        (personal != Personal::default()).then_some(personal)
    }

    fn take(&mut self, other: &OtherName) {
        let oid = other.type_id.to_string();
        let Ok(text) = other.value.decode_as::<Utf8StringRef<'_>>() else {
            self.others.push((oid, format!("#{}", super::hex(other.value.value()))));
            return;
        };
        let text = text.as_str();
        let taken = match oid.strip_prefix("1.2.392.200149.8.5.5.") {
            Some("1") => fill(&mut self.name, Some(text.to_owned())),
            Some("2") => fill(&mut self.name_substitutes, Some(text.to_owned())),
            Some("3") => fill(&mut self.sex, Sex::parse(text)),
            Some("4") => fill(&mut self.birth, Birth::parse(text)),
            Some("5") => fill(&mut self.address, Some(text.to_owned())),
            Some("6") => fill(&mut self.address_substitutes, Some(text.to_owned())),
            _ => false,
        };
        if !taken {
            self.others.push((oid, text.to_owned()));
        }
    }
}

/// Puts `value` where nothing is yet; whether it did.
fn fill<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    if place.is_some() || value.is_none() {
        return false;
    }
    *place = value;
    true
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(…)")
    }
}

/// A person's sex, as the certificate codes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// 1.
    Male,
    /// 2.
    Female,
    /// 3.
    Unknown,
}

impl Sex {
    fn parse(text: &str) -> Option<Sex> {
        match text {
            "1" => Some(Sex::Male),
            "2" => Some(Sex::Female),
            "3" => Some(Sex::Unknown),
            _ => None,
        }
    }

    /// In words.
    pub fn text(self, language: Language) -> &'static str {
        match self {
            Sex::Male => words::MALE,
            Sex::Female => words::FEMALE,
            Sex::Unknown => words::UNKNOWN,
        }
        .text(language)
    }
}

impl Serialize for Sex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(Language::En))
    }
}

/// A date of birth: the era as a digit, the date in Gregorian years, zeros for what is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    era: u8,
    year: u16,
    month: u8,
    day: u8,
}

/// Eras by their digit, from 1, with the Gregorian year that is their first.
const ERAS: [(&str, &str, u16); 5] = [
    ("明治", "Meiji", 1868),
    ("大正", "Taisho", 1912),
    ("昭和", "Showa", 1926),
    ("平成", "Heisei", 1989),
    ("令和", "Reiwa", 2019),
];

impl Birth {
    /// `EYYYYMMDD`.
    fn parse(text: &str) -> Option<Birth> {
        if text.len() != 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let birth = Birth {
            era: text.get(..1)?.parse().ok()?,
            year: text.get(1..5)?.parse().ok()?,
            month: text.get(5..7)?.parse().ok()?,
            day: text.get(7..)?.parse().ok()?,
        };
        (birth.era <= 5 && birth.month <= 12 && birth.day <= 31).then_some(birth)
    }

    /// In words: the era's year and the Gregorian one, the Gregorian one alone where the era is unknown.
    pub fn text(self, language: Language) -> String {
        let era = usize::from(self.era).checked_sub(1).and_then(|index| ERAS.get(index));
        // An era that had not begun in that year is no era of it.
        let era = era
            .and_then(|&(ja, en, first)| Some((ja, en, (self.year + 1).checked_sub(first).filter(|year| *year > 0)?)));
        match language {
            Language::Ja | Language::ZhTw => {
                let year = match (self.year, era) {
                    (0, _) => "年不詳".into(),
                    (year, Some((era, _, 1))) => format!("{era}元年（{year}年）"),
                    (year, Some((era, _, of_era))) => format!("{era}{of_era}年（{year}年）"),
                    (year, None) => format!("{year}年"),
                };
                match (self.year, self.month, self.day) {
                    (0, 0, 0) => "不詳".into(),
                    (_, 0, 0) => format!("{year}月日不詳"),
                    (_, 0, day) => format!("{year}月不詳{day}日"),
                    (_, month, 0) => format!("{year}{month}月日不詳"),
                    (_, month, day) => format!("{year}{month}月{day}日"),
                }
            }
            Language::En => {
                let date = match (self.year, self.month, self.day) {
                    (0, 0, 0) => return "unknown".into(),
                    (year, month, day) => {
                        format!("{}-{}-{}", digits(year, 4), digits(month.into(), 2), digits(day.into(), 2))
                    }
                };
                match era.filter(|_| self.year != 0) {
                    Some((_, era, of_era)) => format!("{date} ({era} {of_era})"),
                    None => date,
                }
            }
        }
    }
}

impl Serialize for Birth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text(Language::En))
    }
}

/// `number` with leading zeros, or question marks where it is zero.
fn digits(number: u16, width: usize) -> String {
    if number == 0 { "?".repeat(width) } else { format!("{number:0width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn birth(text: &str, language: Language) -> String {
        Birth::parse(text).unwrap().text(language)
    }

    #[test]
    fn a_birth_date_shows_both_years() {
        assert_eq!(birth("319800217", Language::Ja), "昭和55年（1980年）2月17日");
        assert_eq!(birth("319800217", Language::En), "1980-02-17 (Showa 55)");
        assert_eq!(birth("420190430", Language::Ja), "平成31年（2019年）4月30日");
        assert_eq!(birth("118680125", Language::ZhTw), "明治元年（1868年）1月25日");
    }

    #[test]
    fn the_first_year_of_an_era_is_gannen() {
        assert_eq!(birth("520190501", Language::Ja), "令和元年（2019年）5月1日");
        assert_eq!(birth("319261225", Language::Ja), "昭和元年（1926年）12月25日");
    }

    #[test]
    fn without_an_era_or_with_a_wrong_one_the_gregorian_year_stands_alone() {
        assert_eq!(birth("019991231", Language::Ja), "1999年12月31日");
        assert_eq!(birth("019991231", Language::En), "1999-12-31");
        assert_eq!(birth("519800217", Language::Ja), "1980年2月17日");
    }

    #[test]
    fn zeros_are_unknown() {
        assert_eq!(birth("000000000", Language::Ja), "不詳");
        assert_eq!(birth("000000000", Language::En), "unknown");
        assert_eq!(birth("319800000", Language::Ja), "昭和55年（1980年）月日不詳");
        assert_eq!(birth("319800200", Language::Ja), "昭和55年（1980年）2月日不詳");
        assert_eq!(birth("319800200", Language::En), "1980-02-?? (Showa 55)");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "31980021", "3198002170", "61980021７", "619800217", "319801317", "319800232", "+19800217"] {
            assert!(Birth::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn personal_data_is_not_printed() {
        let personal = Personal { name: Some("練習".into()), ..Personal::default() };
        assert!(!format!("{personal:?}").contains("練習"));
    }
}
