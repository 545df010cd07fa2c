use std::path::Path;

use distil_model::Tokenizer;

use crate::EvalError;

/// The text of each token of each sequence, so that the texts of a sequence joined are the text of the whole.
///
/// A character that takes several tokens stands with the last of them; the tokens before it have an empty text. What
/// never becomes a character is U+FFFD with the last token. The tokenizer is loaded for this call and dropped after
/// it, so that it takes no memory while models run.
///
/// # Errors
/// [`EvalError::Model`] if the folder's tokenizer can't be loaded or decodes a token id it doesn't know.
pub fn token_texts(teacher_folder: &Path, sequences: &[&[u32]]) -> Result<Vec<Vec<String>>, EvalError> {
    let tokenizer = Tokenizer::load(teacher_folder)?;
    sequences.iter().map(|tokens| pieces(tokens, |ids| Ok(tokenizer.decode(ids)?))).collect()
}

/// Cuts a sequence's text at its tokens. Each token is decoded together with a few before it, since decoders look
/// back (at the start of a text, or inside a character), never with all.
fn pieces(tokens: &[u32], decode: impl Fn(&[u32]) -> Result<String, EvalError>) -> Result<Vec<String>, EvalError> {
    let mut pieces = Vec::with_capacity(tokens.len());
    // `tokens[context..told]` is decoded as a prefix whose text has been told already.
    let (mut context, mut told) = (0, 0);
    for end in 1..=tokens.len() {
        let before = decode(&tokens[context..told])?;
        let after = decode(&tokens[context..end])?;
        let finished = !after.ends_with('\u{fffd}') || end == tokens.len();
        match after.strip_prefix(before.as_str()) {
            Some(new) if finished => {
                pieces.push(new.to_owned());
                (context, told) = (told, end);
            }
            _ if finished => {
                // The decoder changed its mind about what it had told: take the token alone.
                pieces.push(decode(&tokens[told..end])?);
                (context, told) = (told, end);
            }
            _ => pieces.push(String::new()),
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokenizer with one byte a token.
    fn bytes(ids: &[u32]) -> Result<String, EvalError> {
        let bytes: Vec<u8> = ids.iter().map(|id| *id as u8).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn pieces_of(text: &[u8]) -> Vec<String> {
        let ids: Vec<u32> = text.iter().map(|byte| u32::from(*byte)).collect();
        pieces(&ids, bytes).unwrap()
    }

    #[test]
    fn characters_stand_with_their_last_token() {
        assert_eq!(pieces_of("aß€b".as_bytes()), ["a", "", "ß", "", "", "€", "b"]);
        assert_eq!(pieces_of(b""), [""; 0]);
    }

    #[test]
    fn an_unfinished_character_stands_with_the_last_token() {
        assert_eq!(pieces_of(b"a\xe2\x82"), ["a", "", "\u{fffd}"]);
    }

    #[test]
    fn pieces_join_to_the_whole() {
        let text = "Call me Ishmael — 白鯨 🐳, some years ago.";
        assert_eq!(pieces_of(text.as_bytes()).concat(), text);
    }
}
