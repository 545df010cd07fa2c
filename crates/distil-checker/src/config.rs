//! `config.json` and `generation_config.json`, read where transformers reads them, into the sizes from which every
//! tensor of the model follows. What is refused here is what the model loader of this workspace refuses, field by field;
//! all of it is reported, not the first.

mod fields;
mod parse;

use std::fmt;

use serde_json::{Map, Value};

use crate::json;

pub(crate) use fields::ConfigProblem;

/// The largest configuration file that is read; real ones have a few kilobytes.
pub const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// The most values of a configuration file, so that parsing it takes a few megabytes at most.
pub(crate) const MAX_CONFIG_VALUES: usize = 100_000;
/// The most layers of a model.
pub(crate) const MAX_LAYERS: u64 = 1024;
/// No size in a configuration may be above this; the largest real one is a vocabulary of some 262,000.
pub(crate) const MAX_SIZE: u64 = 1 << 24;
/// The most values that a token is widened to at once: heads times their dimension, the middle of a feed-forward layer.
pub(crate) const MAX_WIDTH: u64 = 1 << 18;
/// The most values of one sequence's state in a Gated DeltaNet layer.
pub(crate) const MAX_STATE: u64 = 1 << 22;
/// The most experts of a layer.
pub(crate) const MAX_EXPERTS: u64 = 1 << 12;

/// The families of models that can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// `llama`
    Llama,
    /// `qwen2`
    Qwen2,
    /// `qwen3`
    Qwen3,
    /// `qwen3_moe`
    Qwen3Moe,
    /// `qwen3_5_text`, and the text part of the wrapper `qwen3_5`
    Qwen3_5,
    /// `qwen3_5_moe_text`, and the text part of the wrapper `qwen3_5_moe`
    Qwen3_5Moe,
}

impl Architecture {
    pub(crate) const SUPPORTED: &str = "llama, qwen2, qwen3, qwen3_moe, qwen3_5(_text) and qwen3_5_moe(_text)";

    fn parse(model_type: &str) -> Option<Self> {
        Some(match model_type {
            "llama" => Self::Llama,
            "qwen2" => Self::Qwen2,
            "qwen3" => Self::Qwen3,
            "qwen3_moe" => Self::Qwen3Moe,
            "qwen3_5" | "qwen3_5_text" => Self::Qwen3_5,
            "qwen3_5_moe" | "qwen3_5_moe_text" => Self::Qwen3_5Moe,
            _ => return None,
        })
    }

    pub(crate) fn is_qwen3_5(self) -> bool {
        matches!(self, Self::Qwen3_5 | Self::Qwen3_5Moe)
    }

    fn is_moe(self) -> bool {
        matches!(self, Self::Qwen3Moe | Self::Qwen3_5Moe)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3_moe",
            Self::Qwen3_5 => "qwen3_5",
            Self::Qwen3_5Moe => "qwen3_5_moe",
        })
    }
}

/// The sizes of a causal language model, as its `config.json` gives them.
///
/// ```
/// use distil_checker::ModelConfig;
///
/// let json = br#"{"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128,
///     "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}"#;
/// let config = ModelConfig::from_json(json)?;
/// assert_eq!(config.parameters().total, 139_584);
/// assert!(ModelConfig::from_json(br#"{"model_type": "llama", "vocab_size": 0}"#).unwrap_err().contains("vocab_size"));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
    /// Rows of the embedding and columns of the logits.
    pub vocab_size: u64,
    /// Width of a hidden state.
    pub hidden_size: u64,
    /// The output head is the embedding matrix.
    pub tie_word_embeddings: bool,
    pub(crate) attention: Attention,
    pub(crate) delta_net: Option<DeltaNet>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) parameters: ConfigParameters,
}

/// Parameters of the language model that a configuration describes, a tied head counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConfigParameters {
    /// All of them.
    pub total: u64,
    /// Those that one token passes: of a mixture's experts, only the chosen ones.
    pub active: u64,
}

impl ModelConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    ///
    /// The text says, in one line, everything that is wrong with it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let reading = ConfigReading::of(&json::parse_object(bytes, MAX_CONFIG_VALUES)?);
        if let Some(model_type) = reading.unsupported {
            return Err(format!("model_type {model_type} is not supported; supported are {}", Architecture::SUPPORTED));
        }
        let problems: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
        reading.config.ok_or_else(|| problems.join("; "))
    }

    /// Number of layers.
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// How many parameters the language model has.
    pub fn parameters(&self) -> ConfigParameters {
        self.parameters
    }

    /// Which part of a mixture's experts a token passes: chosen, of all. `None` without a mixture.
    pub(crate) fn expert_share(&self) -> Option<(u64, u64)> {
        self.layers.iter().find_map(|layer| match layer.feed_forward {
            FeedForward::Moe(moe) => Some((moe.experts_per_token, moe.experts)),
            FeedForward::Dense { .. } => None,
        })
    }
}

/// Everything that one look at a `config.json` gives.
#[derive(Debug, Default)]
pub(crate) struct ConfigReading {
    /// The sizes, where nothing is wrong.
    pub(crate) config: Option<ModelConfig>,
    /// Also where something else is wrong.
    pub(crate) vocab_size: Option<u64>,
    /// A `model_type` that is not loaded, quoted.
    pub(crate) unsupported: Option<String>,
    /// `dtype` or `torch_dtype`, without a leading `torch.`.
    pub(crate) dtype: Option<String>,
    pub(crate) problems: Vec<ConfigProblem>,
}

impl ConfigReading {
    pub(crate) fn of(root: &Map<String, Value>) -> Self {
        parse::parse(root)
    }
}

/// What is wrong with the fields of a `generation_config.json` that a loader reads.
pub(crate) fn generation_problems(root: &Map<String, Value>) -> Vec<ConfigProblem> {
    parse::generation_problems(root)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) query_heads: u64,
    pub(crate) key_value_heads: u64,
    pub(crate) head_dim: u64,
    pub(crate) query_key_value_bias: bool,
    pub(crate) output_bias: bool,
    /// A norm of each head's query and key.
    pub(crate) query_key_norm: bool,
    /// `q_proj` also yields a gate for the output (Qwen3.5).
    pub(crate) output_gate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeltaNet {
    pub(crate) key_heads: u64,
    pub(crate) value_heads: u64,
    pub(crate) key_dim: u64,
    pub(crate) value_dim: u64,
    pub(crate) kernel: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Gated DeltaNet rather than softmax attention.
    pub(crate) is_linear: bool,
    pub(crate) feed_forward: FeedForward,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeedForward {
    Dense { intermediate: u64, bias: bool },
    Moe(Moe),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moe {
    pub(crate) experts: u64,
    pub(crate) experts_per_token: u64,
    pub(crate) intermediate: u64,
    pub(crate) shared_intermediate: Option<u64>,
}
