//! The questions, in their order. None presents a secret or changes anything. A secret and a private key are named only to
//! a card whose kind is known, and a key only after whatever was verified has been cleared, so that none of these questions
//! can be answered with a signature.

use super::trace::{Mask, Trace, contact_atr, directory, nothing, object_head, object_head_and_filler, token_info};
use crate::apdu::{
    COMPUTE_DIGITAL_SIGNATURE, Command, GET_DATA, GET_RESPONSE, READ_BINARY, Response, SELECT, Sw, VERIFY,
};
use crate::card::{self, Profile, TokenInfo};
use crate::tlv::{self, Header};
use crate::transport::{Error, Result, Transaction};

const JPKI: [u8; 10] = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
const ISSUER_DOMAIN: [u8; 7] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00];
const TOKEN_INFO: u8 = 0x06;
const DIRECTORY: u8 = 0x08;
/// EF of the key whose refusals are looked at: the authentication key, or the only one of a Juki card.
const AUTH_KEY: u8 = 0x17;
const SIGN_KEY: u8 = 0x1A;

/// Puts the questions; `false` if the card is none of ours: without the application, or with one whose token information
/// is not JPKI's, as of a card that says 9000 to everything.
///
/// # Errors
/// The card could not be reached any more; the trace has what it said until then.
pub fn run(transaction: &mut Transaction<'_>, trace: &mut Trace) -> Result<bool> {
    let mut asking = Asking { transaction, trace };
    let powered = asking.power_on()?;
    if !asking.select()? {
        return Ok(false);
    }
    let (short_ids, mut answers) = asking.token_info()?;
    answers.push(asking.lengths()?);
    let Some(label) = answers.iter().find_map(|answer| TokenInfo::parse(&card::JPKI, answer)).map(|info| info.label())
    else {
        return Ok(false);
    };
    let juki = label == "JPKIAPICCTOKEN";
    let sign_listed = asking.directory()?;
    if !juki {
        asking.certificate("certificate-auth", 0x0A)?;
        asking.certificate("certificate-auth-ca", 0x0B)?;
    }
    asking.certificate("certificate-sign-ca", 0x02)?;
    asking.signature_certificate(sign_listed == Some(false))?;
    // What the files of the secrets and keys are on a card of another generation, nobody knows.
    if Profile::of(&card::JPKI, &label).is_some() {
        if !juki {
            asking.secret("secret-auth", 0x18, short_ids)?;
        }
        asking.secret("secret-sign", 0x1B, short_ids)?;
        let cleared = asking.leave()?;
        asking.keys(juki, cleared || powered)?;
    }
    asking.extended()?;
    Ok(true)
}

struct Asking<'a, 't> {
    transaction: &'a mut Transaction<'t>,
    trace: &'a mut Trace,
}

impl Asking<'_, '_> {
    /// Whether the card has just got its power: then nothing is verified.
    fn power_on(&mut self) -> Result<bool> {
        self.probe("first-command", "The first command after power-up, and again if it was lost.", nothing);
        let nothing_selected = Command::new(0x00, SELECT, 0x00, 0x00);
        let mut sw = self.ask(&nothing_selected)?.sw;
        let lost = sw == Sw::NO_DIAGNOSIS;
        if lost {
            sw = self.ask(&nothing_selected)?.sw;
        }
        self.probe(
            "contact-atr",
            "GET DATA of the ATR of the contacts, before an application is selected.",
            contact_atr,
        );
        self.ask_whole(&Command::new(0x00, GET_DATA, 0x5F, 0x51).le(256))?;
        Ok(lost || sw == Sw::WRONG_P1P2)
    }

    fn select(&mut self) -> Result<bool> {
        self.probe("select-fci", "SELECT of the JPKI application, with its description asked for.", nothing);
        self.ask_whole(&Command::new(0x00, SELECT, 0x04, 0x00).data(&JPKI).le(256))?;
        self.probe("select", "SELECT of the JPKI application.", nothing);
        Ok(self.ask(&Command::new(0x00, SELECT, 0x04, 0x0C).data(&JPKI))?.sw.is_ok())
    }

    /// Whether the card takes short EF ids, and what it answered.
    fn token_info(&mut self) -> Result<(bool, Vec<Vec<u8>>)> {
        self.probe("token-info", "READ BINARY of the token information by its short id.", token_info);
        let read = Command::new(0x00, READ_BINARY, 0x80 | TOKEN_INFO, 0x00).le(160);
        let by_short_id = self.ask_whole(&read)?;
        let short_ids = by_short_id.sw != Sw::WRONG_P1P2;
        let mut answers = vec![by_short_id.data];
        self.probe("token-info-selected", "The same, selected first.", token_info);
        if self.select_ef(TOKEN_INFO)? {
            answers.push(self.ask_whole(&Command::new(0x00, READ_BINARY, 0x00, 0x00).le(160))?.data);
        }
        Ok((short_ids, answers))
    }

    /// What the last of these reads answered.
    fn lengths(&mut self) -> Result<Vec<u8>> {
        self.probe("le-zero", "READ BINARY of the same file with Le 00: 256 bytes of 160.", nothing);
        self.ask(&Command::new(0x00, READ_BINARY, 0x00, 0x00).le(256))?;
        self.probe("le-beyond", "READ BINARY of the same file with Le FF.", nothing);
        self.ask_whole(&Command::new(0x00, READ_BINARY, 0x00, 0x00).le(255)).map(|response| response.data)
    }

    /// Whether the card's list has the signature certificate.
    fn directory(&mut self) -> Result<Option<bool>> {
        self.probe("directory", "The list of certificates.", directory);
        if !self.select_ef(DIRECTORY)? {
            return Ok(None);
        }
        let response = self.ask_whole(&Command::new(0x00, READ_BINARY, 0x00, 0x00).le(3))?;
        Ok(response.data.first().map(|byte| *byte != 0))
    }

    /// A certificate's file: whether it can be read, how large it is, and what is behind the certificate. Which bytes are
    /// read does not depend on the certificate. Of a file that ends where its certificate does, the size is not told: that
    /// would be the certificate's length.
    fn certificate(&mut self, name: &'static str, ef: u8) -> Result<()> {
        self.probe(name, "A certificate's file: its head, then single bytes for its size.", object_head);
        if !self.select_ef(ef)? {
            return Ok(());
        }
        let head = self.ask_whole(&Command::new(0x00, READ_BINARY, 0x00, 0x00).le(4))?;
        if !head.sw.is_ok() {
            return Ok(());
        }
        let so_far = self.trace.exchanges();
        // The number of bytes, between `within` and `beyond`.
        let (mut within, mut beyond) = (1_u16, 0x8000_u16);
        while beyond - within > 1 {
            let middle = within + (beyond - within) / 2;
            if self.byte(middle - 1)?.is_some() { within = middle } else { beyond = middle }
        }
        let last = self.byte(within - 1)?;
        let end = Header::parse(&head.data)
            .filter(|header| header.tag == tlv::SEQUENCE)
            .and_then(|header| header.total_len());
        if end.is_some_and(|end| end >= usize::from(within)) {
            self.trace.forget_beyond(so_far);
        } else if last.is_some() {
            self.trace.unmask(object_head_and_filler);
        }
        Ok(())
    }

    /// The signature certificate is behind its password, and is not asked for. Where there is none, its file's beginning
    /// tells what an empty one looks like.
    fn signature_certificate(&mut self, absent: bool) -> Result<()> {
        self.probe("certificate-sign", "The file of the signature certificate; not read where there is one.", nothing);
        if self.select_ef(0x01)? && absent {
            self.ask(&Command::new(0x00, READ_BINARY, 0x00, 0x00).le(1))?;
        }
        Ok(())
    }

    fn secret(&mut self, name: &'static str, ef: u8, short_ids: bool) -> Result<()> {
        self.probe(name, "VERIFY without data: how many tries are left. It uses none.", nothing);
        if short_ids {
            self.ask(&Command::new(0x00, VERIFY, 0x00, 0x80 | ef))?;
        } else if self.select_ef(ef)? {
            self.ask(&Command::new(0x00, VERIFY, 0x00, 0x80))?;
        }
        Ok(())
    }

    /// Selects another application, which clears whatever was verified; whether it could.
    fn leave(&mut self) -> Result<bool> {
        self.probe("issuer-domain", "SELECT of the issuer's security domain.", nothing);
        let left = self.ask(&Command::new(0x00, SELECT, 0x04, 0x0C).data(&ISSUER_DOMAIN))?.sw.is_ok();
        self.probe("select-again", "SELECT of the JPKI application.", nothing);
        self.ask(&Command::new(0x00, SELECT, 0x04, 0x0C).data(&JPKI))?;
        Ok(left)
    }

    /// How the card refuses to sign.
    fn keys(&mut self, juki: bool, certain: bool) -> Result<()> {
        let (ef, p2) = if juki { (SIGN_KEY, 0x00) } else { (AUTH_KEY, 0x80) };
        self.probe("key", "SELECT of a private key's file.", nothing);
        if !certain || !self.select_ef(ef)? {
            return Ok(());
        }
        for (name, about, p1, p2, input) in [
            ("scheme-unknown", "A signature in a scheme that does not exist.", 0x7F, p2, &[0_u8][..]),
            ("scheme-pss", "A signature in RSASSA-PSS, without a PIN.", 0x04, p2, &[0; 32]),
            ("scheme-digest-info", "A signature over a hash, without a PIN.", 0x02, p2, &[0; 32]),
            ("key-default", "A signature with the application's default key, without a PIN.", 0x00, 0x00, &[0]),
        ] {
            self.probe(name, about, nothing);
            let sw = self.ask(&Command::new(0x80, COMPUTE_DIGITAL_SIGNATURE, p1, p2).data(input).le(256))?.sw;
            // Not to be: a card that signs without a PIN is asked no more.
            if sw.is_ok() {
                break;
            }
        }
        Ok(())
    }

    /// Last, since a reader that does not know the form may not answer at all.
    fn extended(&mut self) -> Result<()> {
        self.probe("extended", "READ BINARY of the token information in the extended form.", token_info);
        if self.select_ef(TOKEN_INFO)? {
            self.ask_whole(&Command::new(0x00, READ_BINARY, 0x00, 0x00).le(160).extended())?;
        }
        Ok(())
    }

    fn probe(&mut self, name: &'static str, about: &'static str, mask: Mask) {
        self.trace.probe(name, about, mask);
    }

    fn select_ef(&mut self, ef: u8) -> Result<bool> {
        Ok(self.ask(&Command::new(0x00, SELECT, 0x02, 0x0C).data(&[0x00, ef]))?.sw.is_ok())
    }

    /// One byte of the current file; `None` beyond its end.
    fn byte(&mut self, offset: u16) -> Result<Option<u8>> {
        let [high, low] = offset.to_be_bytes();
        let response = self.ask_whole(&Command::new(0x00, READ_BINARY, high, low).le(1))?;
        Ok(response.data.first().copied().filter(|_| response.sw.is_ok()))
    }

    /// Sends a command and fetches the whole answer: once more with the length that the card wants, and the rest by GET
    /// RESPONSE.
    fn ask_whole(&mut self, command: &Command) -> Result<Response> {
        /// More than any of these answers takes.
        const ROUNDS: usize = 8;
        let short = |le: u16| if le & 0xFF == 0 { 256 } else { u32::from(le & 0xFF) };
        let mut response = self.ask(command)?;
        if response.sw.0 >> 8 == 0x6C {
            response = self.ask(&command.clone().le(short(response.sw.0)))?;
        }
        for _ in 0..ROUNDS {
            if response.sw.0 >> 8 != 0x61 {
                break;
            }
            let rest = self.ask(&Command::new(0x00, GET_RESPONSE, 0x00, 0x00).le(short(response.sw.0)))?;
            response.data.extend_from_slice(&rest.data);
            response.sw = rest.sw;
        }
        Ok(response)
    }

    fn ask(&mut self, command: &Command) -> Result<Response> {
        debug_assert!(!command.is_secret());
        let answer = self.transaction.transmit(&command.encode());
        let response =
            answer.and_then(|answer| Response::parse(answer).map_err(|error| Error::Reader(error.to_string())));
        self.trace.exchange(command, response.as_ref().ok().cloned());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Device;
    use crate::emulator::foreign::{ForeignCard, ForeignKind};
    use crate::emulator::local::PracticeReaders;
    use crate::transport::Readers;

    /// A card with JPKI's application and these token information and answer to `00 A4 00 00`. It takes every command.
    #[derive(Debug)]
    struct Obliging {
        label: &'static str,
        nothing_selected: Sw,
        isd: Sw,
    }

    impl Device for Obliging {
        fn atr(&self) -> Vec<u8> {
            vec![0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14]
        }

        fn power_on(&mut self) {}

        fn power_off(&mut self) {}

        fn reset(&mut self) {}

        fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
            let mut answer = Vec::new();
            let sw = match *command {
                [0x00, SELECT, 0x00, 0x00] => self.nothing_selected,
                [0x00, SELECT, 0x04, _, 7, ..] => self.isd,
                // In the extended form, Le takes three bytes of seven.
                [0x00, READ_BINARY, 0x00, 0x00, 0x00, _, _] => Sw(0x6110),
                [0x00, READ_BINARY, 0x86 | 0x00, 0x00, ..] => {
                    answer = format!("{:160}", self.label).into_bytes();
                    Sw::OK
                }
                [0x00, READ_BINARY, ..] => Sw::WRONG_OFFSET,
                _ => Sw::OK,
            };
            answer.extend_from_slice(&sw.0.to_be_bytes());
            answer
        }
    }

    /// Whether the questions were put to the end, and what they were.
    fn asked(card: Box<dyn Device>) -> (bool, Vec<String>) {
        let readers = PracticeReaders::new(1);
        readers.insert(&PracticeReaders::name(0), card);
        let mut link = readers.connect(&PracticeReaders::name(0)).unwrap();
        let ours = run(&mut Transaction::begin(&mut *link).unwrap(), &mut Trace::default()).unwrap();
        (ours, readers.log().into_iter().map(|exchange| exchange.command).collect())
    }

    fn verifies(asked: &[String]) -> Vec<&String> {
        asked.iter().filter(|command| command.starts_with("00 20")).collect()
    }

    fn signatures(asked: &[String]) -> usize {
        asked.iter().filter(|command| command.starts_with("80 2A")).count()
    }

    #[test]
    fn no_secret_and_no_key_of_a_foreign_card_is_asked_for() {
        for kind in ForeignKind::ALL.into_iter().filter(|kind| *kind != ForeignKind::Mute) {
            let (ours, asked) = asked(Box::new(ForeignCard::new(kind)));
            assert!(!ours, "{kind}");
            assert!(verifies(&asked).is_empty() && signatures(&asked) == 0, "{kind}: {asked:?}");
        }
    }

    #[test]
    fn of_a_generation_that_nobody_knows_only_files_are_read() {
        let card = |label| Box::new(Obliging { label, nothing_selected: Sw::WRONG_P1P2, isd: Sw::OK });
        let (ours, asked_of_it) = asked(card("JPKIAPICCTOKEN3"));
        assert!(ours && verifies(&asked_of_it).is_empty() && signatures(&asked_of_it) == 0, "{asked_of_it:?}");
        // The others are asked how many tries are left, and nothing else.
        for (label, queries) in [
            ("JPKIAPICCTOKEN2", &["00 20 00 98", "00 20 00 9B"][..]),
            ("JPKIAPICCTOKEN", &["00 20 00 9B"]),
            ("JPKIAPGPSETOKEN", &["00 20 00 98", "00 20 00 9B"]),
            ("JPKIAPIOSTOKEN", &["00 20 00 98", "00 20 00 9B"]),
        ] {
            assert_eq!(verifies(&asked(card(label)).1), queries, "{label}");
        }
    }

    #[test]
    fn an_answer_to_the_extended_form_is_fetched_to_its_end() {
        let (_, asked) =
            asked(Box::new(Obliging { label: "JPKIAPICCTOKEN2", nothing_selected: Sw::WRONG_P1P2, isd: Sw::OK }));
        assert_eq!(asked.last().unwrap(), "00 C0 00 00 Le=16", "{asked:?}");
    }

    #[test]
    fn a_key_is_named_only_where_nothing_can_be_verified_and_no_more_once_it_signs() {
        for (nothing_selected, isd, expected) in [
            (Sw::WRONG_P1P2, Sw::OK, 1),
            (Sw::OK, Sw::OK, 1),
            (Sw::WRONG_P1P2, Sw::NOT_FOUND, 1),
            // It kept its power, and the application that was left cannot be left: somebody's PIN may be verified.
            (Sw::OK, Sw::NOT_FOUND, 0),
            (Sw::NOT_FOUND, Sw::NOT_FOUND, 0),
        ] {
            let (_, asked) = asked(Box::new(Obliging { label: "JPKIAPICCTOKEN2", nothing_selected, isd }));
            assert_eq!(signatures(&asked), expected, "{nothing_selected} {isd}");
        }
    }
}
