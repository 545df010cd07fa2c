use crate::{Disqualification, DisqualificationCode};
use distil_types::MinerKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a second look at a repository, at its pinned revision, found: before a crown is given and before weights are
/// set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "integrity", rename_all = "snake_case")]
pub enum Integrity {
    /// It is what was measured.
    Same,
    /// It answers, with other content than what was measured.
    Changed {
        /// What differs.
        evidence: Value,
    },
    /// It is not there, or closed.
    Gone {
        /// Whether that is proven: three refusals over an hour or more, each while the teacher's repository answered.
        /// Until then it may come back.
        proven: bool,
        /// What was seen.
        evidence: Value,
    },
    /// Nobody can tell: the network, a rate limit, a fault of ours.
    CantTell {
        /// Why.
        reason: String,
    },
}

impl Integrity {
    /// The disqualification that follows, if any: for content that changed and for a repository proven to be gone.
    pub fn disqualifies(&self, miner: MinerKey) -> Option<Disqualification> {
        let (code, sentence, evidence) = match self {
            Integrity::Changed { evidence } => (
                DisqualificationCode::Invalid,
                "the repository no longer holds, at the committed revision, the files that were measured",
                evidence,
            ),
            Integrity::Gone { proven: true, evidence } => (
                DisqualificationCode::Removed,
                "the repository was removed or closed: it was refused three times over an hour or more while the \
                 teacher's answered",
                evidence,
            ),
            Integrity::Same | Integrity::Gone { proven: false, .. } | Integrity::CantTell { .. } => return None,
        };
        Some(Disqualification { miner, code, sentence: sentence.to_owned(), evidence: evidence.clone() })
    }
}
