//! Whatever `card.md` §11 calls unknown has both values on the practice card, and the module passes with both.

use super::*;
use crate::emulator::switches::*;

/// Lists, logs in to both tokens, signs by every scheme offered, changes a secret and logs out.
fn run(name: &str, image: &Image, set: impl Fn(&mut Switches), pss: bool) {
    let ground = Ground::new(with(image, &set));
    assert_eq!(ground.module.slot_list(true, true).unwrap(), [AUTH, SIGN], "{name}");
    for (slot, pin, new) in [(AUTH, PIN, &b"5678"[..]), (SIGN, PASSWORD, b"XYZ789")] {
        let context = format!("{name}, slot {slot}");
        ground.flags(slot);
        let session = ground.session(slot);
        let wrong: &[u8] = if slot == AUTH { b"9999" } else { b"WRONG99" };
        assert_eq!(ground.login(session, wrong), Err(Rv::PIN_INCORRECT), "{context}");
        assert_ne!(ground.flags(slot) & CKF_USER_PIN_COUNT_LOW, 0, "{context}");
        ground.login(session, pin).expect(&context);
        assert_eq!(ground.flags(slot) & CKF_USER_PIN_COUNT_LOW, 0, "{context}");
        assert_eq!(ground.find(session, &[]).len(), 6 + usize::from(slot == AUTH && image.kind == Kind::MyNumber));
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
    assert_eq!(ground.readers.verifies() % 2, 0, "{name}: each secret as often as the other");
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
    run("no issuer security domain", image, |s| s.isd = false, true);
    run("no ATR at power-on state", image, |s| s.contact_atr_at_power_on = false, true);
    run("no extended length", image, |s| s.extended_length = false, true);
    run("no short ids", image, |s| s.short_ids = false, true);
    run("no Le 00", image, |s| s.read_le_zero = false, true);
    run("GET RESPONSE", image, |s| s.answers = Answers::GetResponse, true);
    run("exact Le", image, |s| s.answers = Answers::ExactLe, true);
    run("filler 00", image, |s| s.filler = Filler::Zero, true);
    run("no filler", image, |s| s.certificate_filler_len = 0, true);
    run("no EF 0008", image, |s| s.status_file = false, true);
    run("locked is 6983", image, |s| s.locked = Locked::Blocked, true);
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
    run("wrong input 6700", image, |s| s.wrong_input = WrongInput::WrongLength, true);
    run("new secret checked", image, |s| s.new_secret_checked = true, true);
    run("filler shorter than a block", image, |s| s.certificate_filler_len = 3, true);
    run("no default key", image, |s| s.default_key = false, true);
    run("a driving licence's ATR", image, |s| s.atr = Atr::DrivingLicence, true);
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
