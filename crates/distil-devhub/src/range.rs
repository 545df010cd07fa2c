//! The `Range` header (RFC 9110, section 14).

use std::ops::Range;

/// What a `Range` header asks of a representation of a known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything: there is no header, or one that a server may pass over (another unit, several ranges, not a range).
    All,
    /// These bytes, at least one, all of them within the size.
    Part(Range<u64>),
    /// Nothing that the representation has: 416.
    Unsatisfiable,
}

/// Reads a `Range` header. Several ranges at once are answered with everything, as the storage behind the Hub does.
pub(crate) fn read(header: Option<&str>, size_bytes: u64) -> Asked {
    let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Asked::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return Asked::All };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size_bytes),
        (Some(first), None) if last.is_empty() => first..size_bytes,
        (None, Some(suffix)) if first.is_empty() => size_bytes.saturating_sub(suffix)..size_bytes,
        _ => return Asked::All,
    };
    if part.is_empty() { Asked::Unsatisfiable } else { Asked::Part(part) }
}

/// Digits only: no sign, no blank. A number beyond 64 bits is beyond the end of every file.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_it() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Asked::Part(0..1)),
            ("bytes=0-", 10, Asked::Part(0..10)),
            ("bytes=9-", 10, Asked::Part(9..10)),
            ("bytes=3-5", 10, Asked::Part(3..6)),
            ("bytes=3-500", 10, Asked::Part(3..10)),
            ("bytes=3-99999999999999999999999", 10, Asked::Part(3..10)),
            ("bytes=-3", 10, Asked::Part(7..10)),
            ("bytes=-30", 10, Asked::Part(0..10)),
            ("bytes=-0", 10, Asked::Unsatisfiable),
            ("bytes=10-", 10, Asked::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Asked::Unsatisfiable),
            ("bytes=0-", 0, Asked::Unsatisfiable),
            ("bytes=-1", 0, Asked::Unsatisfiable),
            ("bytes=5-3", 10, Asked::All),
            ("bytes=0-1,4-5", 10, Asked::All),
            ("bytes=-", 10, Asked::All),
            ("bytes=a-b", 10, Asked::All),
            ("bytes=1-b", 10, Asked::All),
            ("bytes=+1-2", 10, Asked::All),
            ("lines=0-1", 10, Asked::All),
            ("", 10, Asked::All),
        ] {
            assert_eq!(read(Some(header), size), expected, "{header} of {size}");
        }
        assert_eq!(read(None, 10), Asked::All);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_a_part_lies_within_the_file(text in "(bytes=)?[-0-9a-z,= ]{0,24}|\\PC{0,32}", size: u64) {
            if let Asked::Part(part) = read(Some(&text), size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }

        #[test]
        fn a_written_range_is_read_back(first in 0u64..1000, length in 1u64..1000, size in 1u64..1500) {
            let asked = read(Some(&format!("bytes={first}-{}", first + length - 1)), size);
            let expected = if first < size { Asked::Part(first..(first + length).min(size)) } else { Asked::Unsatisfiable };
            prop_assert_eq!(asked, expected);
        }
    }
}
