//! The identity of a model's weights, whatever way they are stored.

mod stream;
mod tensor;

use std::num::NonZeroUsize;

use distil_hub::Sha256Digest;
use safetensors::Dtype;
use sha2::{Digest, Sha256};

use crate::CheckerError;
use crate::expected::{EMBEDDING, HEAD};
use crate::hashing::{CHUNK_BYTES, FileDigest};
use crate::local::{LocalModel, LocalTensor};
use crate::parallel::{self, BytesRead, Progress};
use crate::values::is_convertible;
use tensor::{TensorHasher, TensorHashes};

/// Two digests of all tensors that a loader uses: equal for two folders exactly if these hold the same weights, whatever
/// the shards, the order in them, file names, prefixes of names, layout of experts, and tensors that no loader looks at.
///
/// # What is hashed
///
/// The tensors are those that the configuration calls for, under their [canonical names](crate::canonical_name), the
/// experts of a mixture taken apart into `….experts.<n>.{gate,up,down}_proj.weight`. Of a head that is the embedding
/// matrix nothing is listed; an `lm_head.weight` of an untied model is left out too where dtype, shape and hash are those
/// of `embed_tokens.weight`, since that is the same model. Each tensor's hash is SHA-256 over its bytes, row by row and
/// little-endian, as safetensors stores them. The digest is SHA-256 over these lines, in ASCII, each ended by a line feed:
///
/// ```text
/// distil-tensors/1 raw
/// embed_tokens.weight BF16 248320x2560 <64 hexadecimal digits>
/// layers.0.input_layernorm.weight BF16 2560 <64 hexadecimal digits>
/// …
/// ```
///
/// sorted by name as bytes, parts separated by one space, dtype as safetensors writes it, dimensions joined by `x`
/// (`scalar` without any). For the second digest the first line ends in `bf16`, and tensors in BF16, F16 and F32 are
/// first rounded to bf16 (to nearest, ties to even; NaN becomes 7fc0) and listed as BF16. Tensors of other dtypes, which
/// the loader refuses, are listed as they are.
///
/// `tests/weights/digest_vector.py` computes a published example of both without this crate.
///
/// # What it says
///
/// It identifies weights, not behaviour: constants of `config.json` that no tensor depends on (rotary base, epsilon,
/// experts per token) change what a model computes and leave the digest as it is. Who changes only those has not trained
/// a model, so weights are the right thing to compare for copies; what has to be *the same model* is compared by
/// [`files_digest`](crate::files_digest), which covers the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDigest {
    /// Over the bytes as they are stored: a copy in another dtype has another one.
    pub raw: Sha256Digest,
    /// Over the values rounded to bf16: the same for a model and its copy in f32, and for an f32 model and its copy in
    /// bf16.
    pub bf16: Sha256Digest,
    /// The tensors that went into both, by name.
    pub tensors: Vec<TensorDigest>,
}

/// One tensor's part in a [`ModelDigest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorDigest {
    /// Its canonical name.
    pub name: String,
    /// The dtype it is stored in.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// SHA-256 of its bytes.
    pub raw: Sha256Digest,
    /// SHA-256 of its values rounded to bf16.
    pub bf16: Sha256Digest,
}

/// Reads all tensors that a loader uses and digests them, on several threads. The result does not depend on their number.
///
/// Memory: some hundred kilobytes a thread, whatever the size of the model. `progress` is called, from one thread at a
/// time, after each piece.
///
/// # Errors
///
/// A file cannot be read, or has become shorter since it was opened.
pub fn digest_model(
    model: &LocalModel,
    threads: NonZeroUsize,
    progress: &mut (dyn FnMut(BytesRead) + Send),
) -> Result<ModelDigest, CheckerError> {
    let mut jobs = model.tensors().iter().collect::<Vec<_>>();
    jobs.sort_by_key(|tensor| std::cmp::Reverse(tensor.size_bytes()));
    let progress = Progress::new(jobs.iter().map(|tensor| tensor.size_bytes()).sum(), progress);
    let hashed =
        parallel::map(threads, &jobs, |tensor| hash_tensor(model, tensor, &progress).map(|hashes| (*tensor, hashes)))?;
    Ok(ModelDigest::new(hashed))
}

/// [`digest_model`], and with it the SHA-256 of each weights file, both from the same bytes: every file is read once, from
/// beginning to end. Files are named as they are in the folder.
///
/// # Errors
///
/// As [`digest_model`].
pub fn digest_model_and_files(
    model: &LocalModel,
    threads: NonZeroUsize,
    progress: &mut (dyn FnMut(BytesRead) + Send),
) -> Result<(ModelDigest, Vec<(String, FileDigest)>), CheckerError> {
    let progress = Progress::new(model.files().iter().map(|file| file.size_bytes).sum(), progress);
    let (hashed, files) = stream::hash_tensors_and_files(model, threads, &progress)?;
    Ok((ModelDigest::new(hashed), files))
}

fn hash_tensor(
    model: &LocalModel,
    tensor: &LocalTensor,
    progress: &Progress<'_>,
) -> Result<TensorHashes, CheckerError> {
    let mut hasher = TensorHasher::new(tensor.dtype);
    let mut buffer = vec![0; CHUNK_BYTES.min(tensor.size_bytes() as usize)];
    let mut offset = tensor.file_range.start;
    while offset < tensor.file_range.end {
        let length = (tensor.file_range.end - offset).min(CHUNK_BYTES as u64);
        let piece = &mut buffer[..length as usize];
        model.read_exact_at(tensor.file, piece, offset)?;
        hasher.update(piece);
        offset += length;
        progress.advance(length);
    }
    Ok(hasher.finish())
}

impl ModelDigest {
    fn new(hashed: Vec<(&LocalTensor, TensorHashes)>) -> Self {
        let digest = |(tensor, hashes): (&LocalTensor, TensorHashes)| TensorDigest {
            name: tensor.name.clone(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            raw: hashes.raw,
            bf16: hashes.bf16,
        };
        let mut tensors: Vec<TensorDigest> = hashed.into_iter().map(digest).collect();
        tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let as_stored = |tensor: &TensorDigest| (tensor.dtype, tensor.raw);
        let rounded = |tensor: &TensorDigest| {
            (if is_convertible(tensor.dtype) { Dtype::BF16 } else { tensor.dtype }, tensor.bf16)
        };
        Self {
            raw: listing_digest("raw", &tensors, as_stored),
            bf16: listing_digest("bf16", &tensors, rounded),
            tensors,
        }
    }
}

/// SHA-256 of the listing that [`ModelDigest`] describes.
fn listing_digest(
    kind: &str,
    tensors: &[TensorDigest],
    content: impl Fn(&TensorDigest) -> (Dtype, Sha256Digest),
) -> Sha256Digest {
    let named = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    let head_is_embedding = match (named(HEAD), named(EMBEDDING)) {
        (Some(head), Some(embedding)) => head.shape == embedding.shape && content(head) == content(embedding),
        _ => false,
    };
    let mut hasher = Sha256::new();
    hasher.update(format!("distil-tensors/1 {kind}\n"));
    for tensor in tensors {
        if head_is_embedding && tensor.name == HEAD {
            continue;
        }
        let (dtype, sha256) = content(tensor);
        let shape = match tensor.shape.as_slice() {
            [] => "scalar".to_owned(),
            sizes => sizes.iter().map(u64::to_string).collect::<Vec<_>>().join("x"),
        };
        hasher.update(format!("{} {dtype} {shape} {sha256}\n", tensor.name));
    }
    Sha256Digest(hasher.finalize().into())
}
