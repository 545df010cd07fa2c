//! The file of a teacher cache.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use candle_core::{Device, Tensor};
use safetensors::{
    Dtype, View,
    tensor::{Metadata, TensorInfo},
};
use sha2::{Digest, Sha256};

use super::{
    CachedPrompt, TeacherCache,
    document::{Document, PromptEntry},
};
use crate::{EvalError, TokenSequence, atomic::write_atomically, divergence::all_finite, sequence::hex};

const METADATA_KEY: &str = "distil_teacher_cache";

/// Largest header accepted. A prompt of 1,024 tokens takes some 5 kB of it, so this is thousands of prompts.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// A tensor's bytes on their way into the file, little endian; made when they are written.
struct Values<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    source: Source<'a>,
}

enum Source<'a> {
    Tokens(&'a [u32]),
    /// On the CPU.
    Hidden(Tensor),
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        match &self.source {
            Source::Tokens(tokens) => tokens.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>().into(),
            Source::Hidden(tensor) => View::data(tensor).into_owned().into(),
        }
    }
    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * (self.dtype.bitsize() / 8)
    }
}

pub(super) fn save(cache: &TeacherCache, path: &Path) -> Result<(), EvalError> {
    let mut tensors = Vec::with_capacity(2 * cache.prompts.len());
    let mut prompts = Vec::with_capacity(cache.prompts.len());
    for (index, prompt) in cache.prompts.iter().enumerate() {
        let hidden = prompt.hidden.to_device(&Device::Cpu)?;
        prompts.push(PromptEntry {
            id: prompt.id.clone(),
            text: prompt.text.clone(),
            prompt_tokens: prompt.sequence.prompt().len(),
            tokens_digest: prompt.sequence.digest(),
            hidden_digest: hex(&Sha256::digest(View::data(&hidden))),
        });
        let tokens = prompt.sequence.tokens();
        tensors.push((
            tokens_name(index),
            Values { dtype: Dtype::U32, shape: vec![tokens.len()], source: Source::Tokens(tokens) },
        ));
        tensors.push((
            hidden_name(index),
            Values { dtype: hidden.dtype().into(), shape: hidden.dims().to_vec(), source: Source::Hidden(hidden) },
        ));
    }
    let document = Document::new(cache, prompts);
    let document = serde_json::to_string(&document).map_err(|error| problem(path, error.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), document)]);
    write_atomically(path, |temporary| {
        safetensors::serialize_to_file(tensors, Some(metadata), temporary).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(source) => source,
            other => std::io::Error::other(other),
        })
    })
}

pub(super) fn load(path: &Path, device: &Device) -> Result<TeacherCache, EvalError> {
    let reading = |source| EvalError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(reading)?;
    let file_bytes = file.metadata().map_err(reading)?.len();
    let (metadata, data_start) = read_header(path, &mut file, file_bytes)?;
    let document =
        metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY)).ok_or_else(|| {
            problem(path, format!("it has no {METADATA_KEY} in its metadata, so it is no teacher cache"))
        })?;
    let document: Document = serde_json::from_str(document)
        .map_err(|error| problem(path, format!("its {METADATA_KEY} is not understood: {error}")))?;
    let document = document.check().map_err(|what| problem(path, what))?;
    let dtype = document.dtype;
    let mut tensors: BTreeMap<String, &TensorInfo> = metadata.tensors().into_iter().collect();
    let mut bytes_of = |name: &str, dtype: Dtype, shape: &[usize]| -> Result<Vec<u8>, EvalError> {
        let info = tensors.remove(name).ok_or_else(|| problem(path, format!("tensor {name} is missing")))?;
        if info.dtype != dtype || info.shape != shape {
            return Err(problem(
                path,
                format!("tensor {name} is {:?} {:?}, it must be {dtype:?} {shape:?}", info.dtype, info.shape),
            ));
        }
        // `read_header` has checked that these lie in the file, so no more is allocated than the file holds.
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        file.seek(SeekFrom::Start(data_start + start as u64)).map_err(reading)?;
        file.read_exact(&mut bytes).map_err(reading)?;
        Ok(bytes)
    };
    let mut prompts = Vec::new();
    for (index, entry) in document.prompts.into_iter().enumerate() {
        let name = tokens_name(index);
        let length = metadata
            .info(&name)
            .and_then(|info| info.shape.first().copied())
            .ok_or_else(|| problem(path, format!("tensor {name} is missing or has no length")))?;
        let limits = &document.generation;
        let continuation_tokens = length
            .checked_sub(entry.prompt_tokens)
            .filter(|new| {
                (1..=limits.max_new_tokens).contains(new)
                    && (1..=limits.max_prompt_tokens).contains(&entry.prompt_tokens)
            })
            .ok_or_else(|| {
                problem(
                    path,
                    format!(
                        "prompt {index} has {} of {length} tokens as its prompt, with limits of {} and {} new ones",
                        entry.prompt_tokens, limits.max_prompt_tokens, limits.max_new_tokens
                    ),
                )
            })?;
        let tokens: Vec<u32> = bytes_of(&name, Dtype::U32, &[length])?
            .chunks_exact(4)
            .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        let vocab_size = document.teacher.vocab_size;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab_size) {
            return Err(problem(path, format!("{name} holds token {token}, beyond the vocabulary of {vocab_size}")));
        }
        let (prompt, continuation) = tokens.split_at(entry.prompt_tokens);
        let sequence = TokenSequence::new(index, prompt, continuation)?;
        if sequence.digest() != entry.tokens_digest {
            return Err(problem(path, format!("{name} does not have the digest recorded for it: the file is damaged")));
        }
        let name = hidden_name(index);
        let shape = [continuation_tokens, document.hidden_size];
        let bytes = bytes_of(&name, dtype.into(), &shape)?;
        if hex(&Sha256::digest(&bytes)) != entry.hidden_digest {
            return Err(problem(path, format!("{name} does not have the digest recorded for it: the file is damaged")));
        }
        let hidden = Tensor::from_raw_buffer(&bytes, dtype, &shape, device)?;
        if !all_finite(&hidden)? {
            return Err(problem(path, format!("{name} holds NaN or infinity")));
        }
        prompts.push(CachedPrompt { id: entry.id, text: entry.text, sequence, hidden });
    }
    if let Some(name) = tensors.keys().next() {
        return Err(problem(path, format!("tensor {name} belongs to no prompt")));
    }
    Ok(TeacherCache {
        teacher: document.teacher,
        generation: document.generation,
        dtype,
        hidden_size: document.hidden_size,
        prompts,
    })
}

/// Reads and checks a safetensors header against the file's length; gives it and where the data starts.
fn read_header(path: &Path, file: &mut File, file_bytes: u64) -> Result<(Metadata, u64), EvalError> {
    let reading = |source| EvalError::Read { path: path.to_owned(), source };
    if file_bytes < 8 {
        return Err(problem(path, format!("it has {file_bytes} bytes, too few for a safetensors file")));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(reading)?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_HEADER_BYTES || header_bytes > file_bytes - 8 {
        return Err(problem(
            path,
            format!(
                "it says its header has {header_bytes} bytes, but the file has {file_bytes} and {MAX_HEADER_BYTES} are the most"
            ),
        ));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact(&mut header).map_err(reading)?;
    // Deserialising checks that tensors follow each other without gap or overlap and have the size of their shape.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| problem(path, format!("its safetensors header is not understood: {error}")))?;
    let data_bytes = metadata.data_len() as u64;
    if data_bytes != file_bytes - 8 - header_bytes {
        return Err(problem(
            path,
            format!(
                "it holds {} bytes of tensors, but its header speaks of {data_bytes}: it was cut or added to",
                file_bytes - 8 - header_bytes
            ),
        ));
    }
    Ok((metadata, 8 + header_bytes))
}

fn tokens_name(index: usize) -> String {
    format!("tokens.{index}")
}

fn hidden_name(index: usize) -> String {
    format!("hidden.{index}")
}

fn problem(path: &Path, problem: String) -> EvalError {
    EvalError::Cache { path: path.to_owned(), problem }
}
