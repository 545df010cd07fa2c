//! The server as an HTTP client meets it. One program, since linking it takes longer than running it.

mod common;
mod content;
mod faults;
mod listing;
mod program;
mod refusals;
