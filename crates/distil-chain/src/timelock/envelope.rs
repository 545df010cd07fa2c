//! What stands around a ciphertext and within it: SCALE's compact lengths.

use super::{MAX_COMMITMENT_PLAINTEXT_BYTES, MAX_COMMITMENT_TEXT_BYTES, TimelockError};

const ROUND_BYTES: usize = size_of::<u64>();
/// The longest a compact number of at most four bytes says; nothing we write is near it.
const MAX_LENGTH: usize = (1 << 30) - 1;

/// A ciphertext with its round, as `encrypt` and `encrypt_at_round` of Bittensor's Python tools give it:
/// SCALE of `{ encrypted_data: Vec<u8>, reveal_round: u64 }`.
///
/// To the chain go the inner bytes, [`encrypted`](Self::encrypted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// The inner bytes: what [`encrypt`](super::encrypt) gives and [`decrypt`](super::decrypt) takes.
    pub encrypted: Vec<u8>,
    /// The round whose signature opens them.
    pub reveal_round: u64,
}

impl UserData {
    /// `compact(length) ‖ inner bytes ‖ round`, the round as u64, little-endian.
    ///
    /// # Errors
    ///
    /// [`TimelockError::TooLong`] from 1 GiB on.
    pub fn encode(&self) -> Result<Vec<u8>, TimelockError> {
        let mut bytes = with_length("the ciphertext", &self.encrypted)?;
        bytes.extend(self.reveal_round.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the envelope; the inner bytes are not looked into.
    ///
    /// # Errors
    ///
    /// [`TimelockError::Malformed`] where the length is not canonical or is not what is there.
    pub fn decode(bytes: &[u8]) -> Result<Self, TimelockError> {
        let malformed = |offset, problem| TimelockError::Malformed { offset, problem };
        let (length, rest) = split_compact(bytes).ok_or(malformed(0, "a compact length is expected"))?;
        let (encrypted, round) = rest
            .len()
            .checked_sub(ROUND_BYTES)
            .filter(|inner| *inner as u64 == length)
            .map(|inner| rest.split_at(inner))
            .ok_or(malformed(0, "the length must be that of all that follows but the round's 8 bytes"))?;
        let reveal_round = u64::from_le_bytes(round.try_into().expect("eight bytes are left"));
        Ok(Self { encrypted: encrypted.to_vec(), reveal_round })
    }
}

/// The plaintext of a committed text: SCALE of a string, its compact length and its UTF-8.
///
/// # Errors
///
/// [`TimelockError::TooLong`] where the text has more than [`MAX_COMMITMENT_TEXT_BYTES`].
///
/// ```
/// use distil_chain::timelock::{commitment_payload, commitment_text};
///
/// assert_eq!(commitment_payload("hello")?, b"\x14hello");
/// assert_eq!(commitment_text(b"\x14hello"), b"hello");
/// # Ok::<(), distil_chain::timelock::TimelockError>(())
/// ```
pub fn commitment_payload(text: &str) -> Result<Vec<u8>, TimelockError> {
    if text.len() > MAX_COMMITMENT_TEXT_BYTES {
        return Err(TimelockError::TooLong {
            what: "the text to commit",
            size_bytes: text.len(),
            max_bytes: MAX_COMMITMENT_TEXT_BYTES,
        });
    }
    let payload = with_length("the text to commit", text.as_bytes())?;
    debug_assert!(payload.len() <= MAX_COMMITMENT_PLAINTEXT_BYTES);
    Ok(payload)
}

/// The text within revealed bytes. A compact length in front is taken off only if it is exactly that of the rest:
/// a miner's own tool may have committed without one, and then no byte is lost.
pub fn commitment_text(revealed: &[u8]) -> &[u8] {
    match split_compact(revealed) {
        Some((length, text)) if length == text.len() as u64 => text,
        _ => revealed,
    }
}

fn with_length(what: &'static str, content: &[u8]) -> Result<Vec<u8>, TimelockError> {
    let length = content.len();
    let mut bytes = Vec::with_capacity(4 + content.len() + ROUND_BYTES);
    match length {
        0..64 => bytes.push((length as u8) << 2),
        64..16_384 => bytes.extend(((length as u16) << 2 | 0b01).to_le_bytes()),
        16_384..=MAX_LENGTH => bytes.extend(((length as u32) << 2 | 0b10).to_le_bytes()),
        _ => return Err(TimelockError::TooLong { what, size_bytes: length, max_bytes: MAX_LENGTH }),
    }
    bytes.extend(content);
    Ok(bytes)
}

/// A compact number of at most eight bytes in its shortest form, and what follows it.
fn split_compact(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (number_bytes, value_start, shift) = match first & 0b11 {
        0b00 => (1, 0, 2),
        0b01 => (2, 0, 2),
        0b10 => (4, 0, 2),
        // The upper six bits say how many bytes follow, less four.
        _ => (usize::from(first >> 2) + 4, 1, 0),
    };
    let (number, rest) = bytes.get(value_start..)?.split_at_checked(number_bytes)?;
    let mut wide = [0; 8];
    wide.get_mut(..number_bytes)?.copy_from_slice(number);
    let value = u64::from_le_bytes(wide) >> shift;
    let shortest = match (first & 0b11, number_bytes) {
        (0b00, _) => true,
        (0b01, _) => value >= 1 << 6,
        (0b10, _) => value >= 1 << 14,
        (_, 4) => value >= 1 << 30,
        (_, bytes) => value >> (8 * (bytes - 1)) != 0,
    };
    shortest.then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Examples of the SCALE specification, and its bounds.
    const COMPACT: &[(u64, &[u8])] = &[
        (0, &[0x00]),
        (1, &[0x04]),
        (42, &[0xa8]),
        (63, &[0xfc]),
        (64, &[0x01, 0x01]),
        (69, &[0x15, 0x01]),
        (16_383, &[0xfd, 0xff]),
        (16_384, &[0x02, 0x00, 0x01, 0x00]),
        (65_535, &[0xfe, 0xff, 0x03, 0x00]),
        ((1 << 30) - 1, &[0xfe, 0xff, 0xff, 0xff]),
        (1 << 30, &[0x03, 0x00, 0x00, 0x00, 0x40]),
        (100_000_000_000_000, &[0x0b, 0x00, 0x40, 0x7a, 0x10, 0xf3, 0x5a]),
        (u64::MAX, &[0x13, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ];

    #[test]
    fn compact_numbers_are_read_in_their_shortest_form_only() {
        for (value, bytes) in COMPACT {
            let followed = [*bytes, b"rest"].concat();
            assert_eq!(split_compact(&followed), Some((*value, &b"rest"[..])), "{value}");
            for cut in 0..bytes.len() {
                assert_eq!(split_compact(&bytes[..cut]), None, "{value} cut to {cut}");
            }
        }
        for long_form in
            [&[0x15, 0x00][..], &[0x16, 0, 0, 0], &[0x03, 0, 0, 0, 0x3f], &[0x07, 0, 0, 0, 0x40, 0], &[0xff; 80]]
        {
            assert_eq!(split_compact(long_form), None, "{long_form:?}");
        }
    }

    #[test]
    fn json_without_a_length_loses_nothing() {
        for text in [r#"{"model":"a/b"}"#, " {}", "\"", "", "é", "hello", "\0"] {
            assert_eq!(commitment_text(&commitment_payload(text).unwrap()), text.as_bytes());
        }
        assert_eq!(commitment_text(br#"{"model":"a/b"}"#), br#"{"model":"a/b"}"#);
        assert_eq!(commitment_text(b"\x18hello"), b"\x18hello", "a length that does not fit");
        assert_eq!(commitment_text(b""), b"");
    }

    #[test]
    fn a_text_of_the_greatest_length_just_fits() {
        let payload = commitment_payload(&"x".repeat(MAX_COMMITMENT_TEXT_BYTES)).unwrap();
        assert_eq!(payload.len(), MAX_COMMITMENT_PLAINTEXT_BYTES);
        let error = commitment_payload(&"x".repeat(MAX_COMMITMENT_TEXT_BYTES + 1)).unwrap_err().to_string();
        assert!(error.contains("779") && error.contains("778"), "{error}");
    }

    proptest! {
        #[test]
        fn envelopes_go_there_and_back(
            encrypted in proptest::collection::vec(any::<u8>(), 0..20_000), round in any::<u64>()
        ) {
            let data = UserData { encrypted, reveal_round: round };
            prop_assert_eq!(UserData::decode(&data.encode().unwrap()).unwrap(), data);
        }

        #[test]
        fn any_bytes_are_an_envelope_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(data) = UserData::decode(&bytes) {
                prop_assert_eq!(data.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn a_text_is_always_an_end_of_the_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(bytes.ends_with(commitment_text(&bytes)));
        }
    }
}
