//! The check: one look at a repository, and everything that is found.

mod configuration;
mod tokenizer;
mod weights;

use distil_hub::{Hub, Sha256Digest};
use distil_types::{ModelRef, Revision};
use serde_json::json;

use crate::{
    CheckReport, CheckerError, Code, DigestReport, Requirements,
    files::check_files,
    files_digest,
    findings::Findings,
    repository::{self, Remembering, Repository},
};

use configuration::check_configs;
use tokenizer::check_tokenizer;
use weights::check_weights;

/// Files and fields that a message names.
const SHOWN: usize = 5;

/// Checks a model by its name: a folder, or `owner/repo[@revision]`.
///
/// Whatever stands in the way of looking at it is a finding of the report: a name that is none, a repository that is
/// gone or private, a Hub that does not answer.
pub fn check_model(model: &str, hub: &Hub, requirements: &Requirements) -> CheckReport {
    let parsed = ModelRef::parse(model, std::path::Path::is_dir);
    let revision = match &parsed {
        Ok(ModelRef::Hub { revision, .. }) => *revision,
        _ => None,
    };
    let name = match &parsed {
        Ok(ModelRef::Hub { repo, .. }) => repo.as_str(),
        _ => model,
    };
    let opened = parsed.as_ref().map_err(|error| CheckerError::from(error.clone()));
    match opened.and_then(|model| repository::open(model, hub)) {
        Ok(repository) => check(repository.as_ref(), requirements),
        Err(error) => CheckReport::of_error(name, revision, &error),
    }
}

/// Checks an opened repository by its listing, its configuration, its tokenizer and the headers of its weights.
///
/// The weights themselves are never read. Failures to read something are findings too.
pub fn check(repository: &dyn Repository, requirements: &Requirements) -> CheckReport {
    let remembering = Remembering::new(repository);
    let repository: &dyn Repository = &remembering;
    let mut findings = Findings::default();
    check_access(repository, &mut findings);
    let foreign_bytes = check_files(repository, &mut findings);
    let configs = check_configs(repository, &mut findings);
    let weights = check_weights(repository, requirements, &configs.reading, foreign_bytes, &mut findings);
    check_tokenizer(repository, requirements, configs.tokenizer_config.as_ref(), &mut findings);

    let traffic = repository.traffic();
    let revision: Option<Revision> = repository.revision();
    let mut report = CheckReport::new(repository.name(), revision, findings.into_sorted());
    report.parameters = weights.parameters;
    report.dtypes = weights.dtypes;
    report.vocab_size = configs.reading.vocab_size;
    report.bytes = repository.files().iter().fold(0, |sum, file| sum.saturating_add(file.size));
    report.bytes_read = traffic.bytes;
    report.requests = traffic.requests;
    report.digest = digest_of_listing(&remembering, &weights.loader_files);
    report
}

/// The digest of the files that a loader reads, where the listing and what was read whole give all of their hashes. That
/// of the tensors needs the weights.
fn digest_of_listing(repository: &Remembering<'_>, paths: &[String]) -> DigestReport {
    let known: Option<Vec<(&str, Sha256Digest)>> =
        paths.iter().map(|path| repository.sha256(path).map(|sha256| (path.as_str(), sha256))).collect();
    match known {
        Some(known) if !known.is_empty() => {
            DigestReport { files: Some(files_digest(&known)), files_reason: None, ..DigestReport::default() }
        }
        Some(_) => DigestReport {
            files_reason: Some("there is nothing that a loader reads".to_owned()),
            ..DigestReport::default()
        },
        None => DigestReport::default(),
    }
}

fn check_access(repository: &dyn Repository, findings: &mut Findings) {
    if repository.is_restricted() {
        let message =
            "the repository is private or gated: others cannot fetch it; make it public before you commit to it";
        findings.error(Code::Private, message, json!({"status": 200}));
    }
}
