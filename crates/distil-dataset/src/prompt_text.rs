//! From a document to a prompt. Characters are Unicode scalar values, as in Python.

/// Documents with fewer characters are passed over.
const MIN_CHARS: usize = 200;
/// Of longer documents the rest is not looked at.
const MAX_CHARS: usize = 4000;
/// Characters of a prompt at most.
const PROMPT_CHARS: usize = 512;
/// A prompt is cut after a sentence only if that ends beyond this position.
const MIN_CUT: usize = 200;

/// Why a document gives no prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooShort,
    NotText,
}

/// The prompt of a document by the rules of `distil/1`.
///
/// 1. What is null or not UTF-8 is not text.
/// 2. Under 200 characters it is too short. It is cut to 4,000.
/// 3. The characters U+0000 to U+001F are dropped, other than tab, line feed and carriage return.
/// 4. White space is stripped at both ends. If nothing is left, or fewer than half of the characters are
///    [printable](is_printable), tab, line feed or carriage return, it is not text.
/// 5. If there are more than 512 characters, it is cut: after the dot of the last ". " that lies within the first 512
///    characters, if that dot's position (from 0) is greater than 200; otherwise after 512 characters.
pub(crate) fn distil_prompt(document: Option<&[u8]>) -> Result<String, Unfit> {
    let text = document.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Unfit::NotText)?;
    let text = first_chars_if_long_enough(text).ok_or(Unfit::TooShort)?;
    let cleaned: String = text.chars().filter(|c| *c >= ' ' || is_kept_control(*c)).collect();
    let stripped = strip(&cleaned);
    let (mut printable, mut all) = (0usize, 0usize);
    for c in stripped.chars() {
        all += 1;
        printable += usize::from(is_printable(c) || is_kept_control(c));
    }
    if all == 0 || printable * 2 < all {
        return Err(Unfit::NotText);
    }
    Ok(cut(stripped).to_owned())
}

/// The prompt of a document as the original validator made it: stripped, and cut as in [`distil_prompt`].
pub(crate) fn reference_prompt(text: &str) -> &str {
    cut(strip(text))
}

/// The first 4,000 characters of a text of 200 or more.
pub(crate) fn first_chars_if_long_enough(text: &str) -> Option<&str> {
    text.chars().nth(MIN_CHARS - 1)?;
    Some(first_chars(text, MAX_CHARS))
}

fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

fn cut(text: &str) -> &str {
    let head = first_chars(text, PROMPT_CHARS);
    if head.len() == text.len() {
        return text;
    }
    match head.rfind(". ") {
        Some(dot) if head[..dot].chars().count() > MIN_CUT => &head[..=dot],
        _ => head,
    }
}

/// Takes off what Python's `str.strip` does: Unicode white space, and the separators U+001C to U+001F.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

fn is_kept_control(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
}

/// Whether a character can be seen: all but control and format characters, private use, surrogates' place-holders
/// U+FFFE and U+FFFF of any plane, U+FDD0 to U+FDEF, and spaces and separators other than U+0020.
///
/// It agrees with Python's `str.isprintable` on every character that Unicode 14 assigns. Unassigned characters count as
/// printable here, and the list is fixed, so that no later version of Unicode changes which documents are drawn.
pub(crate) fn is_printable(c: char) -> bool {
    let code = c as u32;
    let unseen = NOT_PRINTABLE.binary_search_by(|(first, last)| {
        if *last < code {
            std::cmp::Ordering::Less
        } else if *first > code {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    });
    unseen.is_err() && code & 0xfffe != 0xfffe
}

/// First and last of each range.
const NOT_PRINTABLE: [(u32, u32); 28] = [
    (0x0000, 0x001f),
    (0x007f, 0x00a0),
    (0x00ad, 0x00ad),
    (0x0600, 0x0605),
    (0x061c, 0x061c),
    (0x06dd, 0x06dd),
    (0x070f, 0x070f),
    (0x0890, 0x0891),
    (0x08e2, 0x08e2),
    (0x1680, 0x1680),
    (0x180e, 0x180e),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x2064),
    (0x2066, 0x206f),
    (0x3000, 0x3000),
    (0xe000, 0xf8ff),
    (0xfdd0, 0xfdef),
    (0xfeff, 0xfeff),
    (0xfff9, 0xfffb),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x13438),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0001, 0xe0001),
    (0xe0020, 0xe007f),
    (0xf0000, 0x10ffff),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    fn prompt(text: &str) -> Result<String, Unfit> {
        distil_prompt(Some(text.as_bytes()))
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(prompt(&"é".repeat(199)), Err(Unfit::TooShort));
        assert_eq!(prompt(&"é".repeat(200)).unwrap(), "é".repeat(200));
        // 200 characters with white space around count, though fewer are left.
        let padded = format!("{}x{}", " ".repeat(100), " ".repeat(99));
        assert_eq!(prompt(&padded).unwrap(), "x");
    }

    #[test]
    fn a_long_text_is_cut_after_its_last_sentence() {
        // Dots at 201 and 300, each followed by a space; the one at 511 has its space outside.
        let mut text: Vec<char> = "🐳".repeat(600).chars().collect();
        for dot in [150, 201, 300, 511] {
            text[dot] = '.';
            text[dot + 1] = ' ';
        }
        let text: String = text.into_iter().collect();
        let cut = prompt(&text).unwrap();
        assert_eq!(cut.chars().count(), 301);
        assert!(cut.ends_with("🐳."));
    }

    #[test]
    fn a_sentence_must_end_beyond_position_200() {
        let with_dot_at = |dot: usize| {
            let mut text: Vec<char> = "é".repeat(600).chars().collect();
            (text[dot], text[dot + 1]) = ('.', ' ');
            prompt(&text.into_iter().collect::<String>()).unwrap().chars().count()
        };
        assert_eq!(with_dot_at(200), 512);
        assert_eq!(with_dot_at(201), 202);
        assert_eq!(with_dot_at(510), 511);
        assert_eq!(with_dot_at(511), 512);
    }

    #[test]
    fn up_to_512_characters_are_kept_whole() {
        let text = format!("{}. {}", "a".repeat(300), "b".repeat(210));
        assert_eq!(text.len(), 512);
        assert_eq!(prompt(&text).unwrap(), text);
        assert_eq!(prompt(&format!("  {text}\n")).unwrap(), text);
        assert_eq!(prompt(&format!("{text}b")).unwrap().len(), 301);
    }

    #[test]
    fn only_the_first_4000_characters_count() {
        let far = format!("{}{}", " ".repeat(4000), "word ".repeat(100));
        assert_eq!(prompt(&far), Err(Unfit::NotText));
        let near = format!("{}{}", " ".repeat(3999), "word ".repeat(100));
        assert_eq!(prompt(&near).unwrap(), "w");
    }

    #[test]
    fn control_characters_are_dropped_before_stripping() {
        let text = format!("\0\u{1c} {}\u{1b}[31m\t\r\n{}\u{1f}", "a".repeat(150), "b".repeat(60));
        assert_eq!(prompt(&text).unwrap(), format!("{}[31m\t\r\n{}", "a".repeat(150), "b".repeat(60)));
    }

    #[test]
    fn half_printable_is_enough() {
        let mixed = |unseen: usize| prompt(&format!("{}{}", "a".repeat(200), "\u{e000}".repeat(unseen)));
        assert!(mixed(200).is_ok());
        assert_eq!(mixed(201), Err(Unfit::NotText));
        // DEL and the C1 controls are not dropped, and not printable.
        assert_eq!(prompt(&"\u{7f}".repeat(250)), Err(Unfit::NotText));
        assert_eq!(prompt(&format!("{}{}", "\u{80}".repeat(10), "a".repeat(200))).unwrap().chars().count(), 210);
    }

    #[test]
    fn what_is_not_a_string_is_not_text() {
        assert_eq!(distil_prompt(None), Err(Unfit::NotText));
        assert_eq!(distil_prompt(Some(&[0xff; 300])), Err(Unfit::NotText));
        assert_eq!(distil_prompt(Some(b"")), Err(Unfit::TooShort));
        assert_eq!(prompt(&" ".repeat(300)), Err(Unfit::NotText));
    }

    #[derive(Deserialize)]
    struct Vectors {
        not_printable: Vec<(u32, u32)>,
        unassigned: Vec<(u32, u32)>,
        white_space: Vec<u32>,
        prompts: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        document: String,
        distil: Option<String>,
        reference: String,
    }

    #[test]
    fn python_sees_the_same_characters_and_makes_the_same_prompts() {
        let vectors: Vectors = serde_json::from_str(include_str!("../vectors/prompt_text.json")).unwrap();
        let within = |ranges: &[(u32, u32)], c: char| ranges.iter().any(|(a, b)| (*a..=*b).contains(&(c as u32)));
        for c in '\0'..=char::MAX {
            let unassigned = within(&vectors.unassigned, c);
            if !unassigned {
                assert_eq!(is_printable(c), !within(&vectors.not_printable, c), "{:x}", c as u32);
                let stripped = strip(c.encode_utf8(&mut [0; 4])).is_empty();
                assert_eq!(stripped, vectors.white_space.contains(&(c as u32)), "{:x}", c as u32);
            }
        }
        assert!(vectors.prompts.len() > 30);
        for case in &vectors.prompts {
            assert_eq!(prompt(&case.document).ok(), case.distil, "{:?}", case.document);
            assert_eq!(reference_prompt(&case.document), case.reference, "{:?}", case.document);
        }
    }

    proptest! {
        #[test]
        fn a_prompt_is_short_stripped_and_part_of_its_document(text in "(\\PC|[\\s.]| |\\. ){0,900}") {
            if let Ok(prompt) = prompt(&text) {
                prop_assert!((1..=512).contains(&prompt.chars().count()));
                prop_assert!(!prompt.starts_with(char::is_whitespace));
                prop_assert!(text.chars().count() >= 200);
                let cleaned: String = text.chars().filter(|c| *c >= ' ' || "\t\n\r".contains(*c)).collect();
                prop_assert!(cleaned.contains(&prompt));
            }
        }

        #[test]
        fn any_bytes_are_a_prompt_or_unfit(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = distil_prompt(Some(&bytes));
        }
    }
}
