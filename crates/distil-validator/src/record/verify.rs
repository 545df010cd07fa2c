//! Holding a record to what it says of itself.

use super::document::{RoundRecord, prompts_of, section_digests};
use super::{KIND, hex, text_digest};
use crate::ValidatorError;
use crate::watch::{Earlier, Watch};
use distil_eval::record::{POSITIONS_PARQUET, PositionRow, RECORD_JSON, canonical_json, read_positions};
use distil_eval::{EvalError, PROTOCOL, TokenSequence};
use distil_scoring::{Decision, FinishedRound, ModelScore, Outcome, RoundId, Rules, StudentResult, decide};
use distil_types::SubnetProfile;
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The longest `record.json` that is read: in memory it may take thirty times as much. With 40 prompts of 1,024 and 512
/// tokens (7 bytes each) and 2 kB of text, and 200 bytes of statistics for each of them and 16 students, one has less than
/// 1 MB; with 300 prompts continued by 8,192 tokens, 20 MB.
const MAX_RECORD_BYTES: u64 = 32 << 20;
/// The most rows that a table may have room for, 8 bytes each in memory: 16 students have 327,680 with 40 prompts of 512
/// positions, and 39 million with 300 of 8,192.
const MAX_ROWS: u64 = 48 << 20;
/// The longest table that is read.
const MAX_TABLE_BYTES: u64 = 1 << 30;
/// What a row of the table takes at most, as the file has it: token and position in whole, the KL in a dictionary and
/// beside it.
const ROW_BYTES: u64 = 32;
/// What heads and the footer take, for each student and for the table.
const STUDENT_BYTES: u64 = 32 << 10;

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

/// A part of a record that was not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// Where, as in [`Problem::place`].
    pub place: String,
    /// Why not.
    pub reason: String,
}

/// A number by which a round was decided, and which is not the subnet's. An operator may choose some of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherRule {
    /// Its place in the record, such as `rules.win_margin`.
    pub place: String,
    /// What the record has.
    pub recorded: Value,
    /// What the subnet's profile has.
    pub profile: Value,
}

/// What a verification found. As JSON it is what `distil verify --format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// The round, where the record could be read.
    pub round: Option<RoundId>,
    /// What was held against what, in words.
    pub checked: Vec<&'static str>,
    /// What could not be checked, and why. It is no problem of the record.
    pub not_checked: Vec<NotChecked>,
    /// Where the rules of the round are not those of the subnet's profile. The decision is held to those of the round.
    pub other_rules: Vec<OtherRule>,
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

    /// Takes note of what could not be checked.
    pub fn leave(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        self.not_checked.push(NotChecked { place: place.into(), reason: reason.into() });
    }

    /// Takes note of a further check, made elsewhere.
    pub fn add(&mut self, checked: &'static str, problems: Vec<Problem>) {
        self.checked.push(checked);
        self.problems.extend(problems);
    }
}

/// A file of the record, where it is not longer than that.
fn read_bytes(path: &Path, most: u64) -> Result<Option<Vec<u8>>, EvalError> {
    let failed = |source| EvalError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Reads a round's record and holds every part of it against the others. The record is given where it can be read as one;
/// a sound record is always given.
///
/// # Errors
///
/// A file cannot be read at all.
pub fn verify(folder: &Path) -> Result<(Option<RoundRecord>, Verification), ValidatorError> {
    let mut found = Verification {
        round: None,
        checked: Vec::new(),
        not_checked: Vec::new(),
        other_rules: Vec::new(),
        problems: Vec::new(),
    };
    found.checked.push("record.json is canonical, and each part has its digest");
    let Some(json) = read_bytes(&folder.join(RECORD_JSON), MAX_RECORD_BYTES)? else {
        found.problem(RECORD_JSON, format!("it is longer than {MAX_RECORD_BYTES} bytes, and no round's is"));
        return Ok((None, found));
    };
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
    let record = match RoundRecord::deserialize(&value) {
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

    found.other_rules = other_rules(&record);
    let sequences = prompts(&record, &mut found);
    found.checked.push("positions.parquet has its digest");
    let most_rows = most_rows(&record, &sequences);
    if let Some(table) = recorded_table(folder, &record, most_rows, &mut found)?
        && let Some(positions) = positions(table, most_rows, &record, &sequences, &mut found)
    {
        statistics(&record, &positions, &mut found);
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

/// Where the round's rules, and the number of its profile that its statistics depend on, are not the subnet's.
fn other_rules(record: &RoundRecord) -> Vec<OtherRule> {
    let profile = SubnetProfile::sn97();
    let of_profile = json!({
        "rules": Rules::of(&profile),
        "profile": { "kl_floor_nats": profile.kl_floor_nats },
    });
    let recorded = json!({ "rules": record.rules, "profile": record.profile });
    let mut other = Vec::new();
    for part in ["rules", "profile"] {
        let entries = of_profile[part].as_object().into_iter().flatten();
        for (name, usual) in entries.filter(|(name, usual)| recorded[part][name.as_str()] != **usual) {
            let place = format!("{part}.{name}");
            other.push(OtherRule { place, recorded: recorded[part][name.as_str()].clone(), profile: usual.clone() });
        }
    }
    other
}

/// How many rows the table of this record can have.
fn most_rows(record: &RoundRecord, sequences: &[TokenSequence]) -> u64 {
    let positions: u64 = sequences.iter().map(|sequence| sequence.continuation().len() as u64).sum();
    positions.saturating_mul(record.students.len() as u64)
}

/// The table that the record names, if the file is that one. What another one holds is nobody's, so nothing is held
/// against it.
fn recorded_table(
    folder: &Path,
    record: &RoundRecord,
    most_rows: u64,
    found: &mut Verification,
) -> Result<Option<Vec<u8>>, ValidatorError> {
    if most_rows > MAX_ROWS {
        let problem = format!("its students and prompts make {most_rows} positions; {MAX_ROWS} are read at most");
        found.problem("students", problem);
        return Ok(None);
    }
    let most_bytes = ROW_BYTES * most_rows + STUDENT_BYTES * (record.students.len() as u64 + 1);
    let most_bytes = most_bytes.min(MAX_TABLE_BYTES);
    let problem = match read_bytes(&folder.join(POSITIONS_PARQUET), most_bytes) {
        Ok(Some(table)) if hex(&Sha256::digest(&table)) == record.positions_sha256 => return Ok(Some(table)),
        Ok(Some(_)) => "its SHA-256 is not that of the record: it was changed".to_owned(),
        Ok(None) => format!("it is longer than {most_bytes} bytes, which the positions of this round cannot take"),
        Err(EvalError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => "it is not there".to_owned(),
        Err(error) => return Err(error.into()),
    };
    found.problem(POSITIONS_PARQUET, problem);
    Ok(None)
}

/// The KL of each student by prompt and position, where the table is one of this round.
fn positions(
    table: Vec<u8>,
    most_rows: u64,
    record: &RoundRecord,
    sequences: &[TokenSequence],
    found: &mut Verification,
) -> Option<Vec<Vec<Vec<f64>>>> {
    found.checked.push("every position is there once, with the teacher's token");
    // The parquet reader panics at some footers that cannot be true, and a forged record may have any.
    match catch_unwind(AssertUnwindSafe(|| rows_by_student(table, most_rows, record, sequences))) {
        Ok(Ok(positions)) => return Some(positions),
        Ok(Err(problem)) => found.problems.push(problem),
        Err(_) => found.problem(POSITIONS_PARQUET, "it is not a table that can be read"),
    }
    None
}

fn rows_by_student(
    table: Vec<u8>,
    most_rows: u64,
    record: &RoundRecord,
    sequences: &[TokenSequence],
) -> Result<Vec<Vec<Vec<f64>>>, Problem> {
    let wrong = |place: String, problem: &str| Problem { place, problem: problem.to_owned() };
    let unreadable = |error: EvalError| wrong(POSITIONS_PARQUET.to_owned(), &error.to_string());
    let mut rows = read_positions(table, most_rows).map_err(unreadable)?;
    let mut next = rows.next().transpose().map_err(unreadable)?;
    let mut all = Vec::with_capacity(record.students.len());
    for student in &record.students {
        let name = student.miner.to_string();
        let mut of_student: Vec<Vec<f64>> = Vec::new();
        while let Some(row) = next.take_if(|row| *row.student == *name) {
            let PositionRow { prompt, position, token, kl, .. } = row;
            let place = || format!("{POSITIONS_PARQUET}: {name}, prompt {prompt}, position {position}");
            let Some(sequence) = sequences.get(prompt as usize) else {
                return Err(wrong(place(), "there is no such prompt"));
            };
            if prompt as usize == of_student.len() {
                of_student.push(Vec::new());
            }
            let is_next = prompt as usize + 1 == of_student.len()
                && of_student.last().is_some_and(|done| done.len() == position as usize);
            if !is_next {
                return Err(wrong(place(), "it is out of order"));
            }
            if sequence.continuation().get(position as usize) != Some(&token) {
                return Err(wrong(place(), "its token is not the teacher's"));
            }
            if let Some(done) = of_student.last_mut() {
                done.push(kl);
            }
            next = rows.next().transpose().map_err(unreadable)?;
        }
        for (index, (done, sequence)) in of_student.iter().zip(sequences).enumerate() {
            if done.len() != sequence.continuation().len() {
                let place = format!("{POSITIONS_PARQUET}: {name}, prompt {index}");
                return Err(wrong(place, "positions are missing"));
            }
        }
        all.push(of_student);
    }
    match next {
        None => Ok(all),
        Some(row) => {
            let problem = format!("it has rows of {}, who is not next", quoted(&row.student));
            Err(wrong(POSITIONS_PARQUET.to_owned(), &problem))
        }
    }
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

pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}
