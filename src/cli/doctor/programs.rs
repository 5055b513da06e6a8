//! The programs' configuration: which file of which program names which module, and whether that is the one for it.

use super::finding::{Code, Finding};
use crate::cli::browsers::{self, Sandboxed};
use crate::cli::machine::{Machine, entries};
use crate::cli::{modules, nss, shown};
use std::fs;
use std::path::{Path, PathBuf};

/// A program that can be told to load a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Firefox,
    Thunderbird,
    Chromium,
    Ssh,
    OpenSsl,
    P11Kit,
    Java,
}

impl Program {
    const ALL: [Program; 7] = [
        Program::Firefox,
        Program::Chromium,
        Program::Ssh,
        Program::OpenSsl,
        Program::Java,
        Program::P11Kit,
        Program::Thunderbird,
    ];

    fn name(self) -> &'static str {
        match self {
            Program::Firefox => "Firefox",
            Program::Thunderbird => "Thunderbird",
            Program::Chromium => "Chromium",
            Program::Ssh => "ssh",
            Program::OpenSsl => "OpenSSL",
            Program::P11Kit => "p11-kit",
            Program::Java => "Java",
        }
    }

    /// What starts it, and the name `jpki setup` has for it.
    fn commands(self) -> (&'static [&'static str], Option<&'static str>) {
        match self {
            Program::Firefox => (&["firefox", "firefox-esr"], Some("firefox")),
            Program::Thunderbird => (&[], None),
            Program::Chromium => (&["chromium", "chromium-browser", "google-chrome"], Some("chromium")),
            Program::Ssh => (&["ssh"], Some("ssh --host SERVER")),
            Program::OpenSsl => (&["openssl"], Some("openssl")),
            Program::P11Kit => (&["p11-kit"], Some("p11-kit")),
            Program::Java => (&["java"], Some("java")),
        }
    }

    /// Whether it may send a certificate to a server without anybody having chosen the key: then it is to see the
    /// authentication token only.
    fn meets_servers(self) -> bool {
        matches!(self, Program::Firefox | Program::Chromium | Program::Ssh | Program::P11Kit)
    }
}

/// One place where a program is told of a module.
struct Mention {
    program: Program,
    file: PathBuf,
    module: PathBuf,
}

/// What the configuration files of this machine and this user say. `installed` are the module's files.
pub fn examine(machine: &Machine, installed: &[PathBuf], findings: &mut Vec<Finding>) {
    let mentions = mentions(machine);
    for program in Program::ALL {
        let all = || mentions.iter().filter(|mention| mention.program == program);
        let ours: Vec<_> = all().filter(|mention| modules::deciding_name(&mention.module).is_some()).collect();
        findings.extend(ours.iter().map(|mention| judge(mention)));
        let (commands, setup) = program.commands();
        if ours.is_empty()
            && let Some(setup) = setup
            && commands.iter().any(|command| browsers::ordinary_program(machine, command).is_some())
        {
            let what = format!("{}: not set up", program.name());
            let finding = Finding::note(Code::ProgramNotSetUp, what);
            findings.push(if installed.is_empty() { finding } else { finding.next(format!("jpki setup {setup}")) });
        }
        let opensc = all().find(|mention| mention.module.to_string_lossy().contains("opensc-pkcs11"));
        if let (Some(opensc), false) = (opensc, ours.is_empty()) {
            findings.push(beside_opensc(opensc));
        }
    }
    findings.extend(sandboxed(machine));
}

fn judge(mention: &Mention) -> Finding {
    let Mention { program, file, module } = mention;
    let what = format!("{}: {} names {}", program.name(), shown(file), shown(module));
    let again = match program.commands().1 {
        Some(setup) => format!("jpki setup {setup}"),
        None => format!("Name {} there.", modules::AUTH),
    };
    // Relative names are p11-kit's and the loader's own to find.
    if module.is_absolute() && !module.is_file() {
        return Finding::problem(Code::ModuleMissing, format!("{what}, which is not there"))
            .next(format!("Install the module (sudo make install), or take it out of that file; then: {again}"));
    }
    match modules::deciding_name(module).as_deref() {
        Some(modules::SIGN) if program.meets_servers() => {
            Finding::problem(Code::ModuleForSigning, format!("{what}, the signature token's module")).next(format!(
                "It would ask for the signature password at a login, and could send your name and address to any\n\
                     server. Name {} there instead.",
                modules::AUTH
            ))
        }
        Some(modules::BOTH) if program == &Program::Ssh => {
            Finding::note(Code::ModuleNotForSsh, format!("{what}, the module with both tokens")).next(format!(
                "With it ssh also takes the authority's key for one of yours. Name {} there instead.",
                modules::SSH
            ))
        }
        Some(modules::BOTH) if program.meets_servers() => {
            Finding::note(Code::ModuleForBoth, format!("{what}, the module with both tokens"))
                .next(format!("Name {} there, so that no login asks for the signature password.", modules::AUTH))
        }
        _ => Finding::ok(Code::Program, what),
    }
}

fn beside_opensc(mention: &Mention) -> Finding {
    let what = format!("{}: {} names OpenSC's module too", mention.program.name(), shown(&mention.file));
    Finding::note(Code::OpenscBeside, what).next(
        "It shows the same card again, and its look at the card ends our logins. If you need OpenSC for other cards,\n\
         name their drivers in `card_drivers` of /etc/opensc/opensc.conf, without jpki.",
    )
}

/// Browsers that run in a box of their own, which loads no module of the system.
fn sandboxed(machine: &Machine) -> Vec<Finding> {
    let finding = |one: Sandboxed| Finding::note(Code::ProgramSandboxed, one.what()).next(Sandboxed::NEXT);
    Sandboxed::installed(machine).into_iter().map(finding).collect()
}

fn mentions(machine: &Machine) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let mut add = |program, file: &Path, modules: Vec<PathBuf>| {
        mentions.extend(modules.into_iter().map(|module| Mention { program, file: file.to_owned(), module }));
    };
    for file in policies(machine) {
        add(Program::Firefox, &file, read(&file, policy_modules));
    }
    for (program, file) in nss_databases(machine) {
        add(program, &file, read(&file, nss::modules));
    }
    let ssh = [machine.home(".ssh/config"), machine.config("jpki-pkcs11/ssh_config")];
    let ssh_of_all = [machine.system("/etc/ssh/ssh_config")];
    let more = entries(&machine.system("/etc/ssh/ssh_config.d"));
    for file in ssh.into_iter().flatten().chain(ssh_of_all).chain(more) {
        add(Program::Ssh, &file, read(&file, |text| after_keyword(text, "PKCS11Provider", &[' ', '\t', '='])));
    }
    let own = machine.config("jpki-pkcs11").map(|directory| entries(&directory)).unwrap_or_default();
    let own =
        |beginning: &'static str| own.iter().filter(move |file| has_name(file, |name| name.starts_with(beginning)));
    let openssl = machine.openssl_conf().map(Path::to_owned);
    let openssl_of_all = [machine.system("/etc/ssl/openssl.cnf")];
    for file in openssl.into_iter().chain(openssl_of_all).chain(own("openssl-").cloned()) {
        // Once, if OPENSSL_CONF names one of those that stand here anyway.
        let keys = ["pkcs11-module-path", "MODULE_PATH", "PKCS11_MODULE_PATH"];
        add(
            Program::OpenSsl,
            &file,
            read(&file, |text| keys.iter().flat_map(|key| after_keyword(text, key, &['='])).collect()),
        );
    }
    for file in own("java-") {
        add(Program::Java, file, read(file, |text| after_keyword(text, "library", &['='])));
    }
    for file in p11_kit_files(machine) {
        add(Program::P11Kit, &file, read(&file, |text| after_keyword(text, "module", &[':'])));
    }
    let mut seen: Vec<(Program, PathBuf, PathBuf)> = Vec::new();
    mentions.retain(|mention| {
        let key = (mention.program, mention.file.clone(), mention.module.clone());
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    mentions
}

/// The modules that a file names; a file that cannot be read is as good as none. Its comments may be in any encoding.
fn read(file: &Path, modules: impl Fn(&str) -> Vec<PathBuf>) -> Vec<PathBuf> {
    fs::read(file).map(|text| modules(&String::from_utf8_lossy(&text))).unwrap_or_default()
}

fn has_name(file: &Path, is: impl Fn(&str) -> bool) -> bool {
    file.file_name().and_then(|name| name.to_str()).is_some_and(is)
}

/// Where Firefox finds its policies: one for all builds, and one beside each.
fn policies(machine: &Machine) -> Vec<PathBuf> {
    let beside = ["/usr/lib", "/usr/lib64", "/usr/share"]
        .iter()
        .flat_map(|place| ["firefox", "firefox-esr"].map(|name| format!("{place}/{name}/distribution/policies.json")));
    let of_all = ["firefox", "firefox-esr"].map(|name| format!("/etc/{name}/policies/policies.json"));
    let mut files: Vec<PathBuf> = Vec::new();
    for file in of_all.into_iter().chain(beside).map(|path| machine.system(&path)) {
        // Debian links some of these directories to others.
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        if !files.iter().any(|known| known.canonicalize().is_ok_and(|known| known == real)) {
            files.push(file);
        }
    }
    files
}

/// `SecurityDevices`, in its older form and in the one with `Add`.
fn policy_modules(text: &str) -> Vec<PathBuf> {
    let policies: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let devices = &policies["policies"]["SecurityDevices"];
    let paths = |devices: &serde_json::Value| -> Vec<PathBuf> {
        let devices = devices.as_object().into_iter().flatten();
        devices.filter_map(|(_, path)| path.as_str()).map(PathBuf::from).collect()
    };
    [paths(devices), paths(&devices["Add"])].concat()
}

fn nss_databases(machine: &Machine) -> Vec<(Program, PathBuf)> {
    let mut files = Vec::new();
    for (program, place) in [
        (Program::Firefox, machine.home(".mozilla/firefox")),
        (Program::Firefox, machine.config("mozilla/firefox")),
        (Program::Firefox, machine.home("snap/firefox/common/.mozilla/firefox")),
        (Program::Firefox, machine.home(".var/app/org.mozilla.firefox/.mozilla/firefox")),
        (Program::Thunderbird, machine.home(".thunderbird")),
    ] {
        let profiles = place.map(|place| entries(&place)).unwrap_or_default();
        files.extend(profiles.into_iter().map(|profile| (program, profile.join(nss::FILE))));
    }
    let chromium = [browsers::chromium_database(machine), machine.home("snap/chromium/current/.pki/nssdb")];
    files.extend(chromium.into_iter().flatten().map(|database| (Program::Chromium, database.join(nss::FILE))));
    files
}

fn p11_kit_files(machine: &Machine) -> Vec<PathBuf> {
    let places = ["/usr/share/p11-kit/modules", "/usr/local/share/p11-kit/modules", "/etc/pkcs11/modules"];
    let places = places.map(|place| machine.system(place)).into_iter().chain(machine.config("pkcs11/modules"));
    let files = places.flat_map(|place| entries(&place));
    files.filter(|file| has_name(file, |name| name.ends_with(".module"))).collect()
}

/// The values of a keyword that begins a line, in quotes or not; one of `separators` stands between them.
fn after_keyword(text: &str, keyword: &str, separators: &[char]) -> Vec<PathBuf> {
    let value = |line: &str| {
        let (found, rest) = line.trim_start().split_at_checked(keyword.len())?;
        let rest = rest.strip_prefix(separators).or_else(|| rest.trim_start().strip_prefix(separators))?;
        let value = rest.trim().trim_start_matches('=').trim().trim_matches('"');
        (found.eq_ignore_ascii_case(keyword) && !value.is_empty()).then(|| PathBuf::from(value))
    };
    text.lines().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace('@', root.path().to_str().unwrap())).unwrap();
        }
        let home = root.path().join("home/me");
        let bin = root.path().join("usr/bin");
        let machine = Machine::of(root.path(), |name| match name {
            "HOME" => Some(home.clone().into()),
            "PATH" => Some(bin.clone().into()),
            _ => None,
        });
        (root, machine)
    }

    /// Codes and sentences, the test's own directory left out.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let (root, machine) = machine(files);
        let mut findings = Vec::new();
        examine(&machine, &[root.path().join(AUTH)], &mut findings);
        let text = |finding: &Finding| format!("{}: {}", finding.code.name(), finding.what);
        findings.iter().map(|finding| text(finding).replace(root.path().to_str().unwrap(), "")).collect()
    }

    const AUTH: &str = "usr/lib/pkcs11/libjpki_pkcs11-auth.so";
    const BOTH: &str = "usr/lib/pkcs11/libjpki_pkcs11.so";
    const SIGN: &str = "usr/lib/pkcs11/libjpki_pkcs11-sign.so";
    const SSH: &str = "usr/lib/pkcs11/libjpki_pkcs11-ssh.so";

    #[test]
    fn every_programs_file_is_read_and_named() {
        let profile =
            "library=\nname=NSS Internal PKCS #11 Module\n\nlibrary=@/usr/lib/pkcs11/libjpki_pkcs11-auth.so\n";
        let found = found(&[
            (AUTH, ""),
            (SIGN, ""),
            (SSH, ""),
            (
                "etc/firefox/policies/policies.json",
                r#"{"policies": {"SecurityDevices": {"Add": {"JPKI": "@/usr/lib/pkcs11/libjpki_pkcs11-auth.so"}}}}"#,
            ),
            ("home/me/.mozilla/firefox/x.default/pkcs11.txt", profile),
            ("home/me/.pki/nssdb/pkcs11.txt", profile),
            ("home/me/.ssh/config", "Host *\n  pkcs11provider \"@/usr/lib/pkcs11/libjpki_pkcs11-ssh.so\"\n"),
            (
                "home/me/.config/jpki-pkcs11/openssl-provider.cnf",
                "pkcs11-module-path = @/usr/lib/pkcs11/libjpki_pkcs11-sign.so\n",
            ),
            ("home/me/.config/jpki-pkcs11/java-sign.cfg", "library = @/usr/lib/pkcs11/libjpki_pkcs11-sign.so\n"),
            ("usr/share/p11-kit/modules/jpki-pkcs11.module", "# c\nmodule: @/usr/lib/pkcs11/libjpki_pkcs11-auth.so\n"),
        ]);
        assert_eq!(
            found,
            [
                "program: Firefox: /etc/firefox/policies/policies.json names /usr/lib/pkcs11/libjpki_pkcs11-auth.so",
                "program: Firefox: /home/me/.mozilla/firefox/x.default/pkcs11.txt names /usr/lib/pkcs11/libjpki_pkcs11-auth.so",
                "program: Chromium: /home/me/.pki/nssdb/pkcs11.txt names /usr/lib/pkcs11/libjpki_pkcs11-auth.so",
                "program: ssh: /home/me/.ssh/config names /usr/lib/pkcs11/libjpki_pkcs11-ssh.so",
                "program: OpenSSL: /home/me/.config/jpki-pkcs11/openssl-provider.cnf names /usr/lib/pkcs11/libjpki_pkcs11-sign.so",
                "program: Java: /home/me/.config/jpki-pkcs11/java-sign.cfg names /usr/lib/pkcs11/libjpki_pkcs11-sign.so",
                "program: p11-kit: /usr/share/p11-kit/modules/jpki-pkcs11.module names /usr/lib/pkcs11/libjpki_pkcs11-auth.so",
            ]
        );
    }

    #[test]
    fn a_browser_with_the_wrong_module_is_told_so() {
        let policy = |module: &str| format!(r#"{{"policies": {{"SecurityDevices": {{"JPKI": "@/{module}"}}}}}}"#);
        for (module, code) in [(AUTH, "program:"), (BOTH, "module-for-both:"), (SIGN, "module-for-signing:")] {
            let found = found(&[(module, ""), ("etc/firefox/policies/policies.json", &policy(module))]);
            assert!(found[0].starts_with(code), "{found:?}");
        }
    }

    #[test]
    fn a_link_of_another_name_is_judged_by_the_file_it_leads_to() {
        let (root, machine) = machine(&[(SIGN, ""), ("etc/firefox/policies/policies.json", "")]);
        let link = root.path().join("usr/lib/pkcs11/browser.so");
        std::os::unix::fs::symlink(Path::new(SIGN).file_name().unwrap(), &link).unwrap();
        let policy = format!(r#"{{"policies": {{"SecurityDevices": {{"JPKI": "{}"}}}}}}"#, link.display());
        fs::write(root.path().join("etc/firefox/policies/policies.json"), policy).unwrap();
        let mut findings = Vec::new();
        examine(&machine, &[], &mut findings);
        let found: Vec<_> = findings.iter().map(|finding| finding.code.name()).collect();
        assert_eq!(found, ["module-for-signing"]);
    }

    #[test]
    fn ssh_with_the_module_that_shows_the_authoritys_key_is_told_of_its_own() {
        for (module, code) in [(BOTH, "module-not-for-ssh: "), (AUTH, "program: "), (SIGN, "module-for-signing: ")] {
            let found = found(&[(module, ""), ("home/me/.ssh/config", &format!("PKCS11Provider=@/{module}"))]);
            assert!(found[0].starts_with(code), "{found:?}");
        }
    }

    #[test]
    fn a_comment_in_another_encoding_hides_nothing() {
        let (root, machine) = machine(&[("home/me/.ssh/config", "")]);
        // A comment in EUC-JP.
        let text = b"# \xA5\xAB\xA1\xBC\xA5\xC9\nPKCS11Provider /gone/libjpki_pkcs11-ssh.so\n";
        fs::write(root.path().join("home/me/.ssh/config"), text).unwrap();
        let mut findings = Vec::new();
        examine(&machine, &[], &mut findings);
        let found: Vec<_> = findings.iter().map(|finding| finding.code.name()).collect();
        assert_eq!(found, ["module-missing"]);
    }

    #[test]
    fn a_module_that_is_gone_is_missed() {
        let found = found(&[("home/me/.ssh/config", "PKCS11Provider=/gone/libjpki_pkcs11-auth.so")]);
        assert!(found[0].starts_with("module-missing: ssh: "), "{found:?}");
    }

    #[test]
    fn a_program_that_is_there_and_not_set_up_is_named_with_the_command() {
        let (root, machine) = machine(&[("usr/bin/ssh", ""), ("home/me/.ssh/config", "#PKCS11Provider /x\n")]);
        let mut findings = Vec::new();
        examine(&machine, &[root.path().join(AUTH)], &mut findings);
        let found: Vec<_> = findings.iter().map(|finding| (finding.code.name(), finding.next.as_deref())).collect();
        assert_eq!(found, [("program-not-set-up", Some("jpki setup ssh --host SERVER"))]);
    }

    #[test]
    fn opensc_beside_us_is_pointed_out() {
        let found = found(&[
            (AUTH, ""),
            ("usr/share/p11-kit/modules/jpki-pkcs11.module", "module: @/usr/lib/pkcs11/libjpki_pkcs11-auth.so\n"),
            ("usr/share/p11-kit/modules/opensc-pkcs11.module", "module: opensc-pkcs11.so\n"),
        ]);
        assert!(found[1].starts_with("opensc-beside: p11-kit: /usr/share/p11-kit/modules/opensc"), "{found:?}");
    }

    #[test]
    fn a_browser_that_is_only_there_in_a_box_is_not_to_be_set_up() {
        let found =
            found(&[("snap/bin/firefox", ""), ("usr/bin/firefox", "#!/bin/sh\nexec /snap/bin/firefox \"$@\"\n")]);
        assert!(matches!(&found[..], [one] if one.starts_with("program-sandboxed: ")), "{found:?}");
    }

    #[test]
    fn the_database_that_chromium_uses_is_read_and_no_other() {
        let profile = "library=@/usr/lib/pkcs11/libjpki_pkcs11-auth.so\n";
        let newer = ("home/me/.local/share/pki/nssdb/pkcs11.txt", profile);
        let chromiums = found(&[(AUTH, ""), newer]);
        assert!(chromiums[0].starts_with("program: Chromium: /home/me/.local/share/pki/nssdb"), "{chromiums:?}");
        let found = found(&[(AUTH, ""), newer, ("home/me/.pki/nssdb/pkcs11.txt", ""), ("usr/bin/chromium", "")]);
        assert_eq!(found, ["program-not-set-up: Chromium: not set up"]);
    }

    #[test]
    fn browsers_in_a_box_are_pointed_out() {
        let found =
            found(&[("snap/bin/firefox", ""), ("home/me/.local/share/flatpak/app/org.chromium.Chromium/current", "")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("Firefox: there is a snap") && found[1].contains("Chromium: there is a flatpak"));
    }
}
