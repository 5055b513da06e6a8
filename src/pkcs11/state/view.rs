//! What the module shows of a card. It is one code under several names, and the name of its file decides: whoever names a
//! file in a program's configuration says by that what the program is to see.
//!
//! A browser that is shown both tokens asks for the signature password when a site asks for a certificate, and could send
//! the signature certificate, with the holder's name and address, to any server. So a name that says nothing must not
//! show more than one that does.

use crate::card::Key;
use crate::config::{Authorities, Config, Tokens};
use crate::sys;
use crate::text::sanitise;
use once_cell::race::OnceBox;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, fs};

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    authentication: bool,
    signature: bool,
    /// When the certificates of the authorities are among the objects.
    pub(crate) authorities: Authorities,
}

/// Where this code was loaded from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// It is linked into the program.
    Program,
    /// It is a module of its own.
    Module(File),
}

/// The module's file, by all its names: that which the loader was given, and those that links lead to from there.
#[derive(Debug)]
pub(crate) struct File {
    given: PathBuf,
    /// Those that are ours, in the order in which they were met.
    names: Vec<Name>,
    /// Whether the last of all names, that of the file itself, is none of ours, or cannot be told.
    is_unknown: bool,
}

/// A name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// `libjpki_pkcs11`
    Plain,
    /// `libjpki_pkcs11-auth`, and `-ssh`, which was another thing once and is in people's configuration.
    Auth,
    /// `libjpki_pkcs11-sign`
    Sign,
}

/// How many links are followed: as many as Linux does (path_resolution(7)).
const LINKS: usize = 40;

/// Whether somebody has asked for the interface that only NSS asks for.
static NSS_HOST: AtomicBool = AtomicBool::new(false);

/// Notes that this process is an NSS host (Firefox, Thunderbird, LibreOffice …): with the module's plain file it is shown
/// the authentication token only, whatever it was meant to do.
pub(crate) fn note_nss_host() {
    NSS_HOST.store(true, Ordering::Relaxed);
}

/// Notes where the module was loaded from. Called where every program calls right after it has loaded it: later a path
/// that the loader was given may lead elsewhere, from another directory or after an update.
pub(crate) fn note_origin() {
    Origin::of_process();
}

impl View {
    /// What a module from `origin` shows under this configuration.
    pub(crate) fn of(origin: &Origin, config: &Config) -> View {
        View::seen_by(NSS_HOST.load(Ordering::Relaxed), origin, config)
    }

    fn seen_by(is_nss_host: bool, origin: &Origin, config: &Config) -> View {
        let mut view = match origin {
            Origin::Program => Name::Plain.view(config),
            Origin::Module(file) => {
                let unknown = file.is_unknown.then_some(Name::Auth);
                let views = file.names.iter().copied().chain(unknown).map(|name| name.view(config));
                views.reduce(View::and).unwrap_or(Name::Auth.view(config))
            }
        };
        if view.authentication && view.signature && is_nss_host {
            view.signature = false;
        }
        View { authorities: config.authorities.unwrap_or(view.authorities), ..view }
    }

    /// What both show.
    fn and(self, other: View) -> View {
        View {
            authentication: self.authentication && other.authentication,
            signature: self.signature && other.signature,
            authorities: self.authorities.min(other.authorities),
        }
    }

    /// Whether the token of this key is shown.
    pub(crate) fn shows(self, key: Key) -> bool {
        match key {
            Key::Authentication => self.authentication,
            Key::Signature => self.signature,
        }
    }
}

impl fmt::Display for View {
    /// As a line of the log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = match (self.authentication, self.signature) {
            (true, true) => "both tokens",
            (true, false) => "the authentication token",
            (false, true) => "the signature token",
            (false, false) => "no token",
        };
        let authorities = match self.authorities {
            Authorities::Never => "never",
            Authorities::AfterLogin => "after login",
            Authorities::Always => "always",
        };
        write!(f, "{tokens}, authorities' certificates {authorities}")
    }
}

impl From<Tokens> for View {
    /// These tokens with all their objects.
    fn from(tokens: Tokens) -> View {
        View {
            authentication: tokens != Tokens::Sign,
            signature: tokens != Tokens::Auth,
            authorities: Authorities::Always,
        }
    }
}

impl Origin {
    /// That of this process's module, as it was when first asked for.
    pub(crate) fn of_process() -> &'static Origin {
        static ORIGIN: OnceBox<Origin> = OnceBox::new();
        ORIGIN.get_or_init(|| Origin::find().into())
    }

    fn find() -> Origin {
        if sys::is_in_program() {
            return Origin::Program;
        }
        Origin::Module(File::follow(sys::own_path().unwrap_or_default()))
    }

    /// For the log: what is shown otherwise than its names promise, and what to do about it.
    pub(crate) fn remark(&self, view: View) -> Option<String> {
        let Origin::Module(file) = self else { return None };
        let given = file.given.display().to_string();
        let given = sanitise(&given);
        let shown = match (view.authentication, view.signature) {
            (false, false) => "no token is shown",
            _ if file.is_unknown => "the authentication token alone is shown",
            _ => return None,
        };
        let why = if file.is_unknown {
            "is, or leads to, a file whose name says nothing"
        } else {
            "has names, its own and those of links, that have no token in common"
        };
        Some(format!(
            "{given} {why}: {shown}. Load libjpki_pkcs11-auth.so for logging in, libjpki_pkcs11-sign.so for documents, \
             libjpki_pkcs11.so for both, under that name or by a link of any other name"
        ))
    }
}

impl File {
    /// The file that the loader opened as `given`.
    fn follow(given: PathBuf) -> File {
        let (mut path, mut names) = (given.clone(), Vec::new());
        for _ in 0..=LINKS {
            let name = path.file_name().and_then(Name::of);
            names.extend(name);
            let is_unknown = match fs::read_link(&path) {
                Ok(target) => {
                    path = path.parent().unwrap_or(Path::new("")).join(target);
                    continue;
                }
                // No link.
                Err(error) if error.kind() == ErrorKind::InvalidInput => name.is_none(),
                // Gone since it was loaded, as in an update. A path from a directory that is no longer ours tells nothing.
                Err(error) if error.kind() == ErrorKind::NotFound && path.is_absolute() => name.is_none(),
                Err(_) => true,
            };
            return File { given, names, is_unknown };
        }
        File { given, names, is_unknown: true }
    }
}

impl Name {
    /// The name of ours that `file` is, with or without a version: `-0.1` before the ending, `.1` or `.0.1.0` after it. Where
    /// anything else stands it is none, lest `libjpki_pkcs11-0.1-auth.so` be taken for the file with both tokens.
    fn of(file: &OsStr) -> Option<Name> {
        let file = file.to_str()?;
        let (stem, version) = file.split_once(".so").or_else(|| file.split_once(".dylib"))?;
        if !version.is_empty() && !version.strip_prefix('.').is_some_and(is_version) {
            return None;
        }
        let ending = stem.strip_prefix("libjpki_pkcs11")?;
        match ending.rsplit_once('-').filter(|(_, version)| is_version(version)).map_or(ending, |(ending, _)| ending) {
            "" => Some(Name::Plain),
            "-auth" | "-ssh" => Some(Name::Auth),
            "-sign" => Some(Name::Sign),
            _ => None,
        }
    }

    /// What a file of this name shows.
    ///
    /// Some programs take every certificate of a token for one of the user's: OpenSSH would let the authority in wherever
    /// its key stands among the user's, kinit wants exactly one, gpgsm learns the only one it sees before a login. So a
    /// token that is shown alone has the holder's alone, as long as nobody has logged in.
    fn view(self, config: &Config) -> View {
        let alone = |tokens, authorities| View { authorities, ..View::from(tokens) };
        match self {
            Name::Plain => config.tokens.into(),
            Name::Auth => alone(Tokens::Auth, Authorities::Never),
            Name::Sign => alone(Tokens::Sign, Authorities::AfterLogin),
        }
    }
}

/// Digits and full stops, the first of them a digit.
fn is_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGN: View = View { authentication: false, signature: true, authorities: Authorities::AfterLogin };
    const AUTH: View = View { authentication: true, signature: false, authorities: Authorities::Never };

    fn module(names: &[Name], is_unknown: bool) -> Origin {
        Origin::Module(File { given: "/a/module".into(), names: names.to_vec(), is_unknown })
    }

    fn view(names: &[Name]) -> View {
        View::seen_by(false, &module(names, false), &Config::default())
    }

    #[test]
    fn our_names_are_known_with_any_version_and_no_others_are() {
        for (file, name) in [
            ("libjpki_pkcs11.so", Some(Name::Plain)),
            ("libjpki_pkcs11.so.1", Some(Name::Plain)),
            ("libjpki_pkcs11-0.1.0.so", Some(Name::Plain)),
            ("libjpki_pkcs11.dylib", Some(Name::Plain)),
            ("libjpki_pkcs11-auth.so", Some(Name::Auth)),
            ("libjpki_pkcs11-ssh.so.0.1.0", Some(Name::Auth)),
            ("libjpki_pkcs11-auth-0.1.so", Some(Name::Auth)),
            ("libjpki_pkcs11-sign-12.so.3", Some(Name::Sign)),
            ("libjpki_pkcs11-0.1-auth.so", None),
            ("libjpki_pkcs11-0.1-0.2.so", None),
            ("libjpki_pkcs11.so.auth", None),
            ("libjpki_pkcs11.so.1-auth", None),
            ("libjpki_pkcs11.so.", None),
            ("libjpki_pkcs11-.so", None),
            ("libjpki_pkcs11-AUTH.so", None),
            ("libjpki_pkcs11-authority.so", None),
            ("libjpki_pkcs11auth.so", None),
            ("libjpki_pkcs11", None),
            ("jpki_pkcs11.so", None),
            ("browser.so", None),
            ("", None),
        ] {
            assert_eq!(Name::of(OsStr::new(file)), name, "{file}");
        }
    }

    #[test]
    fn the_authoritys_certificate_is_not_shown_by_auth_after_login_by_sign_and_always_by_both() {
        assert_eq!(view(&[Name::Plain]), Tokens::Both.into());
        assert_eq!(view(&[Name::Auth]), AUTH);
        assert_eq!(view(&[Name::Sign]), SIGN);
        let mut config = Config::default();
        for authorities in [Authorities::Never, Authorities::AfterLogin, Authorities::Always] {
            config.authorities = Some(authorities);
            for name in [Name::Plain, Name::Auth, Name::Sign] {
                assert_eq!(View::seen_by(false, &module(&[name], false), &config).authorities, authorities, "{name:?}");
            }
        }
    }

    #[test]
    fn several_names_show_what_all_of_them_allow() {
        assert_eq!(view(&[Name::Plain, Name::Sign]), SIGN);
        assert_eq!(view(&[Name::Auth, Name::Plain]), AUTH);
        let none = view(&[Name::Auth, Name::Sign]);
        assert!(Key::ALL.iter().all(|&key| !none.shows(key)));
        assert_eq!(View::seen_by(false, &module(&[], true), &Config::default()), AUTH);
        assert_eq!(View::seen_by(false, &module(&[Name::Plain], true), &Config::default()), AUTH);
        let config = Config { tokens: Tokens::Sign, ..Config::default() };
        assert_eq!(View::seen_by(false, &module(&[Name::Plain], false), &config), Tokens::Sign.into());
        assert_eq!(View::seen_by(false, &module(&[], true), &config), AUTH, "the key is about the plain file");
    }

    #[test]
    fn an_nss_host_is_never_shown_both() {
        let shown = |names: &[Name], tokens| {
            View::seen_by(true, &module(names, false), &Config { tokens, ..Config::default() })
        };
        assert_eq!(shown(&[Name::Plain], Tokens::Both), Tokens::Auth.into());
        assert_eq!(shown(&[Name::Plain], Tokens::Sign), Tokens::Sign.into(), "somebody wanted it");
        assert_eq!(shown(&[Name::Sign], Tokens::Both), SIGN);
        assert_eq!(shown(&[Name::Plain, Name::Sign], Tokens::Both), SIGN);
        assert_eq!(View::seen_by(true, &Origin::Program, &Config::default()), Tokens::Auth.into());
    }

    #[test]
    fn the_log_is_told_of_what_the_names_do_not_show() {
        let remark = |origin: Origin| origin.remark(View::seen_by(false, &origin, &Config::default()));
        for names in [&[Name::Plain][..], &[Name::Auth], &[Name::Sign], &[Name::Plain, Name::Sign]] {
            assert_eq!(remark(module(names, false)), None);
        }
        assert_eq!(remark(Origin::Program), None);
        assert!(
            remark(module(&[], true)).unwrap().contains("/a/module is, or leads to, a file whose name says nothing")
        );
        assert!(remark(module(&[Name::Sign], true)).unwrap().contains("no token is shown"));
        assert!(remark(module(&[Name::Auth, Name::Sign], false)).unwrap().contains("no token in common"));
    }

    #[cfg(not(miri))]
    #[test]
    fn links_that_lead_in_a_circle_end_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("libjpki_pkcs11.so");
        std::os::unix::fs::symlink("libjpki_pkcs11.so", &link).unwrap();
        assert!(File::follow(link).is_unknown);
    }
}
