//! What a student is held against besides its numbers: its weights against those of earlier commitments, and what a worker
//! loaded against what was committed.

use crate::{Validator, models, told};
use distil_checker::{ExpectedFile, ExpectedRepository};
use distil_hub::{HubError, RepoAt, RepoKind};
use distil_model::FileDigest;
use distil_scoring::{NearCopy, PlannedStudent, Role, RoundPlan};
use distil_types::{Commitment, RepoId, Revision};
use std::collections::BTreeMap;

/// A repository's files at one commit that decide what is loaded, by path.
pub(crate) type Files = BTreeMap<String, ExpectedFile>;

/// Why it is not known whether a student is a near copy. Then it can't be crowned, so it is not run either.
#[derive(Debug)]
pub(crate) struct NotCompared {
    /// For the miner to read.
    pub(crate) reason: String,
    /// It is the student's own weights that are not here.
    pub(crate) is_own: bool,
}

impl Validator {
    /// The earlier commitment among this round's that a student's weights are close to. What is not on this host is
    /// brought here first; the models of challengers are here already.
    ///
    /// A king has its crown, so it is compared with nobody.
    pub(crate) fn near_copy(
        &self,
        student: &PlannedStudent,
        plan: &RoundPlan,
    ) -> Result<Option<NearCopy>, NotCompared> {
        if student.role == Role::King {
            return Ok(None);
        }
        // Also where there is nobody to compare it with: others are compared with it.
        let own = models::open(&self.hub, &student.commitment).map_err(|problem| {
            let reason = format!("its weights could not be brought here to be compared: {}", problem.reason());
            NotCompared { reason, is_own: true }
        })?;
        let mut earlier: Vec<_> = plan
            .students()
            .iter()
            .filter(|other| other.miner < student.miner && other.miner.hotkey != student.miner.hotkey)
            .collect();
        earlier.sort_by_key(|other| other.miner);
        for other in earlier {
            let not_compared = |why: &str| NotCompared {
                reason: format!("its weights could not be compared with those of {}: {why}", other.miner),
                is_own: false,
            };
            let theirs =
                models::open(&self.hub, &other.commitment).map_err(|problem| not_compared(problem.reason()))?;
            let found = models::near_copy(&own, &theirs, self.settings.threads).map_err(|error| {
                tracing::warn!(student = %student.miner, other = %other.miner, %error, "weights could not be compared");
                not_compared(&told::of_checker(&error, &student.commitment))
            })?;
            if let Some(evidence) = found {
                return Ok(Some(NearCopy { of: other.miner, evidence }));
            }
        }
        Ok(None)
    }

    /// The files that a miner committed: those that were checked; of one that was never checked here, such as a king of
    /// another store, those that the Hub lists.
    pub(crate) fn committed_files(&self, student: &PlannedStudent) -> Result<Files, crate::ValidatorError> {
        let Commitment { model, revision } = &student.commitment;
        let checked = self.store.check(&student.miner)?.and_then(|check| crate::prepare::looks_of(&check).expected);
        match checked.filter(|expected| expected.at.revision == *revision && expected.at.repo == *model) {
            Some(expected) => Ok(expected.files),
            None => Ok(self.listed_files(model, *revision)?),
        }
    }

    /// The files that a round's teacher is made of.
    pub(crate) fn teacher_files(&self, plan: &RoundPlan) -> Result<Files, HubError> {
        let settings = plan.settings();
        if settings.teacher == self.teacher.repo && settings.teacher_revision == self.teacher.revision {
            return Ok(self.teacher_files.clone());
        }
        self.listed_files(&settings.teacher, settings.teacher_revision)
    }

    fn listed_files(&self, repo: &RepoId, revision: Revision) -> Result<Files, HubError> {
        let at = RepoAt { kind: RepoKind::Model, repo: repo.clone(), revision };
        Ok(ExpectedRepository::of(&self.hub.snapshot(at.kind, &at.repo, Some(&at.revision))?).files)
    }
}

/// In what the files that were loaded are others than those that were committed, if they are.
///
/// SHA-256 is known of what Git LFS keeps, so of all weights of any size; of the others the length.
pub(crate) fn difference(loaded: &[FileDigest], committed: &Files) -> Option<String> {
    if !loaded.iter().any(|file| file.name.ends_with(".safetensors")) {
        return Some("it is not known which weights were loaded".to_owned());
    }
    loaded.iter().find_map(|file| {
        let name = file.name.escape_debug();
        let Some(expected) = committed.get(&file.name) else {
            return Some(format!("{name} was loaded and never committed"));
        };
        if expected.size_bytes != file.bytes {
            return Some(format!("{name} has {} bytes, {} were committed", file.bytes, expected.size_bytes));
        }
        let sha256 = expected.sha256.as_ref()?.to_string();
        (sha256 != file.sha256).then(|| format!("{name} has SHA-256 {}, {sha256} was committed", file.sha256))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use distil_hub::Sha256Digest;

    #[test]
    fn a5_what_was_loaded_is_what_was_committed() {
        let file = |name: &str, bytes, fill: &str| FileDigest { name: name.to_owned(), bytes, sha256: fill.repeat(32) };
        let expected = |size_bytes, fill: Option<u8>| ExpectedFile {
            size_bytes,
            sha256: fill.map(|byte| Sha256Digest([byte; 32])),
            git_oid: None,
        };
        let committed: Files = [
            ("config.json".to_owned(), expected(10, None)),
            ("model.safetensors".to_owned(), expected(99, Some(0xab))),
        ]
        .into();
        let config = || file("config.json", 10, "00");
        assert_eq!(difference(&[config(), file("model.safetensors", 99, "ab")], &committed), None);
        for (loaded, part) in [
            (vec![config(), file("model.safetensors", 99, "cd")], "SHA-256"),
            (vec![config(), file("model.safetensors", 98, "ab")], "98 bytes"),
            (vec![file("config.json", 11, "00"), file("model.safetensors", 99, "ab")], "config.json"),
            (vec![config(), file("other.safetensors", 99, "ab")], "never committed"),
            (vec![config()], "not known"),
            (Vec::new(), "not known"),
        ] {
            let found = difference(&loaded, &committed).unwrap_or_default();
            assert!(found.contains(part), "{part}: {found}");
        }
    }
}
