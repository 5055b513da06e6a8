//! What differs between cards, or is not known of them: each a switch with all its values, set to the best-known real
//! behaviour unless somebody asks for another (`card.md` §11).

use serde::{Deserialize, Serialize};

/// How one practice card behaves where real cards differ or nobody has published what they do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Switches {
    /// Answer to reset (`card.md` §1.2).
    pub atr: Atr,
    /// Whether the first command after power-up gets 6F00.
    pub first_command_fails: bool,
    /// Whether a warm reset clears the verified secrets. Power-off always does.
    pub warm_reset_clears: bool,
    /// Whether a warm reset leaves the application; otherwise it stays the current one, without a current EF.
    pub warm_reset_leaves: bool,
    /// Whether the issuer security domain can be selected; otherwise 6A82.
    pub isd: bool,
    /// Whether GET DATA 5F51 is answered before an application is selected; otherwise 6A88 there.
    pub contact_atr_at_power_on: bool,
    /// What SELECT with P2 = 00 answers.
    pub fci: Fci,
    /// Whether the extended length form is taken; otherwise 6700.
    pub extended_length: bool,
    /// Whether P2 = 80 + short EF id (and READ BINARY's P1) is taken; otherwise 6A86.
    pub short_ids: bool,
    /// Whether READ BINARY takes Le 00; otherwise 6700.
    pub read_le_zero: bool,
    /// How answers come.
    pub answers: Answers,
    /// Bytes an EF has beyond its certificate.
    pub certificate_filler_len: u16,
    /// The byte those have.
    pub filler: Filler,
    /// What the EF of a certificate that was not issued says.
    pub unwritten_certificate: Unwritten,
    /// Whether there is an EF 0008; otherwise 6A82.
    pub status_file: bool,
    /// Which certificates EF 0008 lists.
    pub listed: Listed,
    /// Whether the authentication certificate is behind the authentication PIN.
    pub auth_certificate: AuthCertificate,
    /// What VERIFY says of a secret that is not there.
    pub absent_secret: AbsentSecret,
    /// What VERIFY with data says of a locked secret.
    pub locked: Locked,
    /// What a VERIFY without data answers for a secret that was verified.
    pub query_when_verified: QueryWhenVerified,
    /// Whether a wrong VERIFY takes back an earlier success with the same secret.
    pub wrong_verify_clears: bool,
    /// Whether CHANGE REFERENCE DATA looks at the form of the new secret, and answers 6A80; otherwise it takes anything.
    pub new_secret_checked: bool,
    /// The signature schemes there are; P1 of any other gets 6A86.
    pub schemes: Schemes,
    /// Whether 6A86 for an unknown scheme comes before 6982 for a missing PIN, or after it.
    pub unknown_scheme: UnknownScheme,
    /// What signature input of a wrong length gets.
    pub wrong_input: WrongInput,
    /// Whether a signature asked for without Le, or with less than its length, gets 6700; otherwise it comes whole.
    pub signature_le_checked: bool,
    /// Whether 6700 for a command without the Le or the data it needs comes before 6982 for a missing PIN, or after it.
    pub wrong_length: WrongLength,
    /// Salt of the PSS schemes, in bytes.
    pub pss_salt: PssSalt,
    /// Whether P2 = 00 means the current key on a card other than Juki; otherwise 6A86.
    pub default_key: bool,
    /// Whether SET SESSION KEY is known in the text application too, and gets 66F1 there; otherwise 6D00.
    pub text_session_key: bool,
    /// Milliseconds a signature takes beyond this machine's own.
    pub signature_ms: u32,
    /// Sizes of the certificates' EFs, where they are to be certain ones.
    #[serde(skip_serializing_if = "FileSizes::are_unset")]
    pub file_sizes: FileSizes,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            atr: Atr::Contact,
            first_command_fails: true,
            warm_reset_clears: false,
            warm_reset_leaves: true,
            isd: true,
            contact_atr_at_power_on: true,
            fci: Fci::Template,
            extended_length: true,
            short_ids: true,
            read_le_zero: true,
            answers: Answers::Whole,
            certificate_filler_len: 120,
            filler: Filler::Ff,
            unwritten_certificate: Unwritten::Guarded,
            status_file: true,
            listed: Listed::AsIssued,
            auth_certificate: AuthCertificate::AsKind,
            absent_secret: AbsentSecret::FileNotFound,
            locked: Locked::KeyLocked,
            query_when_verified: QueryWhenVerified::Count,
            wrong_verify_clears: true,
            new_secret_checked: false,
            schemes: Schemes::All,
            unknown_scheme: UnknownScheme::BeforePin,
            wrong_input: WrongInput::Conditions,
            signature_le_checked: true,
            wrong_length: WrongLength::BeforePin,
            pss_salt: PssSalt::Digest,
            default_key: true,
            text_session_key: false,
            signature_ms: 0,
            file_sizes: FileSizes::default(),
        }
    }
}

/// Sizes of the certificates' EFs in bytes. One that is not given is as large as its certificate with
/// [`Switches::certificate_filler_len`]; none is smaller than its certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSizes {
    /// EF 000A.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<u16>,
    /// EF 000B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_ca: Option<u16>,
    /// EF 0001.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<u16>,
    /// EF 0002.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_ca: Option<u16>,
}

impl FileSizes {
    fn are_unset(&self) -> bool {
        *self == FileSizes::default()
    }
}

/// An answer to reset seen on a real card (`card.md` §1.2): contact, contactless and foreign. None of them identifies a
/// card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Atr {
    /// Contact, My Number and Juki alike, without historical bytes.
    Contact,
    /// Contact, with twelve historical bytes.
    ContactLong,
    /// Contact, with five historical bytes.
    ContactShort,
    /// A dual-interface reader's own making.
    DualInterface,
    /// The same with another card in it.
    DualInterfaceB3,
    /// Contactless, ATQB in PC/SC part 3's form.
    Contactless,
    /// The same with another byte of the card's.
    Contactless41,
    /// The same of another chip maker.
    ContactlessOther,
    /// The same of that maker, with another byte.
    ContactlessOtherB3,
    /// Contactless, seen on a Juki card.
    ContactlessJuki,
    /// A driving licence's: of a foreign card, in PC/SC part 3's form too.
    DrivingLicence,
}

impl Atr {
    /// Every one.
    pub const ALL: [Atr; 11] = [
        Atr::Contact,
        Atr::ContactLong,
        Atr::ContactShort,
        Atr::DualInterface,
        Atr::DualInterfaceB3,
        Atr::Contactless,
        Atr::Contactless41,
        Atr::ContactlessOther,
        Atr::ContactlessOtherB3,
        Atr::ContactlessJuki,
        Atr::DrivingLicence,
    ];

    /// The bytes.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Atr::Contact => &[0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14],
            Atr::ContactLong => &[
                0x3B, 0xDA, 0x13, 0xFF, 0x81, 0x31, 0xFB, 0x46, 0x80, 0x12, 0x39, 0x2F, 0x31, 0xC1, 0x73, 0xC6, 0x01,
                0xC0, 0x3B,
            ],
            Atr::ContactShort => &[0x3B, 0xC5, 0xFF, 0x81, 0x31, 0xFB, 0x45, 0x80, 0x73, 0xC6, 0x01, 0x00, 0x00],
            Atr::DualInterface => {
                &[0x3B, 0xF5, 0x91, 0x00, 0xFF, 0x91, 0x81, 0x71, 0xFE, 0x40, 0x00, 0x42, 0x00, 0x01, 0x00, 0xD1, 0xD6]
            }
            Atr::DualInterfaceB3 => {
                &[0x3B, 0xF5, 0x91, 0x00, 0xFF, 0x91, 0x81, 0x71, 0xFE, 0x40, 0x00, 0x42, 0x00, 0x01, 0xB3, 0xA1, 0x15]
            }
            Atr::Contactless => &[0x3B, 0x88, 0x80, 0x01, 0x00, 0x00, 0x05, 0xE0, 0xB3, 0x81, 0xA1, 0x00, 0x7F],
            Atr::Contactless41 => &[0x3B, 0x88, 0x80, 0x01, 0x00, 0x00, 0x41, 0xE0, 0xB3, 0x81, 0xA1, 0x00, 0x3B],
            Atr::ContactlessOther => &[0x3B, 0x88, 0x80, 0x01, 0x00, 0x4B, 0x51, 0xFF, 0x00, 0x81, 0xD1, 0x00, 0xBC],
            Atr::ContactlessOtherB3 => &[0x3B, 0x88, 0x80, 0x01, 0x00, 0x4B, 0x51, 0xFF, 0xB3, 0x81, 0xD1, 0x00, 0x0F],
            Atr::ContactlessJuki => &[0x3B, 0x88, 0x80, 0x01, 0x00, 0x00, 0x14, 0xE0, 0xB3, 0x81, 0x91, 0x00, 0x5E],
            Atr::DrivingLicence => &[0x3B, 0x88, 0x80, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x81, 0x81, 0x00, 0x09],
        }
    }
}

/// What SELECT by AID with P2 = 00 answers; its layout on real cards is unpublished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fci {
    /// `6F { 84 <AID> }` (ISO/IEC 7816-4).
    Template,
    /// No data.
    Nothing,
}

/// How answers come: T=1 and contactless cards give them whole, T=0 readers and some Juki cards in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    /// Whole.
    Whole,
    /// 61xx first, the data with GET RESPONSE.
    GetResponse,
    /// 6Cxx where Le is more than there is, the data when asked with that Le.
    ExactLe,
}

/// What follows a certificate in its EF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filler {
    /// FF, as measured elsewhere on the card.
    Ff,
    /// 00.
    Zero,
}

impl Filler {
    /// The byte itself.
    pub fn byte(self) -> u8 {
        match self {
            Filler::Ff => 0xFF,
            Filler::Zero => 0x00,
        }
    }
}

/// What the EF of a certificate says that was not issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unwritten {
    /// Filler, behind the same secret as a certificate would be: 6982 without it.
    Guarded,
    /// Filler, free to read.
    Open,
    /// There is no EF: 6A82.
    Missing,
}

/// Which certificates EF 0008 lists, whatever the files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listed {
    /// Those that were issued.
    AsIssued,
    /// The authentication certificate alone.
    AuthOnly,
    /// The signature certificate alone.
    SignOnly,
    /// Both.
    Both,
    /// Neither.
    Neither,
}

/// Whether reading the authentication certificate takes the authentication PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthCertificate {
    /// As the kind of card does: only an Android token asks.
    AsKind,
    /// Free.
    Free,
    /// Behind the PIN.
    Pin,
}

/// What VERIFY says of a secret that is not there (PIN-less cards).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbsentSecret {
    /// 6A82.
    FileNotFound,
    /// 6A88.
    KeyNotFound,
}

/// What a VERIFY without data answers for a secret that was verified (`card.md` §11.22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryWhenVerified {
    /// The count all the same.
    Count,
    /// 9000, as ISO/IEC 7816-4 has it.
    Ok,
}

/// What VERIFY with data says of a locked secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locked {
    /// 6984, as observed.
    KeyLocked,
    /// 6983, as ISO/IEC 7816-4 has it and two programs expect.
    Blocked,
}

/// The schemes of COMPUTE DIGITAL SIGNATURE that a card has (`card.md` §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schemes {
    /// 00 to 05.
    All,
    /// 00 to 03: no PSS.
    WithoutPss,
    /// 00 only.
    PaddingOnly,
}

/// When an unknown scheme is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownScheme {
    /// 6A86, verified or not.
    BeforePin,
    /// 6982 until the PIN is verified, then 6A86.
    AfterPin,
}

/// When a command without the Le or the data it needs is noticed, or a READ BINARY with Le 00 where that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongLength {
    /// 6700, verified or not.
    BeforePin,
    /// 6982 until the PIN is verified, then 6700.
    AfterPin,
}

/// What signature input of a wrong length gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongInput {
    /// 6985.
    Conditions,
    /// 6700.
    WrongLength,
}

/// Salt of the PSS schemes: inferred, never published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PssSalt {
    /// 32 bytes, the digest's own length.
    Digest,
    /// 20 bytes, the default of PKCS#1.
    Twenty,
}

impl PssSalt {
    /// Bytes of salt.
    pub fn bytes(self) -> usize {
        match self {
            PssSalt::Digest => 32,
            PssSalt::Twenty => 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_only_the_switches_that_differ() {
        let switches: Switches = toml::from_str("first-command-fails = false\nschemes = 'without-pss'").unwrap();
        assert_eq!(
            switches,
            Switches { first_command_fails: false, schemes: Schemes::WithoutPss, ..Switches::default() }
        );
        assert!(toml::from_str::<Switches>("first-comand-fails = false").is_err());
    }

    #[test]
    fn every_atr_that_has_a_check_byte_has_the_right_one() {
        // As it was published, that one ends in 00, which is no check byte.
        for atr in Atr::ALL.into_iter().filter(|atr| *atr != Atr::ContactShort) {
            let bytes = atr.bytes();
            assert_eq!(bytes[1..].iter().fold(0, |sum, byte| sum ^ byte), 0, "{atr:?}");
        }
    }
}
