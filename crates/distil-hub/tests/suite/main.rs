//! The client against a real server on loopback.

mod common;
mod downloads;
mod faults;
mod listings;
mod ranges;
