//! `docs/functions.md` is true: it has the functions of the interfaces, each once, and those that it says are not offered
//! answer as it says.

#![cfg(all(unix, feature = "practice"))]
#![allow(unsafe_code)]

#[path = "common/embedded.rs"]
mod embedded;
#[path = "common/every.rs"]
mod every;
#[path = "common/loaded.rs"]
mod loaded;
#[path = "common/session.rs"]
mod session;

use cryptoki_sys::*;
use session::Card;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::null_mut;

/// A row of the page, after the function's name.
struct Row {
    since: &'static str,
    does: &'static str,
    why: &'static str,
}

/// The page's rows by their functions' names.
fn page() -> BTreeMap<&'static str, Row> {
    let page = include_str!("../docs/functions.md");
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, since, does, why] = cells[..] else { panic!("not four cells: {line}") };
        let name = name.trim_matches('`');
        assert!(rows.insert(name, Row { since, does, why }).is_none(), "{name} stands there twice");
    }
    rows
}

/// What the page says that a function answers which is not offered.
fn refusal(row: &Row) -> Option<CK_RV> {
    let name = row.does.strip_prefix('`')?.split_once('`')?.0;
    Some(match name {
        "CKR_FUNCTION_NOT_SUPPORTED" => CKR_FUNCTION_NOT_SUPPORTED,
        "CKR_FUNCTION_NOT_PARALLEL" => CKR_FUNCTION_NOT_PARALLEL,
        "CKR_RANDOM_NO_RNG" => CKR_RANDOM_NO_RNG,
        "CKR_KEY_HANDLE_INVALID" => CKR_KEY_HANDLE_INVALID,
        "CKR_WRAPPING_KEY_HANDLE_INVALID" => CKR_WRAPPING_KEY_HANDLE_INVALID,
        "CKR_UNWRAPPING_KEY_HANDLE_INVALID" => CKR_UNWRAPPING_KEY_HANDLE_INVALID,
        name => panic!("{name} begins what a function does"),
    })
}

#[test]
fn the_page_has_exactly_the_functions_of_the_interfaces() {
    let rows = page();
    let versions = ["2.40", "3.0", "3.2"];
    let interfaces = [every::of_2_40(), every::of_3_0(), every::of_3_2()];
    assert!(rows.values().all(|row| versions.contains(&row.since)));
    for (newest, functions) in interfaces.into_iter().enumerate() {
        let is_in = |row: &Row| versions[..=newest].contains(&row.since);
        let named: BTreeSet<_> = rows.iter().filter(|(_, row)| is_in(row)).map(|(name, _)| *name).collect();
        assert_eq!(named, BTreeSet::from_iter(functions), "{}", versions[newest]);
    }
    for (name, row) in rows {
        assert!(!row.does.is_empty() && !row.why.is_empty(), "{name}");
    }
}

#[test]
fn what_the_page_says_is_not_offered_answers_so_and_the_rest_does_not() {
    let card = Card::insert();
    let rows = page();
    let unsupported = [CKR_FUNCTION_NOT_SUPPORTED, CKR_FUNCTION_NOT_PARALLEL, CKR_RANDOM_NO_RNG];
    let mut answers: BTreeMap<_, _> = every::in_sessions(card.list, || card.session()).into_iter().collect();
    // SAFETY: null and empty.
    answers.insert("C_InitToken", unsafe { card.list.C_InitToken.unwrap()(card.slot, null_mut(), 0, null_mut()) });
    for (name, row) in rows {
        match (refusal(&row), answers.get(name)) {
            (Some(expected), Some(answer)) => assert_eq!(*answer, expected, "{name}"),
            (None, Some(answer)) => assert!(!unsupported.contains(answer), "{name}: {answer:#x}"),
            (Some(_), None) => panic!("{name} has no session to be tried in"),
            (None, None) => {}
        }
    }
}
