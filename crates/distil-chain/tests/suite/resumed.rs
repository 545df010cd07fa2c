//! Weights that were signed and kept by a program that ended before it knew what became of them.

use crate::chain::{NETUID, WAIT, client, drand, hotkey, requests, signer};
use crate::weights::{at_rest, with_weights};
use distil_chain::timelock::Randomness;
use distil_chain::{
    ChainError, Refresh, SignedWeights, SignedWeightsFate, TransactionStage, WeightPlan, WeightsConfirmation,
    WeightsOptions, WeightsOutcome, WeightsSigning,
};
use distil_devnet::{DevNet, DevNetSettings, EpochModel, Hyperparameters};

const SUBMIT: &str = "author_submitExtrinsic";
const BOTH: [bool; 2] = [false, true];

/// Seat 0 gives all weight to seat 1; signed, and read again from where it was kept.
async fn signed(net: &DevNet) -> SignedWeights {
    let (plan, drand) = (WeightPlan::winner(hotkey(1)), drand(net));
    let randomness = Randomness::from_bytes(&[7; Randomness::BYTES]);
    let options = WeightsOptions::new(&drand);
    let signing = client(net).sign_weights(NETUID, &plan, &signer(0), &options, randomness).await.unwrap();
    let WeightsSigning::Signed(signed) = signing else { panic!("{signing:?}") };
    let kept = serde_json::to_string(&signed).unwrap();
    let read: SignedWeights = serde_json::from_str(&kept).unwrap();
    assert_eq!(read, *signed);
    read
}

/// Sends, and is gone once the transaction has come so far.
async fn send_until(net: &DevNet, signed: &SignedWeights, far_enough: fn(&TransactionStage) -> bool) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut progress = move |stage| drop(sender.send(stage));
    let client = client(net);
    let reached = async {
        while let Some(stage) = receiver.recv().await {
            if matches!(stage, TransactionStage::Submitted { .. }) {
                net.admin().produce_blocks(u32::from(!far_enough(&stage))).unwrap();
            }
            if far_enough(&stage) {
                return;
            }
        }
        panic!("it never came so far");
    };
    tokio::select! {
        outcome = client.send_weights(signed, WAIT, &mut progress) => panic!("{outcome:?}"),
        () = reached => {}
    }
}

/// Takes it up again, with so many blocks made once a stage is told.
async fn resume(
    net: &DevNet,
    signed: &SignedWeights,
    blocks: u32,
) -> (Result<WeightsOutcome, ChainError>, Vec<TransactionStage>) {
    let mut stages = Vec::new();
    let mut progress = |stage| {
        if stages.is_empty() {
            net.admin().produce_blocks(blocks).unwrap();
        }
        stages.push(stage);
    };
    let outcome = client(net).resume_weights(signed, WAIT, &mut progress).await;
    (outcome, stages)
}

async fn find(net: &DevNet, signed: &SignedWeights) -> SignedWeightsFate {
    client(net).find_weights(signed).await.unwrap()
}

/// It is what this is about, and the chain has it.
fn is_there(outcome: &WeightsOutcome, signed: &SignedWeights, commit_reveal: bool) {
    let (transaction, row) = match outcome {
        WeightsOutcome::Set { transaction, row, .. } => (transaction, row),
        WeightsOutcome::Committed(committed) => (&committed.transaction, &committed.row),
    };
    assert_eq!((transaction.as_str(), row), (signed.transaction(), signed.row()));
    assert_eq!(matches!(outcome, WeightsOutcome::Committed(_)), commit_reveal);
}

#[tokio::test]
async fn d7_what_was_never_sent_is_sent() {
    for commit_reveal in BOTH {
        let net = with_weights(DevNetSettings::default(), commit_reveal);
        let signed = signed(&net).await;
        net.admin().produce_blocks(5).unwrap();
        assert_eq!(find(&net, &signed).await, SignedWeightsFate::Open);
        let (outcome, stages) = resume(&net, &signed, 1).await;
        is_there(&outcome.unwrap(), &signed, commit_reveal);
        assert!(matches!(stages[0], TransactionStage::Submitted { .. }), "{stages:?}");
        assert_eq!(requests(&net, SUBMIT), 1);
    }
}

#[tokio::test]
async fn d7_what_waits_in_the_pool_is_there_once() {
    for commit_reveal in BOTH {
        let net = with_weights(DevNetSettings::default(), commit_reveal);
        let signed = signed(&net).await;
        send_until(&net, &signed, |stage| matches!(stage, TransactionStage::Submitted { .. })).await;
        assert_eq!((find(&net, &signed).await, net.admin().pending_transactions()), (SignedWeightsFate::Open, 1));
        let (outcome, _) = resume(&net, &signed, 1).await;
        is_there(&outcome.unwrap(), &signed, commit_reveal);
        // The very same bytes, which the pool knows; nothing of them is left in it.
        assert_eq!((requests(&net, SUBMIT), net.admin().pending_transactions()), (2, 0));
    }
}

#[tokio::test]
async fn d7_what_is_in_a_block_that_is_not_final_is_not_sent_again() {
    for commit_reveal in BOTH {
        let net = with_weights(DevNetSettings { finality_lag: 3, ..DevNetSettings::default() }, commit_reveal);
        let signed = signed(&net).await;
        send_until(&net, &signed, |stage| matches!(stage, TransactionStage::InBlock { .. })).await;
        assert_eq!(find(&net, &signed).await, SignedWeightsFate::Open);
        let (outcome, stages) = resume(&net, &signed, 3).await;
        is_there(&outcome.unwrap(), &signed, commit_reveal);
        assert!(matches!(stages[0], TransactionStage::InBlock { .. }), "{stages:?}");
        assert_eq!(requests(&net, SUBMIT), 1);
    }
}

#[tokio::test]
async fn d7_what_a_final_block_has_is_found_without_sending() {
    for epoch_model in [EpochModel::BlockArithmetic, EpochModel::Stateful] {
        for commit_reveal in BOTH {
            let net = with_weights(DevNetSettings { epoch_model, ..at_rest() }, commit_reveal);
            let signed = signed(&net).await;
            let sent = client(&net).send_weights(&signed, WAIT, &mut |_| {}).await.unwrap();
            // In the last block before the reveal, which is of a later epoch; or long after the transaction is void.
            let later = match &sent {
                WeightsOutcome::Committed(committed) => committed.reveal_block - 1,
                WeightsOutcome::Set { block, .. } => block.number + 70,
            };
            net.admin().produce_until(later).unwrap();
            let SignedWeightsFate::Shown(found) = find(&net, &signed).await else { panic!("not found") };
            is_there(&found, &signed, commit_reveal);
            let WeightsOutcome::Committed(committed) = found else { continue };
            // All that is to be known of it later, as if nothing had happened.
            assert_eq!(WeightsOutcome::Committed(committed.clone()), sent, "{epoch_model:?}");
            net.admin().produce_until(committed.reveal_block + 4).unwrap();
            let confirmation = client(&net).confirm_weights(NETUID, hotkey(0), &committed).await.unwrap();
            assert!(matches!(confirmation, WeightsConfirmation::Revealed { .. }), "{confirmation:?}");
            // Revealed while nobody looked.
            let SignedWeightsFate::Shown(found) = find(&net, &signed).await else { panic!("not found") };
            is_there(&found, &signed, false);
            assert_eq!(requests(&net, SUBMIT), 1);
        }
    }
}

#[tokio::test]
async fn d7_what_can_be_in_no_block_any_more_is_void_and_not_sent() {
    for commit_reveal in BOTH {
        let net = with_weights(DevNetSettings::default(), commit_reveal);
        let signed = signed(&net).await;
        net.admin().produce_until(signed.last_block() - 1).unwrap();
        assert_eq!(find(&net, &signed).await, SignedWeightsFate::Open);
        net.admin().produce_until(signed.last_block()).unwrap();
        assert_eq!(find(&net, &signed).await, SignedWeightsFate::Void);
        let (outcome, stages) = resume(&net, &signed, 1).await;
        assert!(matches!(outcome, Err(ChainError::NotIncluded { .. })), "{outcome:?}");
        assert_eq!((stages, requests(&net, SUBMIT)), (Vec::new(), 0));
    }
}

#[tokio::test]
async fn d7_what_failed_in_its_block_is_said_to_have_failed() {
    let net = with_weights(DevNetSettings::default(), false);
    let signed = signed(&net).await;
    send_until(&net, &signed, |stage| matches!(stage, TransactionStage::Submitted { .. })).await;
    let sealed = Hyperparameters { commit_reveal: Some(true), ..Hyperparameters::default() };
    net.admin().set_hyperparameters(NETUID, sealed).unwrap();
    net.admin().produce_blocks(1).unwrap();
    assert_eq!(find(&net, &signed).await, SignedWeightsFate::Open);
    let (outcome, _) = resume(&net, &signed, 1).await;
    let Err(ChainError::Dispatch { error, .. }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((error.as_str(), requests(&net, SUBMIT)), ("CommitRevealEnabled", 1));
}

#[tokio::test]
async fn the_same_weights_from_before_are_not_taken_for_what_was_signed() {
    let net = with_weights(at_rest(), false);
    let first = signed(&net).await;
    client(&net).send_weights(&first, WAIT, &mut |_| {}).await.unwrap();
    net.admin().produce_blocks(10).unwrap();
    let drand = drand(&net);
    let options = WeightsOptions { refresh: Refresh::AfterBlocks(1), ..WeightsOptions::new(&drand) };
    let randomness = Randomness::from_bytes(&[7; Randomness::BYTES]);
    let plan = WeightPlan::winner(hotkey(1));
    let signing = client(&net).sign_weights(NETUID, &plan, &signer(0), &options, randomness).await.unwrap();
    let WeightsSigning::Signed(refresh) = signing else { panic!("{signing:?}") };
    assert_eq!((refresh.row(), find(&net, &refresh).await), (first.row(), SignedWeightsFate::Open));
}
