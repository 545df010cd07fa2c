//! Setting weights, in the open and sealed, with what can go wrong on the way.

use crate::chain::{NETUID, WAIT, client, drand, hotkey, moving, requests, signer, subnet};
use distil_chain::timelock::{DrandNetwork, Randomness};
use distil_chain::wallet::{HotkeySigner, Passwords, Wallet};
use distil_chain::{
    ChainClient, ChainError, CommittedWeights, ErrorClass, LostWeights, Refresh, SnapshotExpectation, SnapshotRefusal,
    TransactionStage, TransactionWait, WeightPlan, WeightsConfirmation, WeightsError, WeightsOptions, WeightsOutcome,
    WeightsSigning, WeightsStep,
};
use distil_devnet::{
    BlockProduction, Command, DevNet, DevNetSettings, EpochModel, Fault, FaultKind, Hyperparameters, Neuron,
    NeuronChange, Retracted,
};
use distil_types::{Hotkey, Uid};
use std::path::Path;
use std::time::Duration;

const SUBMIT: &str = "author_submitExtrinsic";
const MODELS: [EpochModel; 2] = [EpochModel::BlockArithmetic, EpochModel::Stateful];

fn options(drand: &DrandNetwork) -> WeightsOptions<'_> {
    WeightsOptions::new(drand)
}

/// What there is to say of weights.
#[derive(Debug, PartialEq)]
enum Answer {
    NotSent(WeightsSigning),
    Sent(WeightsOutcome),
}

async fn set_with(
    net: &DevNet,
    signer: &HotkeySigner,
    winner: Hotkey,
    options: &WeightsOptions<'_>,
) -> Result<Answer, ChainError> {
    set_and_wait(net, signer, winner, options, WAIT, &mut |_| {}).await
}

async fn set_and_wait(
    net: &DevNet,
    signer: &HotkeySigner,
    winner: Hotkey,
    options: &WeightsOptions<'_>,
    wait: TransactionWait,
    progress: &mut (dyn FnMut(TransactionStage) + Send),
) -> Result<Answer, ChainError> {
    let randomness = Randomness::from_bytes(&[7; Randomness::BYTES]);
    let client = client(net);
    match client.sign_weights(NETUID, &WeightPlan::winner(winner), signer, options, randomness).await? {
        WeightsSigning::Signed(signed) => client.send_weights(&signed, wait, progress).await.map(Answer::Sent),
        not_needed => Ok(Answer::NotSent(not_needed)),
    }
}

/// Seat 0 gives all weight to the miner in this seat.
async fn set(net: &DevNet, winner: u8) -> Result<Answer, ChainError> {
    set_with(net, &signer(0), hotkey(winner), &options(&drand(net))).await
}

fn change(net: &DevNet, parameters: Hyperparameters) {
    net.admin().set_hyperparameters(NETUID, parameters).unwrap();
}

fn open() -> Hyperparameters {
    Hyperparameters { commit_reveal: Some(false), ..Default::default() }
}

/// The last update is long ago, so that no limit is in the way.
fn rested(net: &DevNet) {
    let never = NeuronChange { last_update: Some(0), ..NeuronChange::default() };
    net.admin().set_neuron(NETUID, Uid(0), never).unwrap();
}

/// A subnet whose weights are open, or sealed for two epochs of a tempo that gives tests time; blocks as set.
pub(crate) fn with_weights(settings: DevNetSettings, commit_reveal: bool) -> DevNet {
    let lag = settings.finality_lag;
    let net = subnet(settings);
    change(&net, Hyperparameters { commit_reveal: Some(commit_reveal), tempo: Some(40), ..Default::default() });
    rested(&net);
    net.admin().produce_blocks(lag).unwrap();
    net
}

pub(crate) fn at_rest() -> DevNetSettings {
    DevNetSettings { production: BlockProduction::OnTransaction, ..DevNetSettings::default() }
}

#[tokio::test]
async fn b4_open_weights_are_set_read_back_and_not_sent_again() {
    let net = with_weights(moving(), false);
    let drand = drand(&net);
    let client = client(&net);
    let plan = WeightPlan::winner(hotkey(3));
    let check = client.check_weights(NETUID, &plan, hotkey(0), &options(&drand)).await.unwrap();
    assert_eq!((check.uid, check.step, check.version_key), (Uid(0), WeightsStep::Set, 7));
    assert_eq!((check.row.to_string(), check.on_chain.to_string()), ("0:0 1:0 3:65535".to_owned(), String::new()));
    assert_eq!(requests(&net, SUBMIT), 0);

    let mut stages = Vec::new();
    let mut progress = |stage| stages.push(stage);
    let answer = set_and_wait(&net, &signer(0), hotkey(3), &options(&drand), WAIT, &mut progress).await.unwrap();
    let Answer::Sent(WeightsOutcome::Set { block, row, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(row, check.row);
    assert!(matches!(stages[0], TransactionStage::Submitted { .. }), "{stages:?}");
    assert_eq!(stages.last(), Some(&TransactionStage::Finalized { block }));

    // The same again: it is there. Another winner is a wait, known beforehand.
    let again = set(&net, 3).await.unwrap();
    let Answer::NotSent(WeightsSigning::AlreadyThere { last_update_block, .. }) = again else { panic!("{again:?}") };
    assert_eq!(last_update_block, block.number);
    change(&net, Hyperparameters { weights_rate_limit: Some(100_000), ..Default::default() });
    net.admin().produce_blocks(2).unwrap();
    let error = set(&net, 2).await.unwrap_err();
    let ChainError::RateLimited { wait_blocks, .. } = error else { panic!("{error}") };
    assert!((99_000..100_000).contains(&wait_blocks));
    assert_eq!(error.class(), ErrorClass::Wait { blocks: wait_blocks });
    // Weights that are old are sent anew although they are there.
    change(&net, Hyperparameters { weights_rate_limit: Some(1), ..Default::default() });
    net.admin().produce_blocks(3).unwrap();
    let old = WeightsOptions { refresh: Refresh::AfterBlocks(1), ..options(&drand) };
    let outcome = set_with(&net, &signer(0), hotkey(3), &old).await.unwrap();
    assert!(matches!(outcome, Answer::Sent(WeightsOutcome::Set { .. })), "{outcome:?}");
    assert_eq!(requests(&net, SUBMIT), 2);
}

async fn commit(net: &DevNet, winner: u8) -> CommittedWeights {
    match set(net, winner).await.unwrap() {
        Answer::Sent(WeightsOutcome::Committed(committed)) => committed,
        other => panic!("{other:?}"),
    }
}

async fn confirm(net: &DevNet, committed: &CommittedWeights) -> WeightsConfirmation {
    client(net).confirm_weights(NETUID, hotkey(0), committed).await.unwrap()
}

#[tokio::test]
async fn sealed_weights_are_committed_revealed_and_confirmed_in_both_models_of_epochs() {
    for epoch_model in MODELS {
        let net = with_weights(DevNetSettings { epoch_model, ..at_rest() }, true);
        let client = client(&net);
        let drand = drand(&net);
        for winner in [1, 2] {
            let committed = commit(&net, winner).await;
            let text = serde_json::to_string(&committed).unwrap();
            assert_eq!(serde_json::from_str::<CommittedWeights>(&text).unwrap(), committed, "it can be kept");
            // Committed and not revealed: it is not sent a second time.
            let plan = WeightPlan::winner(hotkey(winner));
            let known = WeightsOptions { committed: Some(&committed), ..options(&drand) };
            let outcome = set_with(&net, &signer(0), hotkey(winner), &known).await.unwrap();
            let (block, reveal_block) = (net.admin().finalized_block(), committed.reveal_block);
            assert_eq!(outcome, Answer::NotSent(WeightsSigning::AwaitingReveal { block, reveal_block }));

            net.admin().produce_until(committed.reveal_block - 1).unwrap();
            let confirmation = confirm(&net, &committed).await;
            assert!(
                matches!(confirmation, WeightsConfirmation::NotYet { reveal_block, round_skipped: false, .. }
                    if reveal_block == committed.reveal_block),
                "{epoch_model:?}: {confirmation:?}"
            );
            // Three blocks later its round is out, and nobody could have read it two blocks before that.
            assert!(net.admin().drand_round() < committed.reveal_round);
            net.admin().produce_until(committed.reveal_block + 3).unwrap();
            assert!(net.admin().drand_round() >= committed.reveal_round);
            net.admin().produce_blocks(1).unwrap();
            let confirmation = confirm(&net, &committed).await;
            assert!(matches!(confirmation, WeightsConfirmation::Revealed { .. }), "{epoch_model:?}: {confirmation:?}");
            let check = client.check_weights(NETUID, &plan, hotkey(0), &options(&drand)).await.unwrap();
            assert_eq!((check.step, check.on_chain), (WeightsStep::AlreadyThere, committed.row));
        }
        assert_eq!(requests(&net, SUBMIT), 2, "{epoch_model:?}");
    }
}

#[tokio::test]
async fn sealed_weights_that_are_lost_are_said_to_be_with_what_is_known() {
    for epoch_model in MODELS {
        // The round never comes.
        let net = with_weights(DevNetSettings { epoch_model, ..at_rest() }, true);
        let drand = drand(&net);
        let plan = WeightPlan::winner(hotkey(1));
        let check = client(&net).check_weights(NETUID, &plan, hotkey(0), &options(&drand)).await.unwrap();
        let WeightsStep::Commit { reveal_round, .. } = check.step else { panic!("{check:?}") };
        net.admin().skip_round(reveal_round);
        let committed = commit(&net, 1).await;
        assert_eq!(committed.reveal_round, reveal_round);
        net.admin().produce_until(committed.reveal_block + 5).unwrap();
        let confirmation = confirm(&net, &committed).await;
        assert!(matches!(confirmation, WeightsConfirmation::NotYet { round_skipped: true, .. }), "{confirmation:?}");
        net.admin().produce_until(committed.expiry_block + 1).unwrap();
        let confirmation = confirm(&net, &committed).await;
        let WeightsConfirmation::Lost { reasons, on_chain, .. } = confirmation else { panic!("{confirmation:?}") };
        assert_eq!(reasons, [LostWeights::RoundSkipped { reveal_round }], "{epoch_model:?}");
        assert!(on_chain.entries().is_empty());

        // What they were committed by does not hold any more.
        let committed = commit(&net, 2).await;
        let no_permit = NeuronChange { validator_permit: Some(false), ..NeuronChange::default() };
        net.admin().set_neuron(NETUID, Uid(0), no_permit).unwrap();
        change(
            &net,
            Hyperparameters { weights_version_key: Some(9), min_allowed_weights: Some(4), ..Default::default() },
        );
        net.admin().produce_until(committed.expiry_block).unwrap();
        let confirmation = confirm(&net, &committed).await;
        let WeightsConfirmation::Lost { reasons, .. } = confirmation else { panic!("{confirmation:?}") };
        let expected = [
            LostWeights::NoValidatorPermit,
            LostWeights::VersionTooLow { demanded: 9, committed: 7 },
            LostWeights::RowTooShort { demanded: 4, committed: 3 },
        ];
        assert_eq!(reasons, expected, "{epoch_model:?}");
        net.admin().replace_neuron(NETUID, Uid(0), Neuron::miner(hotkey(40))).unwrap();
        let confirmation = confirm(&net, &committed).await;
        let WeightsConfirmation::Lost { reasons, .. } = confirmation else { panic!("{confirmation:?}") };
        assert_eq!(reasons, [LostWeights::NotRegistered]);
    }
}

#[tokio::test]
async fn what_would_fail_is_known_before_anything_is_sent() {
    let net = with_weights(at_rest(), false);
    let drand = drand(&net);
    let error = set_with(&net, &signer(9), hotkey(1), &options(&drand)).await.unwrap_err();
    assert!(matches!(error, ChainError::NotRegistered { .. }), "{error}");
    let error = set_with(&net, &signer(2), hotkey(1), &options(&drand)).await.unwrap_err();
    assert!(matches!(error, ChainError::NoValidatorPermit { .. }), "{error}");
    let error = set(&net, 30).await.unwrap_err();
    assert!(matches!(error, ChainError::Weights(WeightsError::NoSeat { .. })), "{error}");
    assert_eq!(error.class(), ErrorClass::Never);
    change(&net, Hyperparameters { commit_reveal: Some(true), tempo: Some(0), ..Default::default() });
    let error = set(&net, 1).await.unwrap_err();
    assert!(matches!(error, ChainError::NoEpochs { .. }), "{error}");
    assert_eq!(requests(&net, SUBMIT), 0);

    // The eleventh commit of an epoch.
    change(&net, Hyperparameters { tempo: Some(5000), weights_rate_limit: Some(0), ..Default::default() });
    for number in 0..10 {
        commit(&net, 1 + number % 3).await;
    }
    let error = set(&net, 1).await.unwrap_err();
    assert!(error.to_string().contains("ten commits"), "{error}");
    let ErrorClass::Wait { blocks } = error.class() else { panic!("{error}") };
    assert!((4000..5001).contains(&blocks), "{blocks}");
    assert_eq!(requests(&net, SUBMIT), 10);
}

/// Changes the chain in the block that has the weights, after they were checked.
async fn changed_meanwhile(commit_reveal: bool, command: Command) -> ChainError {
    let net = with_weights(DevNetSettings::default(), commit_reveal);
    let changing = async {
        while net.admin().pending_transactions() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        net.admin().apply(vec![command]).unwrap();
    };
    let (outcome, ()) = tokio::join!(set(&net, 1), changing);
    assert_eq!(requests(&net, SUBMIT), 1);
    outcome.unwrap_err()
}

#[tokio::test]
async fn each_error_of_the_chain_has_its_name() {
    let parameters = |parameters| Command::SetHyperparameters { netuid: NETUID, parameters };
    let globals = |stake_threshold_rao, commit_reveal_version| Command::SetGlobals {
        stake_threshold_rao,
        commit_reveal_version,
        max_commitment_space: None,
    };
    let neuron = |change| Command::SetNeuron { netuid: NETUID, uid: Uid(0), change };
    let replaced =
        || Command::RegisterNeuron { netuid: NETUID, neuron: Neuron::miner(hotkey(40)), replaces: Some(Uid(0)) };
    let sealed = Hyperparameters { commit_reveal: Some(true), ..Default::default() };
    let version = Hyperparameters { weights_version_key: Some(99), ..Default::default() };
    let longer = Hyperparameters { min_allowed_weights: Some(4), ..Default::default() };
    let no_permit = NeuronChange { validator_permit: Some(false), ..Default::default() };
    let updated = NeuronChange { last_update: Some(4), ..Default::default() };
    let cases = [
        (false, parameters(sealed), "CommitRevealEnabled", ErrorClass::Never),
        (false, replaced(), "HotKeyNotRegisteredInSubNet", ErrorClass::Never),
        (false, globals(Some(u64::MAX), None), "NotEnoughStakeToSetWeights", ErrorClass::Never),
        (false, parameters(version), "IncorrectWeightVersionKey", ErrorClass::Never),
        (false, neuron(updated.clone()), "SettingWeightsTooFast", ErrorClass::Wait { blocks: 5 }),
        (false, neuron(no_permit), "NeuronNoValidatorPermit", ErrorClass::Never),
        (false, parameters(longer), "WeightVecLengthIsLow", ErrorClass::Never),
        (true, parameters(open()), "CommitRevealDisabled", ErrorClass::Never),
        (true, globals(None, Some(5)), "IncorrectCommitRevealVersion", ErrorClass::Never),
        (true, replaced(), "HotKeyNotRegisteredInSubNet", ErrorClass::Never),
        (true, neuron(updated), "CommittingWeightsTooFast", ErrorClass::Wait { blocks: 5 }),
    ];
    for (commit_reveal, command, name, class) in cases {
        let error = changed_meanwhile(commit_reveal, command).await;
        assert!(error.to_string().contains(&format!("SubtensorModule::{name}")), "{name}: {error}");
        assert_eq!(error.class(), class, "{name}");
    }
}

#[tokio::test]
async fn b4_weights_whose_answer_is_lost_are_found_and_not_sent_again() {
    for commit_reveal in [false, true] {
        for fault in [FaultKind::LoseAnswer, FaultKind::SwallowAnswer, FaultKind::Delay(Duration::from_millis(30))] {
            let net = with_weights(moving(), commit_reveal);
            net.admin().order(Fault::new(fault.clone()).on(SUBMIT).times(1));
            let outcome = set(&net, 2).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(matches!(outcome, Answer::Sent(_)), "{fault:?}: {outcome:?}");
            assert_eq!(requests(&net, SUBMIT), 1, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn weights_that_never_arrived_are_void_in_the_end_and_can_be_sent_anew() {
    for fault in [FaultKind::Drop, FaultKind::NeverAnswer, FaultKind::Silence] {
        let net = with_weights(moving(), false);
        net.admin().order(Fault::new(fault.clone()).on(SUBMIT).times(1));
        let error = set(&net, 2).await.unwrap_err();
        assert!(matches!(error, ChainError::NotIncluded { .. }), "{fault:?}: {error}");
        assert_eq!((error.class(), requests(&net, SUBMIT)), (ErrorClass::TryAgain, 1));
        assert!(matches!(set(&net, 2).await, Ok(Answer::Sent(WeightsOutcome::Set { .. }))));
    }
}

#[tokio::test]
async fn b1_no_weights_come_of_a_metagraph_that_cannot_be_true() {
    let net = with_weights(at_rest(), false);
    let drand = drand(&net);
    net.admin().order(Fault::new(FaultKind::Neurons(1)));
    let error = set(&net, 1).await.unwrap_err();
    assert!(matches!(error, ChainError::Snapshot(SnapshotRefusal::TooFewNeurons { neurons: 1, .. })), "{error}");
    net.admin().clear_faults();
    let expected = SnapshotExpectation { previous_neurons: Some(9), ..SnapshotExpectation::default() };
    let halved = WeightsOptions { expected, ..options(&drand) };
    let error = set_with(&net, &signer(0), hotkey(1), &halved).await.unwrap_err();
    assert!(matches!(error, ChainError::Snapshot(SnapshotRefusal::NeuronsLost { .. })), "{error}");
    assert_eq!(requests(&net, SUBMIT), 0);
    assert!(set(&net, 1).await.is_ok());
}

#[tokio::test]
async fn an_upgrade_of_the_runtime_under_an_open_connection_is_nothing_special() {
    let net = with_weights(moving(), false);
    let client = client(&net);
    let drand = drand(&net);
    let plan = WeightPlan::winner(hotkey(1));
    client.check_weights(NETUID, &plan, hotkey(0), &options(&drand)).await.unwrap();
    net.admin().upgrade_runtime().unwrap();
    net.admin().produce_blocks(4).unwrap();
    let randomness = Randomness::from_bytes(&[7; Randomness::BYTES]);
    let signing = client.sign_weights(NETUID, &plan, &signer(0), &options(&drand), randomness).await.unwrap();
    let WeightsSigning::Signed(signed) = signing else { panic!("{signing:?}") };
    let outcome = client.send_weights(&signed, WAIT, &mut |_| {}).await;
    assert!(matches!(outcome, Ok(WeightsOutcome::Set { .. })), "{outcome:?}");
}

/// Sends weights, and takes the block that holds them back before it is final.
async fn reorganized(retracted: Retracted) -> (Result<Answer, ChainError>, Vec<TransactionStage>, usize) {
    let net = with_weights(DevNetSettings { finality_lag: 3, ..DevNetSettings::default() }, false);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let acting = async {
        let mut stages = Vec::new();
        while let Some(stage) = receiver.recv().await {
            match &stage {
                TransactionStage::Submitted { .. } => net.admin().produce_blocks(1).unwrap(),
                TransactionStage::InBlock { .. } if stages.len() == 1 => {
                    net.admin().reorganize(1, retracted).unwrap();
                    if retracted == Retracted::Lost {
                        net.admin().produce_blocks(70).unwrap();
                    }
                }
                TransactionStage::InBlock { .. } => net.admin().produce_blocks(4).unwrap(),
                TransactionStage::Finalized { .. } => {}
            }
            stages.push(stage);
        }
        stages
    };
    let drand = drand(&net);
    let options = options(&drand);
    let setting = async {
        let mut progress = move |stage| drop(sender.send(stage));
        set_and_wait(&net, &signer(0), hotkey(1), &options, WAIT, &mut progress).await
    };
    let (outcome, stages) = tokio::join!(setting, acting);
    (outcome, stages, requests(&net, SUBMIT))
}

#[tokio::test]
async fn a_reorganisation_before_finality_is_survived() {
    let (outcome, stages, sent) = reorganized(Retracted::Reincluded).await;
    let Ok(Answer::Sent(WeightsOutcome::Set { block, .. })) = outcome else { panic!("{outcome:?}") };
    let [
        TransactionStage::Submitted { .. },
        TransactionStage::InBlock { block: first },
        TransactionStage::InBlock { block: second },
        TransactionStage::Finalized { block: last },
    ] = stages[..]
    else {
        panic!("{stages:?}")
    };
    assert!(first != second && second == last && last == block, "{stages:?}");
    assert_eq!(sent, 1);
    let (outcome, stages, sent) = reorganized(Retracted::Lost).await;
    assert!(matches!(outcome, Err(ChainError::NotIncluded { .. })), "{outcome:?}");
    assert_eq!((stages.len(), sent), (2, 1));
}

#[tokio::test]
async fn a_chain_that_stands_still_leaves_the_fate_unknown_and_nothing_else_is_sent() {
    let net = with_weights(DevNetSettings::default(), false);
    let drand = drand(&net);
    let wait = TransactionWait { at_most: Duration::from_millis(200), ..WAIT };
    let error = set_and_wait(&net, &signer(0), hotkey(1), &options(&drand), wait, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, ChainError::FateUnknown { .. }), "{error}");
    let error = set(&net, 1).await.unwrap_err();
    assert!(matches!(error, ChainError::InFlight { .. }), "{error}");
    net.admin().produce_blocks(1).unwrap();
    let outcome = set(&net, 1).await.unwrap();
    assert!(matches!(outcome, Answer::NotSent(WeightsSigning::AlreadyThere { .. })), "{outcome:?}");
    assert_eq!(requests(&net, SUBMIT), 1);
}

#[tokio::test]
async fn storage_gives_weights_the_same_parameters_as_the_runtime() {
    let net = with_weights(DevNetSettings { selective_metagraph: false, ..at_rest() }, true);
    let committed = commit(&net, 1).await;
    net.admin().produce_until(committed.reveal_block + 4).unwrap();
    let confirmation = confirm(&net, &committed).await;
    assert!(matches!(confirmation, WeightsConfirmation::Revealed { .. }), "{confirmation:?}");
}

/// The wallets that Bittensor's own library wrote: a copy is part of the tests, and a larger set may lie beside the project.
fn wallets() -> Option<std::path::PathBuf> {
    let fixtures = std::env::var_os("DISTIL_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"), Into::into);
    Some(fixtures.join("chain/wallets")).filter(|folder| folder.is_dir())
}

#[tokio::test]
async fn a_wallet_by_bittensors_own_library_sets_weights() {
    let Some(wallets) = wallets() else {
        println!("skipped: neither DISTIL_FIXTURES nor ../shared/fixtures has chain/wallets");
        return;
    };
    let name = std::fs::read_dir(&wallets).unwrap().find_map(|entry| entry.ok()?.file_name().into_string().ok());
    let wallet = Wallet::new(&wallets, &name.unwrap()).unwrap();
    let mut ask = |_: &Path| Err(std::io::Error::other("no terminal"));
    let loaded = wallet.load_hotkey("hk0", Passwords { environment: &|_| None, ask: &mut ask }).unwrap();
    let net = with_weights(at_rest(), false);
    net.admin().register_neurons(NETUID, [Neuron::validator(loaded.signer.public_key())]).unwrap();
    let own: ChainClient = client(&net);
    let drand = own.drand_network().await.unwrap();
    assert_eq!(drand, crate::chain::drand(&net));
    let limit = Hyperparameters { weights_rate_limit: Some(0), ..Default::default() };
    change(&net, limit);
    let outcome = set_with(&net, &loaded.signer, hotkey(1), &options(&drand)).await.unwrap();
    assert!(matches!(outcome, Answer::Sent(WeightsOutcome::Set { .. })), "{outcome:?}");
}
