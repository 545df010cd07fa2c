//! The C interface that `benches/kl_torch.py` drives: the KL kernels, the bandwidth probe and
//! candle's naive form, on buffers that Python owns.

#![expect(unsafe_code, reason = "a C interface")]

use std::num::NonZeroUsize;
use std::slice::from_raw_parts;

use candle_core::{Device, Tensor};
use distil_benches::{ReadStyle, candle_naive_kl, read_pairs};
use distil_kl::{Kernel, Logit, Path, Rows, Threads};
use half::bf16;

/// A pair of `[rows, columns]` matrices, contiguous; `element_bytes` is 2 for bf16 and 4 for f32.
#[repr(C)]
pub struct Pair {
    teacher: *const u8,
    student: *const u8,
    rows: usize,
    columns: usize,
    element_bytes: usize,
}

fn path(index: usize) -> Option<Kernel> {
    Path::ALL.get(index).copied().and_then(Kernel::new)
}

/// 1 if the path with this index (AVX-512, AVX2, portable) can run here, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn distil_path_available(index: usize) -> i32 {
    path(index).is_some().into()
}

/// KL of each row in nats. Returns 0, or −1 for arguments that make no sense.
///
/// # Safety
///
/// The pair must describe readable memory, and `kl_nats` hold one `f64` per row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distil_kl_rows(pair: &Pair, path_index: usize, threads: usize, kl_nats: *mut f64) -> i32 {
    let (Some(kernel), Ok(threads)) = (path(path_index), Threads::try_from(threads)) else {
        return -1;
    };
    // SAFETY: the caller's promise.
    let result = unsafe {
        let kl_nats = std::slice::from_raw_parts_mut(kl_nats, pair.rows);
        match pair.element_bytes {
            2 => kl_rows::<bf16>(kernel, pair, threads, kl_nats),
            4 => kl_rows::<f32>(kernel, pair, threads, kl_nats),
            _ => None,
        }
    };
    if result.is_some() { 0 } else { -1 }
}

/// # Safety
///
/// The pair must describe readable memory of `T`.
unsafe fn kl_rows<T: Logit>(kernel: Kernel, pair: &Pair, threads: Threads, kl_nats: &mut [f64]) -> Option<()> {
    let values = pair.rows * pair.columns;
    // SAFETY: the caller's promise.
    let (teacher, student) =
        unsafe { (from_raw_parts(pair.teacher.cast(), values), from_raw_parts(pair.student.cast(), values)) };
    let teacher = Rows::<T>::new(teacher, pair.rows, pair.columns).ok()?;
    let student = Rows::<T>::new(student, pair.rows, pair.columns).ok()?;
    kernel.kl_rows(teacher, student, threads, kl_nats).ok()
}

/// Reads both matrices once; see [`read_pairs`]. Returns a sum over them.
///
/// # Safety
///
/// The pair must describe readable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distil_read(pair: &Pair, threads: usize, prefetched: i32) -> u64 {
    let bytes = pair.rows * pair.columns * pair.element_bytes;
    // SAFETY: the caller's promise.
    let (teacher, student) = unsafe { (from_raw_parts(pair.teacher, bytes), from_raw_parts(pair.student, bytes)) };
    let style = if prefetched == 0 { ReadStyle::Plain } else { ReadStyle::Prefetched };
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    read_pairs(teacher, student, pair.rows, threads, style)
}

/// Copies the pair into candle tensors, outside of what is timed. Null if candle refuses.
///
/// # Safety
///
/// The pair must describe readable memory. The result is to be freed with
/// [`distil_candle_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distil_candle_new(pair: &Pair) -> *mut (Tensor, Tensor) {
    let shape = (pair.rows, pair.columns);
    let values = pair.rows * pair.columns;
    let tensor = |from: *const u8| match pair.element_bytes {
        // SAFETY: the caller's promise.
        2 => Tensor::from_slice(unsafe { from_raw_parts(from.cast::<bf16>(), values) }, shape, &Device::Cpu),
        // SAFETY: the caller's promise.
        _ => Tensor::from_slice(unsafe { from_raw_parts(from.cast::<f32>(), values) }, shape, &Device::Cpu),
    };
    match (tensor(pair.teacher), tensor(pair.student)) {
        (Ok(teacher), Ok(student)) => Box::into_raw(Box::new((teacher, student))),
        _ => std::ptr::null_mut(),
    }
}

/// candle's naive form; see [`candle_naive_kl`]. Returns 0, or −1 if candle refuses.
///
/// # Safety
///
/// `tensors` comes from [`distil_candle_new`], and `kl_nats` holds one `f32` per row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distil_candle_kl(tensors: *const (Tensor, Tensor), kl_nats: *mut f32) -> i32 {
    // SAFETY: the caller's promise.
    let (teacher, student) = unsafe { &*tensors };
    let Ok(kl) = candle_naive_kl(teacher, student).and_then(|kl| kl.to_vec1::<f32>()) else {
        return -1;
    };
    // SAFETY: the caller's promise.
    unsafe { kl_nats.copy_from_nonoverlapping(kl.as_ptr(), kl.len()) };
    0
}

/// # Safety
///
/// `tensors` comes from [`distil_candle_new`] and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distil_candle_free(tensors: *mut (Tensor, Tensor)) {
    if !tensors.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(tensors) });
    }
}
