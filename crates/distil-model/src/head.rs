use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use sha2::{Digest, Sha256};

use crate::LoadOptions;
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::cpu;
use crate::digest::hex;
use crate::error::{ModelError, Result};

/// Values hashed at a time.
const DIGEST_VALUES: usize = 1 << 20;

/// The matrix that turns final hidden states into logits, apart from its model, so that a teacher's logits can be made
/// again from its hidden states, a tile of the vocabulary at a time.
///
/// Cloning it copies no values.
#[derive(Debug, Clone)]
pub struct OutputHead {
    /// `[vocabulary, hidden]`
    weight: Tensor,
}

impl OutputHead {
    pub(crate) fn new(weight: Tensor) -> Self {
        Self { weight }
    }

    /// Loads the head of a model's folder and nothing else of it.
    ///
    /// # Errors
    ///
    /// As [`CausalLm::load`](crate::CausalLm::load), as far as the head is concerned.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self> {
        let config = ModelConfig::load(folder)?;
        let mut silent = |_| {};
        let checkpoint = Checkpoint::open(folder, &mut silent)?;
        Self::load_from(&checkpoint, &config, options)
    }

    fn load_from(checkpoint: &Checkpoint<'_>, config: &ModelConfig, options: &LoadOptions) -> Result<Self> {
        let name = if config.tie_word_embeddings { "embed_tokens.weight" } else { "lm_head.weight" };
        let shape = [config.vocab_size, config.hidden_size];
        Ok(Self::new(checkpoint.load(name, &shape, options.dtype, &options.device)?))
    }

    /// The head of a model whose embedding is loaded already.
    pub(crate) fn load_beside(
        embedding: &Tensor,
        checkpoint: &Checkpoint<'_>,
        config: &ModelConfig,
        options: &LoadOptions,
    ) -> Result<Self> {
        match config.tie_word_embeddings {
            true => Ok(Self::new(embedding.clone())),
            false => Self::load_from(checkpoint, config, options),
        }
    }

    /// Columns of the logits.
    pub fn vocab_size(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Width of a hidden state.
    pub fn hidden_size(&self) -> usize {
        self.weight.dims()[1]
    }

    /// The matrix, `[vocab_size, hidden_size]`, in the dtype and on the device it was loaded to.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Logits of some columns: `[positions, hidden_size]` gives `[positions, columns.len()]`, contiguous, in f32.
    ///
    /// Whatever dtype the model runs in, the product is made and kept in f32: a logit rounded to bf16 would move the
    /// divergence by more than models differ.
    ///
    /// # Errors
    ///
    /// The columns are not within the vocabulary, or the hidden states are of another width.
    pub fn logits_tile(&self, hidden: &Tensor, columns: Range<usize>) -> Result<Tensor> {
        if columns.start >= columns.end || columns.end > self.vocab_size() {
            return Err(ModelError::InvalidRequest(format!(
                "columns {columns:?} of a vocabulary of {}",
                self.vocab_size()
            )));
        }
        if hidden.rank() != 2 || hidden.dims()[1] != self.hidden_size() {
            let message =
                format!("hidden states of shape {:?} for a head of width {}", hidden.dims(), self.hidden_size());
            return Err(ModelError::InvalidRequest(message));
        }
        let tile = self.weight.narrow(0, columns.start, columns.len())?.to_dtype(DType::F32)?;
        Ok(cpu::times_transposed(&hidden.to_dtype(DType::F32)?.contiguous()?, &tile)?)
    }

    /// SHA-256, in hex, of the matrix's values as little-endian f32, row by row. The same for a head held in bf16 and
    /// in f32, as long as it came from bf16.
    ///
    /// # Errors
    ///
    /// The values cannot be copied from their device.
    pub fn digest(&self) -> Result<String> {
        let mut hasher = Sha256::new();
        let rows_at_a_time = (DIGEST_VALUES / self.hidden_size()).max(1);
        let mut row = 0;
        while row < self.vocab_size() {
            let rows = rows_at_a_time.min(self.vocab_size() - row);
            let values = self
                .weight
                .narrow(0, row, rows)?
                .to_device(&Device::Cpu)?
                .to_dtype(DType::F32)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
            row += rows;
        }
        Ok(hex(&hasher.finalize()))
    }
}
