//! What a commitment would be, and what became of it: as JSON and for people.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use distil_chain::ExistingCommitment;
use distil_checker::{CheckReport, Finding, Severity};
use distil_types::{BlockRef, Hotkey, NetUid, RepoId, Revision};
use serde::Serialize;

use crate::numbers::duration;
use crate::text::visible;

/// The result of `distil commit`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Document {
    /// The chain, as it was named.
    pub(super) network: String,
    /// The subnet.
    pub(super) netuid: NetUid,
    /// The wallet's name.
    pub(super) wallet: String,
    /// The name of its hotkey.
    pub(super) hotkey_name: String,
    /// Who commits.
    pub(super) hotkey: Hotkey,
    /// The repository.
    pub(super) model: RepoId,
    /// Its commit; null where the Hub has none.
    pub(super) revision: Option<Revision>,
    /// The check of the model.
    pub(super) check: Check,
    /// The text that will be revealed; null where there is no commit to name in it.
    pub(super) payload: Option<String>,
    /// Its length.
    pub(super) payload_bytes: Option<usize>,
    /// The length of the ciphertext that is sent.
    pub(super) encrypted_bytes: Option<usize>,
    /// The round of drand that opens it.
    pub(super) reveal_round: Option<u64>,
    /// When that round is published, in seconds since 1970.
    pub(super) reveal_due_unix_seconds: Option<u64>,
    /// The key that it is sealed for.
    pub(super) beacon: Beacon,
    /// What the hotkey committed before.
    pub(super) existing: Option<ExistingCommitment>,
    /// Whether nothing speaks against it.
    pub(super) would_submit: bool,
    /// What does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// What became of it, where it was sent.
    #[serde(flatten)]
    pub(super) outcome: Option<Outcome>,
}

/// What `distil check` says.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    pass: bool,
    findings: Vec<Finding>,
}

impl Check {
    pub(super) fn of(report: &CheckReport) -> Self {
        Self { pass: report.pass(), findings: report.findings().to_vec() }
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// The randomness beacon.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Beacon {
    /// `quicknet`, which Bittensor uses, or `chain`: another one, which the chain names.
    pub(super) source: &'static str,
    /// Its public key.
    pub(super) public_key: String,
}

/// What became of a commitment.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    /// The transaction: `0x` and its hash.
    pub(super) submitted: String,
    /// The block that holds it.
    pub(super) in_block: BlockRef,
    /// The same block, once it is final.
    pub(super) finalized: BlockRef,
    /// The number of the block that revealed it; null where none did yet.
    pub(super) revealed: Option<u64>,
    /// Why it will never be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<String>,
}

/// A time for people: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn date(unix_seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(unix_seconds));
    // The form has no place for a year beyond 9999.
    match time.filter(|_| unix_seconds < 253_402_300_800) {
        Some(time) => httpdate::fmt_http_date(time),
        None => format!("{unix_seconds} s after 1970"),
    }
}

impl Document {
    /// What would be committed. `reveal_in` is how long nobody can read it.
    pub(super) fn plan(&self, reveal_in: Duration) -> String {
        let mut page = format!("commitment to {}, subnet {}\n", visible(&self.network), self.netuid);
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(page, "  {name:12} {value}");
        };
        line(
            "hotkey",
            &format!("{} (wallet {}, hotkey {})", self.hotkey, visible(&self.wallet), visible(&self.hotkey_name)),
        );
        line("repository", self.model.as_str());
        line("revision", &self.revision.map_or_else(|| "not known".to_owned(), |revision| revision.to_string()));
        let (errors, warnings) = (self.check.count(Severity::Error), self.check.count(Severity::Warning));
        let answer = if self.check.pass { "passes" } else { "does not pass" };
        line("check", &format!("{answer} ({errors} errors, {warnings} warnings)"));
        if let (Some(payload), Some(bytes)) = (&self.payload, self.encrypted_bytes) {
            line("payload", &format!("{} ({} bytes, sealed {bytes})", visible(payload), payload.len()));
        }
        if let (Some(round), Some(due)) = (self.reveal_round, self.reveal_due_unix_seconds) {
            line("revealed", &format!("with drand's round {round}: {} (in {})", date(due), duration(reveal_in)));
        }
        if self.beacon.source != "quicknet" {
            line("beacon", "not drand's quicknet, but one that this chain names: for development only");
        }
        if let Some(existing) = &self.existing {
            line("existing", &format!("{}, in block {}", visible(&existing.to_string()), existing.block));
        }
        page
    }

    /// What cannot be undone.
    pub(super) fn consequences(&self) -> String {
        format!(
            "\nThis cannot be undone. A hotkey has one submission for each registration: from now on\n{}\n\
             stands for this commit of this repository, and whatever else it commits is ignored.\n\
             Once it is revealed, everybody can read it.\n",
            self.hotkey
        )
    }

    /// The answer of a dry run, or why nothing was sent.
    pub(super) fn answer(&self, is_dry_run: bool) -> String {
        match &self.reason {
            None => "\nit would be submitted\n".to_owned(),
            Some(reason) if is_dry_run => format!("\nit would not be submitted: {}\n", visible(reason)),
            Some(reason) => format!("\nnothing was sent: {}\n", visible(reason)),
        }
    }

    /// What became of it.
    pub(super) fn result(&self, outcome: &Outcome) -> String {
        let revision = self.revision.map(|revision| format!("@{revision}")).unwrap_or_default();
        let mut page = format!("{} committed {}{revision}\n", self.hotkey, self.model);
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(page, "  {name:12} {value}");
        };
        line("submitted", &visible(&outcome.submitted).to_string());
        line("in block", &outcome.in_block.to_string());
        line("final", &outcome.finalized.to_string());
        if let Some(reason) = &outcome.lost {
            line("revealed", &format!("never: {}", visible(reason)));
            return page;
        }
        match (outcome.revealed, self.reveal_round, self.reveal_due_unix_seconds) {
            (Some(block), ..) => line("revealed", &format!("in block {block}")),
            (None, Some(round), Some(due)) => {
                line("revealed", &format!("not yet: it is due with drand's round {round}, {}", date(due)));
            }
            (None, ..) => line("revealed", "not yet"),
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_has_a_date() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(u64::MAX), "18446744073709551615 s after 1970");
    }
}
