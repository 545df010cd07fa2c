//! The tensors that a configuration calls for, by canonical name and shape: what the model loader of this workspace asks
//! its files for.

use crate::config::{ConfigParameters, FeedForward, Layer, ModelConfig, Moe};

/// A part of a model's tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// One tensor.
    Tensor {
        /// Its canonical name.
        name: String,
        /// Its dimensions.
        shape: Vec<u64>,
    },
    /// The experts of one layer, which may stand in two tensors or in three for each expert. Their number comes from a
    /// stranger, so they are not written out.
    Experts {
        /// Their common name: `layers.3.mlp.experts`.
        prefix: String,
        /// How many there are.
        experts: u64,
        /// Width inside an expert.
        intermediate: u64,
        /// Width of a hidden state.
        hidden: u64,
    },
}

impl Expected {
    /// Elements of the part, where they fit in 64 bits.
    pub(crate) fn elements(&self) -> Option<u64> {
        match self {
            Expected::Tensor { shape, .. } => product(shape),
            Expected::Experts { experts, intermediate, hidden, .. } => product(&[*experts, 3, *intermediate, *hidden]),
        }
    }

    /// Shape of the fused `gate_up_proj` and `down_proj`.
    pub(crate) fn fused_shapes(experts: u64, intermediate: u64, hidden: u64) -> [(&'static str, [u64; 3]); 2] {
        // Sizes are at most 2²⁴.
        [("gate_up_proj", [experts, 2 * intermediate, hidden]), ("down_proj", [experts, hidden, intermediate])]
    }

    /// Names and shapes of one expert's matrices.
    pub(crate) fn expert_shapes(intermediate: u64, hidden: u64) -> [(&'static str, [u64; 2]); 3] {
        [
            ("gate_proj.weight", [intermediate, hidden]),
            ("up_proj.weight", [intermediate, hidden]),
            ("down_proj.weight", [hidden, intermediate]),
        ]
    }
}

/// Name of the embedding.
pub(crate) const EMBEDDING: &str = "embed_tokens.weight";
/// Name of an output head of its own.
pub(crate) const HEAD: &str = "lm_head.weight";

/// All parts, in the order in which a forward pass meets them. At most some twenty for each of at most 1,024 layers.
pub(crate) fn parts(config: &ModelConfig) -> Vec<Expected> {
    let hidden = config.hidden_size;
    let mut list = List { prefix: String::new(), parts: Vec::new() };
    list.add(EMBEDDING, &[config.vocab_size, hidden]);
    for (index, layer) in config.layers.iter().enumerate() {
        list.prefix = format!("layers.{index}.");
        add_layer(&mut list, config, layer);
    }
    list.prefix.clear();
    list.add("norm.weight", &[hidden]);
    if !config.tie_word_embeddings {
        list.add(HEAD, &[config.vocab_size, hidden]);
    }
    list.parts
}

/// Parameters of all parts; `None` where they do not fit in 64 bits.
pub(crate) fn count(config: &ModelConfig) -> Option<ConfigParameters> {
    let mut count = ConfigParameters::default();
    for part in parts(config) {
        let elements = part.elements()?;
        count.total = count.total.checked_add(elements)?;
        let active = match (&part, config.expert_share()) {
            (Expected::Experts { .. }, Some(share)) => chosen(elements, share),
            _ => elements,
        };
        count.active = count.active.checked_add(active)?;
    }
    Some(count)
}

/// The part of some experts' elements that one token passes.
pub(crate) fn chosen(elements: u64, (chosen, all): (u64, u64)) -> u64 {
    // At most `elements`, since no more experts are chosen than there are.
    (u128::from(elements) * u128::from(chosen) / u128::from(all.max(1))) as u64
}

/// The product of some dimensions.
pub(crate) fn product(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |product, size| product.checked_mul(*size))
}

struct List {
    prefix: String,
    parts: Vec<Expected>,
}

impl List {
    fn add(&mut self, name: &str, shape: &[u64]) {
        self.parts.push(Expected::Tensor { name: format!("{}{name}", self.prefix), shape: shape.to_vec() });
    }

    fn add_linear(&mut self, name: &str, inputs: u64, outputs: u64, bias: bool) {
        self.add(&format!("{name}.weight"), &[outputs, inputs]);
        if bias {
            self.add(&format!("{name}.bias"), &[outputs]);
        }
    }

    fn add_mlp(&mut self, name: &str, hidden: u64, intermediate: u64, bias: bool) {
        self.add_linear(&format!("{name}.gate_proj"), hidden, intermediate, bias);
        self.add_linear(&format!("{name}.up_proj"), hidden, intermediate, bias);
        self.add_linear(&format!("{name}.down_proj"), intermediate, hidden, bias);
    }
}

fn add_layer(list: &mut List, config: &ModelConfig, layer: &Layer) {
    let hidden = config.hidden_size;
    list.add("input_layernorm.weight", &[hidden]);
    match &config.delta_net {
        Some(delta_net) if layer.is_linear => {
            // Sizes are at most 2²⁴, so a sum of products of two stays far within 64 bits.
            let value_width = delta_net.value_heads * delta_net.value_dim;
            let channels = 2 * delta_net.key_heads * delta_net.key_dim + value_width;
            list.add_linear("linear_attn.in_proj_qkv", hidden, channels, false);
            list.add_linear("linear_attn.in_proj_z", hidden, value_width, false);
            list.add_linear("linear_attn.in_proj_b", hidden, delta_net.value_heads, false);
            list.add_linear("linear_attn.in_proj_a", hidden, delta_net.value_heads, false);
            list.add("linear_attn.conv1d.weight", &[channels, 1, delta_net.kernel]);
            list.add("linear_attn.A_log", &[delta_net.value_heads]);
            list.add("linear_attn.dt_bias", &[delta_net.value_heads]);
            list.add("linear_attn.norm.weight", &[delta_net.value_dim]);
            list.add_linear("linear_attn.out_proj", value_width, hidden, false);
        }
        _ => {
            let attention = &config.attention;
            let query_width = attention.query_heads * attention.head_dim;
            let key_value_width = attention.key_value_heads * attention.head_dim;
            let bias = attention.query_key_value_bias;
            let gate_factor = if attention.output_gate { 2 } else { 1 };
            list.add_linear("self_attn.q_proj", hidden, query_width * gate_factor, bias);
            list.add_linear("self_attn.k_proj", hidden, key_value_width, bias);
            list.add_linear("self_attn.v_proj", hidden, key_value_width, bias);
            list.add_linear("self_attn.o_proj", query_width, hidden, attention.output_bias);
            if attention.query_key_norm {
                list.add("self_attn.q_norm.weight", &[attention.head_dim]);
                list.add("self_attn.k_norm.weight", &[attention.head_dim]);
            }
        }
    }
    list.add("post_attention_layernorm.weight", &[hidden]);
    match layer.feed_forward {
        FeedForward::Dense { intermediate, bias } => list.add_mlp("mlp", hidden, intermediate, bias),
        FeedForward::Moe(moe) => add_moe(list, hidden, moe),
    }
}

fn add_moe(list: &mut List, hidden: u64, moe: Moe) {
    list.add("mlp.gate.weight", &[moe.experts, hidden]);
    if let Some(intermediate) = moe.shared_intermediate {
        list.add_mlp("mlp.shared_expert", hidden, intermediate, false);
        list.add_linear("mlp.shared_expert_gate", hidden, 1, false);
    }
    let prefix = format!("{}mlp.experts", list.prefix);
    list.parts.push(Expected::Experts { prefix, experts: moe.experts, intermediate: moe.intermediate, hidden });
}
