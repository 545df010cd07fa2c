//! The JSON document in a cache's metadata: all of it but the tensors.

use candle_core::DType;
use distil_model::{FileDigest, Sampling};
use serde::{Deserialize, Serialize};

use super::{GenerationRules, TeacherCache};
use crate::{ModelIdentity, PROTOCOL, TeacherIdentity, sequence::hex};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) format: u32,
    pub(super) protocol: String,
    pub(super) teacher: Teacher,
    pub(super) generation: Rules,
    pub(super) dtype: String,
    pub(super) hidden_size: usize,
    pub(super) prompts: Vec<PromptEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Teacher {
    pub(crate) name: String,
    pub(crate) revision: Option<String>,
    pub(crate) architecture: String,
    pub(crate) files: Vec<FileEntry>,
    pub(crate) head_digest: String,
    pub(crate) tokenizer_digest: String,
    pub(crate) vocab_size: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    pub(crate) max_prompt_tokens: usize,
    pub(crate) max_new_tokens: usize,
    pub(crate) sampling: SamplingEntry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum SamplingEntry {
    Greedy,
    TopP { temperature: f64, top_p: f64, seed: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromptEntry {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) prompt_tokens: usize,
    /// [`TokenSequence::digest`].
    pub(super) tokens_digest: String,
    /// SHA-256 of the hidden states' bytes as they lie in the file.
    pub(super) hidden_digest: String,
}

/// What a document says once it has been checked.
pub(super) struct Checked {
    pub(super) teacher: TeacherIdentity,
    pub(super) generation: GenerationRules,
    pub(super) dtype: DType,
    pub(super) hidden_size: usize,
    pub(super) prompts: Vec<PromptEntry>,
}

impl Document {
    /// Describes a cache whose prompts are described already.
    pub(super) fn new(cache: &TeacherCache, prompts: Vec<PromptEntry>) -> Self {
        let (teacher, generation) = (&cache.teacher, &cache.generation);
        Self {
            format: FORMAT,
            protocol: PROTOCOL.to_owned(),
            teacher: Teacher::from(teacher),
            generation: Rules::from(generation),
            dtype: cache.dtype.as_str().to_owned(),
            hidden_size: cache.hidden_size,
            prompts,
        }
    }

    /// Checks what the document says of itself; prompts are checked against their tensors later. The error says what
    /// is wrong.
    pub(super) fn check(self) -> Result<Checked, String> {
        if self.format != FORMAT || self.protocol != PROTOCOL {
            return Err(format!(
                "it has format {} of protocol {:?}; this program reads format {FORMAT} of {PROTOCOL:?}",
                self.format, self.protocol
            ));
        }
        if self.prompts.is_empty() {
            return Err("it holds no prompts".to_owned());
        }
        if self.hidden_size == 0 {
            return Err("its hidden size is 0".to_owned());
        }
        let teacher = self.teacher.check()?;
        let generation = self.generation.check()?;
        let dtype = match self.dtype.as_str() {
            "f32" => DType::F32,
            "bf16" => DType::BF16,
            "f16" => DType::F16,
            other => {
                return Err(format!("its hidden states are {other:?}; f32, bf16 and f16 are possible"));
            }
        };
        Ok(Checked { teacher, generation, dtype, hidden_size: self.hidden_size, prompts: self.prompts })
    }
}

impl From<&FileDigest> for FileEntry {
    fn from(file: &FileDigest) -> Self {
        Self { name: file.name.clone(), bytes: file.bytes, sha256: file.sha256.clone() }
    }
}

impl From<FileEntry> for FileDigest {
    fn from(file: FileEntry) -> Self {
        Self { name: file.name, bytes: file.bytes, sha256: file.sha256 }
    }
}

impl From<&TeacherIdentity> for Teacher {
    fn from(teacher: &TeacherIdentity) -> Self {
        Self {
            name: teacher.name.clone(),
            revision: teacher.revision.clone(),
            architecture: teacher.model.architecture.clone(),
            files: teacher.model.files.iter().map(FileEntry::from).collect(),
            head_digest: teacher.head_digest.clone(),
            tokenizer_digest: teacher.tokenizer_digest.clone(),
            vocab_size: teacher.vocab_size,
        }
    }
}

impl Teacher {
    /// The error says what is wrong.
    pub(crate) fn check(self) -> Result<TeacherIdentity, String> {
        if self.vocab_size == 0 {
            return Err("its vocabulary is 0".to_owned());
        }
        let of_files = self.files.iter().map(|file| &file.sha256);
        if [&self.head_digest, &self.tokenizer_digest].into_iter().chain(of_files).any(|text| !is_digest(text)) {
            return Err("a digest in it is not 64 lower-case hex digits".to_owned());
        }
        Ok(TeacherIdentity {
            name: self.name,
            revision: self.revision,
            model: ModelIdentity {
                architecture: self.architecture,
                files: self.files.into_iter().map(FileDigest::from).collect(),
            },
            head_digest: self.head_digest,
            tokenizer_digest: self.tokenizer_digest,
            vocab_size: self.vocab_size,
        })
    }
}

impl From<&GenerationRules> for Rules {
    fn from(generation: &GenerationRules) -> Self {
        Self {
            max_prompt_tokens: generation.max_prompt_tokens,
            max_new_tokens: generation.max_new_tokens,
            sampling: match &generation.sampling {
                Sampling::Greedy => SamplingEntry::Greedy,
                Sampling::TopP { temperature, top_p, seed } => {
                    SamplingEntry::TopP { temperature: *temperature, top_p: *top_p, seed: hex(seed) }
                }
            },
        }
    }
}

impl Rules {
    /// The error says what is wrong.
    pub(crate) fn check(self) -> Result<GenerationRules, String> {
        let sampling = match self.sampling {
            SamplingEntry::Greedy => Sampling::Greedy,
            SamplingEntry::TopP { temperature, top_p, seed } => Sampling::TopP {
                temperature,
                top_p,
                seed: parse_seed(&seed).ok_or_else(|| "its seed is not 64 lower-case hex digits".to_owned())?,
            },
        };
        let Self { max_prompt_tokens, max_new_tokens, .. } = self;
        Ok(GenerationRules { max_prompt_tokens, max_new_tokens, sampling })
    }
}

pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn parse_seed(text: &str) -> Option<[u8; 32]> {
    if !is_digest(text) {
        return None;
    }
    let mut seed = [0; 32];
    for (byte, digits) in seed.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(seed)
}
