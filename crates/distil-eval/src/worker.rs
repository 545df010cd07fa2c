//! Passes in processes of their own: what a model does to the process that runs it, it does to that process alone.
//!
//! A worker is any program that speaks the protocol of `PROTOCOL.md` (beside this crate's sources) on standard input
//! and output: `distil worker`, or `distil-worker` on a host with a GPU, reached by `ssh gpu-host distil-worker`. For
//! each pass one is started, given one request, and ended.
//!
//! ```no_run
//! use std::num::NonZeroUsize;
//! use std::ops::ControlFlow;
//! use distil_eval::{GenerationRules, Prompt};
//! use distil_eval::worker::{
//!     ModelLocation, PassSettings, TeacherPrompts, TeacherRequest, Worker, WorkerCommand, WorkerLimits,
//! };
//! use distil_model::Sampling;
//!
//! let command = WorkerCommand::shell("ssh gpu-host distil-worker", std::env::vars_os());
//! let worker = Worker::new(command, WorkerLimits::default());
//! let request = TeacherRequest {
//!     model: ModelLocation::hub("Qwen/Qwen3.5-35B-A3B".parse()?, "0123456789abcdef0123456789abcdef01234567".parse()?),
//!     cache_key: "round-7855200".parse()?,
//!     prompts: TeacherPrompts::Continue(Prompt::numbered(["Call me Ishmael. Some years ago"])),
//!     generation: GenerationRules { max_prompt_tokens: 1024, max_new_tokens: 512, sampling: Sampling::Greedy },
//!     settings: PassSettings::cpu(NonZeroUsize::MIN),
//! };
//! let teacher = worker.teacher_pass(&request, &mut |_event| {})?;
//! let student = ModelLocation::hub("alice/tiny".parse()?, "89abcdef0123456789abcdef0123456789abcdef".parse()?);
//! let student = worker.score_student(
//!     &teacher.student_request(student, &request.settings),
//!     &mut |_prompt, _kl_nats| ControlFlow::Continue(()),
//!     &mut |_event| {},
//! )?;
//! assert_eq!(student.positions_kl_nats.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Whose fault it is
//!
//! A pass that fails gives a [`WorkerError`], and its [`Blame`] says who is to answer for it. Only
//! [`Blame::Model`] may ever count against a model: that is what happened once its own weights were being read or run.
//! What happens before, to the network, or to the host, is not.
//!
//! # What a worker gets
//!
//! Its environment is emptied but for a short list ([`WorkerCommand`]), so that it has no keys to lose. It is the
//! leader of a process group that is killed as a whole in the end.
//!
//! Nothing that a worker says is taken on trust: lines are bounded before they are kept, counts have to be those of
//! the request, and numbers those that a divergence can have.

mod client;
mod command;
mod error;
mod process;
mod protocol;
mod request;
mod serve;
mod session;

pub use client::{Worker, WorkerEvent, WorkerLimits};
pub use command::WorkerCommand;
pub use error::{Blame, Ending, HungBy, WorkerError};
pub use protocol::{PROTOCOL_VERSION, Stage};
pub use request::{
    CacheKey, ComputeDevice, InvalidRequest, ModelLocation, PassSettings, StudentRequest, StudentResult,
    TeacherCacheId, TeacherPrompts, TeacherRequest, TeacherResult,
};
pub use serve::serve;
