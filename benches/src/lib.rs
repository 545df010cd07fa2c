//! Benchmarks of the workspace, and what they are measured against.
//!
//! `cargo bench -p distil-benches --bench kl` compares the KL kernels with each other, with the
//! machine's read bandwidth and with candle's own operations. `benches/kl_torch.py` compares them
//! with PyTorch, on the same buffers in one process. `--bench hashing` compares the hashing of files with `sha256sum`.
//! Results are kept under `benches/record/`.

mod bandwidth;
mod candle_naive;

pub use bandwidth::{ReadStyle, read_pairs};
pub use candle_naive::candle_naive_kl;
