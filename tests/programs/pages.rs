//! The pages of `docs/programs`: that there is one for each program and configuration file, in English and in Japanese, and
//! that it says what its reader has to know. What a page tells its reader to run, the program's tests run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The programs with a page.
const PROGRAMS: [&str; 17] = [
    "chromium",
    "firefox",
    "gnutls",
    "java",
    "load-path",
    "login",
    "mail",
    "nss-tools",
    "openssl-engine",
    "openssl-provider",
    "p11-kit",
    "pdf",
    "pkcs11-tool",
    "python",
    "rust",
    "ssh",
    "xml",
];
/// Pages of another form: the index, and the note on TLS 1.3.
const OTHERS: [&str; 2] = ["README", "tls13"];

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
        for program in PROGRAMS.iter().chain(&OTHERS) {
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
        PROGRAMS.contains(&program) || OTHERS.contains(&program) || name == "costs.md"
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
        for program in PROGRAMS {
            let name = format!("{program}{}", language.ending);
            let Ok(page) = fs::read_to_string(top().join("docs/programs").join(&name)) else { continue };
            let says = prose(&page);
            let lacks = |words: &[&'static str]| words.iter().find(|words| !says.contains(**words)).copied();
            let uses = |ending: &str| page.contains(&format!("libjpki_pkcs11-{ending}.so"));
            if uses("auth") || uses("ssh") {
                faults.extend(lacks(&language.authentication).map(|words| format!("{name} does not say {words:?}")));
            }
            if uses("sign") {
                faults.extend(lacks(language.signature).map(|words| format!("{name} does not say {words:?}")));
            }
        }
    }
    none(faults);
}

/// In Japanese a secret is called by what it is for.
#[test]
fn no_japanese_page_speaks_of_a_pin() {
    let mut faults = BTreeSet::new();
    for (name, page) in pages().into_iter().filter(|(name, _)| name.ends_with(".ja.md")) {
        let says = prose(&page);
        // What a program says in its own words is quoted.
        let own = says.split(['「', '」']).step_by(2).collect::<String>();
        let at = own.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "PIN");
        faults.extend(at.then(|| name.clone()));
    }
    none(faults);
}

#[test]
fn programs_are_the_same_in_both_languages() {
    let mut faults = BTreeSet::new();
    for program in PROGRAMS {
        let [english, japanese] = LANGUAGES.map(|language| {
            let path = top().join("docs/programs").join(format!("{program}{}", language.ending));
            fs::read_to_string(path).unwrap_or_default()
        });
        for language in ["python", "rust", "java", "c"] {
            if blocks(&english, language) != blocks(&japanese, language) {
                faults.insert(format!("{program}: {language}"));
            }
        }
    }
    none(faults);
}

#[test]
fn every_link_leads_to_a_page_and_the_index_has_them_all() {
    let mut faults = BTreeSet::new();
    for (name, page) in pages() {
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        let files: BTreeSet<PathBuf> = targets
            .filter(|target| !target.contains("://") && !target.starts_with('#'))
            .map(|target| PathBuf::from(target.split('#').next().unwrap_or(target)))
            .collect();
        for file in files.iter().filter(|file| !top().join("docs/programs").join(file).exists()) {
            faults.insert(format!("{name}: {} is missing", file.display()));
        }
        for language in LANGUAGES.iter().filter(|language| name == format!("README{}", language.ending)) {
            for program in PROGRAMS.iter().chain(&["tls13"]) {
                let page = format!("{program}{}", language.ending);
                if !files.contains(Path::new(&page)) {
                    faults.insert(format!("{name} does not list {page}"));
                }
            }
        }
    }
    none(faults);
}
