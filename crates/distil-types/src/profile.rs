use crate::{NetUid, RepoId};
use serde::Serialize;

/// What is fixed for a subnet: its teacher, what a student may be, and how a round is measured.
///
/// ```
/// let profile = distil_types::SubnetProfile::sn97();
/// assert_eq!(profile.teacher.to_string(), "Qwen/Qwen3.5-35B-A3B");
/// assert_eq!(profile.prompts, 40);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SubnetProfile {
    /// The subnet.
    pub netuid: NetUid,
    /// The model to distil.
    pub teacher: RepoId,
    /// Columns of the logits of teacher and students, padding included.
    pub vocab_size: usize,
    /// The most parameters a student may have.
    pub max_parameters: u64,
    /// A round belongs to a block whose number is a multiple of this.
    pub round_blocks: u64,
    /// Prompts of a round.
    pub prompts: usize,
    /// The most tokens of a prompt; what is longer is cut.
    pub max_prompt_tokens: usize,
    /// The most tokens by which the teacher continues a prompt.
    pub max_new_tokens: usize,
    /// By what part of the king's KL a challenger has to be below it: it wins when `kl < king_kl * (1 - win_margin)`.
    pub win_margin: f64,
    /// The largest KL, in nats, that can be crowned.
    pub max_kl_nats: f64,
    /// At or below this mean KL, in nats, a student is the teacher itself or a fraud.
    pub kl_floor_nats: f64,
}

impl SubnetProfile {
    /// The teacher of subnet 97 at the commit that validators use where they are told no other: what
    /// `Qwen/Qwen3.5-35B-A3B` has had on its main branch since its last change in spring 2026. Public programs and notes
    /// name it as what they run, and its configuration as what they read.
    pub const SN97_TEACHER: &'static str = "Qwen/Qwen3.5-35B-A3B@59d61f3ce65a6d9863b86d2e96597125219dc754";

    /// Where the prompts of subnet 97 come from where validators are told no other: FineWeb at its tag v1.4.0, which is
    /// also what its main branch has. Validators that draw from different commits draw different prompts.
    pub const SN97_SOURCE: &'static str = "hub:HuggingFaceFW/fineweb@9bb295ddab0e05d785b879661af7260fed5140fc";

    /// Bittensor subnet 97: Qwen3.5-35B-A3B distilled into at most 5.25 billion parameters.
    pub fn sn97() -> Self {
        SubnetProfile {
            netuid: NetUid(97),
            teacher: Self::SN97_TEACHER.split('@').next().unwrap_or_default().parse().expect("a valid name"),
            vocab_size: 248_320,
            max_parameters: 5_250_000_000,
            round_blocks: 50,
            prompts: 40,
            max_prompt_tokens: 1024,
            max_new_tokens: 512,
            win_margin: 0.01,
            max_kl_nats: 2.0,
            kl_floor_nats: 1e-6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_validators_have_to_agree_on_names_its_commit() {
        let teacher = crate::ModelRef::parse(SubnetProfile::SN97_TEACHER, |_| false).unwrap();
        assert!(
            matches!(teacher, crate::ModelRef::Hub { repo, revision: Some(_) } if repo == SubnetProfile::sn97().teacher)
        );
        let source = SubnetProfile::SN97_SOURCE.strip_prefix("hub:").unwrap();
        let source = crate::ModelRef::parse(source, |_| false).unwrap();
        assert!(matches!(source, crate::ModelRef::Hub { revision: Some(_), .. }));
    }

    #[test]
    fn subnet_97_is_as_its_rules_say() {
        let json = serde_json::to_value(SubnetProfile::sn97()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "netuid": 97, "teacher": "Qwen/Qwen3.5-35B-A3B", "vocab_size": 248_320, "max_parameters": 5_250_000_000_u64, "round_blocks": 50,
                "prompts": 40, "max_prompt_tokens": 1024, "max_new_tokens": 512, "win_margin": 0.01, "max_kl_nats": 2.0, "kl_floor_nats": 1e-6
            })
        );
    }
}
