//! The floors inside the layers. In the module every file has its place in the table of the rooms on `src/pkcs11/mod.rs`,
//! and imports what stands before it there; in the other layers files and folders that stand side by side import one way.

use super::{Source, identifier, is_of_word, sources, texts_below, without_comments_and_texts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module of the crate, named from its root.
type Module = Vec<String>;

/// Which modules there are, and which names which.
struct House {
    modules: BTreeSet<Module>,
    uses: BTreeSet<(Module, Module)>,
}

impl House {
    /// As these sources build it. What stands in a test is left out.
    fn of(sources: &[Source]) -> House {
        let sources: Vec<(Module, String)> = sources
            .iter()
            .filter(|source| !source.is_test() && !["lib", "main"].contains(&source.layer().as_str()))
            .map(|source| (source.module(), outside_tests(&source.code)))
            .collect();
        let with_those_above = |(module, _): &(Module, String)| -> Vec<Module> {
            (1..=module.len()).map(|depth| module[..depth].to_vec()).collect()
        };
        let modules = sources.iter().flat_map(with_those_above).collect();
        let mut house = House { modules, uses: BTreeSet::new() };
        let handed_on: BTreeMap<Module, Module> =
            sources.iter().flat_map(|(module, code)| house.handed_on(module, code)).collect();
        for (module, code) in &sources {
            let named = paths(module, code).into_iter().map(|path| house.owner(&handed_on, &path));
            let named: Vec<Module> = named.filter(|named| named != module).collect();
            house.uses.extend(named.into_iter().map(|named| (module.clone(), named)));
        }
        house
    }

    /// What a module has of its children and lets others name as its own: the name, and what it stands for.
    fn handed_on(&self, module: &Module, code: &str) -> Vec<(Module, Module)> {
        let mut found = Vec::new();
        for (at, _) in code.match_indices("use ").filter(|(at, _)| code[..*at].trim_end().ends_with(['b', ')'])) {
            for path in tree(&code[at + "use ".len()..]) {
                let path = [module.clone(), path].concat();
                let Some(name) = path.last().filter(|_| self.modules.contains(&path[..=module.len()])) else {
                    continue;
                };
                found.push(([module.clone(), vec![name.clone()]].concat(), path));
            }
        }
        found
    }

    /// The module in which the thing of this path is.
    fn owner(&self, handed_on: &BTreeMap<Module, Module>, path: &[String]) -> Module {
        let mut owner = Module::new();
        for (at, name) in path.iter().enumerate() {
            let next = [owner.clone(), vec![name.clone()]].concat();
            if let Some(path_behind) = handed_on.get(&next).filter(|_| !self.modules.contains(&next)) {
                return self.owner(handed_on, &[path_behind, &path[at + 1..]].concat());
            }
            if !self.modules.contains(&next) {
                break;
            }
            owner = next;
        }
        owner
    }

    /// Which of the files and folders in a folder import which of those beside them.
    fn side_by_side(&self) -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
        let mut folders = BTreeMap::<Module, BTreeMap<String, BTreeSet<String>>>::new();
        for (module, named) in &self.uses {
            let shared = module.iter().zip(named).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(other)) = (module.get(shared), named.get(shared)) {
                let folder = folders.entry(module[..shared].to_vec()).or_default();
                folder.entry(one.clone()).or_default().insert(other.clone());
                folder.entry(other.clone()).or_default();
            }
        }
        folders
    }
}

/// Those that import themselves by way of others, with what they import; none where all import one way.
pub(super) fn circles(mut imports: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    loop {
        let lowest: BTreeSet<String> =
            imports.iter().filter(|(_, imports)| imports.is_empty()).map(|(name, _)| name.clone()).collect();
        if lowest.is_empty() {
            return imports;
        }
        imports.retain(|name, _| !lowest.contains(name));
        imports.values_mut().for_each(|imports| imports.retain(|import| !lowest.contains(import)));
    }
}

/// The table of the rooms, from the lowest floor up: each file, as `room/file`, and the number of its place. Files that are
/// joined by `+` share one.
fn floors(page: &str) -> Vec<(String, usize)> {
    let (_, table) = page.split_once("//! ```text\n").expect("the table begins");
    let (table, _) = table.split_once("//! ```").expect("the table ends");
    let mut places = Vec::new();
    for (floor, line) in table.lines().enumerate() {
        let row = line.strip_prefix("//! ").and_then(|line| line.split_once(':'));
        let (room, files) = row.unwrap_or_else(|| panic!("not a row: {line}"));
        for (place, together) in files.split_whitespace().enumerate() {
            places.extend(together.split('+').map(|file| (format!("{room}/{file}"), floor * 1000 + place)));
        }
    }
    places
}

/// What is not as the table of the rooms has it.
fn against_the_floors(house: &House, floors: &[(String, usize)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let places: BTreeMap<&str, usize> = floors.iter().map(|(file, place)| (file.as_str(), *place)).collect();
    if places.len() != floors.len() {
        wrong.push("a file has two places".to_owned());
    }
    // What belongs to a file alone, its parts, stands where it stands.
    let file = |module: &Module| match &module[..] {
        [layer, room, file, ..] if layer == "pkcs11" => Some(format!("{room}/{file}")),
        _ => None,
    };
    let files: BTreeSet<String> = house.modules.iter().filter_map(file).collect();
    wrong.extend(
        files.iter().filter(|file| !places.contains_key(file.as_str())).map(|file| format!("no place: {file}")),
    );
    wrong.extend(places.keys().filter(|file| !files.contains(**file)).map(|file| format!("no file: {file}")));
    let place = |file: &Option<String>| file.as_ref().and_then(|file| places.get(file.as_str()));
    let rooms: BTreeSet<&str> = places.keys().filter_map(|file| file.split('/').next()).collect();
    let is_room = |module: &Module| module.len() == 2 && rooms.contains(module[1].as_str());
    for (module, named) in house.uses.iter().filter(|(_, named)| named.first().is_some_and(|layer| layer == "pkcs11")) {
        let (own, other) = (file(module), file(named));
        let is_right = match (place(&own), place(&other)) {
            (Some(own), Some(other)) => other <= own,
            // A room has nothing of its own but its files, and what stands beside the rooms stands above them.
            (Some(_), None) => module.starts_with(named),
            (None, _) => !is_room(module),
        };
        if !is_right {
            wrong.push(format!("{} imports {}", module.join("/"), named.join("/")));
        }
    }
    wrong
}

#[test]
fn the_modules_files_import_what_stands_before_them_in_the_table_of_its_rooms() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pkcs11/mod.rs")).unwrap();
    let wrong = against_the_floors(&House::of(&sources()), &floors(&page));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_and_folders_side_by_side_import_one_way() {
    let mut folders = House::of(&sources()).side_by_side();
    // Tables of their own have the crate's layers, and the module's rooms with the files in them.
    let rooms = floors(&texts_below("src").find(|(path, _)| path.ends_with("pkcs11/mod.rs")).unwrap().1);
    let rooms: BTreeSet<Module> =
        rooms.iter().map(|(file, _)| file.split('/').next().unwrap()).map(in_module).collect();
    folders.retain(|folder, _| !rooms.contains(folder) && *folder != in_module("") && !folder.is_empty());
    assert!(folders.len() > 5, "{folders:#?}");
    for (folder, imports) in folders {
        let circles = circles(imports);
        assert!(circles.is_empty(), "in {}, each of these imports another: {circles:#?}", folder.join("/"));
    }
}

/// A room of the module, or the module itself.
fn in_module(room: &str) -> Module {
    ["pkcs11", room].iter().filter(|name| !name.is_empty()).map(|&name| name.to_owned()).collect()
}

/// The code on one line, up to the tests at its end.
fn outside_tests(code: &str) -> String {
    let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ").replace(":: ", "::");
    code.split(" mod tests {").next().unwrap_or_default().to_owned()
}

/// The paths that begin with `crate` or `super`, from the crate's root.
fn paths(module: &Module, code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|last: char| is_of_word(last) || last == ':') {
                continue;
            }
            let mut rest = &code[at..];
            let mut start = if root == "crate::" { Some(&module[..0]) } else { Some(&module[..]) };
            rest = rest.strip_prefix("crate::").unwrap_or(rest);
            while let Some(further) = rest.strip_prefix("super::") {
                rest = further;
                start = start.and_then(|start| start.split_last()).map(|(_, above)| above);
            }
            if let Some(start) = start {
                found.extend(tree(rest).into_iter().map(|path| [start, &path].concat()));
            }
        }
    }
    found
}

/// The paths of what may stand after `use`, groups taken apart.
fn tree(text: &str) -> Vec<Module> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return members(group).into_iter().flat_map(tree).collect();
    }
    let name = identifier(text);
    let further = text[name.len()..].strip_prefix("::").map(tree).unwrap_or_default();
    match further.is_empty() {
        true => vec![vec![name]],
        false => further.into_iter().map(|path| [vec![name.clone()], path].concat()).collect(),
    }
}

/// What the commas of a group in braces part, whose opening brace is gone already.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (1, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && character == ',' {
            members.push(group[start..at].trim());
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

mod the_reader_of_floors {
    use super::*;

    const PAGE: &str = "//! ```text\n//! low: a b\n//! high: c d+e\n//! low: f\n//! ```\n";

    fn house(sources: &[(&str, &str)]) -> House {
        let source = |(path, code): &(&str, &str)| Source { path: path.into(), code: without_comments_and_texts(code) };
        House::of(&sources.iter().map(source).collect::<Vec<_>>())
    }

    /// Complaints where one file of such a module has this in it.
    fn complaints(path: &str, code: &str) -> Vec<String> {
        let mut sources: Vec<(&str, &str)> = ["low/a", "low/b", "high/c", "high/d", "high/e", "low/f"]
            .iter()
            .map(|name| (format!("src/pkcs11/{name}.rs").leak() as &str, ""))
            .chain([("src/pkcs11/mod.rs", ""), ("src/pkcs11/top.rs", "use super::low::f; use crate::pkcs11::high::c;")])
            .collect();
        sources.retain(|(name, _)| *name != path);
        sources.push((path, code));
        against_the_floors(&house(&sources), &floors(PAGE))
    }

    #[test]
    fn takes_what_leads_down_and_finds_whatever_leads_up() {
        for (path, down) in [
            ("src/pkcs11/low/b.rs", "use super::a::{self, A};"),
            ("src/pkcs11/high/c.rs", "use crate::pkcs11::low::{a::A, b};"),
            ("src/pkcs11/high/d.rs", "use super::{c::C, e}; mod tests { use crate::pkcs11::low::f; }"),
            ("src/pkcs11/high/e.rs", "use super::d::D;"),
            ("src/pkcs11/low/f.rs", "use super::a; use crate::pkcs11::high::d::D;"),
            ("src/pkcs11/low/f/part.rs", "use super::F; use super::super::b;"),
            ("src/pkcs11/low/a.rs", "mod part { use super::A; }"),
            ("src/pkcs11/mod.rs", "use low::f::F; use crate::pkcs11::high::d;"),
        ] {
            assert!(complaints(path, down).is_empty(), "{path}: {down}");
        }
        for (path, up) in [
            ("src/pkcs11/low/a.rs", "use super::b::B;"),
            ("src/pkcs11/low/a.rs", "use super::{\n    b::{self, B},\n};"),
            ("src/pkcs11/low/b.rs", "fn f(c: crate::pkcs11::high::c::C) {}"),
            ("src/pkcs11/low/b.rs", "use crate::{pkcs11::{high::{c::C}}, card};"),
            ("src/pkcs11/high/c.rs", "pub use super::super::low::f::F;"),
            ("src/pkcs11/high/c/part.rs", "use super::super::d::D;"),
            ("src/pkcs11/high/d.rs", "use crate::pkcs11::top;"),
            ("src/pkcs11/low/mod.rs", "pub use super::high::c::C;"),
        ] {
            assert_eq!(complaints(path, up).len(), 1, "{path}: {up}");
        }
    }

    #[test]
    fn misses_no_file_that_has_no_place_and_no_place_that_has_no_file() {
        assert_eq!(complaints("src/pkcs11/high/g.rs", ""), ["no place: high/g"]);
        let wrong =
            against_the_floors(&house(&[("src/pkcs11/low/a.rs", "")]), &floors("//! ```text\n//! low: a b\n//! ```"));
        assert_eq!(wrong, ["no file: low/b"]);
        let twice = floors("//! ```text\n//! low: a a\n//! ```");
        assert_eq!(against_the_floors(&house(&[("src/pkcs11/low/a.rs", "")]), &twice), ["a file has two places"]);
    }

    #[test]
    fn finds_a_circle_through_folders_and_through_names_handed_on() {
        let circle = |one: &str, other: &str| {
            let house = house(&[
                ("src/cli/mod.rs", "pub(crate) use two::Two; pub use one::One;"),
                ("src/cli/one/mod.rs", ""),
                ("src/cli/one/part.rs", one),
                ("src/cli/two.rs", other),
                ("src/cli/three.rs", "use super::one::part; use super::two::Two;"),
            ]);
            circles(house.side_by_side().remove(&vec!["cli".to_owned()]).unwrap()).into_keys().collect::<Vec<_>>()
        };
        assert!(circle("use super::super::two::Two;", "").is_empty());
        assert!(circle("use super::One;", "use super::one::part::Part;").is_empty());
        // What imports from a circle cannot be told from it, and is named with it.
        let found = ["one", "three", "two"];
        assert_eq!(circle("use super::super::two::Two;", "use crate::cli::one::part::Part;"), found);
        assert_eq!(circle("use crate::cli::Two;", "use super::One;"), found);
        assert_eq!(circle("use super::super::{Two};", "use super::{one};"), found);
    }
}
