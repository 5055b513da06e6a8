//! What a program's tests stand on: the module as installed, a card in a reader, and what the card was asked.

use crate::common::cards::{card, card_as};
use crate::common::make::{make, variable};
use crate::common::pcscd::{Inserted, Pcscd, with_pcscd};
use crate::common::{Scratch, opensc, run};
use crate::cost::{self, Cost};
use jpki_pkcs11::emulator::image::{Image, Kind, SecretName};
use jpki_pkcs11::emulator::seed::Seed;
use std::fs;
use std::path::{Path, PathBuf};

/// A test's scratch directory, its pcscd, and an installation in it.
pub struct Ground<'a> {
    pub pcscd: &'a Pcscd,
    pub scratch: Scratch,
    pub installed: Installed,
}

/// Runs `body`, which is all that the test `name` (with its module: `firefox::…`) does, on a ground of its own.
pub fn with_ground(name: &str, body: impl FnOnce(&Ground<'_>)) {
    with_pcscd(name, |pcscd| {
        let scratch = Scratch::new();
        let installed = Installed::in_dir(&scratch);
        body(&Ground { pcscd, scratch, installed });
    });
}

/// What `make install` installs, below a directory of the test's.
pub struct Installed {
    prefix: PathBuf,
}

impl Installed {
    fn in_dir(scratch: &Scratch) -> Installed {
        let prefix = scratch.path().join("usr");
        run(make("install")
            .args([variable("PREFIX", &prefix), variable("p11kitdir", &prefix.join("share/p11-kit/modules"))]))
        .ok();
        Installed { prefix }
    }

    /// The module that shows the authentication token.
    pub fn auth(&self) -> PathBuf {
        self.module("-auth")
    }

    /// The module that shows the signature token.
    pub fn sign(&self) -> PathBuf {
        self.module("-sign")
    }

    /// The module that shows both.
    pub fn both(&self) -> PathBuf {
        self.module("")
    }

    fn module(&self, ending: &str) -> PathBuf {
        self.prefix.join(format!("lib/pkcs11/libjpki_pkcs11{ending}.so"))
    }

    /// A file of `pkcs11-conf`, as installed: without `.in`.
    pub fn conf(&self, name: &str) -> PathBuf {
        let path = self.prefix.join("share/doc/jpki-pkcs11").join(name);
        assert!(path.is_file(), "{} is not installed", path.display());
        path
    }

    /// The directory of p11-kit's module files.
    pub fn p11_kit_modules(&self) -> PathBuf {
        self.prefix.join("share/p11-kit/modules")
    }
}

/// A practice card: its file and what is public of it. PIN and password are those of [`crate::common::cards`].
pub struct Card {
    pub file: PathBuf,
    image: Image,
}

impl Ground<'_> {
    /// A new card. There is one in a test.
    pub fn card(&self) -> Card {
        Card::of(card(&self.scratch, Kind::MyNumber))
    }

    /// A new card of what may be the next generation, another holder's. There is one in a test.
    pub fn next_card(&self) -> Card {
        Card::of(card_as(&self.scratch, Kind::Next, |order| order.seed = Seed::from("tests of the next generation")))
    }

    /// Runs `work` with the card newly inserted, takes the card out, and says what that cost.
    pub fn with_inserted<R>(&self, card: &Card, work: impl FnOnce(&Inserted) -> R) -> (R, Cost) {
        let before = Cost::so_far(&card.file);
        let inserted = self.pcscd.insert(&card.file);
        let done = work(&inserted);
        self.pcscd.remove(inserted);
        let after = Cost::so_far(&card.file);
        (done, Cost { apdus: after.apdus - before.apdus, verifies: after.verifies - before.verifies })
    }

    /// Runs a program's action on the newly inserted card, first with our module `ours` and then with OpenSC's, and notes
    /// both costs for the table in `docs/programs/costs.md`. `action` answers whether the program did what it was to do,
    /// which with OpenSC's module it need not.
    ///
    /// # Panics
    /// If the program fails with ours, or costs the card more than with OpenSC's.
    pub fn compare(&self, card: &Card, program: &str, what: &str, ours: &Path, action: impl Fn(&Path) -> bool) {
        let (works, our_cost) = self.with_inserted(card, |_| action(ours));
        assert!(works, "{program}: {what}");
        let (theirs_works, their_cost) = self.with_inserted(card, |_| action(&opensc()));
        cost::note(program, what, our_cost, theirs_works.then_some(their_cost).ok_or(their_cost));
        assert!(our_cost.apdus <= their_cost.apdus || !theirs_works, "{program}: {what}: {our_cost:?}, {their_cost:?}");
        assert!(our_cost.verifies <= their_cost.verifies || !theirs_works, "{our_cost:?}, {their_cost:?}");
    }
}

impl Card {
    fn of(file: PathBuf) -> Card {
        let image = fs::read_to_string(&file).expect("the card is a file");
        Card { image: Image::parse(&image).expect("the card's file is whole"), file }
    }

    /// The label of its authentication token.
    pub fn auth_token(&self) -> String {
        self.token("Auth (4-digit PIN)")
    }

    /// The label of its signature token.
    pub fn sign_token(&self) -> String {
        self.token("Sign (6-16 chars)")
    }

    fn token(&self, which: &str) -> String {
        format!("PRACTICE {which} {}", &self.image.serial[self.image.serial.len() - 4..])
    }

    /// The authentication CA's certificate, as PEM.
    pub fn auth_ca(&self) -> &str {
        self.image.certificates.auth_ca.as_deref().expect("it was issued")
    }

    /// The signature CA's.
    pub fn sign_ca(&self) -> &str {
        self.image.certificates.sign_ca.as_deref().expect("it was issued")
    }

    /// The user authentication certificate.
    pub fn auth_certificate(&self) -> &str {
        self.image.certificates.auth.as_deref().expect("it was issued")
    }

    /// The digital signature certificate.
    pub fn sign_certificate(&self) -> &str {
        self.image.certificates.sign.as_deref().expect("it was issued")
    }

    /// Tries left, of the authentication PIN and of the signature password.
    pub fn tries(&self) -> (u8, u8) {
        let image = fs::read_to_string(&self.file).expect("the card is a file");
        let secrets = Image::parse(&image).expect("the card's file is whole").secrets;
        [SecretName::Auth, SecretName::Sign].map(|name| secrets.named(name).expect("it was set").tries).into()
    }

    /// What it was asked so far.
    pub fn cost(&self) -> Cost {
        Cost::so_far(&self.file)
    }
}
