//! Keys that nobody knows: which the nearest known one is, and in which table it stands.

use crate::text::sanitise;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Every key with the table it stands in; those of none stand above the first table.
pub(super) const KEYS: [(&str, &str); 13] = [
    ("", "tokens"),
    ("", "authorities"),
    ("", "hold_pin"),
    ("", "pss"),
    ("", "last_try"),
    ("", "extended_read"),
    ("", "lock_timeout"),
    ("", "ignore_readers"),
    ("", "practice"),
    ("", "log"),
    ("", "log_level"),
    ("auth", "max_login"),
    ("sign", "always_authenticate"),
];

/// The first unknown key of a file: where it begins, and what is to be said of it.
pub(super) fn first(file: &DeTable<'_>) -> Option<(usize, String)> {
    let mut found = Vec::new();
    for (key, value) in file {
        let table = key.get_ref().as_ref();
        match value.get_ref() {
            _ if KEYS.contains(&("", table)) => {}
            DeValue::Table(entries) if is_table(table) => {
                let of_table =
                    |key: &&Spanned<_>| !KEYS.contains(&(table, AsRef::<str>::as_ref(Spanned::get_ref(key))));
                found.extend(entries.keys().filter(of_table).map(|key| (key.span().start, table, key.get_ref())));
            }
            // Which is said to be of the wrong type.
            _ if is_table(table) => {}
            _ => found.push((key.span().start, "", key.get_ref())),
        }
    }
    let (start, table, key) = found.into_iter().min()?;
    Some((start, sentence(table, key)))
}

fn is_table(name: &str) -> bool {
    tables().any(|table| table == name)
}

fn tables() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(table, _)| *table).filter(|table| !table.is_empty())
}

fn sentence(table: &str, key: &str) -> String {
    let below = |table: &str| match table {
        "" => "above the first line in brackets".to_owned(),
        table => format!("below [{table}]"),
    };
    let shown: String = sanitise(key).chars().take(40).collect();
    let unknown = match table {
        "" => format!("unknown key `{shown}`"),
        table => format!("unknown key `{shown}` in [{table}]"),
    };
    let candidates = KEYS.into_iter().chain(tables().map(|table| ("", table)));
    // Of two that are as near, the one of this table.
    let distance = |(its, name): &(&str, &str)| (distance(&key.to_lowercase(), name), *its != table);
    match candidates.min_by_key(distance) {
        Some((its, name)) if name == key => format!("{unknown}; it belongs {}", below(its)),
        Some((its, name)) if is_near(key, name) && its == table => {
            format!("{unknown}; the nearest known one is `{name}`")
        }
        Some((its, name)) if is_near(key, name) => {
            format!("{unknown}; the nearest known one is `{name}`, {}", below(its))
        }
        _ => format!("{unknown}; {}", known(table)),
    }
}

/// The keys that the table has.
fn known(table: &str) -> String {
    let names: Vec<_> = KEYS.iter().filter(|(its, _)| *its == table).map(|(_, name)| format!("`{name}`")).collect();
    format!("known here: {}", names.join(", "))
}

/// Whether so much of `name` is in `key` that it may be meant: a third of its letters may be wrong.
fn is_near(key: &str, name: &str) -> bool {
    distance(&key.to_lowercase(), name) <= name.len().div_ceil(3)
}

/// How many letters are to be put in, taken out or changed to make one of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (above, of_other) in row.iter_mut().skip(1).zip(other.chars()) {
            let changed = diagonal + usize::from(letter != of_other);
            diagonal = *above;
            left = changed.min(left + 1).min(*above + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_number_of_wrong_letters() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "log", 3),
            ("log", "", 3),
            ("log", "log", 0),
            ("practise", "practice", 1),
            ("practcie", "practice", 2),
            ("token", "tokens", 1),
            ("kitten", "sitting", 3),
            ("練習", "練", 1),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn a_misspelt_key_is_told_the_nearest_one_and_where_it_stands() {
        for (text, expected) in [
            ("practise = []", "unknown key `practise`; the nearest known one is `practice`"),
            ("PRACTICE = []", "unknown key `PRACTICE`; the nearest known one is `practice`"),
            ("hold-pin = true", "unknown key `hold-pin`; the nearest known one is `hold_pin`"),
            ("[atuh]\nmax_login = 3", "unknown key `atuh`; the nearest known one is `auth`"),
            ("auth.max_logn = 3", "unknown key `max_logn` in [auth]; the nearest known one is `max_login`"),
            ("max_logn = 3", "unknown key `max_logn`; the nearest known one is `max_login`, below [auth]"),
            ("max_login = 3", "unknown key `max_login`; it belongs below [auth]"),
            (
                "[auth]\nalways_authenticate = true",
                "unknown key `always_authenticate` in [auth]; it belongs below [sign]",
            ),
            ("[sign]\npractice = []", "unknown key `practice` in [sign]; it belongs above the first line in brackets"),
            ("[auth]\nxyzzy = 1", "unknown key `xyzzy` in [auth]; known here: `max_login`"),
        ] {
            let table = DeTable::parse(text).unwrap();
            assert_eq!(first(table.get_ref()).map(|(_, sentence)| sentence).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_first_unknown_key_in_the_file_is_told_and_no_long_one_whole() {
        let file = format!("zzz = 1\n{} = 2\n[auth]\naaa = 3", "a".repeat(10_000));
        let table = DeTable::parse(&file).unwrap();
        let (start, sentence) = first(table.get_ref()).unwrap();
        assert!(start == 0 && sentence.starts_with("unknown key `zzz`; known here: `tokens`"), "{sentence}");
        let table = DeTable::parse(&file[8..]).unwrap();
        assert!(first(table.get_ref()).unwrap().1.len() < 300);
    }
}
