//! What each program needs: the files of `pkcs11-conf`, as `make install` would fill them in, and where they go.

use super::edit::{Edit, Found, Part};
use super::{Exit, Failure, Program, Result};
use crate::cli::browsers::{self, Browser, Sandboxed};
use crate::cli::machine::{Machine, entries};
use crate::cli::{modules, nss, shown};
use crate::words::{self, Language};
use std::path::{Path, PathBuf};

const FIREFOX: &str = include_str!("../../../pkcs11-conf/firefox-policies.json.in");
const SSH: &str = include_str!("../../../pkcs11-conf/ssh_config.in");
const OPENSSL_PROVIDER: &str = include_str!("../../../pkcs11-conf/openssl-provider.cnf.in");
const OPENSSL_ENGINE: &str = include_str!("../../../pkcs11-conf/openssl-engine.cnf.in");
const JAVA_AUTH: &str = include_str!("../../../pkcs11-conf/java-auth.cfg.in");
const JAVA_SIGN: &str = include_str!("../../../pkcs11-conf/java-sign.cfg.in");
const P11_KIT: &str = include_str!("../../../pkcs11-conf/jpki-pkcs11.module.in");

/// The directory of this project among the user's configuration.
const OWN: &str = "jpki-pkcs11";
/// What NSS lists the module as.
const NSS_NAME: &str = "My Number Card";
const HERE_BEGINS: &str = "# jpki-pkcs11 begins; \"jpki setup ssh --undo\" takes this out";
const HERE_ENDS: &str = "# jpki-pkcs11 ends";

/// What to write, and what to tell the person then.
pub struct Recipe {
    /// An NSS database to make first.
    pub database: Option<PathBuf>,
    pub edits: Vec<Edit>,
    pub afterwards: Vec<String>,
}

/// The recipe for `program`, with the module in `directory`.
///
/// # Errors
/// [`Exit::Usage`] where a choice is missing, [`Exit::Failed`] where the program was never used or cannot use the card.
pub fn of(
    program: Program,
    machine: &Machine,
    directory: &str,
    hosts: &[String],
    privileged: bool,
    language: Language,
) -> Result<Recipe> {
    if !hosts.is_empty() && program != Program::Ssh {
        return Err(Failure::new(Exit::Usage, "--host is for ssh"));
    }
    match program {
        Program::Firefox if privileged => firefox_of_all(machine, directory),
        Program::Firefox => firefox(machine, directory),
        Program::Chromium => chromium(machine, directory),
        Program::Ssh => ssh(machine, directory, hosts),
        Program::Openssl => openssl(machine, directory, language),
        Program::Java => java(machine, directory, language),
        Program::P11Kit => p11_kit(machine, directory),
    }
}

/// A host pattern of ssh_config(5).
pub fn host(text: &str) -> std::result::Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '*' | '?' | '!' | '[' | ']');
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("that is no host pattern".into())
    }
}

fn firefox_of_all(machine: &Machine, directory: &str) -> Result<Recipe> {
    let sandboxed = beside_an_ordinary(machine, Browser::Firefox)?;
    let file = machine.system("/etc/firefox/policies/policies.json");
    let done = "Every Firefox of this machine loads the module from its next start on.";
    Ok(Recipe {
        database: None,
        edits: vec![Edit { mode: 0o644, shared: true, ..whole(file, FIREFOX, directory, "") }],
        afterwards: [vec![done.into()], sandboxed].concat(),
    })
}

fn firefox(machine: &Machine, directory: &str) -> Result<Recipe> {
    let places = [machine.home(".mozilla/firefox"), machine.config("mozilla/firefox")];
    let profiles = places.iter().flatten().flat_map(|place| entries(place)).map(|profile| profile.join(nss::FILE));
    let profiles: Vec<_> = profiles.filter(|file| file.is_file()).collect();
    let sandboxed = Sandboxed::used(machine, Browser::Firefox);
    if profiles.is_empty() {
        return Err(match sandboxed.first() {
            Some(one) => Failure::new(Exit::Failed, one.what())
                .next(format!("{}\nStart that once, close it, and say this again.", Sandboxed::NEXT)),
            None => Failure::new(Exit::Failed, "Firefox has no profile of yours yet")
                .next("Start Firefox once and close it; or set it up for everybody: sudo -H jpki setup firefox"),
        });
    }
    Ok(Recipe {
        database: None,
        edits: profiles.into_iter().map(|file| nss_module(file, directory)).collect(),
        afterwards: [vec!["Close Firefox and start it again.".into()], notes(&sandboxed)].concat(),
    })
}

fn chromium(machine: &Machine, directory: &str) -> Result<Recipe> {
    let sandboxed = beside_an_ordinary(machine, Browser::Chromium)?;
    let database = home(browsers::chromium_database(machine))?;
    let file = database.join(nss::FILE);
    Ok(Recipe {
        database: (!file.is_file()).then_some(database),
        edits: vec![nss_module(file, directory)],
        afterwards: [vec!["Close Chromium and start it again.".into()], sandboxed].concat(),
    })
}

/// What to say of a browser's kinds that cannot use the card.
///
/// # Errors
/// [`Exit::Failed`] where there is no other: what is set up would help nobody.
fn beside_an_ordinary(machine: &Machine, browser: Browser) -> Result<Vec<String>> {
    let sandboxed = Sandboxed::used(machine, browser);
    match sandboxed.first() {
        Some(one) if !browser.is_ordinary(machine) => Err(Failure::new(Exit::Failed, one.what()).next(Sandboxed::NEXT)),
        _ => Ok(notes(&sandboxed)),
    }
}

fn notes(sandboxed: &[Sandboxed]) -> Vec<String> {
    let mut notes: Vec<_> = sandboxed.iter().map(|one| format!("{}.", one.what())).collect();
    notes.extend((!notes.is_empty()).then(|| Sandboxed::NEXT.to_owned()));
    notes
}

/// Browsers see the authentication token only.
fn nss_module(file: PathBuf, directory: &str) -> Edit {
    let library = format!("{directory}/{}", modules::AUTH);
    let same = PathBuf::from(&library);
    let part = Part::Lines {
        make: Box::new(move |above| nss::paragraph(above, NSS_NAME, &library)),
        found: Box::new(move |text| if nss::modules(text).contains(&same) { Found::Same } else { Found::Nothing }),
    };
    Edit { file, part, mode: 0o600, shared: false }
}

fn ssh(machine: &Machine, directory: &str, hosts: &[String]) -> Result<Recipe> {
    if hosts.is_empty() {
        return Err(Failure::new(Exit::Usage, "it has to be known which servers you log in to with the card").next(
            "Name them: jpki setup ssh --host SERVER. Every server named is shown the public key of your authentication\n\
             certificate, which is the same everywhere and tells that it is you; --host '*' shows it to all.",
        ));
    }
    let own = home(machine.config(OWN))?.join("ssh_config");
    let block =
        format!("{HERE_BEGINS}\nHost {}\n    Include \"{}\"\nMatch all\n{HERE_ENDS}\n", hosts.join(" "), own.display());
    let same = block.clone();
    let part = Part::Lines {
        make: Box::new(move |above| match above {
            "" => block.clone(),
            above if above.ends_with('\n') => format!("\n{block}"),
            _ => format!("\n\n{block}"),
        }),
        found: Box::new(move |text| match text {
            text if text.contains(&same) => Found::Same,
            text if text.contains(HERE_BEGINS) => Found::Other,
            _ => Found::Nothing,
        }),
    };
    let config = Edit { file: home(machine.home(".ssh/config"))?, part, mode: 0o600, shared: false };
    let file = [modules::SSH, modules::AUTH].into_iter().find(|file| Path::new(directory).join(file).is_file());
    let module = format!("{directory}/{}", file.unwrap_or(modules::AUTH));
    Ok(Recipe {
        database: None,
        edits: vec![whole(own, SSH, directory, &own_directory(machine)?), config],
        afterwards: vec![
            format!("Your public key, for the server's ~/.ssh/authorized_keys: ssh-keygen -D {module}"),
            "When the certificate is renewed the key is a new one, and has to be put there again.".into(),
        ],
    })
}

fn openssl(machine: &Machine, directory: &str, language: Language) -> Result<Recipe> {
    let own = own_directory(machine)?;
    let files = [("openssl-provider.cnf", OPENSSL_PROVIDER), ("openssl-engine.cnf", OPENSSL_ENGINE)];
    Ok(Recipe {
        database: None,
        edits: files.map(|(name, text)| whole(Path::new(&own).join(name), text, directory, &own)).into(),
        afterwards: vec![
            "With the provider (package pkcs11-provider):".into(),
            format!("  export OPENSSL_CONF={own}/openssl-provider.cnf"),
            "With the engine (package libengine-pkcs11-openssl):".into(),
            format!("  export OPENSSL_CONF={own}/openssl-engine.cnf"),
            words::SIGN_NOTICE.text(language).into(),
        ],
    })
}

fn java(machine: &Machine, directory: &str, language: Language) -> Result<Recipe> {
    let own = own_directory(machine)?;
    let files = [("java-auth.cfg", JAVA_AUTH), ("java-sign.cfg", JAVA_SIGN)];
    Ok(Recipe {
        database: None,
        edits: files.map(|(name, text)| whole(Path::new(&own).join(name), text, directory, &own)).into(),
        afterwards: vec![
            "To log in:".into(),
            format!("  keytool -list -storetype PKCS11 -addprovider SunPKCS11 -providerarg {own}/java-auth.cfg"),
            "To sign documents, the same with java-sign.cfg.".into(),
            words::SIGN_NOTICE.text(language).into(),
        ],
    })
}

fn p11_kit(machine: &Machine, directory: &str) -> Result<Recipe> {
    let file = home(machine.config("pkcs11/modules"))?.join("jpki-pkcs11.module");
    Ok(Recipe {
        database: None,
        edits: vec![whole(file, P11_KIT, directory, &own_directory(machine)?)],
        afterwards: vec!["Look at it with: p11-kit list-modules".into()],
    })
}

/// A file of `pkcs11-conf`, filled in: the other files it speaks of are in `docs`. For its owner alone, who is invited to
/// put a PIN into some of them.
fn whole(file: PathBuf, template: &str, modules: &str, docs: &str) -> Edit {
    let text = template.replace("@moduledir@", modules).replace("@docdir@", docs);
    Edit { file, part: Part::Whole(text), mode: 0o600, shared: false }
}

fn own_directory(machine: &Machine) -> Result<String> {
    let directory = home(machine.config(OWN))?;
    let plain = |text: &&str| !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '\'' | '#'));
    directory.to_str().filter(plain).map(str::to_owned).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("{} has characters that configuration files cannot hold", shown(&directory)))
    })
}

fn home(path: Option<PathBuf>) -> Result<PathBuf> {
    path.ok_or_else(|| Failure::new(Exit::Failed, "the variable HOME is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_sets_up_firefox_for_everybody_by_a_policy_that_is_json() {
        let machine = Machine::of(Path::new("/root-of-test"), |_| None);
        let recipe = of(Program::Firefox, &machine, "/usr/lib/pkcs11", &[], true, Language::En).unwrap();
        let [Edit { file, part: Part::Whole(text), mode: 0o644, shared: true }] = recipe.edits.as_slice() else {
            panic!()
        };
        assert_eq!(file, Path::new("/root-of-test/etc/firefox/policies/policies.json"));
        let policy: serde_json::Value = serde_json::from_str(text).unwrap();
        assert!(policy["policies"]["SecurityDevices"].to_string().contains("/usr/lib/pkcs11/libjpki_pkcs11-auth.so"));
    }

    #[test]
    fn a_browser_that_is_only_there_in_a_box_is_not_set_up_and_beside_another_it_is_pointed_out() {
        let wrapper = "#!/bin/sh\nexec /snap/bin/firefox \"$@\"\n";
        let in_snap = ("home/me/snap/firefox/common/.mozilla/firefox/x.default/pkcs11.txt", "");
        let profile = ("home/me/.mozilla/firefox/x.default/pkcs11.txt", "");
        let chromium = ("var/lib/flatpak/app/org.chromium.Chromium/current", "");
        for (program, privileged, alone, beside) in [
            (Program::Firefox, false, vec![in_snap, ("usr/bin/firefox", wrapper)], profile),
            (
                Program::Firefox,
                true,
                vec![("snap/bin/firefox", ""), ("usr/bin/firefox", wrapper)],
                ("usr/bin/firefox-esr", ""),
            ),
            (Program::Chromium, false, vec![chromium], ("usr/bin/google-chrome", "")),
        ] {
            let recipe = |files: &[(&str, &str)]| {
                of(program, &Machine::with_files(files).1, "/usr/lib/pkcs11", &[], privileged, Language::En)
            };
            let failure = recipe(&alone).err().expect("there is no other");
            assert!(format!("{failure:?}").contains("which cannot load a module of the system"), "{failure:?}");
            let afterwards =
                recipe(&[alone, vec![beside]].concat()).unwrap_or_else(|failure| panic!("{failure:?}")).afterwards;
            assert!(
                afterwards.iter().any(|line| line.contains("which cannot load a module of the system")),
                "{afterwards:?}"
            );
            let afterwards = recipe(&[beside]).unwrap_or_else(|failure| panic!("{failure:?}")).afterwards;
            assert_eq!(afterwards.len(), 1, "{afterwards:?}");
        }
    }

    #[test]
    fn no_place_holder_is_left_in_any_file() {
        let machine = Machine::of(Path::new("/"), |name| (name == "HOME").then(|| "/home/me".into()));
        let hosts = ["server.example".to_owned()];
        for (program, hosts) in
            [(Program::Ssh, &hosts[..]), (Program::Openssl, &[]), (Program::Java, &[]), (Program::P11Kit, &[])]
        {
            for edit in of(program, &machine, "/usr/lib/pkcs11", hosts, false, Language::En).unwrap().edits {
                let text = match edit.part {
                    Part::Whole(text) => text,
                    Part::Lines { make, .. } => make(""),
                };
                let left = ["@moduledir@", "@docdir@"].iter().any(|place| text.contains(place));
                assert!(!left, "{}: {text}", edit.file.display());
            }
        }
    }

    #[test]
    fn a_host_is_a_pattern_and_nothing_more() {
        assert!(host("*.example.jp").is_ok() && host("[::1]").is_ok());
        for bad in ["", "a b", "a\nPKCS11Provider /x", "a\"", "#"] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }
}
