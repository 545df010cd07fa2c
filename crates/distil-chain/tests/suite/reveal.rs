//! The quota of commitments, the stages of one, and what becomes of it.

use crate::chain::{NETUID, WAIT, client, client_settings, hotkey, moving, plan, requests, signer, subnet};
use distil_chain::timelock::{DrandNetwork, Randomness};
use distil_chain::{
    Backoff, ChainClient, ChainError, ChainSettings, CommitPlan, CommittedContent, ErrorClass, LostReason, RevealState,
    TransactionStage, TransactionWait,
};
use distil_devnet::{BlockProduction, Command, DevNet, DevNetSettings, Fault, FaultKind, Neuron};
use distil_types::Uid;
use std::time::Duration;

fn at_rest() -> DevNetSettings {
    DevNetSettings { production: BlockProduction::OnTransaction, ..DevNetSettings::default() }
}

async fn commit(net: &DevNet, plan: &CommitPlan) -> Vec<TransactionStage> {
    let mut stages = Vec::new();
    client(net).commit(NETUID, plan, &signer(1), WAIT, &mut |stage| stages.push(stage)).await.unwrap();
    stages
}

async fn state(net: &DevNet, plan: &CommitPlan) -> RevealState {
    client(net).reveal_state(NETUID, hotkey(1), plan, 1).await.unwrap()
}

#[tokio::test]
async fn each_stage_is_told_and_the_reveal_is_awaited() {
    let net = subnet(DevNetSettings { finality_lag: 20, ..moving() });
    let plan = plan(&net, "alice/qwen-4b", 120);
    let stages = commit(&net, &plan).await;
    let [
        TransactionStage::Submitted { .. },
        TransactionStage::InBlock { block },
        TransactionStage::Finalized { block: last },
    ] = stages[..]
    else {
        panic!("{stages:?}")
    };
    assert_eq!(block, last);
    let short = TransactionWait { at_most: Duration::ZERO, ..WAIT };
    let seen = client(&net).wait_for_reveal(NETUID, hotkey(1), &plan, block.number, short).await.unwrap();
    let not_yet = RevealState::NotYet { reveal_round: plan.reveal_round, due_unix_ms: plan.reveal_unix_ms };
    assert!(seen == not_yet || matches!(seen, RevealState::Revealed { .. }), "{seen:?}");
    let seen = client(&net).wait_for_reveal(NETUID, hotkey(1), &plan, block.number, WAIT).await.unwrap();
    let RevealState::Revealed { block: revealed } = seen else { panic!("{seen:?}") };
    let commitments = client(&net).hotkey_commitments(NETUID, hotkey(1)).await.unwrap();
    let existing = commitments.existing().unwrap();
    assert_eq!((existing.block, existing.content), (revealed, CommittedContent::Revealed(plan.commitment)));
}

/// Two nodes of one chain, of which the second is some blocks behind.
#[tokio::test]
async fn a_node_that_lags_behind_loses_no_commitment() {
    let (net, behind) = (subnet(at_rest()), subnet(at_rest()));
    net.admin().produce_blocks(5).unwrap();
    let client = ChainClient::new(client_settings(&[net.endpoint(), behind.endpoint()])).unwrap();
    let plan = plan(&net, "alice/qwen-4b", 400);
    // Once it is final, the other node is asked what the block shows: it does not know the block, and gives way again.
    let mut progress = |stage| {
        if matches!(stage, TransactionStage::Finalized { .. }) {
            net.admin().break_connections();
            behind.admin().clear_requests();
        }
    };
    let committed = client.commit(NETUID, &plan, &signer(1), WAIT, &mut progress).await.unwrap();
    assert!(requests(&behind, "chain_getBlockHash") > 0, "the other node was asked");

    drop(net);
    let not_yet = RevealState::NotYet { reveal_round: plan.reveal_round, due_unix_ms: plan.reveal_unix_ms };
    let seen = client.reveal_state(NETUID, hotkey(1), &plan, committed.block.number).await.unwrap();
    assert_eq!(seen, not_yet);
    behind.admin().produce_until(committed.block.number).unwrap();
    let seen = client.reveal_state(NETUID, hotkey(1), &plan, committed.block.number).await.unwrap();
    assert_eq!(seen, RevealState::Lost { reason: LostReason::DidNotOpen }, "at that block it should be there");
}

#[tokio::test]
async fn a_round_that_never_comes_loses_the_commitment_and_it_can_be_made_anew() {
    let net = subnet(at_rest());
    let first = plan(&net, "alice/qwen-4b", 10);
    net.admin().skip_round(first.reveal_round);
    commit(&net, &first).await;
    assert!(matches!(state(&net, &first).await, RevealState::NotYet { .. }));
    let error = client(&net).check_can_commit(NETUID, hotkey(1), &first).await.unwrap_err();
    let ChainError::AlreadyCommitted { existing } = &error else { panic!("{error}") };
    let sealed = CommittedContent::Sealed { reveal_round: first.reveal_round };
    assert_eq!((existing.block, &existing.content), (net.admin().best_block().number, &sealed));

    net.admin().produce_blocks(12).unwrap();
    let reason = LostReason::RoundSkipped { reveal_round: first.reveal_round };
    assert_eq!(state(&net, &first).await, RevealState::Lost { reason });
    let second = plan(&net, "alice/qwen-4b", 20);
    commit(&net, &second).await;
    let block = net.admin().best_block().number;
    assert_eq!(state(&net, &first).await, RevealState::Lost { reason: LostReason::Replaced { block } });
    net.admin().produce_blocks(25).unwrap();
    assert!(matches!(state(&net, &second).await, RevealState::Revealed { .. }));
}

#[tokio::test]
async fn what_does_not_open_and_whose_hotkey_is_gone_is_lost() {
    let net = subnet(at_rest());
    // Sealed for another beacon than the chain follows.
    let good = plan(&net, "alice/qwen-4b", 10);
    let randomness = Randomness::from_bytes(&[9; Randomness::BYTES]);
    let quicknet = DrandNetwork::quicknet();
    let bad = CommitPlan::seal(good.commitment.clone(), quicknet, good.reveal_unix_ms, randomness).unwrap();
    commit(&net, &bad).await;
    net.admin().produce_blocks(15).unwrap();
    assert_eq!(state(&net, &bad).await, RevealState::Lost { reason: LostReason::DidNotOpen });
    let good = plan(&net, "alice/qwen-4b", 10);
    commit(&net, &good).await;
    net.admin().replace_neuron(NETUID, Uid(1), Neuron::miner(hotkey(40))).unwrap();
    assert_eq!(state(&net, &good).await, RevealState::Lost { reason: LostReason::NotRegistered });
}

#[tokio::test]
async fn the_quota_is_known_beforehand_and_named_where_it_changes_meanwhile() {
    let net = subnet(at_rest());
    let first = plan(&net, "alice/qwen-4b", 2);
    let space = |bytes| Command::SetGlobals {
        stake_threshold_rao: None,
        commit_reveal_version: None,
        max_commitment_space: Some(bytes),
    };
    net.admin().apply(vec![space(first.encrypted.len() as u32 + 99)]).unwrap();
    // At the beginning of an epoch of eleven blocks: (block + 97 + 1) / 11 is whole at 12 and at 23.
    net.admin().produce_until(12).unwrap();
    let bad = CommitPlan::seal(
        first.commitment.clone(),
        DrandNetwork::quicknet(),
        first.reveal_unix_ms,
        Randomness::from_bytes(&[9; Randomness::BYTES]),
    )
    .unwrap();
    commit(&net, &bad).await;
    net.admin().produce_blocks(4).unwrap();
    // It did not open, so another one could be made; but not in this epoch.
    let best = net.admin().best_block().number;
    let error = client(&net).check_can_commit(NETUID, hotkey(1), &bad).await.unwrap_err();
    assert!(matches!(error, ChainError::QuotaExceeded { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Wait { blocks: 23 - (best + 1) }, "the next epoch begins with block 23");
    net.admin().produce_blocks(11).unwrap();
    client(&net).check_can_commit(NETUID, hotkey(1), &bad).await.unwrap();

    let net = subnet(DevNetSettings::default());
    let plan = plan(&net, "alice/qwen-4b", 400);
    let changing = async {
        while net.admin().pending_transactions() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        net.admin().apply(vec![space(50)]).unwrap();
    };
    let client = client(&net);
    let mut progress = |_| {};
    let (signer, at_most) = (signer(1), Duration::from_secs(30));
    let wait = TransactionWait { at_most, ..WAIT };
    let (outcome, ()) = tokio::join!(client.commit(NETUID, &plan, &signer, wait, &mut progress), changing);
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("Commitments::SpaceLimitExceeded"), "{error}");
    assert_eq!(error.class(), ErrorClass::Wait { blocks: 11 }, "an epoch of a tempo of 10");
    assert_eq!(requests(&net, "author_submitExtrinsic"), 1);
}

#[tokio::test]
async fn times_without_end_are_no_trouble() {
    let net = subnet(at_rest());
    let forever = Duration::MAX;
    let backoff = Backoff { first: forever, longest: forever, jitter_seed: 1 };
    let settings = ChainSettings {
        call_timeout: forever,
        overall_deadline: forever,
        backoff,
        ..client_settings(&[net.endpoint()])
    };
    let client = ChainClient::new(settings).unwrap();
    let wait = TransactionWait { at_most: forever, ..WAIT };
    let plan = plan(&net, "alice/qwen-4b", 2);
    let committed = client.commit(NETUID, &plan, &signer(1), wait, &mut |_| {}).await.unwrap();
    net.admin().produce_blocks(4).unwrap();
    let seen = client.wait_for_reveal(NETUID, hotkey(1), &plan, committed.block.number, wait).await.unwrap();
    assert!(matches!(seen, RevealState::Revealed { .. }), "{seen:?}");
    // A look that is never taken again, and a pause that is longer than the time there is.
    let wait = TransactionWait { at_most: Duration::ZERO, poll_interval: forever };
    client.wait_for_reveal(NETUID, hotkey(1), &plan, committed.block.number, wait).await.unwrap();
    net.admin().order(Fault::new(FaultKind::Drop));
    let settings = ChainSettings { backoff, ..client_settings(&[net.endpoint()]) };
    let error = ChainClient::new(settings).unwrap().genesis_hash().await.unwrap_err();
    assert!(matches!(error, ChainError::Transport { .. }), "{error}");
}
