//! A repository, good or bad, through the front door: `check` on folders and on a Hub. Tests that hold a row of the
//! threat list begin with its letter and number.

mod common;
mod configuration;
mod counts;
mod good_models;
mod hub;

mod stored;
mod threats;
mod tokenizers;
