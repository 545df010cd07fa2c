use std::path::PathBuf;

use distil_model::ModelError;

/// What can go wrong while students are scored, a teacher cache is kept or a record is written.
///
/// A failure of one student is no error of the run: it becomes a
/// [`StudentReport`](crate::StudentReport) with status `failed` and a reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// There is nothing to score on.
    #[error("there are no prompts: give at least one")]
    NoPrompts,
    /// There is nobody to score.
    #[error("there are no students: give at least one")]
    NoStudents,
    /// A prompt is the empty text.
    #[error("prompt {index} (id {id:?}) is empty: remove it or give it text")]
    EmptyPrompt {
        /// Place of the prompt in the list, from 0.
        index: usize,
        /// Its id.
        id: String,
    },
    /// The teacher's tokenizer makes nothing of a prompt.
    #[error("prompt {index} (id {id:?}) gives no tokens with the teacher's tokenizer: remove it or change its text")]
    PromptWithoutTokens {
        /// Place of the prompt in the list, from 0.
        index: usize,
        /// Its id.
        id: String,
    },
    /// A token id is not in the teacher's vocabulary.
    #[error(
        "prompt {index} has token {token}, but the teacher's vocabulary has {vocab_size} entries: the tokenizer does not belong to this model"
    )]
    TokenOutsideVocabulary {
        /// Place of the prompt in the list, from 0.
        index: usize,
        /// The token id.
        token: u32,
        /// Number of columns of the teacher's output head.
        vocab_size: usize,
    },
    /// The teacher continued a prompt by nothing, so there is no position to score.
    #[error("the teacher gave no continuation for prompt {index}")]
    NoContinuation {
        /// Place of the prompt in the list, from 0.
        index: usize,
    },
    /// A setting is out of its range.
    #[error("{setting} is {value}: {requirement}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// The value given.
        value: String,
        /// What it has to be.
        requirement: &'static str,
    },
    /// The teacher, or its tokenizer, could not be loaded or run.
    #[error("teacher {model}: {source}")]
    Teacher {
        /// The teacher's name.
        model: String,
        /// What the model library says.
        #[source]
        source: Box<ModelError>,
    },
    /// A model could not be loaded or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// Teacher and student have vocabularies of different sizes; a slice of one is never scored.
    #[error("the vocabulary has {student} entries, the teacher's {teacher}: they must be equal, down to the padding")]
    VocabularySize {
        /// Columns of the teacher's output head.
        teacher: usize,
        /// Columns of the student's output head.
        student: usize,
    },
    /// The KL divergence at a position is NaN or infinite.
    #[error("the KL divergence at prompt {prompt}, position {position} is {value}")]
    NotFinite {
        /// Place of the prompt in the list, from 0.
        prompt: usize,
        /// Position in the continuation, from 0.
        position: usize,
        /// `NaN`, `inf` or `-inf`.
        value: f64,
    },
    /// The teacher's hidden states hold NaN or infinity, so nothing can be compared with it.
    #[error(
        "the teacher's hidden states for prompt {prompt} hold NaN or infinity: its weights are damaged or too large for the dtype"
    )]
    TeacherNotFinite {
        /// Place of the prompt in the list, from 0.
        prompt: usize,
    },
    /// The KL kernel refused its input.
    #[error("KL kernel: {0}")]
    Kl(#[from] distil_kl::KlError),
    /// The statistics refused their input.
    #[error("statistics: {0}")]
    Statistics(#[from] distil_scoring::Error),
    /// A teacher cache was made with another output head.
    #[error(
        "the teacher cache was made with the output head {expected}, but this head is {found}: use the teacher it was made with"
    )]
    WrongHead {
        /// Digest in the cache.
        expected: String,
        /// Digest of the head at hand.
        found: String,
    },
    /// A teacher cache file can't be what it says it is.
    #[error("teacher cache {path}: {problem}")]
    Cache {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file or folder could not be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file or folder could not be written.
    #[error("can't write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A record could not be put together.
    #[error("record: {0}")]
    Record(String),
}
