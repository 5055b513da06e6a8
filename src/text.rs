//! Text from outside — a card, a certificate, a configuration file — made safe to show in a terminal or a log line.

use std::borrow::Cow;

/// `text` with every character replaced by U+FFFD that could move the cursor, end the line, reorder what is read or hide
/// in it. Everything read from a card goes through here before a person sees it.
///
/// Variation selectors stay: Japanese names are spelt with them.
pub fn sanitise(text: &str) -> Cow<'_, str> {
    if text.contains(is_unsafe) { text.replace(is_unsafe, "\u{FFFD}").into() } else { text.into() }
}

/// Whether [`sanitise`] replaces it: C0 and C1 controls, line and paragraph separators, bidirectional controls, and the
/// invisible ones.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_kept_as_it_is() {
        for text in ["JPKI Auth 0003", "練習\u{3000}太郎", "辻\u{E0101}", "葛\u{FE00}", "Łódź", ""] {
            assert!(matches!(sanitise(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn no_control_character_is_shown() {
        // C0, DEL and C1: NEL (85) ends a line, CSI (9B) begins a sequence.
        for control in (0x00..=0x1F).chain(0x7F..=0x9F).map(char::from) {
            assert_eq!(sanitise(&format!("a{control}b")), "a\u{FFFD}b", "{control:?}");
        }
    }

    #[test]
    fn escapes_line_breaks_and_bidi_controls_are_replaced() {
        assert_eq!(sanitise("a\x1b[2Jb\nc\rd\u{9b}e\0"), "a\u{FFFD}[2Jb\u{FFFD}c\u{FFFD}d\u{FFFD}e\u{FFFD}");
        assert_eq!(sanitise("x\u{202E}y\u{2066}z\u{2028}"), "x\u{FFFD}y\u{FFFD}z\u{FFFD}");
        assert_eq!(sanitise("p\u{200B}q\u{E0041}"), "p\u{FFFD}q\u{FFFD}");
    }
}
