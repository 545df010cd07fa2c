use std::ops::Range;

use candle_core::{D, DType, Device, Tensor};

use super::linear::Linear;
use super::norm::RmsNorm;
use super::{Keep, LayerCache, Pass, Slots};
use crate::config::{AttentionConfig, LayerType, ModelConfig};
use crate::cpu;
use crate::error::Result;
use crate::loader::Loader;

/// Queries attended to at a time where the portable path materialises their scores.
const QUERY_BLOCK: usize = 256;

/// Causal softmax attention with grouped key-value heads.
pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    query_norm: Option<RmsNorm>,
    key_norm: Option<RmsNorm>,
    shape: AttentionShape,
    output_gate: bool,
}

/// The sizes that the products and the softmax need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape {
    pub(crate) query_heads: usize,
    pub(crate) key_value_heads: usize,
    pub(crate) head_dim: usize,
    /// How many of the newest positions are seen; `usize::MAX` for all.
    pub(crate) window: usize,
}

impl AttentionShape {
    pub(crate) fn scale(&self) -> f32 {
        (1.0 / (self.head_dim as f64).sqrt()) as f32
    }

    /// Query heads that share a key-value head.
    pub(crate) fn group(&self) -> usize {
        self.query_heads / self.key_value_heads
    }
}

impl Attention {
    pub(crate) fn load(loader: &Loader<'_>, model: &ModelConfig, mixer: LayerType) -> Result<Self> {
        let AttentionConfig { query_heads, key_value_heads, head_dim, query_key_value_bias: bias, .. } =
            model.attention;
        let hidden = model.hidden_size;
        let query_width = query_heads * head_dim;
        let key_value_width = key_value_heads * head_dim;
        let gate_factor = if model.attention.output_gate { 2 } else { 1 };
        let norm = |name: &str| -> Result<Option<RmsNorm>> {
            if !model.attention.query_key_norm {
                return Ok(None);
            }
            RmsNorm::load(loader, name, head_dim, model.rms_norm_eps, model.zero_centred_norms).map(Some)
        };
        let window = match mixer {
            LayerType::SlidingAttention { window } => window,
            LayerType::FullAttention | LayerType::LinearAttention => usize::MAX,
        };
        Ok(Self {
            query: Linear::load(loader, "q_proj", hidden, query_width * gate_factor, bias)?,
            key: Linear::load(loader, "k_proj", hidden, key_value_width, bias)?,
            value: Linear::load(loader, "v_proj", hidden, key_value_width, bias)?,
            output: Linear::load(loader, "o_proj", query_width, hidden, model.attention.output_bias)?,
            query_norm: norm("q_norm")?,
            key_norm: norm("k_norm")?,
            shape: AttentionShape { query_heads, key_value_heads, head_dim, window },
            output_gate: model.attention.output_gate,
        })
    }

    /// `[tokens, hidden]` to `[tokens, hidden]`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        pass: &Pass<'_>,
        cache: Option<&mut LayerCache>,
    ) -> candle_core::Result<Tensor> {
        let AttentionShape { query_heads, key_value_heads, head_dim, .. } = self.shape;
        let tokens = x.dim(0)?;
        let query = self.query.forward(x)?;
        let (query, gate) = if self.output_gate {
            // Per head: first the query, then the gate.
            let both = query.reshape((tokens, query_heads, 2 * head_dim))?;
            let gate =
                both.narrow(D::Minus1, head_dim, head_dim)?.contiguous()?.reshape((tokens, query_heads * head_dim))?;
            (both.narrow(D::Minus1, 0, head_dim)?.contiguous()?, Some(gate))
        } else {
            (query.reshape((tokens, query_heads, head_dim))?, None)
        };
        let key = self.key.forward(x)?.reshape((tokens, key_value_heads, head_dim))?;
        let value = self.value.forward(x)?.reshape((tokens, key_value_heads, head_dim))?;
        let query = normalize(self.query_norm.as_ref(), query)?;
        let key = normalize(self.key_norm.as_ref(), key)?;
        let query = pass.rotary().apply(&query)?;
        let key = pass.rotary().apply(&key)?;

        let mixed = match (pass, cache) {
            (Pass::Prefill { segments, keep, .. }, cache) => {
                if let (Some(keep), Some(LayerCache::KeyValue(cache))) = (keep, cache) {
                    cache.fill(&key, &value, segments, keep)?;
                }
                if cpu::is_fast(&query) {
                    cpu::attention::prefill(&query, &key, &value, segments, self.shape)?
                } else {
                    prefill(&query, &key, &value, segments, self.shape)?
                }
            }
            (Pass::Decode { slots, .. }, Some(LayerCache::KeyValue(cache))) => {
                cache.append(&key, &value, slots.end)?;
                if cpu::is_fast(&query) {
                    cpu::attention::decode(&query, &cache.key, &cache.value, slots, self.shape)?
                } else {
                    decode(&query, &cache.key, &cache.value, slots, self.shape)?
                }
            }
            (Pass::Decode { .. }, _) => candle_core::bail!("decoding without a key-value cache"),
        };
        let mixed = mixed.reshape((tokens, query_heads * head_dim))?;
        let mixed = match gate {
            Some(gate) if cpu::is_fast(&mixed) => cpu::elementwise::sigmoid_mul(&mixed, &gate)?,
            Some(gate) => (mixed * candle_nn::ops::sigmoid(&gate)?)?,
            None => mixed,
        };
        self.output.forward(&mixed)
    }
}

fn normalize(norm: Option<&RmsNorm>, x: Tensor) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}

/// Keys and values of a batch, `[sequences, key-value heads, slots, head_dim]`.
pub(crate) struct KeyValueCache {
    key: Tensor,
    value: Tensor,
}

impl KeyValueCache {
    pub(crate) fn new(
        sequences: usize,
        slots: usize,
        config: &AttentionConfig,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let shape = (sequences, config.key_value_heads, slots, config.head_dim);
        Ok(Self { key: Tensor::zeros(shape, dtype, device)?, value: Tensor::zeros(shape, dtype, device)? })
    }

    /// Writes whole sequences, `[tokens, heads, head_dim]`, so that each ends before slot `keep.end`.
    fn fill(
        &mut self,
        key: &Tensor,
        value: &Tensor,
        segments: &[Range<usize>],
        keep: &Keep,
    ) -> candle_core::Result<()> {
        for (index, segment) in segments.iter().enumerate() {
            for (cache, new) in [(&self.key, key), (&self.value, value)] {
                let new = new.narrow(0, segment.start, segment.len())?.transpose(0, 1)?.unsqueeze(0)?.contiguous()?;
                cache.narrow(0, keep.first_row + index, 1)?.slice_set(&new, 2, keep.end - segment.len())?;
            }
        }
        Ok(())
    }

    /// Writes one token of each sequence, `[sequences, heads, head_dim]`, into the slot before `end`.
    fn append(&mut self, key: &Tensor, value: &Tensor, end: usize) -> candle_core::Result<()> {
        for (cache, new) in [(&self.key, key), (&self.value, value)] {
            cache.slice_set(&new.unsqueeze(2)?.contiguous()?, 2, end - 1)?;
        }
        Ok(())
    }

    pub(crate) fn select(&mut self, rows: &Tensor) -> candle_core::Result<()> {
        self.key = self.key.index_select(rows, 0)?;
        self.value = self.value.index_select(rows, 0)?;
        Ok(())
    }
}

/// Attention of whole sequences with tensor operations alone, for any device and dtype: a block of queries at a time,
/// against the keys that the block can see.
pub(crate) fn prefill(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    segments: &[Range<usize>],
    shape: AttentionShape,
) -> candle_core::Result<Tensor> {
    let AttentionShape { query_heads, key_value_heads, head_dim, window } = shape;
    let mut blocks = Vec::new();
    for segment in segments {
        let heads_first = |x: &Tensor| x.narrow(0, segment.start, segment.len())?.transpose(0, 1)?.contiguous();
        let (query, key, value) = (heads_first(query)?, heads_first(key)?, heads_first(value)?);
        for start in (0..segment.len()).step_by(QUERY_BLOCK) {
            let rows = QUERY_BLOCK.min(segment.len() - start);
            let first_key = (start + 1).saturating_sub(window);
            let keys = start + rows - first_key;
            // Query heads of a group share their keys: [key-value heads, group · rows, head_dim].
            let query = query.narrow(1, start, rows)?.contiguous()?.reshape((
                key_value_heads,
                shape.group() * rows,
                head_dim,
            ))?;
            let key = key.narrow(1, first_key, keys)?;
            let value = value.narrow(1, first_key, keys)?.contiguous()?;
            let scores = (query.matmul(&key.transpose(1, 2)?)? * f64::from(shape.scale()))?.to_dtype(DType::F32)?;
            let scores = scores.reshape((key_value_heads, shape.group(), rows, keys))?;
            let mask = causal_mask(start, rows, first_key, keys, window, query.device())?;
            let weights = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(&mask)?)?.to_dtype(value.dtype())?;
            let mixed = weights.reshape((key_value_heads, shape.group() * rows, keys))?.matmul(&value)?;
            blocks.push(mixed.reshape((query_heads, rows, head_dim))?.transpose(0, 1)?.contiguous()?);
        }
    }
    Tensor::cat(&blocks, 0)
}

/// 0 where a query sees a key, minus infinity elsewhere: `[rows, keys]`.
fn causal_mask(
    first_query: usize,
    rows: usize,
    first_key: usize,
    keys: usize,
    window: usize,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let mut mask = Vec::with_capacity(rows * keys);
    for query in first_query..first_query + rows {
        mask.extend(
            (first_key..first_key + keys)
                .map(|key| if key <= query && query - key < window { 0.0 } else { f32::NEG_INFINITY }),
        );
    }
    Tensor::from_vec(mask, (rows, keys), device)
}

/// Attention of one new token of each sequence with tensor operations alone.
pub(crate) fn decode(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    slots: &Slots,
    shape: AttentionShape,
) -> candle_core::Result<Tensor> {
    let AttentionShape { query_heads, key_value_heads, head_dim, window } = shape;
    let sequences = slots.starts.len();
    let first = |start: usize| start.max(slots.end.saturating_sub(window));
    let oldest = slots.starts.iter().map(|&start| first(start)).min().unwrap_or(0);
    let seen = slots.end - oldest;
    let query = query.reshape((sequences, key_value_heads, shape.group(), head_dim))?;
    let key = key.narrow(2, oldest, seen)?.contiguous()?;
    let value = value.narrow(2, oldest, seen)?.contiguous()?;
    let mut mask = Vec::with_capacity(sequences * seen);
    for &start in &slots.starts {
        mask.extend((oldest..slots.end).map(|slot| if slot >= first(start) { 0.0 } else { f32::NEG_INFINITY }));
    }
    let mask = Tensor::from_vec(mask, (sequences, 1, 1, seen), query.device())?;
    let scores = (query.matmul(&key.transpose(2, 3)?)? * f64::from(shape.scale()))?.to_dtype(DType::F32)?;
    let weights = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(&mask)?)?.to_dtype(value.dtype())?;
    weights.matmul(&value)?.reshape((sequences, query_heads, head_dim))
}
