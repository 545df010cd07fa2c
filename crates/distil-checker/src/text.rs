//! Text from outside, made fit for a message.

/// The most characters of a text that are quoted.
const MAX_QUOTED_CHARS: usize = 80;
/// The most characters of a reason that another library gives.
const MAX_REASON_CHARS: usize = 300;

/// The beginning of a text, quoted, with whatever a terminal or a page could take for a command escaped.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// As [`quoted`], for a path.
pub(crate) fn quoted_path(path: &std::path::Path) -> String {
    quoted(&path.to_string_lossy())
}

/// The beginning of a message that may hold text from outside, with control characters replaced.
pub(crate) fn printable(message: &str) -> String {
    let clean = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    message.chars().take(MAX_REASON_CHARS).map(clean).collect()
}

/// A count with its noun: `1 file`, `3 files`. The noun's plural ends in s.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
}

/// A number with a comma between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The first few of some texts, quoted and joined, and how many more there are.
pub(crate) fn first_few<T: AsRef<str>>(texts: &[T], shown: usize) -> String {
    let mut out = texts.iter().take(shown).map(|text| quoted(text.as_ref())).collect::<Vec<_>>().join(", ");
    if texts.len() > shown {
        out.push_str(&format!(" and {} more", grouped((texts.len() - shown) as u64)));
    }
    out
}

/// The first few of some texts, and how many there are. The others are not kept: a stranger decides how many there are and
/// how long.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) count: usize,
    pub(crate) first: Vec<String>,
}

impl Sample {
    /// Texts that are kept.
    const KEPT: usize = 5;

    pub(crate) fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(text());
        }
    }

    /// The first few, quoted and joined, and how many more there are.
    pub(crate) fn shown(&self) -> String {
        let mut out = first_few(&self.first, Self::KEPT);
        if self.count > self.first.len() {
            out.push_str(&format!(" and {} more", grouped((self.count - self.first.len()) as u64)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(248_320), "248,320");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(2000, "file"), "2,000 files");
        assert_eq!(first_few(&["a", "b", "c"], 2), "\"a\", \"b\" and 1 more");
        let mut sample = Sample::default();
        (0..7).for_each(|number: i32| sample.add(|| number.to_string()));
        assert_eq!(sample.shown(), "\"0\", \"1\", \"2\", \"3\", \"4\" and 2 more");
    }

    proptest! {
        #[test]
        fn nothing_quoted_is_long_or_dangerous(text in any::<String>()) {
            for shown in [quoted(&text), printable(&text)] {
                prop_assert!(shown.chars().all(|character| !character.is_control()));
                prop_assert!(shown.chars().count() <= 803);
            }
        }
    }
}
