//! One file and what becomes of it. All that is decided here is decided from texts; the journal reads and writes.

use std::path::PathBuf;

/// What is to be in a file.
pub struct Edit {
    /// The file.
    pub file: PathBuf,
    /// What.
    pub part: Part,
    /// Access rights, should the file be new.
    pub mode: u32,
    /// Whether others are to have those rights too, whatever the umask of the person who sets up.
    pub shared: bool,
}

/// How much of a file is ours.
pub enum Part {
    /// All of it.
    Whole(String),
    /// Lines at its end.
    Lines {
        /// The lines, given what stands above them.
        make: Box<dyn Fn(&str) -> String>,
        /// What a file has of the like already, by whosever hand.
        found: Box<dyn Fn(&str) -> Found>,
    },
}

/// What a file has of what is to be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Just that.
    Same,
    /// Ours, of another time or changed by hand.
    Other,
}

/// What is to be done to a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is as it should be.
    Keep,
    /// Nothing: somebody else's text is in the way.
    Refuse,
    /// Write `text`, of which `ours` is ours; without that, it was `before`.
    Write { text: String, ours: String, before: Option<String> },
}

/// What was written to a file earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<'a> {
    pub before: Option<&'a str>,
    pub ours: &'a str,
}

impl Part {
    /// What to do to a file that holds `now`.
    pub fn step(&self, now: Option<&str>, written: Option<&Written<'_>>) -> Step {
        match self {
            Part::Whole(text) => match (now, written) {
                (Some(now), _) if now == text => Step::Keep,
                (Some(now), Some(written)) if now == written.ours => whole(text),
                (None, _) => whole(text),
                (Some(_), _) => Step::Refuse,
            },
            Part::Lines { make, found } => {
                if let (Some(now), Some(written)) = (now, written)
                    && let Some(rest) = without(now, written.ours)
                {
                    let ours = make(&rest);
                    if ours.trim() == written.ours.trim() {
                        return Step::Keep;
                    }
                    return Step::Write {
                        text: format!("{rest}{ours}"),
                        ours,
                        before: written.before.map(str::to_owned).or_else(|| (!rest.is_empty()).then_some(rest)),
                    };
                }
                let base = now.unwrap_or_default();
                match found(base) {
                    Found::Nothing => {}
                    Found::Same => return Step::Keep,
                    Found::Other => return Step::Refuse,
                }
                let ours = make(base);
                Step::Write { text: format!("{base}{ours}"), ours, before: now.map(str::to_owned) }
            }
        }
    }
}

fn whole(text: &str) -> Step {
    Step::Write { text: text.to_owned(), ours: text.to_owned(), before: None }
}

/// What to do to a file that holds `now`, to take out what was written.
#[derive(Debug, PartialEq, Eq)]
pub enum Undo {
    /// Nothing of ours is in it any more.
    Leave,
    /// Put this in its place, which is what was there, byte for byte.
    Restore(String),
    /// It was not there.
    Remove,
    /// It was changed since; this is what is left without our part.
    TakeOut(String),
}

impl Written<'_> {
    /// See [`Undo`].
    pub fn undo(&self, now: Option<&str>) -> Undo {
        let Some(now) = now else { return Undo::Leave };
        if now == format!("{}{}", self.before.unwrap_or_default(), self.ours) {
            return self.before.map_or(Undo::Remove, |before| Undo::Restore(before.to_owned()));
        }
        without(now, self.ours).map_or(Undo::Leave, Undo::TakeOut)
    }
}

/// `text` without `part`, if it has it.
fn without(text: &str, part: &str) -> Option<String> {
    let at = text.rfind(part).filter(|_| !part.is_empty())?;
    Some(format!("{}{}", text.get(..at)?, text.get(at + part.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(block: &'static str) -> Part {
        let make = move |above: &str| {
            if above.is_empty() || above.ends_with('\n') { block.into() } else { format!("\n{block}") }
        };
        let found = |text: &str| match text {
            text if text.contains("theirs already") => Found::Same,
            text if text.contains("block") => Found::Other,
            _ => Found::Nothing,
        };
        Part::Lines { make: Box::new(make), found: Box::new(found) }
    }

    /// Applies `part` to `now`, and gives the new text with what is remembered.
    fn apply(part: &Part, now: Option<&str>) -> (String, Option<String>, String) {
        match part.step(now, None) {
            Step::Write { text, ours, before } => (text, before, ours),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_undone_is_as_it_was_to_the_byte() {
        for before in [None, Some(""), Some("a"), Some("a\n"), Some("a\r\n\n\n")] {
            let (text, kept, ours) = apply(&lines("block\n"), before);
            let written = Written { before: kept.as_deref(), ours: &ours };
            let expected = before.map_or(Undo::Remove, |before| Undo::Restore(before.into()));
            assert_eq!(written.undo(Some(&text)), expected, "{before:?}");
        }
    }

    #[test]
    fn what_a_person_wrote_since_stays() {
        let (text, kept, ours) = apply(&lines("block\n"), Some("above"));
        let written = Written { before: kept.as_deref(), ours: &ours };
        assert_eq!(written.undo(Some(&format!("new\n{text}below\n"))), Undo::TakeOut("new\nabovebelow\n".into()));
        assert_eq!(written.undo(Some("all new")), Undo::Leave);
        assert_eq!(written.undo(None), Undo::Leave);
    }

    #[test]
    fn a_second_time_changes_nothing_and_a_new_version_takes_the_old_ones_place() {
        let (text, kept, ours) = apply(&lines("block 1\n"), Some("above\n"));
        let written = Written { before: kept.as_deref(), ours: &ours };
        assert_eq!(lines("block 1\n").step(Some(&text), Some(&written)), Step::Keep);
        assert_eq!(lines("block 1\n").step(Some(&format!("{text}below\n")), Some(&written)), Step::Keep);
        let Step::Write { text, ours, before } = lines("block 2\n").step(Some(&text), Some(&written)) else { panic!() };
        assert_eq!((text.as_str(), before.as_deref()), ("above\nblock 2\n", Some("above\n")));
        assert_eq!(
            Written { before: before.as_deref(), ours: &ours }.undo(Some(&text)),
            Undo::Restore("above\n".into())
        );
    }

    #[test]
    fn somebody_elses_file_is_never_written_over() {
        let part = Part::Whole("ours\n".into());
        assert_eq!(part.step(Some("theirs\n"), None), Step::Refuse);
        assert_eq!(part.step(Some("ours\n"), None), Step::Keep);
        assert!(matches!(part.step(None, None), Step::Write { .. }));
        let written = Written { before: None, ours: "older\n" };
        assert!(matches!(part.step(Some("older\n"), Some(&written)), Step::Write { .. }));
        assert_eq!(part.step(Some("older and theirs\n"), Some(&written)), Step::Refuse);
        assert_eq!(lines("block\n").step(Some("theirs already"), None), Step::Keep);
        // Lines of ours that somebody has changed are neither doubled nor called as they should be.
        let written = Written { before: None, ours: "block\n" };
        assert_eq!(lines("block\n").step(Some("block changed\nby hand\n"), Some(&written)), Step::Refuse);
    }
}
