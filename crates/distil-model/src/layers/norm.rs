use candle_core::{DType, Tensor};

use crate::cpu;
use crate::error::Result;
use crate::loader::Loader;

/// `x / sqrt(mean(x²) + eps) · w` over the last dimension, computed in f32 and given in the dtype of `x`.
pub(crate) struct RmsNorm {
    /// In f32: 1 + w rounded to bf16 would lose what w says.
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// `zero_centred` weights are stored less one, as Qwen3.5 does.
    pub(crate) fn load(loader: &Loader<'_>, name: &str, width: usize, eps: f64, zero_centred: bool) -> Result<Self> {
        let weight = loader.load_f32(&format!("{name}.weight"), &[width])?;
        let weight = if zero_centred { (weight + 1.0)? } else { weight };
        Ok(Self { weight, eps: eps as f32 })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        if cpu::is_fast(x) {
            return cpu::elementwise::rms_norm(x, &self.weight, self.eps);
        }
        let wide = x.to_dtype(DType::F32)?.contiguous()?;
        candle_nn::ops::rms_norm(&wide, &self.weight, self.eps)?.to_dtype(x.dtype())
    }
}
