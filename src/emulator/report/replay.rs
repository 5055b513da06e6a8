//! From a report to a practice card that answers the same: its order's switches, and its counters.

use super::{CardReport, Exchange, Unusable};
use crate::apdu::Sw;
use crate::emulator::image::{Image, Kind, SecretName};
use crate::emulator::issue::{Choice, Order};
use crate::emulator::switches::{
    AbsentSecret, Answers, Atr, AuthCertificate, Fci, Filler, Listed, Schemes, UnknownScheme, Unwritten,
};

impl CardReport {
    /// Has `order` ask for a card that answers as this one did; what was not asked of it stays as it is.
    ///
    /// # Errors
    /// [`Unusable::Kind`].
    pub fn apply(&self, order: &mut Order) -> Result<(), Unusable> {
        order.kind = self.kind()?;
        let [sign_listed, auth_listed] = [0, 1].map(|index| self.data("directory").get(index).copied().flatten());
        let auth = self.certificate("certificate-auth");
        let (auth_ca, sign_ca) = (self.certificate("certificate-auth-ca"), self.certificate("certificate-sign-ca"));
        order.auth_certificate = auth.there.unwrap_or(auth_listed != Some(0));
        // Its file is not read where there may be a certificate in it: that there is none tells the list, or that there is
        // no file.
        order.sign_certificate = self.first_sw("certificate-sign") != Some(Sw::NOT_FOUND) && sign_listed != Some(0);
        (order.auth_ca, order.sign_ca) = (auth_ca.there, sign_ca.there);
        order.auth_secret = self.secret("secret-auth", &order.auth_secret);
        order.sign_secret = self.secret("secret-sign", &order.sign_secret);
        let there = [order.sign_certificate, order.auth_certificate];
        let switches = &mut order.switches;
        set(&mut switches.listed, listed([sign_listed, auth_listed], there));
        set(&mut switches.atr, self.atr());
        set(&mut switches.first_command_fails, self.first_command_fails());
        set(&mut switches.contact_atr_at_power_on, self.at_power_on().then(|| self.is_ok("contact-atr")).flatten());
        set(&mut switches.isd, self.is_ok("issuer-domain"));
        set(
            &mut switches.fci,
            self.is_ok("select-fci")
                .filter(|ok| *ok)
                .map(|_| if self.data("select-fci").is_empty() { Fci::Nothing } else { Fci::Template }),
        );
        set(&mut switches.short_ids, self.first_sw("token-info").map(|sw| sw != Sw::WRONG_P1P2));
        set(&mut switches.read_le_zero, self.first_sw("le-zero").map(|sw| sw != Sw::WRONG_LENGTH));
        set(&mut switches.extended_length, self.extended_length());
        set(&mut switches.answers, self.answers());
        set(&mut switches.status_file, self.first_sw("directory").map(|sw| sw != Sw::NOT_FOUND));
        set(
            &mut switches.auth_certificate,
            auth.guarded.map(|guarded| match (guarded, order.kind) {
                (true, Kind::Android) | (false, Kind::MyNumber | Kind::Juki | Kind::Ios) => AuthCertificate::AsKind,
                (true, _) => AuthCertificate::Pin,
                (false, _) => AuthCertificate::Free,
            }),
        );
        set(&mut switches.unwritten_certificate, self.unwritten(order.auth_certificate, order.sign_certificate));
        set(&mut switches.absent_secret, self.absent_secret());
        set(&mut switches.unknown_scheme, self.unknown_scheme());
        set(&mut switches.schemes, self.schemes());
        set(&mut switches.default_key, self.sw("key-default").map(|sw| sw != Sw::WRONG_P1P2));
        set(&mut switches.filler, auth.filler.or(auth_ca.filler).or(sign_ca.filler));
        switches.file_sizes.auth = auth.size;
        switches.file_sizes.auth_ca = auth_ca.size;
        switches.file_sizes.sign_ca = sign_ca.size;
        if [auth, auth_ca, sign_ca].iter().any(|file| file.exact) {
            switches.certificate_filler_len = 0;
        }
        Ok(())
    }

    /// Sets the counters of a card made by that order to what they were.
    pub fn settle(&self, image: &mut Image) {
        for (probe, name) in [("secret-auth", SecretName::Auth), ("secret-sign", SecretName::Sign)] {
            let left = self.sw(probe).and_then(Sw::tries_left);
            if let (Some(left), Some(secret)) = (left, image.secrets.named_mut(name)) {
                secret.limit = secret.limit.max(left);
                secret.tries = left;
            }
        }
    }

    fn atr(&self) -> Option<Atr> {
        let atr: Option<Vec<u8>> = self.atr.as_ref()?.iter().copied().collect();
        Atr::ALL.into_iter().find(|known| atr.as_deref() == Some(known.bytes()))
    }

    fn first_command_fails(&self) -> Option<bool> {
        self.at_power_on().then(|| self.first_sw("first-command") == Some(Sw::NO_DIAGNOSIS))
    }

    /// Whether the report began with a card that had just got its power. With an application current, `00 A4 00 00` gets
    /// 9000.
    fn at_power_on(&self) -> bool {
        self.sw("first-command").is_some_and(|sw| !sw.is_ok())
    }

    fn answers(&self) -> Option<Answers> {
        let beyond = self.first_sw("le-beyond")?.0;
        Some(match beyond >> 8 {
            0x61 => Answers::GetResponse,
            0x6C => Answers::ExactLe,
            _ => Answers::Whole,
        })
    }

    /// The first command of the probe is a short one. No answer to the next is a refusal too: some readers know no other.
    fn extended_length(&self) -> Option<bool> {
        match self.exchanges("extended") {
            [] | [_] => None,
            [.., last] => Some(last.sw.is_some_and(Sw::is_ok)),
        }
    }

    fn secret(&self, probe: &str, otherwise: &Choice) -> Choice {
        match self.sw(probe) {
            Some(Sw::NOT_FOUND | Sw::KEY_NOT_FOUND) => Choice::Absent,
            Some(sw) if sw.is_locked() => Choice::Locked,
            _ => otherwise.clone(),
        }
    }

    fn absent_secret(&self) -> Option<AbsentSecret> {
        // Only the short form reaches VERIFY where there is no file.
        let asked = ["secret-auth", "secret-sign"].into_iter().filter_map(|probe| match self.exchanges(probe) {
            [only] => only.sw,
            _ => None,
        });
        asked.into_iter().find_map(|sw| match sw {
            Sw::NOT_FOUND => Some(AbsentSecret::FileNotFound),
            Sw::KEY_NOT_FOUND => Some(AbsentSecret::KeyNotFound),
            _ => None,
        })
    }

    fn unknown_scheme(&self) -> Option<UnknownScheme> {
        match self.sw("scheme-unknown")? {
            Sw::WRONG_P1P2 => Some(UnknownScheme::BeforePin),
            Sw::NOT_VERIFIED => Some(UnknownScheme::AfterPin),
            _ => None,
        }
    }

    /// Which schemes there are can be told only where an unknown one gets another answer than a missing PIN.
    fn schemes(&self) -> Option<Schemes> {
        (self.unknown_scheme()? == UnknownScheme::BeforePin).then_some(())?;
        let known = |probe| self.sw(probe).map(|sw| sw != Sw::WRONG_P1P2);
        Some(match (known("scheme-pss")?, known("scheme-digest-info")?) {
            (true, _) => Schemes::All,
            (false, true) => Schemes::WithoutPss,
            (false, false) => Schemes::PaddingOnly,
        })
    }

    fn unwritten(&self, auth: bool, sign: bool) -> Option<Unwritten> {
        let of = |probe: &str| match self.exchanges(probe) {
            [Exchange { sw: Some(Sw::NOT_FOUND), .. }] => Some(Unwritten::Missing),
            [_, read, ..] => match read.sw? {
                Sw::NOT_VERIFIED => Some(Unwritten::Guarded),
                _ => Some(Unwritten::Open),
            },
            _ => None,
        };
        let missing = |probe| of(probe).filter(|unwritten| *unwritten == Unwritten::Missing);
        let of_sign = if sign { None } else { of("certificate-sign") };
        let of_auth = || if auth { None } else { missing("certificate-auth") };
        // The others are free to read, so that only a file that is not there tells anything.
        let of_cas = || missing("certificate-auth-ca").or_else(|| missing("certificate-sign-ca"));
        of_sign.or_else(of_auth).or_else(of_cas)
    }

    fn certificate(&self, probe: &str) -> CertificateFile {
        let mut found = CertificateFile::default();
        let [select, head, rest @ ..] = self.exchanges(probe) else {
            if self.sw(probe) == Some(Sw::NOT_FOUND) {
                found.there = Some(false);
            }
            return found;
        };
        if !select.sw.is_some_and(Sw::is_ok) {
            return found;
        }
        found.guarded = head.sw.map(|sw| sw == Sw::NOT_VERIFIED);
        let head_data =
            head.data.iter().chain(rest.iter().take(1).filter(|_| head.data.is_empty()).flat_map(|next| &next.data));
        let head_data: Vec<_> = head_data.copied().collect();
        if found.guarded == Some(false) && !head_data.is_empty() {
            found.there = Some(head_data.starts_with(&[Some(0x30)]));
        }
        // READ BINARY of one byte each, here inside the file and there beyond it.
        let mut asked = None;
        found.exact = found.there == Some(true);
        for Exchange { command, data, sw } in rest {
            // With the highest bit, P1 names a file.
            if let [0x00, 0xB0, high @ 0x00..=0x7F, low, 0x01] = command[..] {
                asked = Some(u16::from_be_bytes([high, low]));
                found.exact = false;
            }
            let (Some(offset), Some(sw)) = (asked, sw) else { continue };
            if sw.is_ok() && data.len() == 1 {
                found.size = found.size.max(Some(offset + 1));
                if let [Some(byte)] = data[..] {
                    found.filler = [Filler::Ff, Filler::Zero].into_iter().find(|filler| filler.byte() == byte);
                }
            }
        }
        found
    }
}

/// What a report says of one certificate's EF.
#[derive(Default)]
struct CertificateFile {
    there: Option<bool>,
    guarded: Option<bool>,
    size: Option<u16>,
    filler: Option<Filler>,
    /// It ends with its certificate: then its size is not told.
    exact: bool,
}

/// What EF 0008 lists, in its order, where that is not what is there.
fn listed(list: [Option<u8>; 2], there: [bool; 2]) -> Option<Listed> {
    let [sign, auth] = [list[0]? != 0, list[1]? != 0];
    ([sign, auth] != there).then_some(match (sign, auth) {
        (false, false) => Listed::Neither,
        (false, true) => Listed::AuthOnly,
        (true, false) => Listed::SignOnly,
        (true, true) => Listed::Both,
    })
}

fn set<T>(switch: &mut T, seen: Option<T>) {
    if let Some(seen) = seen {
        *switch = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::super::FORMAT;
    use super::*;

    #[test]
    fn an_offset_that_names_a_file_is_no_size() {
        let size = |offset: &str| {
            let text = format!(
                "{FORMAT}\nprobe certificate-auth\n> 00A4020C02000A\n< 9000\n> 00B0000004\n< 3082 XX*2 9000\n\
                 > 00B0{offset}01\n< FF 9000\nend"
            );
            CardReport::parse(&text).unwrap().certificate("certificate-auth").size
        };
        assert_eq!(size("7FFF"), Some(0x8000));
        assert_eq!(size("FFFF"), None);
    }
}
