//! Miners, plans and results to test with.

use distil_scoring::{
    CheckVerdict, ConfirmedDecision, CopyEvidence, CopyMatch, CopyProof, Decision, EarlyStopEvidence, Evaluation,
    EvaluationResult, Failure, FailureKind, FinishedRound, Integrity, Miner, MinerVerdict, Outcome, PairedTest, Plan,
    PromptStatistics, RoundId, RoundPlan, RoundSettings, Rules, Seat, StudentResult, StudentRun, Verdict, decide, plan,
};
use distil_types::{BlockHash, BlockRef, Hotkey, MinerKey, NetUid, SubnetProfile, Uid};

/// By how many tokens the teacher continues each prompt: it has little to say to some.
pub(crate) const POSITIONS: [usize; 12] = [512, 512, 39, 512, 512, 512, 123, 512, 512, 512, 1, 48];

pub(crate) fn rules() -> Rules {
    Rules::of(&SubnetProfile::sn97())
}

pub(crate) fn block(number: u64) -> BlockRef {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    BlockRef { number, hash: BlockHash::from_bytes(bytes) }
}

pub(crate) fn settings() -> RoundSettings {
    RoundSettings {
        protocol: "distil/1".to_owned(),
        code_version: "0.1.0".to_owned(),
        netuid: NetUid(97),
        teacher: "lab/teacher".parse().unwrap(),
        teacher_revision: "0a".repeat(20).parse().unwrap(),
        source: "corpus.jsonl".to_owned(),
        sampler: "distil".to_owned(),
        prompts: POSITIONS.len(),
        max_prompt_tokens: 1024,
        max_new_tokens: 512,
        continuation: "greedy".to_owned(),
    }
}

pub(crate) fn hotkey(name: u16) -> Hotkey {
    let mut account = [9; 32];
    account[..2].copy_from_slice(&name.to_be_bytes());
    Hotkey::from_account_id(account)
}

/// A miner with a seat since block 1 and a repository that passed; its commit block is ten times its name.
pub(crate) fn miner(name: u16) -> Miner {
    miner_at(name, 10 * u64::from(name))
}

pub(crate) fn miner_at(name: u16, commit_block: u64) -> Miner {
    let key = MinerKey::new(hotkey(name), commit_block);
    let commitment = serde_json::from_value(serde_json::json!({
        "model": format!("miner-{name}/model"), "revision": format!("{name:040x}"),
    }));
    Miner {
        seat: Some(Seat { uid: Uid(name), hotkey: key.hotkey, registered_at_block: 1 }),
        check: CheckVerdict::Passed,
        ..Miner::new(key, commitment.unwrap())
    }
}

/// A miner that completed an earlier round with this KL.
pub(crate) fn completed(name: u16, kl: f64) -> Miner {
    Miner { evaluation: Some(evaluation(EvaluationResult::Completed, Some(kl))), ..miner(name) }
}

pub(crate) fn evaluation(result: EvaluationResult, kl: Option<f64>) -> Evaluation {
    Evaluation { round: RoundId::new(block(50), &settings()), result, kl }
}

pub(crate) fn planned(king: Option<&Miner>, miners: &[Miner]) -> Plan {
    plan(block(1000), &settings(), king, miners, &rules()).unwrap()
}

pub(crate) fn round_of(king: Option<&Miner>, miners: &[Miner]) -> RoundPlan {
    planned(king, miners).round.expect("a round is needed")
}

/// Summaries that a real run can give, with this score.
pub(crate) fn prompts(kl: f64) -> Vec<PromptStatistics> {
    let shape = |index: usize| 0.6 + 0.07 * ((5 * index) % 12) as f64;
    let all: usize = POSITIONS.iter().sum();
    let scale = POSITIONS.iter().enumerate().map(|(i, &n)| n as f64 * shape(i)).sum::<f64>() / all as f64;
    let summary = |(index, &positions): (usize, &usize)| {
        let mean = kl * shape(index) / scale;
        match positions {
            1 => PromptStatistics { mean, std: 0.0, min: mean, max: mean, positions },
            _ => PromptStatistics { mean, std: 0.8 * mean, min: 0.01 * mean, max: 6.0 * mean, positions },
        }
    };
    POSITIONS.iter().enumerate().map(summary).collect()
}

pub(crate) fn scored(kl: f64) -> StudentResult {
    StudentResult::Completed { prompts: prompts(kl) }
}

pub(crate) fn stopped(kl: f64, king_kl: f64) -> StudentResult {
    let (own, king) = (prompts(kl)[..10].to_vec(), prompts(king_kl)[..10].to_vec());
    let paired = PairedTest::new(&own, &king).unwrap();
    let evidence = EarlyStopEvidence { paired, confidence: 0.999, lower_bound: paired.lower_bound(0.999).unwrap() };
    StudentResult::EarlyStopped { prompts: own, evidence }
}

pub(crate) fn interrupted() -> StudentResult {
    StudentResult::Interrupted { reason: "the Hub answered 503".to_owned() }
}

pub(crate) fn failed(kind: FailureKind, known_good_passed: bool) -> StudentResult {
    StudentResult::Failed(Failure { kind, reason: "signal 11".to_owned(), known_good_passed })
}

pub(crate) fn same_function(of: impl Into<distil_scoring::Author>) -> CopyMatch {
    let evidence = CopyEvidence { cosine: 1.0, relative_distance: 0.0, prompts: 2, positions: 1024, is_copy: true };
    CopyMatch { of: of.into(), proof: CopyProof::SameFunction(evidence) }
}

/// A copy that was scored in full all the same.
pub(crate) fn copied(of: &[MinerKey], kl: f64) -> StudentResult {
    StudentResult::Copied { matches: of.iter().map(|&of| same_function(of)).collect(), prompts: prompts(kl) }
}

/// Finishes a round with these results, in the order of its students.
pub(crate) fn finished(plan: &RoundPlan, results: Vec<StudentResult>) -> FinishedRound {
    assert_eq!(plan.students().len(), results.len(), "one result a student: {:?}", plan.students());
    let runs = plan
        .students()
        .iter()
        .zip(results)
        .map(|(student, result)| StudentRun::new(plan.id(), student.miner, result))
        .collect();
    FinishedRound::new(plan.clone(), POSITIONS.to_vec(), runs).unwrap()
}

/// Decides with every repository intact.
pub(crate) fn decided(round: &FinishedRound) -> Outcome {
    confirmed(decide(round, &rules()), &mut |_| Integrity::Same).into_outcome()
}

pub(crate) fn confirmed(mut decision: Decision, look: &mut dyn FnMut(MinerKey) -> Integrity) -> ConfirmedDecision {
    loop {
        match decision {
            Decision::Final(confirmed) => return confirmed,
            Decision::Pending(crown) => {
                let integrity = look(crown.winner());
                decision = crown.confirm(&integrity);
            }
        }
    }
}

pub(crate) fn entry(outcome: &Outcome, miner: MinerKey) -> &MinerVerdict {
    outcome.verdicts.iter().find(|entry| entry.miner == miner).expect("a verdict for each student")
}

pub(crate) fn verdict(outcome: &Outcome, miner: &Miner) -> Verdict {
    entry(outcome, miner.key).verdict
}

pub(crate) fn is_evaluated(outcome: &Outcome, miner: &Miner) -> bool {
    outcome.evaluated.iter().any(|entry| entry.miner == miner.key)
}
