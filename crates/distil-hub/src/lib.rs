//! The Hugging Face Hub, for programs that decide about other people's work: a small blocking client that knows the
//! difference between "it is gone" and "I could not look".
//!
//! ```no_run
//! use distil_hub::{Hub, HubSettings, RepoKind};
//!
//! let settings = HubSettings::from_environment(|name| std::env::var(name).ok())?;
//! let hub = Hub::new(settings)?;
//! let snapshot = hub.snapshot(RepoKind::Model, &"Qwen/Qwen3.5-0.8B".parse()?, None)?;
//! for file in &snapshot.files {
//!     println!("{:>12} {}", file.size, file.path);
//! }
//! let config = snapshot.file("config.json").expect("every model has one");
//! let bytes = hub.read_range(&snapshot, config, 0..config.size)?;
//! let folder = hub.download(&snapshot, &|file| file.path.ends_with(".json"), &mut |_| {})?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Concepts
//!
//! - A [`Snapshot`] is a repository at one commit: its files with sizes and hashes, in one request. Later looks at the
//!   same commit are conditional on its `etag`.
//! - [`Hub::read_range`] brings exactly the bytes asked for, or fails; nothing is allocated for what a server says.
//! - [`Hub::download`] brings files whole into the cache that huggingface_hub and hf-hub share. It goes on where an
//!   earlier run was cut, and gives a file its name only after its hash is the one listed.
//! - [`HubError`] tells absence (401, 403, 404) from what may be the network's or the Hub's fault (429, 5xx, timeouts,
//!   resets, cut bodies).
//! - [`Patience`] is how long and how often is tried. Every request has a deadline, and `Retry-After` is honoured.
//!
//! # What is hf-hub's, and what is ours
//!
//! The crate [`hf_hub`] reads the cache. Requests are sent here, since its 1.0.0 sets no deadline, does not honour
//! `Retry-After`, neither resumes nor verifies a download (it keeps the body of a failed `GET` as if it were the file),
//! cannot ask conditionally, and lists neither sizes nor hashes in one request.

#![forbid(unsafe_code)]

mod answers;
mod cache;
mod client;
mod download;
mod error;
mod repo;
mod settings;
mod text;
mod transport;

pub use client::{Hub, Traffic};
pub use download::DownloadProgress;
pub use error::HubError;
pub use repo::{NotADigest, RepoAt, RepoFile, RepoKind, Sha256Digest, Snapshot};
pub use settings::{HubSettings, Patience, Token};
