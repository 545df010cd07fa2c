//! `distil commit`: a model, committed once and for good.

mod confirm;
mod page;
mod sealing;
mod sending;
mod signatory;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use anyhow::anyhow;
use distil_chain::{ChainClient, ChainError, CommitPlan};
use distil_checker::{CheckReport, Severity, Verdict};
use distil_types::{Commitment, ModelRef};

use self::page::Document;
use self::sealing::Sealing;
use self::signatory::Signatory;
pub(crate) use self::signatory::open_hotkey;
use crate::chain::{Conventions, chain_error, client, runtime};
use crate::commands::check;
use crate::exit::{CommandError, ExitStatus};
use crate::output::{OutputError, write_json};
use crate::settings::{Check, Commit, Common, Format, Threads};
use crate::text::visible;

/// Checks everything, shows it, has it confirmed, and commits.
///
/// The status is [`ExitStatus::AnswerIsNo`] where something speaks against it or it will never be revealed, and
/// [`ExitStatus::Done`] where it was committed and is revealed or will be.
pub(crate) fn run(
    settings: &Commit,
    common: Common,
    out: &mut dyn Write,
    notes: &mut (dyn Write + Send),
) -> Result<ExitStatus, OutputError> {
    let asks = !settings.dry_run && !settings.yes;
    if asks && !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(CommandError::usage(anyhow!(
            "a commitment cannot be undone, and there is no terminal to confirm it at"
        ))
        .with_hint("look at it with --dry-run, then give --yes")
        .into());
    }
    let mut session = Session { settings, common, notes };
    let signatory = Signatory::find(settings, session.notes)?;
    let report = session.check()?;
    let runtime = runtime()?;
    let client = client(&settings.network, None)?;

    let Examined { mut document, sealing, poll_interval, may_pass } =
        runtime.block_on(session.examine(&client, &signatory, &report))?;
    if settings.dry_run || !document.would_submit {
        session.show(&document, &(document.plan(settings.reveal_after) + &document.answer(settings.dry_run)), out)?;
        return Ok(match (document.would_submit, may_pass) {
            (true, _) => ExitStatus::Done,
            (false, true) => ExitStatus::TryAgain,
            (false, false) => ExitStatus::AnswerIsNo,
        });
    }
    if asks || !common.quiet {
        session.write(&(document.plan(settings.reveal_after) + &document.consequences()));
    }
    if asks {
        confirm::confirm(&settings.repo, &mut io::stdin().lock(), session.notes)?;
    }
    let signer = signatory.into_signer(settings, session.notes)?;
    let commitment = commitment(settings, &report)
        .ok_or_else(|| CommandError::ours(anyhow!("a model without a commit passed the check")))?;
    // Sealed anew: the questions may have taken their time.
    let plan = sealing.seal(&commitment, settings.reveal_after).map_err(|error| chain_error(error.into()))?;
    describe(&mut document, &plan);
    let outcome = runtime.block_on(session.send(&client, &plan, &signer, poll_interval))?;
    document.outcome = Some(outcome.clone());
    session.show(&document, &document.result(&outcome), out)?;
    Ok(if outcome.lost.is_some() { ExitStatus::AnswerIsNo } else { ExitStatus::Done })
}

/// What all steps use.
struct Session<'a> {
    settings: &'a Commit,
    common: Common,
    notes: &'a mut (dyn Write + Send),
}

/// What was found before anything is sent.
struct Examined {
    document: Document,
    sealing: Sealing,
    /// The pause between two looks at the chain.
    poll_interval: Duration,
    /// What speaks against it may pass.
    may_pass: bool,
}

impl Session<'_> {
    /// Writes the result: the document, or the page for people.
    fn show(&self, document: &Document, page: &str, out: &mut dyn Write) -> Result<(), OutputError> {
        match self.common.format {
            Format::Json => write_json(out, document),
            Format::Text => {
                out.write_all(page.as_bytes())?;
                out.flush()?;
                Ok(())
            }
        }
    }

    /// Writes to whoever follows. A reader that has gone stops nothing.
    fn write(&mut self, text: &str) {
        let _ = self.notes.write_all(text.as_bytes()).and_then(|()| self.notes.flush());
    }

    /// A line about what is going on.
    fn note(&mut self, text: &str) {
        line(self.common, self.notes, text);
    }

    /// Looks at the model as `distil check` does, without its weights.
    fn check(&mut self) -> Result<CheckReport, CommandError> {
        let settings = self.settings;
        let model = ModelRef::Hub { repo: settings.repo.clone(), revision: settings.revision };
        let of_check = Check {
            name: settings.repo.to_string(),
            model: Ok(model),
            teacher: settings.teacher.clone(),
            against: Vec::new(),
            profile: settings.profile.clone(),
            download: false,
            threads: Threads::usual().0,
        };
        let report = check::judge(&of_check, self.common, self.notes)?;
        match (settings.revision, report.revision) {
            (None, Some(revision)) => self.note(&format!("{}: the newest commit is {revision}", settings.repo)),
            (None, None) => self.note(&format!("{}: no commit is known", settings.repo)),
            (Some(_), _) => {}
        }
        for finding in report.findings() {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                _ => continue,
            };
            self.note(&format!("{severity}: {}: {}", finding.code, finding.message));
        }
        Ok(report)
    }

    /// Reads from the chain what may speak against it, and seals it for a look.
    async fn examine(
        &mut self,
        client: &ChainClient,
        signatory: &Signatory,
        report: &CheckReport,
    ) -> Result<Examined, CommandError> {
        let settings = self.settings;
        let Conventions { beacon, poll_interval, .. } = Conventions::of(&settings.network, client).await?;
        let sealing = Sealing::new(beacon);
        let mut document = Document {
            network: settings.network.to_string(),
            netuid: settings.netuid,
            wallet: settings.wallet_name.clone(),
            hotkey_name: settings.hotkey.clone(),
            hotkey: signatory.hotkey,
            model: settings.repo.clone(),
            revision: settings.revision.or(report.revision),
            check: page::Check::of(report),
            payload: None,
            payload_bytes: None,
            encrypted_bytes: None,
            reveal_round: None,
            reveal_due_unix_seconds: None,
            beacon: sealing.beacon(),
            existing: None,
            would_submit: false,
            reason: None,
            outcome: None,
        };
        let mut reasons = Vec::new();
        let mut may_pass = true;
        if report.verdict() != Verdict::Pass {
            let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error);
            let errors: Vec<String> = errors.map(|finding| format!("{}: {}", finding.code, finding.message)).collect();
            may_pass &= report.verdict() == Verdict::CannotTell;
            reasons.push(format!("the model does not pass the check ({})", errors.join("; ")));
        }
        let mut never = |reasons: &mut Vec<String>, reason: String| {
            may_pass = false;
            reasons.push(reason);
        };
        let seen = client.hotkey_commitments(settings.netuid, signatory.hotkey).await.map_err(chain_error)?;
        let plan = match commitment(settings, report) {
            None => None,
            Some(commitment) => match sealing.seal(&commitment, settings.reveal_after).map_err(ChainError::from) {
                Ok(plan) => Some(plan),
                Err(error) if error.is_transient() => return Err(chain_error(error)),
                // Too long, or a time that no round has.
                Err(error) => {
                    never(&mut reasons, format!("it cannot be sealed: {error}"));
                    None
                }
            },
        };
        if let Some(plan) = &plan {
            describe(&mut document, plan);
        }
        document.existing = seen.existing();
        if seen.registration_block.is_none() {
            let error = ChainError::NotRegistered { hotkey: signatory.hotkey, netuid: settings.netuid };
            never(&mut reasons, error.to_string());
        } else if let Some(existing) = &document.existing {
            never(&mut reasons, ChainError::AlreadyCommitted { existing: existing.clone() }.to_string());
        } else if let Some(plan) = &plan {
            match client.check_can_commit(settings.netuid, signatory.hotkey, plan).await {
                Ok(()) => {}
                Err(error @ ChainError::QuotaExceeded { wait_blocks: Some(blocks), .. }) => {
                    reasons.push(format!("{error}; it is free again in {blocks} blocks"));
                }
                Err(error @ ChainError::QuotaExceeded { .. }) => never(&mut reasons, error.to_string()),
                Err(error) => return Err(chain_error(error)),
            }
        }
        document.would_submit = reasons.is_empty();
        document.reason = (!reasons.is_empty()).then(|| reasons.join("; and "));
        Ok(Examined { document, sealing, poll_interval, may_pass })
    }
}

/// A line about what is going on, for whoever follows.
fn line(common: Common, notes: &mut dyn Write, text: &str) {
    if !common.quiet {
        let _ = writeln!(notes, "{}", visible(text)).and_then(|()| notes.flush());
    }
}

/// What is committed: the commit that was looked at.
fn commitment(settings: &Commit, report: &CheckReport) -> Option<Commitment> {
    let revision = settings.revision.or(report.revision)?;
    Some(Commitment { model: settings.repo.clone(), revision })
}

/// Fills in what is sealed.
fn describe(document: &mut Document, plan: &CommitPlan) {
    document.payload = Some(plan.text.clone());
    document.payload_bytes = Some(plan.text.len());
    document.encrypted_bytes = Some(plan.encrypted.len());
    document.reveal_round = Some(plan.reveal_round);
    document.reveal_due_unix_seconds = Some(plan.reveal_unix_ms.div_ceil(1000));
}
