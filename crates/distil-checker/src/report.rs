use std::{collections::BTreeMap, num::NonZeroUsize};

use distil_hub::Sha256Digest;
use distil_types::Revision;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    BytesRead, CheckerError, Code, Finding, LocalModel, MAX_READ_BYTES, ModelDigest, Repository, Severity,
    digest_model_and_files, files_digest, loader_files, text::printable,
};

/// What a check says, as `distil check --format json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// The folder, or `owner/repo`. Printable.
    pub model: String,
    /// The commit that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    pass: bool,
    verdict: Verdict,
    findings: Vec<Finding>,
    /// How many parameters there are.
    pub parameters: Parameters,
    /// Parameters by dtype, in all safetensors files.
    pub dtypes: BTreeMap<String, u64>,
    /// `vocab_size` of the configuration.
    pub vocab_size: Option<u64>,
    /// Digests of the content.
    pub digest: DigestReport,
    /// Size of all files.
    pub bytes: u64,
    /// What the check has read, listing included.
    pub bytes_read: u64,
    /// In how many requests, or reads of a file.
    pub requests: u64,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No error was found.
    Pass,
    /// The repository is not what it has to be. [`Code::Private`] and [`Code::NotFound`] are answers of the moment: it
    /// takes several over some time before anyone is disqualified for them.
    Refused,
    /// The network, the Hub or this machine failed before anything was found: try again. This counts against nobody.
    CannotTell,
}

/// Numbers of parameters; `None` where a header or the configuration could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Parameters {
    /// In every safetensors file of the repository, whether a loader reads it or not. The limit is on this.
    pub total: Option<u64>,
    /// Of the language model, those that one token passes: of a mixture's experts, only the chosen ones.
    pub active: Option<u64>,
    /// Of the language model that a loader makes of the files: no vision tower, no multi-token prediction, a tied head
    /// once.
    pub text: Option<u64>,
}

/// Digests of a model's content.
///
/// A check reads headers only. On the Hub the listing has the weights' hashes, so that of the files is there at once;
/// for the rest see [`CheckReport::add_digests`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestReport {
    /// [`ModelDigest::raw`]: of all tensors that a loader uses, whatever the files are called.
    pub tensors: Option<Sha256Digest>,
    /// Of the same tensors rounded to bf16: a copy saved in another dtype has this one in common.
    pub tensors_bf16: Option<Sha256Digest>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensors_reason: Option<String>,
    /// Of the [files that a loader reads](crate::loader_files).
    pub files: Option<Sha256Digest>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_reason: Option<String>,
}

impl Default for DigestReport {
    fn default() -> Self {
        let reason = || Some("the weights were not read".to_owned());
        Self { tensors: None, tensors_bf16: None, tensors_reason: reason(), files: None, files_reason: reason() }
    }
}

impl CheckReport {
    pub(crate) fn new(model: &str, revision: Option<Revision>, findings: Vec<Finding>) -> Self {
        let verdict = verdict_of(&findings);
        Self {
            model: model.to_owned(),
            revision,
            pass: verdict == Verdict::Pass,
            verdict,
            findings,
            parameters: Parameters::default(),
            dtypes: BTreeMap::new(),
            vocab_size: None,
            digest: DigestReport::default(),
            bytes: 0,
            bytes_read: 0,
            requests: 0,
        }
    }

    /// The report on a model that could not be opened: one finding. `model` is the name that was given.
    pub fn of_error(model: &str, revision: Option<Revision>, error: &CheckerError) -> Self {
        let model = printable(model);
        Self::new(&model, revision, vec![Finding::of_error(error)])
    }

    /// Everything that was found, errors first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds what a later look found, such as a near copy.
    pub fn add_finding(&mut self, finding: Finding) {
        let place = self.findings.partition_point(|earlier| earlier.severity <= finding.severity);
        self.findings.insert(place, finding);
        self.verdict = verdict_of(&self.findings);
        self.pass = self.verdict == Verdict::Pass;
    }

    /// Reads the weights of a repository that is on this disk and puts both digests into the report. Gives the digests of
    /// the model and its tensors; `None` where the weights are not on this disk, or are not a model that could be loaded:
    /// the reason is in the report then.
    ///
    /// Every file is read once. `progress` is called, from one thread at a time, after each piece.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn add_digests(
        &mut self,
        repository: &dyn Repository,
        threads: NonZeroUsize,
        progress: &mut (dyn FnMut(BytesRead) + Send),
    ) -> Result<Option<ModelDigest>, CheckerError> {
        let Some(folder) = repository.folder() else {
            self.digest.tensors_reason = Some("the weights are not on this disk".to_owned());
            return Ok(None);
        };
        let model = match LocalModel::open(folder) {
            Ok(model) => model,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                self.digest.tensors_reason = Some(printable(&format!("the weights cannot be loaded: {error}")));
                return Ok(None);
            }
        };
        let (digest, weights) = digest_model_and_files(&model, threads, progress)?;
        let mut files: Vec<(&str, Sha256Digest)> =
            weights.iter().map(|(name, digest)| (name.as_str(), digest.sha256)).collect();
        for file in loader_files(repository)? {
            if !files.iter().any(|(name, _)| *name == file.path) {
                let bytes = repository.read_whole(file, MAX_READ_BYTES)?;
                files.push((&file.path, Sha256Digest(Sha256::digest(&bytes).into())));
            }
        }
        self.digest = DigestReport {
            tensors: Some(digest.raw),
            tensors_bf16: Some(digest.bf16),
            tensors_reason: None,
            files: Some(files_digest(&files)),
            files_reason: None,
        };
        Ok(Some(digest))
    }

    /// True where there is no error.
    pub fn pass(&self) -> bool {
        self.pass
    }

    /// The answer in one word.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// True where there is a finding of this code and weight.
    pub fn has(&self, code: Code, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.code == code && finding.severity == severity)
    }
}

fn verdict_of(findings: &[Finding]) -> Verdict {
    let errors = || findings.iter().filter(|finding| finding.severity == Severity::Error);
    if errors().any(|finding| finding.code != Code::Transient) {
        Verdict::Refused
    } else if errors().next().is_some() {
        Verdict::CannotTell
    } else {
        Verdict::Pass
    }
}
