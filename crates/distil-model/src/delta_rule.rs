//! The gated delta rule in tensor operations, for any device: in chunks for whole sequences, step by step for
//! decoding. Per head, with a state S of `[key_dim, value_dim]`:
//!
//! ```text
//! S <- exp(g) S;  d = β (v - Sᵀ k);  S <- S + k dᵀ;  out = Sᵀ q
//! ```
//!
//! The chunked form follows Yang et al., "Gated Delta Networks", arXiv 2412.06464, section 3.3: within a chunk the
//! deltas are the solution of a unit triangular system, and the state moves once a chunk.

use std::ops::Range;

use candle_core::{D, DType, Device, Tensor};

use crate::config::DeltaNetConfig;

const CHUNK: usize = 64;

/// What the rule takes of each token, f32, the key heads repeated for the value heads that share them.
pub(crate) struct Inputs {
    /// `[tokens, value heads, key_dim]`, unit length times `1 / sqrt(key_dim)`
    query: Tensor,
    /// `[tokens, value heads, key_dim]`, unit length
    key: Tensor,
    /// `[tokens, value heads, value_dim]`
    value: Tensor,
    /// `[tokens, value heads]`
    beta: Tensor,
    /// `[tokens, value heads]`, at most 0
    log_decay: Tensor,
}

impl Inputs {
    /// Splits what leaves the convolution, `[tokens, channels]`, into heads.
    pub(crate) fn split(
        mixed: &Tensor,
        beta: &Tensor,
        log_decay: &Tensor,
        config: DeltaNetConfig,
    ) -> candle_core::Result<Self> {
        let DeltaNetConfig { key_heads, value_heads, key_dim, value_dim, .. } = config;
        let tokens = mixed.dim(0)?;
        let keys = key_heads * key_dim;
        let group = value_heads / key_heads;
        let heads = |first: usize| -> candle_core::Result<Tensor> {
            let x = unit_length(&mixed.narrow(1, first, keys)?.reshape((tokens, key_heads, 1, key_dim))?)?;
            x.broadcast_as((tokens, key_heads, group, key_dim))?.reshape((tokens, value_heads, key_dim))
        };
        Ok(Self {
            query: (heads(0)? * (1.0 / (key_dim as f64).sqrt()))?,
            key: heads(keys)?,
            value: mixed.narrow(1, 2 * keys, value_heads * value_dim)?.reshape((tokens, value_heads, value_dim))?,
            beta: beta.clone(),
            log_decay: log_decay.clone(),
        })
    }
}

/// `x / sqrt(Σ x² + 1e-6)`: the epsilon is inside, and it is a sum, not a mean.
fn unit_length(x: &Tensor) -> candle_core::Result<Tensor> {
    x.broadcast_div(&(x.sqr()?.sum_keepdim(D::Minus1)? + 1e-6)?.sqrt()?)
}

/// One token of each sequence: gives what is recalled, `[sequences, value heads, value_dim]`, and the new state.
pub(crate) fn recurrent_step(inputs: &Inputs, state: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
    let decay = inputs.log_decay.exp()?.unsqueeze(2)?.unsqueeze(3)?;
    let state = state.broadcast_mul(&decay)?;
    let key = inputs.key.unsqueeze(3)?;
    let recalled = state.broadcast_mul(&key)?.sum(2)?;
    let delta = (&inputs.value - recalled)?.broadcast_mul(&inputs.beta.unsqueeze(2)?)?;
    let state = (state + key.broadcast_mul(&delta.unsqueeze(2)?)?)?;
    let out = state.broadcast_mul(&inputs.query.unsqueeze(3)?)?.sum(2)?;
    Ok((out, state))
}

/// Whole sequences from the given state on: gives what is recalled, `[tokens, value heads, value_dim]`, and the state
/// after each sequence's last token, `[sequences, value heads, key_dim, value_dim]`.
pub(crate) fn chunked(
    inputs: &Inputs,
    state: &Tensor,
    segments: &[Range<usize>],
) -> candle_core::Result<(Tensor, Tensor)> {
    let (sequences, heads, key_dim, value_dim) = state.dims4()?;
    let longest = segments.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let chunks = longest.div_ceil(CHUNK);
    let batch = sequences * heads;
    // [tokens, heads, width] to [batch, chunks, CHUNK, width]. Padding with zeros at the end changes no state: no decay,
    // no key, no beta.
    let split = |x: &Tensor| -> candle_core::Result<Tensor> {
        let width = x.dim(2)?;
        let pad = |segment: &Range<usize>| {
            x.narrow(0, segment.start, segment.len())?.pad_with_zeros(0, 0, chunks * CHUNK - segment.len())
        };
        let padded: Vec<Tensor> = segments.iter().map(pad).collect::<candle_core::Result<_>>()?;
        Tensor::stack(&padded, 0)?.transpose(1, 2)?.contiguous()?.reshape((batch, chunks, CHUNK, width))
    };
    let (query, key, value) = (split(&inputs.query)?, split(&inputs.key)?, split(&inputs.value)?);
    let beta = split(&inputs.beta.unsqueeze(2)?)?;
    let log_decay = split(&inputs.log_decay.unsqueeze(2)?)?;

    let device = state.device();
    // The decay since the chunk's start, and between every pair of its tokens.
    let total = ones_below(0, device)?.broadcast_matmul(&log_decay)?;
    let difference = total.broadcast_sub(&total.transpose(2, 3)?)?;
    // Masked before the exponential: above the diagonal it would overflow.
    let never = Tensor::full(f32::NEG_INFINITY, difference.shape(), device)?;
    let visible = ones_below(0, device)?.to_dtype(DType::U8)?.broadcast_as(difference.shape())?;
    let decay = visible.where_cond(&difference, &never)?.exp()?;

    let weighted_key = key.broadcast_mul(&beta)?;
    let system = ((weighted_key.matmul(&key.transpose(2, 3)?)? * &decay)?).broadcast_mul(&ones_below(1, device)?)?;
    let right = Tensor::cat(&[value.broadcast_mul(&beta)?, weighted_key.broadcast_mul(&total.exp()?)?], D::Minus1)?;
    let solved = solve_unit_lower(&system, &right)?;
    let own = solved.narrow(D::Minus1, 0, value_dim)?;
    let from_state = solved.narrow(D::Minus1, value_dim, key_dim)?;
    let scores = (query.matmul(&key.transpose(2, 3)?)? * &decay)?;
    let faded_query = query.broadcast_mul(&total.exp()?)?;
    let chunk_decay = total.narrow(2, CHUNK - 1, 1)?;
    let faded_key = key.broadcast_mul(&chunk_decay.broadcast_sub(&total)?.exp()?)?;

    let mut state = state.reshape((batch, key_dim, value_dim))?;
    let mut outputs = Vec::with_capacity(chunks);
    for chunk in 0..chunks {
        let at = |x: &Tensor| x.narrow(1, chunk, 1)?.squeeze(1)?.contiguous();
        let deltas = (at(&own)? - at(&from_state)?.matmul(&state)?)?;
        outputs.push((at(&faded_query)?.matmul(&state)? + at(&scores)?.matmul(&deltas)?)?);
        let kept = state.broadcast_mul(&at(&chunk_decay)?.exp()?)?;
        state = (kept + at(&faded_key)?.transpose(1, 2)?.matmul(&deltas)?)?;
    }
    let outputs = Tensor::cat(&outputs, 1)?.reshape((sequences, heads, chunks * CHUNK, value_dim))?.transpose(1, 2)?;
    let unpad = |(index, segment): (usize, &Range<usize>)| outputs.get(index)?.narrow(0, 0, segment.len());
    let outputs: Vec<Tensor> = segments.iter().enumerate().map(unpad).collect::<candle_core::Result<_>>()?;
    Ok((Tensor::cat(&outputs, 0)?, state.reshape((sequences, heads, key_dim, value_dim))?))
}

/// `[CHUNK, CHUNK]`: 1 where the row is at least `distance` below the diagonal, 0 elsewhere.
fn ones_below(distance: usize, device: &Device) -> candle_core::Result<Tensor> {
    let value = |i: usize| if i / CHUNK >= i % CHUNK + distance { 1.0_f32 } else { 0.0 };
    Tensor::from_vec((0..CHUNK * CHUNK).map(value).collect::<Vec<_>>(), (CHUNK, CHUNK), device)
}

/// Solves `(1 + L) X = B` for strictly lower triangular L by forward substitution, row by row: the product of powers
/// that would need fewer steps cancels catastrophically in f32 where neighbouring keys are alike.
fn solve_unit_lower(lower: &Tensor, right: &Tensor) -> candle_core::Result<Tensor> {
    let mut rows: Vec<Tensor> = vec![right.narrow(2, 0, 1)?];
    let mut solved = rows[0].clone();
    for row in 1..CHUNK {
        let coefficients = lower.narrow(2, row, 1)?.narrow(3, 0, row)?.contiguous()?;
        let next = (right.narrow(2, row, 1)? - coefficients.matmul(&solved)?)?;
        rows.push(next);
        solved = Tensor::cat(&rows, 2)?;
    }
    Ok(solved)
}
