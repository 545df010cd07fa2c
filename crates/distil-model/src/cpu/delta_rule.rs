use std::ops::Range;
use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use rayon::prelude::*;

use super::simd::{dot, fma, multiversion};
use super::with_values;
use crate::config::DeltaNetConfig;

/// Columns of the state that a task works on: with 128 rows they fill half of a first-level cache.
const COLUMNS: usize = 32;

/// The gated delta rule of packed sequences, one token after the other: on a CPU the state's columns stay in the cache,
/// and the chunked form would do more arithmetic for nothing.
///
/// `mixed` is what leaves the convolution, queries, keys and values of all heads side by side,
/// `beta` and `log_decay` are `[tokens, value heads]`. `state` is `[sequences, value heads, key_dim, value_dim]` and is
/// brought up to date in place. Gives `[tokens, value heads, value_dim]`.
pub(crate) fn run(
    mixed: &Tensor,
    beta: &Tensor,
    log_decay: &Tensor,
    state: &Tensor,
    segments: &[Range<usize>],
    config: DeltaNetConfig,
) -> candle_core::Result<Tensor> {
    let tokens = mixed.dim(0)?;
    let out = with_values(mixed, |mixed| {
        with_values(beta, |beta| {
            with_values(log_decay, |log_decay| {
                let normalized = normalize(mixed, config);
                let decay: Vec<f32> = log_decay.iter().map(|g| g.exp()).collect();
                let out = Mutex::new(vec![0.0; tokens * config.value_heads * config.value_dim]);
                state.inplace_op1(&Update {
                    mixed,
                    normalized: &normalized,
                    beta,
                    decay: &decay,
                    segments,
                    config,
                    out: &out,
                })?;
                Ok(out.into_inner().unwrap_or_default())
            })
        })
    })?;
    Tensor::from_vec(out, (tokens, config.value_heads, config.value_dim), mixed.device())
}

/// Queries and keys of unit length, `[tokens, 2, key heads, key_dim]`, the queries scaled by `1 / sqrt(key_dim)`.
fn normalize(mixed: &[f32], config: DeltaNetConfig) -> Vec<f32> {
    let keys = config.key_heads * config.key_dim;
    let channels = 2 * keys + config.value_heads * config.value_dim;
    let mut out = vec![0.0; mixed.len() / channels * 2 * keys];
    out.par_chunks_mut(2 * keys).zip(mixed.par_chunks(channels)).with_min_len(8).for_each(|(out, mixed)| {
        normalize_heads(&mixed[..2 * keys], config.key_dim, out);
        let scale = (1.0 / (config.key_dim as f64).sqrt()) as f32;
        out[..keys].iter_mut().for_each(|value| *value *= scale);
    });
    out
}

multiversion! {
    fn normalize_heads(x: &[f32], width: usize, out: &mut [f32]) {
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot::<FMA>(x, x) + 1e-6).sqrt();
            for i in 0..width {
                out[i] = x[i] * scale;
            }
        }
    }
}

struct Update<'a> {
    mixed: &'a [f32],
    normalized: &'a [f32],
    beta: &'a [f32],
    decay: &'a [f32],
    segments: &'a [Range<usize>],
    config: DeltaNetConfig,
    out: &'a Mutex<Vec<f32>>,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "gated-delta-rule"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(states), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("the delta rule's state is contiguous and f32")
        };
        let DeltaNetConfig { value_heads, key_dim, value_dim, .. } = self.config;
        let heads: Vec<Vec<f32>> = states[start..end]
            .par_chunks_mut(key_dim * value_dim)
            .enumerate()
            .map(|(index, state)| self.head(&self.segments[index / value_heads], index % value_heads, state))
            .collect();
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (index, values) in heads.iter().enumerate() {
            let (segment, head) = (&self.segments[index / value_heads], index % value_heads);
            for (token, values) in segment.clone().zip(values.chunks_exact(value_dim)) {
                let start = (token * value_heads + head) * value_dim;
                out[start..start + value_dim].copy_from_slice(values);
            }
        }
        Ok(())
    }
}

impl Update<'_> {
    /// Runs one head of one sequence: brings `state`, `[key_dim, value_dim]`, up to date and gives `[tokens, value_dim]`.
    fn head(&self, segment: &Range<usize>, head: usize, state: &mut [f32]) -> Vec<f32> {
        let DeltaNetConfig { value_heads, key_heads, key_dim, value_dim, .. } = self.config;
        let keys = key_heads * key_dim;
        let channels = 2 * keys + value_heads * value_dim;
        // Consecutive value heads share a key head.
        let key_head = head / (value_heads / key_heads);
        let mut out = vec![0.0; segment.len() * value_dim];
        let mut tile = vec![[0.0; COLUMNS]; key_dim];
        for first in (0..value_dim).step_by(COLUMNS) {
            let columns = first..value_dim.min(first + COLUMNS);
            for (tile, state) in tile.iter_mut().zip(state.chunks_exact(value_dim)) {
                tile[..columns.len()].copy_from_slice(&state[columns.clone()]);
            }
            for (row, token) in segment.clone().enumerate() {
                let normalized = &self.normalized[token * 2 * keys..][..2 * keys];
                let mut value = [0.0; COLUMNS];
                let values = &self.mixed[token * channels + 2 * keys + head * value_dim..][..value_dim];
                value[..columns.len()].copy_from_slice(&values[columns.clone()]);
                let mut result = [0.0; COLUMNS];
                step(
                    &normalized[key_head * key_dim..][..key_dim],
                    &normalized[keys + key_head * key_dim..][..key_dim],
                    &value,
                    self.beta[token * value_heads + head],
                    self.decay[token * value_heads + head],
                    &mut tile,
                    &mut result,
                );
                out[row * value_dim..][columns.clone()].copy_from_slice(&result[..columns.len()]);
            }
            for (tile, state) in tile.iter().zip(state.chunks_exact_mut(value_dim)) {
                state[columns.clone()].copy_from_slice(&tile[..columns.len()]);
            }
        }
        out
    }
}

multiversion! {
    /// `S <- decay S; d = beta (v - Sᵀ k); S <- S + k dᵀ; out = Sᵀ q`
    fn step(query: &[f32], key: &[f32], value: &[f32; COLUMNS], beta: f32, decay: f32, state: &mut [[f32; COLUMNS]], out: &mut [f32; COLUMNS]) {
        let mut recalled = [0.0; COLUMNS];
        for (state, key) in state.iter().zip(key) {
            for i in 0..COLUMNS {
                recalled[i] = fma::<FMA>(state[i], *key, recalled[i]);
            }
        }
        let mut delta = [0.0; COLUMNS];
        for i in 0..COLUMNS {
            delta[i] = beta * (value[i] - decay * recalled[i]);
        }
        let mut result = [0.0; COLUMNS];
        for ((state, key), query) in state.iter_mut().zip(key).zip(query) {
            for i in 0..COLUMNS {
                state[i] = fma::<FMA>(*key, delta[i], decay * state[i]);
                result[i] = fma::<FMA>(state[i], *query, result[i]);
            }
        }
        *out = result;
    }
}
