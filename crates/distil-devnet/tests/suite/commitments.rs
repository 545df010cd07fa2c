//! Commitments, their limits and their reveal.

use crate::client::{
    Client, connect, failed, hotkey, number, open_subnet, raw, seal, set_commitment, settings, stored, stored_as,
    timelocked, with_neurons,
};
use distil_chain::{KEPT_REVEALS, NotEligible, RevealedEntry, oldest_for_certain, select_submission, timelock};
use distil_devnet::{Command, DevNet};
use parity_scale_codec::{Decode, Encode};
use subxt::dynamic::Value;
use subxt_signer::sr25519::{Keypair, dev};

fn keys(signer: &Keypair) -> Vec<Value> {
    vec![number(97_u16), Value::from_bytes(hotkey(signer).account_id())]
}

async fn revealed(client: &Client, signer: &Keypair) -> Vec<(Vec<u8>, u64)> {
    stored_as(client, "Commitments", "RevealedCommitments", keys(signer)).await.unwrap_or_default()
}

#[tokio::test]
async fn an_open_commitment_is_stored_as_it_was_sent() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let bob = dev::bob();
    let events = set_commitment(&client, &bob, vec![raw(b"hello"), raw(b"")]).await.events();
    assert_eq!(events, ["Commitments.Commitment", "System.ExtrinsicSuccess"]);
    let block = net.admin().best_block().number as u32;
    let registration = stored(&client, "Commitments", "CommitmentOf", keys(&bob)).await.unwrap();
    // Deposit, block, two fields: five bytes and none.
    assert_eq!(registration, [&0_u64.encode()[..], &block.encode(), &[2 << 2], b"\x06hello\x01"].concat());
    assert_eq!(stored_as::<u32>(&client, "Commitments", "LastCommitment", keys(&bob)).await, Some(block));
    let usage: (u64, u64) = stored_as(&client, "Commitments", "UsedSpaceOf", keys(&bob)).await.unwrap();
    assert_eq!(usage.1, 100, "a small commitment is charged as one of 100 bytes");
}

#[tokio::test]
async fn each_error_of_commitments_has_its_name() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let outcome = set_commitment(&client, &dev::dave(), vec![raw(b"x")]).await;
    assert_eq!(outcome, failed("Commitments::AccountNotAllowedCommit"));
    let four = vec![raw(b"x"), raw(b"x"), raw(b"x"), raw(b"x")];
    let outcome = set_commitment(&client, &dev::bob(), four).await;
    assert_eq!(outcome, failed("Commitments::TooManyFieldsInCommitmentInfo"));

    let space =
        Command::SetGlobals { stake_threshold_rao: None, commit_reveal_version: None, max_commitment_space: Some(250) };
    net.admin().apply(vec![space]).unwrap();
    // To the beginning of an epoch: (block + 98) is a multiple of 11 then.
    let start = (net.admin().best_block().number + 98).div_ceil(11) * 11 - 98;
    net.admin().produce_until(start).unwrap();
    set_commitment(&client, &dev::bob(), vec![raw(&[7; 120])]).await.events();
    set_commitment(&client, &dev::bob(), vec![raw(b"charged 100")]).await.events();
    let outcome = set_commitment(&client, &dev::bob(), vec![raw(b"charged 100")]).await;
    assert_eq!(outcome, failed("Commitments::SpaceLimitExceeded"));
    // Another hotkey has a quota of its own.
    set_commitment(&client, &dev::charlie(), vec![raw(b"charged 100")]).await.events();
    // The next epoch begins anew.
    net.admin().produce_until(start + 11).unwrap();
    set_commitment(&client, &dev::bob(), vec![raw(b"charged 100")]).await.events();
}

#[tokio::test]
async fn the_largest_ciphertext_fits_and_a_larger_one_does_not_decode() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let most = timelock::MAX_COMMITMENT_CIPHERTEXT_BYTES;
    set_commitment(&client, &dev::bob(), vec![timelocked(&vec![1; most], 1)]).await.events();
    let outcome = set_commitment(&client, &dev::charlie(), vec![timelocked(&vec![1; most + 1], 1)]).await;
    assert!(format!("{outcome:?}").contains("Verification Error"), "{outcome:?}");
}

/// Commits a text that the next block but one reveals.
async fn commit_text(net: &DevNet, client: &Client, signer: &Keypair, text: &str) -> u64 {
    let round = net.admin().drand_round() + 1;
    let sealed = seal(&timelock::commitment_payload(text).unwrap(), round, &net.admin().drand_public_key());
    set_commitment(client, signer, vec![timelocked(&sealed, round)]).await.events();
    round
}

#[tokio::test]
async fn a_timelocked_commitment_is_revealed_with_its_round() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let bob = dev::bob();
    let text = r#"{"model":"alice/qwen-4b"}"#;
    let payload = timelock::commitment_payload(text).unwrap();
    let round = net.admin().drand_round() + 10;
    let sealed = seal(&payload, round, &net.admin().drand_public_key());
    let events = set_commitment(&client, &bob, vec![timelocked(&sealed, round)]).await.events();
    assert_eq!(events[0], "Commitments.TimelockCommitment");
    let commit_block = net.admin().best_block().number;
    assert!(stored(&client, "Commitments", "TimelockedIndex", vec![]).await.unwrap().len() > 1);

    // Four rounds a block: the commit's block stores the fourth, the third block after it the tenth and more.
    net.admin().produce_until(commit_block + 2).unwrap();
    assert_eq!(revealed(&client, &bob).await, []);
    net.admin().produce_blocks(1).unwrap();
    let reveal_block = commit_block + 3;
    assert_eq!(revealed(&client, &bob).await, [(payload.clone(), reveal_block)]);
    assert_eq!(timelock::commitment_text(&payload), text.as_bytes());
    // What is revealed is not pending any more.
    assert_eq!(stored(&client, "Commitments", "CommitmentOf", keys(&bob)).await, None);
    assert_eq!(stored(&client, "Commitments", "TimelockedIndex", vec![]).await.unwrap(), [0]);
    // The pulse is the beacon's signature, as anybody can check.
    let pulse = stored(&client, "Drand", "Pulses", vec![number(round)]).await.unwrap();
    let (of_round, _, signature) = <(u64, Vec<u8>, Vec<u8>)>::decode(&mut &pulse[..]).unwrap();
    assert_eq!(of_round, round);
    let signature = timelock::BeaconSignature::from_bytes(&signature.try_into().unwrap()).unwrap();
    net.admin().drand_public_key().verify(round, &signature).unwrap();
}

#[tokio::test]
async fn the_newest_ten_reveals_are_kept() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    for number in 0..12 {
        commit_text(&net, &client, &dev::bob(), &format!("text {number}")).await;
        net.admin().produce_blocks(1).unwrap();
    }
    let entries = revealed(&client, &dev::bob()).await;
    let texts: Vec<String> = entries
        .iter()
        .map(|(bytes, _)| String::from_utf8(timelock::commitment_text(bytes).to_vec()).unwrap())
        .collect();
    assert_eq!(texts, (2..12).map(|number| format!("text {number}")).collect::<Vec<_>>());
    assert!(entries.is_sorted_by_key(|(_, block)| *block), "the oldest comes first");
}

/// A miner that commits X-A-X at once, has X-A pushed out, and would have B count.
#[tokio::test]
async fn b3_three_fields_of_one_commitment_do_not_make_room_for_another_submission() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let bob = dev::bob();
    let model = |name: &str| format!(r#"{{"model":"bob/{name}","revision":"{}"}}"#, "0a".repeat(20));
    let entries = async || -> Vec<RevealedEntry> {
        let raw = revealed(&client, &bob).await;
        raw.into_iter().map(|(bytes, reveal_block)| RevealedEntry { reveal_block, bytes }).collect()
    };
    let round = net.admin().drand_round() + 1;
    let key = net.admin().drand_public_key();
    let fields = ["x", &model("a"), "x"].map(|text| timelocked(&seal(text.as_bytes(), round, &key), round));
    set_commitment(&client, &bob, fields.to_vec()).await.events();
    net.admin().produce_blocks(1).unwrap();
    let before = entries().await;
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|entry| entry.reveal_block == before[0].reveal_block), "{before:?}");
    assert_eq!(select_submission(&before, 0, None).unwrap().commitment.model.to_string(), "bob/a");

    for text in [model("b")].into_iter().chain((0..8).map(|number| format!("more {number}"))) {
        commit_text(&net, &client, &bob, &text).await;
        net.admin().produce_blocks(1).unwrap();
    }
    let after = entries().await;
    assert_eq!((after.len(), &after[0]), (KEPT_REVEALS, &before[0]), "it begins with the other copy");
    assert_eq!(select_submission(&after, 0, oldest_for_certain(&before)), Err(NotEligible::HistoryTrimmed));
}

#[tokio::test]
async fn committing_again_before_the_reveal_loses_the_first() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let round = net.admin().drand_round() + 40;
    let key = net.admin().drand_public_key();
    for text in [&b"first"[..], b"second"] {
        set_commitment(&client, &dev::bob(), vec![timelocked(&seal(text, round, &key), round)]).await.events();
    }
    // Charlie's open one takes the timelocked one out of the index.
    let lost = vec![timelocked(&seal(b"lost", round, &key), round)];
    set_commitment(&client, &dev::charlie(), lost).await.events();
    set_commitment(&client, &dev::charlie(), vec![raw(b"open")]).await.events();
    net.admin().produce_blocks(15).unwrap();
    let entries = revealed(&client, &dev::bob()).await;
    assert_eq!(entries.iter().map(|entry| &entry.0[..]).collect::<Vec<_>>(), [b"second"]);
    assert_eq!(revealed(&client, &dev::charlie()).await, []);
    assert!(stored(&client, "Commitments", "CommitmentOf", keys(&dev::charlie())).await.is_some());
}

#[tokio::test]
async fn what_does_not_open_is_lost_and_a_missing_round_is_waited_for() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let round = net.admin().drand_round() + 10;
    let key = net.admin().drand_public_key();
    net.admin().skip_round(round + 1);
    // Encrypted for another round than is said.
    let other = seal(b"other", round + 5, &key);
    set_commitment(&client, &dev::bob(), vec![timelocked(&other, round), raw(b"stays")]).await.events();
    let waiting = seal(b"waiting", round + 1, &key);
    set_commitment(&client, &dev::charlie(), vec![timelocked(&waiting, round + 1)]).await.events();
    net.admin().produce_blocks(30).unwrap();
    assert_eq!(revealed(&client, &dev::bob()).await, []);
    let left = stored(&client, "Commitments", "CommitmentOf", keys(&dev::bob())).await.unwrap();
    assert!(left.ends_with(&[1 << 2, 6, b's', b't', b'a', b'y', b's']), "one field is left");
    assert_eq!(revealed(&client, &dev::charlie()).await, []);
    assert!(stored(&client, "Commitments", "CommitmentOf", keys(&dev::charlie())).await.is_some());
}

#[tokio::test]
async fn after_a_jump_in_time_nothing_that_waits_is_forgotten() {
    let net = with_neurons(settings(), open_subnet());
    let client = connect(&net).await;
    let round = net.admin().drand_round() + 1_000;
    let sealed = seal(b"patience", round, &net.admin().drand_public_key());
    set_commitment(&client, &dev::bob(), vec![timelocked(&sealed, round)]).await.events();
    // Ten days: 288,000 rounds.
    let before = net.admin().time_ms();
    net.admin().advance_time(10 * 86_400_000);
    net.admin().produce_blocks(2).unwrap();
    assert_eq!(net.admin().time_ms(), before + 10 * 86_400_000 + 24_000);
    assert_eq!(revealed(&client, &dev::bob()).await[0].0, b"patience");
}
