//! Whole runs on the tiny models of `examples/data/tiny`. One program, since linking it takes longer than running it.

mod cache;
mod common;
mod parity;
mod processes;
mod record;
mod runs;
