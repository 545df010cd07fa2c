//! Causal language models on [candle](candle_core), for measuring rather than for chatting: final hidden states of every
//! position, an output head that yields logits a tile of the vocabulary at a time, and generation of many prompts at
//! once.
//!
//! ```no_run
//! use distil_model::{CausalLm, Generation, HiddenStatesRequest, LoadOptions, Sampling, Tokenizer};
//! # fn main() -> Result<(), distil_model::ModelError> {
//! let folder = std::path::Path::new("teacher");
//! let tokenizer = Tokenizer::load(folder)?;
//! let model = CausalLm::load(folder, &LoadOptions::cpu_f32())?;
//!
//! let prompt = tokenizer.encode("Call me Ishmael. Some years ago")?;
//! let generation = Generation {
//!     max_new_tokens: 64,
//!     sampling: Sampling::Greedy,
//!     end_of_sequence: model.config().end_of_sequence.clone(),
//!     cache_budget_bytes: 1 << 30,
//! };
//! let continuation = model.generate(&[&prompt], &generation, &mut |_| {})?.remove(0);
//!
//! // The states that the continuation's tokens were predicted from, and the logits of the first 4,096 ids.
//! let tokens = [prompt.as_slice(), &continuation].concat();
//! let positions = prompt.len() - 1..tokens.len() - 1;
//! let hidden = model.hidden_states(&[HiddenStatesRequest { tokens: &tokens, positions }])?.remove(0);
//! let logits = model.head().logits_tile(&hidden, 0..4096)?;
//! # Ok(()) }
//! ```
//!
//! # What is supported
//!
//! Qwen3.5 (dense, mixture of experts, and the text part of the vision wrapper), Qwen3, Qwen3-MoE, Qwen2 and Llama,
//! from a folder with `config.json`, in the form that transformers 4 or 5 writes, and safetensors weights in bf16, f16
//! or f32, in one file or in shards. Nothing else of a folder is read, and nothing of it is run. Quantised weights,
//! pickles, GGUF and adapters are refused.
//!
//! # Precision
//!
//! f32 on the CPU is the precision of record. Whatever dtype a model runs in, these are in f32: norms, the gated delta
//! rule and its state, `A_log`, the router of a mixture of experts, attention's softmax, rotary angles and logits.
//!
//! # Memory
//!
//! Weights are mapped and converted tensor by tensor; the mapped pages are given back at once, so loading takes the
//! memory of the converted model and no more. Logits exist a tile at a time.
//!
//! # Threads
//!
//! Work runs on rayon's global pool. candle sizes its products by `RAYON_NUM_THREADS`: set it before the first call.
//!
//! # Features
//!
//! - `cuda`: runs on NVIDIA devices too. Building with it needs the CUDA toolkit.

mod checkpoint;
mod config;
mod cpu;
mod delta_rule;
mod digest;
mod error;
mod generate;
mod head;
mod layers;
mod loader;
mod model;
mod sampling;
mod tokenizer;

pub use candle_core::{DType, Device, Tensor};

pub use checkpoint::ByteProgress;
pub use config::{Architecture, LayerType, ModelConfig};
pub use digest::{FileDigest, weights_digest};
pub use error::ModelError;
pub use generate::{Generation, GenerationProgress};
pub use head::OutputHead;
pub use model::{CausalLm, HiddenStatesRequest, LoadOptions};
pub use sampling::Sampling;
pub use tokenizer::Tokenizer;
