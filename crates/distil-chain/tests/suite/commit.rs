//! Committing, with what can go wrong on the way.

use crate::chain::{NETUID, WAIT, client, hotkey, moving, plan, requests, signer, subnet};
use distil_chain::{
    ChainError, Committed, CommittedContent, ErrorClass, PendingField, SnapshotExpectation, TransactionWait,
    select_submission,
};
use distil_devnet::{Command, DevNet, Fault, FaultKind};
use std::time::Duration;

const SUBMIT: &str = "author_submitExtrinsic";

async fn commit(net: &DevNet, seat: u8, model: &str) -> Result<Committed, ChainError> {
    client(net).commit(NETUID, &plan(net, model, 400), &signer(seat), WAIT, &mut |_| {}).await
}

#[tokio::test]
async fn a_commitment_is_pending_then_revealed_and_counts() {
    let net = subnet(moving());
    let client = client(&net);
    let plan = plan(&net, "alice/qwen-4b", 40);
    let committed = client.commit(NETUID, &plan, &signer(1), WAIT, &mut |_| {}).await.unwrap();
    assert!(committed.block.number <= net.admin().finalized_block().number);
    assert_eq!(requests(&net, SUBMIT), 1);

    // A later block than that of the commitment, but one before the reveal.
    let seen = client.hotkey_commitments(NETUID, hotkey(1)).await.unwrap();
    if let Some(pending) = seen.pending {
        let field = PendingField::Timelocked { encrypted: plan.encrypted.clone(), reveal_round: plan.reveal_round };
        assert_eq!((pending.block, pending.fields), (committed.block.number, vec![field]));
    } else {
        assert_eq!(seen.revealed.len(), 1, "a slow machine: it is revealed already");
    }
    let error = commit(&net, 1, "alice/other").await.unwrap_err();
    assert!(matches!(error, ChainError::AlreadyCommitted { .. }), "{error}");

    net.admin().produce_blocks(60).unwrap();
    let snapshot = client.snapshot(NETUID, SnapshotExpectation::default()).await.unwrap();
    assert!(snapshot.pending.is_empty());
    let entries = &snapshot.revealed[&hotkey(1)];
    let submission = select_submission(entries, snapshot.neurons[1].registration_block, None).unwrap();
    assert_eq!(submission.commitment, plan.commitment);
    assert!(submission.reveal_block > committed.block.number);

    // Refused with the first one's block and content, and nothing is sent.
    let error = commit(&net, 1, "alice/other").await.unwrap_err();
    let ChainError::AlreadyCommitted { existing } = &error else { panic!("{error}") };
    assert_eq!(existing.block, submission.reveal_block);
    assert_eq!(existing.content, CommittedContent::Revealed(plan.commitment.clone()));
    assert_eq!((error.class(), requests(&net, SUBMIT)), (ErrorClass::Never, 1));
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_found_and_not_sent_again() {
    for fault in [FaultKind::LoseAnswer, FaultKind::SwallowAnswer] {
        let net = subnet(moving());
        net.admin().order(Fault::new(fault.clone()).on(SUBMIT).times(1));
        let committed = commit(&net, 2, "bob/model").await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert!(committed.transaction.starts_with("0x"));
        assert_eq!(requests(&net, SUBMIT), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_submission_that_never_arrived_is_void_in_the_end() {
    let net = subnet(moving());
    net.admin().order(Fault::new(FaultKind::Drop).on(SUBMIT).times(1));
    let error = commit(&net, 2, "bob/model").await.unwrap_err();
    assert!(matches!(error, ChainError::NotIncluded { .. }), "{error}");
    assert_eq!((error.class(), requests(&net, SUBMIT)), (ErrorClass::TryAgain, 1));
    // Then it may be sent anew.
    commit(&net, 2, "bob/model").await.unwrap();
}

#[tokio::test]
async fn refusals_of_the_pool_have_their_code() {
    let net = subnet(moving());
    for code in [1010, 1012, 1014, 1016] {
        net.admin().order(Fault::new(FaultKind::PoolError(code)).on(SUBMIT).times(1));
        let error = commit(&net, 1, "alice/qwen-4b").await.unwrap_err();
        assert!(matches!(&error, ChainError::Pool { code: said, .. } if *said == code), "{code}: {error}");
        assert_eq!(error.class(), ErrorClass::TryAgain, "{error}");
    }
    // Of 1013 the fault refuses what is not there; it is looked for, and nothing is sent a second time.
    net.admin().clear_requests();
    net.admin().order(Fault::new(FaultKind::PoolError(1013)).on(SUBMIT).times(1));
    let error = commit(&net, 1, "alice/qwen-4b").await.unwrap_err();
    assert!(matches!(error, ChainError::NotIncluded { .. }), "{error}");
    assert_eq!(requests(&net, SUBMIT), 1);
}

#[tokio::test]
async fn an_error_that_is_no_refusal_leaves_the_transaction_to_be_looked_for() {
    let net = subnet(moving());
    for code in [-32_000, 1018] {
        net.admin().order(Fault::new(FaultKind::Error(code)).on(SUBMIT).times(1));
        let error = commit(&net, 1, "alice/qwen-4b").await.unwrap_err();
        assert!(matches!(error, ChainError::NotIncluded { .. }), "{code}: {error}");
    }
    for code in [1001, 1002, -32_600, -32_601, -32_602] {
        net.admin().order(Fault::new(FaultKind::Error(code)).on(SUBMIT).times(1));
        let error = commit(&net, 1, "alice/qwen-4b").await.unwrap_err();
        assert!(matches!(&error, ChainError::Node { code: said, .. } if *said == code), "{code}: {error}");
    }
}

#[tokio::test]
async fn errors_of_the_chain_have_their_name() {
    let net = subnet(moving());
    let error = commit(&net, 9, "eve/model").await.unwrap_err();
    assert!(matches!(error, ChainError::NotRegistered { .. }), "{error}");
    assert_eq!(requests(&net, SUBMIT), 0);

    let space =
        Command::SetGlobals { stake_threshold_rao: None, commit_reveal_version: None, max_commitment_space: Some(50) };
    net.admin().apply(vec![space]).unwrap();
    net.admin().produce_blocks(2).unwrap();
    let error = commit(&net, 1, "alice/qwen-4b").await.unwrap_err();
    assert!(matches!(error, ChainError::QuotaExceeded { max_bytes: 50, wait_blocks: None, .. }), "{error}");
    assert_eq!((error.class(), requests(&net, SUBMIT)), (ErrorClass::Never, 0));
}

#[tokio::test]
async fn an_upgrade_of_the_runtime_moves_indices_and_names_stay() {
    let net = subnet(moving());
    let client = client(&net);
    client.check_can_commit(NETUID, hotkey(1), &plan(&net, "alice/qwen-4b", 400)).await.unwrap();
    net.admin().upgrade_runtime().unwrap();
    net.admin().produce_blocks(4).unwrap();
    client.commit(NETUID, &plan(&net, "alice/qwen-4b", 400), &signer(1), WAIT, &mut |_| {}).await.unwrap();
}

/// The events of the block that brings a runtime are encoded by the one before.
#[tokio::test]
async fn a_transaction_in_the_block_of_an_upgrade_is_read_as_its_runtime_wrote_it() {
    let net = subnet(distil_devnet::DevNetSettings::default());
    let client = client(&net);
    let upgrade = async || {
        while net.admin().pending_transactions() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        net.admin().upgrade_runtime().unwrap();
    };
    let (plan, miner) = (plan(&net, "alice/qwen-4b", 400), signer(1));
    let mut progress = |_| {};
    let (committed, ()) = tokio::join!(client.commit(NETUID, &plan, &miner, WAIT, &mut progress), upgrade());
    assert_eq!(committed.unwrap().block.number, net.admin().best_block().number);
}

#[tokio::test]
async fn a_chain_that_stands_still_leaves_the_fate_unknown_and_nothing_else_is_sent() {
    let net = subnet(distil_devnet::DevNetSettings::default());
    let wait = TransactionWait { at_most: Duration::from_millis(200), ..WAIT };
    let client = client(&net);
    let plan = plan(&net, "alice/qwen-4b", 400);
    let error = client.commit(NETUID, &plan, &signer(1), wait, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, ChainError::FateUnknown { .. }), "{error}");
    let error = client.commit(NETUID, &plan, &signer(1), wait, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, ChainError::InFlight { .. }), "{error}");
    assert_eq!(requests(&net, SUBMIT), 1);
    net.admin().produce_blocks(1).unwrap();
    let error = client.commit(NETUID, &plan, &signer(1), wait, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, ChainError::AlreadyCommitted { .. }), "{error}");
}
