//! Draws from real files: written by the parquet crate and by pyarrow, on disk and over HTTP.

mod common;
mod disk;
mod hostile;
mod hub;
mod parquet_files;
mod reference;
mod text_files;
mod vectors;
