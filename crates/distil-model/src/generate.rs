//! Continuing prompts, many at a time: prompts of any length are prefilled without padding, then decoded together one
//! token a step.

use candle_core::Tensor;
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use crate::CausalLm;
use crate::config::LayerType;
use crate::cpu;
use crate::error::{ModelError, Result};
use crate::layers::attention::KeyValueCache;
use crate::layers::delta_net::DeltaNetCache;
use crate::layers::{Keep, LayerCache, Pass, Slots};
use crate::sampling::{Sampling, argmax, top_p_draw, uniform};

/// Prompts decoded together at most.
const MAX_SEQUENCES: usize = 128;
/// Tokens prefilled at a time, unless one prompt is longer.
const PREFILL_TOKENS: usize = 2048;
/// Bytes of logits that exist at a time.
const LOGITS_BYTES: usize = 8 << 20;
/// Whole rows of logits that exist at a time where a draw needs them.
const SAMPLED_ROWS: usize = 8;

/// How prompts are continued.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Tokens added to a prompt at most; at least 1.
    pub max_new_tokens: usize,
    /// How a token is chosen.
    pub sampling: Sampling,
    /// A prompt is finished by one of these ids, which counts as a token of its continuation.
    pub end_of_sequence: Vec<u32>,
    /// Bytes that the keys, values and states of the prompts decoded together may take. At least one prompt is decoded
    /// at a time, whatever it needs.
    pub cache_budget_bytes: usize,
}

/// How far a generation is: totals over all prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationProgress {
    /// Tokens added so far.
    pub new_tokens: usize,
    /// Prompts that are complete.
    pub finished_prompts: usize,
}

impl CausalLm {
    /// Continues all prompts and gives the new ids of each, an end-of-sequence token included. `progress` is called
    /// after each step.
    ///
    /// # Errors
    ///
    /// The settings are out of range, a prompt is empty or has a token outside the vocabulary, the logits are not
    /// finite, or the device fails.
    pub fn generate(
        &self,
        prompts: &[&[u32]],
        generation: &Generation,
        progress: &mut dyn FnMut(GenerationProgress),
    ) -> Result<Vec<Vec<u32>>> {
        generation.sampling.validate()?;
        if generation.max_new_tokens == 0 {
            return Err(ModelError::InvalidRequest("max_new_tokens is 0; it has to be at least 1".into()));
        }
        let mut continuations = vec![Vec::new(); prompts.len()];
        let mut done = GenerationProgress { new_tokens: 0, finished_prompts: 0 };
        let mut first = 0;
        while first < prompts.len() {
            let count = self.group_size(&prompts[first..], generation);
            let mut group = Group::start(self, prompts, first, count, generation)?;
            while let Some(step) = group.step(&mut continuations)? {
                done.new_tokens += step.new_tokens;
                done.finished_prompts += step.finished_prompts;
                progress(done);
            }
            first += count;
        }
        Ok(continuations)
    }

    /// How many of the prompts, from the first on, fit into the cache budget together.
    fn group_size(&self, prompts: &[&[u32]], generation: &Generation) -> usize {
        let mut longest = 0;
        for (count, prompt) in prompts.iter().enumerate().take(MAX_SEQUENCES) {
            longest = longest.max(prompt.len());
            let bytes = self.cache_bytes_per_sequence(longest + generation.max_new_tokens);
            if count > 0 && bytes.saturating_mul(count + 1) > generation.cache_budget_bytes {
                return count;
            }
        }
        prompts.len().min(MAX_SEQUENCES)
    }

    fn cache_bytes_per_sequence(&self, slots: usize) -> usize {
        let config = self.config();
        let bytes = |layer: LayerType| match (layer, config.delta_net) {
            (LayerType::LinearAttention, Some(c)) => {
                let channels = 2 * c.key_heads * c.key_dim + c.value_heads * c.value_dim;
                4 * (c.value_heads * c.key_dim * c.value_dim + (c.kernel - 1) * channels)
            }
            _ => {
                2 * config.attention.key_value_heads * config.attention.head_dim * slots * self.dtype().size_in_bytes()
            }
        };
        config.layer_types().map(bytes).sum()
    }
}

/// Prompts that are decoded together.
struct Group<'a> {
    model: &'a CausalLm,
    generation: &'a Generation,
    caches: Vec<LayerCache>,
    slots: Slots,
    /// The prompts that are not finished, in the order of the caches' rows.
    rows: Vec<Row>,
    /// Hidden states that the next tokens are chosen from, `[rows, hidden]`, after the final norm.
    hidden: Tensor,
}

struct Row {
    prompt: usize,
    generator: Option<ChaCha20Rng>,
}

impl<'a> Group<'a> {
    fn start(
        model: &'a CausalLm,
        prompts: &[&[u32]],
        first: usize,
        count: usize,
        generation: &'a Generation,
    ) -> Result<Self> {
        let group = &prompts[first..first + count];
        let longest = group.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let slots = longest + generation.max_new_tokens;
        let config = model.config();
        let new_cache = |layer: LayerType| -> candle_core::Result<LayerCache> {
            Ok(match (layer, config.delta_net) {
                (LayerType::LinearAttention, Some(delta_net)) => {
                    LayerCache::DeltaNet(DeltaNetCache::new(count, delta_net, model.device())?)
                }
                _ => LayerCache::KeyValue(KeyValueCache::new(
                    count,
                    slots,
                    &config.attention,
                    model.dtype(),
                    model.device(),
                )?),
            })
        };
        let mut caches: Vec<LayerCache> = config.layer_types().map(new_cache).collect::<candle_core::Result<_>>()?;

        let mut hidden = Vec::new();
        let mut row = 0;
        while row < count {
            let mut tokens = 0;
            let fits = |prompt: &&&[u32]| {
                tokens += prompt.len();
                tokens <= PREFILL_TOKENS
            };
            let rows = group[row..].iter().take_while(fits).count().max(1);
            let (x, segments) =
                model.embed_packed(&group[row..row + rows]).map_err(|error| shift_sequence(error, first + row))?;
            let positions = segments.iter().flat_map(|segment| 0..segment.len());
            let rotary = model.rotary().table(positions, model.dtype(), model.device())?;
            let keep = Keep { first_row: row, end: longest };
            let pass = Pass::Prefill { segments: &segments, rotary: &rotary, keep: Some(&keep) };
            let x = model.run_layers(x, &pass, Some(&mut caches))?;
            for segment in &segments {
                hidden.push(x.narrow(0, segment.end - 1, 1)?);
            }
            row += rows;
        }
        Ok(Self {
            model,
            generation,
            caches,
            slots: Slots { starts: group.iter().map(|prompt| longest - prompt.len()).collect(), end: longest },
            rows: (first..first + count)
                .map(|prompt| Row { prompt, generator: generation.sampling.generator(prompt) })
                .collect(),
            hidden: model.final_norm(&Tensor::cat(&hidden, 0)?)?,
        })
    }

    /// Chooses one more token of each prompt, and runs the model on them where any prompt goes on. `None` when all are
    /// finished.
    fn step(&mut self, continuations: &mut [Vec<u32>]) -> Result<Option<GenerationProgress>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let tokens = self.choose()?;
        let mut going_on = Vec::with_capacity(tokens.len());
        for (index, (row, &token)) in self.rows.iter().zip(&tokens).enumerate() {
            let continuation = &mut continuations[row.prompt];
            continuation.push(token);
            let is_finished = continuation.len() >= self.generation.max_new_tokens
                || self.generation.end_of_sequence.contains(&token);
            if !is_finished {
                going_on.push(index);
            }
        }
        let step = GenerationProgress { new_tokens: tokens.len(), finished_prompts: tokens.len() - going_on.len() };
        if going_on.len() < tokens.len() {
            self.keep_rows(&going_on)?;
        }
        if !going_on.is_empty() {
            let next: Vec<u32> = going_on.iter().map(|&index| tokens[index]).collect();
            self.run(&next)?;
        }
        Ok(Some(step))
    }

    fn keep_rows(&mut self, going_on: &[usize]) -> Result<()> {
        let mut rows = std::mem::take(&mut self.rows).into_iter().map(Some).collect::<Vec<_>>();
        self.rows = going_on.iter().filter_map(|&index| rows[index].take()).collect();
        self.slots.starts = going_on.iter().map(|&index| self.slots.starts[index]).collect();
        if going_on.is_empty() {
            self.caches.clear();
            return Ok(());
        }
        let indices: Vec<u32> = going_on.iter().map(|&index| index as u32).collect();
        let indices = Tensor::from_vec(indices, going_on.len(), self.model.device())?;
        for cache in &mut self.caches {
            cache.select(&indices)?;
        }
        Ok(())
    }

    /// Runs the model on one token of each row.
    fn run(&mut self, tokens: &[u32]) -> Result<()> {
        let model = self.model;
        self.slots.end += 1;
        let sequences: Vec<&[u32]> = tokens.chunks_exact(1).collect();
        let (x, _) = model.embed_packed(&sequences)?;
        let newest = self.slots.end - 1;
        let positions = self.slots.starts.iter().map(|start| newest - start);
        let rotary = model.rotary().table(positions, model.dtype(), model.device())?;
        let pass = Pass::Decode { rotary: &rotary, slots: &self.slots };
        self.hidden = model.final_norm(&model.run_layers(x, &pass, Some(&mut self.caches))?)?;
        Ok(())
    }

    fn choose(&mut self) -> Result<Vec<u32>> {
        match self.generation.sampling {
            Sampling::Greedy => self.likeliest(),
            Sampling::TopP { temperature, top_p, .. } => self.draw(temperature, top_p),
        }
    }

    fn likeliest(&self) -> Result<Vec<u32>> {
        let rows = self.rows.len();
        let mut best: Vec<Option<(usize, f32)>> = vec![Some((0, f32::NEG_INFINITY)); rows];
        self.for_each_tile(&self.hidden, |first_column, tile| {
            let merge = |best: &mut Option<(usize, f32)>, found: Option<(usize, f32)>| {
                *best = match (*best, found) {
                    // Only a larger value replaces an earlier one: of equals the lowest id stays.
                    (Some((_, max)), Some((column, value))) if value > max => Some((first_column + column, value)),
                    (Some(best), Some(_)) => Some(best),
                    _ => None,
                };
            };
            if cpu::is_fast(tile) {
                let columns = tile.dim(1)?;
                return cpu::with_values(tile, |values| {
                    best.par_iter_mut()
                        .zip(values.par_chunks(columns))
                        .for_each(|(best, row)| merge(best, argmax(row)));
                    Ok(())
                });
            }
            let values = tile.max(1)?.to_vec1::<f32>()?;
            let columns = tile.argmax(1)?.to_vec1::<u32>()?;
            // A NaN anywhere makes the sum one; infinities of both signs do too, and a lone one shows in the maximum.
            let sums = tile.sum(1)?.to_vec1::<f32>()?;
            for (row, best) in best.iter_mut().enumerate() {
                let is_sound = !sums[row].is_nan() && values[row] != f32::INFINITY;
                merge(best, is_sound.then_some((columns[row] as usize, values[row])));
            }
            Ok(())
        })?;
        let token = |(row, best): (usize, Option<(usize, f32)>)| match best {
            Some((token, max)) if max.is_finite() => Ok(token as u32),
            _ => Err(self.not_finite(row)),
        };
        best.into_iter().enumerate().map(token).collect()
    }

    fn draw(&mut self, temperature: f64, top_p: f64) -> Result<Vec<u32>> {
        let vocab_size = self.model.head().vocab_size();
        let mut tokens = Vec::with_capacity(self.rows.len());
        for first in (0..self.rows.len()).step_by(SAMPLED_ROWS) {
            let count = SAMPLED_ROWS.min(self.rows.len() - first);
            let mut logits = vec![Vec::with_capacity(vocab_size); count];
            self.for_each_tile(&self.hidden.narrow(0, first, count)?, |_, tile| {
                for (logits, row) in logits.iter_mut().zip(tile.to_vec2::<f32>()?) {
                    logits.extend(row);
                }
                Ok(())
            })?;
            let draws: Vec<f64> = self.rows[first..first + count]
                .iter_mut()
                .map(|row| row.generator.as_mut().map_or(0.0, uniform))
                .collect();
            let drawn: Vec<Option<u32>> = logits
                .par_iter()
                .zip(draws)
                .map(|(logits, draw)| top_p_draw(logits, temperature, top_p, draw))
                .collect();
            for (row, token) in drawn.into_iter().enumerate() {
                tokens.push(token.ok_or_else(|| self.not_finite(first + row))?);
            }
        }
        Ok(tokens)
    }

    /// The logits of some hidden states, a tile of columns at a time.
    fn for_each_tile(
        &self,
        hidden: &Tensor,
        mut f: impl FnMut(usize, &Tensor) -> candle_core::Result<()>,
    ) -> Result<()> {
        let head = self.model.head();
        let width = (LOGITS_BYTES / 4 / hidden.dim(0)?).clamp(256, head.vocab_size().max(256));
        for first in (0..head.vocab_size()).step_by(width) {
            let tile = head.logits_tile(hidden, first..head.vocab_size().min(first + width))?;
            f(first, &tile)?;
        }
        Ok(())
    }

    fn not_finite(&self, row: usize) -> ModelError {
        ModelError::NotFinite { what: "logits", sequence: self.rows[row].prompt }
    }
}

/// An error about a sequence of a part, told of the whole.
fn shift_sequence(error: ModelError, first: usize) -> ModelError {
    match error {
        ModelError::TokenOutOfRange { sequence, position, token, vocab_size } => {
            ModelError::TokenOutOfRange { sequence: sequence + first, position, token, vocab_size }
        }
        other => other,
    }
}
