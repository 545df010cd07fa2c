//! The program as its users meet it: run with arguments, judged by its exit code and what it prints and writes.

mod agreement;
mod bad_input;
mod check;
mod commit;
mod common;
mod decide;
mod demo;
mod devnet;
mod hub_names;
mod prompts;
mod score_local;
mod settings;
mod state;
mod validate;
mod worker;
