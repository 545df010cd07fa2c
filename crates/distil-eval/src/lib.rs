//! Scores students against a teacher: how far are a student's next-token distributions from the teacher's?
//!
//! The teacher continues prompts, and at every position of its continuations KL(teacher ‖ student) is taken over the
//! whole vocabulary. [`score`] does all of it for models in folders:
//!
//! ```
//! use std::{num::NonZeroUsize, path::Path, time::Instant};
//! use distil_eval::{ModelSource, Prompt, ScoreRequest, ScoreSettings};
//!
//! // Tiny trained models that lie beside the code.
//! let folder = Path::new("../../examples/data/tiny");
//! let mut models =
//!     ModelSource::name_folders(["teacher", "student-a", "student-b"].map(|name| folder.join(name))).into_iter();
//! let request = ScoreRequest {
//!     teacher: models.next().expect("three were named"),
//!     students: models.collect(),
//!     prompts: Prompt::numbered(["Call me Ishmael. Some years ago", "The great whale"]),
//!     settings: ScoreSettings { max_new_tokens: 16, ..ScoreSettings::cpu(NonZeroUsize::MIN) },
//! };
//! let started = Instant::now();
//! let outcome = distil_eval::score(&request, &|| started.elapsed(), &mut |_event| {})?;
//! let [better, worse] = &outcome.report.students[..] else { unreachable!("two students") };
//! assert!(better.kl < worse.kl, "nats over {} positions", better.positions);
//! # Ok::<(), distil_eval::EvalError>(())
//! ```
//!
//! # Concepts
//!
//! - **Teacher pass** ([`teacher_pass`]): prompts become tokens, the teacher continues them, and one forward pass over
//!   prompts and continuations gives its final hidden states. They make the [`TeacherCache`], which can be kept in a
//!   file. With the teacher's output head it stands for the whole teacher from then on.
//! - **Student pass** ([`score_students`]): the student takes the same way over the same tokens. Both models' logits
//!   are made from hidden states for one tile of the vocabulary at a time while the KL is summed, so memory does not
//!   grow with the vocabulary.
//! - **Failure**: a student that can't be loaded, has a vocabulary of another size or gives NaN gets status `failed`
//!   with a reason, and the others go on.
//! - **Copies and early stop**: a student whose KL follows an earlier one's position by position is marked; one that
//!   trails the first eligible student beyond doubt stops, if [`ScoreSettings::early_stop`] is on.
//! - **Progress** comes as [`Event`]s, time from the caller's clock.
//! - **[`worker`]**: the same passes in processes of their own, on this host or another.
//! - **[`record`]**: the files by which others can check a run.

mod atomic;
mod cache;
mod divergence;
mod driver;
mod error;
mod event;
mod memory;
mod outcome;
mod progress;
pub mod record;
mod report;
mod request;
mod sequence;
mod student;
mod teacher;
mod texts;
pub mod worker;

pub use cache::{CachedPrompt, GenerationRules, TeacherCache};
pub use distil_scoring::PromptStatistics;
pub use driver::{TeacherPass, score, score_students, teacher_pass, teacher_pass_over};
pub use error::EvalError;
pub use event::{Event, Phase, Work};
pub use memory::peak_rss_bytes;
pub use outcome::{ModelIdentity, ScoreOutcome, ScoredPrompt, StudentOutcome, TeacherIdentity};
pub use report::{PROTOCOL, PromptReport, ScoreReport, StudentReport, StudentStatus, TeacherReport};
pub use request::{ModelSource, Prompt, ScoreRequest, ScoreSettings};
pub use sequence::TokenSequence;
pub use texts::token_texts;
