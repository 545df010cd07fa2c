//! Kinds of tokens by how they read, to say in words where a student is off.

use super::{Facts, Measured};

/// What a token is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TokenKind {
    WordStart,
    WordRest,
    Number,
    Punctuation,
    LineBreak,
}

impl TokenKind {
    const ALL: [Self; 5] = [Self::WordStart, Self::WordRest, Self::Number, Self::Punctuation, Self::LineBreak];

    /// The kind of a token after the character before it; none for blanks, parts of characters and special tokens.
    fn of(before: Option<char>, text: &str) -> Option<Self> {
        let Some(first) = text.trim_start().chars().next() else {
            return text.contains('\n').then_some(Self::LineBreak);
        };
        if first.is_numeric() {
            Some(Self::Number)
        } else if !first.is_alphabetic() {
            Some(Self::Punctuation)
        } else if text.starts_with(first) && before.is_some_and(char::is_alphanumeric) {
            Some(Self::WordRest)
        } else {
            Some(Self::WordStart)
        }
    }

    /// Where such tokens stand, after "off".
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::WordStart => "where a word begins",
            Self::WordRest => "inside words",
            Self::Number => "at numbers",
            Self::Punctuation => "at punctuation",
            Self::LineBreak => "at line breaks",
        }
    }
}

/// The mean over the positions of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KindMean {
    pub(super) kind: TokenKind,
    pub(super) mean_nats: f64,
    pub(super) positions: usize,
}

/// Fewer positions say nothing of a kind.
const LEAST_POSITIONS: usize = 10;

/// Less than a fifth apart is no difference to speak of.
const LEAST_RATIO: f64 = 1.2;

/// The kind of token where a student is furthest off, and that where it is nearest; none where kinds do not differ.
pub(super) fn extremes(facts: &Facts<'_>, student: &Measured<'_>) -> Option<(KindMean, KindMean)> {
    let prompts = student.positions_kl_nats.iter().enumerate().map(|(prompt, values)| {
        let (before, continuation) = facts.texts_of(prompt);
        (before, continuation, values.as_slice())
    });
    let means = means(prompts);
    let by_mean = |first: &&KindMean, second: &&KindMean| first.mean_nats.total_cmp(&second.mean_nats);
    let (worst, best) = (means.iter().max_by(by_mean)?, means.iter().min_by(by_mean)?);
    (worst.mean_nats > best.mean_nats * LEAST_RATIO).then_some((*worst, *best))
}

/// The mean for each kind with enough positions, from the texts before and in each continuation and its values.
fn means<'a>(prompts: impl Iterator<Item = (&'a [String], &'a [String], &'a [f64])>) -> Vec<KindMean> {
    let mut sums = [(0.0, 0_usize); TokenKind::ALL.len()];
    for (before, continuation, values) in prompts {
        let mut last = before.iter().rev().find_map(|text| text.chars().next_back());
        for (text, value) in continuation.iter().zip(values) {
            if let Some(kind) = TokenKind::of(last, text) {
                let (sum, positions) = &mut sums[kind as usize];
                *sum += value;
                *positions += 1;
            }
            last = text.chars().next_back().or(last);
        }
    }
    let kinds = TokenKind::ALL.into_iter().zip(sums);
    kinds
        .filter(|(_, (_, positions))| *positions >= LEAST_POSITIONS)
        .map(|(kind, (sum, positions))| KindMean { kind, mean_nats: sum / positions as f64, positions })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_kinds() {
        for (before, text, kind) in [
            (Some('e'), " whale", Some(TokenKind::WordStart)),
            (Some(' '), "whale", Some(TokenKind::WordStart)),
            (None, "whale", Some(TokenKind::WordStart)),
            (Some('w'), "hale", Some(TokenKind::WordRest)),
            (Some('-'), "buoy", Some(TokenKind::WordStart)),
            (Some('e'), ",", Some(TokenKind::Punctuation)),
            (Some(','), " “", Some(TokenKind::Punctuation)),
            (Some('n'), " 1851", Some(TokenKind::Number)),
            (Some('.'), "\n\n", Some(TokenKind::LineBreak)),
            (Some('.'), " ", None),
            (Some('.'), "", None),
        ] {
            assert_eq!(TokenKind::of(before, text), kind, "{before:?} {text:?}");
        }
    }

    #[test]
    fn means_are_taken_by_kind() {
        let texts = |text: &str| vec![text.to_owned(); 10];
        let continuation = [texts(" a"), texts(","), vec![" 7".to_owned(); 9]].concat();
        let values = [vec![2.0; 10], vec![0.5; 10], vec![9.0; 9]].concat();
        let before = [String::new()];
        let means = means([(&before[..], continuation.as_slice(), values.as_slice())].into_iter());
        assert_eq!(
            means,
            [
                KindMean { kind: TokenKind::WordStart, mean_nats: 2.0, positions: 10 },
                KindMean { kind: TokenKind::Punctuation, mean_nats: 0.5, positions: 10 },
            ]
        );
    }
}
