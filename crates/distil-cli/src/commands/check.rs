//! `distil check`: what a model's repository holds.

mod copies;
mod page;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::anyhow;
use distil_checker::{
    CheckReport, CheckerError, Code, Finding, FolderRepository, ModelDigest, Repository, Requirements, Severity,
    TeacherFacts, Verdict,
};
use distil_hub::RepoKind;
use distil_types::{ModelRef, RepoId};
use serde_json::json;

use crate::exit::{CommandError, ExitStatus};
use crate::hub::{HubAccess, hub_error};
use crate::models::{TOKENIZER_FILES, bring, checker_error};
use crate::output::{OutputError, write_json};
use crate::progress::{Unit, WorkProgress, watch};
use crate::settings::{Check, Common, Format};

/// What all parts of a check use.
struct Session<'a> {
    settings: &'a Check,
    access: HubAccess,
    common: Common,
    progress_out: &'a mut dyn Write,
}

/// Checks the model and writes what was found to `out`.
///
/// The status is [`ExitStatus::AnswerIsNo`] when the model is refused, [`ExitStatus::TryAgain`] when nobody can tell.
pub(crate) fn run(
    settings: &Check,
    common: Common,
    out: &mut dyn Write,
    progress_out: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    let mut session = Session { settings, access: HubAccess::default(), common, progress_out };
    let report = session.report()?;
    match common.format {
        Format::Json => write_json(out, &report)?,
        Format::Text => {
            out.write_all(page::render(&report).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(match report.verdict() {
        Verdict::Pass => ExitStatus::Done,
        Verdict::Refused => ExitStatus::AnswerIsNo,
        Verdict::CannotTell => ExitStatus::TryAgain,
    })
}

/// What is found about a model without its weights.
pub(crate) fn judge(
    settings: &Check,
    common: Common,
    progress_out: &mut dyn Write,
) -> Result<CheckReport, CommandError> {
    let mut session = Session { settings, access: HubAccess::default(), common, progress_out };
    Ok(session.judge()?.report)
}

/// A report, and what was looked at for it.
struct Judged {
    report: CheckReport,
    looked_at: Option<(ModelRef, Box<dyn Repository>)>,
}

impl Session<'_> {
    fn judge(&mut self) -> Result<Judged, CommandError> {
        let settings = self.settings;
        let model = match &settings.model {
            Ok(model) => model,
            Err(error) => {
                let report = CheckReport::of_error(&settings.name, None, &CheckerError::from(error.clone()));
                return Ok(Judged { report, looked_at: None });
            }
        };
        let (name, revision) = match model {
            ModelRef::Hub { repo, revision } => (repo.as_str(), *revision),
            _ => (settings.name.as_str(), None),
        };
        let repository = match self.open(model) {
            Ok(repository) => repository,
            Err(Opening::Check(error)) => {
                return Ok(Judged { report: CheckReport::of_error(name, revision, &error), looked_at: None });
            }
            Err(Opening::Command(error)) => return Err(error),
        };
        let mut notes = Vec::new();
        let requirements = self.requirements(&mut notes)?;
        let mut report = distil_checker::check(repository.as_ref(), &requirements);
        for note in notes {
            report.add_finding(note);
        }
        Ok(Judged { report, looked_at: Some((model.clone(), repository)) })
    }

    fn report(&mut self) -> Result<CheckReport, CommandError> {
        let settings = self.settings;
        let Judged { mut report, looked_at } = self.judge()?;
        let Some((model, repository)) = looked_at else { return Ok(report) };
        // Weights of a repository that could not be looked at are not downloaded.
        let weights_are_wanted = settings.download || !settings.against.is_empty();
        let downloaded = match repository.folder() {
            None if weights_are_wanted && report.verdict() != Verdict::CannotTell => self.download(&model, &report)?,
            _ => None,
        };
        let repository = downloaded.as_ref().map_or(repository.as_ref(), |local| local as &dyn Repository);
        let digest = self.digest(repository, &mut report)?;
        for other in &settings.against {
            self.compare(repository, digest.as_ref(), other, &mut report)?;
        }
        Ok(report)
    }

    fn threads(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.settings.threads.get()).unwrap_or(NonZeroUsize::MIN)
    }

    fn open(&self, model: &ModelRef) -> Result<Box<dyn Repository>, Opening> {
        match model {
            ModelRef::Folder(folder) => Ok(Box::new(FolderRepository::open(folder).map_err(Opening::Check)?)),
            model => {
                let hub = self.access.get().map_err(Opening::Command)?;
                distil_checker::open(model, hub).map_err(Opening::Check)
            }
        }
    }

    /// The profile's requirements, or those of the teacher that was named.
    ///
    /// The profile gives the vocabulary's size. Its teacher's tokenizer has to be fetched; where that fails the check goes
    /// on without, and says so: no score depends on a student's tokenizer.
    fn requirements(&mut self, notes: &mut Vec<Finding>) -> Result<Requirements, CommandError> {
        let requirements = Requirements::from_profile(&self.settings.profile);
        match &self.settings.teacher {
            Some(ModelRef::Folder(folder)) => {
                let repository = FolderRepository::open(folder).map_err(checker_error)?;
                Ok(requirements.with_teacher(TeacherFacts::read(&repository).map_err(checker_error)?))
            }
            Some(ModelRef::Hub { repo, .. }) => {
                let folder = self.teacher_files(self.settings.teacher.as_ref(), repo)?;
                Ok(requirements.with_teacher(read_teacher(&folder, repo).map_err(checker_error)?))
            }
            _ => {
                let repo = &self.settings.profile.teacher;
                let facts = self
                    .teacher_files(None, repo)
                    .and_then(|folder| read_teacher(&folder, repo).map_err(checker_error));
                match facts {
                    Ok(facts) => Ok(requirements.with_teacher(facts)),
                    Err(error) => {
                        let message = format!(
                            "the tokenizer was not compared with that of the teacher {repo}, which could not be read \
                             (give it with --teacher): {}",
                            error.summary()
                        );
                        let evidence = json!({ "teacher": repo.as_str() });
                        notes.push(Finding::new(Code::TokenizerMismatch, Severity::Warning, message, evidence));
                        Ok(requirements)
                    }
                }
            }
        }
    }

    /// The folder with a teacher's configuration and tokenizer; its weights are not needed.
    fn teacher_files(&mut self, named: Option<&ModelRef>, repo: &RepoId) -> Result<std::path::PathBuf, CommandError> {
        let revision = match named {
            Some(ModelRef::Hub { revision, .. }) => revision.as_ref(),
            _ => None,
        };
        let hub = self.access.get()?;
        if hub.settings().offline {
            let cached = hub.cached_folder(RepoKind::Model, repo, revision).map_err(hub_error)?;
            return cached
                .map(|(_, folder)| folder)
                .ok_or_else(|| CommandError::usage(anyhow!("{repo} is not in the cache, and HF_HUB_OFFLINE is set")));
        }
        let snapshot = hub.snapshot(RepoKind::Model, repo, revision).map_err(hub_error)?;
        let wanted =
            |file: &distil_hub::RepoFile| file.path == "config.json" || TOKENIZER_FILES.contains(&file.path.as_str());
        let folder = self.access.download(&snapshot, &wanted, self.common, self.progress_out)?;
        if revision.is_none() {
            hub.note_main(&snapshot.at).map_err(hub_error)?;
        }
        Ok(folder)
    }

    /// Brings a model's weights, where it has some.
    fn download(&mut self, model: &ModelRef, report: &CheckReport) -> Result<Option<FolderRepository>, CommandError> {
        if report.has(Code::NoSafetensors, Severity::Error) {
            return Ok(None);
        }
        let files = bring(model, &[], &self.access, self.common, self.progress_out)?;
        let local = FolderRepository::open(&files.folder).map_err(checker_error)?;
        Ok(Some(match &files.origin {
            Some((repo, revision)) => local.named(repo.as_str(), Some(*revision)),
            None => local,
        }))
    }

    /// Fills in the report's digests; gives the tensors' for comparing.
    fn digest(
        &mut self,
        repository: &dyn Repository,
        report: &mut CheckReport,
    ) -> Result<Option<ModelDigest>, CommandError> {
        if repository.folder().is_none() {
            report.digest.tensors_reason =
                Some("the weights are not on this machine; --download brings and verifies them".to_owned());
            return Ok(None);
        }
        let threads = self.threads();
        let progress = WorkProgress::new(self.common, Unit::Bytes, "hashing the weights", self.progress_out);
        watch(progress, |meter| report.add_digests(repository, threads, &mut |read| meter.set(read.done, read.total)))
            .map_err(checker_error)
    }
}

fn read_teacher(folder: &Path, repo: &RepoId) -> Result<TeacherFacts, CheckerError> {
    let repository = FolderRepository::open(folder)?.named(repo.as_str(), None);
    TeacherFacts::read(&repository)
}

/// Why a model could not be opened: for the report, or for the caller.
enum Opening {
    Check(CheckerError),
    Command(CommandError),
}
