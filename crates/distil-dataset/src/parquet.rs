//! One text column of parquet files, a row at a time, from a file that may be hostile and may be far away.
//!
//! Why not a library's reader: those decode what a file says of itself before it can be bounded (a page's claim of
//! 2^40 lengths is allocated, gzip is inflated to its end), read a footer whole, of which a draw needs a part, and
//! bring all columns' metadata into memory. What is needed here is one column of strings, without nesting.

mod codec;
mod footer;
mod page;
mod thrift;
mod values;

pub(crate) use footer::{FooterIndex, RowGroup, RowPlace};
pub(crate) use page::TextChunk;
