//! The one name of a tensor, whatever way of saving a model wrote it.

/// The name of a tensor without the prefixes that the various ways of saving a model put before it, or `None` for the
/// parts that a causal language model does not use: vision tower, multi-token prediction, stored rotary frequencies.
///
/// Seen in the wild: `model.`, `model.language_model.`, `language_model.model.` and `model.language_model.language_model.`.
/// The model loader of this workspace goes by the same rule.
///
/// ```
/// use distil_checker::canonical_name;
///
/// assert_eq!(canonical_name("model.language_model.layers.0.mlp.up_proj.weight"), Some("layers.0.mlp.up_proj.weight"));
/// assert_eq!(canonical_name("lm_head.weight"), Some("lm_head.weight"));
/// assert_eq!(canonical_name("mtp.fc.weight"), None);
/// ```
pub fn canonical_name(name: &str) -> Option<&str> {
    let mut rest = name;
    while let Some(stripped) = rest.strip_prefix("model.").or_else(|| rest.strip_prefix("language_model.")) {
        rest = stripped;
    }
    let is_foreign = rest.starts_with("visual.") || rest.starts_with("mtp.") || rest.ends_with("rotary_emb.inv_freq");
    (!is_foreign).then_some(rest)
}

/// How a mixture's experts stand in the tensor of a canonical name.
///
/// Official Qwen3.5 files hold all experts of a layer in two tensors; what transformers 5 saves holds three matrices for
/// each expert. The canonical form is the second: [`expert_name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExpertLayout<'a> {
    /// One tensor of its own: no expert, or a single matrix of one.
    Single,
    /// `…mlp.experts.gate_up_proj`, `[experts, 2 · intermediate, hidden]`: each expert's gate rows, then its up rows.
    FusedGateUp {
        /// The name up to and with `experts`.
        experts: &'a str,
    },
    /// `…mlp.experts.down_proj`, `[experts, hidden, intermediate]`.
    FusedDown {
        /// The name up to and with `experts`.
        experts: &'a str,
    },
}

impl<'a> ExpertLayout<'a> {
    /// How experts stand in the tensor of this canonical name.
    pub fn of(canonical_name: &'a str) -> Self {
        let fused = |part: &str| canonical_name.strip_suffix(part).filter(|experts| experts.ends_with(".mlp.experts"));
        if let Some(experts) = fused(".gate_up_proj") {
            ExpertLayout::FusedGateUp { experts }
        } else if let Some(experts) = fused(".down_proj") {
            ExpertLayout::FusedDown { experts }
        } else {
            ExpertLayout::Single
        }
    }
}

/// One of the three matrices of an expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExpertMatrix {
    /// `[intermediate, hidden]`, whose output goes through the activation.
    Gate,
    /// `[intermediate, hidden]`.
    Up,
    /// `[hidden, intermediate]`.
    Down,
}

/// The canonical name of one matrix of one expert: `layers.3.mlp.experts.17.gate_proj.weight`.
///
/// `experts` is the name up to and with `experts`, as [`ExpertLayout`] gives it.
pub fn expert_name(experts: &str, expert: u64, matrix: ExpertMatrix) -> String {
    let matrix = match matrix {
        ExpertMatrix::Gate => "gate_proj",
        ExpertMatrix::Up => "up_proj",
        ExpertMatrix::Down => "down_proj",
    };
    format!("{experts}.{expert}.{matrix}.weight")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_known_prefix_is_stripped_and_foreign_parts_are_left_out() {
        for name in [
            "layers.0.mlp.up_proj.weight",
            "model.layers.0.mlp.up_proj.weight",
            "model.language_model.layers.0.mlp.up_proj.weight",
            "language_model.model.layers.0.mlp.up_proj.weight",
            "model.language_model.language_model.layers.0.mlp.up_proj.weight",
        ] {
            assert_eq!(canonical_name(name), Some("layers.0.mlp.up_proj.weight"), "{name}");
        }
        assert_eq!(canonical_name("language_model.lm_head.weight"), Some("lm_head.weight"));
        for name in [
            "mtp.fc.weight",
            "model.mtp.fc.weight",
            "model.visual.pos_embed.weight",
            "visual.merger.norm.weight",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
        ] {
            assert_eq!(canonical_name(name), None, "{name}");
        }
    }

    #[test]
    fn fused_experts_are_known_by_name() {
        let experts = "layers.3.mlp.experts";
        assert_eq!(ExpertLayout::of("layers.3.mlp.experts.gate_up_proj"), ExpertLayout::FusedGateUp { experts });
        assert_eq!(ExpertLayout::of("layers.3.mlp.experts.down_proj"), ExpertLayout::FusedDown { experts });
        for name in [
            "layers.3.mlp.experts.17.down_proj.weight",
            "layers.3.mlp.down_proj.weight",
            "layers.3.mlp.shared_expert.down_proj.weight",
            "layers.3.mlp.experts.down_proj.weight",
            "mlp.experts",
        ] {
            assert_eq!(ExpertLayout::of(name), ExpertLayout::Single, "{name}");
        }
        assert_eq!(expert_name(experts, 17, ExpertMatrix::Gate), "layers.3.mlp.experts.17.gate_proj.weight");
    }

    proptest! {
        #[test]
        fn a_canonical_name_is_its_own(name in "((model|language_model|visual|mtp|layers|0)\\.){0,5}[a-z_]{0,8}") {
            if let Some(canonical) = canonical_name(&name) {
                prop_assert_eq!(canonical_name(canonical), Some(canonical));
                prop_assert!(name.ends_with(canonical));
            }
        }
    }
}
