use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Looks that have to find nothing before an absence is final.
const FINAL_LOOKS: u32 = 3;
/// Seconds that have to lie between the first and the last of them.
const FINAL_SPAN_S: u64 = 3600;
/// Looks that follow one another faster count as one: three looks in a second and one an hour later are two.
const SHORTEST_GAP_S: u64 = 600;
/// After the first look that could not tell; doubles with each one.
const FIRST_WAIT_S: u64 = 60;
/// The longest wait, whatever the Hub asks for.
const LONGEST_WAIT_S: u64 = 24 * 3600;

/// How a repository is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsenceKind {
    /// 404.
    Removed,
    /// 401 or 403, or public no more.
    Private,
}

/// A repository that was not there for us, though the teacher's was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Looks in a row that found it absent, of those that are far enough apart.
    pub looks: u32,
    /// The first of them, in seconds since 1970.
    pub since_unix_s: u64,
    /// Seen at least three times over an hour or more: it may be held against its owner.
    pub is_final: bool,
    /// What the Hub said last, printable.
    pub evidence: String,
}

/// What earlier looks at one repository have left: its absences in a row, and how long to wait. To be stored with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AbsenceLog {
    looks: u32,
    first_unix_s: u64,
    last_unix_s: u64,
    kind: Option<AbsenceKind>,
    /// Looks in a row that could not tell.
    failures: u32,
    not_before_unix_s: u64,
}

impl AbsenceLog {
    /// When the next look may be made, if it is too early now.
    pub(super) fn waits_until(&self, now_unix_s: u64) -> Option<u64> {
        // A clock that was set back must not make us wait for more than the longest wait.
        let is_early = now_unix_s < self.not_before_unix_s && self.not_before_unix_s - now_unix_s <= LONGEST_WAIT_S;
        is_early.then_some(self.not_before_unix_s)
    }

    /// The repository is there: all that was is forgotten.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn absent(&mut self, kind: AbsenceKind, evidence: String, now_unix_s: u64) -> Absence {
        self.failures = 0;
        self.not_before_unix_s = 0;
        self.kind = Some(kind);
        if self.looks == 0 || now_unix_s < self.last_unix_s {
            // The first one, or the clock was set back: the time since then is not known.
            self.first_unix_s = now_unix_s;
            self.last_unix_s = now_unix_s;
            self.looks = 1;
        } else if now_unix_s - self.last_unix_s >= SHORTEST_GAP_S {
            self.last_unix_s = now_unix_s;
            self.looks = self.looks.saturating_add(1);
        }
        let is_final = self.looks >= FINAL_LOOKS && self.last_unix_s - self.first_unix_s >= FINAL_SPAN_S;
        Absence { looks: self.looks, since_unix_s: self.first_unix_s, is_final, evidence }
    }

    /// Absences seen so far stay as they are: this look says neither that it is there nor that it is not.
    pub(super) fn could_not_tell(&mut self, retry_after: Option<Duration>, now_unix_s: u64) -> u64 {
        let doubled = FIRST_WAIT_S << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.map_or(0, |wait| wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)));
        self.not_before_unix_s = now_unix_s.saturating_add(doubled.max(asked).min(LONGEST_WAIT_S));
        self.not_before_unix_s
    }

    /// How it was absent when it was last seen to be.
    pub fn kind(&self) -> Option<AbsenceKind> {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn absent(log: &mut AbsenceLog, now: u64) -> Absence {
        log.absent(AbsenceKind::Removed, String::new(), now)
    }

    #[test]
    fn three_looks_over_an_hour_are_final_and_nothing_less() {
        let mut log = AbsenceLog::default();
        assert!(!absent(&mut log, 10_000).is_final);
        assert!(!absent(&mut log, 11_800).is_final);
        assert_eq!(absent(&mut log, 13_599).looks, 3);
        assert!(!absent(&mut log, 13_600).is_final, "within the shortest gap of the last one that counted");
        let last = absent(&mut log, 14_200);
        assert_eq!((last.looks, last.since_unix_s, last.is_final), (4, 10_000, true));

        // Two looks, however far apart, and a burst of them, are not three.
        let mut log = AbsenceLog::default();
        for now in [0, 1, 2, 3] {
            assert_eq!(absent(&mut log, now).looks, 1);
        }
        assert!(!absent(&mut log, 100_000).is_final);
        assert!(absent(&mut log, 100_600).is_final);
    }

    #[test]
    fn waits_double_up_to_a_day_and_honour_the_hub() {
        let mut log = AbsenceLog::default();
        let waits: Vec<u64> = (0..20).map(|_| log.could_not_tell(None, 1000) - 1000).collect();
        assert_eq!(waits[..4], [60, 120, 240, 480]);
        assert_eq!(waits[19], 86_400);
        let mut log = AbsenceLog::default();
        assert_eq!(log.could_not_tell(Some(Duration::from_millis(90_500)), 0), 91);
        assert_eq!(log.waits_until(90), Some(91));
        assert_eq!(log.waits_until(91), None);
        assert_eq!(log.could_not_tell(Some(Duration::MAX), 0), 86_400);
        // Back in time by more than any wait: look.
        assert_eq!(log.could_not_tell(None, 10_000_000), 10_000_240);
        assert_eq!(log.waits_until(5_000_000), None);
    }

    #[test]
    fn looks_that_could_not_tell_leave_absences_as_they_are() {
        let mut log = AbsenceLog::default();
        absent(&mut log, 0);
        absent(&mut log, 2000);
        for _ in 0..50 {
            log.could_not_tell(None, 3000);
        }
        let last = absent(&mut log, 4000);
        assert_eq!((last.looks, last.is_final), (3, true));
        log.clear();
        assert_eq!(log, AbsenceLog::default());
    }

    proptest! {
        #[test]
        fn nothing_is_final_without_three_absences_an_hour_apart(
            looks in proptest::collection::vec((any::<bool>(), 0..5000u64), 0..12),
        ) {
            let (mut log, mut now, mut absences) = (AbsenceLog::default(), 0, Vec::new());
            for (is_absent, wait) in looks {
                now += wait;
                if is_absent {
                    absences.push(now);
                    let absence = absent(&mut log, now);
                    if absence.is_final {
                        prop_assert!(absences.len() >= 3);
                        prop_assert!(now - absences[0] >= FINAL_SPAN_S);
                    }
                } else {
                    log.could_not_tell(None, now);
                }
            }
        }
    }
}
