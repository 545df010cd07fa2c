use std::path::PathBuf;

/// What can go wrong when a model is loaded or run.
///
/// Every variant names the file, field, tensor or value at fault. Text taken from a repository is quoted with
/// [`str::escape_debug`], so that a message is safe to show on a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The folder has no weights in the safetensors format.
    #[error("{} holds neither model.safetensors nor model.safetensors.index.json: only safetensors weights are loaded", .folder.display())]
    NoSafetensors {
        /// The model's folder.
        folder: PathBuf,
    },
    /// A configuration file does not say what it has to.
    #[error("{}: {reason}", .path.display())]
    Config {
        /// The JSON file.
        path: PathBuf,
        /// The field, its value and what it has to be.
        reason: String,
    },
    /// The configuration asks for an architecture that this crate does not have.
    #[error(
        "{}: model_type \"{model_type}\" is not supported; supported are llama, qwen2, qwen3, qwen3_moe, qwen3_5(_text) and qwen3_5_moe(_text)",
        .path.display()
    )]
    UnsupportedArchitecture {
        /// The JSON file.
        path: PathBuf,
        /// What its `model_type` says, escaped.
        model_type: String,
    },
    /// A safetensors file or the index over the shards is malformed.
    #[error("{}: {reason}", .path.display())]
    Weights {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the configuration calls for is in none of the files.
    #[error("{}: tensor {name} is missing (needed by the configuration, found in no safetensors file)", .folder.display())]
    MissingTensor {
        /// The model's folder.
        folder: PathBuf,
        /// The tensor's canonical name, without any `model.` or `language_model.` prefix.
        name: String,
    },
    /// A tensor has another shape than the configuration calls for.
    #[error("{}: tensor {name} has shape {found:?}, the configuration calls for {expected:?}", .path.display())]
    TensorShape {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor's name in that file, escaped.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration calls for.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a dtype other than BF16, F16 or F32.
    #[error("{}: tensor {name} is stored as {dtype}; only BF16, F16 and F32 weights are loaded", .path.display())]
    TensorDtype {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor's name in that file, escaped.
        name: String,
        /// The dtype in the file.
        dtype: String,
    },
    /// `tokenizer.json` cannot be used.
    #[error("{}: {reason}", .path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A token id is not in the model's vocabulary.
    #[error(
        "token id {token} at position {position} of sequence {sequence} is outside the model's vocabulary of {vocab_size}"
    )]
    TokenOutOfRange {
        /// Index of the sequence in the call.
        sequence: usize,
        /// Index of the token in the sequence.
        position: usize,
        /// The id.
        token: u32,
        /// The number of embeddings.
        vocab_size: usize,
    },
    /// A call's arguments contradict each other.
    #[error("{0}")]
    InvalidRequest(String),
    /// A model's forward pass gave a value that is not a number or infinite.
    #[error("the model's {what} are not finite (sequence {sequence})")]
    NotFinite {
        /// Which values.
        what: &'static str,
        /// Index of the sequence in the call.
        sequence: usize,
    },
    /// The tensor library refused an operation: out of device memory, or a fault of ours.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// The crate's results.
pub(crate) type Result<T, E = ModelError> = std::result::Result<T, E>;
