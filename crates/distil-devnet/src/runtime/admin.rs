//! The operator's commands.

use super::BlockExecution;
use crate::command::{Command, Hyperparameters, Neuron, NeuronChange};
use crate::pallets::{commitments, subtensor as s};
use crate::settings::EpochModel;
use crate::state::{Defaulted, Entry};
use crate::types::account::AccountId32;
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

/// The seat that a registration got, or why a command cannot be carried out.
pub(crate) type CommandResult = Result<Option<u16>, String>;

/// A vector with one element for each neuron.
type PerNeuron<T> = Entry<(u16,), Vec<T>, Defaulted<Vec<T>>>;

impl BlockExecution<'_> {
    /// Carries out one command; nothing changes where it fails.
    pub(crate) fn command(&mut self, command: &Command) -> CommandResult {
        let result = self.try_command(command);
        if result.is_ok() {
            self.commit()
        } else {
            self.roll_back()
        }
        result
    }

    fn try_command(&mut self, command: &Command) -> CommandResult {
        match command {
            Command::RegisterSubnet { netuid, owner, parameters } => {
                self.register_subnet(netuid.0, owner.map(AccountId32::from), parameters)?;
            }
            Command::RegisterNeuron { netuid, neuron, replaces } => {
                return self.register_neuron(netuid.0, neuron, replaces.map(|uid| uid.0)).map(Some);
            }
            Command::SetNeuron { netuid, uid, change } => self.set_neuron(netuid.0, uid.0, change)?,
            Command::SetHyperparameters { netuid, parameters } => {
                self.need_subnet(netuid.0)?;
                self.set_hyperparameters(netuid.0, parameters)?;
            }
            Command::SetGlobals { stake_threshold_rao, commit_reveal_version, max_commitment_space } => {
                if let Some(threshold) = stake_threshold_rao {
                    s::STAKE_THRESHOLD.put(&mut self.storage, (), threshold);
                }
                if let Some(version) = commit_reveal_version {
                    s::COMMIT_REVEAL_WEIGHTS_VERSION.put(&mut self.storage, (), version);
                }
                if let Some(space) = max_commitment_space {
                    commitments::MAX_SPACE.put(&mut self.storage, (), space);
                }
            }
            Command::Fund { account, amount_rao } => self.endow((*account).into(), *amount_rao),
            Command::TriggerEpoch { netuid, block } => {
                self.need_subnet(netuid.0)?;
                if self.runtime.epoch_model() != EpochModel::Stateful {
                    return Err("epochs of this chain follow from the block's number".to_owned());
                }
                if *block <= u64::from(self.number) {
                    return Err(format!("block {block} is not in the future"));
                }
                s::PENDING_EPOCH_AT.put(&mut self.storage, (netuid.0,), block);
            }
        }
        Ok(None)
    }

    /// The root network is there from the beginning. Nobody sets weights on it.
    pub(crate) fn begin_root(&mut self) {
        let storage = &mut self.storage;
        s::NETWORKS_ADDED.put(storage, (0,), &true);
        s::SUBNETWORK_N.put(storage, (0,), &0);
        s::COMMIT_REVEAL_WEIGHTS_ENABLED.put(storage, (0,), &false);
        s::TOTAL_NETWORKS.put(storage, (), &1);
    }

    fn need_subnet(&self, netuid: u16) -> Result<(), String> {
        if s::NETWORKS_ADDED.get(&self.storage, (netuid,)) {
            return Ok(());
        }
        Err(format!("there is no subnet {netuid}"))
    }

    fn register_subnet(
        &mut self,
        netuid: u16,
        owner: Option<AccountId32>,
        parameters: &Hyperparameters,
    ) -> Result<(), String> {
        if netuid == 0 || netuid >= s::MECHANISM_STRIDE {
            return Err(format!("netuid {netuid} is not from 1 to {}", s::MECHANISM_STRIDE - 1));
        }
        if s::NETWORKS_ADDED.get(&self.storage, (netuid,)) {
            return Err(format!("there already is a subnet {netuid}"));
        }
        let (key, block) = ((netuid,), u64::from(self.number));
        let storage = &mut self.storage;
        s::NETWORKS_ADDED.put(storage, key, &true);
        s::NETWORK_REGISTERED_AT.put(storage, key, &block);
        s::SUBNETWORK_N.put(storage, key, &0);
        s::MAX_ALLOWED_UIDS.put(storage, key, &256);
        s::MAX_ALLOWED_VALIDATORS.put(storage, key, &64);
        s::TEMPO.put(storage, key, &360);
        s::MIN_ALLOWED_WEIGHTS.put(storage, key, &1);
        s::WEIGHTS_SET_RATE_LIMIT.put(storage, key, &100);
        s::COMMIT_REVEAL_WEIGHTS_ENABLED.put(storage, key, &true);
        s::REVEAL_PERIOD_EPOCHS.put(storage, key, &1);
        if let Some(owner) = owner {
            s::SUBNET_OWNER.put(storage, key, &owner);
            s::SUBNET_OWNER_HOTKEY.put(storage, key, &owner);
        }
        let networks = s::TOTAL_NETWORKS.get(storage, ());
        s::TOTAL_NETWORKS.put(storage, (), &networks.saturating_add(1));
        self.set_hyperparameters(netuid, parameters)?;
        if self.runtime.epoch_model() == EpochModel::Stateful {
            // Subnets that are created together do not all end their epochs together.
            let tempo = u64::from(s::TEMPO.get(&self.storage, key)).max(1);
            let last = block.saturating_sub(u64::from(netuid) % tempo);
            s::LAST_EPOCH_BLOCK.put(&mut self.storage, key, &last);
            s::SUBNET_EPOCH_INDEX.put(&mut self.storage, key, &0);
        }
        self.deposit(s::Event::NetworkAdded(netuid, 0));
        Ok(())
    }

    fn set_hyperparameters(&mut self, netuid: u16, parameters: &Hyperparameters) -> Result<(), String> {
        let Hyperparameters {
            tempo,
            min_allowed_weights,
            weights_version_key,
            weights_rate_limit,
            commit_reveal,
            reveal_period_epochs,
            mechanisms,
            activity_cutoff,
            immunity_period,
        } = parameters;
        if reveal_period_epochs.is_some_and(|period| !(1..=100).contains(&period)) {
            return Err("reveal_period_epochs is not from 1 to 100".to_owned());
        }
        if mechanisms.is_some_and(|mechanisms| !(1..=8).contains(&mechanisms)) {
            return Err("mechanisms is not from 1 to 8".to_owned());
        }
        let key = (netuid,);
        let storage = &mut self.storage;
        if let Some(tempo) = tempo {
            s::TEMPO.put(storage, key, tempo);
        }
        if let Some(minimum) = min_allowed_weights {
            s::MIN_ALLOWED_WEIGHTS.put(storage, key, minimum);
        }
        if let Some(version_key) = weights_version_key {
            s::WEIGHTS_VERSION_KEY.put(storage, key, version_key);
        }
        if let Some(limit) = weights_rate_limit {
            s::WEIGHTS_SET_RATE_LIMIT.put(storage, key, limit);
        }
        if let Some(enabled) = commit_reveal {
            s::COMMIT_REVEAL_WEIGHTS_ENABLED.put(storage, key, enabled);
        }
        if let Some(period) = reveal_period_epochs {
            s::REVEAL_PERIOD_EPOCHS.put(storage, key, period);
        }
        if let Some(mechanisms) = mechanisms {
            s::MECHANISM_COUNT_CURRENT.put(storage, key, mechanisms);
        }
        if let Some(cutoff) = activity_cutoff {
            s::ACTIVITY_CUTOFF.put(storage, key, cutoff);
        }
        if let Some(period) = immunity_period {
            s::IMMUNITY_PERIOD.put(storage, key, period);
        }
        Ok(())
    }

    fn set_element<T>(&mut self, vector: &PerNeuron<T>, netuid: u16, uid: u16, value: T)
    where
        T: Clone + Default + Encode + Decode + TypeInfo + 'static,
        Vec<T>: Encode + Decode + TypeInfo,
    {
        let mut elements = vector.get(&self.storage, (netuid,));
        let neurons = usize::from(s::SUBNETWORK_N.get(&self.storage, (netuid,)));
        elements.resize(neurons, T::default());
        if let Some(element) = elements.get_mut(usize::from(uid)) {
            *element = value;
        }
        vector.put(&mut self.storage, (netuid,), &elements);
    }

    fn register_neuron(&mut self, netuid: u16, neuron: &Neuron, replaces: Option<u16>) -> Result<u16, String> {
        self.need_subnet(netuid)?;
        let hotkey = AccountId32::from(neuron.hotkey);
        let coldkey = AccountId32::from(neuron.coldkey);
        if let Some(uid) = s::UIDS.find(&self.storage, (netuid, hotkey)) {
            return Err(format!("{} is already registered, as UID {uid}", neuron.hotkey));
        }
        let block = u64::from(self.number);
        let neurons = s::SUBNETWORK_N.get(&self.storage, (netuid,));
        let uid = match replaces {
            None => {
                let most = s::MAX_ALLOWED_UIDS.get(&self.storage, (netuid,));
                if neurons >= most {
                    return Err(format!("all {most} seats are taken: say whose it gets"));
                }
                s::SUBNETWORK_N.put(&mut self.storage, (netuid,), &(neurons + 1));
                neurons
            }
            Some(uid) => {
                let gone = s::KEYS.find(&self.storage, (netuid, uid)).filter(|_| uid < neurons);
                let gone = gone.ok_or_else(|| format!("nobody has UID {uid}"))?;
                s::UIDS.remove(&mut self.storage, (netuid, gone));
                s::IS_NETWORK_MEMBER.remove(&mut self.storage, (gone, netuid));
                s::AXONS.remove(&mut self.storage, (netuid, gone));
                uid
            }
        };
        let storage = &mut self.storage;
        s::KEYS.put(storage, (netuid, uid), &hotkey);
        s::UIDS.put(storage, (netuid, hotkey), &uid);
        s::OWNER.put(storage, (hotkey,), &coldkey);
        s::IS_NETWORK_MEMBER.put(storage, (hotkey, netuid), &true);
        s::BLOCK_AT_REGISTRATION.put(storage, (netuid, uid), &block);
        s::TOTAL_HOTKEY_ALPHA.put(storage, (hotkey, netuid), &neuron.stake_rao);
        // Registration counts as an update, so that the rate limit holds from then on.
        let fresh = NeuronChange {
            stake_rao: None,
            validator_permit: Some(neuron.validator_permit),
            active: Some(true),
            incentive: Some(0),
            dividends: Some(0),
            emission_rao: Some(0),
            last_update: replaces.is_none().then_some(block),
        };
        self.set_neuron(netuid, uid, &fresh)?;
        self.deposit(s::Event::NeuronRegistered(netuid, uid, hotkey));
        Ok(uid)
    }

    fn set_neuron(&mut self, netuid: u16, uid: u16, change: &NeuronChange) -> Result<(), String> {
        self.need_subnet(netuid)?;
        let hotkey = s::KEYS.find(&self.storage, (netuid, uid)).ok_or_else(|| format!("nobody has UID {uid}"))?;
        let NeuronChange { stake_rao, validator_permit, active, incentive, dividends, emission_rao, last_update } =
            *change;
        if let Some(stake) = stake_rao {
            s::TOTAL_HOTKEY_ALPHA.put(&mut self.storage, (hotkey, netuid), &stake);
        }
        if let Some(permit) = validator_permit {
            self.set_element(&s::VALIDATOR_PERMIT, netuid, uid, permit);
        }
        if let Some(active) = active {
            self.set_element(&s::ACTIVE, netuid, uid, active);
        }
        if let Some(incentive) = incentive {
            self.set_element(&s::INCENTIVE, netuid, uid, incentive);
        }
        if let Some(dividends) = dividends {
            self.set_element(&s::DIVIDENDS, netuid, uid, dividends);
        }
        if let Some(emission) = emission_rao {
            self.set_element(&s::EMISSION, netuid, uid, emission);
        }
        if let Some(update) = last_update {
            self.set_element(&s::LAST_UPDATE, netuid, uid, update);
        }
        Ok(())
    }
}
