//! A server on loopback that answers the Hugging Face Hub's routes from folders, with faults to order.
//!
//! Whatever speaks to the Hub can be tested against it, over real sockets and without the network: file lists, ranges,
//! redirects to a second host, LFS records, ETags, tokens, history, and everything that goes wrong on a bad day.
//!
//! ```
//! use distil_devhub::{DevHub, Fault, FaultKind, RepoKind};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("config.json"), r#"{"vocab_size": 8}"#)?;
//! std::fs::write(folder.path().join("model.safetensors"), vec![7; 5000])?;
//!
//! let hub = DevHub::start()?;
//! let commit = hub.publish(RepoKind::Model, "alice/tiny", folder.path())?;
//! let config = format!("{}/alice/tiny/resolve/{commit}/config.json", hub.endpoint());
//! assert_eq!(reqwest::blocking::get(&config)?.text()?, r#"{"vocab_size": 8}"#);
//!
//! // The next answer about this file is 503, then all is well again.
//! hub.order(Fault::new(FaultKind::Status { status: 503, retry_after: None }).on("config.json").times(1));
//! assert_eq!(reqwest::blocking::get(&config)?.status(), 503);
//! assert_eq!(reqwest::blocking::get(&config)?.status(), 200);
//! assert_eq!(hub.requests().len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is here
//!
//! - [`DevHub`]: a running server. Content is taken when it is published; a later change of the folder changes nothing.
//!   Files are streamed from disk, so they may be larger than memory.
//! - [`Fault`] and [`FaultKind`]: what is to go wrong, for which requests, how often.
//! - [`RequestRecord`]: what was asked and answered, for tests that count requests and bytes.
//!
//! # What is served
//!
//! | route | answer |
//! |---|---|
//! | `GET /api/{models,datasets}/{owner}/{name}[/revision/{rev}]` | information and file list; `?blobs=true` adds sizes and hashes, `expand[]` picks fields |
//! | `GET .../tree/{rev}[/{path}]` | entries by pages; `recursive`, `expand`, `limit`, `cursor`; `Link` leads to the next page |
//! | `POST .../paths-info/{rev}` | entries of the paths in a form or in JSON |
//! | `GET .../refs` | the branch `main` |
//! | `GET, HEAD [/datasets]/{owner}/{name}/resolve/{rev}/{path}` | a small file itself, or for an LFS file 302 to the content server |
//!
//! With [`DevHub::set_small_files_redirect`] a small file is served from `/api/resolve-cache/` after a 307, as
//! huggingface.co does for public repositories.
//!
//! `rev` is `main` or a commit. A file is held by LFS as the Hub's `.gitattributes` would have it: weights, archives and
//! tables by their extension, `tokenizer.json`, and whatever is larger than 10 MB. The content server is at another
//! port: it serves signed URLs only, has its own ETags, and refuses requests that bear a token, since a client that
//! sends it one has leaked it. Xet is not spoken: no answer has its headers, and clients fall back to plain HTTP.
//!
//! Repositories that are private, removed or never were answer 401 without a token and 404 with one that is not
//! accepted; a gated one lists its files and refuses to give them; all refusals have the Hub's `X-Error-Code`. Of one
//! whose LFS objects were deleted ([`DevHub::lose_content`]) the listing stays, and the content server answers 404.

#![forbid(unsafe_code)]

mod answer;
mod api;
mod body;
mod connection;
mod error;
mod fault;
mod git;
mod handler;
mod hub;
mod name;
mod parameters;
mod range;
mod record;
mod repository;
mod route;
mod state;
mod store;

pub use error::DevHubError;
pub use fault::{Fault, FaultKind};
pub use hub::DevHub;
pub use name::RepoKind;
pub use record::{RequestRecord, Server};
pub use repository::Visibility;
