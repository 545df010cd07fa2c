//! `x Wᵀ` in f32, for weights as checkpoints store them: one row of `[out, in]` an output.
//!
//! For few rows of x, as in decoding: a general product packs the weights first, which then costs more than the product
//! itself. Here nothing is packed; a tile of four weight rows and six rows of x is a block of dot products that stays in
//! registers. With many rows the packing pays, and candle's product is the faster one.
//!
//! Every value is summed in the same order whatever the number of rows, tiles or threads.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::with_values;

/// Rows of x in a tile.
const TILE_ROWS: usize = 6;
/// Rows of the weight in a tile.
const TILE_COLUMNS: usize = 4;
/// Bytes of weights that a task keeps in its second-level cache.
const TASK_BYTES: usize = 256 << 10;
/// Rows of x of one task.
const TASK_ROWS: usize = 16 * TILE_ROWS;

/// Up to this many rows of x this product is the faster one. Measured on a Zen 5 with AVX-512 at 576 by 1,536: 191
/// against 68 GFLOP/s with 8 rows, equal with 32, 205 against 421 with 300.
const MAX_ROWS: usize = 32;

/// `[rows, in]` times the transpose of `[out, in]`: `[rows, out]`. `None` where x has many rows or this machine lacks
/// AVX2 and FMA.
pub(crate) fn times_transposed(x: &Tensor, weight: &Tensor) -> Option<candle_core::Result<Tensor>> {
    if x.dims()[0] > MAX_ROWS {
        return None;
    }
    let kernel = Kernel::detect()?;
    Some(run(x, weight, kernel))
}

fn run(x: &Tensor, weight: &Tensor, kernel: Kernel) -> candle_core::Result<Tensor> {
    let (rows, inner) = x.dims2()?;
    let (columns, weight_inner) = weight.dims2()?;
    if inner != weight_inner {
        candle_core::bail!("a product of [{rows}, {inner}] with the transpose of [{columns}, {weight_inner}]")
    }
    let out = with_values(x, |x| with_values(weight, |weight| Ok(product(x, weight, [rows, columns, inner], kernel))))?;
    Tensor::from_vec(out, (rows, columns), x.device())
}

fn product(x: &[f32], weight: &[f32], [rows, columns, inner]: [usize; 3], kernel: Kernel) -> Vec<f32> {
    let mut out = vec![0.0; rows * columns];
    let task_columns = (TASK_BYTES / 4 / inner.max(1)).clamp(TILE_COLUMNS, 512) / TILE_COLUMNS * TILE_COLUMNS;
    let tasks = rows.div_ceil(TASK_ROWS) * columns.div_ceil(task_columns);
    let target = Target { values: out.as_mut_ptr(), stride: columns };
    (0..tasks).into_par_iter().for_each(|task| {
        let column_task = task / rows.div_ceil(TASK_ROWS);
        let row_task = task % rows.div_ceil(TASK_ROWS);
        let task_rows = row_task * TASK_ROWS..rows.min((row_task + 1) * TASK_ROWS);
        let task_columns = column_task * task_columns..columns.min((column_task + 1) * task_columns);
        // SAFETY: the tasks' blocks of `out` don't overlap and lie within it; `out` outlives the loop.
        unsafe { block(x, weight, inner, task_rows, task_columns, &target, kernel) };
    });
    out
}

/// Where results go: a matrix that several tasks write, each its own block.
struct Target {
    values: *mut f32,
    stride: usize,
}

// SAFETY: tasks write blocks that don't overlap, see `product`.
unsafe impl Sync for Target {}

/// # Safety
///
/// `rows` and `columns` lie within the matrix of `target`, and nobody else writes there.
unsafe fn block(
    x: &[f32],
    weight: &[f32],
    inner: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    target: &Target,
    kernel: Kernel,
) {
    let mut row = rows.start;
    while row < rows.end {
        let tile_rows = TILE_ROWS.min(rows.end - row);
        let x = &x[row * inner..(row + tile_rows) * inner];
        let mut column = columns.start;
        while column < columns.end {
            let tile_columns = if columns.end - column >= TILE_COLUMNS { TILE_COLUMNS } else { 1 };
            let weight = &weight[column * inner..(column + tile_columns) * inner];
            let sums = kernel.tile(x, weight, inner, tile_rows, tile_columns);
            for (tile_row, sums) in sums.iter().enumerate().take(tile_rows) {
                for (tile_column, sum) in sums.iter().enumerate().take(tile_columns) {
                    // SAFETY: within the block, as the caller promises.
                    unsafe { *target.values.add((row + tile_row) * target.stride + column + tile_column) = *sum };
                }
            }
            column += tile_columns;
        }
        row += tile_rows;
    }
}

type Tile = [[f32; TILE_COLUMNS]; TILE_ROWS];

/// The widest vectors of this machine. A value of this type is the proof that the features are there.
#[derive(Clone, Copy)]
enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Kernel {
    fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Some(Self::Avx512);
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                return Some(Self::Avx2);
            }
        }
        None
    }

    /// Dot products of up to six rows of x with four rows of the weight, or one.
    #[inline]
    fn tile(self, x: &[f32], weight: &[f32], inner: usize, rows: usize, columns: usize) -> Tile {
        assert!(x.len() == rows * inner && weight.len() == columns * inner);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` found the features, and the lengths were just checked.
        unsafe {
            match self {
                Self::Avx512 => x86::by_shape_avx512(x.as_ptr(), weight.as_ptr(), inner, rows, columns),
                Self::Avx2 => x86::by_shape_avx2(x.as_ptr(), weight.as_ptr(), inner, rows, columns),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        match self {}
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::needless_range_loop, reason = "counted loops over constants are what unrolls into registers")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{TILE_COLUMNS, TILE_ROWS, Tile};

    /// Chooses the instance for a tile's shape.
    macro_rules! by_shape {
        ($name:ident, $kernel:ident, $features:literal) => {
            /// # Safety
            ///
            /// `x` holds `rows` rows and `weight` `columns` rows of `inner` values; rows is at most 6, columns is 4 or 1.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(
                x: *const f32,
                weight: *const f32,
                inner: usize,
                rows: usize,
                columns: usize,
            ) -> Tile {
                // SAFETY: as this function's caller promises.
                unsafe {
                    match (columns, rows) {
                        (4, 6) => $kernel::<6, 4>(x, weight, inner),
                        (4, 5) => $kernel::<5, 4>(x, weight, inner),
                        (4, 4) => $kernel::<4, 4>(x, weight, inner),
                        (4, 3) => $kernel::<3, 4>(x, weight, inner),
                        (4, 2) => $kernel::<2, 4>(x, weight, inner),
                        (4, _) => $kernel::<1, 4>(x, weight, inner),
                        (_, 6) => $kernel::<6, 1>(x, weight, inner),
                        (_, 5) => $kernel::<5, 1>(x, weight, inner),
                        (_, 4) => $kernel::<4, 1>(x, weight, inner),
                        (_, 3) => $kernel::<3, 1>(x, weight, inner),
                        (_, 2) => $kernel::<2, 1>(x, weight, inner),
                        _ => $kernel::<1, 1>(x, weight, inner),
                    }
                }
            }
        };
    }
    by_shape!(by_shape_avx512, avx512, "avx512f");
    by_shape!(by_shape_avx2, avx2, "avx2,fma");

    /// # Safety
    ///
    /// `x` holds ROWS rows and `weight` COLUMNS rows of `inner` values.
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512<const ROWS: usize, const COLUMNS: usize>(x: *const f32, weight: *const f32, inner: usize) -> Tile {
        let mut sums = [[_mm512_setzero_ps(); COLUMNS]; ROWS];
        let whole = inner / 16 * 16;
        let mut i = 0;
        while i < whole {
            let mut w = [_mm512_setzero_ps(); COLUMNS];
            for column in 0..COLUMNS {
                // SAFETY: `column * inner + i + 16 <= COLUMNS * inner`.
                w[column] = unsafe { _mm512_loadu_ps(weight.add(column * inner + i)) };
            }
            for row in 0..ROWS {
                // SAFETY: as above, for x.
                let x = unsafe { _mm512_loadu_ps(x.add(row * inner + i)) };
                for column in 0..COLUMNS {
                    sums[row][column] = _mm512_fmadd_ps(x, w[column], sums[row][column]);
                }
            }
            i += 16;
        }
        if whole < inner {
            let mask = (1_u16 << (inner - whole)) - 1;
            for row in 0..ROWS {
                // SAFETY: the mask leaves only values before the row's end.
                let x = unsafe { _mm512_maskz_loadu_ps(mask, x.add(row * inner + whole)) };
                for column in 0..COLUMNS {
                    // SAFETY: as for x.
                    let w = unsafe { _mm512_maskz_loadu_ps(mask, weight.add(column * inner + whole)) };
                    sums[row][column] = _mm512_fmadd_ps(x, w, sums[row][column]);
                }
            }
        }
        let mut out = [[0.0; TILE_COLUMNS]; TILE_ROWS];
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                out[row][column] = _mm512_reduce_add_ps(sums[row][column]);
            }
        }
        out
    }

    /// As [`avx512`], two rows at a time: there are half as many registers.
    ///
    /// # Safety
    ///
    /// `x` holds ROWS rows and `weight` COLUMNS rows of `inner` values.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<const ROWS: usize, const COLUMNS: usize>(x: *const f32, weight: *const f32, inner: usize) -> Tile {
        let mut out = [[0.0; TILE_COLUMNS]; TILE_ROWS];
        let mut row = 0;
        while row < ROWS {
            let pair = if ROWS - row >= 2 { 2 } else { 1 };
            // SAFETY: the rows from `row` on are rows of x.
            let sums = unsafe {
                match pair {
                    2 => avx2_rows::<2, COLUMNS>(x.add(row * inner), weight, inner),
                    _ => avx2_rows::<1, COLUMNS>(x.add(row * inner), weight, inner),
                }
            };
            out[row..row + pair].copy_from_slice(&sums[..pair]);
            row += pair;
        }
        out
    }

    /// # Safety
    ///
    /// `x` holds ROWS rows and `weight` COLUMNS rows of `inner` values; ROWS is at most 2.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2_rows<const ROWS: usize, const COLUMNS: usize>(
        x: *const f32,
        weight: *const f32,
        inner: usize,
    ) -> [[f32; TILE_COLUMNS]; 2] {
        let mut sums = [[_mm256_setzero_ps(); COLUMNS]; ROWS];
        let whole = inner / 8 * 8;
        let mut i = 0;
        while i < whole {
            let mut w = [_mm256_setzero_ps(); COLUMNS];
            for column in 0..COLUMNS {
                // SAFETY: `column * inner + i + 8 <= COLUMNS * inner`.
                w[column] = unsafe { _mm256_loadu_ps(weight.add(column * inner + i)) };
            }
            for row in 0..ROWS {
                // SAFETY: as above, for x.
                let x = unsafe { _mm256_loadu_ps(x.add(row * inner + i)) };
                for column in 0..COLUMNS {
                    sums[row][column] = _mm256_fmadd_ps(x, w[column], sums[row][column]);
                }
            }
            i += 8;
        }
        let mut out = [[0.0; TILE_COLUMNS]; 2];
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let mut lanes = [0.0; 8];
                // SAFETY: eight values are stored into an array of eight.
                unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sums[row][column]) };
                let mut sum = lanes.iter().sum::<f32>();
                for i in whole..inner {
                    // SAFETY: `i < inner`.
                    sum = unsafe { (*x.add(row * inner + i)).mul_add(*weight.add(column * inner + i), sum) };
                }
                out[row][column] = sum;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_tile_agrees_with_a_sum_in_f64() {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                kernels.push(Kernel::Avx512);
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                kernels.push(Kernel::Avx2);
            }
        }
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for kernel in kernels {
            for [rows, columns, inner] in
                [[1, 1, 1], [1, 9, 16], [2, 4, 17], [3, 5, 40], [4, 7, 8], [5, 6, 31], [6, 4, 64], [103, 70, 1023]]
            {
                let x: Vec<f32> = (0..rows * inner).map(value).collect();
                let weight: Vec<f32> = (0..columns * inner).map(|i| value(i + 5)).collect();
                let out = product(&x, &weight, [rows, columns, inner], kernel);
                for row in 0..rows {
                    for column in 0..columns {
                        let exact: f64 = (0..inner)
                            .map(|i| f64::from(x[row * inner + i]) * f64::from(weight[column * inner + i]))
                            .sum();
                        let got = f64::from(out[row * columns + column]);
                        assert!(
                            (got - exact).abs() < 1e-6 * (inner as f64),
                            "[{rows}, {columns}, {inner}] at {row}, {column}: {got}, {exact}"
                        );
                    }
                }
                // A row alone gives the same bits as in the batch.
                let last = product(&x[(rows - 1) * inner..], &weight, [1, columns, inner], kernel);
                assert_eq!(last, out[(rows - 1) * columns..]);
            }
        }
    }
}
