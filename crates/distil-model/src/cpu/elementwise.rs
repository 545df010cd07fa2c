use candle_core::{D, Tensor};
use rayon::prelude::*;

use super::simd::{dot, exp, fma, multiversion};
use super::with_values;

/// Values worked on by one task.
const CHUNK: usize = 1 << 14;

/// `silu(gate) · up`
pub(crate) fn silu_mul(gate: &Tensor, up: &Tensor) -> candle_core::Result<Tensor> {
    zip(gate, up, silu_mul_values)
}

/// `x · sigmoid(gate)`
pub(crate) fn sigmoid_mul(x: &Tensor, gate: &Tensor) -> candle_core::Result<Tensor> {
    zip(x, gate, sigmoid_mul_values)
}

fn zip(a: &Tensor, b: &Tensor, f: fn(&[f32], &[f32], &mut [f32])) -> candle_core::Result<Tensor> {
    let out = with_values(a, |a| {
        with_values(b, |b| {
            let mut out = vec![0.0; a.len()];
            out.par_chunks_mut(CHUNK)
                .zip(a.par_chunks(CHUNK))
                .zip(b.par_chunks(CHUNK))
                .for_each(|((out, a), b)| f(a, b, out));
            Ok(out)
        })
    })?;
    Tensor::from_vec(out, a.shape(), a.device())
}

multiversion! {
    fn silu_mul_values(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((gate, up), out) in gate.iter().zip(up).zip(out) {
            *out = gate / (1.0 + exp::<FMA>(-gate)) * up;
        }
    }
}

multiversion! {
    fn sigmoid_mul_values(x: &[f32], gate: &[f32], out: &mut [f32]) {
        for ((x, gate), out) in x.iter().zip(gate).zip(out) {
            *out = x / (1.0 + exp::<FMA>(-gate));
        }
    }
}

/// `x / sqrt(mean(x²) + eps) · weight · silu(gate)` over the last dimension.
pub(crate) fn gated_rms_norm(x: &Tensor, gate: &Tensor, weight: &Tensor, eps: f32) -> candle_core::Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let out = with_values(x, |x| {
        with_values(gate, |gate| {
            with_values(weight, |weight| {
                let mut out = vec![0.0; x.len()];
                let chunk = (CHUNK / width).max(1) * width;
                out.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).zip(gate.par_chunks(chunk)).for_each(
                    |((out, x), gate)| {
                        gated_rms_norm_rows(x, gate, weight, eps, out);
                    },
                );
                Ok(out)
            })
        })
    })?;
    Tensor::from_vec(out, x.shape(), x.device())
}

multiversion! {
    fn gated_rms_norm_rows(x: &[f32], gate: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let width = weight.len();
        for ((x, gate), out) in x.chunks_exact(width).zip(gate.chunks_exact(width)).zip(out.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot::<FMA>(x, x) / width as f32 + eps).sqrt();
            for i in 0..width {
                out[i] = x[i] * scale * weight[i] * (gate[i] / (1.0 + exp::<FMA>(-gate[i])));
            }
        }
    }
}

/// `x / sqrt(mean(x²) + eps) · weight` over the last dimension.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> candle_core::Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let out = with_values(x, |x| {
        with_values(weight, |weight| {
            let mut out = vec![0.0; x.len()];
            let chunk = (CHUNK / width).max(1) * width;
            out.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(out, x)| rms_norm_rows(x, weight, eps, out));
            Ok(out)
        })
    })?;
    Tensor::from_vec(out, x.shape(), x.device())
}

multiversion! {
    fn rms_norm_rows(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let width = weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot::<FMA>(x, x) / width as f32 + eps).sqrt();
            for i in 0..width {
                out[i] = x[i] * scale * weight[i];
            }
        }
    }
}

/// Rotary embedding of `[tokens, heads, head_dim]`, with `cos` and `sin` of `[tokens, 1, half]`: dimension i turns with
/// dimension i + half, those from 2 · half on pass.
pub(crate) fn rotary(x: &Tensor, cos: &Tensor, sin: &Tensor) -> candle_core::Result<Tensor> {
    let (_, heads, head_dim) = x.dims3()?;
    let half = cos.dim(D::Minus1)?;
    let out = with_values(x, |x| {
        with_values(cos, |cos| {
            with_values(sin, |sin| {
                let mut out = x.to_vec();
                let token = heads * head_dim;
                out.par_chunks_mut(token)
                    .zip(cos.par_chunks(half))
                    .zip(sin.par_chunks(half))
                    .with_min_len(16)
                    .for_each(|((out, cos), sin)| rotate_token(out, head_dim, cos, sin));
                Ok(out)
            })
        })
    })?;
    Tensor::from_vec(out, x.shape(), x.device())
}

multiversion! {
    fn rotate_token(token: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        for head in token.chunks_exact_mut(head_dim) {
            let (first, rest) = head.split_at_mut(half);
            let second = &mut rest[..half];
            for i in 0..half {
                let (a, b) = (first[i], second[i]);
                first[i] = fma::<FMA>(a, cos[i], -(b * sin[i]));
                second[i] = fma::<FMA>(b, cos[i], a * sin[i]);
            }
        }
    }
}
