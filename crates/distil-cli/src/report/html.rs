//! HTML in which every value is escaped.

use std::fmt::{self, Display, Write as _};

use crate::text::visible_lines;

/// A piece of a page.
///
/// Markup comes from literals alone and values through [`Html::add`], which escapes them: there is no way to put a
/// value in as markup.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds markup with a value for each `{}` in it, escaped for text and quoted attributes alike.
    ///
    /// # Panics
    ///
    /// When there are not as many values as places for them: a slip in this program, not in its input.
    pub(super) fn add(&mut self, markup: &'static str, values: &[&dyn Display]) {
        let mut parts = markup.split("{}");
        self.0.push_str(parts.next().unwrap_or_default());
        let mut values = values.iter();
        for part in parts {
            let value = values.next().unwrap_or_else(|| panic!("a value is missing in {markup:?}"));
            self.value(value);
            self.0.push_str(part);
        }
        assert!(values.next().is_none(), "a value is left over in {markup:?}");
    }

    /// Adds text, escaped.
    pub(super) fn value(&mut self, value: &dyn Display) {
        // Writing to a string fails only if the value's own formatting does, and then there is nothing to show.
        let _ = write!(Escaping(&mut self.0), "{}", visible_lines(&value.to_string()));
    }

    /// Adds another piece.
    pub(super) fn append(&mut self, piece: Self) {
        self.0.push_str(&piece.0);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_become_markup_or_turn_text_around() {
        let mut html = Html::new();
        html.add(r#"<p title="{}">{}</p>"#, &[&"\" onload='x' \u{202e}", &"<script>alert(1)</script>&amp;\n\u{1b}"]);
        assert_eq!(
            html.into_string(),
            "<p title=\"&quot; onload=&#39;x&#39; \\u{202e}\">&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\n\\u{1b}</p>"
        );
    }

    #[test]
    #[should_panic(expected = "a value is missing")]
    fn places_and_values_are_counted() {
        Html::new().add("{}{}", &[&1]);
    }
}
