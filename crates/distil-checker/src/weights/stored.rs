//! How tensors are stored: dtypes, and the names that quantisers and adapters leave.

use std::collections::BTreeMap;

use safetensors::Dtype;
use serde_json::json;

use super::{WeightFile, dtype_name, tensors};
use crate::{
    Code, Severity, canonical_name,
    config::Architecture,
    findings::{Finding, Findings},
    text::{counted, first_few, quoted},
};

/// Tensors that a message names.
const SHOWN: usize = 5;

/// Ends of names that only quantised weights have.
///
/// bitsandbytes: `absmax`, `quant_map`, `nested_…`, `quant_state…`, `SCB`. GPTQ and AWQ: `qweight`, `qzeros`, `scales`,
/// `g_idx`. FP8 and compressed-tensors: `weight_scale…`, `input_scale`, `weight_packed`, `weight_zero_point`,
/// `weight_shape`, `k_scale`, `v_scale`. MLX: `scales`, `biases`. ModelOpt: `_amax`.
const MARKERS: &[&str] = &[
    "absmax",
    "quant_map",
    "SCB",
    "qweight",
    "qzeros",
    "scales",
    "biases",
    "g_idx",
    "weight_scale",
    "weight_scale_inv",
    "weight_scale_2",
    "input_scale",
    "weight_packed",
    "weight_zero_point",
    "input_zero_point",
    "weight_shape",
    "weight_g_idx",
    "k_scale",
    "v_scale",
    "_amax",
];
/// Beginnings of a name's last parts that only quantised weights have.
const MARKER_PARTS: &[&str] = &["quant_state", "nested_"];
/// Parts of names that only adapters have.
const ADAPTER_PARTS: &[&str] =
    &["lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "ia3_l", "oft_R"];

/// True for a tensor that a quantiser left beside the weights.
pub(super) fn is_marker(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_end = MARKERS.iter().any(|marker| last == *marker || (marker.starts_with('_') && last.ends_with(marker)));
    is_end || name.split('.').any(|part| MARKER_PARTS.iter().any(|marker| part.starts_with(marker)))
}

/// True for a tensor of an adapter.
pub(super) fn is_adapter_tensor(name: &str) -> bool {
    name.split('.').any(|part| ADAPTER_PARTS.iter().any(|marker| part.starts_with(marker)))
}

/// Names of quantisers and adapters in the files that a loader reads.
pub(crate) fn check_names(files: &[WeightFile<'_>], findings: &mut Findings) {
    let named = |is_sought: fn(&str) -> bool| -> Vec<&str> {
        tensors(files).map(|(_, tensor)| tensor.name.as_str()).filter(|name| is_sought(name)).collect()
    };
    let markers = named(is_marker);
    if !markers.is_empty() {
        let message = format!(
            "the weights are quantised, whatever the configuration says: {} that only a quantiser writes, such as {}; upload the BF16 weights",
            counted(markers.len(), "tensor"),
            first_few(&markers, SHOWN)
        );
        let first: Vec<_> = markers.iter().take(SHOWN).collect();
        findings.error(Code::Quantized, message, json!({"marker_tensors": markers.len(), "first": first}));
    }
    let adapters = named(is_adapter_tensor);
    if !adapters.is_empty() {
        let message = format!(
            "the weights hold {} of an adapter, such as {}; merge the adapter into its model and upload that",
            counted(adapters.len(), "tensor"),
            first_few(&adapters, SHOWN)
        );
        let first: Vec<_> = adapters.iter().take(SHOWN).collect();
        findings.error(Code::Adapter, message, json!({"adapter_tensors": adapters.len(), "first": first}));
    }
}

/// What a dtype means for a tensor that a loader reads.
fn problem_of(dtype: Dtype) -> Option<Code> {
    match dtype {
        Dtype::BF16 | Dtype::F16 => None,
        Dtype::F32 | Dtype::F64 | Dtype::C64 | Dtype::BOOL => Some(Code::UnsupportedDtype),
        // Integers, FP8 and narrower, and whatever the format will have next.
        _ => Some(Code::Quantized),
    }
}

/// The two tensors of a Gated DeltaNet layer that official Qwen3.5 files hold in F32.
fn may_be_f32(name: &str, architecture: Option<Architecture>) -> bool {
    let Some((layer, rest)) = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) else { return false };
    let is_layer = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    let is_one = matches!(rest, "linear_attn.A_log" | "linear_attn.norm.weight");
    // Where the configuration cannot be read, the names alone speak for the family.
    is_layer && is_one && architecture.is_none_or(Architecture::is_qwen3_5)
}

/// The dtypes of the tensors in the files that a loader reads.
///
/// Those of a vision tower or of multi-token prediction, which no loader of a language model looks at, may be in any
/// floating-point dtype; if they are quantised, that is a warning.
pub(crate) fn check_dtypes(files: &[WeightFile<'_>], architecture: Option<Architecture>, findings: &mut Findings) {
    let mut found: BTreeMap<(Severity, Code, String), Vec<&str>> = BTreeMap::new();
    for (_, tensor) in tensors(files) {
        // A quantiser's own tensors are told of by their names.
        let Some(code) = problem_of(tensor.dtype).filter(|_| !is_marker(&tensor.name)) else { continue };
        let severity = match canonical_name(&tensor.name) {
            Some(name) if tensor.dtype == Dtype::F32 && may_be_f32(name, architecture) => continue,
            Some(_) => Severity::Error,
            None if code == Code::Quantized => Severity::Warning,
            None => continue,
        };
        found.entry((severity, code, dtype_name(tensor.dtype))).or_default().push(&tensor.name);
    }
    for ((severity, code, dtype), names) in found {
        let where_read = if severity == Severity::Error { "" } else { " outside the language model" };
        let allowed = "BF16 or F16 is needed (F32 for linear_attn.A_log and linear_attn.norm.weight of Qwen3.5 alone)";
        let message = format!(
            "{}{where_read} in {dtype}, such as {}; {allowed}",
            counted(names.len(), "tensor"),
            first_few(&names, SHOWN)
        );
        let first: Vec<_> = names.iter().take(SHOWN).collect();
        findings.push(Finding::new(
            code,
            severity,
            message,
            json!({"dtype": dtype, "tensors": names.len(), "first": first}),
        ));
    }
}

/// What the configuration says of how the weights are stored.
pub(crate) fn check_stored_form(declared: Option<&str>, findings: &mut Findings) {
    let Some(declared) = declared else { return };
    if matches!(declared, "bfloat16" | "float16" | "float32" | "auto" | "bf16" | "fp16" | "half" | "float") {
        return;
    }
    let is_quantised = ["int", "float8", "float4", "fp8", "fp4", "nf4"].iter().any(|part| declared.contains(part));
    let evidence = json!({"field": "dtype", "value": declared.chars().take(80).collect::<String>()});
    let message = format!("config.json gives the dtype as {}; bfloat16 or float16 is needed", quoted(declared));
    match is_quantised {
        true => findings.error(Code::Quantized, message, evidence),
        false => findings.warning(Code::UnsupportedDtype, message, evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_known_and_weights_are_not_taken_for_them() {
        for marker in [
            "model.layers.0.mlp.up_proj.weight.absmax",
            "model.layers.0.mlp.up_proj.weight.quant_map",
            "model.layers.0.mlp.up_proj.weight.nested_absmax",
            "model.layers.0.mlp.up_proj.weight.nested_quant_map",
            "model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4",
            "model.layers.0.mlp.up_proj.qweight",
            "model.layers.0.mlp.up_proj.qzeros",
            "model.layers.0.mlp.up_proj.scales",
            "model.layers.0.mlp.up_proj.g_idx",
            "model.layers.0.mlp.up_proj.SCB",
            "model.layers.0.mlp.up_proj.weight_scale",
            "model.layers.0.mlp.up_proj.weight_scale_inv",
            "model.layers.0.mlp.up_proj.input_scale",
            "model.layers.0.mlp.up_proj.weight_packed",
            "model.layers.0.self_attn.q_bmm_quantizer._amax",
        ] {
            assert!(is_marker(marker), "{marker}");
        }
        for weight in [
            "model.layers.0.mlp.up_proj.weight",
            "model.layers.0.self_attn.q_proj.bias",
            "model.layers.0.linear_attn.A_log",
            "model.layers.0.linear_attn.dt_bias",
            "model.layers.0.mlp.experts.gate_up_proj",
            "lm_head.weight",
        ] {
            assert!(!is_marker(weight) && !is_adapter_tensor(weight), "{weight}");
        }
        assert!(is_adapter_tensor("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"));
    }

    #[test]
    fn f32_is_for_two_tensors_of_one_family() {
        let family = Some(Architecture::Qwen3_5Moe);
        assert!(may_be_f32("layers.0.linear_attn.A_log", family));
        assert!(may_be_f32("layers.31.linear_attn.norm.weight", None));
        assert!(!may_be_f32("layers.0.linear_attn.A_log", Some(Architecture::Llama)));
        for name in [
            "layers.0.linear_attn.dt_bias",
            "norm.weight",
            "layers.x.linear_attn.A_log",
            "linear_attn.A_log",
            "layers.0.a.linear_attn.A_log",
        ] {
            assert!(!may_be_f32(name, family), "{name}");
        }
    }
}
