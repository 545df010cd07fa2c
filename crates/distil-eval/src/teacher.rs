//! The teacher pass: tokens, continuations, hidden states.

use distil_model::{CausalLm, Generation, HiddenStatesRequest, Tokenizer};

use crate::{
    EvalError, Prompt, ScoreSettings, TokenSequence, Work, divergence::all_finite, progress::PhaseProgress,
    sequence::pack,
};
use candle_core::Tensor;

/// Refuses what no run can use, before anything is loaded.
pub(crate) fn check_prompts(prompts: &[Prompt]) -> Result<(), EvalError> {
    if prompts.is_empty() {
        return Err(EvalError::NoPrompts);
    }
    match prompts.iter().position(|prompt| prompt.text.is_empty()) {
        Some(index) => Err(EvalError::EmptyPrompt { index, id: prompts[index].id.clone() }),
        None => Ok(()),
    }
}

/// Prompts as token ids of the teacher's tokenizer, with no special tokens, cut to `max_prompt_tokens`.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    prompts: &[Prompt],
    max_prompt_tokens: usize,
    progress: &mut PhaseProgress<'_>,
) -> Result<Vec<Vec<u32>>, EvalError> {
    prompts
        .iter()
        .enumerate()
        .map(|(index, prompt)| {
            let mut tokens = tokenizer.encode(&prompt.text)?;
            tokens.truncate(max_prompt_tokens);
            if tokens.is_empty() {
                return Err(EvalError::PromptWithoutTokens { index, id: prompt.id.clone() });
            }
            tokens.shrink_to_fit();
            progress.add(tokens.len(), 1);
            Ok(tokens)
        })
        .collect()
}

/// The teacher's continuations of all prompts.
pub(crate) fn continue_prompts(
    teacher: &CausalLm,
    prompts: &[Vec<u32>],
    settings: &ScoreSettings,
    progress: &mut PhaseProgress<'_>,
) -> Result<Vec<TokenSequence>, EvalError> {
    let vocab_size = teacher.head().vocab_size();
    for (index, tokens) in prompts.iter().enumerate() {
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab_size) {
            return Err(EvalError::TokenOutsideVocabulary { index, token: *token, vocab_size });
        }
    }
    let generation = Generation {
        max_new_tokens: settings.max_new_tokens,
        sampling: settings.sampling.clone(),
        end_of_sequence: teacher.config().end_of_sequence.clone(),
        cache_budget_bytes: settings.cache_budget_bytes,
    };
    let borrowed: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let continuations = teacher.generate(&borrowed, &generation, &mut |so_far| {
        progress.done(Work { tokens: so_far.new_tokens as u64, prompts: so_far.finished_prompts as u64, bytes: 0 });
    })?;
    prompts
        .iter()
        .zip(continuations)
        .enumerate()
        .map(|(index, (prompt, continuation))| TokenSequence::new(index, prompt, &continuation))
        .collect()
}

/// Runs a model over all sequences, in order and in batches of at most `batch_tokens`, and hands each batch's hidden
/// states at the scored positions to `each`, with the place of its first sequence; stops when that answers false.
///
/// Teacher and students take this one way, so a copy of the teacher has the teacher's hidden states bit for bit.
pub(crate) fn for_each_batch(
    model: &CausalLm,
    sequences: &[&TokenSequence],
    batch_tokens: usize,
    mut each: impl FnMut(usize, Vec<Tensor>) -> Result<bool, EvalError>,
) -> Result<(), EvalError> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.model_input().len()).collect();
    for batch in pack(&lengths, batch_tokens) {
        let requests: Vec<HiddenStatesRequest<'_>> = sequences[batch.clone()]
            .iter()
            .map(|sequence| HiddenStatesRequest {
                tokens: sequence.model_input(),
                positions: sequence.scored_positions(),
            })
            .collect();
        let hidden = model.hidden_states(&requests)?;
        if !each(batch.start, hidden)? {
            break;
        }
    }
    Ok(())
}

/// The teacher's final hidden states at the scored positions, one `[positions, hidden_size]` tensor a sequence, in the
/// dtype they were computed in.
pub(crate) fn hidden_states(
    teacher: &CausalLm,
    sequences: &[&TokenSequence],
    batch_tokens: usize,
    progress: &mut PhaseProgress<'_>,
) -> Result<Vec<Tensor>, EvalError> {
    let mut all = Vec::with_capacity(sequences.len());
    for_each_batch(teacher, sequences, batch_tokens, |first, hidden| {
        for (offset, hidden) in hidden.iter().enumerate() {
            let index = first + offset;
            if !all_finite(hidden)? {
                return Err(EvalError::TeacherNotFinite { prompt: index });
            }
            // A copy of its own: a view would keep the states of the prompt's positions alive too.
            all.push(hidden.force_contiguous()?);
            progress.add(sequences[index].model_input().len(), 1);
        }
        Ok(true)
    })?;
    Ok(all)
}
