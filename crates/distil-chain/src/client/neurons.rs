//! Neurons and parameters: in one call of the runtime where it has one, by iterating storage where it has not.

use super::ChainError;
use super::connection::{ClientAt, Connection};
use super::error::shortened;
use super::snapshot::{NeuronInfo, SubnetParameters};
use super::storage::{self, SUBTENSOR, block_ref, decoded, failed, unsupported};
use distil_types::{Hotkey, NetUid, Uid};
use std::collections::BTreeMap;
use subxt::ext::scale_decode::{DecodeAsType, IntoVisitor};

/// No subnet has more seats.
const MAX_NEURONS: usize = 4096;
const API: &str = "SubnetInfoRuntimeApi";
const CUTOFF: &str = "ActivityCutoff";
const METHOD: &str = "get_selective_metagraph";

/// The positions of the fields of [`Metagraph`] in the runtime's struct.
pub(super) const FIELDS: [u16; 15] = [8, 24, 26, 27, 28, 30, 46, 47, 52, 53, 57, 59, 62, 66, 69];

/// What is needed of the runtime's metagraph; further fields do not matter, whatever they are.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct Metagraph {
    tempo: Option<u16>,
    min_allowed_weights: Option<u16>,
    weights_version: Option<u64>,
    weights_rate_limit: Option<u64>,
    activity_cutoff: Option<u16>,
    num_uids: Option<u16>,
    commit_reveal_weights_enabled: Option<bool>,
    commit_reveal_period: Option<u64>,
    hotkeys: Option<Vec<[u8; 32]>>,
    coldkeys: Option<Vec<[u8; 32]>>,
    validator_permit: Option<Vec<bool>>,
    last_update: Option<Vec<u64>>,
    incentives: Option<Vec<u16>>,
    block_at_registration: Option<Vec<u64>>,
    total_stake: Option<Vec<u64>>,
}

pub(super) async fn read(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
) -> Result<(SubnetParameters, Vec<NeuronInfo>), ChainError> {
    let api = at.metadata_ref().runtime_api_trait_by_name(API);
    if api.is_some_and(|api| api.method_by_name(METHOD).is_some()) {
        by_runtime_api(connection, at, netuid).await
    } else {
        by_storage(connection, at, netuid).await
    }
}

async fn by_runtime_api(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
) -> Result<(SubnetParameters, Vec<NeuronInfo>), ChainError> {
    let answer: Option<Metagraph> = storage::call(connection, at, (API, METHOD), (netuid.0, FIELDS.to_vec())).await?;
    from_metagraph(answer.ok_or(ChainError::NoSubnet { netuid, block: block_ref(at) })?)
}

fn malformed(problem: String) -> ChainError {
    ChainError::Malformed { what: "the metagraph", problem }
}

fn from_metagraph(graph: Metagraph) -> Result<(SubnetParameters, Vec<NeuronInfo>), ChainError> {
    fn given<T>(field: &str, value: Option<T>) -> Result<T, ChainError> {
        value.ok_or_else(|| malformed(format!("{field} was asked for and is not there")))
    }
    fn column<T>(field: &str, values: Option<Vec<T>>, seats: usize) -> Result<Vec<T>, ChainError> {
        let values = given(field, values)?;
        if values.len() != seats {
            return Err(malformed(format!("{field} has {} values for {seats} seats", values.len())));
        }
        Ok(values)
    }
    let seats = usize::from(given("num_uids", graph.num_uids)?);
    if seats > MAX_NEURONS {
        return Err(malformed(format!("it has {seats} seats, more than the {MAX_NEURONS} that there can be")));
    }
    let parameters = SubnetParameters {
        tempo: given("tempo", graph.tempo)?,
        min_allowed_weights: given("min_allowed_weights", graph.min_allowed_weights)?,
        weights_version: given("weights_version", graph.weights_version)?,
        weights_rate_limit_blocks: given("weights_rate_limit", graph.weights_rate_limit)?,
        activity_cutoff_blocks: graph.activity_cutoff,
        commit_reveal: given("commit_reveal_weights_enabled", graph.commit_reveal_weights_enabled)?,
        commit_reveal_period_epochs: given("commit_reveal_period", graph.commit_reveal_period)?,
    };
    let hotkeys = column("hotkeys", graph.hotkeys, seats)?;
    let coldkeys = column("coldkeys", graph.coldkeys, seats)?;
    let permits = column("validator_permit", graph.validator_permit, seats)?;
    let updates = column("last_update", graph.last_update, seats)?;
    let incentives = column("incentives", graph.incentives, seats)?;
    let registered = column("block_at_registration", graph.block_at_registration, seats)?;
    let stakes = column("total_stake", graph.total_stake, seats)?;
    let neuron = |uid: u16| {
        let at = usize::from(uid);
        NeuronInfo {
            uid: Uid(uid),
            hotkey: Hotkey::from_account_id(hotkeys[at]),
            coldkey: Hotkey::from_account_id(coldkeys[at]),
            registration_block: registered[at],
            validator_permit: permits[at],
            stake_rao: stakes[at],
            incentive: incentives[at],
            last_update_block: updates[at],
        }
    };
    Ok((parameters, (0..seats as u16).map(neuron).collect()))
}

/// Reads one value of the subnet, or the one that the chain has for all that were never set.
async fn value<T: DecodeAsType + IntoVisitor>(
    connection: &Connection,
    at: &ClientAt,
    entry: &'static str,
    netuid: NetUid,
) -> Result<T, ChainError> {
    storage::fetch(connection, at, SUBTENSOR, entry, (netuid.0,)).await
}

async fn by_uid<T: DecodeAsType + IntoVisitor>(
    connection: &Connection,
    at: &ClientAt,
    entry: &'static str,
    netuid: NetUid,
) -> Result<BTreeMap<u16, T>, ChainError> {
    let address = subxt::dynamic::storage::<(u16, u16), T>(SUBTENSOR, entry);
    let mut listed =
        at.storage().iter(address, (netuid.0,)).await.map_err(|error| failed(connection, at, entry, &error))?;
    let mut found = BTreeMap::new();
    while let Some(item) = listed.next().await {
        let item = item.map_err(|error| connection.explain(entry, &error))?;
        let key =
            item.key().map_err(|error| malformed(format!("a key of {entry}: {}", shortened(&error.to_string()))))?;
        let (_, uid) = key.decode().map_err(|error| unsupported(at, &error))?;
        found.insert(uid, decoded(at, entry, item.value())?);
        if found.len() > MAX_NEURONS {
            return Err(malformed(format!("{entry} has more than {MAX_NEURONS} seats")));
        }
    }
    Ok(found)
}

/// Values at these keys, in one request.
async fn values_at(
    connection: &Connection,
    at: &ClientAt,
    keys: Vec<Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ChainError> {
    let asked = connection.methods.state_query_storage_at(keys.iter().map(|key| &key[..]), Some(at.block_hash())).await;
    let changes = asked.map_err(|error| connection.explain("values of storage", &error))?;
    let pairs = changes.into_iter().flat_map(|set| set.changes);
    Ok(pairs.filter_map(|(key, value)| Some((key.0, value?.0))).collect())
}

async fn by_storage(
    connection: &Connection,
    at: &ClientAt,
    netuid: NetUid,
) -> Result<(SubnetParameters, Vec<NeuronInfo>), ChainError> {
    let exists: bool = value(connection, at, "NetworksAdded", netuid).await?;
    if !exists {
        return Err(ChainError::NoSubnet { netuid, block: block_ref(at) });
    }
    let parameters = SubnetParameters {
        tempo: value(connection, at, "Tempo", netuid).await?,
        min_allowed_weights: value(connection, at, "MinAllowedWeights", netuid).await?,
        weights_version: value(connection, at, "WeightsVersionKey", netuid).await?,
        weights_rate_limit_blocks: value(connection, at, "WeightsSetRateLimit", netuid).await?,
        activity_cutoff_blocks: match storage::exists(at, SUBTENSOR, CUTOFF) {
            true => Some(value(connection, at, CUTOFF, netuid).await?),
            false => None,
        },
        commit_reveal: value(connection, at, "CommitRevealWeightsEnabled", netuid).await?,
        commit_reveal_period_epochs: value(connection, at, "RevealPeriodEpochs", netuid).await?,
    };
    let hotkeys: BTreeMap<u16, [u8; 32]> = by_uid(connection, at, "Keys", netuid).await?;
    let registered: BTreeMap<u16, u64> = by_uid(connection, at, "BlockAtRegistration", netuid).await?;
    let permits: Vec<bool> = value(connection, at, "ValidatorPermit", netuid).await?;
    let updates: Vec<u64> = value(connection, at, "LastUpdate", netuid).await?;
    let incentives: Vec<u16> = value(connection, at, "Incentive", netuid).await?;

    let storage = at.storage();
    let unknown = |error| unsupported(at, &error);
    let owner = storage.entry(subxt::dynamic::storage::<([u8; 32],), [u8; 32]>(SUBTENSOR, "Owner")).map_err(unknown)?;
    let alpha = subxt::dynamic::storage::<([u8; 32], u16), u64>(SUBTENSOR, "TotalHotkeyAlpha");
    let alpha = storage.entry(alpha).map_err(unknown)?;
    let mut keys = Vec::new();
    for hotkey in hotkeys.values() {
        keys.push(owner.fetch_key((*hotkey,)).map_err(unknown)?);
        keys.push(alpha.fetch_key((*hotkey, netuid.0)).map_err(unknown)?);
    }
    let stored = values_at(connection, at, keys.clone()).await?;

    let mut neurons = Vec::with_capacity(hotkeys.len());
    for ((uid, hotkey), keys) in hotkeys.into_iter().zip(keys.chunks_exact(2)) {
        let position = usize::from(uid);
        let missing = |what: &str| malformed(format!("UID {uid} has no {what}"));
        let coldkey = stored.get(&keys[0]).and_then(|bytes| <[u8; 32]>::try_from(&bytes[..]).ok());
        let stake = match stored.get(&keys[1]) {
            // Entries without stake are not kept.
            None => 0,
            Some(bytes) => u64::from_le_bytes(bytes[..].try_into().map_err(|_| missing("stake of eight bytes"))?),
        };
        neurons.push(NeuronInfo {
            uid: Uid(uid),
            hotkey: Hotkey::from_account_id(hotkey),
            coldkey: Hotkey::from_account_id(coldkey.ok_or_else(|| missing("owner"))?),
            registration_block: *registered.get(&uid).ok_or_else(|| missing("block of registration"))?,
            validator_permit: *permits.get(position).ok_or_else(|| missing("validator permit"))?,
            stake_rao: stake,
            incentive: *incentives.get(position).ok_or_else(|| missing("incentive"))?,
            last_update_block: *updates.get(position).ok_or_else(|| missing("last update"))?,
        });
    }
    Ok((parameters, neurons))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChainSettings;
    use subxt::rpcs::RpcClient;
    use subxt::rpcs::client::{RawRpcFuture, RawRpcSubscription, RawValue, RpcClientT};

    fn graph(seats: usize) -> Metagraph {
        Metagraph {
            tempo: Some(360),
            min_allowed_weights: Some(1),
            weights_version: Some(0),
            weights_rate_limit: Some(100),
            activity_cutoff: Some(5000),
            num_uids: Some(seats as u16),
            commit_reveal_weights_enabled: Some(true),
            commit_reveal_period: Some(1),
            hotkeys: Some(vec![[1; 32]; seats]),
            coldkeys: Some(vec![[2; 32]; seats]),
            validator_permit: Some(vec![false; seats]),
            last_update: Some(vec![0; seats]),
            incentives: Some(vec![0; seats]),
            block_at_registration: Some(vec![0; seats]),
            total_stake: Some(vec![0; seats]),
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_refused_by_name() {
        assert_eq!(from_metagraph(graph(MAX_NEURONS)).unwrap().1.len(), MAX_NEURONS);
        let problem = |graph| from_metagraph(graph).unwrap_err().to_string();
        assert!(problem(graph(MAX_NEURONS + 1)).contains("4097 seats"));
        assert!(problem(Metagraph { tempo: None, ..graph(3) }).contains("tempo was asked for"));
        assert!(problem(Metagraph { coldkeys: Some(vec![]), ..graph(3) }).contains("coldkeys has 0 values for 3"));
        assert!(problem(Metagraph { num_uids: Some(4), ..graph(3) }).contains("hotkeys has 3 values for 4"));
    }

    /// A node that answers every request for values with two bytes each.
    struct ShortValues(RpcClient);

    impl RpcClientT for ShortValues {
        fn request_raw<'a>(
            &'a self,
            method: &'a str,
            params: Option<Box<RawValue>>,
        ) -> RawRpcFuture<'a, Box<RawValue>> {
            Box::pin(async move {
                let answer = self.0.request_raw(method, params).await?;
                if method != "state_queryStorageAt" {
                    return Ok(answer);
                }
                let mut sets: serde_json::Value = serde_json::from_str(answer.get()).unwrap();
                for change in sets.as_array_mut().unwrap().iter_mut().flat_map(|set| set["changes"].as_array_mut()) {
                    change.iter_mut().for_each(|pair| pair[1] = "0x0102".into());
                }
                Ok(RawValue::from_string(sets.to_string()).unwrap())
            })
        }

        fn subscribe_raw<'a>(
            &'a self,
            subscription: &'a str,
            params: Option<Box<RawValue>>,
            unsubscription: &'a str,
        ) -> RawRpcFuture<'a, RawRpcSubscription> {
            Box::pin(async move { self.0.subscribe_raw(subscription, params, unsubscription).await })
        }
    }

    #[tokio::test]
    async fn values_that_do_not_decode_are_a_bad_answer_and_no_other_runtime() {
        use distil_devnet::{DevNet, DevNetSettings, Hyperparameters, Neuron};
        let net = DevNet::start(DevNetSettings { selective_metagraph: false, ..DevNetSettings::default() }).unwrap();
        net.admin().register_subnet(NetUid(97), Hyperparameters::default()).unwrap();
        net.admin().register_neurons(NetUid(97), [Neuron::miner(Hotkey::from_account_id([1; 32]))]).unwrap();
        let settings = ChainSettings::new(vec![net.endpoint().parse().unwrap()], 1);
        let rpc = RpcClient::from_insecure_url(net.endpoint()).await.unwrap();
        let connection = Connection::over(RpcClient::new(ShortValues(rpc)), &settings, net.endpoint()).await.unwrap();
        let at = connection.at_finalized().await.unwrap();
        let error = read(&connection, &at, NetUid(97)).await.unwrap_err();
        assert!(matches!(error, ChainError::Malformed { .. }) && error.is_transient(), "{error}");
    }
}
