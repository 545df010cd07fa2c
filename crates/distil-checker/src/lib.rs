//! What a model's repository holds, judged before anyone loads it.
//!
//! A repository, in a folder or on the Hugging Face Hub, is judged by its list of files, its configuration, its tokenizer
//! and the headers of its safetensors files: some kilobytes, whatever the size of the weights. Once the weights are on
//! disk they are digested, and compared with others. Nothing of a repository is ever run.
//!
//! ```
//! use distil_checker::{Code, FolderRepository, Requirements, Severity, check};
//! use distil_types::SubnetProfile;
//!
//! // A folder with a configuration, a pickle, and no weights that anyone should load.
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("config.json"), r#"{"model_type": "qwen3_5", "vocab_size": 248320}"#)?;
//! std::fs::write(folder.path().join("pytorch_model.bin"), "…")?;
//!
//! let requirements = Requirements::from_profile(&SubnetProfile::sn97());
//! let report = check(&FolderRepository::open(folder.path())?, &requirements);
//! for finding in report.findings() {
//!     println!("{finding}"); // error pickle_weights: the repository holds pickled weights ("pytorch_model.bin", …
//! }
//! assert!(!report.pass());
//! assert!(report.has(Code::PickleWeights, Severity::Error));
//! assert!(report.has(Code::NoSafetensors, Severity::Error));
//! assert!(report.has(Code::ConfigInvalid, Severity::Error), "hidden_size and others are missing");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Concepts
//!
//! - A [`Repository`] is what a check sees of a model: names, sizes, and parts of files. [`FolderRepository`] and
//!   [`HubRepository`] are its two kinds; [`open`] finds out which one a name means.
//! - [`Requirements`] are what a student has to be: a vocabulary and a limit on parameters, from a subnet's profile, and
//!   a tokenizer, from a teacher's files ([`TeacherFacts`]).
//! - A [`CheckReport`] holds everything that was found, not the first: each [`Finding`] has a [`Code`] for programs, a
//!   [`Severity`], a sentence that says what to do, and the figures behind it. [`check_model`] gives one for any name,
//!   also for that of a repository that is gone.
//! - A failure to look is no finding against anyone. 401, 403 and 404 speak of the repository; a rate limit, a timeout, a
//!   cut connection or a disk of ours do not, and the [`Verdict`] is [`CannotTell`](Verdict::CannotTell).
//! - [`ModelConfig`] is what the model loader of this workspace understands of a `config.json`, with the tensors and the
//!   parameters that follow from it. What a loader would refuse, the check refuses.
//! - [`ModelDigest`] identifies weights whatever way they are stored, [`files_digest`] the files as they are, and
//!   [`weight_distance`] says how near two models' weights are.
//!
//! # What is refused, and what is only told of
//!
//! - Weights in two formats are refused even where the safetensors are complete: two sets of weights are two models, and
//!   which of them one gets is up to the tool. What a trainer leaves beside them (`optimizer.pt`) is a warning.
//! - The limit is on the parameters of every safetensors file, whether a loader reads it or not.
//! - The language model's tensors have to be in BF16 or F16, those two of Qwen3.5 excepted that its makers publish in F32.
//!   A vision tower or multi-token prediction, which nobody loads, may be in any floating-point dtype.
//! - Of the tokenizer, what decides which ids a text gets has to be the teacher's: vocabulary, merges, added tokens.
//!   Normaliser, pre-tokenizer, decoder and chat template are warnings. The post-processor is not looked at: it adds
//!   special tokens, and scoring adds none.
//! - Tensors that the configuration does not call for are told of, and so is everything that makes two tools read
//!   different weights from one repository.
//!
//! # Bounds
//!
//! Everything comes from strangers and is bounded before it is allocated: see [`MAX_FILES`], [`MAX_CONFIG_BYTES`],
//! [`MAX_HEADER_BYTES`], [`MAX_ALL_HEADER_BYTES`], [`MAX_INDEX_BYTES`], [`MAX_TOKENIZER_BYTES`]. JSON is bounded in depth
//! and in the number of its values as well, and a key that is there twice is refused. Texts from a repository are
//! shortened and made printable before they enter a message.

#![forbid(unsafe_code)]

mod attribution;
mod check;
mod config;
mod digest;
mod error;
mod expected;
mod files;
mod findings;
mod hashing;
mod header;
mod integrity;
mod json;
mod loader_files;
mod local;
mod names;
mod near_copy;
mod parallel;
mod report;
mod repository;
mod requirements;
mod template;
mod text;
mod tokenizer;
mod values;
mod weights;

pub use attribution::{Attribution, Claim, attribute};
pub use check::{check, check_model};
pub use config::{Architecture, ConfigParameters, MAX_CONFIG_BYTES, ModelConfig};
pub use digest::{ModelDigest, TensorDigest, digest_model, digest_model_and_files};
pub use error::CheckerError;
pub use findings::{Code, Finding, Severity};
pub use hashing::{FileDigest, files_digest, hash_files};
pub use header::{
    HeaderError, MAX_DIMENSIONS, MAX_FORMAT_HEADER_BYTES, MAX_HEADER_BYTES, MAX_TENSOR_NAME_BYTES, SafetensorsHeader,
    TensorEntry,
};
pub use integrity::{
    Absence, AbsenceKind, AbsenceLog, ExpectedFile, ExpectedRepository, Integrity, IntegrityWatch, is_loader_file,
};
pub use loader_files::loader_files;
pub use local::LocalModel;
pub use names::{ExpertLayout, ExpertMatrix, canonical_name, expert_name};
pub use near_copy::{
    Comparison, DifferenceClass, NearCopyRule, NearCopyVerdict, TensorDistance, WeightDistance, weight_distance,
};
pub use parallel::BytesRead;
pub use report::{CheckReport, DigestReport, Parameters, Verdict};
pub use repository::{FolderRepository, HubRepository, MAX_FILES, MAX_READ_BYTES, Repository, Traffic, open};
pub use requirements::{Requirements, TeacherFacts};
pub use tokenizer::{MAX_TOKENIZER_BYTES, MAX_VOCABULARY};
pub use weights::{MAX_ALL_HEADER_BYTES, MAX_INDEX_BYTES, MAX_INDEXED_TENSORS, MAX_WEIGHT_FILES};
