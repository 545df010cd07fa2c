//! The names that clients know types by.
//!
//! A type's path in the metadata is where it is defined. Some clients tell by it what a type is (an account, an era), so
//! our types go by the paths of the real runtime.

use scale_info::PortableRegistry;

/// The last two segments of our path, and the real path.
const PATHS: &[(&str, &str, &str)] = &[
    ("account", "AccountId32", "sp_core::crypto"),
    ("account", "H256", "primitive_types"),
    ("account", "MultiAddress", "sp_runtime::multiaddress"),
    ("account", "MultiSignature", "sp_runtime"),
    ("account", "ExtraFlags", "pallet_balances::types"),
    ("account", "AccountData", "pallet_balances::types"),
    ("account", "AccountInfo", "frame_system"),
    ("commitments", "CommitmentInfo", "pallet_commitments::types"),
    ("commitments", "Registration", "pallet_commitments::types"),
    ("commitments", "UsageTracker", "pallet_commitments::types"),
    ("dispatch", "ModuleError", "sp_runtime"),
    ("dispatch", "TokenError", "sp_runtime"),
    ("dispatch", "ArithmeticError", "sp_arithmetic"),
    ("dispatch", "TransactionalError", "sp_runtime"),
    ("dispatch", "DispatchError", "sp_runtime"),
    ("dispatch", "DispatchClass", "frame_support::dispatch"),
    ("dispatch", "Pays", "frame_support::dispatch"),
    ("dispatch", "Weight", "sp_weights::weight_v2"),
    ("dispatch", "DispatchEventInfo", "frame_system"),
    ("dispatch", "InvalidTransaction", "sp_runtime::transaction_validity"),
    ("dispatch", "UnknownTransaction", "sp_runtime::transaction_validity"),
    ("dispatch", "TransactionValidityError", "sp_runtime::transaction_validity"),
    ("dispatch", "TransactionSource", "sp_runtime::transaction_validity"),
    ("dispatch", "ValidTransaction", "sp_runtime::transaction_validity"),
    ("drand", "Pulse", "pallet_drand::types"),
    ("drand", "Metadata", "pallet_drand::types"),
    ("drand", "BeaconConfiguration", "pallet_drand::types"),
    ("extensions", "CheckNonZeroSender", "frame_system::extensions::check_non_zero_sender"),
    ("extensions", "CheckSpecVersion", "frame_system::extensions::check_spec_version"),
    ("extensions", "CheckTxVersion", "frame_system::extensions::check_tx_version"),
    ("extensions", "CheckGenesis", "frame_system::extensions::check_genesis"),
    ("extensions", "CheckMortality", "frame_system::extensions::check_mortality"),
    ("extensions", "CheckNonce", "node_subtensor_runtime::check_nonce"),
    ("extensions", "CheckWeight", "frame_system::extensions::check_weight"),
    ("extensions", "ChargeTransactionPayment", "pallet_transaction_payment"),
    ("extensions", "SudoTransactionExtension", "node_subtensor_runtime::sudo_wrapper"),
    ("extensions", "SubtensorTransactionExtension", "pallet_subtensor::transaction_extension"),
    ("extensions", "DrandPriority", "pallet_drand::drand_priority"),
    ("extensions", "Mode", "frame_metadata_hash_extension"),
    ("extensions", "CheckMetadataHash", "frame_metadata_hash_extension"),
    ("identity", "SubnetIdentityV3", "pallet_subtensor::pallet"),
    ("identity", "ChainIdentityV2", "pallet_subtensor::pallet"),
    ("metagraph", "FixedI128", "substrate_fixed"),
    ("metagraph", "SelectiveMetagraph", "pallet_subtensor::rpc_info::metagraph"),
    ("neuron", "AxonInfo", "pallet_subtensor::pallet"),
    ("neuron", "PrometheusInfo", "pallet_subtensor::pallet"),
    ("neuron", "NeuronInfoLite", "pallet_subtensor::rpc_info::neuron_info"),
    ("system", "DigestItem", "sp_runtime::generic::digest"),
    ("system", "Digest", "sp_runtime::generic::digest"),
    ("system", "Phase", "frame_system"),
    ("system", "EventRecord", "frame_system"),
    ("system", "LastRuntimeUpgradeInfo", "frame_system"),
    ("system", "RuntimeVersion", "sp_version"),
    ("system", "OpaqueMetadata", "sp_core"),
    ("system", "Call", "frame_system::pallet"),
    ("system", "Event", "frame_system::pallet"),
    ("system", "Error", "frame_system::pallet"),
    ("timestamp", "Call", "pallet_timestamp::pallet"),
    ("balances", "Call", "pallet_balances::pallet"),
    ("balances", "Event", "pallet_balances::pallet"),
    ("balances", "Error", "pallet_balances::pallet"),
    ("subtensor", "Call", "pallet_subtensor::pallet"),
    ("subtensor", "Event", "pallet_subtensor::pallet"),
    ("errors", "Error", "pallet_subtensor::pallet"),
    ("commitments", "Call", "pallet_commitments::pallet"),
    ("commitments", "Event", "pallet_commitments::pallet"),
    ("commitments", "Error", "pallet_commitments::pallet"),
    ("drand", "Event", "pallet_drand::pallet"),
    ("drand", "Error", "pallet_drand::pallet"),
    ("pallets", "RuntimeCall", "node_subtensor_runtime"),
    ("pallets", "RuntimeEvent", "node_subtensor_runtime"),
    ("pallets", "RuntimeError", "node_subtensor_runtime"),
];

/// Gives our types their real paths.
pub(super) fn apply(types: &mut PortableRegistry) {
    for entry in &mut types.types {
        let segments = &mut entry.ty.path.segments;
        let [.., module, name] = &segments[..] else { continue };
        if let Some((_, name, path)) = PATHS.iter().find(|(ours, item, _)| ours == module && item == name) {
            *segments = path.split("::").chain([*name]).map(str::to_owned).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metadata::{Layout, Metadata, RuntimeFeatures};
    use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
    use parity_scale_codec::Decode;

    #[test]
    fn no_type_goes_by_a_path_of_ours() {
        let features = RuntimeFeatures { stateful_epochs: true, selective_metagraph: true, block_time_ms: 12_000 };
        let metadata = Metadata::new(Layout::default(), features, &crate::runtime::version(365, features));
        let decoded = RuntimeMetadataPrefixed::decode(&mut metadata.bytes(16).unwrap()).unwrap();
        let RuntimeMetadata::V16(decoded) = decoded.1 else { panic!("another version") };
        for entry in &decoded.types.types {
            let path = entry.ty.path.segments.join("::");
            assert!(!path.contains("distil"), "{path}");
        }
    }
}
