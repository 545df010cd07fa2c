use candle_core::Tensor;

use crate::cpu;
use crate::error::Result;
use crate::loader::Loader;

/// `y = x Wᵀ (+ b)` on packed tokens.
pub(crate) struct Linear {
    /// `[out, in]`
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(crate) fn load(loader: &Loader<'_>, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = loader.load(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = if bias { Some(loader.load(&format!("{name}.bias"), &[outputs])?) } else { None };
        Ok(Self { weight, bias })
    }

    pub(crate) fn from_weight(weight: Tensor) -> Self {
        Self { weight, bias: None }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = cpu::times_transposed(x, &self.weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
