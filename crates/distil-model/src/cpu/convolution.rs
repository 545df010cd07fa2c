use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::simd::{exp, fma, multiversion};
use super::with_values;

/// Causal depthwise convolution and SiLU of packed sequences: `x` is `[tokens, channels]`, `weight` `[kernel, channels]`;
/// inputs before a sequence's start are zeros.
pub(crate) fn causal_silu(x: &Tensor, weight: &Tensor, segments: &[Range<usize>]) -> candle_core::Result<Tensor> {
    let channels = x.dim(1)?;
    let out = with_values(x, |x| {
        with_values(weight, |weight| {
            let mut out = vec![0.0; x.len()];
            let mut starts = vec![0; x.len() / channels];
            for segment in segments {
                starts[segment.clone()].fill(segment.start);
            }
            out.par_chunks_mut(channels).enumerate().with_min_len(8).for_each(|(token, out)| {
                let kernel = weight.len() / channels;
                let oldest = starts[token].max((token + 1).saturating_sub(kernel));
                let inputs = &x[oldest * channels..(token + 1) * channels];
                convolve(inputs, &weight[weight.len() - inputs.len()..], out);
            });
            Ok(out)
        })
    })?;
    Tensor::from_vec(out, x.shape(), x.device())
}

multiversion! {
    /// `silu(Σ inputs · weight)` over the rows of both.
    fn convolve(inputs: &[f32], weight: &[f32], out: &mut [f32]) {
        let channels = out.len();
        for (inputs, weight) in inputs.chunks_exact(channels).zip(weight.chunks_exact(channels)) {
            for i in 0..channels {
                out[i] = fma::<FMA>(inputs[i], weight[i], out[i]);
            }
        }
        for value in out.iter_mut() {
            *value /= 1.0 + exp::<FMA>(-*value);
        }
    }
}
