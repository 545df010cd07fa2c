//! What makes a finished round: the results of this round, of all its students, and nothing else.

use crate::common::{
    POSITIONS, block, completed, copied, failed, finished, interrupted, miner, prompts, round_of, same_function,
    scored, settings, stopped,
};
use distil_scoring::{
    CopyProof, Error, FailureKind, FinishedRound, PromptStatistics, RoundId, RoundPlan, StudentResult, StudentRun,
};

fn runs(plan: &RoundPlan) -> Vec<StudentRun> {
    let run = |student: &distil_scoring::PlannedStudent| StudentRun::new(plan.id(), student.miner, scored(0.1));
    plan.students().iter().map(run).collect()
}

fn refusal(plan: &RoundPlan, runs: Vec<StudentRun>) -> Error {
    FinishedRound::new(plan.clone(), POSITIONS.to_vec(), runs).unwrap_err()
}

fn two() -> RoundPlan {
    round_of(Some(&completed(1, 0.1)), &[completed(1, 0.1), miner(2)])
}

#[test]
fn s0_11_and_d7_a_result_of_another_round_is_refused() {
    // The original read whatever result file lay there, and went on with results of an earlier run.
    let plan = two();
    let mut old = runs(&plan);
    let earlier = RoundId::new(block(950), &settings());
    old[0].round = earlier;
    assert_eq!(
        refusal(&plan, old),
        Error::WrongRound { miner: plan.students()[0].miner, found: earlier, needed: plan.id() }
    );
    // So is one of the same block under another version of the code.
    let mut other = settings();
    other.code_version.push_str(".1");
    let mut old = runs(&plan);
    old[1].round = RoundId::new(block(1000), &other);
    assert!(matches!(refusal(&plan, old), Error::WrongRound { .. }));
}

#[test]
fn d7_other_prompts_or_positions_are_refused() {
    let plan = two();
    let with = |result: StudentResult| {
        let mut runs = runs(&plan);
        runs[1].result = result;
        refusal(&plan, runs)
    };
    let mut other = prompts(0.1);
    other[3].positions -= 1;
    let bad = [
        StudentResult::Completed { prompts: other.clone() },
        StudentResult::Completed { prompts: prompts(0.1)[..11].to_vec() },
        StudentResult::Completed { prompts: Vec::new() },
        StudentResult::Completed { prompts: [prompts(0.1), prompts(0.1)].concat() },
        StudentResult::Copied { matches: vec![same_function(miner(1).key)], prompts: other },
        StudentResult::Copied { matches: Vec::new(), prompts: prompts(0.1) },
    ];
    for result in bad {
        assert!(matches!(with(result.clone()), Error::InvalidResult { .. }), "{result:?}");
    }
    let mut clear = same_function(miner(1).key);
    let CopyProof::SameFunction(evidence) = &mut clear.proof else { unreachable!() };
    evidence.is_copy = false;
    assert!(matches!(
        with(StudentResult::Copied { matches: vec![clear], prompts: Vec::new() }),
        Error::InvalidResult { .. }
    ));

    assert!(matches!(
        FinishedRound::new(plan.clone(), POSITIONS[..11].to_vec(), runs(&plan)),
        Err(Error::PromptCountMismatch { first: 11, second: 12 })
    ));
    let mut silent = POSITIONS.to_vec();
    silent[2] = 0;
    assert_eq!(FinishedRound::new(plan.clone(), silent, runs(&plan)), Err(Error::NoPositions));
}

#[test]
fn d1_a_number_that_is_not_finite_is_no_result() {
    let plan = two();
    let changes: [fn(&mut PromptStatistics); 4] = [
        |prompt| prompt.mean = f64::NAN,
        |prompt| prompt.std = f64::INFINITY,
        |prompt| prompt.min = f64::NEG_INFINITY,
        |prompt| prompt.max = f64::INFINITY,
    ];
    for change in changes {
        let mut bad = prompts(0.1);
        change(&mut bad[5]);
        let mut runs = runs(&plan);
        runs[1].result = StudentResult::Completed { prompts: bad };
        assert!(matches!(refusal(&plan, runs), Error::InvalidResult { .. }));
    }
}

#[test]
fn a_round_without_each_result_once_is_not_finished() {
    let plan = two();
    let mut missing = runs(&plan);
    missing.pop();
    assert_eq!(refusal(&plan, missing), Error::NoResult { miner: miner(2).key });
    let mut twice = runs(&plan);
    twice.push(twice[1].clone());
    assert_eq!(refusal(&plan, twice), Error::MinerTwice { miner: miner(2).key });
    let mut stranger = runs(&plan);
    stranger.push(StudentRun::new(plan.id(), miner(7).key, scored(0.01)));
    assert_eq!(refusal(&plan, stranger), Error::NotInPlan { miner: miner(7).key });
}

#[test]
fn a3_and_s0_12_only_a_king_that_was_measured_stops_anybody() {
    // A fraud with a KL of 0 once stopped every honest challenger after 7 prompts of 40, and the original compared
    // the first prompts of one with all of another.
    let king = completed(1, 0.1);
    let held = round_of(Some(&king), &[king.clone(), miner(2)]);
    finished(&held, vec![scored(0.1), stopped(0.5, 0.1)]);
    let refused = |plan: &RoundPlan, results: Vec<StudentResult>| {
        let mut runs = runs(plan);
        for (run, result) in runs.iter_mut().zip(results) {
            run.result = result;
        }
        matches!(refusal(plan, runs), Error::InvalidResult { .. })
    };
    assert!(refused(&held, vec![interrupted(), stopped(0.5, 0.1)]));
    assert!(refused(&held, vec![failed(FailureKind::Crash, true), stopped(0.5, 0.1)]));
    assert!(refused(&held, vec![stopped(0.5, 0.1), scored(0.1)]), "a king trails nobody");
    let vacant = round_of(None, &[miner(1), miner(2)]);
    assert!(refused(&vacant, vec![scored(0.1), stopped(0.5, 0.1)]), "nobody trails an empty throne");
    // Evidence that says the opposite, too few prompts, or all of them.
    assert!(refused(&held, vec![scored(0.1), stopped(0.05, 0.1)]));
    let StudentResult::EarlyStopped { prompts: done, evidence } = stopped(0.5, 0.1) else { unreachable!() };
    for done in [done[..9].to_vec(), prompts(0.5)] {
        assert!(refused(&held, vec![scored(0.1), StudentResult::EarlyStopped { prompts: done, evidence }]));
    }
}

#[test]
fn results_go_through_json() {
    let plan = two();
    let results =
        [scored(0.1), stopped(0.5, 0.1), copied(&[miner(1).key], 0.1), failed(FailureKind::Load, true), interrupted()];
    for result in results {
        let run = StudentRun::new(plan.id(), miner(2).key, result);
        let json = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<StudentRun>(&json).unwrap(), run, "{json}");
    }
}
