//! Text from outside (names, messages that quote files, decoded tokens) made safe to show.
//!
//! A model's name or a configuration can carry escape sequences that drive a terminal, or direction controls that
//! make a line read backwards. [`visible`] and [`visible_lines`] replace every such character with a readable
//! `\u{…}`; the HTML report escapes markup on top of that (see [`crate::report`]).

use std::fmt;

/// One line of text: every control, direction and invisible formatting character is spelled out, newlines too.
pub(crate) fn visible(text: &str) -> Visible<'_> {
    Visible { text, lines: false }
}

/// As [`visible`], but newlines and tabs stay what they are.
pub(crate) fn visible_lines(text: &str) -> Visible<'_> {
    Visible { text, lines: true }
}

/// Displays text with unsafe characters spelled out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visible<'a> {
    text: &'a str,
    lines: bool,
}

impl fmt::Display for Visible<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut clean_from = 0;
        for (at, character) in self.text.char_indices() {
            if !is_unsafe(character) || (self.lines && matches!(character, '\n' | '\t')) {
                continue;
            }
            formatter.write_str(&self.text[clean_from..at])?;
            match character {
                '\n' => formatter.write_str("\\n")?,
                '\r' => formatter.write_str("\\r")?,
                '\t' => formatter.write_str("\\t")?,
                other => write!(formatter, "\\u{{{:x}}}", u32::from(other))?,
            }
            clean_from = at + character.len_utf8();
        }
        formatter.write_str(&self.text[clean_from..])
    }
}

/// Characters that act on their surroundings, or hide, where a reader expects letters.
///
/// The joiners U+200C and U+200D are not among them: Persian and emoji need them.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            u32::from(character),
            0x00AD // soft hyphen
                | 0x061C // Arabic letter mark
                | 0x180E
                | 0x200B // zero-width space
                | 0x200E
                | 0x200F // direction marks
                | 0x2028..=0x202E // separators, embeddings, overrides
                | 0x2060..=0x206F // word joiner, invisible operators, isolates, deprecated controls
                | 0xFEFF // byte order mark
                | 0xFFF9..=0xFFFB // interlinear annotation
                | 0xE0000..=0xE007F // tags
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_direction_controls_are_spelled_out() {
        assert_eq!(
            visible("a\u{1b}[2J\u{202e}b\n\u{9b}c\u{7f}").to_string(),
            "a\\u{1b}[2J\\u{202e}b\\n\\u{9b}c\\u{7f}"
        );
        assert_eq!(visible_lines("a\nb\tc\rd").to_string(), "a\nb\tc\\rd");
    }

    #[test]
    fn letters_of_any_script_stay() {
        for text in ["Wal\u{df}fisch", "می\u{200c}خواهم", "👩\u{200d}🚀", "白鯨", ""] {
            assert_eq!(visible(text).to_string(), text);
        }
    }
}
