//! Weights: set in the open, timelocked in both models of epochs, hashed; and every error on the way, by name.

use crate::client::{
    Client, NETUID, Outcome, commit_timelocked, connect, failed, hotkey, number, open_subnet, row_arguments, seal,
    set_weights, settings, stored_as, submit, with_neurons,
};
use distil_devnet::{Command, DevNet, DevNetSettings, EpochModel, Hyperparameters, NeuronChange};
use distil_types::Uid;
use parity_scale_codec::Encode;
use subxt::dynamic::Value;
use subxt_signer::sr25519::{Keypair, dev};

type Row = Vec<(u16, u16)>;

/// The row, which is empty where none was set.
async fn row(client: &Client, uid: u16) -> Row {
    stored_as(client, "SubtensorModule", "Weights", vec![number(97_u16), number(uid)]).await.unwrap()
}

async fn last_update(client: &Client, uid: usize) -> u64 {
    let updates = stored_as::<Vec<u64>>(client, "SubtensorModule", "LastUpdate", vec![number(97_u16)]).await;
    updates.unwrap()[uid]
}

fn change(net: &DevNet, parameters: Hyperparameters) {
    net.admin().set_hyperparameters(NETUID, parameters).unwrap();
}

#[tokio::test]
async fn weights_are_set_and_scaled() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let events = set_weights(&client, &dev::alice(), &[0, 2], &[0, 1234], 0).await.events();
    assert_eq!(events, ["SubtensorModule.WeightsSet", "System.ExtrinsicSuccess"]);
    assert_eq!(row(&client, 0).await, [(0, 0), (2, 65_535)]);
    assert_eq!(last_update(&client, 0).await, net.admin().best_block().number);
}

#[tokio::test]
async fn each_error_of_open_weights_has_its_name() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let alice = dev::alice();

    change(&net, Hyperparameters { commit_reveal: Some(true), ..Default::default() });
    assert_eq!(set_weights(&client, &alice, &[1], &[1], 0).await, failed("SubtensorModule::CommitRevealEnabled"));
    change(&net, Hyperparameters { commit_reveal: Some(false), ..Default::default() });

    let arguments = row_arguments(0, &[1], &[1], &[], 0);
    let root = [0, 1, 2, 4].map(|at: usize| arguments[at].clone()).to_vec();
    let outcome = submit(&client, &alice, "SubtensorModule", "set_weights", root).await;
    assert_eq!(outcome, failed("SubtensorModule::CanNotSetRootNetworkWeights"));

    for (uids, weights, error) in [
        (&[1, 2][..], &[1][..], "WeightVecNotEqualSize"),
        (&[0, 1, 2, 3], &[1, 1, 1, 1], "UidsLengthExceedUidsInSubNet"),
        (&[1, 1], &[1, 1], "DuplicateUids"),
        (&[1, 3], &[1, 1], "UidVecContainInvalidOne"),
    ] {
        let outcome = set_weights(&client, &alice, uids, weights, 0).await;
        assert_eq!(outcome, failed(&format!("SubtensorModule::{error}")));
    }

    let mut mechanism = vec![number(97_u16), number(5_u8)];
    mechanism.extend([1, 2, 4].map(|at: usize| arguments[at].clone()));
    let outcome = submit(&client, &alice, "SubtensorModule", "set_mechanism_weights", mechanism).await;
    assert_eq!(outcome, failed("SubtensorModule::MechanismDoesNotExist"));

    let outcome = set_weights(&client, &dev::dave(), &[1], &[1], 0).await;
    assert_eq!(outcome, failed("SubtensorModule::HotKeyNotRegisteredInSubNet"));
    let outcome = set_weights(&client, &dev::bob(), &[2], &[1], 0).await;
    assert_eq!(outcome, failed("SubtensorModule::NeuronNoValidatorPermit"));
    // Who gives weight to itself alone needs no permit.
    set_weights(&client, &dev::bob(), &[1], &[1], 0).await.events();

    change(&net, Hyperparameters { weights_version_key: Some(7), ..Default::default() });
    let outcome = set_weights(&client, &alice, &[1], &[1], 6).await;
    assert_eq!(outcome, failed("SubtensorModule::IncorrectWeightVersionKey"));
    set_weights(&client, &alice, &[1], &[1], 7).await.events();
    set_weights(&client, &alice, &[1], &[1], 8).await.events();

    change(&net, Hyperparameters { min_allowed_weights: Some(2), ..Default::default() });
    let outcome = set_weights(&client, &alice, &[1], &[1], 7).await;
    assert_eq!(outcome, failed("SubtensorModule::WeightVecLengthIsLow"));
    // Zeros count.
    set_weights(&client, &alice, &[1, 2], &[1, 0], 7).await.events();
    // There is no demand for more weights than neurons.
    change(&net, Hyperparameters { min_allowed_weights: Some(200), ..Default::default() });
    set_weights(&client, &alice, &[0, 1, 2], &[0, 1, 0], 7).await.events();

    change(&net, Hyperparameters { weights_rate_limit: Some(5), min_allowed_weights: Some(1), ..Default::default() });
    let updated = last_update(&client, 0).await;
    let outcome = set_weights(&client, &alice, &[1], &[1], 7).await;
    assert_eq!(outcome, failed("SubtensorModule::SettingWeightsTooFast"));
    net.admin().produce_until(updated + 4).unwrap();
    set_weights(&client, &alice, &[1], &[1], 7).await.events();
    assert_eq!(last_update(&client, 0).await, updated + 5);
    // Who never updated need not wait.
    let never = NeuronChange { last_update: Some(0), ..NeuronChange::default() };
    net.admin().set_neuron(NETUID, Uid(0), never).unwrap();
    set_weights(&client, &alice, &[1], &[1], 7).await.events();

    let threshold = Command::SetGlobals {
        stake_threshold_rao: Some(u64::MAX),
        commit_reveal_version: None,
        max_commitment_space: None,
    };
    net.admin().apply(vec![threshold]).unwrap();
    let outcome = set_weights(&client, &alice, &[1], &[1], 7).await;
    assert_eq!(outcome, failed("SubtensorModule::NotEnoughStakeToSetWeights"));
}

#[tokio::test]
async fn the_owner_of_a_subnet_needs_neither_stake_nor_permit() {
    let net = DevNet::start(settings()).unwrap();
    let owner = hotkey(&dev::bob());
    let subnet = Command::RegisterSubnet { netuid: NETUID, owner: Some(owner), parameters: open_subnet() };
    let threshold =
        Command::SetGlobals { stake_threshold_rao: Some(1), commit_reveal_version: None, max_commitment_space: None };
    net.admin().apply(vec![subnet, threshold]).unwrap();
    let neurons = [owner, hotkey(&dev::charlie())].map(distil_devnet::Neuron::miner);
    net.admin().register_neurons(NETUID, neurons).unwrap();
    let client = connect(&net).await;
    set_weights(&client, &dev::bob(), &[1], &[1], 0).await.events();
    let outcome = set_weights(&client, &dev::charlie(), &[0], &[1], 0).await;
    assert_eq!(outcome, failed("SubtensorModule::NotEnoughStakeToSetWeights"));
}

#[tokio::test]
async fn mechanisms_have_weights_of_their_own() {
    let net = with_neurons(settings(), Hyperparameters { mechanisms: Some(2), ..open_subnet() });
    let client = connect(&net).await;
    let arguments = row_arguments(97, &[2], &[9], &[], 0);
    let mut call = vec![number(97_u16), number(1_u8)];
    call.extend([1, 2, 4].map(|at: usize| arguments[at].clone()));
    submit(&client, &dev::alice(), "SubtensorModule", "set_mechanism_weights", call).await.events();
    let second: Option<Row> =
        stored_as(&client, "SubtensorModule", "Weights", vec![number(97_u16 + 4096), number(0_u16)]).await;
    assert_eq!(second.unwrap(), [(2, 65_535)]);
    assert_eq!(row(&client, 0).await, []);
}

fn commit_reveal() -> Hyperparameters {
    Hyperparameters { commit_reveal: Some(true), ..open_subnet() }
}

fn payload(signer: &Keypair, uids: &[u16], values: &[u16]) -> Vec<u8> {
    (hotkey(signer).account_id().to_vec(), uids.to_vec(), values.to_vec(), 0_u64).encode()
}

fn sealed(net: &DevNet, signer: &Keypair, uids: &[u16], values: &[u16], round: u64) -> Vec<u8> {
    seal(&payload(signer, uids, values), round, &net.admin().drand_public_key())
}

/// The first block in which commits of the next block are revealed, as the model has it.
async fn first_reveal(client: &Client, model: EpochModel, commit_block: u64) -> u64 {
    let (netuid, tempo) = (97, 10);
    match model {
        EpochModel::BlockArithmetic => {
            let epoch = (commit_block + netuid + 1) / (tempo + 1);
            (epoch + 1) * (tempo + 1) - (netuid + 1)
        }
        EpochModel::Stateful => {
            let last: u64 = stored_as(client, "SubtensorModule", "LastEpochBlock", vec![number(97_u16)]).await.unwrap();
            // Blocks until the commit are few enough that no epoch ends before it, unless it is due in that very block.
            if last + tempo == commit_block { commit_block + tempo } else { last + tempo }
        }
    }
}

#[tokio::test]
async fn timelocked_weights_are_revealed_in_the_next_epoch_of_both_models() {
    for epoch_model in [EpochModel::BlockArithmetic, EpochModel::Stateful] {
        let net = with_neurons(DevNetSettings { epoch_model, ..settings() }, commit_reveal());
        let client = connect(&net).await;
        let alice = dev::alice();
        for round_of_the_test in 0..3 {
            let commit_block = net.admin().best_block().number + 1;
            let first = first_reveal(&client, epoch_model, commit_block).await;
            // Published with the block before, so revealed at once.
            let round = net.admin().drand_round() + 4 * (first - commit_block);
            let value = 100 + round_of_the_test;
            let commit = sealed(&net, &alice, &[1, 2], &[value, 0], round);
            let events = commit_timelocked(&client, &alice, &commit, round, 4).await.events();
            assert_eq!(events, ["SubtensorModule.TimelockedWeightsCommitted", "System.ExtrinsicSuccess"]);
            assert_eq!(last_update(&client, 0).await, commit_block);

            let before = row(&client, 0).await;
            net.admin().produce_until(first - 1).unwrap();
            assert_eq!(row(&client, 0).await, before, "{epoch_model:?}: revealed before block {first}");
            net.admin().produce_blocks(1).unwrap();
            assert_eq!(row(&client, 0).await, [(1, 65_535), (2, 0)], "{epoch_model:?}: block {first}");
            assert_eq!(last_update(&client, 0).await, commit_block, "the commit counts, not the reveal");
            net.admin().produce_blocks(3).unwrap();
        }
    }
}

#[tokio::test]
async fn a_reveal_period_of_several_epochs_is_kept() {
    let parameters = Hyperparameters { reveal_period_epochs: Some(3), ..commit_reveal() };
    let net = with_neurons(settings(), parameters);
    let client = connect(&net).await;
    let commit_block = net.admin().best_block().number + 1;
    let first = ((commit_block + 98) / 11 + 3) * 11 - 98;
    let round = net.admin().drand_round() + 1;
    let commit = sealed(&net, &dev::alice(), &[2], &[1], round);
    commit_timelocked(&client, &dev::alice(), &commit, round, 4).await.events();
    net.admin().produce_until(first - 1).unwrap();
    assert_eq!(row(&client, 0).await, []);
    net.admin().produce_blocks(1).unwrap();
    assert_eq!(row(&client, 0).await, [(2, 65_535)]);
}

#[tokio::test]
async fn a_round_that_comes_late_reveals_late_and_one_that_never_comes_never() {
    for (skipped, expected) in [(false, vec![(1, 65_535)]), (true, Vec::new())] {
        let net = with_neurons(settings(), commit_reveal());
        let client = connect(&net).await;
        let commit_block = net.admin().best_block().number + 1;
        let first = first_reveal(&client, EpochModel::BlockArithmetic, commit_block).await;
        let round = net.admin().drand_round() + 4 * (first - commit_block) + 12;
        if skipped {
            net.admin().skip_round(round);
        }
        let commit = sealed(&net, &dev::alice(), &[1], &[1], round);
        commit_timelocked(&client, &dev::alice(), &commit, round, 4).await.events();
        net.admin().produce_until(first + 2).unwrap();
        assert_eq!(row(&client, 0).await, []);
        net.admin().produce_until(first + 20).unwrap();
        assert_eq!(row(&client, 0).await, expected);
        // Revealed or expired, it does not wait any more.
        let waiting = client.at_current_block().await.unwrap();
        let address = subxt::dynamic::storage::<(u16, u64), Value>("SubtensorModule", "TimelockedWeightCommits");
        let mut commits = waiting.storage().iter(address, (97,)).await.unwrap();
        assert!(commits.next().await.is_none());
    }
}

#[tokio::test]
async fn what_breaks_a_rule_at_its_reveal_is_dropped_without_a_word() {
    let net = with_neurons(settings(), commit_reveal());
    let client = connect(&net).await;
    let round = net.admin().drand_round() + 1;
    let (alice, bob) = (dev::alice(), dev::bob());
    let copied = sealed(&net, &alice, &[1], &[1], round);
    let cases = [
        (&bob, copied.clone()),
        (&bob, sealed(&net, &bob, &[2], &[1], round)),
        (&alice, sealed(&net, &alice, &[9], &[1], round)),
        (&alice, seal(b"no row", round, &net.admin().drand_public_key())),
        (&alice, vec![1; 300]),
    ];
    for (signer, commit) in cases {
        commit_timelocked(&client, signer, &commit, round, 4).await.events();
    }
    net.admin().produce_blocks(25).unwrap();
    assert_eq!(row(&client, 0).await, []);
    assert_eq!(row(&client, 1).await, []);
}

#[tokio::test]
async fn each_error_of_timelocked_weights_has_its_name() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let alice = dev::alice();
    let commit = |signer: Keypair, version| {
        let client = client.clone();
        async move { commit_timelocked(&client, &signer, &[1, 2, 3], 1, version).await }
    };
    assert_eq!(commit(alice.clone(), 4).await, failed("SubtensorModule::CommitRevealDisabled"));
    change(&net, commit_reveal());
    assert_eq!(commit(alice.clone(), 3).await, failed("SubtensorModule::IncorrectCommitRevealVersion"));
    assert_eq!(commit(dev::dave(), 4).await, failed("SubtensorModule::HotKeyNotRegisteredInSubNet"));
    let mechanism = vec![number(97_u16), number(1_u8), Value::from_bytes([1]), number(1_u64), number(4_u16)];
    let outcome = submit(&client, &alice, "SubtensorModule", "commit_timelocked_mechanism_weights", mechanism).await;
    assert_eq!(outcome, failed("SubtensorModule::MechanismDoesNotExist"));

    // Ten of one epoch may wait; with a long one there is time for eleven.
    change(&net, Hyperparameters { tempo: Some(1000), ..Default::default() });
    for _ in 0..10 {
        commit(alice.clone(), 4).await.events();
    }
    assert_eq!(commit(alice.clone(), 4).await, failed("SubtensorModule::TooManyUnrevealedCommits"));
    // Another hotkey's do not count.
    commit(dev::bob(), 4).await.events();

    change(&net, Hyperparameters { weights_rate_limit: Some(50), ..Default::default() });
    assert_eq!(commit(dev::bob(), 4).await, failed("SubtensorModule::CommittingWeightsTooFast"));
}

#[tokio::test]
async fn hashed_weights_are_revealed_in_their_epoch_and_every_error_has_its_name() {
    for epoch_model in [EpochModel::BlockArithmetic, EpochModel::Stateful] {
        let net = with_neurons(DevNetSettings { epoch_model, ..settings() }, commit_reveal());
        let client = connect(&net).await;
        let alice = dev::alice();
        let hash = |salt: u16| {
            let row = (*hotkey(&alice).account_id(), 97_u16, vec![1_u16, 2], vec![5_u16, 10], vec![salt], 0_u64);
            subxt::config::Hasher::hash(&subxt::config::substrate::BlakeTwo256, &row.encode())
        };
        let commit = |salt: u16| vec![number(97_u16), Value::from_bytes(hash(salt))];
        let reveal = |salt: u16| {
            let (client, alice) = (client.clone(), alice.clone());
            async move {
                let arguments = row_arguments(97, &[1, 2], &[5, 10], &[salt], 0);
                submit(&client, &alice, "SubtensorModule", "reveal_weights", arguments).await
            }
        };
        assert_eq!(reveal(1).await, failed("SubtensorModule::NoWeightsCommitFound"));
        let committed = submit(&client, &alice, "SubtensorModule", "commit_weights", commit(1)).await.events();
        assert_eq!(committed[0], "SubtensorModule.WeightsCommitted");
        assert_eq!(reveal(1).await, failed("SubtensorModule::RevealTooEarly"));
        assert_eq!(reveal(2).await, failed("SubtensorModule::InvalidRevealCommitHashNotMatch"));
        net.admin().produce_blocks(9).unwrap();
        let revealed = reveal(1).await.events();
        assert!(revealed.contains(&"SubtensorModule.WeightsRevealed".to_owned()), "{revealed:?}");
        assert_eq!(row(&client, 0).await, [(1, 32_768), (2, 65_535)]);
        assert_eq!(reveal(1).await, failed("SubtensorModule::NoWeightsCommitFound"));

        submit(&client, &alice, "SubtensorModule", "commit_weights", commit(3)).await.events();
        net.admin().produce_blocks(25).unwrap();
        assert_eq!(reveal(3).await, failed("SubtensorModule::ExpiredWeightCommit"));
        change(&net, open_subnet());
        assert_eq!(reveal(3).await, failed("SubtensorModule::CommitRevealDisabled"));
    }
}

#[tokio::test]
async fn a_pool_that_checks_weights_refuses_them_with_a_number() {
    let net = with_neurons(DevNetSettings { pool_checks_weights: true, ..settings() }, open_subnet());
    let client = connect(&net).await;
    let refused = |outcome: Outcome, code: u8| {
        let Outcome::Refused(reason) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("1010") || reason.contains("Invalid Transaction"), "{reason}");
        assert!(reason.contains(&format!("Custom error: {code}")), "{reason}");
    };
    refused(set_weights(&client, &dev::dave(), &[1], &[1], 0).await, 19);
    change(&net, Hyperparameters { weights_rate_limit: Some(100), ..Default::default() });
    refused(set_weights(&client, &dev::alice(), &[1], &[1], 0).await, 6);
    let arguments = row_arguments(97, &[1], &[5], &[1], 0);
    refused(submit(&client, &dev::alice(), "SubtensorModule", "reveal_weights", arguments).await, 16);
    let threshold =
        Command::SetGlobals { stake_threshold_rao: Some(1), commit_reveal_version: None, max_commitment_space: None };
    net.admin().apply(vec![threshold]).unwrap();
    refused(set_weights(&client, &dev::bob(), &[1], &[1], 0).await, 1);
}

#[tokio::test]
async fn an_epoch_can_be_had_early_in_the_second_model() {
    let stateful = DevNetSettings { epoch_model: EpochModel::Stateful, ..settings() };
    let net = with_neurons(stateful, Hyperparameters { tempo: Some(300), ..open_subnet() });
    let block = net.admin().best_block().number + 5;
    net.admin().apply(vec![Command::TriggerEpoch { netuid: NETUID, block }]).unwrap();
    let client = connect(&net).await;
    let index = || stored_as::<u64>(&client, "SubtensorModule", "SubnetEpochIndex", vec![number(97_u16)]);
    net.admin().produce_until(block - 1).unwrap();
    assert_eq!(index().await, Some(0));
    net.admin().produce_until(block + 1).unwrap();
    assert_eq!(index().await, Some(1));
    let last = stored_as::<u64>(&client, "SubtensorModule", "LastEpochBlock", vec![number(97_u16)]).await;
    assert_eq!(last, Some(block));

    let arithmetic = with_neurons(settings(), open_subnet());
    let refused = arithmetic.admin().apply(vec![Command::TriggerEpoch { netuid: NETUID, block: 50 }]);
    assert!(refused.unwrap_err().to_string().contains("follow from the block's number"));
}
