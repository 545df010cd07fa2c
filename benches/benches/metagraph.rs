//! What a snapshot of a subnet of 256 neurons asks of a node: neurons and parameters in one call of the runtime, against
//! iterating over storage. The node is a devnet behind a WebSocket on loopback.
//!
//! ```sh
//! cargo bench -p distil-benches --bench metagraph [-- --neurons 256 --delay-ms 50]
//! ```
//!
//! Prints a table in Markdown: calls, bytes of requests and answers, milliseconds of a snapshot as it is and with every
//! answer delayed, and the ratios.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::{Duration, Instant};

use distil_chain::{Backoff, ChainClient, ChainSettings, Snapshot, SnapshotExpectation};
use distil_devnet::{DevNet, DevNetSettings, Fault, FaultKind, Hyperparameters, Neuron, RequestRecord};
use distil_types::{Hotkey, NetUid};

const NETUID: NetUid = NetUid(97);
const REPEATS: usize = 15;

/// One way of reading, measured.
struct Measured {
    snapshot: Snapshot,
    requests: Vec<RequestRecord>,
    milliseconds: f64,
    delayed_milliseconds: f64,
}

/// Requests, and the bytes of them and of their answers.
fn sum<'a>(requests: impl IntoIterator<Item = &'a RequestRecord>) -> (usize, usize) {
    requests.into_iter().fold((0, 0), |(calls, bytes), request| {
        (calls + 1, bytes + request.request_bytes + request.answer_bytes.unwrap_or(0))
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut neurons, mut delay_ms, mut is_bench) = (256_u16, 50_u64, false);
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        match name.as_str() {
            "--bench" => is_bench = true,
            "--neurons" => neurons = given.next().ok_or("--neurons needs a value")?.parse()?,
            "--delay-ms" => delay_ms = given.next().ok_or("--delay-ms needs a value")?.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    // `cargo test --benches` starts this too, and wants no measurement.
    if !is_bench {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let by_call = runtime.block_on(measure(neurons, delay_ms, true))?;
    let by_storage = runtime.block_on(measure(neurons, delay_ms, false))?;
    if by_call.snapshot.parameters != by_storage.snapshot.parameters
        || by_call.snapshot.neurons != by_storage.snapshot.neurons
    {
        return Err("the two ways do not read the same".into());
    }

    // All but the metagraph itself is the same in both: the block, the runtime's version, the commitments.
    let is_metagraph = |request: &&RequestRecord| request.method == "state_call";
    let metagraph = by_call.requests.iter().filter(is_metagraph).max_by_key(|request| request.answer_bytes);
    let (all_calls, all_bytes) = sum(&by_call.requests);
    let (calls, bytes) = sum(metagraph);
    let (storage_calls, storage_bytes) = sum(&by_storage.requests);
    let (other_calls, other_bytes) = (storage_calls - (all_calls - calls), storage_bytes - (all_bytes - bytes));
    println!("{neurons} neurons, medians of {REPEATS} snapshots\n");
    println!(
        "| neurons and parameters | calls | bytes | ms of a snapshot | ms with {delay_ms} ms a call |\n|---|---|---|---|---|"
    );
    let row = |name, calls, bytes, measured: &Measured| {
        println!(
            "| {name} | {calls} | {bytes} | {:.1} | {:.0} |",
            measured.milliseconds, measured.delayed_milliseconds
        );
    };
    row("one call of the runtime", calls, bytes, &by_call);
    row("storage", other_calls, other_bytes, &by_storage);
    println!(
        "| ratio | {:.1} | {:.1} | {:.1} | {:.1} |",
        other_calls as f64 / calls as f64,
        other_bytes as f64 / bytes as f64,
        by_storage.milliseconds / by_call.milliseconds,
        by_storage.delayed_milliseconds / by_call.delayed_milliseconds
    );
    println!("\nA snapshot has {} further calls of {} bytes in both.", all_calls - calls, all_bytes - bytes);
    Ok(())
}

async fn measure(neurons: u16, delay_ms: u64, selective_metagraph: bool) -> Result<Measured, Box<dyn Error>> {
    let net = DevNet::start(DevNetSettings { selective_metagraph, ..DevNetSettings::default() })?;
    net.admin().register_subnet(NETUID, Hyperparameters::default())?;
    let seats = (0..neurons).map(|number| {
        let mut account = [7; 32];
        account[..2].copy_from_slice(&number.to_le_bytes());
        Neuron { stake_rao: 1_000_000_000 + u64::from(number), ..Neuron::miner(Hotkey::from_account_id(account)) }
    });
    net.admin().register_neurons(NETUID, seats)?;
    let settings = ChainSettings {
        backoff: Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(1), jitter_seed: 1 },
        ..ChainSettings::new(vec![net.endpoint().parse()?], 1)
    };
    let client = ChainClient::new(settings)?;
    // Metadata is fetched once for a version of the runtime.
    let snapshot = client.snapshot(NETUID, SnapshotExpectation::default()).await?;
    let milliseconds = median(&client).await?;
    net.admin().clear_requests();
    client.snapshot(NETUID, SnapshotExpectation::default()).await?;
    let requests = net.admin().requests();
    net.admin().order(Fault::new(FaultKind::Delay(Duration::from_millis(delay_ms))));
    let delayed_milliseconds = median(&client).await?;
    Ok(Measured { snapshot, requests, milliseconds, delayed_milliseconds })
}

async fn median(client: &ChainClient) -> Result<f64, Box<dyn Error>> {
    let mut milliseconds = Vec::new();
    for _ in 0..REPEATS {
        let began = Instant::now();
        client.snapshot(NETUID, SnapshotExpectation::default()).await?;
        milliseconds.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    milliseconds.sort_by(f64::total_cmp);
    Ok(milliseconds[REPEATS / 2])
}
