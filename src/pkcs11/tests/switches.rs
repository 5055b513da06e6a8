//! The practice card's switches (`card.md` §12): the module passes with each value of those that it can notice, and never
//! asks what the others answer.

use super::*;
use crate::emulator::local::Exchange;
use crate::emulator::switches::*;

/// Lists, logs in to each token, signs by every scheme offered, changes a secret and logs out. Returns what the card was
/// asked and what it answered.
fn run(name: &str, image: &Image, set: impl Fn(&mut Switches), pss: bool) -> Vec<Exchange> {
    run_configured(name, image, set, pss, |_| {})
}

fn run_configured(
    name: &str,
    image: &Image,
    set: impl Fn(&mut Switches),
    pss: bool,
    change: impl FnOnce(&mut Config),
) -> Vec<Exchange> {
    let ground = Ground::set(Tokens::Both, vec![Box::new(with(image, &set))], change);
    let juki = image.kind == Kind::Juki;
    let slots = if juki { &[SIGN][..] } else { &[AUTH, SIGN] };
    assert_eq!(ground.module.slot_list(true, true).unwrap(), slots, "{name}");
    for &slot in slots {
        let (pin, new) = if slot == AUTH { (PIN, &b"5678"[..]) } else { (PASSWORD, &b"XYZ789"[..]) };
        let context = format!("{name}, slot {slot}");
        ground.flags(slot);
        let session = ground.session(slot);
        let wrong: &[u8] = if slot == AUTH { b"9999" } else { b"WRONG99" };
        assert_eq!(ground.login(session, wrong), Err(Rv::PIN_INCORRECT), "{context}");
        assert_ne!(ground.flags(slot) & CKF_USER_PIN_COUNT_LOW, 0, "{context}");
        ground.login(session, pin).expect(&context);
        assert_eq!(ground.flags(slot) & CKF_USER_PIN_COUNT_LOW, 0, "{context}");
        // One more where the certificates are public, which one of the profiles says.
        let objects = 7 + usize::from(slot == AUTH && image.kind == Kind::MyNumber);
        assert_eq!(ground.find(session, &[]).len(), objects, "{context}");
        ground.sign(session, b"message").expect(&context);
        let signed = ground.sign_with(session, sha256_pss(), b"message");
        assert_eq!(signed.is_ok(), pss, "{context}: {signed:?}");
        ground.readers.reset(READER);
        if let Err(error) = ground.sign(session, b"message") {
            // A reset that clears: the signature password is not presented again.
            assert_eq!((slot, error), (SIGN, Rv::USER_NOT_LOGGED_IN), "{context}");
            ground.login(session, pin).expect(&context);
            ground.sign(session, b"message").expect(&context);
        }
        ground.module.set_pin(session, Some(pin), Some(new)).expect(&context);
        ground.sign(session, b"message").expect(&context);
        ground.module.logout(session).expect(&context);
        assert!(ground.sees_no_key(session), "{context}");
    }
    assert!(juki || ground.readers.verifies().is_multiple_of(2), "{name}: each secret as often as the other");
    ground.readers.log()
}

impl Ground {
    /// Whether no private key is seen.
    fn sees_no_key(&self, session: CK_SESSION_HANDLE) -> bool {
        self.class(session, CKO_PRIVATE_KEY).is_empty()
    }
}

#[test]
fn the_module_passes_with_each_value_of_each_switch() {
    let image = &*MY_NUMBER;
    run("as it comes", image, |_| {}, true);
    run("first command 6F00", image, |s| s.first_command_fails = true, true);
    run("warm reset clears", image, |s| s.warm_reset_clears = true, true);
    run("warm reset leaves nothing", image, |s| s.warm_reset_leaves = false, true);
    run("EF 0008 lists what is not there", image, |s| s.listed = Listed::AuthOnly, true);
    run("no issuer security domain", image, |s| s.isd = false, true);
    run("no extended length", image, |s| s.extended_length = false, true);
    run("no short ids", image, |s| s.short_ids = false, true);
    run("no Le 00", image, |s| s.read_le_zero = false, true);
    run(
        "no Le 00, said after the PIN",
        image,
        |s| (s.read_le_zero, s.wrong_length) = (false, WrongLength::AfterPin),
        true,
    );
    run("GET RESPONSE", image, |s| s.answers = Answers::GetResponse, true);
    run("exact Le", image, |s| s.answers = Answers::ExactLe, true);
    run("filler 00", image, |s| s.filler = Filler::Zero, true);
    run("no filler", image, |s| s.certificate_filler_len = 0, true);
    run("no EF 0008", image, |s| s.status_file = false, true);
    run("locked is 6983", image, |s| s.locked = Locked::Blocked, true);
    run("9000 to a query when verified", image, |s| s.query_when_verified = QueryWhenVerified::Ok, true);
    run("wrong VERIFY keeps", image, |s| s.wrong_verify_clears = false, true);
    run("no PSS", image, |s| s.schemes = Schemes::WithoutPss, false);
    run("padding only", image, |s| s.schemes = Schemes::PaddingOnly, false);
    run(
        "no PSS, said after the PIN",
        image,
        |s| {
            s.schemes = Schemes::PaddingOnly;
            s.unknown_scheme = UnknownScheme::AfterPin;
        },
        false,
    );
    run("filler shorter than a block", image, |s| s.certificate_filler_len = 3, true);
    run("a certificate that needs the PIN", image, |s| s.auth_certificate = AuthCertificate::Pin, true);
    run("a driving licence's ATR", image, |s| s.atr = Atr::DrivingLicence, true);
}

#[test]
fn what_the_module_never_asks_a_card_cannot_answer_otherwise() {
    let image = &*MY_NUMBER;
    let as_it_comes = run("as it comes", image, |_| {}, true);
    type Set = fn(&mut Switches);
    let switches: [(&str, Set); 8] = [
        // GET DATA.
        ("no ATR at power-on state", |s| s.contact_atr_at_power_on = false),
        // SELECT with P2 = 00.
        ("no FCI", |s| s.fci = Fci::Nothing),
        // A signature over too much, a new secret of the wrong form: the module refuses those itself.
        ("wrong input 6700", |s| s.wrong_input = WrongInput::WrongLength),
        ("new secret checked", |s| s.new_secret_checked = true),
        // A signature with P2 = 00, but of a Juki card.
        ("no default key", |s| s.default_key = false),
        // A signature without Le, any command without what it needs.
        ("any Le for a signature", |s| s.signature_le_checked = false),
        ("wrong lengths after the PIN", |s| s.wrong_length = WrongLength::AfterPin),
        // SET SESSION KEY.
        ("a session key in the text application", |s| s.text_session_key = true),
    ];
    for (name, set) in switches {
        assert_eq!(run(name, image, set, true), as_it_comes, "{name}");
    }
}

#[test]
fn the_module_passes_with_a_juki_card_however_it_answers() {
    let image = &*JUKI;
    run("as it comes", image, |_| {}, false);
    run("first command 6F00", image, |s| s.first_command_fails = true, false);
    run("warm reset clears", image, |s| s.warm_reset_clears = true, false);
    run("no issuer security domain", image, |s| s.isd = false, false);
    run("no short ids", image, |s| s.short_ids = false, false);
    run("no Le 00", image, |s| s.read_le_zero = false, false);
    run("unknown scheme after the PIN", image, |s| s.unknown_scheme = UnknownScheme::AfterPin, false);
    // Here a signature has fewer bytes than Le 00 asks for.
    let signatures = |log: Vec<Exchange>| {
        let signatures = log.into_iter().filter(|exchange| exchange.command.starts_with("80 2A"));
        signatures.filter_map(|exchange| exchange.sw.map(|sw| sw.0)).collect::<Vec<_>>()
    };
    let sws = signatures(run("GET RESPONSE", image, |s| s.answers = Answers::GetResponse, false));
    assert!(sws.contains(&0x6180), "{sws:04X?}");
    let sws = signatures(run("exact Le", image, |s| s.answers = Answers::ExactLe, false));
    assert!(sws.contains(&0x6C80) && sws.contains(&0x9000), "{sws:04X?}");
}

#[test]
fn files_are_read_in_the_extended_form_where_it_is_asked_for_and_known() {
    let extended = |log: &[Exchange]| log.iter().any(long_le);
    for (asked_for, known) in [(false, false), (false, true), (true, false), (true, true)] {
        let name = format!("extended_read {asked_for}, extended-length {known}");
        let set = |s: &mut Switches| s.extended_length = known;
        let log = run_configured(&name, &MY_NUMBER, set, true, |config| config.extended_read = asked_for);
        assert_eq!(extended(&log), asked_for, "{name}");
        assert_eq!(log.iter().any(|exchange| exchange.sw == Some(Sw::WRONG_LENGTH)), asked_for && !known, "{name}");
    }
}

/// Whether more was asked for than the short form can.
fn long_le(exchange: &Exchange) -> bool {
    let le = exchange.command.rsplit("Le=").next().and_then(|le| le.parse::<u32>().ok());
    le.is_some_and(|le| le > 256)
}

#[test]
fn the_module_goes_by_select_and_not_by_the_answer_to_reset() {
    for atr in Atr::ALL {
        let ground = Ground::new(with(&MY_NUMBER, |switches| switches.atr = atr));
        assert_eq!(ground.module.slot_list(true, true).unwrap(), [AUTH, SIGN], "{atr:?}");
        assert_ne!(ground.flags(AUTH) & CKF_TOKEN_INITIALIZED, 0, "{atr:?}");
    }
}

#[test]
fn the_module_passes_with_the_phones() {
    run("Android", &ANDROID, |_| {}, true);
    run("iPhone", &IPHONE, |_| {}, true);
    run("Android, and its certificate free", &ANDROID, |s| s.auth_certificate = AuthCertificate::Free, true);
    run("iPhone whose certificate needs the PIN", &IPHONE, |s| s.auth_certificate = AuthCertificate::Pin, true);
}

#[test]
fn what_was_learnt_of_short_ids_is_known_to_the_next_process() {
    let device = || with(&MY_NUMBER, |switches| switches.short_ids = false);
    let ground = Ground::new(device());
    ground.flags(AUTH);
    let refused =
        |readers: &PracticeReaders| readers.log().iter().filter(|exchange| exchange.sw == Some(Sw::WRONG_P1P2)).count();
    assert!(refused(&ground.readers) >= 1);
    let readers = PracticeReaders::new(1);
    readers.insert(READER, Box::new(device()));
    let module = Module::over(ground.module.config.clone(), Tokens::Both, Box::new(readers.clone()));
    module.token_info(AUTH).unwrap();
    assert!(refused(&readers) <= 1, "only before the card is known");
}

#[test]
fn what_another_application_answers_teaches_nothing_about_short_ids() {
    use crate::emulator::local::Incident;
    for ins in [crate::apdu::VERIFY, crate::apdu::READ_BINARY] {
        let ground = Ground::new(card(&MY_NUMBER));
        ground.module.slot_list(true, true).unwrap();
        // A rival has left another application, which takes no short ids.
        let mut first = true;
        ground.readers.on_command(READER, move |command| {
            let refused = command.ins == ins && std::mem::take(&mut first);
            if refused { Incident::Answer(hex("6A86")) } else { Incident::None }
        });
        let session = ground.session(AUTH);
        assert_eq!(ground.class(session, CKO_CERTIFICATE).len(), 2);
        ground.flags(AUTH);
        ground.login(session, PIN).unwrap();
        ground.sign(session, b"x").unwrap();
        let log = ground.readers.log();
        assert_eq!(log.iter().filter(|exchange| exchange.sw == Some(Sw::WRONG_P1P2)).count(), 1);
        let selected = log.iter().find(|exchange| exchange.command.starts_with("00 A4 02"));
        assert_eq!(selected, None, "by its short id this card gives every file");
        let cards = ground.module.config.state_dir.as_ref().unwrap().join("cards");
        let kept = std::fs::read_dir(cards).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        assert!(kept.into_iter().all(|text| !text.contains("short_ids = false")), "it was stored");
    }
}
