use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::simd::{dot, exp, fma, multiversion};
use super::with_values;
use crate::layers::Slots;
use crate::layers::attention::AttentionShape;

/// Queries of one task: their scores against a thousand keys stay in the second-level cache.
const QUERY_BLOCK: usize = 32;

/// Causal attention of packed sequences: query `[tokens, query heads, head_dim]`, key and value
/// `[tokens, key-value heads, head_dim]`; gives the shape of the query.
pub(crate) fn prefill(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    segments: &[Range<usize>],
    shape: AttentionShape,
) -> candle_core::Result<Tensor> {
    let (key, value) = (key.contiguous()?, value.contiguous()?);
    let out = with_values(query, |query| {
        with_values(&key, |key| {
            with_values(&value, |value| {
                let mut out = vec![0.0; query.len()];
                let mut rest = out.as_mut_slice();
                let mut blocks = Vec::new();
                for segment in segments {
                    for start in (segment.start..segment.end).step_by(QUERY_BLOCK) {
                        let rows = QUERY_BLOCK.min(segment.end - start);
                        let (block, others) = rest.split_at_mut(rows * shape.query_heads * shape.head_dim);
                        rest = others;
                        blocks.push((segment.start, start, block));
                    }
                }
                blocks.into_par_iter().for_each(|(segment_start, start, out)| {
                    prefill_block(query, key, value, segment_start, start, shape, out);
                });
                Ok(out)
            })
        })
    })?;
    Tensor::from_vec(out, query.shape(), query.device())
}

/// One block of queries, from row `start` on, of the sequence that begins at row `segment_start`.
fn prefill_block(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    segment_start: usize,
    start: usize,
    shape: AttentionShape,
    out: &mut [f32],
) {
    let AttentionShape { query_heads, key_value_heads, head_dim, window } = shape;
    let query_stride = query_heads * head_dim;
    let key_stride = key_value_heads * head_dim;
    let rows = out.len() / query_stride;
    let first_key = segment_start.max((start + 1).saturating_sub(window));
    let keys = start + rows - first_key;
    let mut scores = vec![0.0; rows * keys];
    for head in 0..query_heads {
        let key_head = head / shape.group();
        let query = &query[start * query_stride + head * head_dim..];
        let key = &key[first_key * key_stride + key_head * head_dim..];
        let value = &value[first_key * key_stride + key_head * head_dim..];
        product(
            [rows, keys, head_dim],
            Matrix { values: query, row_stride: query_stride, column_stride: 1 },
            Matrix { values: key, row_stride: 1, column_stride: key_stride },
            &mut scores,
            keys,
            shape.scale(),
        );
        for (row, scores) in scores.chunks_exact_mut(keys).enumerate() {
            let position = start + row;
            let first = (position + 1).saturating_sub(window).saturating_sub(first_key);
            let end = position + 1 - first_key;
            scores[..first].fill(0.0);
            scores[end..].fill(0.0);
            softmax(&mut scores[first..end]);
        }
        product(
            [rows, head_dim, keys],
            Matrix { values: &scores, row_stride: keys, column_stride: 1 },
            Matrix { values: value, row_stride: key_stride, column_stride: 1 },
            &mut out[head * head_dim..],
            query_stride,
            1.0,
        );
    }
}

struct Matrix<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl Matrix<'_> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.values.len()
    }
}

/// `out = scale · a b`, with `a` of `[m, k]` and `b` of `[k, n]`, on the calling thread; rows of `out` are `out_stride`
/// apart.
fn product([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], out_stride: usize, scale: f32) {
    assert!(
        a.holds(m, k) && b.holds(k, n) && (m - 1) * out_stride + n <= out.len(),
        "a product reaches beyond its operands"
    );
    // SAFETY: all three matrices lie within their slices, as just checked, and `out` is borrowed for us alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            false,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

multiversion! {
    fn softmax(scores: &mut [f32]) {
        let mut max = f32::NEG_INFINITY;
        for score in scores.iter() {
            max = if *score > max { *score } else { max };
        }
        let mut lanes = [0.0; 16];
        let (chunks, rest) = scores.as_chunks_mut::<16>();
        for chunk in chunks {
            for lane in 0..16 {
                chunk[lane] = exp::<FMA>(chunk[lane] - max);
                lanes[lane] += chunk[lane];
            }
        }
        let mut sum = lanes.iter().sum::<f32>();
        for score in rest {
            *score = exp::<FMA>(*score - max);
            sum += *score;
        }
        let scale = 1.0 / sum;
        for score in scores.iter_mut() {
            *score *= scale;
        }
    }
}

/// Attention of one new token of each sequence: query `[sequences, query heads, head_dim]`, the caches
/// `[sequences, key-value heads, slots, head_dim]`; gives the shape of the query.
pub(crate) fn decode(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    slots: &Slots,
    shape: AttentionShape,
) -> candle_core::Result<Tensor> {
    let AttentionShape { key_value_heads, head_dim, window, .. } = shape;
    let capacity = key.dim(2)?;
    let out = with_values(query, |query| {
        with_values(key, |key| {
            with_values(value, |value| {
                let mut out = vec![0.0; query.len()];
                let group = shape.group() * head_dim;
                out.par_chunks_mut(group).zip(query.par_chunks(group)).enumerate().for_each(|(index, (out, query))| {
                    let start = slots.starts[index / key_value_heads].max(slots.end.saturating_sub(window));
                    let seen = (index * capacity + start) * head_dim..(index * capacity + slots.end) * head_dim;
                    decode_group(query, &key[seen.clone()], &value[seen], head_dim, shape.scale(), out);
                });
                Ok(out)
            })
        })
    })?;
    Tensor::from_vec(out, query.shape(), query.device())
}

multiversion! {
    fn decode_group(query: &[f32], key: &[f32], value: &[f32], head_dim: usize, scale: f32, out: &mut [f32]) {
        let mut scores = vec![0.0; key.len() / head_dim];
        for (query, out) in query.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)) {
            for (score, key) in scores.iter_mut().zip(key.chunks_exact(head_dim)) {
                *score = dot::<FMA>(query, key) * scale;
            }
            softmax(&mut scores);
            for (weight, value) in scores.iter().zip(value.chunks_exact(head_dim)) {
                for (out, value) in out.iter_mut().zip(value) {
                    *out = fma::<FMA>(*weight, *value, *out);
                }
            }
        }
    }
}
