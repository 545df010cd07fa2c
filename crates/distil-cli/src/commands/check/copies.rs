//! Whether a model is a copy of another one (`--against`).

use distil_checker::{
    CheckReport, CheckerError, Code, Comparison, Finding, LocalModel, ModelDigest, NearCopyRule, Repository, Severity,
    digest_model, weight_distance,
};
use distil_hub::Sha256Digest;
use distil_types::ModelRef;
use serde_json::{Value, json};

use super::{Opening, Session};
use crate::exit::CommandError;
use crate::models::{bring, checker_error};
use crate::progress::{Unit, WorkProgress, watch};
use crate::text::visible;

impl Session<'_> {
    /// Compares the model with another one: by the hashes of their files, then by those of their tensors, then by the
    /// distance of their weights.
    pub(super) fn compare(
        &mut self,
        repository: &dyn Repository,
        digest: Option<&ModelDigest>,
        other: &ModelRef,
        report: &mut CheckReport,
    ) -> Result<(), CommandError> {
        let name = match other {
            ModelRef::Folder(folder) => folder.display().to_string(),
            other => other.to_string(),
        };
        let name = visible(&name).to_string();
        let other_repository = match self.open(other) {
            Ok(repository) => repository,
            Err(Opening::Check(error)) => return Err(checker_error(error)),
            Err(Opening::Command(error)) => return Err(error),
        };
        // Where the Hub has both weights' hashes, no byte of them is needed.
        let (ours, theirs) = (weight_hashes(repository), weight_hashes(other_repository.as_ref()));
        if let (Some(ours), Some(theirs)) = (&ours, &theirs)
            && ours == theirs
        {
            let hashes: Vec<String> = ours.iter().map(ToString::to_string).collect();
            report.add_finding(exact(
                &name,
                "their weights are the same files",
                json!({ "against": name, "files": hashes }),
            ));
            return Ok(());
        }
        let Some(folder) = repository.folder() else {
            let message = format!("it was not compared with {name}: its own weights could not be had");
            report.add_finding(Finding::new(Code::NearCopy, Severity::Warning, message, json!({ "against": name })));
            return Ok(());
        };
        let other_folder = match other_repository.folder() {
            Some(folder) => folder.to_owned(),
            None => bring(other, &[], &self.access, self.common, self.progress_out)?.folder,
        };
        let (ours, theirs) = match (LocalModel::open(folder), LocalModel::open(&other_folder)) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(error), _) => return not_compared(&name, "it", &error, report),
            (_, Err(error)) => return not_compared(&name, "the other", &error, report),
        };
        let threads = self.threads();
        let progress = WorkProgress::new(self.common, Unit::Bytes, &format!("hashing {name}"), self.progress_out);
        let their_digest =
            watch(progress, |meter| digest_model(&theirs, threads, &mut |read| meter.set(read.done, read.total)))
                .map_err(checker_error)?;
        if let Some(digest) = digest
            && digest.raw == their_digest.raw
        {
            let evidence = json!({ "against": name, "tensors": digest.raw });
            report.add_finding(exact(&name, "every tensor that a loader uses is the same", evidence));
            return Ok(());
        }
        let same_in_bf16 = digest.is_some_and(|digest| digest.bf16 == their_digest.bf16);
        let progress =
            WorkProgress::new(self.common, Unit::Bytes, &format!("comparing with {name}"), self.progress_out);
        let rule = NearCopyRule::default();
        let comparison = watch(progress, |meter| {
            weight_distance(&ours, &theirs, &rule, threads, &mut |read| meter.set(read.done, read.total))
        })
        .map_err(checker_error)?;
        report.add_finding(judge(&name, same_in_bf16, &comparison));
        Ok(())
    }
}

/// The hashes of the weights' files, sorted, where all are known without reading them.
fn weight_hashes(repository: &dyn Repository) -> Option<Vec<Sha256Digest>> {
    let files = distil_checker::loader_files(repository).ok()?;
    let mut hashes: Vec<Sha256Digest> = files
        .iter()
        .filter(|file| file.path.ends_with(".safetensors"))
        .map(|file| file.sha256)
        .collect::<Option<_>>()?;
    hashes.sort_unstable();
    (!hashes.is_empty()).then_some(hashes)
}

fn exact(name: &str, how: &str, evidence: Value) -> Finding {
    let message = format!("the weights are those of {name}: {how}. The later of the two commitments is refused");
    Finding::new(Code::ExactCopy, Severity::Error, message, evidence)
}

fn judge(name: &str, same_in_bf16: bool, comparison: &Comparison) -> Finding {
    let evidence = || {
        let mut evidence = json!({ "against": name, "same_after_rounding_to_bf16": same_in_bf16 });
        if let (Some(object), Ok(Value::Object(measured))) =
            (evidence.as_object_mut(), serde_json::to_value(comparison))
        {
            object.extend(measured);
        }
        evidence
    };
    match comparison {
        _ if same_in_bf16 => {
            let message = format!(
                "the weights are those of {name} after rounding to bf16: a copy saved in another dtype. The later of the \
                 two commitments gets no crown"
            );
            Finding::new(Code::NearCopy, Severity::Error, message, evidence())
        }
        Comparison::Compared(distance) if distance.verdict.is_near_copy => {
            let message = format!(
                "the weights are nearly those of {name} ({}). The later of the two commitments gets no crown",
                distance.verdict.reason
            );
            Finding::new(Code::NearCopy, Severity::Error, message, evidence())
        }
        Comparison::Compared(distance) => {
            let message = format!(
                "no copy of {name}: {} (relative distance {:.2e})",
                distance.verdict.reason, distance.relative_l2
            );
            Finding::new(Code::NearCopy, Severity::Info, message, evidence())
        }
        Comparison::NotComparable { reason } => {
            let message = format!("no copy of {name}: the two have not the same tensors ({reason})");
            Finding::new(Code::NearCopy, Severity::Info, message, evidence())
        }
    }
}

fn not_compared(name: &str, whose: &str, error: &CheckerError, report: &mut CheckReport) -> Result<(), CommandError> {
    let message = format!("it was not compared with {name}: {whose} cannot be loaded: {error}");
    report.add_finding(Finding::new(Code::NearCopy, Severity::Warning, message, json!({ "against": name })));
    Ok(())
}
