//! What is kept of the teacher once it has run.

pub(crate) mod document;
mod file;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use distil_model::{OutputHead, Sampling};

use crate::{EvalError, TeacherIdentity, TokenSequence};

/// What is kept of a teacher: the tokens of prompts and continuations, and its final hidden states at the scored
/// positions. With the teacher's output head it stands for the teacher in every student pass.
///
/// Hidden states are kept in the dtype they were computed in and never rounded.
#[derive(Debug, Clone)]
pub struct TeacherCache {
    pub(crate) teacher: TeacherIdentity,
    pub(crate) generation: GenerationRules,
    pub(crate) dtype: DType,
    pub(crate) hidden_size: usize,
    pub(crate) prompts: Vec<CachedPrompt>,
}

/// How the continuations in a [`TeacherCache`] came about.
#[derive(Debug, Clone)]
pub struct GenerationRules {
    /// Prompts were cut to this many tokens.
    pub max_prompt_tokens: usize,
    /// Continuations were cut to this many tokens.
    pub max_new_tokens: usize,
    /// How tokens were picked.
    pub sampling: Sampling,
}

/// One prompt of a [`TeacherCache`].
#[derive(Debug, Clone)]
pub struct CachedPrompt {
    /// Its id in the request.
    pub id: String,
    /// Its text in the request.
    pub text: String,
    /// Its tokens and those of the continuation.
    pub sequence: TokenSequence,
    /// The teacher's final hidden states at the scored positions, `[continuation tokens, hidden_size]`.
    pub(crate) hidden: Tensor,
}

impl TeacherCache {
    /// What the teacher was.
    pub fn teacher(&self) -> &TeacherIdentity {
        &self.teacher
    }

    /// How its continuations came about.
    pub fn generation(&self) -> &GenerationRules {
        &self.generation
    }

    /// The prompts, in order.
    pub fn prompts(&self) -> &[CachedPrompt] {
        &self.prompts
    }

    /// The dtype of the hidden states.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Checks that an output head is the one this cache was made with.
    ///
    /// # Errors
    /// [`EvalError::WrongHead`] if it is another one.
    pub fn check_head(&self, head: &OutputHead) -> Result<(), EvalError> {
        let found = head.digest()?;
        if found != self.teacher.head_digest
            || head.vocab_size() != self.teacher.vocab_size
            || head.hidden_size() != self.hidden_size
        {
            return Err(EvalError::WrongHead { expected: self.teacher.head_digest.clone(), found });
        }
        Ok(())
    }

    /// Writes the cache to one safetensors file, under a temporary name until it is whole and synced.
    ///
    /// The file holds the tensors `tokens.N` (u32) and `hidden.N` for each prompt N, and in its metadata under
    /// `distil_teacher_cache` a JSON document with the rest and SHA-256 digests of every prompt's tensors.
    ///
    /// # Errors
    /// [`EvalError::Write`] if the file can't be written; nothing of it is left then.
    pub fn save(&self, path: &Path) -> Result<(), EvalError> {
        file::save(self, path)
    }

    /// Reads a cache that [`TeacherCache::save`] wrote. The file may come from anyone: everything in it is checked.
    ///
    /// # Errors
    /// [`EvalError::Read`] if it can't be read, [`EvalError::Cache`] if anything in it is not as it must be.
    pub fn load(path: &Path, device: &Device) -> Result<Self, EvalError> {
        file::load(path, device)
    }
}
