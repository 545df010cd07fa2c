//! `distil devnet`: a chain on this machine to try things against, until a signal ends it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use distil_devnet::{
    BlockProduction, Command, DevNet, DevNetError, DevNetSettings, DrandSettings, Hyperparameters, Neuron,
};
use distil_types::{BlockRef, Hotkey, Uid};
use serde::Serialize;

use crate::exit::{CommandError, ExitStatus};
use crate::output::{OutputError, write_json};
use crate::settings::{Common, Devnet, Format};
use crate::text::visible;

/// The file in the folder of the state.
const STATE_FILE: &str = "chain.scale";

/// Runs the chain in the foreground: says where it is on `out`, then makes blocks until SIGINT or SIGTERM.
pub(crate) fn run(
    settings: &Devnet,
    common: Common,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    // Before anything is announced: whoever reads the endpoint may send a signal at once.
    let stopped = stop_signals()?;
    let state_file = settings.state.as_ref().map(state_file).transpose()?;
    let is_resumed = state_file.as_ref().is_some_and(|file| file.exists());
    let drand = DrandSettings::default();
    let net = DevNet::start(DevNetSettings {
        listen: settings.listen,
        block_time_ms: settings.block_time.milliseconds(),
        production: BlockProduction::Clock,
        finality_lag: settings.finality_lag,
        epoch_model: settings.epoch_model,
        drand: drand.clone(),
        state_file,
        ..DevNetSettings::default()
    })
    .map_err(devnet_error)?;
    let note = &mut |text: &str| {
        if !common.quiet {
            // Notes are a courtesy: a reader that has gone does not end the chain.
            let _ = writeln!(notes, "{}", visible(text));
        }
    };
    let seats = prepare(&net, settings, is_resumed, note)?;
    let block = net.admin().best_block();
    let document = Document {
        endpoint: net.endpoint(),
        chain: DevNetSettings::default().chain_name,
        netuid: settings.netuid.0,
        resumed: is_resumed,
        block,
        block_time_seconds: settings.block_time.into(),
        state: settings.state.as_ref().map(|folder| folder.display().to_string()),
        drand: Beacon {
            public_key: net.admin().drand_public_key().to_string(),
            genesis_unix_seconds: drand.genesis_unix_s,
            period_seconds: drand.period_s,
            latest_round: net.admin().drand_round(),
        },
        registered: seats,
    };
    match common.format {
        Format::Json => write_json(out, &document)?,
        Format::Text => {
            out.write_all(document.text().as_bytes())?;
            out.flush()?;
        }
    }
    watch(&net, settings, &stopped, note)?;
    note(&format!("stopped at block {}", net.admin().best_block().number));
    Ok(ExitStatus::Done)
}

/// Takes SIGINT and SIGTERM from now on.
fn stop_signals() -> Result<mpsc::Receiver<()>, CommandError> {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let (sender, stopped) = mpsc::channel();
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .context("cannot take signals")
        .map_err(CommandError::ours)?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    Ok(stopped)
}

/// The state's file, in a folder that is there.
fn state_file(folder: &PathBuf) -> Result<PathBuf, CommandError> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
        .map_err(CommandError::usage)?;
    Ok(folder.join(STATE_FILE))
}

/// Gives the chain its subnet and neurons. In one that goes on from its file they may be there.
fn prepare(
    net: &DevNet,
    settings: &Devnet,
    is_resumed: bool,
    note: &mut dyn FnMut(&str),
) -> Result<Vec<Seat>, CommandError> {
    let parameters =
        Hyperparameters { tempo: settings.tempo, commit_reveal: settings.commit_reveal, ..Hyperparameters::default() };
    let subnet = Command::RegisterSubnet { netuid: settings.netuid, owner: None, parameters };
    let mut apply = |command: Command| match net.admin().apply(vec![command]) {
        Ok(uids) => Ok(uids.into_iter().flatten().next()),
        Err(DevNetError::Refused { problem, .. }) if is_resumed => {
            note(&format!("left as it is: {problem}"));
            Ok(None)
        }
        Err(error) => Err(devnet_error(error)),
    };
    apply(subnet)?;
    let validators = settings.validators.iter().map(|hotkey| (Neuron::validator(*hotkey), "validator"));
    let miners = settings.miners.iter().map(|hotkey| (Neuron::miner(*hotkey), "miner"));
    let mut seats = Vec::new();
    for (neuron, role) in validators.chain(miners) {
        let (netuid, hotkey) = (settings.netuid, neuron.hotkey);
        if let Some(uid) = apply(Command::RegisterNeuron { netuid, neuron, replaces: None })? {
            seats.push(Seat { uid, hotkey, role });
        }
    }
    // So that the seats are final when the first client looks.
    net.admin().produce_blocks(settings.finality_lag).map_err(devnet_error)?;
    Ok(seats)
}

/// Waits for a signal, and for a chain that cannot be kept any more.
fn watch(
    net: &DevNet,
    settings: &Devnet,
    stopped: &mpsc::Receiver<()>,
    note: &mut dyn FnMut(&str),
) -> Result<(), CommandError> {
    const LOOK_EVERY: Duration = Duration::from_millis(500);
    let patience = (settings.block_time.duration() * 3).max(Duration::from_secs(3));
    let mut newest = (net.admin().best_block(), Instant::now());
    loop {
        match stopped.recv_timeout(LOOK_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let best = net.admin().best_block();
        if best != newest.0 {
            newest = (best, Instant::now());
        } else if newest.1.elapsed() >= patience {
            // The clock has nobody to tell why it makes no blocks; who asks for one by hand is told.
            net.admin().produce_blocks(1).map_err(devnet_error)?;
            note(&format!("no block followed {} in time, so one was made out of turn", best.number));
        }
    }
}

fn devnet_error(error: DevNetError) -> CommandError {
    let is_taken =
        matches!(&error, DevNetError::Start { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse);
    if is_taken {
        CommandError::try_again(error).with_hint("another program listens there: end it, or give another --listen")
    } else if error.is_transient() {
        CommandError::try_again(error)
    } else {
        CommandError::usage(error)
    }
}

/// What is said at the start.
#[derive(Debug, Serialize)]
struct Document {
    endpoint: String,
    chain: String,
    netuid: u16,
    /// Whether the chain goes on from its file.
    resumed: bool,
    block: BlockRef,
    block_time_seconds: f64,
    state: Option<String>,
    drand: Beacon,
    /// The seats that were given now.
    registered: Vec<Seat>,
}

#[derive(Debug, Serialize)]
struct Beacon {
    public_key: String,
    genesis_unix_seconds: u32,
    period_seconds: u32,
    latest_round: u64,
}

#[derive(Debug, Serialize)]
struct Seat {
    uid: Uid,
    hotkey: Hotkey,
    role: &'static str,
}

impl Document {
    fn text(&self) -> String {
        let began = if self.resumed { "goes on" } else { "begins" };
        let state = self.state.as_deref().unwrap_or("(not kept)");
        let mut text = format!(
            "{}\n  chain        {}, {began} at block {}, one each {} s\n  subnet       {}\n",
            self.endpoint, self.chain, self.block.number, self.block_time_seconds, self.netuid
        );
        for seat in &self.registered {
            text += &format!("  uid {:<8} {} {}\n", seat.uid.0, seat.role, seat.hotkey);
        }
        text += &format!(
            "  beacon key   {}\n  state        {}\n\n\
             `--network {}` leads here; ctrl-c stops it\n",
            self.drand.public_key,
            visible(state),
            self.endpoint
        );
        text
    }
}
