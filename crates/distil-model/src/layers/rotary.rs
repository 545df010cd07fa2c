use candle_core::{D, DType, Device, Tensor};

use crate::config::{RotaryConfig, RotaryScaling};
use crate::cpu;

/// Rotary position embedding: how fast each pair of dimensions turns.
pub(crate) struct Rotary {
    frequencies: Vec<f32>,
}

impl Rotary {
    pub(crate) fn new(config: &RotaryConfig) -> Self {
        let half = config.rotary_dim / 2;
        let frequency = |pair: usize| {
            scale(config.theta.powf(-((2 * pair) as f64) / config.rotary_dim as f64), &config.scaling) as f32
        };
        Self { frequencies: (0..half).map(frequency).collect() }
    }

    /// Cosines and sines for the given positions.
    ///
    /// The angle is the f32 product of position and frequency, since that is what the models were trained with: the
    /// exact angle differs from it by up to 6e-5 at position 1,000.
    pub(crate) fn table(
        &self,
        positions: impl Iterator<Item = usize>,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<RotaryTable> {
        let half = self.frequencies.len();
        let angles: Vec<f32> =
            positions.flat_map(|position| self.frequencies.iter().map(move |f| position as f32 * f)).collect();
        let tokens = angles.len() / half;
        let tensor = |f: fn(f64) -> f64| -> candle_core::Result<Tensor> {
            let values: Vec<f32> = angles.iter().map(|&angle| f(f64::from(angle)) as f32).collect();
            Tensor::from_vec(values, (tokens, 1, half), device)?.to_dtype(dtype)
        };
        Ok(RotaryTable { cos: tensor(f64::cos)?, sin: tensor(f64::sin)?, half })
    }
}

/// Llama 3.1's stretch leaves fast pairs as they are, slows slow ones by `factor`, and blends between.
fn scale(frequency: f64, scaling: &RotaryScaling) -> f64 {
    match *scaling {
        RotaryScaling::None => frequency,
        RotaryScaling::Linear { factor } => frequency / factor,
        RotaryScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_positions } => {
            let turns = original_positions * frequency / std::f64::consts::TAU;
            if turns < low_frequency_factor {
                frequency / factor
            } else if turns > high_frequency_factor {
                frequency
            } else {
                let smooth = (turns - low_frequency_factor) / (high_frequency_factor - low_frequency_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}

/// Cosines and sines of one pass, `[tokens, 1, rotary_dim / 2]`.
pub(crate) struct RotaryTable {
    cos: Tensor,
    sin: Tensor,
    half: usize,
}

impl RotaryTable {
    /// Turns `[tokens, heads, head_dim]`: dimension i with dimension i + rotary_dim/2; those beyond rotary_dim pass.
    pub(crate) fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        if cpu::is_fast(x) {
            return cpu::elementwise::rotary(x, &self.cos, &self.sin);
        }
        let head_dim = x.dim(D::Minus1)?;
        let first = x.narrow(D::Minus1, 0, self.half)?;
        let second = x.narrow(D::Minus1, self.half, self.half)?;
        let turned_first = (first.broadcast_mul(&self.cos)? - second.broadcast_mul(&self.sin)?)?;
        let turned_second = (second.broadcast_mul(&self.cos)? + first.broadcast_mul(&self.sin)?)?;
        let rest = head_dim - 2 * self.half;
        if rest == 0 {
            return Tensor::cat(&[turned_first, turned_second], D::Minus1);
        }
        let rest = x.narrow(D::Minus1, 2 * self.half, rest)?;
        Tensor::cat(&[turned_first, turned_second, rest], D::Minus1)
    }
}
