//! Quoting what came from outside.

/// The first characters of a stranger's text, made printable.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS: usize = 80;
    let mut out: String = text.chars().take(CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS).is_some() {
        out.push('…');
    }
    out
}
