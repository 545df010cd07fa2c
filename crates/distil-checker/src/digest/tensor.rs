use distil_hub::Sha256Digest;
use safetensors::Dtype;
use sha2::{Digest, Sha256};

use crate::values::{append_as_bf16, are_plain_bf16, is_convertible};

/// Both hashes of one tensor, from its bytes in pieces of any length.
pub(super) struct TensorHasher {
    dtype: Dtype,
    raw: Sha256,
    /// `None` as long as it would have seen the same bytes as `raw`.
    rounded: Option<Sha256>,
    /// The beginning of a value whose end is in the next piece.
    carry: Vec<u8>,
    converted: Vec<u8>,
}

/// Hashes of one tensor's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorHashes {
    pub(super) raw: Sha256Digest,
    pub(super) bf16: Sha256Digest,
}

impl TensorHasher {
    pub(super) fn new(dtype: Dtype) -> Self {
        let rounded = matches!(dtype, Dtype::F16 | Dtype::F32).then(Sha256::new);
        Self { dtype, raw: Sha256::new(), rounded, carry: Vec::new(), converted: Vec::new() }
    }

    pub(super) fn update(&mut self, mut piece: &[u8]) {
        let width = if is_convertible(self.dtype) { self.dtype.bitsize() / 8 } else { 1 };
        if !self.carry.is_empty() {
            let missing = (width - self.carry.len()).min(piece.len());
            self.carry.extend_from_slice(&piece[..missing]);
            piece = &piece[missing..];
            if self.carry.len() < width {
                return;
            }
            let value = std::mem::take(&mut self.carry);
            self.update_whole(&value);
        }
        let (whole, rest) = piece.split_at(piece.len() / width * width);
        self.update_whole(whole);
        self.carry.extend_from_slice(rest);
    }

    fn update_whole(&mut self, values: &[u8]) {
        if self.rounded.is_none() && self.dtype == Dtype::BF16 && !are_plain_bf16(values) {
            self.rounded = Some(self.raw.clone());
        }
        self.raw.update(values);
        if let Some(rounded) = &mut self.rounded {
            self.converted.clear();
            append_as_bf16(self.dtype, values, &mut self.converted);
            rounded.update(&self.converted);
        }
    }

    pub(super) fn finish(self) -> TensorHashes {
        let raw = Sha256Digest(self.raw.finalize().into());
        let bf16 = self.rounded.map_or(raw, |rounded| Sha256Digest(rounded.finalize().into()));
        TensorHashes { raw, bf16 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(dtype: Dtype, pieces: &[&[u8]]) -> TensorHashes {
        let mut hasher = TensorHasher::new(dtype);
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            cuts in proptest::collection::vec(0..64usize, 0..6),
            dtype in prop_oneof![Just(Dtype::BF16), Just(Dtype::F16), Just(Dtype::F32), Just(Dtype::I8)],
        ) {
            let bytes = &bytes[..bytes.len() / 4 * 4];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let whole = hashes(dtype, &[bytes]);
            prop_assert_eq!(hashes(dtype, &pieces), whole);
            prop_assert_eq!(whole.raw, Sha256Digest(Sha256::digest(bytes).into()));
            let mut converted = bytes.to_vec();
            if is_convertible(dtype) {
                converted.clear();
                append_as_bf16(dtype, bytes, &mut converted);
            }
            prop_assert_eq!(whole.bf16, Sha256Digest(Sha256::digest(&converted).into()));
        }
    }
}
