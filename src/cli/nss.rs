//! The list of modules of an NSS database: the file `pkcs11.txt` beside its keys and certificates, a paragraph a module.

use std::path::PathBuf;

/// The file's name.
pub const FILE: &str = "pkcs11.txt";

/// The modules it lists; NSS's own has no library.
pub fn modules(text: &str) -> Vec<PathBuf> {
    let libraries = text.lines().filter_map(|line| line.trim().strip_prefix("library="));
    libraries.filter(|library| !library.is_empty()).map(PathBuf::from).collect()
}

/// The paragraph of one more module, to be put at the end of `text`.
pub fn paragraph(text: &str, name: &str, library: &str) -> String {
    let gap = match text {
        "" => "",
        text if text.ends_with("\n\n") => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    format!("{gap}library={library}\nname={name}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_that_is_added_is_found_again() {
        let own = "library=\nname=NSS Internal PKCS #11 Module\nparameters=configdir='sql:x'\n";
        for own in [own.to_owned(), format!("{own}\n"), own.trim_end().to_owned(), String::new()] {
            let text = format!("{own}{}", paragraph(&own, "JPKI", "/a b/m.so"));
            assert_eq!(modules(&text), [PathBuf::from("/a b/m.so")]);
            assert!(text.contains("\n\nlibrary=/a") || own.is_empty(), "{text:?}");
        }
    }
}
