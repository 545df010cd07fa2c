//! What is left when the demo is over: the leaderboard, the reasons, and where the records lie.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::{LineStyle, TableStyle};
use distil_store::{King, Round, StoredDisqualification};
use distil_types::{Hotkey, Uid};
use serde::Serialize;

use super::story::Story;
use crate::text::visible;

/// A rule above, under the header, and below.
const STYLE: TableStyle = TableStyle::new().top_border(RULE).header_separator(RULE).bottom_border(RULE);

const RULE: LineStyle = LineStyle::none().fill('─').junction('─');

/// The result of the demo.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// Who is king in the end.
    pub(super) king: Option<KingLine>,
    /// The rounds, in order.
    pub(super) rounds: Vec<RoundLines>,
    /// Who is out for good.
    pub(super) disqualified: Vec<OutLine>,
    /// The seat that the validator gave its weight to.
    pub(super) weights_uid: Option<Uid>,
    /// What the chain says of that.
    pub(super) weights_on_chain: Vec<(Uid, u16)>,
    /// The validator's hotkey.
    pub(super) validator: Hotkey,
    /// The folder of the validator's state.
    pub(super) state: PathBuf,
    /// The folder of the last round's record.
    pub(super) record: Option<PathBuf>,
}

/// A king.
#[derive(Debug, Serialize)]
pub(super) struct KingLine {
    name: String,
    model: String,
    kl: Option<f64>,
}

/// A round.
#[derive(Debug, Serialize)]
pub(super) struct RoundLines {
    round: String,
    block: u64,
    record: Option<PathBuf>,
    students: Vec<StudentLine>,
}

/// A student of a round.
#[derive(Debug, Serialize)]
struct StudentLine {
    name: String,
    model: String,
    kl: Option<f64>,
    verdict: String,
    sentence: String,
}

/// One that is out.
#[derive(Debug, Serialize)]
pub(super) struct OutLine {
    name: String,
    code: String,
    sentence: String,
}

pub(super) fn king(king: &King, name: impl Fn(&Hotkey) -> String) -> KingLine {
    KingLine { name: name(&king.miner.hotkey), model: king.commitment.model.to_string(), kl: king.kl_nats }
}

pub(super) fn disqualified(stored: &StoredDisqualification, story: &Story) -> OutLine {
    let out = &stored.disqualification;
    let name = super::cast::name_of(&out.miner.hotkey);
    OutLine { name, code: out.code.to_string(), sentence: story.named(&out.sentence) }
}

/// The students, the lowest KL first.
pub(super) fn round(round: &Round, folder: &Path, name: impl Fn(&Hotkey) -> String) -> RoundLines {
    let verdicts = round.outcome.as_ref().map(|outcome| outcome.verdicts.as_slice()).unwrap_or_default();
    let mut students: Vec<StudentLine> = round
        .start
        .plan
        .students()
        .iter()
        .filter_map(|student| {
            let verdict = verdicts.iter().find(|verdict| verdict.miner == student.miner)?;
            Some(StudentLine {
                name: name(&student.miner.hotkey),
                model: student.commitment.model.to_string(),
                kl: verdict.kl,
                verdict: verdict.verdict.to_string(),
                sentence: verdict.sentence.clone(),
            })
        })
        .collect();
    students.sort_by(|a, b| a.kl.unwrap_or(f64::INFINITY).total_cmp(&b.kl.unwrap_or(f64::INFINITY)));
    RoundLines {
        round: round.id().to_string(),
        block: round.start.plan.block().number,
        record: round.record.as_ref().map(|record| folder.join("state/records").join(&record.path)),
        students,
    }
}

impl Page {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (number, round) in self.rounds.iter().enumerate() {
            let _ = writeln!(text, "\nRound {} (block {})", number + 1, round.block);
            let mut table = comfy_table::Table::new();
            table.load_style(STYLE).set_header(["miner", "model", "KL", "verdict"]);
            for student in &round.students {
                let kl = student.kl.map_or_else(|| "-".to_owned(), |kl| format!("{kl:.4}"));
                table.add_row([&student.name, &student.model, &kl, &student.verdict]);
            }
            let _ = writeln!(text, "{table}");
        }
        if !self.disqualified.is_empty() {
            text.push_str("\nOut for good\n");
            for out in &self.disqualified {
                let _ = writeln!(text, "  {}: {}: {}", out.name, out.code, visible(&out.sentence));
            }
        }
        match &self.king {
            Some(king) => {
                let kl = king.kl.map_or_else(String::new, |kl| format!(", KL {kl:.4}"));
                let _ = writeln!(text, "\nKing: {} ({}{kl})", king.name, king.model);
            }
            None => text.push_str("\nNobody is king.\n"),
        }
        let row: Vec<String> = self.weights_on_chain.iter().map(|(uid, weight)| format!("{uid}:{weight}")).collect();
        let _ = writeln!(text, "Weights on the chain (seat:weight): {}", row.join(" "));
        if let Some(record) = &self.record {
            let _ = writeln!(text, "\nThe record of the last round: {}", record.display());
            let _ = writeln!(text, "Hold it to what it says: distil verify {}", record.display());
        }
        let _ = writeln!(text, "What the validator knows: distil status --state {}", self.state.display());
        text
    }
}
