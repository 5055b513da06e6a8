//! The table of the layers in `src/lib.rs` is true, and that of the module's rooms in `src/pkcs11/mod.rs`: who imports whom,
//! where unsafe code, private keys and the network are. Read from the source, comments and texts left out.

#[path = "layering/floors.rs"]
mod floors;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Each layer and what it imports, by the table on the crate's page.
fn layers() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let (_, table) = page.split_once("//! ```text\n").expect("the table begins");
    let (table, _) = table.split_once("//! ```").expect("the table ends");
    let row = |line: &str| {
        let (layer, imports) = line.strip_prefix("//! ")?.split_once(':')?;
        Some((layer.to_owned(), imports.split_whitespace().map(str::to_owned).collect()))
    };
    table.lines().map(|line| row(line).unwrap_or_else(|| panic!("not a row: {line}"))).collect()
}

#[test]
fn layers_import_what_the_crates_page_says() {
    // The crate's root names its layers, and the program's is a layer of its own.
    let roots = ["lib", "main"];
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| !roots.contains(&source.layer().as_str())) {
        let own = source.layer();
        let layer = imports.entry(own.clone()).or_default();
        // What only a test imports, a card to test against, say, is no part of the architecture.
        layer.extend(source.imports().into_iter().filter(|import| *import != own && !source.is_test()));
    }
    assert_eq!(imports, layers());
}

#[test]
fn no_layer_imports_itself_by_way_of_others() {
    let circles = floors::circles(layers());
    assert!(circles.is_empty(), "each of these imports another: {circles:#?}");
}

#[test]
fn unsafe_code_is_at_the_edges_only() {
    let edges = ["src/sys", "src/pkcs11/edge/ffi", "src/pkcs11/edge/entry"];
    let with: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.words().any(|word| word == "unsafe" || word == "unsafe_code"))
        .map(|source| source.path)
        .collect();
    assert!(with.len() >= edges.len());
    for path in with {
        // The file itself, and what belongs to it alone: its tests, its parts.
        let name = path.with_extension("");
        assert!(edges.iter().any(|edge| name.starts_with(edge)), "unsafe code in {}", path.display());
    }
}

#[test]
fn private_keys_are_the_practice_cards_only() {
    // Keys of RSA and of ECDSA, what they are read from and what signs with them.
    let types = [
        "SigningKey",
        "BlindedSigningKey",
        "DecryptingKey",
        "SecretKey",
        "NonZeroScalar",
        "DecodePrivateKey",
        "EncodePrivateKey",
        "DecodeEcPrivateKey",
        "EncodeEcPrivateKey",
        "Generate",
        "Signer",
        "PrehashSigner",
        "RandomizedSigner",
        "RandomizedPrehashSigner",
    ];
    // PKCS#11 has private keys too, which are on the card: what is called so beside a library's name is a key itself.
    let of_a_library = |source: &Source| source.names(&["rsa", "p384", "elliptic_curve"]);
    let with = files(|source| source.names(&types) || of_a_library(source) && source.names(&["PrivateKey", "Scalar"]));
    for library in ["rsa", "p384"] {
        let keys = |path: &PathBuf| with["emulator"].contains(path);
        let files = files(|source| source.names(&[library]));
        assert!(files["emulator"].iter().any(keys), "the practice card's own keys of {library} were not found");
    }
    assert_eq!(with.keys().collect::<Vec<_>>(), ["emulator"], "{with:?}");
}

/// What the module leaves to others, and to whom, was agreed on.
#[test]
fn the_agreed_packages_are_direct_dependencies_and_each_is_used() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let sources = sources();
    for package in ["cryptoki-sys", "pcsc", "rsa", "sha2", "x509-cert", "once_cell", "parking_lot"] {
        let dependency = manifest["dependencies"].get(package).unwrap_or_else(|| panic!("{package} is no dependency"));
        assert!(dependency.get("optional").is_none(), "{package} is left out of the bare module");
        let name = package.replace('-', "_");
        let used = |source: &Source| source.names(&[&name]) && !source.is_test();
        assert!(sources.iter().any(used), "{package} is used nowhere");
    }
}

#[test]
fn the_module_knows_no_network_and_starts_no_process() {
    let network = files(|source| source.names(&["TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"]));
    for layer in network.keys() {
        assert!(layer == "emulator", "{network:?}");
    }
    let loaded_with_it = |source: &Source| !["cli", "emulator"].contains(&source.layer().as_str()) && !source.is_test();
    for source in sources().iter().filter(|source| loaded_with_it(source)) {
        assert!(!source.code.contains("process::Command"), "{} starts a process", source.path.display());
    }
}

/// Nothing reads the individual number or the face photo, and the program selects none of the applications that hold them.
#[test]
fn no_application_is_selected_that_holds_the_individual_number_or_the_face_photo() {
    // card.md §1.3: resident register, check of the card's surface, help with entering what is on it.
    let forbidden = [0x01, 0x02, 0x08].map(|last| vec![0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, last]);
    let jpki = vec![0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
    // Holds how to reach the card and nothing of its holder; another one to select when a login ends.
    let common = vec![0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x01, 0x00];
    let (mut selected, mut practised) = (BTreeSet::new(), BTreeSet::new());
    // Rivals of the module's, in its tests, select what they like.
    for source in sources().iter().filter(|source| !source.is_test()) {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&source.path)).unwrap();
        let found = if source.layer() == "emulator" { &mut practised } else { &mut selected };
        found.extend(japanese_applications(&text));
    }
    assert!(forbidden.iter().all(|application| practised.contains(application)), "the practice card has them");
    assert_eq!(selected, BTreeSet::from([jpki, common]));
}

/// A practice card's keys are real keys, and what lies below the target directory stays until somebody cleans up: what a test
/// writes goes into a directory of its own that goes with it.
#[test]
fn no_test_leaves_files_in_the_target_directory() {
    let forbidden = ["CARGO_TARGET", "_TMPDIR"].concat();
    let with: Vec<_> =
        texts_below("tests").chain(texts_below("benches")).filter(|(_, text)| text.contains(&forbidden)).collect();
    assert!(texts_below("tests").count() > 50);
    assert!(with.is_empty(), "{:?}", with.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

/// The identifiers of applications in a source, ten bytes each, that begin as those registered in Japan do (D3 92): written
/// as numbers, or as a text in hex.
fn japanese_applications(text: &str) -> Vec<Vec<u8>> {
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    };
    let numbers: Vec<Option<u8>> =
        text.split(|character: char| !is_of_word(character)).filter(|word| !word.is_empty()).map(number).collect();
    let spelt = |window: &[Option<u8>]| window.iter().copied().collect::<Option<Vec<u8>>>();
    let as_numbers = numbers.windows(10).filter_map(spelt).filter(|bytes| bytes.starts_with(&[0xD3, 0x92]));

    let hex: String = text.to_uppercase().replace("\\X", "").split([' ', '_']).collect();
    let as_hex = hex.match_indices("D392").filter_map(|(at, _)| {
        let digits = hex.get(at..at + 20)?;
        (0..20).step_by(2).map(|byte| u8::from_str_radix(digits.get(byte..byte + 2)?, 16).ok()).collect()
    });
    as_numbers.chain(as_hex).collect()
}

/// The files that are `such`, by layer.
fn files(such: impl Fn(&Source) -> bool) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found = BTreeMap::<String, Vec<PathBuf>>::new();
    for source in sources().into_iter().filter(such) {
        found.entry(source.layer()).or_default().push(source.path);
    }
    found
}

/// A source file, its comments and texts left out.
struct Source {
    path: PathBuf,
    code: String,
}

fn sources() -> Vec<Source> {
    let sources: Vec<Source> =
        texts_below("src").map(|(path, text)| Source { path, code: without_comments_and_texts(&text) }).collect();
    assert!(sources.len() > 10);
    sources
}

/// The source files of a folder, and what is in them.
fn texts_below(folder: &str) -> impl Iterator<Item = (PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path, std::fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    files.into_iter()
}

impl Source {
    /// The path of its module from the crate's root, file by file.
    fn module(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let names = path.iter().skip(1).map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name != "mod").collect()
    }

    /// Whether it is a module of tests and nothing else.
    fn is_test(&self) -> bool {
        self.module().iter().skip(1).any(|name| name == "tests")
    }

    fn layer(&self) -> String {
        self.module().swap_remove(0)
    }

    /// Whether one of `names` stands in it.
    fn names(&self, names: &[&str]) -> bool {
        self.words().any(|word| names.contains(&word))
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|character| !is_of_word(character))
    }

    /// The layers it names: after `crate::` (`jpki_pkcs11::` in the program), and after as many `super::` as lead to the
    /// crate's root.
    fn imports(&self) -> Vec<String> {
        let code: String = self.code.split_whitespace().collect::<Vec<_>>().join(" ").replace(":: ", "::");
        let to_root = "super::".repeat(self.module().len());
        let roots = ["crate::", "jpki_pkcs11::", &to_root, &format!("{to_root}super::")];
        let mut layers = Vec::new();
        for root in roots {
            for (at, _) in code.match_indices(root) {
                let longer_word = code[..at].ends_with(|last: char| is_of_word(last) || last == ':');
                if longer_word {
                    continue;
                }
                let rest = &code[at + root.len()..];
                let names = match rest.strip_prefix('{') {
                    Some(group) => heads(group),
                    None => vec![identifier(rest)],
                };
                // From a `super` that may stand in an inline module, only what can be nothing else.
                let sure = !root.starts_with("super");
                layers.extend(names.into_iter().filter(|name| sure && !name.is_empty() || is_layer(name)));
            }
        }
        layers
    }
}

fn is_layer(name: &str) -> bool {
    static LAYERS: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(layers);
    LAYERS.contains_key(name)
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|&character| is_of_word(character)).collect()
}

/// The first names of a group in braces, whose opening brace is gone already.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut start) = (1, Vec::new(), true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => start = true,
            ' ' => {}
            _ if start => {
                heads.push(identifier(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

/// The source with comments (nested ones too) and the insides of string literals gone.
fn without_comments_and_texts(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            let mut depth = 0;
            while !rest.is_empty() {
                let step = match rest {
                    rest if rest.starts_with("/*") => (1, 2),
                    rest if rest.starts_with("*/") => (-1, 2),
                    rest => (0, rest.chars().next().map_or(1, char::len_utf8)),
                };
                depth += step.0;
                rest = &rest[step.1..];
                if depth == 0 {
                    break;
                }
            }
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest = &rest[if rest.starts_with("'\"'") { 3 } else { 4 }..];
        } else if let Some(end) = raw_text(rest).filter(|_| !code.ends_with(is_of_word)) {
            code.push_str("\"\"");
            rest = &rest[end..];
        } else if character == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|character| {
                let end = character == '"' && !escaped;
                escaped = character == '\\' && !escaped;
                end
            });
            code.push_str("\"\"");
            rest = end.map_or("", |end| &rest[end + 2..]);
        } else {
            code.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    code
}

/// Where the raw string literal ends that `code` begins with, if it does.
fn raw_text(code: &str) -> Option<usize> {
    let hashes = code.strip_prefix('r')?.chars().take_while(|&character| character == '#').count();
    let start = 1 + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    code.get(..start)?.ends_with('"').then(|| code[start..].find(&end).map_or(code.len(), |at| start + at + end.len()))
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

mod the_reader_of_sources {
    use super::*;

    fn imports(path: &str, code: &str) -> Vec<String> {
        Source { path: path.into(), code: without_comments_and_texts(code) }.imports()
    }

    #[test]
    fn finds_every_way_to_name_a_layer() {
        assert_eq!(imports("src/card/mod.rs", "use crate::apdu::Command;"), ["apdu"]);
        assert_eq!(
            imports("src/card/mod.rs", "use crate::{apdu::{Command, Sw}, secret, tlv::Header};"),
            ["apdu", "secret", "tlv"]
        );
        assert_eq!(imports("src/card/mod.rs", "use crate::{\n    apdu,\n    tlv,\n};"), ["apdu", "tlv"]);
        assert_eq!(imports("src/card/mod.rs", "fn f(x: crate::cert::Certificate) {}"), ["cert"]);
        assert_eq!(imports("src/card/mod.rs", "pub(crate) use super::cert;"), ["cert"]);
        assert_eq!(imports("src/card/commands.rs", "use super::super::cert::View;"), ["cert"]);
        assert_eq!(imports("src/card/commands.rs", "mod tests { use super::super::super::cert; }"), ["cert"]);
        assert_eq!(imports("src/main.rs", "jpki_pkcs11::pkcs11::run()"), ["pkcs11"]);
    }

    #[test]
    fn finds_applications_however_they_are_written() {
        let surface = vec![0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x02];
        for code in [
            "[0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x02]",
            "&[0, 164, 4, 12, 10, 211, 146, 16, 0, 49, 0, 1, 1, 4, 2]",
            "b\"\\x00\\xA4\\x04\\x0C\\x0A\\xd3\\x92\\x10\\x00\\x31\\x00\\x01\\x01\\x04\\x02\"",
            "\"00 A4 04 0C 0A D3921000310001010402\"",
            "\"d3 92 10 00 31 00 01 01 04 02\"",
        ] {
            assert!(japanese_applications(code).contains(&surface), "{code}");
        }
    }

    #[test]
    fn takes_nothing_else_for_an_import() {
        assert!(imports("src/card/mod.rs", "use super::profile; use other_crate::cert;").is_empty());
        assert!(
            imports("src/card/mod.rs", "/* crate::cert /* */ crate::cert */ // crate::cert\n\"\\\"crate::cert\"")
                .is_empty()
        );
        assert!(imports("src/card/mod.rs", "r#\"a \"quote crate::cert\"#; r\"\\\"; '\"'; b'\"';").is_empty());
        assert_eq!(imports("src/card/mod.rs", "r#\"a \"quote\"#; crate::cert; \"\""), ["cert"]);
        assert!(imports("src/pkcs11/edge/ffi.rs", "use super::rv::Rv; pub(crate) fn f() {}").is_empty());
    }
}
