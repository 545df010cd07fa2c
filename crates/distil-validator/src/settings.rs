//! What a validator is told.

use distil_chain::TransactionWait;
use distil_chain::timelock::DrandNetwork;
use distil_dataset::PromptSource;
use distil_dataset::Seed;
use distil_eval::GenerationRules;
use distil_eval::worker::PassSettings;
use distil_model::Sampling;
use distil_scoring::{RoundSettings, Rules};
use distil_store::NewRound;
use distil_types::{BlockRef, Revision, SubnetProfile};
use serde_json::{Value, json};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// How a validator works. Everything that decides about numbers goes into the rounds' ids and records.
#[derive(Debug, Clone)]
pub struct ValidatorSettings {
    /// The subnet, its teacher, and what a student may be.
    pub profile: SubnetProfile,
    /// The commit of the teacher's repository.
    pub teacher_revision: Revision,
    /// Where prompts come from.
    pub source: PromptSource,
    /// Where lists and footers of the source are kept, if anywhere.
    pub source_cache: Option<PathBuf>,
    /// The rules of the crown.
    pub rules: Rules,
    /// How the teacher continues prompts.
    pub continuation: Continuation,
    /// How the worker computes.
    pub pass: PassSettings,
    /// Repositories that are checked at the same time.
    pub checks_at_once: NonZeroUsize,
    /// Threads for hashing and comparing weights, and for drawing prompts.
    pub threads: NonZeroUsize,
    /// The folder of the records.
    pub records: PathBuf,
    /// The version of the program, which is part of what a round is.
    pub code_version: String,
    /// The version key of weights; the chain's is sent where that is higher.
    pub weights_version: u64,
    /// The beacon that the chain follows.
    pub drand: DrandNetwork,
    /// Milliseconds from one block to the next.
    pub block_time_ms: u64,
    /// How transactions are followed.
    pub transaction_wait: TransactionWait,
    /// The settings with their origins, for records; nothing of the host.
    pub recorded: Value,
}

impl ValidatorSettings {
    /// What is part of a round's id.
    pub(crate) fn round_settings(&self) -> RoundSettings {
        RoundSettings {
            protocol: distil_eval::PROTOCOL.to_owned(),
            code_version: self.code_version.clone(),
            netuid: self.profile.netuid,
            teacher: self.profile.teacher.clone(),
            teacher_revision: self.teacher_revision,
            source: source_name(&self.source),
            sampler: distil_dataset::Sampler::Distil.to_string(),
            prompts: self.profile.prompts,
            max_prompt_tokens: self.profile.max_prompt_tokens,
            max_new_tokens: self.profile.max_new_tokens,
            continuation: self.continuation.to_string(),
        }
    }

    /// What a round that begins now is stored with, beside its plan.
    pub(crate) fn round_document(&self) -> Value {
        json!({
            "rules": self.rules,
            "profile": self.profile,
            "pass": {
                "device": self.pass.device.to_string(),
                "dtype": self.pass.dtype.as_str(),
                "threads": self.pass.threads,
                "batch_tokens": self.pass.batch_tokens,
            },
            "recorded": self.recorded,
        })
    }

    /// The first thing in which a round that was begun before differs from one that would begin now, so that results
    /// from both would not be comparable. The number of threads changes none, and origins of settings are no settings.
    pub(crate) fn differs_from(&self, round: &NewRound) -> Option<String> {
        // Written and read once, as what is stored was.
        let read = |value: Value| serde_json::from_str(&value.to_string()).unwrap_or(value);
        let now = (read(json!(self.round_settings())), read(self.round_document()));
        let then = (read(json!(round.plan.settings())), &round.settings);
        let mut parts = vec![(&now.0, &then.0, String::new())];
        parts.extend(["rules", "profile", "pass"].map(|part| (&now.1[part], &then.1[part], format!("{part}."))));
        parts.into_iter().find_map(|(now, then, prefix)| {
            let names = now.as_object().into_iter().chain(then.as_object()).flat_map(|object| object.keys());
            let mut names = names.filter(|name| *name != "threads");
            let name = names.find(|name| now.get(name) != then.get(name))?;
            let text = |value: &Value| value.get(name).map_or_else(|| "nothing".to_owned(), Value::to_string);
            Some(format!("{prefix}{name} was {} and is {}", text(then), text(now)))
        })
    }

    /// How the teacher continues the prompts of a block.
    pub(crate) fn generation(&self, block: BlockRef) -> GenerationRules {
        let sampling = match self.continuation {
            Continuation::Greedy => Sampling::Greedy,
            Continuation::Sampled { temperature, top_p } => {
                let seed = *Seed::of_block(self.profile.netuid, block).as_bytes();
                Sampling::TopP { temperature, top_p, seed }
            }
        };
        GenerationRules {
            max_prompt_tokens: self.profile.max_prompt_tokens,
            max_new_tokens: self.profile.max_new_tokens,
            sampling,
        }
    }
}

/// How the teacher continues prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Continuation {
    /// By the likeliest token.
    Greedy,
    /// By draws that the round's seed decides.
    Sampled {
        /// Above 0.
        temperature: f64,
        /// Above 0 and at most 1.
        top_p: f64,
    },
}

/// `greedy`, or `temperature 0.7, top_p 0.9`.
impl fmt::Display for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Continuation::Greedy => f.write_str("greedy"),
            Continuation::Sampled { temperature, top_p } => write!(f, "temperature {temperature}, top_p {top_p}"),
        }
    }
}

/// A source as records name it: one on this host by the last part of its path, since the rest concerns nobody.
pub(crate) fn source_name(source: &PromptSource) -> String {
    match source {
        PromptSource::Path(path) => {
            let name = path.file_name().map_or_else(|| "folder".to_owned(), |name| name.to_string_lossy().into_owned());
            format!("path:{name}")
        }
        hub => hub.to_string(),
    }
}
