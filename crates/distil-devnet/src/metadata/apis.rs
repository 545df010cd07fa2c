//! The runtime APIs: what `state_call` answers.

use crate::pallets::RuntimeCall;
use crate::types::account::{AccountId32, Address, H256, MultiSignature};
use crate::types::dispatch::{TransactionSource, TransactionValidityError, ValidTransaction};
use crate::types::extrinsic::{Extra, UncheckedExtrinsic};
use crate::types::metagraph::SelectiveMetagraph;
use crate::types::neuron::NeuronInfoLite;
use crate::types::system::{OpaqueMetadata, RuntimeVersion};
use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest};
use scale_info::{MetaType, TypeInfo, meta_type};

/// What distinguishes one runtime from another, beside its indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuntimeFeatures {
    /// Epochs are counted in storage.
    pub(crate) stateful_epochs: bool,
    /// `get_selective_metagraph` is there.
    pub(crate) selective_metagraph: bool,
    pub(crate) block_time_ms: u64,
}

/// One runtime API, whatever version of metadata it goes into.
pub(super) struct Api {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) methods: Vec<Method>,
}

pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) inputs: Vec<(&'static str, MetaType)>,
    pub(super) output: MetaType,
}

fn method<Output: TypeInfo + ?Sized + 'static>(name: &'static str, inputs: &[(&'static str, MetaType)]) -> Method {
    Method { name, inputs: inputs.to_vec(), output: meta_type::<Output>() }
}

/// The extrinsic as clients see its type.
pub(super) type Extrinsic = UncheckedExtrinsic<Address, RuntimeCall, MultiSignature, Extra>;

pub(super) fn all(features: RuntimeFeatures) -> Vec<Api> {
    let netuid = ("netuid", meta_type::<u16>());
    let mut subnet = Vec::new();
    if features.selective_metagraph {
        subnet.push(method::<Option<SelectiveMetagraph>>(
            "get_selective_metagraph",
            &[netuid, ("metagraph_indexes", meta_type::<Vec<u16>>())],
        ));
    }
    if features.stateful_epochs {
        subnet.push(method::<Option<u64>>("get_next_epoch_start_block", &[netuid]));
    }
    let mut apis = vec![
        Api { name: "Core", version: 5, methods: vec![method::<RuntimeVersion>("version", &[])] },
        Api {
            name: "Metadata",
            version: 2,
            methods: vec![
                method::<OpaqueMetadata>("metadata", &[]),
                method::<Option<OpaqueMetadata>>("metadata_at_version", &[("version", meta_type::<u32>())]),
                method::<Vec<u32>>("metadata_versions", &[]),
            ],
        },
        Api {
            name: "TaggedTransactionQueue",
            version: 3,
            methods: vec![method::<Result<ValidTransaction, TransactionValidityError>>(
                "validate_transaction",
                &[
                    ("source", meta_type::<TransactionSource>()),
                    ("tx", meta_type::<Extrinsic>()),
                    ("block_hash", meta_type::<H256>()),
                ],
            )],
        },
        Api {
            name: "AccountNonceApi",
            version: 1,
            methods: vec![method::<u32>("account_nonce", &[("account", meta_type::<AccountId32>())])],
        },
        Api {
            name: "NeuronInfoRuntimeApi",
            version: 1,
            methods: vec![
                method::<Vec<NeuronInfoLite>>("get_neurons_lite", &[netuid]),
                method::<Option<NeuronInfoLite>>("get_neuron_lite", &[netuid, ("uid", meta_type::<u16>())]),
            ],
        },
    ];
    if !subnet.is_empty() {
        apis.push(Api { name: "SubnetInfoRuntimeApi", version: 1, methods: subnet });
    }
    apis
}

/// The runtime APIs as the runtime's version lists them.
pub(crate) fn api_versions(features: RuntimeFeatures) -> Vec<([u8; 8], u32)> {
    let id = |name: &str| Blake2b::<U8>::digest(name.as_bytes()).into();
    all(features).iter().map(|api| (id(api.name), api.version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_well_known_apis_come_out() {
        let features = RuntimeFeatures { stateful_epochs: false, selective_metagraph: true, block_time_ms: 12_000 };
        let ids = api_versions(features);
        // `Core` and `Metadata` on every Substrate chain.
        assert_eq!(ids[0].0, [0xdf, 0x6a, 0xcb, 0x68, 0x99, 0x07, 0x60, 0x9b]);
        assert_eq!(ids[1].0, [0x37, 0xe3, 0x97, 0xfc, 0x7c, 0x91, 0xf5, 0xe4]);
    }
}
