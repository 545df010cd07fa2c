//! The program as its users meet it: run with arguments, judged by its exit code and what it prints and writes.

mod bad_input;
mod common;
mod score_local;
mod settings;
