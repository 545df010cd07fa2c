//! What the document of a round says.

use super::{KIND, hex, text_digest};
use crate::ValidatorError;
use crate::stored::Details;
use distil_eval::record::canonical_json;
use distil_eval::{PROTOCOL, ScoredPrompt};
use distil_scoring::{
    Integrity, ModelScore, Outcome, PromptStatistics, Role, RoundPlan, Rules, StudentResult, StudentRun,
};
use distil_store::Round;
use distil_types::{Commitment, MinerKey, SubnetProfile};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// A round's document, as [`read`](super::read) gives it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RoundRecord {
    /// The protocol.
    pub protocol: String,
    /// `round`.
    pub kind: String,
    /// What the round is, and who takes part.
    pub plan: RoundPlan,
    /// The rules that decided.
    pub rules: Rules,
    /// The numbers of the profile that the statistics depend on.
    pub profile: ProfileRecord,
    /// The prompts, with the teacher's tokens.
    pub prompts: Vec<PromptRecord>,
    /// The teacher: model, revision, digests, and what it was computed with.
    pub teacher: Value,
    /// One entry a student, in the order of the plan.
    pub students: Vec<StudentRecord>,
    /// What the looks at winners' repositories found, in their order.
    pub integrity: Vec<IntegrityRecord>,
    /// What followed.
    pub decision: Outcome,
    /// The weights that followed, where they were sent before the record was written.
    pub weights: Value,
    /// The settings with their origins.
    pub settings: Value,
    /// SHA-256 of `positions.parquet`.
    pub positions_sha256: String,
}

/// The numbers of a profile that a record needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// Below it nobody steers an early stop.
    pub kl_floor_nats: f64,
}

/// A prompt of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptRecord {
    /// Where it is from.
    pub id: String,
    /// Its text.
    pub text: String,
    /// SHA-256 of the text.
    pub text_digest: String,
    /// [`TokenSequence::digest`](distil_eval::TokenSequence::digest) of its tokens.
    pub digest: String,
    /// Its tokens.
    pub prompt_tokens: Vec<u32>,
    /// The teacher's.
    pub continuation_tokens: Vec<u32>,
}

/// A student of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudentRecord {
    /// Who.
    pub miner: MinerKey,
    /// What it committed.
    #[serde(flatten)]
    pub commitment: Commitment,
    /// As what it took part.
    pub role: Role,
    /// Its mean KL in nats over all positions that were done, where that is a number.
    pub kl: Option<f64>,
    /// Its standard error, clustered by prompt.
    pub standard_error: Option<f64>,
    /// Positions that were done.
    pub positions: usize,
    /// The result, as the rules took it.
    pub run: StudentRun,
    /// What was loaded: architecture and files. Not `model`, which is the name of the commitment's repository.
    pub loaded: Option<Value>,
    /// What it was computed with.
    pub environment: Option<Value>,
}

/// A look at a winner's repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntegrityRecord {
    /// Whose.
    pub miner: MinerKey,
    /// What it found.
    pub found: Integrity,
}

/// The prompts that a result has.
pub(crate) fn prompts_of(result: &StudentResult) -> &[PromptStatistics] {
    match result {
        StudentResult::Completed { prompts }
        | StudentResult::EarlyStopped { prompts, .. }
        | StudentResult::Copied { prompts, .. } => prompts,
        StudentResult::Failed(_) | StudentResult::Interrupted { .. } => &[],
    }
}

fn missing(what: &'static str) -> ValidatorError {
    ValidatorError::Stored { what, problem: "it is not there".to_owned() }
}

pub(super) fn document(
    round: &Round,
    prompts: &[ScoredPrompt],
    weights: &Value,
    positions_sha256: &str,
) -> Result<Value, ValidatorError> {
    let plan = &round.start.plan;
    let outcome = round.outcome.as_ref().ok_or_else(|| missing("the decision of a round"))?;
    let teacher = round.teacher.as_ref().ok_or_else(|| missing("the teacher's pass of a round"))?;
    let prompts: Vec<PromptRecord> = prompts
        .iter()
        .map(|prompt| PromptRecord {
            id: prompt.id.clone(),
            text: prompt.text.clone(),
            text_digest: text_digest(&prompt.text),
            digest: prompt.sequence.digest(),
            prompt_tokens: prompt.sequence.prompt().to_vec(),
            continuation_tokens: prompt.sequence.continuation().to_vec(),
        })
        .collect();
    let students = plan
        .students()
        .iter()
        .map(|student| {
            let stored = round.results.get(&student.miner).ok_or_else(|| missing("a student's result"))?;
            let details: Details = serde_json::from_value(stored.details.clone()).unwrap_or_default();
            let score = ModelScore::from_prompts(prompts_of(&stored.run.result)).ok();
            Ok(StudentRecord {
                miner: student.miner,
                commitment: student.commitment.clone(),
                role: student.role,
                kl: score.map(|score| score.kl),
                standard_error: score.and_then(|score| score.standard_error),
                positions: score.map_or(0, |score| score.positions),
                run: stored.run.clone(),
                loaded: details.model,
                environment: details.environment,
            })
        })
        .collect::<Result<Vec<_>, ValidatorError>>()?;
    let settings = &round.start.settings;
    let mut document = Map::new();
    document.insert("protocol".to_owned(), json!(PROTOCOL));
    document.insert("kind".to_owned(), json!(KIND));
    document.insert("round".to_owned(), json!(plan.id()));
    document.insert("netuid".to_owned(), json!(plan.settings().netuid));
    document.insert("block".to_owned(), json!(plan.block()));
    document.insert("plan".to_owned(), json!(plan));
    document.insert("rules".to_owned(), settings["rules"].clone());
    document.insert("profile".to_owned(), settings["profile"].clone());
    document.insert("prompts".to_owned(), json!(prompts));
    document.insert("teacher".to_owned(), teacher.identity.clone());
    document.insert("students".to_owned(), json!(students));
    let integrity = round.decision.as_ref().map(|looks| looks["integrity"].clone());
    document.insert("integrity".to_owned(), integrity.filter(Value::is_array).unwrap_or_else(|| json!([])));
    document.insert("decision".to_owned(), json!(outcome));
    document.insert("weights".to_owned(), weights.clone());
    document.insert("settings".to_owned(), json!({ "pass": settings["pass"], "given": settings["recorded"] }));
    document.insert("positions_sha256".to_owned(), json!(positions_sha256));
    let sections = section_digests(&document);
    document.insert("sections".to_owned(), json!(sections));
    Ok(Value::Object(document))
}

/// SHA-256 of the canonical JSON of each part of a document, but for the digests themselves.
pub(super) fn section_digests(document: &Map<String, Value>) -> Map<String, Value> {
    document
        .iter()
        .filter(|(name, _)| *name != "sections")
        .map(|(name, part)| (name.clone(), json!(hex(&Sha256::digest(canonical_json(part))))))
        .collect()
}

impl ProfileRecord {
    /// A profile that is these numbers and otherwise the usual one.
    pub(super) fn profile(self) -> SubnetProfile {
        let mut profile = SubnetProfile::sn97();
        profile.kl_floor_nats = self.kl_floor_nats;
        profile
    }
}
