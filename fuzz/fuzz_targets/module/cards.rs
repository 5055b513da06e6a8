//! The cards there are: one of each kind, and My Number cards that differ in what real cards differ in.

use jpki_pkcs11::emulator::image::Image;
use jpki_pkcs11::emulator::switches::{Answers, AuthCertificate, Schemes, Switches};
use std::sync::LazyLock;

/// The cards, made by `cards/make.sh`.
pub static CARDS: LazyLock<Vec<Image>> = LazyLock::new(|| {
    let card = |text| Image::parse(text).expect("a card file");
    let my_number = card(include_str!("../../cards/mynumber.toml"));
    let juki = card(include_str!("../../cards/juki.toml"));
    let with = |change: &dyn Fn(&mut Switches)| {
        let mut image = my_number.clone();
        change(&mut image.switches);
        image
    };
    vec![
        my_number.clone(),
        with(&|switches| switches.first_command_fails = true),
        with(&|switches| switches.short_ids = false),
        with(&|switches| switches.schemes = Schemes::WithoutPss),
        with(&|switches| switches.answers = Answers::GetResponse),
        with(&|switches| (switches.answers, switches.read_le_zero) = (Answers::ExactLe, false)),
        with(&|switches| (switches.isd, switches.auth_certificate) = (false, AuthCertificate::Pin)),
        card(include_str!("../../cards/android.toml")),
        juki.clone(),
        juki,
    ]
});
