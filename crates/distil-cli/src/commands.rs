//! The commands. Each is a module with a `run` that takes its settings and writes its result to the output it is
//! given.

pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod completions;
pub(crate) mod config_show;
pub(crate) mod decide;
pub(crate) mod demo;
pub(crate) mod devnet;
pub(crate) mod prompts;
pub(crate) mod score_local;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod validate;
pub(crate) mod verify;
