use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::linear::Linear;
use super::{Keep, LayerCache, Pass};
use crate::config::{DeltaNetConfig, ModelConfig};
use crate::cpu;
use crate::delta_rule;
use crate::error::Result;
use crate::loader::Loader;

/// Gated DeltaNet, the linear attention of Qwen3.5: a causal convolution over queries, keys and values, then a state of
/// `[key_dim, value_dim]` a head, updated by the gated delta rule, and a norm gated by the input.
///
/// Yang et al., "Gated Delta Networks", arXiv 2412.06464. From the convolution to the norm everything is in f32.
pub(crate) struct DeltaNet {
    query_key_value: Linear,
    gate: Linear,
    beta: Linear,
    decay: Linear,
    output: Linear,
    /// `[kernel, channels]`, f32
    convolution: Tensor,
    /// `-exp(A_log)`, f32
    decay_rate: Tensor,
    /// f32
    decay_bias: Tensor,
    /// f32; not zero-centred, unlike the model's other norms
    norm_weight: Tensor,
    eps: f64,
    config: DeltaNetConfig,
}

impl DeltaNet {
    pub(crate) fn load(loader: &Loader<'_>, model: &ModelConfig, config: DeltaNetConfig) -> Result<Self> {
        let hidden = model.hidden_size;
        let value_width = config.value_heads * config.value_dim;
        let channels = channels(config);
        let convolution = loader.load_f32("conv1d.weight", &[channels, 1, config.kernel])?;
        Ok(Self {
            query_key_value: Linear::load(loader, "in_proj_qkv", hidden, channels, false)?,
            gate: Linear::load(loader, "in_proj_z", hidden, value_width, false)?,
            beta: Linear::load(loader, "in_proj_b", hidden, config.value_heads, false)?,
            decay: Linear::load(loader, "in_proj_a", hidden, config.value_heads, false)?,
            output: Linear::load(loader, "out_proj", value_width, hidden, false)?,
            convolution: convolution.squeeze(1)?.t()?.contiguous()?,
            decay_rate: loader.load_f32("A_log", &[config.value_heads])?.exp()?.neg()?,
            decay_bias: loader.load_f32("dt_bias", &[config.value_heads])?,
            norm_weight: loader.load_f32("norm.weight", &[config.value_dim])?,
            eps: model.rms_norm_eps,
            config,
        })
    }

    /// `[tokens, hidden]` to `[tokens, hidden]`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        pass: &Pass<'_>,
        cache: Option<&mut LayerCache>,
    ) -> candle_core::Result<Tensor> {
        let tokens = x.dim(0)?;
        let projected = self.query_key_value.forward(x)?.to_dtype(DType::F32)?;
        let beta = candle_nn::ops::sigmoid(&self.beta.forward(x)?)?.to_dtype(DType::F32)?;
        let decay = self.decay.forward(x)?.to_dtype(DType::F32)?.broadcast_add(&self.decay_bias)?;
        let log_decay = softplus(&decay)?.broadcast_mul(&self.decay_rate)?;

        let recalled = match (pass, cache) {
            (Pass::Prefill { segments, keep, .. }, cache) => {
                let mixed = if cpu::is_fast(&projected) {
                    cpu::convolution::causal_silu(&projected, &self.convolution, segments)?
                } else {
                    causal_silu(&projected, &self.convolution, segments)?
                };
                let state = self.zero_state(segments.len(), x.device())?;
                let (recalled, state) = self.delta_rule(&mixed, &beta, &log_decay, &state, segments)?;
                if let (Some(keep), Some(LayerCache::DeltaNet(cache))) = (keep, cache) {
                    cache.fill(&projected, &state, segments, keep)?;
                }
                recalled
            }
            (Pass::Decode { .. }, Some(LayerCache::DeltaNet(cache))) => {
                let mixed = cache.convolve(&projected, &self.convolution)?;
                let segments: Vec<Range<usize>> = (0..tokens).map(|row| row..row + 1).collect();
                let (recalled, state) = self.delta_rule(&mixed, &beta, &log_decay, &cache.state, &segments)?;
                cache.state = state;
                recalled
            }
            (Pass::Decode { .. }, _) => candle_core::bail!("decoding without a recurrent state"),
        };
        let gate = self.gate.forward(x)?.reshape((tokens, self.config.value_heads, self.config.value_dim))?;
        let normed = self.gated_norm(&recalled, &gate)?;
        self.output.forward(&normed.reshape((tokens, self.config.value_heads * self.config.value_dim))?)
    }

    /// The recurrence over whole segments: what is recalled, `[tokens, value heads, value_dim]`, and the new state.
    fn delta_rule(
        &self,
        mixed: &Tensor,
        beta: &Tensor,
        log_decay: &Tensor,
        state: &Tensor,
        segments: &[Range<usize>],
    ) -> candle_core::Result<(Tensor, Tensor)> {
        if cpu::is_fast(mixed) && cpu::is_fast(state) {
            let recalled = cpu::delta_rule::run(mixed, beta, log_decay, state, segments, self.config)?;
            return Ok((recalled, state.clone()));
        }
        let inputs = delta_rule::Inputs::split(mixed, beta, log_decay, self.config)?;
        match segments.iter().all(|segment| segment.len() == 1) {
            true => delta_rule::recurrent_step(&inputs, state),
            false => delta_rule::chunked(&inputs, state, segments),
        }
    }

    fn gated_norm(&self, x: &Tensor, gate: &Tensor) -> candle_core::Result<Tensor> {
        if cpu::is_fast(x) && cpu::is_fast(gate) {
            return cpu::elementwise::gated_rms_norm(x, gate, &self.norm_weight, self.eps as f32);
        }
        let normed = candle_nn::ops::rms_norm(&x.contiguous()?, &self.norm_weight, self.eps as f32)?;
        (normed * gate.to_dtype(DType::F32)?.silu()?)?.to_dtype(gate.dtype())
    }

    fn zero_state(&self, sequences: usize, device: &Device) -> candle_core::Result<Tensor> {
        let DeltaNetConfig { value_heads, key_dim, value_dim, .. } = self.config;
        Tensor::zeros((sequences, value_heads, key_dim, value_dim), DType::F32, device)
    }
}

fn channels(config: DeltaNetConfig) -> usize {
    2 * config.key_heads * config.key_dim + config.value_heads * config.value_dim
}

/// `ln(1 + e^x)` without overflow, to some units in the last place also where `e^x` is lost beside 1: with `e = e^-|x|` and
/// `u = 1 + e` as it is rounded, `ln(1 + e)` is `ln(u)` less the part of `u - 1` that is not `e`, by the slope there.
/// Heads that forget slowly live there.
fn softplus(x: &Tensor) -> candle_core::Result<Tensor> {
    let small = x.abs()?.neg()?.exp()?;
    let rounded = (&small + 1.0)?;
    let lost = (((&rounded - 1.0)? - small)? / &rounded)?;
    x.relu()? + (rounded.log()? - lost)?
}

/// Causal depthwise convolution and SiLU in tensor operations: shifted products, since candle's grouped convolution
/// runs channel by channel.
pub(crate) fn causal_silu(x: &Tensor, weight: &Tensor, segments: &[Range<usize>]) -> candle_core::Result<Tensor> {
    let kernel = weight.dim(0)?;
    let mut parts = Vec::with_capacity(segments.len());
    for segment in segments {
        let padded = x.narrow(0, segment.start, segment.len())?.pad_with_zeros(0, kernel - 1, 0)?;
        let mut sum = padded.narrow(0, 0, segment.len())?.broadcast_mul(&weight.get(0)?)?;
        for tap in 1..kernel {
            sum = (sum + padded.narrow(0, tap, segment.len())?.broadcast_mul(&weight.get(tap)?)?)?;
        }
        parts.push(sum);
    }
    Tensor::cat(&parts, 0)?.silu()
}

/// What a Gated DeltaNet layer remembers of each sequence.
pub(crate) struct DeltaNetCache {
    /// The newest inputs of the convolution, `[sequences, kernel - 1, channels]`, f32.
    inputs: Tensor,
    /// `[sequences, value heads, key_dim, value_dim]`, f32.
    state: Tensor,
}

impl DeltaNetCache {
    pub(crate) fn new(sequences: usize, config: DeltaNetConfig, device: &Device) -> candle_core::Result<Self> {
        let DeltaNetConfig { value_heads, key_dim, value_dim, kernel, .. } = config;
        Ok(Self {
            inputs: Tensor::zeros((sequences, kernel - 1, channels(config)), DType::F32, device)?,
            state: Tensor::zeros((sequences, value_heads, key_dim, value_dim), DType::F32, device)?,
        })
    }

    fn fill(
        &mut self,
        projected: &Tensor,
        state: &Tensor,
        segments: &[Range<usize>],
        keep: &Keep,
    ) -> candle_core::Result<()> {
        self.state.slice_set(&state.contiguous()?, 0, keep.first_row)?;
        let remembered = self.inputs.dim(1)?;
        for (index, segment) in segments.iter().enumerate() {
            let newest = remembered.min(segment.len());
            if newest > 0 {
                let inputs = projected.narrow(0, segment.end - newest, newest)?.unsqueeze(0)?.contiguous()?;
                self.inputs.narrow(0, keep.first_row + index, 1)?.slice_set(&inputs, 1, remembered - newest)?;
            }
        }
        Ok(())
    }

    /// Takes one input of each sequence, `[sequences, channels]`, and gives the convolution's output after SiLU.
    fn convolve(&mut self, input: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
        let window = Tensor::cat(&[&self.inputs, &input.unsqueeze(1)?], 1)?;
        let sum = window.broadcast_mul(weight)?.sum(1)?;
        self.inputs = window.narrow(1, 1, self.inputs.dim(1)?)?.contiguous()?;
        sum.silu()
    }

    pub(crate) fn select(&mut self, rows: &Tensor) -> candle_core::Result<()> {
        self.inputs = self.inputs.index_select(rows, 0)?;
        self.state = self.state.index_select(rows, 0)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_is_exact_where_it_is_tiny() {
        let inputs: Vec<f32> = (-300..300).map(|step| step as f32 * 0.1).chain([-80.0, -40.0, 50.0, 90.0]).collect();
        let found = softplus(&Tensor::new(inputs.as_slice(), &Device::Cpu).unwrap()).unwrap();
        for (x, found) in inputs.iter().zip(found.to_vec1::<f32>().unwrap()) {
            let expected = if *x > 40.0 { f64::from(*x) } else { f64::from(*x).exp().ln_1p() };
            let error = (f64::from(found) - expected).abs() / expected;
            assert!(error < 5e-7, "softplus({x}) is {found}, not {expected}: off by {error:.1e}");
        }
    }
}
