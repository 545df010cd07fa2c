//! Holding a record to what it says of itself.

use super::document::{RoundRecord, prompts_of, section_digests};
use super::{KIND, hex, text_digest};
use crate::ValidatorError;
use crate::watch::{Earlier, Watch};
use distil_eval::record::{POSITIONS_PARQUET, PositionRow, RECORD_JSON, canonical_json, read_positions};
use distil_eval::{EvalError, PROTOCOL, TokenSequence};
use distil_scoring::{Decision, FinishedRound, ModelScore, Outcome, RoundId, StudentResult, decide};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// No record is longer.
const MAX_RECORD_BYTES: u64 = 512 << 20;

/// Something in a record that does not fit the rest of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: a file, or a part of the document such as `students[2].run`.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// The round, where the record could be read.
    pub round: Option<RoundId>,
    /// What was held against what, in words.
    pub checked: Vec<&'static str>,
    /// What does not fit; nothing for a record that verifies.
    pub problems: Vec<Problem>,
}

impl Verification {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(Problem { place: place.into(), problem: problem.into() });
    }

    /// Takes note of a further check, made elsewhere.
    pub fn add(&mut self, checked: &'static str, problems: Vec<Problem>) {
        self.checked.push(checked);
        self.problems.extend(problems);
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ValidatorError> {
    let failed = |source| EvalError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_RECORD_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_RECORD_BYTES {
        let problem = format!("{} is longer than {MAX_RECORD_BYTES} bytes", path.display());
        return Err(EvalError::Record(problem).into());
    }
    Ok(bytes)
}

/// Reads a round's record and holds every part of it against the others. The record is given where it can be read as one;
/// a sound record is always given.
///
/// # Errors
///
/// A file cannot be read at all.
pub fn verify(folder: &Path) -> Result<(Option<RoundRecord>, Verification), ValidatorError> {
    let mut found = Verification { round: None, checked: Vec::new(), problems: Vec::new() };
    let json = read_bytes(&folder.join(RECORD_JSON))?;
    let table = read_bytes(&folder.join(POSITIONS_PARQUET))?;

    found.checked.push("record.json is canonical, and each part has its digest");
    let value: Value = match serde_json::from_slice(&json) {
        Ok(value) => value,
        Err(error) => {
            found.problem(RECORD_JSON, format!("it is not JSON: {error}"));
            return Ok((None, found));
        }
    };
    if canonical_json(&value) != json {
        found.problem(RECORD_JSON, "it is not in canonical form, as it was written");
    }
    let Value::Object(document) = &value else {
        found.problem(RECORD_JSON, "it is not an object");
        return Ok((None, found));
    };
    let digests = section_digests(document);
    let recorded = document.get("sections").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, digest) in &digests {
        match recorded.get(name) {
            Some(recorded) if recorded == digest => {}
            Some(_) => found.problem(name.clone(), "it is not what its digest in `sections` says: it was changed"),
            None => found.problem(name.clone(), "`sections` has no digest of it"),
        }
    }
    for name in recorded.keys().filter(|name| !digests.contains_key(*name)) {
        found.problem(format!("sections.{name}"), "the document has no such part");
    }
    let record: RoundRecord = match serde_json::from_value(value.clone()) {
        Ok(record) => record,
        Err(error) => {
            found.problem(RECORD_JSON, format!("it is not the record of a round: {error}"));
            return Ok((None, found));
        }
    };
    found.round = Some(record.plan.id());
    if record.protocol != PROTOCOL {
        found.problem("protocol", format!("it is {}, this program knows {PROTOCOL}", quoted(&record.protocol)));
    }
    if record.kind != KIND {
        found.problem("kind", format!("it is {}, not {KIND}", quoted(&record.kind)));
    }
    if value["round"] != serde_json::json!(record.plan.id()) {
        found.problem("round", "it is not the id that follows from the block and the settings");
    }

    found.checked.push("positions.parquet has its digest");
    let is_recorded_table = hex(&Sha256::digest(&table)) == record.positions_sha256;
    let sequences = prompts(&record, &mut found);
    if is_recorded_table {
        if let Some(positions) = positions(folder, &record, &sequences, &mut found) {
            statistics(&record, &positions, &mut found);
        }
    } else {
        // What it holds is nobody's, so nothing is held against it.
        found.problem(POSITIONS_PARQUET, "its SHA-256 is not that of the record: it was changed");
    }
    decision(&record, &sequences, &mut found);
    Ok((Some(record), found))
}

/// Reads a record that verifies.
///
/// # Errors
///
/// It cannot be read, or does not verify: the error names the first problem.
pub fn read(folder: &Path) -> Result<RoundRecord, ValidatorError> {
    match verify(folder)? {
        (Some(record), found) if found.is_sound() => Ok(record),
        (_, found) => {
            let first = found.problems.first().map_or_else(String::new, ToString::to_string);
            Err(EvalError::Record(format!("{} does not verify: {first}", folder.display())).into())
        }
    }
}

fn prompts(record: &RoundRecord, found: &mut Verification) -> Vec<TokenSequence> {
    found.checked.push("texts and tokens of the prompts have their digests");
    if record.prompts.len() != record.plan.settings().prompts {
        let (is, planned) = (record.prompts.len(), record.plan.settings().prompts);
        found.problem("prompts", format!("there are {is}, the round is planned with {planned}"));
    }
    let mut sequences = Vec::with_capacity(record.prompts.len());
    for (index, prompt) in record.prompts.iter().enumerate() {
        if text_digest(&prompt.text) != prompt.text_digest {
            found.problem(format!("prompts[{index}].text"), "it is not what its digest says");
        }
        match TokenSequence::new(index, &prompt.prompt_tokens, &prompt.continuation_tokens) {
            Ok(sequence) => {
                if sequence.digest() != prompt.digest {
                    found.problem(format!("prompts[{index}].digest"), "it is not that of the tokens");
                }
                sequences.push(sequence);
            }
            Err(error) => found.problem(format!("prompts[{index}]"), error.to_string()),
        }
    }
    sequences
}

/// The KL of each student by prompt and position, where the table is one of this round.
fn positions(
    folder: &Path,
    record: &RoundRecord,
    sequences: &[TokenSequence],
    found: &mut Verification,
) -> Option<Vec<Vec<Vec<f64>>>> {
    found.checked.push("every position is there once, with the teacher's token");
    // The parquet reader panics at some footers that cannot be true, and a forged record may have any.
    let rows = match std::panic::catch_unwind(|| read_positions(&folder.join(POSITIONS_PARQUET))) {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => {
            found.problem(POSITIONS_PARQUET, error.to_string());
            return None;
        }
        Err(_) => {
            found.problem(POSITIONS_PARQUET, "it is not a table that can be read");
            return None;
        }
    };
    let mut rows = rows.into_iter().peekable();
    let mut all = Vec::new();
    for student in &record.students {
        let name = student.miner.to_string();
        let mut of_student: Vec<Vec<f64>> = Vec::new();
        while let Some(PositionRow { prompt, position, token, kl, .. }) = rows.next_if(|row| row.student == name) {
            let place = format!("{POSITIONS_PARQUET}: {name}, prompt {prompt}, position {position}");
            let Some(sequence) = sequences.get(prompt as usize) else {
                found.problem(place, "there is no such prompt");
                return None;
            };
            if prompt as usize == of_student.len() {
                of_student.push(Vec::new());
            }
            let is_next = prompt as usize + 1 == of_student.len()
                && of_student.last().is_some_and(|done| done.len() == position as usize);
            if !is_next {
                found.problem(place, "it is out of order");
                return None;
            }
            if sequence.continuation().get(position as usize) != Some(&token) {
                found.problem(place, "its token is not the teacher's");
                return None;
            }
            if let Some(done) = of_student.last_mut() {
                done.push(kl);
            }
        }
        for (index, (done, sequence)) in of_student.iter().zip(sequences).enumerate() {
            if done.len() != sequence.continuation().len() {
                let place = format!("{POSITIONS_PARQUET}: {name}, prompt {index}");
                found.problem(place, "positions are missing");
                return None;
            }
        }
        all.push(of_student);
    }
    if let Some(row) = rows.next() {
        found.problem(POSITIONS_PARQUET, format!("it has rows of {}, who is not next", quoted(&row.student)));
        return None;
    }
    Some(all)
}

/// Sums, statistics, copies and early stops, from the positions.
fn statistics(record: &RoundRecord, positions: &[Vec<Vec<f64>>], found: &mut Verification) {
    found.checked.push("scores, statistics, copies and early stops follow from the positions");
    if record.students.len() != record.plan.students().len() {
        found.problem("students", "they are not those of the plan");
        return;
    }
    let profile = record.profile.profile();
    let mut earlier: Vec<Earlier<'_>> = Vec::new();
    for (index, (student, kl_nats)) in record.students.iter().zip(positions).enumerate() {
        let place = format!("students[{index}]");
        let planned = &record.plan.students()[index];
        if (planned.miner, planned.role, &planned.commitment) != (student.miner, student.role, &student.commitment)
            || student.run.student != student.miner
        {
            found.problem(place.clone(), "it is not the student that is planned there");
        }
        let score = ModelScore::from_prompts(prompts_of(&student.run.result)).ok();
        if student.kl != score.map(|score| score.kl) {
            found.problem(format!("{place}.kl"), "it is not the mean over the positions of all prompts");
        }
        if student.standard_error != score.and_then(|score| score.standard_error) {
            found.problem(format!("{place}.standard_error"), "it is not that of the prompts");
        }
        if student.positions != score.map_or(0, |score| score.positions) {
            found.problem(format!("{place}.positions"), "it is not the number of positions");
        }
        let measured = !matches!(student.run.result, StudentResult::Failed(_) | StudentResult::Interrupted { .. });
        if measured {
            let king = record.plan.throne().king();
            let mut watch = Watch::new(student.miner, student.role, king, &earlier, &profile);
            let mut ended = None;
            for (prompt, kl_nats) in kl_nats.iter().enumerate() {
                if watch.prompt(kl_nats).is_break() {
                    ended = Some(prompt + 1);
                    break;
                }
            }
            if ended.is_some_and(|ended| ended != kl_nats.len()) {
                found.problem(format!("{place}.run"), "it should have ended earlier");
            }
            compare(&place, &watch.result(), &student.run.result, found);
        } else if !kl_nats.is_empty() && !matches!(student.run.result, StudentResult::Failed(_)) {
            found.problem(format!("{place}.run"), "it has positions and no result");
        }
        earlier.push(Earlier { run: &student.run, positions_kl_nats: kl_nats });
    }
}

fn compare(place: &str, computed: &StudentResult, recorded: &StudentResult, found: &mut Verification) {
    if computed == recorded {
        return;
    }
    let (ours, theirs) = (prompts_of(computed), prompts_of(recorded));
    if ours.len() != theirs.len() {
        found.problem(format!("{place}.run.prompts"), "they are not as many as the positions have");
    }
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        for (name, ours, theirs) in [
            ("mean", ours.mean, theirs.mean),
            ("std", ours.std, theirs.std),
            ("min", ours.min, theirs.min),
            ("max", ours.max, theirs.max),
            ("positions", ours.positions as f64, theirs.positions as f64),
        ] {
            if ours != theirs {
                let problem = format!("it is {theirs}, the positions give {ours}");
                found.problem(format!("{place}.run.prompts[{index}].{name}"), problem);
            }
        }
    }
    if ours == theirs {
        found.problem(format!("{place}.run"), "another result follows from its positions");
    }
}

fn decision(record: &RoundRecord, sequences: &[TokenSequence], found: &mut Verification) {
    found.checked.push("the decision follows from the results and the rules");
    let positions = sequences.iter().map(|sequence| sequence.continuation().len()).collect();
    let runs = record.students.iter().map(|student| student.run.clone()).collect();
    let finished = match FinishedRound::new(record.plan.clone(), positions, runs) {
        Ok(finished) => finished,
        Err(error) => {
            found.problem("students", format!("the rules do not take them: {error}"));
            return;
        }
    };
    let mut looks = record.integrity.iter();
    let mut decision = decide(&finished, &record.rules);
    let outcome = loop {
        match decision {
            Decision::Final(confirmed) => break confirmed.into_outcome(),
            Decision::Pending(crown) => {
                let Some(look) = looks.next().filter(|look| look.miner == crown.winner()) else {
                    let problem = format!("there is no look at the repository of {}", crown.winner());
                    found.problem("integrity", problem);
                    return;
                };
                decision = crown.confirm(&look.found);
            }
        }
    };
    if looks.next().is_some() {
        found.problem("integrity", "it has a look that nothing depends on");
    }
    if outcome != record.decision {
        let place = first_difference(&outcome, &record.decision);
        found.problem(place, "another decision follows from the results");
    }
}

fn first_difference(computed: &Outcome, recorded: &Outcome) -> String {
    if computed.crown != recorded.crown {
        return "decision.crown".to_owned();
    }
    let differs = computed.verdicts.iter().zip(&recorded.verdicts).position(|(ours, theirs)| ours != theirs);
    match differs {
        Some(index) => format!("decision.verdicts[{index}]"),
        None => "decision".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}
