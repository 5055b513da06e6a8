//! What the repository says of itself leads somewhere: a citation of a section to that section, a link to a file and a
//! heading in it, a document's name to a document that is here. And what is said of the card says how surely.

use jpki_pkcs11::emulator::switches::Switches;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The documents whose sections are cited by number, `card.md` §3.6 for one.
const NUMBERED: [&str; 4] = ["card", "clients", "design", "words"];

/// A section of one of the numbered documents.
type Citation = (&'static str, String);

#[test]
fn every_citation_leads_to_a_section() {
    let sections: BTreeMap<_, _> = NUMBERED.into_iter().map(|name| (name, sections(&read(&document(name))))).collect();
    let mut cited = BTreeMap::<&str, usize>::new();
    let mut nowhere = Vec::new();
    for (path, text) in texts() {
        for (name, section) in citations_in(&path, &text) {
            *cited.entry(name).or_default() += 1;
            if !sections[name].contains(&section) {
                nowhere.push(format!("{}: {name}.md §{section}", path.display()));
            }
        }
    }
    assert!(nowhere.is_empty(), "{nowhere:#?}");
    assert!(cited["card"] > 300 && NUMBERED.iter().all(|name| cited.contains_key(name)), "{cited:?}");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_in_it() {
    let (mut links, mut nowhere) = (0, Vec::new());
    for (path, text) in texts().into_iter().filter(|(path, _)| is_markdown(path)) {
        for link in links_in(&text) {
            links += 1;
            if !leads_somewhere(&path, &link) {
                nowhere.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(nowhere.is_empty(), "{nowhere:#?}");
    assert!(links > 100, "{links}");
}

#[test]
fn no_document_is_named_that_is_not_here() {
    let texts = texts();
    let files: Vec<&PathBuf> = texts.keys().collect();
    let mut missing = BTreeSet::new();
    // This file's own examples are not there by intent.
    for (path, text) in texts.iter().filter(|(path, _)| !path.ends_with("tests/documents.rs")) {
        for name in documents_named_in(text).filter(|name| !files.iter().any(|file| file.ends_with(name))) {
            missing.insert(format!("{}: {name}", path.display()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Files move, and whoever is sent to one that is gone looks for it in vain.
#[test]
fn no_source_file_is_named_that_is_not_here() {
    let texts = texts();
    let files: Vec<&PathBuf> = texts.keys().collect();
    let (mut named, mut missing) = (0, BTreeSet::new());
    for (path, text) in &texts {
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        let comment = |line: &&str| is_markdown(path) || is_source && line.trim_start().starts_with("//");
        for name in text.lines().filter(comment).flat_map(source_files_named_in) {
            named += 1;
            if !files.iter().any(|file| file.ends_with(name)) {
                missing.insert(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named > 50, "{named}");
}

/// A fact without a mark would pass for one that somebody measured.
#[test]
fn every_fact_about_the_card_says_how_sure_it_is() {
    let marks = ["M", "R", "T", "C", "P", "S", "I", "–"];
    let text = read(&document("card"));
    let (mut sure, mut facts) = (None, 0);
    for line in text.lines() {
        let cells = cells(line);
        if cells.is_empty() {
            sure = None;
        } else if let Some(column) = cells.iter().position(|cell| cell == "sure") {
            sure = Some(column);
        } else if let Some(column) = sure.filter(|_| !line.starts_with("|---")) {
            facts += 1;
            let given: Vec<&str> = cells.get(column).map(|cell| cell.split(' ').collect()).unwrap_or_default();
            assert!(!given.is_empty() && given.iter().all(|mark| marks.contains(mark)), "{given:?} in {line}");
        }
    }
    assert!(facts > 200, "{facts}");
}

#[test]
fn every_switch_of_the_practice_card_stands_in_the_description_of_the_card() {
    let mut switches: BTreeMap<String, String> = toml::Table::try_from(Switches::default())
        .unwrap()
        .into_iter()
        .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    // Written into a card's file only where they are set.
    switches.insert("file-sizes".into(), "unset".into());
    let text = read(&document("card"));
    let (_, chapter) = text.split_once("\n## 12.").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let rows = chapter.lines().map(cells).filter(|cells| cells.first().is_some_and(|cell| cell.starts_with('`')));
    let told: BTreeMap<_, _> = rows.map(|cells| (cells[0].replace('`', ""), cells[1].replace('`', ""))).collect();
    assert_eq!(told, switches);
}

#[test]
fn what_leads_nowhere_is_found() {
    let comment = Path::new("src/some.rs");
    let cited = |text: &str| citations_in(comment, text).into_iter().map(|(name, section)| format!("{name} {section}"));
    let comment = "/// One thing (`card.md`\n    /// §5.4, §99.9), or `words.md` §4; card.md §3.3–3.5 and §10.\n// PKCS#11 §5.6.4";
    assert_eq!(
        cited(comment).collect::<Vec<_>>(),
        ["card 5.4", "card 99.9", "card 3.3", "card 3.5", "card 10", "words 4"]
    );
    let own = citations_in(Path::new("docs/design.md"), "See §3.7, card §1.2 and [clients §2.8](clients.md#28-x).");
    assert_eq!(own, [("design", "3.7".to_owned()), ("card", "1.2".to_owned()), ("clients", "2.8".to_owned())]);
    let rule = citations_in(Path::new("tests/scripts/x.toml"), "rule = \"§3.4, §11.7: or it looks\"");
    assert_eq!(rule, [("card", "3.4".to_owned()), ("card", "11.7".to_owned())]);

    let sections = sections("## 3. Commands\n### 3.1 READ\ntext\n| 11.7 | unknown |\n");
    assert_eq!(sections, ["3", "3.1", "11.7"].map(str::to_owned).into());

    let readme = Path::new("README.md");
    assert!(leads_somewhere(readme, "docs/card.md#36-compute-digital-signature"));
    assert!(leads_somewhere(readme, "https://www.jpki.go.jp"));
    assert!(!leads_somewhere(readme, "docs/card.md#37-compute-digital-signature"));
    assert!(!leads_somewhere(readme, "docs/cards.md"));
    assert_eq!(links_in("a [b](c.md) and\n```\n[d](e)\n```\n[f](#g)"), ["c.md", "#g"]);
    assert_eq!(anchors("## `C_Sign`, and §3\n## A\n## A\n"), ["c_sign-and-3", "a", "a-1"].map(str::to_owned).into());
    let named = source_files_named_in("`src/gone.rs`, a.rs, `*.rs`, `tests/NAME.rs` and `a word`");
    assert_eq!(named.collect::<Vec<_>>(), ["src/gone.rs"]);
    assert_eq!(
        documents_named_in("See `docs/x.md`, ../y.md; {name}.md, https://z/w.md").collect::<Vec<_>>(),
        ["docs/x.md", "y.md"]
    );
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> PathBuf {
    top().join("docs").join(name).with_extension("md")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// Every text in the repository, by its path from the top: what lies at the top, and whole folders of what is ours.
fn texts() -> BTreeMap<PathBuf, String> {
    let mut folders: Vec<PathBuf> = ["src", "tests", "docs", "fuzz", "benches", "examples", "pkcs11-conf", ".ci"]
        .map(|name| top().join(name))
        .into();
    let mut files: Vec<PathBuf> = entries(top()).filter(|path| path.is_file()).collect();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let generated =
                ["target", "corpus", "artifacts"].iter().any(|name| path.ends_with(Path::new("fuzz").join(name)));
            match path.is_dir() {
                true if !generated => folders.push(path),
                true => {}
                false => files.push(path),
            }
        }
    }
    let text = |path: PathBuf| Some((path.strip_prefix(top()).ok()?.to_owned(), fs::read_to_string(&path).ok()?));
    files.into_iter().filter_map(text).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
}

/// What is cited in a file: by a document's name, in a numbered document by the section alone, or that of another by its
/// short name, and in the practice card's scripts from the description of the card.
fn citations_in(path: &Path, text: &str) -> Vec<Citation> {
    // One line, so that a citation may be broken like any sentence.
    let unmarked = |line: &str| line.trim_start().trim_start_matches(['/', '!', '#', '>']).trim_start().to_owned();
    let text = text.lines().map(unmarked).collect::<Vec<_>>().join(" ");
    let own = NUMBERED.into_iter().find(|name| path == Path::new("docs").join(name).with_extension("md"));
    let script = path.starts_with("tests/scripts").then_some("card");
    if let Some(own) = own.or(script) {
        return text
            .match_indices('§')
            .flat_map(|(at, _)| {
                let before = text[..at].trim_end().rsplit([' ', '[', '(']).next().unwrap_or_default();
                let name = NUMBERED.into_iter().find(|name| *name == before).unwrap_or(own);
                numbers(&text[at + '§'.len_utf8()..]).0.into_iter().map(move |section| (name, section))
            })
            .collect();
    }
    let mut found = Vec::new();
    for name in NUMBERED {
        for (at, matched) in text.match_indices(&format!("{name}.md")) {
            let mut rest = text[at + matched.len()..].trim_start_matches('`');
            let mut link = " §";
            while let Some(list) = rest.strip_prefix(link).or_else(|| rest.strip_prefix(" and §")) {
                let (sections, after) = numbers(list);
                found.extend(sections.into_iter().map(|section| (name, section)));
                (rest, link) = (after, ", §");
            }
        }
    }
    found
}

/// The section that a text begins with, or the first and the last of a few, and what follows.
fn numbers(text: &str) -> (Vec<String>, &str) {
    let number = |text: &str| {
        let end = text.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(text.len());
        text[..end].trim_end_matches('.').to_owned()
    };
    let first = number(text);
    let mut rest = &text[first.len()..];
    let mut found = vec![first];
    if let Some(more) = rest.strip_prefix('–').filter(|more| more.starts_with(|next: char| next.is_ascii_digit())) {
        let last = number(more);
        rest = &more[last.len()..];
        found.push(last);
    }
    (found.into_iter().filter(|number| !number.is_empty()).collect(), rest)
}

/// The numbers of a document's sections: those of its headings, and of rows that begin with one.
fn sections(text: &str) -> BTreeSet<String> {
    let number = |line: &str| {
        let head =
            line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")).or_else(|| line.strip_prefix("| "))?;
        let number = head.split(' ').next()?.trim_end_matches('.');
        number.starts_with(|first: char| first.is_ascii_digit()).then(|| number.to_owned())
    };
    text.lines().filter_map(number).collect()
}

/// Where the links of a page lead; what stands in a block of code is none.
fn links_in(text: &str) -> Vec<String> {
    let outside = outside_code(text).collect::<Vec<_>>().join("\n");
    let links = outside.split("](").skip(1);
    links.filter_map(|rest| rest.split_once(')').map(|(link, _)| link.to_owned())).collect()
}

fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// Whether a link on the page at `path` leads to a file, and to a heading in it if it names one. What lies on the network is
/// not looked for.
fn leads_somewhere(path: &Path, link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { path.to_owned() } else { path.parent().unwrap_or(Path::new("")).join(file) };
    let target = top().join(target);
    target.exists() && (anchor.is_empty() || is_markdown(&target) && anchors(&read(&target)).contains(anchor))
}

/// The names by which a page's headings can be linked to, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in outside_code(text).filter(|line| line.starts_with('#')) {
        let kept = |character: &char| character.is_alphanumeric() || [' ', '-', '_'].contains(character);
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let anchor = heading.chars().filter(kept).collect::<String>().replace(' ', "-");
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// The documents that a text names, without the way to a folder above. Not those on the network, nor those whose name is put
/// together.
fn documents_named_in(text: &str) -> impl Iterator<Item = &str> {
    let outside = |character: char| !(character.is_ascii_alphanumeric() || "._-/{}$:".contains(character));
    text.split(outside).filter_map(|word| {
        let named = word.trim_end_matches(['.', ':']);
        let named = named.trim_start_matches("../").trim_start_matches("./");
        let is_named = named.ends_with(".md") && !named.starts_with('.');
        let is_whole = !named.contains(['{', '$', ':']);
        (is_named && is_whole).then_some(named)
    })
}

/// The files of source code that a line names in its spans of code. Not those of whose name only the form is told.
fn source_files_named_in(line: &str) -> impl Iterator<Item = &str> {
    let spans = line.split('`').skip(1).step_by(2);
    spans.filter(|span| span.ends_with(".rs") && !span.contains([' ', '*', '{', '<']) && !span.contains("NAME"))
}

/// The cells of a table's row; none if it is no row.
fn cells(line: &str) -> Vec<String> {
    let Some(row) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { return Vec::new() };
    row.replace("\\|", "\u{0}").split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}
