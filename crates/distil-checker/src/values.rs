//! Values as the loader sees them: stored in bf16, f16 or f32; widened to f32, or rounded to bf16.

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::Dtype;

/// The one NaN that all are written as.
const BF16_NAN: u16 = 0x7fc0;

/// Values converted at a time.
const BLOCK: usize = 1024;

/// The bits of an f32 rounded to the nearest bf16, ties to even; any NaN becomes one.
#[inline]
fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if value.is_nan() { BF16_NAN } else { rounded }
}

/// True for dtypes that the loader converts.
pub(crate) fn is_convertible(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::BF16 | Dtype::F16 | Dtype::F32)
}

/// True if bf16 values need no change: none is NaN. `bytes` are whole little-endian values.
pub(crate) fn are_plain_bf16(bytes: &[u8]) -> bool {
    let largest = |largest: u16, pair: &[u8]| largest.max(u16::from_le_bytes([pair[0], pair[1]]) & 0x7fff);
    bytes.chunks_exact(2).fold(0, largest) <= 0x7f80
}

/// Appends whole little-endian values of a convertible dtype to `out`, as little-endian bf16.
pub(crate) fn append_as_bf16(dtype: Dtype, bytes: &[u8], out: &mut Vec<u8>) {
    match dtype {
        Dtype::BF16 => {
            let canonical = |pair: &[u8]| {
                let bits = u16::from_le_bytes([pair[0], pair[1]]);
                (if bits & 0x7fff > 0x7f80 { BF16_NAN } else { bits }).to_le_bytes()
            };
            out.extend(bytes.chunks_exact(2).flat_map(canonical));
        }
        _ => {
            let mut floats = [0f32; BLOCK];
            for block in bytes.chunks(dtype.bitsize() / 8 * BLOCK) {
                let floats = widen(dtype, block, &mut floats);
                append_f32(floats, out);
            }
        }
    }
}

/// Whole little-endian values of a convertible dtype in f32, which holds each of them exactly. As many as fit in `out`,
/// whose filled part is returned.
pub(crate) fn widen<'o>(dtype: Dtype, bytes: &[u8], out: &'o mut [f32]) -> &'o mut [f32] {
    let width = dtype.bitsize() / 8;
    let count = out.len().min(bytes.len() / width);
    let (out, bytes) = (&mut out[..count], &bytes[..count * width]);
    match dtype {
        Dtype::BF16 => {
            for (value, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = f32::from_bits(u32::from(u16::from_le_bytes([pair[0], pair[1]])) << 16);
            }
        }
        Dtype::F16 => {
            let mut halves = [f16::ZERO; BLOCK];
            for (values, block) in out.chunks_mut(BLOCK).zip(bytes.chunks(2 * BLOCK)) {
                let halves = &mut halves[..values.len()];
                for (half, pair) in halves.iter_mut().zip(block.chunks_exact(2)) {
                    *half = f16::from_le_bytes([pair[0], pair[1]]);
                }
                halves.convert_to_f32_slice(values);
            }
        }
        _ => {
            for (value, quad) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                *value = f32::from_le_bytes([quad[0], quad[1], quad[2], quad[3]]);
            }
        }
    }
    out
}

fn append_f32(values: &[f32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * values.len(), 0);
    for (pair, value) in out[start..].chunks_exact_mut(2).zip(values) {
        pair.copy_from_slice(&bf16_bits(*value).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    fn converted(dtype: Dtype, bytes: &[u8]) -> Vec<u16> {
        let mut out = Vec::new();
        append_as_bf16(dtype, bytes, &mut out);
        out.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn every_bf16_stays_itself_and_every_nan_becomes_one() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let wide: Vec<u8> =
            (0..=u16::MAX).flat_map(|bits| bf16::from_bits(bits).to_f32().to_bits().to_le_bytes()).collect();
        for (out, bits) in converted(Dtype::BF16, &all).into_iter().zip(0..=u16::MAX) {
            let is_nan = bf16::from_bits(bits).is_nan();
            assert_eq!(out, if is_nan { BF16_NAN } else { bits });
            assert_eq!(are_plain_bf16(&bits.to_le_bytes()), !is_nan);
        }
        assert_eq!(converted(Dtype::F32, &wide), converted(Dtype::BF16, &all));
    }

    #[test]
    fn every_f16_is_rounded_as_the_half_crate_rounds() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for (out, bits) in converted(Dtype::F16, &all).into_iter().zip(0..=u16::MAX) {
            let value = f16::from_bits(bits);
            let expected = if value.is_nan() { BF16_NAN } else { bf16::from_f32(value.to_f32()).to_bits() };
            assert_eq!(out, expected, "{bits:04x}");
        }
    }

    proptest! {
        #[test]
        fn every_f32_is_rounded_to_nearest_even(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            let expected = if value.is_nan() { BF16_NAN } else { bf16::from_f32(value).to_bits() };
            prop_assert_eq!(bf16_bits(value), expected);
        }
    }

    #[test]
    fn widening_is_exact() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut out = vec![0.0; 1 << 16];
        for (value, bits) in widen(Dtype::F16, &all, &mut out).iter().zip(0..=u16::MAX) {
            assert!(*value == f16::from_bits(bits).to_f32() || value.is_nan() && f16::from_bits(bits).is_nan());
        }
        for (value, bits) in widen(Dtype::BF16, &all, &mut out).iter().zip(0..=u16::MAX) {
            assert_eq!(value.to_bits(), u32::from(bits) << 16);
        }
        assert_eq!(widen(Dtype::F32, &1.5f32.to_le_bytes(), &mut out), [1.5]);
        assert_eq!(widen(Dtype::F16, &all, &mut out[..3]).len(), 3);
    }

    #[test]
    fn ties_go_to_even_and_the_largest_to_infinity() {
        for (bits, expected) in [
            (0x3f80_8000, 0x3f80),
            (0x3f81_8000, 0x3f82),
            (0x3f80_8001, 0x3f81),
            (0x3f80_7fff, 0x3f80),
            (0x7f7f_ffff, 0x7f80),
            (0x8000_0000, 0x8000),
            (0x0000_8000, 0x0000),
            (0x0001_8000, 0x0002),
        ] {
            assert_eq!(bf16_bits(f32::from_bits(bits)), expected, "{bits:08x}");
        }
    }
}
