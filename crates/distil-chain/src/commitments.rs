//! What miners committed, and which of it counts.
//!
//! The chain keeps the [`KEPT_REVEALS`] newest revealed entries of a hotkey, the oldest first, each with the block of its
//! reveal. [`select_submission`] says which of them is the miner's one submission. It is the only place that does.

use crate::timelock::{MAX_COMMITMENT_PLAINTEXT_BYTES, commitment_text};
use distil_types::Commitment;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How many revealed entries of a hotkey the chain keeps: the newest ones.
pub const KEPT_REVEALS: usize = 10;

/// Bytes that the chain decrypted, and when.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RevealedEntry {
    /// The block that revealed it. The block of the commitment itself is not kept by the chain.
    pub reveal_block: u64,
    /// What was encrypted, with the compact length in front that most tools write.
    pub bytes: Vec<u8>,
}

impl RevealedEntry {
    /// The commitment, where it is one of ours.
    ///
    /// # Errors
    /// Why it is none.
    pub fn commitment(&self) -> Result<Commitment, NotOurs> {
        parse_commitment(&self.bytes)
    }
}

/// Reads revealed bytes as `{"model": "owner/repo", "revision": "<40 hexadecimal digits>"}`, with or without a compact
/// length in front. Further fields are passed over; a field that comes twice, a list, or anything after the object is
/// refused.
///
/// # Errors
/// Why it is no commitment of ours.
///
/// ```
/// use distil_chain::{NotOurs, parse_commitment};
///
/// let text = r#"{"model":"alice/qwen-4b","revision":"0123456789abcdef0123456789abcdef01234567"}"#;
/// assert_eq!(parse_commitment(text.as_bytes())?.model.to_string(), "alice/qwen-4b");
/// assert_eq!(parse_commitment(&[0xff, 0xfe]), Err(NotOurs::NotUtf8));
/// # Ok::<(), NotOurs>(())
/// ```
pub fn parse_commitment(revealed: &[u8]) -> Result<Commitment, NotOurs> {
    if revealed.len() > MAX_COMMITMENT_PLAINTEXT_BYTES {
        return Err(NotOurs::TooLong { size_bytes: revealed.len() });
    }
    let text = std::str::from_utf8(commitment_text(revealed)).map_err(|_| NotOurs::NotUtf8)?;
    // The struct could be read from a list of two as well.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(NotOurs::NotAnObject);
    }
    serde_json::from_str(text).map_err(|error| NotOurs::Json { problem: printable(&error.to_string()) })
}

/// Fit for a page or a log: what comes from a commitment may hold any character.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Why revealed bytes are no commitment of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "problem_kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotOurs {
    /// Longer than anything that fits into a timelocked commitment.
    #[error("it has {size_bytes} bytes, more than a commitment can have")]
    TooLong {
        /// Its length.
        size_bytes: usize,
    },
    /// Not a text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A text that is no JSON object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// Not JSON, or without the fields, or with a repository or revision that cannot be one.
    #[error("{problem}")]
    Json {
        /// What is wrong, and where.
        problem: String,
    },
}

/// Why an entry is not the submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PassedOverReason {
    /// It was revealed before the hotkey had the seat that it has.
    BeforeRegistration {
        /// When the seat was taken.
        registration_block: u64,
    },
    /// It is no commitment of ours.
    NotOurs {
        /// Why not.
        why: NotOurs,
    },
    /// Another one came first, and one counts.
    Later {
        /// What it says; it changes nothing.
        commitment: Commitment,
    },
}

impl fmt::Display for PassedOverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassedOverReason::BeforeRegistration { registration_block } => {
                write!(f, "it was revealed before this registration, which is of block {registration_block}")
            }
            PassedOverReason::NotOurs { why } => write!(f, "it is no commitment of a model: {why}"),
            PassedOverReason::Later { commitment } => {
                write!(f, "it came after the one that counts, so {commitment} is ignored")
            }
        }
    }
}

/// An entry that is not the submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The block that revealed it.
    pub reveal_block: u64,
    /// Why it does not count.
    pub reason: PassedOverReason,
}

/// The one submission of a miner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// What was committed.
    pub commitment: Commitment,
    /// The block of the reveal: the "commit block" of a miner.
    pub reveal_block: u64,
    /// All other entries, in their order, each with the reason; for the miner to read.
    pub passed_over: Vec<PassedOver>,
}

/// Why a miner has no submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotEligible {
    /// Nothing was revealed.
    #[error("nothing was revealed by this hotkey")]
    NothingRevealed,
    /// Of what was revealed nothing is a commitment of ours since the registration.
    #[error("none of the {} entries that were revealed is a commitment of a model since the registration", passed_over.len())]
    NothingValid {
        /// All entries, each with the reason.
        passed_over: Vec<PassedOver>,
    },
    /// The list is full, and entries before its oldest may have been pushed out: which one was the first is not known.
    #[error("the chain keeps the newest {KEPT_REVEALS} entries of a hotkey, and older ones of this one may be gone")]
    HistoryTrimmed,
}

/// The entry that a list begins with, where it can be recognised later: if a list begins with it then, nothing is gone.
/// It is what [`select_submission`] is given as `earlier_seen` from then on.
///
/// `None` for a full list, whose first entry need not be the first that there was, and for a list that has its first
/// entry a second time: one commitment may have three fields that are revealed in one block, so once the first copy is
/// gone, and with it what stood between, the list would begin with an equal one. All copies are of that one block, so they
/// are there when the first is.
pub fn oldest_for_certain(entries: &[RevealedEntry]) -> Option<&RevealedEntry> {
    let (oldest, later) = entries.split_first()?;
    (entries.len() < KEPT_REVEALS && !later.contains(oldest)).then_some(oldest)
}

/// Which of a hotkey's revealed entries is its submission: the first one at or after the block of its registration that
/// [`parse_commitment`] takes. Later ones are ignored and listed with the reason.
///
/// `entries` are in the chain's order, the oldest first. `earlier_seen` is what [`oldest_for_certain`] gave when this
/// registration's entries were first seen, as it was stored. A full list proves nothing about what was first, unless it
/// still begins with that entry: otherwise a miner could push its first commitment out and have another one count.
///
/// # Errors
/// Why no entry counts.
pub fn select_submission(
    entries: &[RevealedEntry],
    registration_block: u64,
    earlier_seen: Option<&RevealedEntry>,
) -> Result<Submission, NotEligible> {
    let oldest = entries.first().ok_or(NotEligible::NothingRevealed)?;
    if entries.len() >= KEPT_REVEALS && earlier_seen != Some(oldest) {
        return Err(NotEligible::HistoryTrimmed);
    }
    let mut first: Option<(Commitment, u64)> = None;
    let mut passed_over = Vec::new();
    for entry in entries {
        let reason = if entry.reveal_block < registration_block {
            PassedOverReason::BeforeRegistration { registration_block }
        } else {
            match (entry.commitment(), &first) {
                (Err(why), _) => PassedOverReason::NotOurs { why },
                (Ok(commitment), Some(_)) => PassedOverReason::Later { commitment },
                (Ok(commitment), None) => {
                    first = Some((commitment, entry.reveal_block));
                    continue;
                }
            }
        };
        passed_over.push(PassedOver { reveal_block: entry.reveal_block, reason });
    }
    match first {
        Some((commitment, reveal_block)) => Ok(Submission { commitment, reveal_block, passed_over }),
        None => Err(NotEligible::NothingValid { passed_over }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timelock::commitment_payload;
    use proptest::prelude::*;

    fn text(name: &str) -> String {
        format!(r#"{{"model":"alice/{name}","revision":"{}"}}"#, "0a".repeat(20))
    }

    fn entry(reveal_block: u64, text: &str) -> RevealedEntry {
        RevealedEntry { reveal_block, bytes: commitment_payload(text).unwrap() }
    }

    #[test]
    fn a_commitment_is_read_with_and_without_its_length() {
        let plain = text("a");
        let expected = parse_commitment(plain.as_bytes()).unwrap();
        assert_eq!(expected.model.to_string(), "alice/a");
        assert_eq!(entry(1, &plain).commitment(), Ok(expected.clone()));
        let padded = format!(" \n{{\"note\":[1,{{}}],{}  ", &plain[1..]);
        assert_eq!(parse_commitment(padded.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_not_ours_says_why() {
        let sha = "0a".repeat(20);
        let cases = [
            (String::new(), "object"),
            (format!(r#"["alice/a","{sha}"]"#), "object"),
            (r#""{""#.to_owned(), "object"),
            ("{".to_owned(), "EOF"),
            (format!(r#"{{"model":"alice/a","revision":"{sha}"}} x"#), "trailing"),
            (format!(r#"{{"model":"alice/a","model":"alice/b","revision":"{sha}"}}"#), "duplicate field"),
            (r#"{"model":"alice/a"}"#.to_owned(), "missing field `revision`"),
            (r#"{"model":"alice/a","revision":"main"}"#.to_owned(), "main"),
            (format!(r#"{{"model":"alice/a","revision":"{}"}}"#, sha.to_uppercase()), "0A0A"),
            (format!(r#"{{"model":"../etc","revision":"{sha}"}}"#), "../etc"),
            (format!(r#"{{"model":"a\u001b[31m/b","revision":"{sha}"}}"#), "model"),
            (format!(r#"{{"model":null,"revision":"{sha}"}}"#), "null"),
            (format!("{{\"a\":{}", "[".repeat(500)), "EOF"),
        ];
        for (bytes, words) in cases {
            let problem = parse_commitment(bytes.as_bytes()).unwrap_err().to_string();
            assert!(!problem.chars().any(char::is_control), "{problem:?}");
            if words != "model" {
                assert!(problem.contains(words), "{bytes}: {problem}");
            }
        }
        assert_eq!(parse_commitment(b"{\"model\":\"\xff\"}"), Err(NotOurs::NotUtf8));
        assert_eq!(parse_commitment(&[b' '; 781]), Err(NotOurs::TooLong { size_bytes: 781 }));
    }

    #[test]
    fn the_first_valid_entry_since_the_registration_counts() {
        let entries =
            [entry(5, &text("old")), entry(10, "hello"), entry(10, &text("first")), entry(12, &text("later"))];
        let submission = select_submission(&entries, 10, None).unwrap();
        assert_eq!((submission.commitment.model.to_string(), submission.reveal_block), ("alice/first".to_owned(), 10));
        let told: Vec<String> = submission.passed_over.iter().map(|passed| passed.reason.to_string()).collect();
        assert_eq!(told.len(), 3);
        assert!(told[0].contains("before this registration") && told[1].contains("JSON object"), "{told:?}");
        assert!(told[2].contains("alice/later@0a0a") && told[2].contains("ignored"), "{told:?}");
        assert_eq!(select_submission(&[], 10, None), Err(NotEligible::NothingRevealed));
        let error = select_submission(&entries, 13, None).unwrap_err();
        assert!(matches!(&error, NotEligible::NothingValid { passed_over } if passed_over.len() == 4), "{error}");
    }

    #[test]
    fn a_full_list_counts_only_while_it_begins_as_it_was_seen() {
        let all: Vec<_> = (0..11).map(|number| entry(20 + number, &text(&format!("m{number}")))).collect();
        let (nine, ten, moved_on) = (&all[..9], &all[..10], &all[1..]);
        assert!(select_submission(nine, 0, None).is_ok());
        assert_eq!(select_submission(ten, 0, None), Err(NotEligible::HistoryTrimmed));
        assert_eq!(select_submission(ten, 0, Some(&all[0])).unwrap().commitment.model.to_string(), "alice/m0");
        assert_eq!(select_submission(moved_on, 0, Some(&all[0])), Err(NotEligible::HistoryTrimmed));
        // The same text revealed anew is another entry.
        let again = RevealedEntry { reveal_block: 99, ..all[0].clone() };
        assert_eq!(select_submission(ten, 0, Some(&again)), Err(NotEligible::HistoryTrimmed));
        assert_eq!(oldest_for_certain(nine), Some(&all[0]));
        assert_eq!((oldest_for_certain(ten), oldest_for_certain(&[])), (None, None));
    }

    #[test]
    fn b3_an_entry_that_comes_twice_vouches_for_nothing() {
        // Three fields of one commitment, then nine others: the first two are pushed out.
        let (other, first, second) = (entry(20, "other"), entry(20, &text("first")), entry(30, &text("second")));
        let mut all = vec![other.clone(), first.clone(), other.clone(), second];
        let counts = |entries: &[RevealedEntry], seen: Option<&RevealedEntry>| {
            select_submission(entries, 0, seen).map(|submission| submission.commitment.model.to_string())
        };
        assert_eq!(oldest_for_certain(&all), None);
        assert_eq!(counts(&all, None), Ok("alice/first".to_owned()));
        all.extend((0..8).map(|number| entry(40 + number, "more")));
        let kept = &all[2..];
        assert_eq!((kept.len(), &kept[0]), (KEPT_REVEALS, &other));
        assert_eq!(counts(kept, oldest_for_certain(&all[..4])), Err(NotEligible::HistoryTrimmed));
        // Taken for the first one, the second copy would have the second commitment count.
        assert_eq!(counts(kept, Some(&other)), Ok("alice/second".to_owned()));
        // Other entries that come twice are no trouble.
        assert_eq!(oldest_for_certain(&[first.clone(), other.clone(), other]), Some(&first));
    }

    #[test]
    fn reasons_go_through_json() {
        let entries = [entry(5, &text("old")), entry(10, "hello"), entry(11, &text("a")), entry(12, &text("b"))];
        let submission = select_submission(&entries, 10, None).unwrap();
        let written = serde_json::to_string(&submission).unwrap();
        assert_eq!(serde_json::from_str::<Submission>(&written).unwrap(), submission);
        let trimmed = serde_json::to_string(&NotEligible::HistoryTrimmed).unwrap();
        assert_eq!(trimmed, r#"{"code":"history_trimmed"}"#);
    }

    fn any_entries() -> impl Strategy<Value = Vec<RevealedEntry>> {
        let bytes = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            (0..5_u8).prop_map(|number| commitment_payload(&text(&format!("m{number}"))).unwrap()),
            (0..5_u8).prop_map(|number| text(&format!("m{number}")).into_bytes()),
        ];
        let entry = (0..20_u64, bytes).prop_map(|(reveal_block, bytes)| RevealedEntry { reveal_block, bytes });
        proptest::collection::vec(entry, 0..13)
    }

    /// What a hotkey had revealed, block after block: up to three entries in each, and often X-A-X in the first.
    fn any_reveals() -> impl Strategy<Value = Vec<Vec<RevealedEntry>>> {
        fn bytes() -> impl Strategy<Value = Vec<u8>> {
            prop_oneof![Just(b"other".to_vec()), (0..3_u8).prop_map(|number| text(&format!("m{number}")).into_bytes()),]
        }
        let fields = || proptest::collection::vec(bytes(), 1..=3);
        let first = prop_oneof![fields(), (bytes(), bytes()).prop_map(|(x, a)| vec![x.clone(), a, x])];
        (first, proptest::collection::vec(fields(), 0..9)).prop_map(|(first, later)| {
            let blocks = [first].into_iter().chain(later).zip(10..);
            let of_block = |(fields, reveal_block): (Vec<Vec<u8>>, u64)| {
                fields.into_iter().map(|bytes| RevealedEntry { reveal_block, bytes }).collect()
            };
            blocks.map(of_block).collect()
        })
    }

    /// The list that the chain has after these reveals.
    fn kept(reveals: &[Vec<RevealedEntry>]) -> Vec<RevealedEntry> {
        let mut all = reveals.concat();
        all.drain(..all.len().saturating_sub(KEPT_REVEALS));
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_commitment_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..900)) {
            if let Err(problem) = parse_commitment(&bytes) {
                prop_assert!(!problem.to_string().chars().any(char::is_control));
            }
        }

        #[test]
        fn any_object_is_a_commitment_or_an_error(
            bytes in r#"\{("(model|revision|x)":("alice/m"|"0{39,41}"|\[\]|1e9|null|"[^"]{0,4}")(,|)){0,4}\}[ x]?"#
        ) {
            if let Ok(commitment) = parse_commitment(bytes.as_bytes()) {
                let written = serde_json::to_string(&commitment).unwrap();
                prop_assert_eq!(parse_commitment(written.as_bytes()), Ok(commitment));
            }
        }

        #[test]
        fn the_one_that_counts_is_the_first_that_can(entries in any_entries(), registration in 0..20_u64) {
            let expected = entries
                .iter()
                .find(|entry| entry.reveal_block >= registration && entry.commitment().is_ok());
            match select_submission(&entries, registration, entries.first()) {
                Ok(submission) => {
                    let expected = expected.unwrap();
                    prop_assert_eq!(&submission.commitment, &expected.commitment().unwrap());
                    prop_assert_eq!(submission.reveal_block, expected.reveal_block);
                    prop_assert_eq!(submission.passed_over.len(), entries.len() - 1);
                }
                Err(NotEligible::NothingRevealed) => prop_assert!(entries.is_empty()),
                Err(NotEligible::NothingValid { passed_over }) => {
                    prop_assert!(expected.is_none() && passed_over.len() == entries.len());
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        /// Whatever a miner has revealed later, its submission stays what it was, or it has none. A list that is not full
        /// is read alike by those who saw it before and those who did not.
        #[test]
        fn b3_nothing_that_is_revealed_later_changes_the_submission(
            reveals in any_reveals(), first_look in any::<proptest::sample::Index>(), registration in 0..14_u64
        ) {
            let before = kept(&reveals[..=first_look.index(reveals.len())]);
            let seen = oldest_for_certain(&before);
            let submission = select_submission(&before, registration, seen);
            for until in first_look.index(reveals.len())..reveals.len() {
                let all = kept(&reveals[..=until]);
                let later = select_submission(&all, registration, seen);
                if all.len() < KEPT_REVEALS {
                    prop_assert_eq!(&later, &select_submission(&all, registration, None));
                }
                match (later, &submission) {
                    (Ok(later), Ok(submission)) => {
                        prop_assert_eq!(&later.commitment, &submission.commitment);
                        prop_assert_eq!(later.reveal_block, submission.reveal_block);
                    }
                    (Ok(later), Err(NotEligible::NothingValid { passed_over })) => {
                        prop_assert!(passed_over.iter().all(|passed| passed.reveal_block < later.reveal_block));
                    }
                    (Ok(_), Err(reason)) => prop_assert!(false, "{}", reason),
                    (Err(NotEligible::HistoryTrimmed), _) => prop_assert!(all.len() == KEPT_REVEALS),
                    (Err(_), submission) => prop_assert!(submission.is_err()),
                }
            }
        }
    }
}
