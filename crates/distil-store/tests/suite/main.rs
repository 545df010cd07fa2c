//! The store as its users meet it: real files, real processes.

mod common;
mod contenders;
mod crash;
mod files;
mod legacy;
mod round_trips;
mod rounds;
mod verdicts;
mod weights;
