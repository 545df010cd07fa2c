//! The student pass: KL at every position, prompt by prompt.

use std::num::NonZeroUsize;

use candle_core::Tensor;
use distil_model::{CausalLm, OutputHead};

use crate::{
    EvalError, TeacherCache, TokenSequence,
    divergence::{Side, kl_at_positions},
    progress::PhaseProgress,
    teacher::for_each_batch,
};

/// Whether to go on with the next prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    Stop,
}

/// KL in nats at each scored position of each prompt, in order.
///
/// `after_prompt` sees the prompts done so far after each of them and can stop the pass: the result then ends with the
/// prompt it was asked about, however many went through the model together.
pub(crate) fn score_student(
    student: &CausalLm,
    cache: &TeacherCache,
    teacher_head: &OutputHead,
    batch_tokens: usize,
    threads: NonZeroUsize,
    progress: &mut PhaseProgress<'_>,
    mut after_prompt: impl FnMut(&[Vec<f64>]) -> Result<Next, EvalError>,
) -> Result<Vec<Vec<f64>>, EvalError> {
    let prompts = cache.prompts();
    let sequences: Vec<&TokenSequence> = prompts.iter().map(|prompt| &prompt.sequence).collect();
    let mut done: Vec<Vec<f64>> = Vec::with_capacity(prompts.len());
    for_each_batch(student, &sequences, batch_tokens, |first, student_hidden| {
        let batch = &prompts[first..first + student_hidden.len()];
        let teacher_hidden: Vec<&Tensor> = batch.iter().map(|prompt| &prompt.hidden).collect();
        let teacher_hidden = Tensor::cat(&teacher_hidden, 0)?;
        let student_hidden = Tensor::cat(&student_hidden, 0)?;
        let kl_nats = kl_at_positions(
            Side { head: teacher_head, hidden: &teacher_hidden },
            Side { head: student.head(), hidden: &student_hidden },
            threads,
        )?;
        let mut rest = kl_nats.as_slice();
        for (offset, prompt) in batch.iter().enumerate() {
            let (own, others) = rest.split_at(prompt.sequence.continuation().len());
            rest = others;
            if let Some(position) = own.iter().position(|kl| !kl.is_finite()) {
                return Err(EvalError::NotFinite { prompt: first + offset, position, value: own[position] });
            }
            done.push(own.to_vec());
            progress.add(prompt.sequence.model_input().len(), 1);
            if after_prompt(&done)? == Next::Stop {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(done)
}
