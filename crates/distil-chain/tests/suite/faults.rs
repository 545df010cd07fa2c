//! Signing while the connection fails, request after request.

use crate::chain::{NETUID, WAIT, client_settings, drand, moving, plan, signer, subnet};
use distil_chain::timelock::Randomness;
use distil_chain::{ChainClient, ChainSettings, WeightPlan, WeightsOptions, WeightsSigning};
use distil_devnet::{DevNet, DevNetSettings, Fault, FaultKind};
use distil_types::Uid;
use std::time::Duration;

/// More calls of the runtime than either operation makes.
const CALLS: u64 = 12;

fn impatient(net: &DevNet) -> ChainClient {
    let call_timeout = Duration::from_secs(1);
    ChainClient::new(ChainSettings { call_timeout, ..client_settings(&[net.endpoint()]) }).unwrap()
}

#[tokio::test]
async fn b4_a_commitment_survives_the_loss_of_any_call() {
    for lost in 0..CALLS {
        let net = subnet(moving());
        net.admin().order(Fault::new(FaultKind::Drop).on("state_call").after(lost).times(1));
        let plan = plan(&net, "alice/qwen-4b", 400);
        let committed = impatient(&net).commit(NETUID, &plan, &signer(1), WAIT, &mut |_| {}).await;
        committed.unwrap_or_else(|error| panic!("without call {lost}: {error}"));
    }
}

#[tokio::test]
async fn b4_weights_are_signed_whatever_call_is_lost() {
    let net = subnet(DevNetSettings::default());
    let drand = drand(&net);
    // Until the hotkey may set weights for the first time.
    net.admin().produce_blocks(10).unwrap();
    for fault in [FaultKind::Drop, FaultKind::NeverAnswer] {
        for lost in 0..CALLS {
            net.admin().clear_faults();
            net.admin().order(Fault::new(fault.clone()).on("state_call").after(lost).times(1));
            let (plan, options) = (WeightPlan::winner(Uid(2)), WeightsOptions::new(&drand));
            let randomness = Randomness::from_bytes(&[9; Randomness::BYTES]);
            let client = impatient(&net);
            let signing = client.sign_weights(NETUID, &plan, &signer(0), &options, randomness).await;
            let signing = signing.unwrap_or_else(|error| panic!("{fault:?} of call {lost}: {error}"));
            assert!(matches!(signing, WeightsSigning::Signed(_)), "{signing:?}");
        }
    }
}
