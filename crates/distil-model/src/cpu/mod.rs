//! Kernels for f32 on the CPU, where candle's operations are single-threaded or make needless passes over memory. Each
//! has a counterpart in plain tensor operations beside the layer that uses it, which every other device and dtype
//! takes; tests hold the two against each other.
//!
//! All of them split their work by sequence, head or row, never within a sum, so results don't depend on the number of
//! threads.

pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod delta_rule;
pub(crate) mod elementwise;
pub(crate) mod product;
mod simd;

use candle_core::{CpuStorage, DType, Storage, Tensor};

/// True for tensors that these kernels take: f32, contiguous, on the CPU.
pub(crate) fn is_fast(tensor: &Tensor) -> bool {
    tensor.dtype() == DType::F32 && tensor.device().is_cpu() && tensor.is_contiguous()
}

/// `x Wᵀ`: `[rows, in]` and `[out, in]` give `[rows, out]`.
pub(crate) fn times_transposed(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    if is_fast(x)
        && is_fast(weight)
        && let Some(product) = product::times_transposed(x, weight)
    {
        return product;
    }
    x.matmul(&weight.t()?)
}

/// Lends the values of a tensor that [`is_fast`].
pub(crate) fn with_values<R>(
    tensor: &Tensor,
    f: impl FnOnce(&[f32]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => f(&values[start..end]),
        _ => candle_core::bail!("a contiguous f32 tensor on the CPU was expected"),
    }
}

#[cfg(test)]
mod tests;
