//! The chain in its file.

use crate::client::{
    NETUID, connect, hotkey, number, open_subnet, raw, set_commitment, settings, stored, timelocked, with_neurons,
};
use distil_devnet::{DevNet, DevNetSettings, EpochModel};
use subxt::dynamic::Value;
use subxt_signer::sr25519::dev;

#[tokio::test]
async fn a_chain_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let settings = DevNetSettings { state_file: Some(folder.path().join("chain.scale")), ..settings() };
    let net = with_neurons(settings.clone(), open_subnet());
    let client = connect(&net).await;
    let round = net.admin().drand_round() + 12;
    let sealed = crate::client::seal(b"later", round, &net.admin().drand_public_key());
    set_commitment(&client, &dev::bob(), vec![timelocked(&sealed, round)]).await.events();
    set_commitment(&client, &dev::charlie(), vec![raw(b"open")]).await.events();
    net.admin().upgrade_runtime().unwrap();
    net.admin().advance_time(1_000);
    let (best, genesis) = (net.admin().best_block(), client.genesis_hash());
    drop(net);

    let net = DevNet::start(settings.clone()).unwrap();
    assert_eq!(net.admin().best_block(), best);
    let client = connect(&net).await;
    assert_eq!(client.genesis_hash(), genesis);
    assert_eq!(client.at_current_block().await.unwrap().spec_version(), 366);
    let keys =
        |signer: &subxt_signer::sr25519::Keypair| vec![number(97_u16), Value::from_bytes(hotkey(signer).account_id())];
    assert!(stored(&client, "Commitments", "CommitmentOf", keys(&dev::charlie())).await.is_some());
    // Earlier blocks are not kept, the best one is, and what waited is revealed.
    assert!(client.at_block(best.number - 1).await.is_err());
    assert_eq!(client.at_block(best.number).await.unwrap().block_hash().0, *best.hash.as_bytes());
    net.admin().produce_blocks(6).unwrap();
    assert!(stored(&client, "Commitments", "RevealedCommitments", keys(&dev::bob())).await.is_some());
    let nonce = set_commitment(&client, &dev::charlie(), vec![raw(b"again")]).await.events();
    assert_eq!(nonce[0], "Commitments.Commitment");
    net.admin().register_neurons(NETUID, [distil_devnet::Neuron::miner(hotkey(&dev::dave()))]).unwrap();
}

#[test]
fn a_file_of_another_chain_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.scale");
    let settings = DevNetSettings { state_file: Some(path.clone()), ..DevNetSettings::default() };
    drop(DevNet::start(settings.clone()).unwrap());
    let written = std::fs::read(&path).unwrap();
    let other = DevNetSettings { epoch_model: EpochModel::Stateful, ..settings.clone() };
    assert!(DevNet::start(other).unwrap_err().to_string().contains("other settings"));
    assert_eq!(std::fs::read(&path).unwrap(), written);

    for (content, problem) in [
        (b"something else".to_vec(), "holds no devnet"),
        (written[..written.len() / 2].to_vec(), "damaged"),
        (Vec::new(), "holds no devnet"),
    ] {
        std::fs::write(&path, &content).unwrap();
        let error = DevNet::start(settings.clone()).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("chain.scale"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_folder_that_is_gone_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.scale");
    let net = DevNet::start(DevNetSettings { state_file: Some(path), ..DevNetSettings::default() }).unwrap();
    folder.close().unwrap();
    assert!(net.admin().produce_blocks(1).unwrap_err().to_string().contains("chain.scale"));
}
