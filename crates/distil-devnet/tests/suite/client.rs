//! A generic client: subxt with its dynamic interface and nothing generated.

use distil_chain::timelock::{self, BeaconPublicKey, Randomness};
use distil_devnet::{BlockProduction, DevNet, DevNetSettings, Hyperparameters, Neuron};
use distil_types::{Hotkey, NetUid, Uid};
use subxt::backend::LegacyBackend;
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::dynamic::Value;
use subxt::error::{DispatchError, TransactionEventsError};
use subxt::rpcs::RpcClient;
use subxt::{OnlineClient, PolkadotConfig};
use subxt_signer::sr25519::{Keypair, dev};

pub(crate) const NETUID: NetUid = NetUid(97);

pub(crate) type Client = OnlineClient<PolkadotConfig>;

/// One block for each transaction.
pub(crate) fn settings() -> DevNetSettings {
    DevNetSettings { production: BlockProduction::OnTransaction, ..DevNetSettings::default() }
}

pub(crate) fn hotkey(signer: &Keypair) -> Hotkey {
    Hotkey::from_account_id(signer.public_key().0)
}

/// No limits but those a test is about.
pub(crate) fn open_subnet() -> Hyperparameters {
    Hyperparameters {
        tempo: Some(10),
        min_allowed_weights: Some(1),
        weights_rate_limit: Some(0),
        commit_reveal: Some(false),
        ..Hyperparameters::default()
    }
}

/// A subnet with Alice as its validator (UID 0), and Bob and Charlie as miners (1 and 2).
pub(crate) fn with_neurons(settings: DevNetSettings, parameters: Hyperparameters) -> DevNet {
    let net = DevNet::start(settings).unwrap();
    net.admin().register_subnet(NETUID, parameters).unwrap();
    let neurons = [
        Neuron::validator(hotkey(&dev::alice())),
        Neuron::miner(hotkey(&dev::bob())),
        Neuron::miner(hotkey(&dev::charlie())),
    ];
    assert_eq!(net.admin().register_neurons(NETUID, neurons).unwrap(), [Uid(0), Uid(1), Uid(2)]);
    net
}

pub(crate) async fn connect(net: &DevNet) -> Client {
    let rpc = RpcClient::from_insecure_url(net.endpoint()).await.unwrap();
    Client::from_backend(LegacyBackend::builder().build(rpc).into()).await.unwrap()
}

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The events, as `Pallet.Event`.
    Success(Vec<String>),
    /// The error, as `Pallet::Error`.
    Failed(String),
    /// The pool's words.
    Refused(String),
}

impl Outcome {
    #[track_caller]
    pub(crate) fn events(self) -> Vec<String> {
        match self {
            Outcome::Success(events) => events,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn failed(error: &str) -> Outcome {
    Outcome::Failed(error.to_owned())
}

/// Signs a call with a fresh nonce, submits it, waits until it is final, and says what became of it.
pub(crate) async fn submit(
    client: &Client,
    signer: &Keypair,
    pallet: &str,
    call: &str,
    arguments: Vec<Value>,
) -> Outcome {
    let at = client.at_current_block().await.unwrap();
    let payload = subxt::dynamic::tx(pallet, call, arguments);
    let parameters = DefaultExtrinsicParamsBuilder::new().mortal(64).build();
    let mut transactions = at.transactions();
    let progress = match transactions.sign_and_submit_then_watch(&payload, signer, parameters).await {
        Ok(progress) => progress,
        Err(error) => return Outcome::Refused(format!("{error:?}")),
    };
    let block = progress.wait_for_finalized().await.unwrap();
    match block.wait_for_success().await {
        Ok(events) => {
            let name = |event: Result<subxt::events::Event<'_, PolkadotConfig>, _>| {
                let event = event.unwrap();
                format!("{}.{}", event.pallet_name(), event.event_name())
            };
            Outcome::Success(events.iter().map(name).collect())
        }
        Err(TransactionEventsError::ExtrinsicFailed(DispatchError::Module(error))) => {
            Outcome::Failed(error.details_string())
        }
        Err(TransactionEventsError::ExtrinsicFailed(error)) => Outcome::Failed(error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

fn numbers(values: &[u16]) -> Value {
    Value::unnamed_composite(values.iter().map(|value| Value::u128((*value).into())))
}

pub(crate) fn number(value: impl Into<u128>) -> Value {
    Value::u128(value.into())
}

/// `set_weights`.
pub(crate) async fn set_weights(
    client: &Client,
    signer: &Keypair,
    uids: &[u16],
    weights: &[u16],
    version: u64,
) -> Outcome {
    let arguments = vec![number(NETUID.0), numbers(uids), numbers(weights), number(version)];
    submit(client, signer, "SubtensorModule", "set_weights", arguments).await
}

pub(crate) fn row_arguments(netuid: u16, uids: &[u16], values: &[u16], salt: &[u16], version: u64) -> Vec<Value> {
    vec![number(netuid), numbers(uids), numbers(values), numbers(salt), number(version)]
}

/// `commit_timelocked_weights`.
pub(crate) async fn commit_timelocked(
    client: &Client,
    signer: &Keypair,
    commit: &[u8],
    round: u64,
    version: u16,
) -> Outcome {
    let arguments = vec![number(NETUID.0), Value::from_bytes(commit), number(round), number(version)];
    submit(client, signer, "SubtensorModule", "commit_timelocked_weights", arguments).await
}

/// `set_commitment` with these fields.
pub(crate) async fn set_commitment(client: &Client, signer: &Keypair, fields: Vec<Value>) -> Outcome {
    let info = Value::named_composite([("fields", Value::unnamed_composite(fields))]);
    submit(client, signer, "Commitments", "set_commitment", vec![number(NETUID.0), info]).await
}

pub(crate) fn raw(bytes: &[u8]) -> Value {
    Value::unnamed_variant(format!("Raw{}", bytes.len()), [Value::from_bytes(bytes)])
}

pub(crate) fn timelocked(encrypted: &[u8], round: u64) -> Value {
    let fields = [("encrypted", Value::from_bytes(encrypted)), ("reveal_round", number(round))];
    Value::named_variant("TimelockEncrypted", fields)
}

/// Encrypts for a round, always with the same randomness.
pub(crate) fn seal(plaintext: &[u8], round: u64, key: &BeaconPublicKey) -> Vec<u8> {
    let randomness = Randomness::from_bytes(&[7; Randomness::BYTES]);
    timelock::encrypt(plaintext, round, key, randomness).unwrap()
}

/// A value of storage, as bytes.
pub(crate) async fn stored(client: &Client, pallet: &str, entry: &str, keys: Vec<Value>) -> Option<Vec<u8>> {
    let at = client.at_current_block().await.unwrap();
    let address = subxt::dynamic::storage::<Vec<Value>, Value>(pallet, entry);
    at.storage().try_fetch(address, keys).await.unwrap().map(|value| value.into_bytes())
}

pub(crate) async fn stored_as<T: parity_scale_codec::Decode>(
    client: &Client,
    pallet: &str,
    entry: &str,
    keys: Vec<Value>,
) -> Option<T> {
    let bytes = stored(client, pallet, entry, keys).await?;
    let mut input = &bytes[..];
    let value = T::decode(&mut input).unwrap();
    assert!(input.is_empty(), "{pallet}.{entry} has {} bytes more", input.len());
    Some(value)
}
