//! Miners, rounds and a small subnet, made with the real rules.

use distil_scoring::{
    CheckVerdict, ConfirmedDecision, Decision, FinishedRound, Integrity, Miner, PromptStatistics, RoundPlan,
    RoundSettings, Rules, Seat, StudentResult, StudentRun, decide, plan,
};
use distil_store::{
    CheckRecord, CheckState, NewRound, RecordDigest, RoundNumber, RoundPrompt, RoundState, SeenEntry, SeenMiner,
    SeenSubmission, SentWeights, Store, TeacherRecord, TokenRecord, WeightsIntention, WeightsKind, WeightsState,
    WrittenRecord,
};
use distil_types::{BlockHash, BlockRef, Commitment, Hotkey, MinerKey, NetUid, SubnetProfile, Uid};
use serde_json::json;

pub(crate) const PROMPTS: usize = 2;
const POSITIONS: usize = 6;

pub(crate) fn hotkey(number: u64) -> Hotkey {
    let mut account = [9; 32];
    account[..8].copy_from_slice(&number.to_be_bytes());
    Hotkey::from_account_id(account)
}

pub(crate) fn key(number: u64, commit_block: u64) -> MinerKey {
    MinerKey::new(hotkey(number), commit_block)
}

pub(crate) fn commitment(number: u64) -> Commitment {
    let revision = format!("{number:040x}").parse().expect("40 digits");
    Commitment { model: format!("lab/model-{number}").parse().expect("a name"), revision }
}

pub(crate) fn block(number: u64) -> BlockRef {
    let mut hash = [3; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    BlockRef { number, hash: BlockHash::from_bytes(hash) }
}

fn settings() -> RoundSettings {
    RoundSettings {
        protocol: "distil/1".to_owned(),
        code_version: "0.1.0".to_owned(),
        netuid: NetUid(97),
        teacher: "lab/teacher".parse().expect("a name"),
        teacher_revision: "0a".repeat(20).parse().expect("40 digits"),
        source: "corpus.jsonl".to_owned(),
        sampler: "distil".to_owned(),
        prompts: PROMPTS,
        max_prompt_tokens: 1024,
        max_new_tokens: 512,
        continuation: "greedy".to_owned(),
    }
}

fn rules() -> Rules {
    Rules::of(&SubnetProfile::sn97())
}

/// A miner that may take part: number and block of its commitment.
pub(crate) fn miner((number, commit_block): (u64, u64)) -> Miner {
    let key = key(number, commit_block);
    let mut miner = Miner::new(key, commitment(number));
    miner.check = CheckVerdict::Passed;
    miner.seat = Some(Seat { uid: Uid(number as u16), hotkey: key.hotkey, registered_at_block: 0 });
    miner
}

/// The round of a block with these miners, numbers and commit blocks.
pub(crate) fn planned(at: u64, king: Option<(u64, u64)>, challengers: &[(u64, u64)]) -> NewRound {
    let miners: Vec<Miner> = challengers.iter().copied().map(miner).collect();
    let king = king.map(miner);
    let plan = plan(block(at), &settings(), king.as_ref(), &miners, &rules()).expect("a plan").round.expect("a round");
    let prompts = (0..PROMPTS)
        .map(|n| RoundPrompt { id: format!("corpus:{n}"), digest: format!("{n:064x}"), text: format!("prompt {n}") })
        .collect();
    NewRound { plan, prompts, settings: json!({ "device": "cpu" }) }
}

pub(crate) fn teacher() -> TeacherRecord {
    let sequences = (0..PROMPTS as u32)
        .map(|n| TokenRecord { prompt: vec![n, 248_319], continuation: (0..POSITIONS as u32).collect() })
        .collect();
    TeacherRecord { identity: json!({ "model": "lab/teacher" }), sequences, cache_key: Some("cache".to_owned()) }
}

/// KL at every position, around a mean; no two prompts are alike.
pub(crate) fn positions(mean: f64) -> Vec<Vec<f64>> {
    let at = |prompt: usize, position: usize| mean * (0.7 + prompt as f64 / 10.0 + position as f64 / 10.0);
    (0..PROMPTS).map(|prompt| (0..POSITIONS).map(|position| at(prompt, position)).collect()).collect()
}

pub(crate) fn completed(plan: &RoundPlan, student: MinerKey, mean: f64) -> StudentRun {
    let prompts = positions(mean).iter().map(|kl| PromptStatistics::from_positions(kl).expect("finite")).collect();
    StudentRun::new(plan.id(), student, StudentResult::Completed { prompts })
}

/// The decision on a round, with every repository found as it was.
pub(crate) fn decision(plan: &RoundPlan, runs: Vec<StudentRun>) -> ConfirmedDecision {
    let round = FinishedRound::new(plan.clone(), vec![POSITIONS; PROMPTS], runs).expect("a finished round");
    let mut decision = decide(&round, &rules());
    loop {
        match decision {
            Decision::Final(confirmed) => return confirmed,
            Decision::Pending(crown) => decision = crown.confirm(&Integrity::Same),
        }
    }
}

/// Begins a round and records every result: numbers, commit blocks and scores, the king first where there is one.
pub(crate) fn filled(
    store: &mut Store,
    start: &NewRound,
    scores: &[(u64, u64, f64)],
) -> (RoundNumber, ConfirmedDecision) {
    let round = store.begin_round(start, 1).expect("a round");
    store.record_teacher(round, &teacher()).expect("a teacher pass");
    let mut runs = Vec::new();
    for (number, commit_block, mean) in scores {
        let run = completed(&start.plan, key(*number, *commit_block), *mean);
        store.record_result(round, &run, &json!({}), &positions(*mean), 2).expect("a result");
        runs.push(run);
    }
    (round, decision(&start.plan, runs))
}

/// Plays a whole round.
pub(crate) fn play(store: &mut Store, at: u64, king: Option<(u64, u64)>, scores: &[(u64, u64, f64)]) -> RoundNumber {
    let challengers: Vec<(u64, u64)> = scores.iter().map(|s| (s.0, s.1)).filter(|s| Some(*s) != king).collect();
    let (round, decision) = filled(store, &planned(at, king, &challengers), scores);
    store.finish_round(round, &decision, at * 1000).expect("an end");
    round
}

/// One miner a round: its number, which is that of the round, and the block of its commitment.
fn challenger_of(round: u64) -> (u64, u64) {
    (round, round * 50 - 10)
}

/// The score of a miner: two of three are better than all before.
fn score_of(number: u64) -> f64 {
    if number.is_multiple_of(3) { 0.9 } else { 0.5 * 0.95_f64.powi(number as i32 % 60) }
}

/// Takes the next step of a small subnet, one transaction, from what the store holds and nothing else. Gives `false` when
/// this many rounds are over.
pub(crate) fn advance(store: &mut Store, rounds: u64) -> bool {
    if let Some(pending) = store.pending_weights().expect("readable") {
        let at = pending.intention.block;
        match pending.state {
            WeightsState::Intended => {
                let kind = WeightsKind::CommitReveal { reveal_round: at * 2, reveal_epoch: None };
                let sent = SentWeights { transaction: format!("0x{at:064x}"), kind, details: json!({}) };
                store.weights_sent(pending.id, &sent, at * 1000).expect("sent");
            }
            _ => store.weights_confirmed(pending.id, at + 1, at * 1000).expect("confirmed"),
        }
        return true;
    }
    if let Some(round) = store.open_round().expect("readable") {
        let unix_ms = round.start.plan.block().number * 1000;
        if round.teacher.is_none() {
            store.record_teacher(round.number, &teacher()).expect("a teacher pass");
        } else if let Some(student) = round.students_without_result().next() {
            let number = u64::from_be_bytes(student.miner.hotkey.account_id()[..8].try_into().expect("8 bytes"));
            if number.is_multiple_of(2) && !round.failed_tries.contains_key(&student.miner) {
                store.record_failed_try(round.number, &student.miner, "a worker was lost", unix_ms).expect("a try");
            } else {
                let run = completed(&round.start.plan, student.miner, score_of(number));
                let kl = positions(score_of(number));
                store.record_result(round.number, &run, &json!({}), &kl, unix_ms).expect("a result");
            }
        } else if round.state == RoundState::Open {
            store.record_decision(round.number, &json!({ "pending": true }), unix_ms).expect("a decision");
        } else {
            let runs = round.results.values().map(|stored| stored.run.clone()).collect();
            let confirmed = decision(&round.start.plan, runs);
            store.finish_round(round.number, &confirmed, unix_ms).expect("an end");
        }
        return true;
    }
    if let Some(round) = store.rounds_without_record().expect("readable").first() {
        let record = WrittenRecord { path: format!("rounds/{round}"), digest: RecordDigest([round.0 as u8; 32]) };
        store.mark_record_written(*round, &record).expect("a record");
        return true;
    }
    let last = store.last_finished_round().expect("readable");
    let king = store.king().expect("readable").map(|reign| reign.king.miner);
    if let (Some(last), Some(king)) = (&last, king) {
        let newest = store.weights_history(0, 1).expect("readable").pop();
        if newest.and_then(|newest| newest.intention.round) != Some(last.number) {
            let at = last.start.plan.block().number;
            let intention = WeightsIntention {
                round: Some(last.number),
                king,
                uid: Uid(7),
                block: at,
                weights: vec![(Uid(7), 1.0), (Uid(0), 0.0)],
                signed: serde_json::json!({ "at": at }),
            };
            store.intend_weights(&intention, at * 1000).expect("an intention");
            return true;
        }
    }
    let next = last.map_or(1, |last| last.start.plan.block().number / 50 + 1);
    if next > rounds {
        return false;
    }
    let (at, (number, commit_block)) = (block(next * 50), challenger_of(next));
    let key = key(number, commit_block);
    if store.newest_snapshot().expect("readable").is_none_or(|newest| newest.number < at.number) {
        let miners: Vec<SeenMiner> = (1..=next).map(|number| seen(number, challenger_of(number).1)).collect();
        store.record_seen(at, at.number * 1000, &miners).expect("a snapshot");
    } else if store.check(&key).expect("readable").is_none() {
        let check = CheckRecord {
            commitment: commitment(number),
            state: CheckState::Passed,
            report: json!({ "pass": true }),
            repository: Some(json!({ "files": {} })),
            checked_unix_ms: at.number * 1000,
        };
        store.record_check(&key, &check).expect("a check");
    } else {
        let king = king.map(|king| {
            (u64::from_be_bytes(king.hotkey.account_id()[..8].try_into().expect("8 bytes")), king.commit_block)
        });
        store.begin_round(&planned(at.number, king, &[(number, commit_block)]), at.number * 1000).expect("a round");
    }
    true
}

pub(crate) fn seen(number: u64, commit_block: u64) -> SeenMiner {
    SeenMiner {
        hotkey: hotkey(number),
        registration_block: commit_block - 5,
        uid: Uid(number as u16),
        oldest_entry: Some(SeenEntry { reveal_block: commit_block, bytes: vec![1, 2, 3] }),
        list_is_full: false,
        submission: SeenSubmission::Counts { commit_block, commitment: commitment(number) },
    }
}
