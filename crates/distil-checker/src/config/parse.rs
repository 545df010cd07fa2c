//! The fields that transformers 4 and 5 write.

use serde_json::{Map, Value};

use super::fields::{ConfigProblem, Fields, Problems};
use super::{
    Architecture, Attention, ConfigParameters, ConfigReading, DeltaNet, FeedForward, Layer, MAX_EXPERTS, MAX_LAYERS,
    MAX_SIZE, MAX_STATE, MAX_WIDTH, ModelConfig, Moe,
};
use crate::{expected, text::quoted};

/// The most ids of `eos_token_id`.
const MAX_END_TOKENS: usize = 1024;

pub(super) fn parse(root: &Map<String, Value>) -> ConfigReading {
    let problems = Problems::default();
    let mut reading = ConfigReading::default();
    let top = Fields { prefix: "", map: root, problems: &problems };
    reading.config = parse_model(&top, &mut reading);
    // A model with a problem anywhere has no sizes that one could rely on.
    let problems = problems.into_inner();
    if !problems.is_empty() {
        reading.config = None;
    }
    reading.problems = problems;
    reading
}

pub(super) fn generation_problems(root: &Map<String, Value>) -> Vec<ConfigProblem> {
    let problems = Problems::default();
    check_end_of_sequence(&Fields { prefix: "", map: root, problems: &problems });
    problems.into_inner()
}

fn parse_model(top: &Fields<'_>, reading: &mut ConfigReading) -> Option<ModelConfig> {
    // The wrapper around a vision tower keeps the language model's fields one level down.
    let nested = top.object("text_config", "text_config.")?;
    let fields = nested.as_ref().unwrap_or(top);
    reading.vocab_size = fields.size("vocab_size");
    let dtype = |fields: &Fields<'_>| {
        let value = fields.get("dtype").or_else(|| fields.get("torch_dtype"))?;
        value.as_str().map(|name| name.strip_prefix("torch.").unwrap_or(name).to_owned())
    };
    reading.dtype = dtype(fields).or_else(|| dtype(top));

    let Some(model_type) = fields.text("model_type")?.or(top.text("model_type")?) else {
        return top.wrong("model_type", format!("the name of an architecture ({})", Architecture::SUPPORTED));
    };
    let Some(architecture) = Architecture::parse(model_type) else {
        reading.unsupported = Some(quoted(model_type));
        return None;
    };
    if let Some(activation) = fields.text("hidden_act").flatten()
        && !matches!(activation, "silu" | "swish")
    {
        let _: Option<()> = fields.wrong("hidden_act", "\"silu\"");
    }

    // All parts are looked at before any is needed, so that every problem is noted.
    let hidden_size = fields.size("hidden_size");
    let attention = parse_attention(fields, architecture, hidden_size);
    if let Some(attention) = &attention {
        check_rotary(fields, architecture, attention.head_dim);
    }
    let delta_net = if architecture.is_qwen3_5() { parse_delta_net(fields).map(Some) } else { Some(None) };
    let layers = parse_layers(fields, architecture);
    check_end_of_sequence(if fields.has("eos_token_id") { fields } else { top });
    // Either level may say so; the nearer one to the language model decides where both do.
    let tied_at_top = top.flag("tie_word_embeddings", false);
    let tie_word_embeddings =
        if nested.is_some() { fields.flag("tie_word_embeddings", tied_at_top.unwrap_or(false)) } else { tied_at_top };
    let _ = fields.positive("rms_norm_eps");
    let mut config = ModelConfig {
        architecture,
        vocab_size: reading.vocab_size?,
        hidden_size: hidden_size?,
        tie_word_embeddings: tie_word_embeddings?,
        attention: attention?,
        delta_net: delta_net?,
        layers: layers?,
        parameters: ConfigParameters::default(),
    };
    check_widths(fields, &config)?;
    match expected::count(&config) {
        Some(parameters) => config.parameters = parameters,
        None => return top.note("hidden_size", Some("one of several sizes".to_owned()), "a product within 64 bits"),
    }
    Some(config)
}

/// As the model loader bounds them: a model of few parameters may still ask for activations that no machine has.
fn check_widths(fields: &Fields<'_>, config: &ModelConfig) -> Option<()> {
    let product = |sizes: &[u64]| sizes.iter().fold(1_u64, |product, size| product.saturating_mul(*size));
    let attention = &config.attention;
    let mut bounded = vec![
        ("hidden_size", config.hidden_size, MAX_WIDTH),
        ("num_attention_heads", product(&[attention.query_heads, attention.head_dim]), MAX_WIDTH),
    ];
    if let Some(DeltaNet { key_heads, value_heads, key_dim, value_dim, .. }) = config.delta_net {
        bounded.push(("linear_num_key_heads", product(&[key_heads, key_dim]), MAX_WIDTH));
        bounded.push(("linear_num_value_heads", product(&[value_heads, value_dim]), MAX_WIDTH));
        bounded.push(("linear_key_head_dim", product(&[value_heads, key_dim, value_dim]), MAX_STATE));
    }
    for layer in &config.layers {
        match layer.feed_forward {
            FeedForward::Dense { intermediate, .. } => bounded.push(("intermediate_size", intermediate, MAX_WIDTH)),
            FeedForward::Moe(moe) => {
                let chosen = product(&[moe.experts_per_token, moe.intermediate]);
                bounded.push(("num_experts", moe.experts, MAX_EXPERTS));
                bounded.push(("moe_intermediate_size", chosen, MAX_WIDTH));
                bounded.push(("shared_expert_intermediate_size", moe.shared_intermediate.unwrap_or(1), MAX_WIDTH));
            }
        }
    }
    match bounded.into_iter().find(|(_, found, limit)| found > limit) {
        None => Some(()),
        Some((name, found, limit)) => {
            fields.wrong(name, format!("a model whose widths are bounded (this one comes to {found}, at most {limit})"))
        }
    }
}

fn parse_attention(fields: &Fields<'_>, architecture: Architecture, hidden_size: Option<u64>) -> Option<Attention> {
    let query_heads = fields.size("num_attention_heads");
    let key_value_heads = fields.size_or("num_key_value_heads", MAX_SIZE, query_heads.unwrap_or(1));
    let head_dim = match architecture {
        _ if fields.has("head_dim") => fields.size("head_dim"),
        Architecture::Qwen3_5 | Architecture::Qwen3_5Moe => Some(256),
        Architecture::Qwen3 | Architecture::Qwen3Moe => Some(128),
        _ => match (hidden_size, query_heads) {
            (Some(hidden), Some(heads)) if hidden.is_multiple_of(heads) => Some(hidden / heads),
            (Some(_), Some(_)) => {
                fields.wrong("head_dim", "a whole number (hidden_size is no multiple of num_attention_heads)")
            }
            _ => None,
        },
    };
    let bias = fields.flag("attention_bias", false);
    let (query_heads, key_value_heads) = (query_heads?, key_value_heads?);
    if !query_heads.is_multiple_of(key_value_heads) {
        return fields.wrong("num_key_value_heads", format!("a divisor of num_attention_heads, {query_heads},"));
    }
    let bias = bias?;
    let is_qwen2 = architecture == Architecture::Qwen2;
    Some(Attention {
        query_heads,
        key_value_heads,
        head_dim: head_dim?,
        query_key_value_bias: bias || is_qwen2,
        output_bias: bias && !is_qwen2,
        query_key_norm: !matches!(architecture, Architecture::Llama | Architecture::Qwen2),
        output_gate: architecture.is_qwen3_5(),
    })
}

/// The rotary embedding has no tensors, but a model whose rotary fields cannot be read does not load.
fn check_rotary(fields: &Fields<'_>, architecture: Architecture, head_dim: u64) -> Option<()> {
    // transformers 5 writes `rope_parameters`; transformers 4 wrote `rope_scaling` and the rest at the top.
    let parameters = fields.object("rope_parameters", "rope_parameters.")?;
    let scaling = match &parameters {
        Some(_) => None,
        None => fields.object("rope_scaling", "rope_scaling.")?,
    };
    let nested = parameters.as_ref().or(scaling.as_ref());
    let number = |name: &str| match nested {
        Some(nested) if nested.has(name) => nested.positive(name),
        _ => fields.positive(name),
    };
    number("rope_theta");
    if let Some(fraction) = number("partial_rotary_factor") {
        let fraction = fraction.unwrap_or(if architecture.is_qwen3_5() { 0.25 } else { 1.0 });
        let turning = (head_dim as f64 * fraction) as u64;
        if fraction > 1.0 || turning == 0 || !turning.is_multiple_of(2) {
            let found = format!("{fraction} of head_dim {head_dim}");
            fields.note::<()>("partial_rotary_factor", Some(found), "an even number of dimensions");
        }
    }
    let nested = nested?;
    let name = if nested.has("rope_type") { "rope_type" } else { "type" };
    let needed = |field: &str| match nested.positive(field)? {
        Some(number) => Some(number),
        None => nested.wrong(field, "a number above 0"),
    };
    match nested.text(name)? {
        None | Some("default" | "mrope") => {}
        Some("linear") => {
            needed("factor");
        }
        Some("llama3") => {
            let (low, high) = (needed("low_freq_factor"), needed("high_freq_factor"));
            needed("factor");
            needed("original_max_position_embeddings");
            if let (Some(low), Some(high)) = (low, high)
                && high <= low
            {
                nested.wrong::<()>("high_freq_factor", format!("a number above low_freq_factor, {low},"));
            }
        }
        Some(_) => return nested.wrong(name, "\"default\", \"linear\" or \"llama3\""),
    }
    Some(())
}

fn parse_delta_net(fields: &Fields<'_>) -> Option<DeltaNet> {
    let key_heads = fields.size_or("linear_num_key_heads", MAX_SIZE, 16);
    let value_heads = fields.size_or("linear_num_value_heads", MAX_SIZE, 32);
    let key_dim = fields.size_or("linear_key_head_dim", MAX_SIZE, 128);
    let value_dim = fields.size_or("linear_value_head_dim", MAX_SIZE, 128);
    let kernel = fields.size_or("linear_conv_kernel_dim", 64, 4);
    let (key_heads, value_heads) = (key_heads?, value_heads?);
    if !value_heads.is_multiple_of(key_heads) {
        return fields.wrong("linear_num_value_heads", format!("a multiple of linear_num_key_heads, {key_heads},"));
    }
    Some(DeltaNet { key_heads, value_heads, key_dim: key_dim?, value_dim: value_dim?, kernel: kernel? })
}

fn parse_layers(fields: &Fields<'_>, architecture: Architecture) -> Option<Vec<Layer>> {
    let num_layers = match fields.has("num_hidden_layers") {
        true => fields.size_or("num_hidden_layers", MAX_LAYERS, 1),
        false => fields.wrong("num_hidden_layers", "a whole number"),
    };
    let mixers = num_layers.and_then(|num_layers| parse_mixers(fields, architecture, num_layers));
    let dense = || {
        let intermediate = fields.size("intermediate_size");
        let bias = if architecture == Architecture::Llama { fields.flag("mlp_bias", false) } else { Some(false) };
        Some(FeedForward::Dense { intermediate: intermediate?, bias: bias? })
    };
    if !architecture.is_moe() {
        let feed_forward = dense();
        let layers = mixers?.into_iter().map(|is_linear| Some(Layer { is_linear, feed_forward: feed_forward? }));
        return layers.collect();
    }
    let moe = parse_moe(fields, architecture);
    // Qwen3.5 has neither field: there every layer has experts, whatever they say.
    let (step, dense_layers) = match architecture.is_qwen3_5() {
        true => (Some(1), Some(Vec::new())),
        false => (fields.size_or("decoder_sparse_step", MAX_SIZE, 1), parse_index_list(fields, "mlp_only_layers")),
    };
    let (mixers, step, dense_layers) = (mixers?, step?, dense_layers?);
    let is_dense = |index: u64| dense_layers.contains(&index) || !(index + 1).is_multiple_of(step);
    let any_dense = (0..mixers.len() as u64).any(is_dense);
    let dense = if any_dense { dense() } else { None };
    let layer = |(index, is_linear): (u64, bool)| {
        let feed_forward = if is_dense(index) { dense? } else { FeedForward::Moe(moe?) };
        Some(Layer { is_linear, feed_forward })
    };
    (0..).zip(mixers).map(layer).collect()
}

fn parse_moe(fields: &Fields<'_>, architecture: Architecture) -> Option<Moe> {
    // transformers 5 writes `num_local_experts` for Qwen3-MoE.
    let local_experts =
        if fields.has("num_local_experts") { fields.size("num_local_experts").map(Some) } else { Some(None) };
    let experts = match local_experts {
        Some(Some(experts)) if !fields.has("num_experts") => Some(experts),
        None if !fields.has("num_experts") => None,
        _ => fields.size("num_experts"),
    };
    let experts_per_token = fields.size("num_experts_per_tok");
    let intermediate = fields.size("moe_intermediate_size");
    let is_qwen3_5 = architecture.is_qwen3_5();
    let shared_intermediate =
        if is_qwen3_5 { fields.size("shared_expert_intermediate_size").map(Some) } else { Some(None) };
    if !is_qwen3_5 {
        fields.flag("norm_topk_prob", false);
    }
    let (experts, experts_per_token) = (experts?, experts_per_token?);
    if experts_per_token > experts {
        return fields.wrong("num_experts_per_tok", format!("at most num_experts, {experts},"));
    }
    Some(Moe { experts, experts_per_token, intermediate: intermediate?, shared_intermediate: shared_intermediate? })
}

fn parse_index_list(fields: &Fields<'_>, name: &str) -> Option<Vec<u64>> {
    let indices = match fields.get(name) {
        None => return Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(Value::as_u64).collect::<Option<Vec<_>>>(),
        Some(_) => None,
    };
    indices.or_else(|| fields.wrong(name, "a list of layer numbers"))
}

/// For each layer, whether it is one of linear attention. `layer_types` is taken literally where it is given: pruned
/// models have irregular ones.
fn parse_mixers(fields: &Fields<'_>, architecture: Architecture, num_layers: u64) -> Option<Vec<bool>> {
    let is_qwen3_5 = architecture.is_qwen3_5();
    let uses_window = architecture != Architecture::Llama && fields.flag("use_sliding_window", false).unwrap_or(false);
    let mut needs_window = false;
    let mixers = match fields.get("layer_types") {
        // In transformers a Qwen3-MoE has no kinds of layers, and one window for all.
        _ if architecture == Architecture::Qwen3Moe => {
            needs_window = uses_window;
            vec![false; num_layers as usize]
        }
        Some(Value::Array(names)) if names.len() as u64 != num_layers => {
            let found = format!("a list of {}", names.len());
            return fields.note(
                "layer_types",
                Some(found),
                format!("one for each of num_hidden_layers, {num_layers},"),
            );
        }
        Some(Value::Array(names)) => {
            let mut mixers = Vec::with_capacity(names.len());
            for name in names {
                mixers.push(match name.as_str() {
                    Some("full_attention") => false,
                    Some("sliding_attention") if !is_qwen3_5 && !uses_window => {
                        return fields.wrong("use_sliding_window", "true, since layer_types has sliding_attention,");
                    }
                    Some("sliding_attention") if !is_qwen3_5 => {
                        needs_window = true;
                        false
                    }
                    Some("linear_attention") if is_qwen3_5 => true,
                    _ => {
                        let found = format!("a list with {}", quoted(&name.to_string()));
                        return fields.note(
                            "layer_types",
                            Some(found),
                            format!("a kind of layer that {architecture} has"),
                        );
                    }
                });
            }
            mixers
        }
        Some(_) => return fields.wrong("layer_types", "a list"),
        None if is_qwen3_5 => {
            let interval = fields.size_or("full_attention_interval", MAX_SIZE, 4)?;
            (1..=num_layers).map(|layer| !layer.is_multiple_of(interval)).collect()
        }
        None => {
            if uses_window {
                // transformers 4: the layers from `max_window_layers` on see a window.
                let first = match fields.get("max_window_layers") {
                    None => Some(28),
                    Some(value) => value.as_u64().or_else(|| fields.wrong("max_window_layers", "a whole number")),
                };
                needs_window = first? < num_layers;
            }
            vec![false; num_layers as usize]
        }
    };
    if needs_window {
        fields.size("sliding_window")?;
    }
    Some(mixers)
}

/// `eos_token_id` is a number or a list of numbers.
fn check_end_of_sequence(fields: &Fields<'_>) {
    let is_token = |value: &Value| value.as_u64().is_some_and(|id| u32::try_from(id).is_ok());
    let is_sound = match fields.get("eos_token_id") {
        None => true,
        Some(Value::Array(values)) => values.len() <= MAX_END_TOKENS && values.iter().all(is_token),
        Some(value) => is_token(value),
    };
    if !is_sound {
        fields.wrong::<()>("eos_token_id", "a token id or a list of token ids");
    }
}
