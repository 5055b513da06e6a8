//! What `make install` installs, as packagers use it, and that `make uninstall` takes all of it away again.

mod common;

use common::make::{make, variable};
use common::{Scratch, built, run, target_dir};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const MODULES: [&str; 4] =
    ["libjpki_pkcs11.so", "libjpki_pkcs11-auth.so", "libjpki_pkcs11-sign.so", "libjpki_pkcs11-ssh.so"];

/// Each file below `root`, by its path from there, with its rights.
fn files(root: &Path) -> BTreeMap<PathBuf, u32> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                assert!(metadata.is_file(), "{}: the loader takes links to one file for one module", path.display());
                files.insert(path.strip_prefix(root).unwrap().to_owned(), metadata.permissions().mode() & 0o7777);
            }
        }
    }
    files
}

/// The names of the configuration files, as installed.
fn configurations() -> Vec<String> {
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pkcs11-conf")).unwrap();
    let names = sources.map(|source| source.unwrap().file_name().into_string().unwrap());
    names.map(|name| name.strip_suffix(".in").unwrap_or(&name).to_owned()).collect()
}

#[test]
fn make_install_puts_every_file_below_destdir_and_uninstall_leaves_none() {
    let scratch = Scratch::new();
    let root = scratch.path().join("a packager's root");
    let at = |target: &str| {
        let mut make = make(target);
        make.args([variable("DESTDIR", &root), "PREFIX=/usr".into(), "p11kitdir=/usr/share/p11-kit/modules".into()]);
        run(&mut make).ok()
    };
    at("install");
    let mut expected = BTreeMap::from([("usr/bin/jpki".into(), 0o755)]);
    expected.extend(MODULES.map(|module| (Path::new("usr/lib/pkcs11").join(module), 0o644)));
    let folder = |name: &str| if name.ends_with(".module") { "p11-kit/modules" } else { "doc/jpki-pkcs11" };
    let names = configurations();
    expected.extend(names.iter().map(|name| (Path::new("usr/share").join(folder(name)).join(name), 0o644)));
    assert_eq!(files(&root), expected);

    let read = |path: &str| fs::read(root.join(path)).unwrap();
    assert!(read("usr/bin/jpki") == fs::read(target_dir().join("jpki")).unwrap());
    for module in MODULES {
        assert!(read(&format!("usr/lib/pkcs11/{module}")) == fs::read(built()).unwrap(), "{module}");
    }
    for name in names {
        let text = String::from_utf8(read(&format!("usr/share/{}/{name}", folder(&name)))).unwrap();
        assert!(!text.contains("@moduledir@") && !text.contains("@docdir@"), "{name}: {text}");
        assert!(!text.contains("a packager's root"), "{name} names what is not there on the user's machine: {text}");
        let named = text.split(|c: char| c.is_whitespace() || "\"'=(),;:#<>".contains(c));
        let ours = named.filter(|word| word.starts_with("/usr/lib/pkcs11/") || word.starts_with("/usr/share/doc/jpki"));
        for path in ours.filter(|word| !word.contains('$')) {
            assert!(root.join(&path[1..]).exists(), "{name} names {path}, which is not installed");
        }
    }

    at("uninstall");
    assert_eq!(files(&root), BTreeMap::new());
    assert!(!root.join("usr/share/doc/jpki-pkcs11").exists());
}

#[test]
fn make_install_without_a_build_says_what_to_do() {
    let scratch = Scratch::new();
    let root = scratch.path().join("root");
    let mut make = make("install");
    make.args([variable("DESTDIR", &root), variable("BUILT_MODULE", &scratch.path().join("none"))]);
    assert!(run(&mut make).refused().contains("make build"));
    assert!(!root.exists());
}
