//! `config.json` and `generation_config.json`, in the forms that transformers 4 and 5 write, parsed into what the
//! layers need and nothing else. Sizes are bounded here, since they come from a stranger's file.

mod fields;

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use self::fields::{Fields, read_json};
pub(crate) use self::fields::{read_bounded, shorten};
use crate::error::{ModelError, Result};

const MAX_LAYERS: u64 = 1024;
/// The most values that a token is widened to at once: heads times their dimension, the middle of a feed-forward layer.
const MAX_WIDTH: u64 = 1 << 18;
/// The most values of one sequence's state in a Gated DeltaNet layer.
const MAX_STATE: u64 = 1 << 22;
/// The most experts of a layer.
const MAX_EXPERTS: u64 = 1 << 12;

/// The families of models that can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    fn is_qwen3_5(self) -> bool {
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

/// How a layer mixes positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerType {
    /// Softmax attention over all earlier positions.
    FullAttention,
    /// Softmax attention over the newest `window` positions, the current one included.
    SlidingAttention {
        /// How many positions are seen.
        window: usize,
    },
    /// Gated DeltaNet: a recurrent state.
    LinearAttention,
}

/// Sizes of softmax attention.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttentionConfig {
    pub(crate) query_heads: usize,
    pub(crate) key_value_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) query_key_value_bias: bool,
    pub(crate) output_bias: bool,
    /// RMS norm of each head's query and key.
    pub(crate) query_key_norm: bool,
    /// `q_proj` also yields a gate for the output (Qwen3.5).
    pub(crate) output_gate: bool,
}

/// Sizes of the Gated DeltaNet layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DeltaNetConfig {
    pub(crate) key_heads: usize,
    pub(crate) value_heads: usize,
    pub(crate) key_dim: usize,
    pub(crate) value_dim: usize,
    pub(crate) kernel: usize,
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RotaryConfig {
    pub(crate) theta: f64,
    /// How many of a head's dimensions turn; the others pass.
    pub(crate) rotary_dim: usize,
    pub(crate) scaling: RotaryScaling,
}

/// How the rotary frequencies are stretched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RotaryScaling {
    None,
    Linear { factor: f64 },
    Llama3 { factor: f64, low_frequency_factor: f64, high_frequency_factor: f64, original_positions: f64 },
}

/// Sizes of a mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MoeConfig {
    pub(crate) experts: usize,
    pub(crate) experts_per_token: usize,
    pub(crate) intermediate: usize,
    /// Width of the expert that every token takes (Qwen3.5).
    pub(crate) shared_intermediate: Option<usize>,
    /// The chosen experts' weights are divided by their sum.
    pub(crate) normalize: bool,
}

/// The feed-forward part of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FeedForwardConfig {
    Dense { intermediate: usize, bias: bool },
    Moe(MoeConfig),
}

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerConfig {
    pub(crate) mixer: LayerType,
    pub(crate) feed_forward: FeedForwardConfig,
}

/// A causal language model's sizes and constants, as its `config.json` gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
    /// Rows of the embedding and columns of the logits.
    pub vocab_size: usize,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// The token ids that end a text: `generation_config.json`'s `eos_token_id`, else `config.json`'s; may be empty.
    pub end_of_sequence: Vec<u32>,
    /// The output head is the embedding matrix.
    pub tie_word_embeddings: bool,
    pub(crate) rms_norm_eps: f64,
    /// The norms' weights are stored less one (Qwen3.5).
    pub(crate) zero_centred_norms: bool,
    pub(crate) attention: AttentionConfig,
    pub(crate) delta_net: Option<DeltaNetConfig>,
    pub(crate) rotary: RotaryConfig,
    pub(crate) layers: Vec<LayerConfig>,
}

impl ModelConfig {
    /// Reads `config.json` and, where there is one, `generation_config.json` of a model's folder.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is not JSON, or has a field that is missing, of the wrong kind or out of bounds.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let root = read_json(&path)?;
        let generation_path = folder.join("generation_config.json");
        let generation = match std::fs::symlink_metadata(&generation_path) {
            Ok(_) => Some((generation_path.clone(), read_json(&generation_path)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(ModelError::Read { path: generation_path, source }),
        };
        parse(&path, &root, generation.as_ref())
    }

    /// How each layer mixes positions.
    pub fn layer_types(&self) -> impl Iterator<Item = LayerType> + '_ {
        self.layers.iter().map(|layer| layer.mixer)
    }
}

fn parse(
    path: &Path,
    root: &Map<String, Value>,
    generation: Option<&(PathBuf, Map<String, Value>)>,
) -> Result<ModelConfig> {
    let top = Fields { path, prefix: "", map: root };
    // The wrapper around a vision tower keeps the language model's fields one level down.
    let text = top.object("text_config", "text_config.")?;
    let fields = text.as_ref().unwrap_or(&top);
    let Some(model_type) = fields.text("model_type")?.or(top.text("model_type")?) else {
        return Err(top.error("model_type", "the name of an architecture"));
    };
    let Some(architecture) = Architecture::parse(model_type) else {
        return Err(ModelError::UnsupportedArchitecture { path: path.to_owned(), model_type: shorten(model_type) });
    };
    if top.get("quantization_config").is_some() || fields.get("quantization_config").is_some() {
        let reason = "field \"quantization_config\" is set: quantised weights are not loaded".to_owned();
        return Err(ModelError::Config { path: path.to_owned(), reason });
    }
    match fields.text("hidden_act")? {
        None | Some("silu" | "swish") => {}
        Some(_) => return Err(fields.error("hidden_act", "\"silu\"")),
    }

    let hidden_size = fields.size("hidden_size")?;
    let attention = parse_attention(fields, architecture, hidden_size)?;
    let rotary = parse_rotary(fields, architecture, attention.head_dim)?;
    let delta_net = if architecture.is_qwen3_5() { Some(parse_delta_net(fields)?) } else { None };
    let layers = parse_layers(fields, architecture)?;
    check_widths(fields, hidden_size, &attention, delta_net.as_ref(), &layers)?;
    let end_of_sequence = parse_end_of_sequence(&top, fields, generation)?;
    Ok(ModelConfig {
        architecture,
        vocab_size: fields.size("vocab_size")?,
        hidden_size,
        num_layers: layers.len(),
        end_of_sequence,
        // Either level may say so; the nearer one to the language model decides where both do.
        tie_word_embeddings: fields.flag("tie_word_embeddings", top.flag("tie_word_embeddings", false)?)?,
        rms_norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(1e-6),
        zero_centred_norms: architecture.is_qwen3_5(),
        attention,
        delta_net,
        rotary,
        layers,
    })
}

fn parse_attention(fields: &Fields<'_>, architecture: Architecture, hidden_size: usize) -> Result<AttentionConfig> {
    let query_heads = fields.size("num_attention_heads")?;
    let key_value_heads = fields.optional_size("num_key_value_heads")?.unwrap_or(query_heads);
    if !query_heads.is_multiple_of(key_value_heads) {
        return Err(fields.error("num_key_value_heads", &format!("a divisor of num_attention_heads, {query_heads}")));
    }
    let head_dim = match fields.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None if architecture.is_qwen3_5() => 256,
        None if matches!(architecture, Architecture::Qwen3 | Architecture::Qwen3Moe) => 128,
        None if hidden_size.is_multiple_of(query_heads) => hidden_size / query_heads,
        None => return Err(fields.error("head_dim", "a whole number, since hidden_size is no multiple of the heads")),
    };
    let bias = fields.flag("attention_bias", false)?;
    let is_qwen2 = architecture == Architecture::Qwen2;
    Ok(AttentionConfig {
        query_heads,
        key_value_heads,
        head_dim,
        query_key_value_bias: bias || is_qwen2,
        output_bias: bias && !is_qwen2,
        query_key_norm: !matches!(architecture, Architecture::Llama | Architecture::Qwen2),
        output_gate: architecture.is_qwen3_5(),
    })
}

/// A model of few parameters may still ask for activations or states that no machine has, since parameters count only
/// what a width is multiplied with. All that a token is widened to is bounded, some eight times above real models.
fn check_widths(
    fields: &Fields<'_>,
    hidden_size: usize,
    attention: &AttentionConfig,
    delta_net: Option<&DeltaNetConfig>,
    layers: &[LayerConfig],
) -> Result<()> {
    let product = |sizes: &[usize]| sizes.iter().fold(1_u64, |product, size| product.saturating_mul(*size as u64));
    let mut bounded = vec![
        ("hidden_size", hidden_size as u64, MAX_WIDTH),
        ("num_attention_heads", product(&[attention.query_heads, attention.head_dim]), MAX_WIDTH),
    ];
    if let Some(DeltaNetConfig { key_heads, value_heads, key_dim, value_dim, .. }) = delta_net {
        bounded.push(("linear_num_key_heads", product(&[*key_heads, *key_dim]), MAX_WIDTH));
        bounded.push(("linear_num_value_heads", product(&[*value_heads, *value_dim]), MAX_WIDTH));
        bounded.push(("linear_key_head_dim", product(&[*value_heads, *key_dim, *value_dim]), MAX_STATE));
    }
    for layer in layers {
        match layer.feed_forward {
            FeedForwardConfig::Dense { intermediate, .. } => {
                bounded.push(("intermediate_size", intermediate as u64, MAX_WIDTH));
            }
            FeedForwardConfig::Moe(moe) => {
                let chosen = product(&[moe.experts_per_token, moe.intermediate]);
                bounded.push(("num_experts", moe.experts as u64, MAX_EXPERTS));
                bounded.push(("moe_intermediate_size", chosen, MAX_WIDTH));
                bounded.push((
                    "shared_expert_intermediate_size",
                    moe.shared_intermediate.unwrap_or(1) as u64,
                    MAX_WIDTH,
                ));
            }
        }
    }
    match bounded.into_iter().find(|(_, found, limit)| found > limit) {
        None => Ok(()),
        Some((name, found, limit)) => Err(fields
            .error(name, &format!("a model whose widths are bounded: this one comes to {found}, at most {limit}"))),
    }
}

fn parse_rotary(fields: &Fields<'_>, architecture: Architecture, head_dim: usize) -> Result<RotaryConfig> {
    // transformers 5 writes `rope_parameters`; transformers 4 wrote `rope_scaling` and the rest at the top.
    let parameters = fields.object("rope_parameters", "rope_parameters.")?;
    let scaling = match &parameters {
        Some(_) => None,
        None => fields.object("rope_scaling", "rope_scaling.")?,
    };
    let nested = parameters.as_ref().or(scaling.as_ref());
    let number = |name: &str| -> Result<Option<f64>> {
        match nested {
            Some(nested) if nested.get(name).is_some() => nested.positive(name),
            _ => fields.positive(name),
        }
    };
    let default_theta = if architecture.is_qwen3_5() { 1e7 } else { 1e4 };
    let theta = number("rope_theta")?.unwrap_or(default_theta);
    let default_fraction = if architecture.is_qwen3_5() { 0.25 } else { 1.0 };
    let fraction = number("partial_rotary_factor")?.unwrap_or(default_fraction);
    let rotary_dim = (head_dim as f64 * fraction) as usize;
    if fraction > 1.0 || rotary_dim == 0 || !rotary_dim.is_multiple_of(2) {
        let reason = format!(
            "partial_rotary_factor {fraction} of head_dim {head_dim} is not an even number of dimensions from 2 to {head_dim}"
        );
        return Err(ModelError::Config { path: fields.path.to_owned(), reason });
    }
    let scaling = match nested {
        None => RotaryScaling::None,
        Some(nested) => parse_rotary_scaling(nested)?,
    };
    Ok(RotaryConfig { theta, rotary_dim, scaling })
}

fn parse_rotary_scaling(nested: &Fields<'_>) -> Result<RotaryScaling> {
    let name = if nested.get("rope_type").is_some() { "rope_type" } else { "type" };
    let needed = |field: &str| nested.positive(field)?.ok_or_else(|| nested.error(field, "a number above 0"));
    match nested.text(name)? {
        None | Some("default" | "mrope") => Ok(RotaryScaling::None),
        Some("linear") => Ok(RotaryScaling::Linear { factor: needed("factor")? }),
        Some("llama3") => {
            let scaling = RotaryScaling::Llama3 {
                factor: needed("factor")?,
                low_frequency_factor: needed("low_freq_factor")?,
                high_frequency_factor: needed("high_freq_factor")?,
                original_positions: needed("original_max_position_embeddings")?,
            };
            match scaling {
                RotaryScaling::Llama3 { low_frequency_factor: low, high_frequency_factor: high, .. } if high <= low => {
                    Err(nested.error("high_freq_factor", &format!("a number above low_freq_factor, {low}")))
                }
                scaling => Ok(scaling),
            }
        }
        Some(_) => Err(nested.error(name, "\"default\", \"linear\" or \"llama3\"")),
    }
}

fn parse_delta_net(fields: &Fields<'_>) -> Result<DeltaNetConfig> {
    let or = |name: &str, default: usize| fields.optional_size(name).map(|size| size.unwrap_or(default));
    let config = DeltaNetConfig {
        key_heads: or("linear_num_key_heads", 16)?,
        value_heads: or("linear_num_value_heads", 32)?,
        key_dim: or("linear_key_head_dim", 128)?,
        value_dim: or("linear_value_head_dim", 128)?,
        kernel: fields.size_up_to("linear_conv_kernel_dim", 64)?.unwrap_or(4),
    };
    if !config.value_heads.is_multiple_of(config.key_heads) {
        return Err(fields
            .error("linear_num_value_heads", &format!("a multiple of linear_num_key_heads, {}", config.key_heads)));
    }
    Ok(config)
}

fn parse_layers(fields: &Fields<'_>, architecture: Architecture) -> Result<Vec<LayerConfig>> {
    let Some(num_layers) = fields.size_up_to("num_hidden_layers", MAX_LAYERS)? else {
        return Err(fields.error("num_hidden_layers", "a whole number"));
    };
    let mixers = parse_mixers(fields, architecture, num_layers)?;
    let dense = |fields: &Fields<'_>| -> Result<FeedForwardConfig> {
        let bias = architecture == Architecture::Llama && fields.flag("mlp_bias", false)?;
        Ok(FeedForwardConfig::Dense { intermediate: fields.size("intermediate_size")?, bias })
    };
    if !architecture.is_moe() {
        let feed_forward = dense(fields)?;
        return Ok(mixers.into_iter().map(|mixer| LayerConfig { mixer, feed_forward }).collect());
    }
    // transformers 5 writes `num_local_experts` for Qwen3-MoE.
    let experts = match fields.optional_size("num_local_experts")? {
        Some(experts) if fields.get("num_experts").is_none() => experts,
        _ => fields.size("num_experts")?,
    };
    let experts_per_token = fields.size("num_experts_per_tok")?;
    if experts_per_token > experts {
        return Err(fields.error("num_experts_per_tok", &format!("at most num_experts, {experts}")));
    }
    let is_qwen3_5 = architecture.is_qwen3_5();
    let moe = FeedForwardConfig::Moe(MoeConfig {
        experts,
        experts_per_token,
        intermediate: fields.size("moe_intermediate_size")?,
        shared_intermediate: if is_qwen3_5 { Some(fields.size("shared_expert_intermediate_size")?) } else { None },
        normalize: is_qwen3_5 || fields.flag("norm_topk_prob", false)?,
    });
    // Qwen3.5 has neither field: there every layer has experts, whatever they say.
    let (step, dense_layers) = match is_qwen3_5 {
        true => (1, Vec::new()),
        false => {
            let step = fields.optional_size("decoder_sparse_step")?.unwrap_or(1);
            (step, parse_index_list(fields, "mlp_only_layers")?)
        }
    };
    let mut layers = Vec::with_capacity(num_layers);
    for (index, mixer) in mixers.into_iter().enumerate() {
        let is_dense = dense_layers.contains(&(index as u64)) || !(index + 1).is_multiple_of(step);
        let feed_forward = if is_dense { dense(fields)? } else { moe };
        layers.push(LayerConfig { mixer, feed_forward });
    }
    Ok(layers)
}

fn parse_index_list(fields: &Fields<'_>, name: &str) -> Result<Vec<u64>> {
    match fields.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(Value::as_u64)
            .collect::<Option<_>>()
            .ok_or_else(|| fields.error(name, "a list of layer numbers")),
        Some(_) => Err(fields.error(name, "a list of layer numbers")),
    }
}

/// `layer_types` is taken literally where it is given: pruned models have irregular ones.
fn parse_mixers(fields: &Fields<'_>, architecture: Architecture, num_layers: usize) -> Result<Vec<LayerType>> {
    let uses_window = architecture != Architecture::Llama && fields.flag("use_sliding_window", false)?;
    let window = || -> Result<LayerType> {
        let window = fields.optional_size("sliding_window")?;
        window
            .map(|window| LayerType::SlidingAttention { window })
            .ok_or_else(|| fields.error("sliding_window", "a whole number"))
    };
    let is_qwen3_5 = architecture.is_qwen3_5();
    match fields.get("layer_types") {
        // In transformers a Qwen3-MoE has no kinds of layers, and one window for all.
        _ if architecture == Architecture::Qwen3Moe => {
            let mixer = if uses_window { window()? } else { LayerType::FullAttention };
            Ok(vec![mixer; num_layers])
        }
        Some(Value::Array(names)) => {
            if names.len() != num_layers {
                let reason = format!(
                    "field \"{}layer_types\" has {} entries, num_hidden_layers is {num_layers}",
                    fields.prefix,
                    names.len()
                );
                return Err(ModelError::Config { path: fields.path.to_owned(), reason });
            }
            let parse_name = |name: &Value| match name.as_str() {
                Some("full_attention") => Ok(LayerType::FullAttention),
                Some("sliding_attention") if !is_qwen3_5 && !uses_window => {
                    Err(fields.error("use_sliding_window", "true, since layer_types has sliding_attention"))
                }
                Some("sliding_attention") if !is_qwen3_5 => window(),
                Some("linear_attention") if is_qwen3_5 => Ok(LayerType::LinearAttention),
                _ => {
                    let reason = format!(
                        "field \"{}layer_types\" has an entry {} that {architecture} does not have",
                        fields.prefix,
                        shorten(&name.to_string())
                    );
                    Err(ModelError::Config { path: fields.path.to_owned(), reason })
                }
            };
            names.iter().map(parse_name).collect()
        }
        Some(_) => Err(fields.error("layer_types", "a list")),
        None if is_qwen3_5 => {
            let interval = fields.optional_size("full_attention_interval")?.unwrap_or(4);
            let mixer = |layer: usize| match (layer + 1).is_multiple_of(interval) {
                true => LayerType::FullAttention,
                false => LayerType::LinearAttention,
            };
            Ok((0..num_layers).map(mixer).collect())
        }
        None if uses_window => {
            // transformers 4: the layers from `max_window_layers` on see a window.
            let first = match fields.get("max_window_layers") {
                None => 28,
                Some(value) => value.as_u64().ok_or_else(|| fields.error("max_window_layers", "a whole number"))?,
            };
            (0..num_layers as u64)
                .map(|layer| if layer >= first { window() } else { Ok(LayerType::FullAttention) })
                .collect()
        }
        None => Ok(vec![LayerType::FullAttention; num_layers]),
    }
}

fn parse_end_of_sequence(
    top: &Fields<'_>,
    fields: &Fields<'_>,
    generation: Option<&(PathBuf, Map<String, Value>)>,
) -> Result<Vec<u32>> {
    if let Some((path, map)) = generation {
        let fields = Fields { path, prefix: "", map };
        if fields.get("eos_token_id").is_some() {
            return token_ids(&fields);
        }
    }
    token_ids(if fields.get("eos_token_id").is_some() { fields } else { top })
}

/// `eos_token_id` is a number or a list of numbers.
fn token_ids(fields: &Fields<'_>) -> Result<Vec<u32>> {
    let name = "eos_token_id";
    let expected = "a token id or a list of token ids";
    let one = |value: &Value| {
        value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| fields.error(name, expected))
    };
    match fields.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() <= 1024 => values.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}
