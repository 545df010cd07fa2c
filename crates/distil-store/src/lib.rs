//! What a validator knows, in one SQLite file: commitments as first seen, verdicts with their evidence, rounds, crowns,
//! and weights intended, sent and confirmed.
//!
//! Each method is one transaction: a step is in the store or it did not happen. A program that was killed opens the
//! store again, reads what is there, and goes on.
//!
//! ```
//! use distil_scoring::{CheckVerdict, Miner, Rules, Seat, plan};
//! use distil_store::{NewRound, RoundPrompt, Store, StoreReader};
//! use distil_types::{BlockHash, BlockRef, Hotkey, MinerKey, SubnetProfile, Uid};
//! # use distil_scoring::RoundSettings;
//! # let settings = RoundSettings { protocol: "distil/1".into(), code_version: "0.1.0".into(),
//! #     netuid: distil_types::NetUid(97), teacher: "lab/teacher".parse()?,
//! #     teacher_revision: "0123456789abcdef0123456789abcdef01234567".parse()?, source: "corpus.txt".into(),
//! #     sampler: "distil".into(), prompts: 1, max_prompt_tokens: 1024, max_new_tokens: 512,
//! #     continuation: "greedy".into() };
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let now_unix_ms = 1_700_000_000_000;
//! let mut store = Store::open(folder)?;
//! assert!(store.king()?.is_none(), "nobody was crowned yet");
//!
//! let key = MinerKey::new(Hotkey::from_account_id([1; 32]), 120);
//! let commitment = serde_json::from_str(
//!     r#"{"model": "alice/qwen-4b", "revision": "0123456789abcdef0123456789abcdef01234567"}"#,
//! )?;
//! let mut miner = Miner::new(key, commitment);
//! miner.check = CheckVerdict::Passed;
//! miner.seat = Some(Seat { uid: Uid(3), hotkey: key.hotkey, registered_at_block: 100 });
//!
//! let block = BlockRef { number: 150, hash: BlockHash::from_bytes([7; 32]) };
//! let rules = Rules::of(&SubnetProfile::sn97());
//! let plan = plan(block, &settings, None, &[miner], &rules)?.round.expect("the throne is vacant");
//! let prompts = vec![RoundPrompt { id: "corpus.txt:0".into(), digest: "9f86".into(), text: "Call me".into() }];
//! let round = store.begin_round(&NewRound { plan, prompts, settings: serde_json::json!({}) }, now_unix_ms)?;
//!
//! // A program that is killed here finds the round open, with everything recorded so far.
//! let open = store.open_round()?.expect("one is open");
//! assert_eq!(open.students_without_result().count(), 1);
//! store.void_round(round, "the worker was taken away", now_unix_ms)?;
//!
//! // Others may look at any time.
//! assert_eq!(StoreReader::open(folder)?.rounds(0, 10)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Concepts
//!
//! - **A miner is a [`MinerKey`](distil_types::MinerKey)**: its hotkey and the block of its commitment. A UID is kept
//!   only to be shown, and as where weight was sent; nothing is ever looked up by it.
//! - **One writer**: [`Store`] holds a lock that ends with its process. [`StoreReader`] has all that only reads, works
//!   beside a writer, and a `Store` is one as well.
//! - **A round** is begun, decided and finished, or void. There is one open round at most; a finished one never changes
//!   again. What the rules forbid, the tables themselves forbid too.
//! - **The king is a stored fact**, changed by [`Store::finish_round`] and [`Store::vacate`], never computed from scores.
//! - **Time comes in as a parameter**, in milliseconds since 1970 UTC.

#![forbid(unsafe_code)]

mod blobs;
mod checks;
mod contenders;
mod digest;
mod error;
mod interruptions;
mod king;
mod legacy;
mod lock;
mod rounds;
mod schema;
mod seen;
mod sql;
mod store;
mod verdicts;
mod views;
mod weights;

pub use checks::{CheckRecord, CheckState};
pub use contenders::Contender;
pub use digest::{Bf16Digest, RawDigest, RecordDigest, TensorDigests};
pub use error::StoreError;
pub use interruptions::Interruptions;
pub use king::{Announcement, King, Reign, ReignEnd};
pub use legacy::{ImportEntry, ImportOptions, ImportOutcome, ImportReport, ImportedItem, preview_import};
pub use rounds::{
    FailedTry, NewRound, Round, RoundNumber, RoundPrompt, RoundState, StoredResult, TeacherRecord, TokenRecord,
    WrittenRecord,
};
pub use seen::{FirstSeenEntry, MAX_ENTRY_BYTES, SeenEntry, SeenMiner, SeenSubmission, StoredMiner};
pub use store::{STORE_FILE, Store, StoreReader};
pub use verdicts::{IsolatedFailure, Lifted, StoredDisqualification};
pub use views::{LeaderboardEntry, MinerStatus, RoundProgress, RoundSummary, Standing, Status};
pub use weights::{SentWeights, StoredWeights, WeightsId, WeightsIntention, WeightsKind, WeightsState};
