//! The pages of `docs/programs`: that there is one for each program and configuration file, in English and in Japanese, and
//! that it says what its reader has to know. What a page tells its reader to run, the program's tests run.

use crate::common::run;
use crate::ground::with_ground;
use crate::program::program;
use Keys::{Authentication, Both, Signature};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whose keys a page is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Authentication,
    Signature,
    Both,
}

/// The pages of programs, and the keys each program uses.
const PROGRAMS: [(&str, Keys); 18] = [
    ("chromium", Authentication),
    ("doctor", Both),
    ("firefox", Authentication),
    ("gnutls", Both),
    ("java", Both),
    ("load-path", Both),
    ("login", Authentication),
    ("mail", Signature),
    ("nss-tools", Both),
    ("openssl-engine", Both),
    ("openssl-provider", Both),
    ("p11-kit", Both),
    ("pdf", Signature),
    ("pkcs11-tool", Both),
    ("python", Both),
    ("rust", Both),
    ("ssh", Authentication),
    ("xml", Signature),
];
/// Pages of another form: the index, and the note on TLS 1.3.
const OTHERS: [&str; 2] = ["README", "tls13"];
/// What `make test-clients` makes of what these tests count, after them.
const COSTS: &str = "costs.md";
/// What `jpki setup` sets up, by the page.
const SETUPS: [(&str, &str); 7] = [
    ("chromium", "chromium"),
    ("firefox", "firefox"),
    ("java", "java"),
    ("openssl-engine", "openssl"),
    ("openssl-provider", "openssl"),
    ("p11-kit", "p11-kit"),
    ("ssh", "ssh"),
];
/// Where `make install` puts the files of `pkcs11-conf`.
const DOCS: &str = "/usr/local/share/doc/jpki-pkcs11/";

struct Language {
    ending: &'static str,
    sections: [&'static str; 5],
    /// Said where the authentication certificate is used: that it tells whose it is, and what its renewal does.
    authentication: [&'static str; 2],
    /// Said where the signature certificate is used: what everybody can read in it.
    signature: &'static [&'static str],
}

const LANGUAGES: [Language; 2] = [
    Language {
        ending: ".md",
        sections: ["Install", "Set up", "Use", "What can go wrong", "Undo"],
        authentication: ["stable identifier", "enewal"],
        signature: &["name, address, date of birth and sex"],
    },
    Language {
        ending: ".ja.md",
        sections: ["インストール", "設定", "使い方", "うまくいかないとき", "元に戻す"],
        authentication: ["識別子", "更新"],
        signature: &["氏名", "住所", "生年月日", "性別"],
    },
];

/// The blocks of code in this language on the English page of a program.
pub fn snippets(program: &str, language: &str) -> Vec<String> {
    blocks(&read(&top().join(format!("docs/programs/{program}.md"))), language)
}

fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("\n```{language}\n");
    let block = |rest: &str| rest.split_once("\n```").map(|(block, _)| format!("{block}\n"));
    page.split(&opening).skip(1).filter_map(block).collect()
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages there are, by their names below `docs/programs`.
fn pages() -> Vec<(String, String)> {
    let files = fs::read_dir(top().join("docs/programs")).expect("it is there");
    let mut pages: Vec<_> = files
        .map(|file| file.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .map(|path| (name(&path), read(&path)))
        .collect();
    pages.sort();
    pages
}

/// The name and the text of a program's page, which is empty where there is none.
fn page(program: &str, language: &Language) -> (String, String) {
    let name = format!("{program}{}", language.ending);
    let page = fs::read_to_string(top().join("docs/programs").join(&name)).unwrap_or_default();
    (name, page)
}

/// The files that a page leads to.
fn links(page: &str) -> BTreeSet<PathBuf> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| PathBuf::from(target.split('#').next().unwrap_or(target)))
        .collect()
}

fn name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("it is UTF-8").to_owned()
}

/// What a page says, in one line and without its code.
fn prose(page: &str) -> String {
    let blocks = page.split("```").step_by(2).collect::<String>();
    blocks.split('`').step_by(2).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// # Panics
/// With all of them, if there are any.
fn none(faults: BTreeSet<String>) {
    assert!(faults.is_empty(), "\n{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_program_has_its_page_with_its_sections_in_both_languages() {
    let pages = pages();
    let mut faults = BTreeSet::new();
    for language in &LANGUAGES {
        for program in PROGRAMS.iter().map(|(program, _)| program).chain(&OTHERS) {
            let name = format!("{program}{}", language.ending);
            let Some((_, page)) = pages.iter().find(|(found, _)| *found == name) else {
                faults.insert(format!("{name} is missing"));
                continue;
            };
            let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            if !OTHERS.contains(program) && sections != language.sections {
                faults.insert(format!("{name} has the sections {sections:?}"));
            }
        }
    }
    let known = |name: &str| {
        let program = name.strip_suffix(".ja.md").or(name.strip_suffix(".md")).unwrap_or(name);
        PROGRAMS.iter().any(|(known, _)| *known == program) || OTHERS.contains(&program) || name == COSTS
    };
    faults.extend(pages.iter().filter(|(name, _)| !known(name)).map(|(name, _)| format!("{name} is not listed here")));
    none(faults);
}

#[test]
fn every_configuration_file_is_named_by_a_page_in_both_languages() {
    let pages = pages();
    let mut faults = BTreeSet::new();
    for file in fs::read_dir(top().join("pkcs11-conf")).expect("it is there") {
        let file = name(&file.expect("it can be listed").path());
        let file = file.strip_suffix(".in").unwrap_or(&file);
        // The module's own is explained where the module is.
        if file == "config.toml" {
            continue;
        }
        for is_japanese in [false, true] {
            let mut pages = pages.iter().filter(|(name, _)| name.ends_with(".ja.md") == is_japanese);
            if !pages.any(|(_, page)| page.contains(file)) {
                faults.insert(format!("{file} is on no {} page", if is_japanese { "Japanese" } else { "English" }));
            }
        }
    }
    none(faults);
}

#[test]
fn every_page_says_what_others_learn_from_the_certificate_it_uses() {
    let mut faults = BTreeSet::new();
    for language in &LANGUAGES {
        for (program, keys) in PROGRAMS {
            let (name, page) = page(program, language);
            let says = prose(&page);
            let mut wanted = Vec::new();
            if let Authentication | Both = keys {
                wanted.extend(language.authentication);
            }
            if let Signature | Both = keys {
                wanted.extend(language.signature);
            }
            let lacks = wanted.into_iter().filter(|words| !says.contains(words));
            faults.extend(lacks.map(|words| format!("{name} does not say {words:?}")));
            let uses = |ending: &str| page.contains(&format!("libjpki_pkcs11-{ending}.so"));
            if (uses("auth") || uses("ssh")) && keys == Signature || uses("sign") && keys == Authentication {
                faults.insert(format!("{name} names a module that it is not said to use"));
            }
        }
    }
    none(faults);
}

/// Who resets a locked secret depends on whether the other one is known, which `jpki status` tells.
#[test]
fn no_page_sends_everybody_with_a_locked_secret_to_the_municipal_office() {
    let mut faults = BTreeSet::new();
    for (name, page) in pages() {
        if ["municipal office", "市区町村の窓口"].iter().any(|window| page.contains(window)) {
            faults.insert(name);
        }
    }
    none(faults);
}

/// The page has said to merge our policy with those that are there.
#[test]
fn the_page_of_firefox_removes_no_policies_of_others() {
    let mut faults = BTreeSet::new();
    for language in &LANGUAGES {
        let (name, page) = page("firefox", language);
        let commands = blocks(&page, "sh").concat();
        let removes = commands.lines().filter(|line| line.contains("rm ") && line.contains("policies.json"));
        faults.extend(removes.map(|line| format!("{name}: {line}")));
    }
    none(faults);
}

/// In Japanese a secret is called by what it is for.
#[test]
fn no_japanese_page_speaks_of_a_pin_or_of_some_password() {
    // Of these, the last two are not the card's.
    const NAMED: [&str; 4] = ["利用者証明用", "署名用", "アカウントの", "セキュリティデバイスの"];
    let mut faults = BTreeSet::new();
    for (name, page) in japanese_pages() {
        let own = in_own_words(&page);
        if own.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "PIN") {
            faults.insert(format!("{name} speaks of a PIN"));
        }
        let own: String = own.split_whitespace().collect();
        for (at, _) in own.match_indices("パスワード") {
            let before = &own[..at];
            if !NAMED.iter().any(|named| before.ends_with(named)) {
                let tail: String = before.chars().skip(before.chars().count().saturating_sub(12)).collect();
                faults.insert(format!("{name} does not say which: {tail}パスワード"));
            }
        }
    }
    none(faults);
}

/// A check without revocation data proves neither that a certificate is in force nor who somebody is.
#[test]
fn no_japanese_page_promises_what_only_revocation_data_could() {
    let mut faults = BTreeSet::new();
    for (name, page) in japanese_pages() {
        let own: String = in_own_words(&page).split_whitespace().collect();
        // The name of the check that others make, and a period of time.
        let own = own.replace("有効性確認", "").replace("有効期間", "");
        for word in ["有効", "検証済み", "本人確認"] {
            if own.contains(word) {
                faults.insert(format!("{name} says {word}"));
            }
        }
    }
    none(faults);
}

fn japanese_pages() -> impl Iterator<Item = (String, String)> {
    pages().into_iter().filter(|(name, _)| name.ends_with(".ja.md"))
}

/// A Japanese page's prose without what programs say in theirs, which is quoted.
fn in_own_words(page: &str) -> String {
    prose(page).split(['「', '」']).step_by(2).collect()
}

#[test]
fn programs_and_commands_are_the_same_in_both_languages() {
    // A remark is translated.
    let remark = |line: &str| line.starts_with('#') || line.is_empty();
    let commands = |page: &str| -> Vec<String> {
        let blocks = ["sh", "text"].map(|language| blocks(page, language).concat()).concat();
        let lines = blocks.lines().map(|line| line.split(" # ").next().unwrap_or(line).trim_end().to_owned());
        lines.filter(|line| !remark(line)).collect()
    };
    let mut faults = BTreeSet::new();
    for (program, _) in PROGRAMS {
        let [english, japanese] = LANGUAGES.each_ref().map(|language| page(program, language).1);
        for language in ["python", "rust", "java", "c"] {
            if blocks(&english, language) != blocks(&japanese, language) {
                faults.insert(format!("{program}: {language}"));
            }
        }
        let (english, japanese) = (commands(&english), commands(&japanese));
        let differs = english.iter().zip(&japanese).find(|(one, other)| one != other);
        faults.extend(differs.map(|(one, other)| format!("{program}: {one:?}, {other:?}")));
        if english.len() != japanese.len() {
            faults.insert(format!("{program}: {} commands, {} in Japanese", english.len(), japanese.len()));
        }
    }
    none(faults);
}

#[test]
fn every_page_sends_its_reader_to_the_doctor_and_to_the_quick_way_where_there_is_one() {
    let help = run(Command::new(env!("CARGO_BIN_EXE_jpki")).args(["setup", "--help"])).ok();
    let listed = help.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'));
    let listed: BTreeSet<_> = listed.map(|(program, _)| program).collect();
    assert_eq!(listed, SETUPS.iter().map(|(_, program)| *program).collect(), "{help}");
    let mut faults = BTreeSet::new();
    for language in &LANGUAGES {
        let wanted = PROGRAMS.map(|(program, _)| (program, "jpki doctor".to_owned()));
        let quick = SETUPS.map(|(program, name)| (program, format!("jpki setup {name}")));
        for (program, words) in wanted.into_iter().chain(quick) {
            let (name, page) = page(program, language);
            if !page.contains(&words) {
                faults.insert(format!("{name} does not say {words:?}"));
            }
        }
    }
    none(faults);
}

#[test]
fn every_file_that_a_page_names_is_installed() {
    let makefile = read(&top().join("Makefile"));
    let modules = makefile.lines().find_map(|line| line.strip_prefix("MODULES := ")).expect("it says what it installs");
    let modules: Vec<_> = modules.split(' ').collect();
    assert_eq!(modules.len(), 4);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let names = |page: &str, prefix: &str| -> BTreeSet<String> {
        let rest = page.split(prefix).skip(1);
        rest.map(|rest| rest.split(|c| !is_name(c)).next().unwrap_or(rest).trim_end_matches('.').to_owned()).collect()
    };
    let mut faults = BTreeSet::new();
    let readme = ("README.md of all".to_owned(), read(&top().join("README.md")));
    for (name, page) in pages().into_iter().chain([readme]) {
        for file in names(&page, DOCS).iter().filter(|file| !file.is_empty()) {
            let conf = top().join("pkcs11-conf");
            if !conf.join(file).exists() && !conf.join(format!("{file}.in")).exists() {
                faults.insert(format!("{name}: {DOCS}{file}"));
            }
        }
        for rest in names(&page, "libjpki_pkcs11") {
            let file = format!("libjpki_pkcs11{rest}");
            if !modules.contains(&file.as_str()) {
                faults.insert(format!("{name}: {file}"));
            }
        }
    }
    none(faults);
}

#[test]
fn the_readme_leads_to_every_page_and_names_every_file_of_the_module() {
    let readme = read(&top().join("README.md"));
    let mut faults = BTreeSet::new();
    let files = links(&readme);
    let pages = PROGRAMS.map(|(program, _)| program).into_iter().chain(OTHERS).map(|page| format!("{page}.md"));
    for page in pages.chain(["README.ja.md".to_owned(), COSTS.to_owned()]) {
        if !files.contains(&Path::new("docs/programs").join(&page)) {
            faults.insert(format!("it does not lead to {page}"));
        }
    }
    for file in files.iter().filter(|file| !file.ends_with(COSTS) && !top().join(file).exists()) {
        faults.insert(format!("{} is missing", file.display()));
    }
    for module in ["", "-auth", "-sign", "-ssh"] {
        if !readme.contains(&format!("| `libjpki_pkcs11{module}.so` |")) {
            faults.insert(format!("its table has no libjpki_pkcs11{module}.so"));
        }
    }
    none(faults);
}

#[test]
fn every_link_leads_to_a_page_and_the_index_has_them_all() {
    let mut faults = BTreeSet::new();
    for (name, page) in pages() {
        let files = links(&page);
        let is_missing = |file: &Path| file != Path::new(COSTS) && !top().join("docs/programs").join(file).exists();
        for file in files.iter().filter(|file| is_missing(file)) {
            faults.insert(format!("{name}: {} is missing", file.display()));
        }
        for language in LANGUAGES.iter().filter(|language| name == format!("README{}", language.ending)) {
            for program in PROGRAMS.map(|(program, _)| program).iter().chain(&["tls13"]) {
                let page = format!("{program}{}", language.ending);
                if !files.contains(Path::new(&page)) {
                    faults.insert(format!("{name} does not list {page}"));
                }
            }
        }
    }
    none(faults);
}

/// The files with one token do not show the authority's certificate to whoever has not logged in, so a page that took it
/// from there would have its reader write an empty file.
#[test]
fn what_the_pages_say_reads_the_authoritys_certificate() {
    with_ground("pages::what_the_pages_say_reads_the_authoritys_certificate", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let installed = ground.installed.both().with_file_name("").display().to_string();
        let plain = |pem: &str| {
            let pem = ground.scratch.file("authority.pem", pem);
            run(program("openssl", "openssl").args(["x509", "-in"]).arg(pem)).ok()
        };
        let mut read = 0;
        for (name, page) in pages() {
            let commands = blocks(&page, "sh").concat().replace("\\\n", "").replace("|\n", "| ");
            for command in commands.lines().filter(|line| line.contains("--read-object")) {
                let authority = match () {
                    () if command.contains("--id 03") => card.auth_ca(),
                    () if command.contains("--id 04") => card.sign_ca(),
                    () => continue,
                };
                let (reads, _) = command.split_once('|').unwrap_or_else(|| panic!("{name}: {command}"));
                let reads = reads.replace("/usr/local/lib/pkcs11/", &installed);
                let shell = format!("{reads} | openssl x509 -inform DER");
                let said = run(program("sh", "dash").args(["-c", &shell])).ok();
                assert_eq!(said, plain(authority), "{name}: {command}");
                read += 1;
            }
        }
        assert_eq!(read, 8, "four pages in two languages");
    });
}
