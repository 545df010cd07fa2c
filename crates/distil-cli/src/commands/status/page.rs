//! A validator's status for people.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use distil_store::{MinerStatus, Reign, RoundState, RoundSummary, Standing, Status, StoredWeights, WeightsState};

use crate::numbers::{counted, nats};
use crate::text::visible;

/// The status as text.
pub(super) fn render(status: &Status) -> String {
    let mut page = String::new();
    if let Some((netuid, _)) = status.subnet {
        let _ = writeln!(page, "subnet     {netuid}");
    }
    if let Some(block) = status.newest_snapshot {
        let _ = writeln!(page, "snapshot   block {}", block.number);
    }
    match &status.king {
        None => page.push_str("king       none; the throne is vacant\n"),
        Some(Reign { king, crowned_block, .. }) => {
            let kl = king.kl_nats.map(|kl| format!(", KL {}", nats(kl))).unwrap_or_default();
            let _ = writeln!(page, "king       {}", king.miner);
            let _ = writeln!(page, "           {}{kl}, since block {crowned_block}", king.commitment);
        }
    }
    match &status.open_round {
        None => page.push_str("round      none open\n"),
        Some(progress) => {
            let _ = writeln!(page, "round      {}", round_line(&progress.round));
            let teacher = if progress.teacher_done { "teacher done" } else { "teacher not done" };
            let students = progress.round.students;
            let _ = writeln!(page, "           {teacher}, {} of {students} students done", progress.students_done);
        }
    }
    let _ = writeln!(page, "weights    {}", weights_line(status.last_confirmed_weights.as_ref(), "none confirmed yet"));
    if let Some(pending) = &status.pending_weights {
        let _ = writeln!(page, "           {}", weights_line(Some(pending), ""));
    }
    let is_listed = |miner| status.miners.iter().any(|listed| listed.miner() == Some(miner));
    let gone: Vec<_> = status
        .disqualifications
        .iter()
        .map(|stored| &stored.disqualification)
        .filter(|disqualification| !is_listed(disqualification.miner))
        .collect();
    if status.imported_items > 0 {
        let _ = writeln!(page, "imported   {} of another validator", counted(status.imported_items, "item"));
    }
    if let Some(round) = &status.last_round {
        let _ = writeln!(page, "\nlast finished round: {}", round_line(round));
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["miner", "model", "KL", "verdict", "why"]);
        for entry in &status.leaderboard {
            let verdict = entry.verdict.as_ref();
            table.add_row([
                entry.miner.to_string(),
                entry.commitment.model.to_string(),
                verdict.and_then(|verdict| verdict.kl).map_or_else(|| "-".to_owned(), nats),
                verdict.map_or("-", |verdict| verdict.verdict.as_str()).to_owned(),
                verdict.map(|verdict| visible(&verdict.sentence).to_string()).unwrap_or_default(),
            ]);
        }
        let _ = writeln!(page, "{}", table.trim_fmt());
    }
    if !status.miners.is_empty() {
        let _ = writeln!(page, "\n{} in the newest snapshot", counted(status.miners.len() as u64, "miner"));
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["uid", "hotkey", "commit block", "model", "standing"]);
        for miner in &status.miners {
            table.add_row([
                miner.uid.to_string(),
                miner.hotkey.to_string(),
                miner.commit_block.map_or_else(|| "-".to_owned(), |block| block.to_string()),
                miner.commitment.as_ref().map_or_else(|| "-".to_owned(), |commitment| commitment.model.to_string()),
                visible(&standing(miner)).to_string(),
            ]);
        }
        let _ = writeln!(page, "{}", table.trim_fmt());
    }
    if !gone.is_empty() {
        let _ = writeln!(page, "\ndisqualified, and not in the newest snapshot");
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["miner", "code", "why"]);
        for disqualification in gone {
            table.add_row([
                disqualification.miner.to_string(),
                disqualification.code.to_string(),
                visible(&disqualification.sentence).to_string(),
            ]);
        }
        let _ = writeln!(page, "{}", table.trim_fmt());
    }
    page
}

fn round_line(round: &RoundSummary) -> String {
    let state = match round.state {
        RoundState::Open => "open",
        RoundState::Decided => "decided, the winner's repository is looked at again",
        RoundState::Finished => "finished",
        RoundState::Void => "void",
    };
    let crowned = round.crowned.map(|miner| format!(", crowned {miner}")).unwrap_or_default();
    let students = counted(round.students as u64, "student");
    let prompts = counted(round.prompts as u64, "prompt");
    format!("{} ({state}): block {}, {students}, {prompts}{crowned}", round.number, round.block.number)
}

fn weights_line(weights: Option<&StoredWeights>, none: &str) -> String {
    let Some(weights) = weights else { return none.to_owned() };
    let how = match &weights.state {
        WeightsState::Intended => "meant to be sent, not known whether they were".to_owned(),
        WeightsState::Sent(_) => "sent, not seen on the chain yet".to_owned(),
        WeightsState::Confirmed { block, .. } => format!("on the chain since block {block}"),
        WeightsState::Lost { reason, .. } => format!("lost: {}", visible(reason)),
    };
    format!("uid {}, {how}", weights.intention.uid)
}

fn standing(miner: &MinerStatus) -> String {
    match &miner.standing {
        Standing::NoSubmission { sentence, .. } => format!("no submission: {sentence}"),
        Standing::Disqualified { disqualification } => {
            format!("disqualified, {}: {}", disqualification.code, disqualification.sentence)
        }
        Standing::King => "king".to_owned(),
        Standing::InRound { round, done } => {
            format!("in round {round}{}", if *done { ", its result is there" } else { "" })
        }
        Standing::Evaluated { sentence: Some(sentence), .. } => format!("evaluated: {sentence}"),
        Standing::Evaluated { evaluation, sentence: None } => format!("evaluated in round {}", evaluation.round),
        Standing::Invalid { sentence, .. } => format!("invalid: {sentence}"),
        Standing::Waiting { reason, tries, .. } => {
            format!("waits after {}: {reason}", counted(u64::from(*tries), "look"))
        }
        Standing::Queued { isolated_failures: 0 } => "queued for a round".to_owned(),
        Standing::Queued { isolated_failures } => {
            format!("queued for a round, after {}", counted(u64::from(*isolated_failures), "failure"))
        }
        Standing::Unchecked => "its repository was not looked at yet".to_owned(),
    }
}
