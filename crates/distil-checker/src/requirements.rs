//! What a student has to be, and where that comes from: a subnet's profile, or a teacher's own files.

use distil_types::{Revision, SubnetProfile};
use serde_json::{Map, Value};

use crate::{
    CheckerError,
    config::{ConfigReading, MAX_CONFIG_BYTES, MAX_CONFIG_VALUES},
    json,
    repository::Repository,
    template::{self, Template},
    tokenizer::{Tokenizer, TokenizerReading, read_tokenizer},
};

/// What a student has to be.
///
/// ```
/// use distil_checker::Requirements;
/// use distil_types::SubnetProfile;
///
/// let requirements = Requirements::from_profile(&SubnetProfile::sn97());
/// assert_eq!(requirements.vocab_size(), 248_320);
/// assert!(requirements.teacher().is_none());
/// ```
#[derive(Debug, Clone)]
pub struct Requirements {
    vocab_size: u64,
    max_parameters: u64,
    teacher: Option<TeacherFacts>,
}

impl Requirements {
    /// What a subnet's profile asks for. It names the vocabulary's size and the limit on parameters; the tokenizer comes
    /// with [`with_teacher`](Self::with_teacher), and without it none is compared.
    pub fn from_profile(profile: &SubnetProfile) -> Self {
        Self { vocab_size: profile.vocab_size as u64, max_parameters: profile.max_parameters, teacher: None }
    }

    /// The same with the vocabulary and the tokenizer of a teacher.
    pub fn with_teacher(self, teacher: TeacherFacts) -> Self {
        Self { vocab_size: teacher.vocab_size, teacher: Some(teacher), ..self }
    }

    /// The same with another limit on the parameters in all safetensors files.
    pub fn with_max_parameters(self, max_parameters: u64) -> Self {
        Self { max_parameters, ..self }
    }

    /// Rows of embedding and head that a student has to have.
    pub fn vocab_size(&self) -> u64 {
        self.vocab_size
    }

    /// The most parameters in all safetensors files of a repository.
    pub fn max_parameters(&self) -> u64 {
        self.max_parameters
    }

    /// The teacher, where its files were read.
    pub fn teacher(&self) -> Option<&TeacherFacts> {
        self.teacher.as_ref()
    }
}

/// What students are compared with: the vocabulary and the tokenizer of a teacher. Its weights are not looked at.
#[derive(Debug, Clone)]
pub struct TeacherFacts {
    name: String,
    revision: Option<Revision>,
    vocab_size: u64,
    pub(crate) tokenizer: Option<Box<Tokenizer>>,
    pub(crate) template: Template,
}

impl TeacherFacts {
    /// Reads `config.json` and the tokenizer's files.
    ///
    /// # Errors
    ///
    /// A file cannot be read, gives no `vocab_size`, or is no tokenizer. A teacher without any tokenizer is taken; then
    /// no student's is compared.
    pub fn read(repository: &dyn Repository) -> Result<Self, CheckerError> {
        let wrong = |reason: String| CheckerError::Teacher { teacher: repository.name().to_owned(), reason };
        let object = |name: &str| -> Result<Option<Map<String, Value>>, CheckerError> {
            let Some(file) = repository.file(name) else { return Ok(None) };
            let bytes = repository.read_whole(file, MAX_CONFIG_BYTES)?;
            let map = json::parse_object(&bytes, MAX_CONFIG_VALUES);
            map.map(Some).map_err(|reason| wrong(format!("{name}: {reason}")))
        };
        let config = object("config.json")?.ok_or_else(|| wrong("it has no config.json".to_owned()))?;
        let vocab_size = ConfigReading::of(&config).vocab_size;
        let vocab_size = vocab_size.ok_or_else(|| wrong("its config.json gives no vocab_size".to_owned()))?;
        let tokenizer_config = object("tokenizer_config.json")?;
        let tokenizer = match read_tokenizer(repository, tokenizer_config.as_ref(), None)? {
            TokenizerReading::Read(tokenizer) => Some(tokenizer),
            TokenizerReading::None | TokenizerReading::Known => None,
            TokenizerReading::Invalid { file, reason } => return Err(wrong(format!("{file}: {reason}"))),
        };
        let template = template::read(repository, tokenizer_config.as_ref())?;
        Ok(Self {
            name: repository.name().to_owned(),
            revision: repository.revision(),
            vocab_size,
            tokenizer,
            template,
        })
    }

    /// Its name, printable.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The commit that was read.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Columns of its logits.
    pub fn vocab_size(&self) -> u64 {
        self.vocab_size
    }

    /// True where it has a tokenizer that students' are compared with.
    pub fn has_tokenizer(&self) -> bool {
        self.tokenizer.is_some()
    }
}
