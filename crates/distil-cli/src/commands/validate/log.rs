//! What a validator tells, as log lines: each with the round and the hotkey that it is about, where it is about any.

use std::io;

use distil_eval::worker::WorkerEvent;
use distil_types::MinerKey;
use distil_validator::{Event, Observer, StudentEnd};
use tracing::{debug, info, warn};

use crate::settings::{Common, LogFormat};
use crate::text::visible;

/// Has log lines written to standard error. With `--quiet` only warnings are.
pub(super) fn start(format: LogFormat, common: Common) {
    let level = if common.quiet { tracing::Level::WARN } else { tracing::Level::INFO };
    let builder = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).with_target(false);
    // One that is there already stays: a program has one log.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
}

/// Writes a line for each event.
#[derive(Debug, Default)]
pub(super) struct LogObserver {
    round: Option<String>,
}

impl LogObserver {
    fn round(&self) -> &str {
        self.round.as_deref().unwrap_or("-")
    }
}

impl Observer for LogObserver {
    fn event(&mut self, event: &Event) {
        if let Event::RoundBegun { round, .. } | Event::RoundResumed { round, .. } | Event::RoundVoided { round, .. } =
            event
        {
            self.round = Some(round.to_string());
        }
        let round = self.round();
        match event {
            Event::Snapshot { block, neurons, submissions } => {
                info!(round, hotkey = "-", block = block.number, neurons, submissions, "subnet read");
            }
            Event::Checked { miner, commitment, verdict, passed } => {
                let (model, verdict) = (visible(commitment.model.as_str()).to_string(), visible(verdict).to_string());
                info!(round, hotkey = %miner.hotkey, commit_block = miner.commit_block, model, passed, verdict, "checked");
            }
            Event::Disqualified { miner, code, sentence } => {
                let sentence = visible(sentence).to_string();
                warn!(round, hotkey = %miner.hotkey, commit_block = miner.commit_block, code, sentence, "disqualified");
            }
            Event::ThroneVacant { reason } => {
                let reason = visible(reason).to_string();
                warn!(round, hotkey = "-", reason, "the throne is vacant");
            }
            Event::NoRound { block } => info!(round, hotkey = "-", block = block.number, "nothing to evaluate"),
            Event::RoundBegun { block, students, prompts, .. } => {
                info!(round, hotkey = "-", block = block.number, students = students.len(), prompts, "round begun");
            }
            Event::RoundResumed { results, .. } => info!(round, hotkey = "-", results, "round taken up again"),
            Event::TeacherDone { positions, .. } => info!(round, hotkey = "-", positions, "teacher done"),
            Event::StudentBegun { miner, role, .. } => {
                info!(round, hotkey = %miner.hotkey, commit_block = miner.commit_block, role = ?role, "student begun");
            }
            Event::StudentDone { miner, end, .. } => student_done(round, miner, end),
            Event::Canary { passed } => info!(round, hotkey = "-", passed, "the teacher was scored against itself"),
            Event::IntegrityChecked { miner, found } => {
                let found = visible(found).to_string();
                info!(round, hotkey = %miner.hotkey, commit_block = miner.commit_block, found, "repository looked at again");
            }
            Event::RoundDecided { outcome } => {
                for verdict in &outcome.verdicts {
                    let sentence = visible(&verdict.sentence).to_string();
                    info!(round, hotkey = %verdict.miner.hotkey, commit_block = verdict.miner.commit_block,
                        verdict = %verdict.verdict, kl_nats = verdict.kl, sentence, "verdict");
                }
                let king = outcome.crown.king().map_or_else(|| "nobody".to_owned(), |king| king.to_string());
                info!(round, hotkey = "-", king, void = outcome.void.is_some(), "round decided");
            }
            Event::RoundVoided { reason, .. } => {
                let reason = visible(reason).to_string();
                warn!(round, hotkey = "-", reason, "round given up");
            }
            Event::RecordWritten { folder, .. } => {
                info!(round, hotkey = "-", folder = %folder.display(), "record written");
            }
            Event::WeightsIntended { king, uid } => {
                info!(round, hotkey = %king.hotkey, uid = uid.0, "weights are needed");
            }
            Event::WeightsSent { king, uid, how } => {
                info!(round, hotkey = %king.hotkey, uid = uid.0, how, "weights sent")
            }
            Event::WeightsConfirmed { king, uid, block } => {
                info!(round, hotkey = %king.hotkey, uid = uid.0, block, "weights confirmed");
            }
            Event::NoWeights { reason } => info!(round, hotkey = "-", reason, "no weights sent"),
            Event::WeightsLost { reason } => warn!(round, hotkey = "-", reason, "weights lost"),
            Event::Failed { problem, pause } => {
                let problem = visible(problem).to_string();
                warn!(
                    round,
                    hotkey = "-",
                    problem,
                    pause_seconds = pause.as_secs_f64(),
                    "epoch not finished; tried again"
                );
            }
            other => info!(round, hotkey = "-", event = ?other, "step done"),
        }
    }

    fn worker(&self, student: Option<MinerKey>, event: &WorkerEvent) {
        let round = self.round();
        let hotkey = student.map_or_else(|| "-".to_owned(), |student| student.hotkey.to_string());
        match event {
            WorkerEvent::Log(line) => {
                let line = visible(line).to_string();
                info!(round, hotkey, line, "worker");
            }
            other => debug!(round, hotkey, event = ?other, "worker"),
        }
    }
}

fn student_done(round: &str, miner: &MinerKey, end: &StudentEnd) {
    match end {
        StudentEnd::Measured { how, kl_nats, prompts } => {
            info!(round, hotkey = %miner.hotkey, commit_block = miner.commit_block, how, kl_nats, prompts, "student done");
        }
        StudentEnd::NotMeasured { how, reason } => {
            let reason = visible(reason).to_string();
            warn!(round, hotkey = %miner.hotkey, commit_block = miner.commit_block, how, reason, "student done");
        }
        other => info!(round, hotkey = %miner.hotkey, end = ?other, "student done"),
    }
}
