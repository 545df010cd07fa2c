use candle_core::{DType, Device, Tensor};

use crate::checkpoint::Checkpoint;
use crate::error::Result;

/// A checkpoint seen from one place of the name tree, with the dtype and device that tensors are loaded to.
pub(crate) struct Loader<'a> {
    checkpoint: &'a Checkpoint<'a>,
    dtype: DType,
    device: &'a Device,
    prefix: String,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint<'a>, dtype: DType, device: &'a Device) -> Self {
        Self { checkpoint, dtype, device, prefix: String::new() }
    }

    /// The loader of a part: its names start with `part.`.
    pub(crate) fn part(&self, part: &str) -> Loader<'a> {
        Loader { prefix: format!("{}{part}.", self.prefix), ..*self }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.checkpoint.contains(&format!("{}{name}", self.prefix))
    }

    /// A tensor in the model's dtype.
    pub(crate) fn load(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.checkpoint.load(&format!("{}{name}", self.prefix), shape, self.dtype, self.device)
    }

    /// A tensor that is used in f32 whatever the model's dtype is.
    pub(crate) fn load_f32(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.checkpoint.load(&format!("{}{name}", self.prefix), shape, DType::F32, self.device)
    }
}
