//! Is a repository still what it was when it was judged? One conditional request tells what it lists, and a byte of each
//! of its loader's files whether they can be had. What may be the network's fault, or ours, tells nothing.

mod expected;
mod log;

use distil_hub::{Hub, HubError, RepoAt, RepoFile, Snapshot};
use serde::{Deserialize, Serialize};

pub use expected::{ExpectedFile, ExpectedRepository, is_loader_file};
pub use log::{Absence, AbsenceKind, AbsenceLog};

/// What one look at a repository says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "integrity", rename_all = "snake_case")]
pub enum Integrity {
    /// Its loader's files are what they were, and each of them can be had.
    Unchanged,
    /// At the same commit a loader's file is another one, gone, or new: what was judged is not what would be loaded.
    Changed {
        /// The first difference, printable.
        difference: String,
    },
    /// 404: the repository, the commit, or one of its loader's files is not there.
    Removed(Absence),
    /// 401 or 403 for any of them, or public no more.
    Private(Absence),
    /// Nothing is known. It never counts against anyone.
    CantTell {
        /// What happened, printable.
        reason: String,
        /// Another look before this time makes no request.
        not_before_unix_s: u64,
    },
}

impl Integrity {
    /// True for an absence that has been seen often and long enough to hold it against its owner.
    pub fn is_final_absence(&self) -> bool {
        matches!(self, Self::Removed(absence) | Self::Private(absence) if absence.is_final)
    }
}

/// Looks at repositories through one client, and at the teacher's through the same one before it believes that one of them
/// is gone.
///
/// ```no_run
/// use distil_checker::{AbsenceLog, ExpectedRepository, Integrity, IntegrityWatch};
/// use distil_hub::{Hub, HubSettings, RepoKind};
///
/// let hub = Hub::new(HubSettings::from_environment(|name| std::env::var(name).ok())?)?;
/// let teacher = hub.snapshot(RepoKind::Model, &"Qwen/Qwen3.5-35B-A3B".parse()?, None)?.at;
/// let judged = hub.snapshot(RepoKind::Model, &"alice/student".parse()?, None)?;
///
/// let (mut expected, mut log) = (ExpectedRepository::of(&judged), AbsenceLog::default());
/// let now_unix_s = 1_790_000_000;
/// let mut watch = IntegrityWatch::new(&hub, teacher, now_unix_s);
/// if let Integrity::Changed { difference } = watch.still_same(&mut expected, &mut log) {
///     println!("not what was judged: {difference}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IntegrityWatch<'h> {
    hub: &'h Hub,
    teacher: RepoAt,
    now_unix_s: u64,
    /// What the teacher's repository answered, once it was asked.
    teacher_answer: Option<Result<(), String>>,
}

impl<'h> IntegrityWatch<'h> {
    /// For the looks of one epoch, all at about `now_unix_s`, in seconds since 1970. The teacher's repository is asked at
    /// most once, for its listing and for a byte of its weights, and only if another one seems to be gone.
    pub fn new(hub: &'h Hub, teacher: RepoAt, now_unix_s: u64) -> Self {
        Self { hub, teacher, now_unix_s, teacher_answer: None }
    }

    /// One look: a conditional request for the listing, and a request for the first byte of each of its loader's files.
    /// Git keeps the pointers of LFS files whose content was deleted, so a listing alone does not say that a model can be
    /// loaded.
    ///
    /// `expected` takes over the mark of the newest answer, and `log` what this look adds to earlier ones; both belong to
    /// this repository and are to be stored with it. An absence [is final](Absence::is_final) only after three looks over
    /// an hour or more, and a repository that is back has a clean log. After a look that could not tell, none is made
    /// until the Hub's `Retry-After`, or a wait that doubles up to a day, has passed.
    pub fn still_same(&mut self, expected: &mut ExpectedRepository, log: &mut AbsenceLog) -> Integrity {
        if let Some(not_before_unix_s) = log.waits_until(self.now_unix_s) {
            let reason = "waiting after a look that could not tell".to_owned();
            return Integrity::CantTell { reason, not_before_unix_s };
        }
        match self.hub.snapshot_if_changed(&expected.at, expected.etag.as_deref()) {
            Ok(None) => self.files_are_there(expected, log),
            Ok(Some(snapshot)) => self.compare(&snapshot, expected, log),
            Err(error) => self.failed(&error, log),
        }
    }

    fn compare(&mut self, snapshot: &Snapshot, expected: &mut ExpectedRepository, log: &mut AbsenceLog) -> Integrity {
        if snapshot.at.revision != expected.at.revision {
            let reason = format!("asked for {}, the Hub speaks of {}", expected.at.revision, snapshot.at.revision);
            return self.cant_tell(reason, None, log);
        }
        // Our token may see what others may not; a commitment has to be open to every validator.
        if snapshot.private && !expected.private || snapshot.gated && !expected.gated {
            let what = if snapshot.private { "private" } else { "gated" };
            return self.absent(AbsenceKind::Private, format!("the repository is {what} now"), log);
        }
        match expected.difference(snapshot) {
            Ok(None) => {
                expected.etag.clone_from(&snapshot.etag);
                self.files_are_there(expected, log)
            }
            Ok(Some(difference)) => {
                log.clear();
                Integrity::Changed { difference }
            }
            Err(reason) => self.cant_tell(reason, None, log),
        }
    }

    /// The listing is as it was. A file that is listed and not given is as absent as a repository that is not there.
    fn files_are_there(&mut self, expected: &ExpectedRepository, log: &mut AbsenceLog) -> Integrity {
        for file in expected.listed() {
            if let Err(error) = first_byte(self.hub, &expected.at, &file) {
                return self.failed(&error, log);
            }
        }
        log.clear();
        Integrity::Unchanged
    }

    fn failed(&mut self, error: &HubError, log: &mut AbsenceLog) -> Integrity {
        match error {
            HubError::NotFound { .. } => self.absent(AbsenceKind::Removed, error.to_string(), log),
            HubError::Refused { .. } => self.absent(AbsenceKind::Private, error.to_string(), log),
            // Transient failures, and whatever is wrong on our side.
            _ => self.cant_tell(error.to_string(), error.retry_after(), log),
        }
    }

    fn absent(&mut self, kind: AbsenceKind, evidence: String, log: &mut AbsenceLog) -> Integrity {
        if let Err(reason) = self.teacher_answers() {
            let reason = format!("{evidence}; but the teacher's repository does not answer either: {reason}");
            return self.cant_tell(reason, None, log);
        }
        let absence = log.absent(kind, crate::text::printable(&evidence), self.now_unix_s);
        match kind {
            AbsenceKind::Removed => Integrity::Removed(absence),
            AbsenceKind::Private => Integrity::Private(absence),
        }
    }

    fn teacher_answers(&mut self) -> Result<(), String> {
        let (hub, teacher) = (self.hub, &self.teacher);
        self.teacher_answer.get_or_insert_with(|| ask_teacher(hub, teacher)).clone()
    }

    fn cant_tell(&self, reason: String, retry_after: Option<std::time::Duration>, log: &mut AbsenceLog) -> Integrity {
        let not_before_unix_s = log.could_not_tell(retry_after, self.now_unix_s);
        Integrity::CantTell { reason: crate::text::printable(&reason), not_before_unix_s }
    }
}

/// The listing comes from the Hub, and weights from its content servers: both have to be in order.
fn ask_teacher(hub: &Hub, teacher: &RepoAt) -> Result<(), String> {
    let look = || hub.snapshot(teacher.kind, &teacher.repo, Some(&teacher.revision));
    let snapshot = look().map_err(|error| error.to_string())?;
    let is_weights = |file: &&RepoFile| is_loader_file(&file.path) && crate::weights::is_safetensors(&file.path);
    let Some(weights) = snapshot.files.iter().filter(is_weights).find(|file| file.size > 0) else {
        return Err(format!("{teacher} lists no weights"));
    };
    first_byte(hub, &snapshot.at, weights).map_err(|error| error.to_string())
}

/// Whether a file can be had: a range of one byte, wherever the Hub sends us for it. An empty file needs no request.
fn first_byte(hub: &Hub, at: &RepoAt, file: &RepoFile) -> Result<(), HubError> {
    hub.read_range(at, file, 0..file.size.min(1)).map(drop)
}
