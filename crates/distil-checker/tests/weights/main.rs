//! Digests of weights, distances between models and integrity, on real files and over a real server.

mod common;
mod digest;
mod integrity;
mod near_copy;
