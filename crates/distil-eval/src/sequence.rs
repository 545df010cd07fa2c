use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::EvalError;

/// A prompt and the teacher's continuation of it, as token ids.
///
/// The continuation has at least one token, and so has the prompt. A model that reads all tokens but the last
/// predicts continuation token `n` at position `prompt_tokens − 1 + n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSequence {
    tokens: Vec<u32>,
    prompt_tokens: usize,
}

impl TokenSequence {
    /// Joins a prompt and its continuation; `index` is the prompt's place, for the error.
    ///
    /// # Errors
    /// [`EvalError::NoContinuation`] and [`EvalError::PromptWithoutTokens`] if either is empty.
    pub fn new(index: usize, prompt: &[u32], continuation: &[u32]) -> Result<Self, EvalError> {
        if prompt.is_empty() {
            return Err(EvalError::PromptWithoutTokens { index, id: index.to_string() });
        }
        if continuation.is_empty() {
            return Err(EvalError::NoContinuation { index });
        }
        Ok(Self { tokens: [prompt, continuation].concat(), prompt_tokens: prompt.len() })
    }

    /// Prompt and continuation.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The prompt.
    pub fn prompt(&self) -> &[u32] {
        &self.tokens[..self.prompt_tokens]
    }

    /// The continuation, which is what is scored.
    pub fn continuation(&self) -> &[u32] {
        &self.tokens[self.prompt_tokens..]
    }

    /// What a model has to read: all tokens but the last, whose successor nobody asks for.
    pub(crate) fn model_input(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// Where in [`Self::model_input`] the continuation tokens are predicted.
    pub(crate) fn scored_positions(&self) -> Range<usize> {
        self.prompt_tokens - 1..self.tokens.len() - 1
    }

    /// SHA-256 that names these tokens, in lower-case hex.
    ///
    /// It is taken over the ASCII text `distil/1 tokens` and a zero byte, then for prompt and continuation in turn
    /// the number of tokens and each token id, all as unsigned 32-bit integers, least significant byte first.
    ///
    /// ```
    /// let sequence = distil_eval::TokenSequence::new(0, &[1, 2], &[3])?;
    /// assert_eq!(
    ///     sequence.digest(),
    ///     "94e21db895b6b7f7a6f7b90b7237db174c37dac43accccb919e80998a0c8e662",
    /// );
    /// # Ok::<(), distil_eval::EvalError>(())
    /// ```
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(b"distil/1 tokens\0");
        for part in [self.prompt(), self.continuation()] {
            // Lengths are bounded far below 2^32 by the settings and by any model's positions.
            hasher.update((part.len() as u32).to_le_bytes());
            for token in part {
                hasher.update(token.to_le_bytes());
            }
        }
        hex(&hasher.finalize())
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
        text
    })
}

/// Cuts sequences of the given lengths into runs of neighbours of at most `budget` tokens in sum; a longer one
/// goes alone. The result depends on nothing but its arguments.
pub(crate) fn pack(lengths: &[usize], budget: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut sum) = (0, 0_usize);
    for (index, length) in lengths.iter().enumerate() {
        let fits = sum.checked_add(*length).is_some_and(|sum| sum <= budget);
        if index > start && !fits {
            batches.push(start..index);
            (start, sum) = (index, 0);
        }
        sum = sum.saturating_add(*length);
    }
    if start < lengths.len() {
        batches.push(start..lengths.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_predict_the_continuation() {
        let sequence = TokenSequence::new(0, &[10, 11, 12], &[20, 21]).unwrap();
        assert_eq!(sequence.tokens(), [10, 11, 12, 20, 21]);
        assert_eq!(sequence.model_input(), [10, 11, 12, 20]);
        assert_eq!(sequence.scored_positions(), 2..4);
        for (position, token) in sequence.scored_positions().zip(sequence.continuation()) {
            assert_eq!(sequence.tokens()[position + 1], *token);
        }
    }

    #[test]
    fn empty_parts_are_refused() {
        assert!(matches!(TokenSequence::new(3, &[1], &[]), Err(EvalError::NoContinuation { index: 3 })));
        assert!(matches!(TokenSequence::new(3, &[], &[1]), Err(EvalError::PromptWithoutTokens { index: 3, .. })));
    }

    #[test]
    fn digest_tells_where_the_prompt_ends() {
        let digest =
            |prompt: &[u32], continuation: &[u32]| TokenSequence::new(0, prompt, continuation).unwrap().digest();
        assert_ne!(digest(&[1, 2], &[3]), digest(&[1], &[2, 3]));
        assert_ne!(digest(&[1, 2], &[3]), digest(&[1, 2], &[4]));
        assert_eq!(digest(&[1, 2], &[3]), digest(&[1, 2], &[3]));
    }

    #[test]
    fn packing_keeps_order_and_budget() {
        assert!(pack(&[], 10).is_empty());
        assert_eq!(pack(&[5, 5, 5], 10), [0..2, 2..3]);
        assert_eq!(pack(&[50, 1, 1], 10), [0..1, 1..3]);
        assert_eq!(pack(&[1, 50, 1], 10), [0..1, 1..2, 2..3]);
        assert_eq!(pack(&[3, 3], 0), [0..1, 1..2]);
        assert_eq!(pack(&[usize::MAX, usize::MAX], usize::MAX), [0..1, 1..2]);
    }
}
