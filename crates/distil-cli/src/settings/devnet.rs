//! The settings of `distil devnet`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{ArgMatches, ValueEnum};
use distil_devnet::EpochModel;
use distil_types::{Hotkey, NetUid, SubnetProfile};
use serde::{Deserialize, Serialize};

use super::{FileSettings, Layering, Seconds, SettingLine, several_in_one};
use crate::args::DevnetArgs;
use crate::exit::CommandError;

/// How a subnet's epochs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EpochChoice {
    /// From the block's number, as up to spec version 365
    #[default]
    BlockArithmetic,
    /// Kept in storage, as on newer chains
    Stateful,
}

impl From<EpochChoice> for EpochModel {
    fn from(choice: EpochChoice) -> Self {
        match choice {
            EpochChoice::BlockArithmetic => Self::BlockArithmetic,
            EpochChoice::Stateful => Self::Stateful,
        }
    }
}

/// What the layers together say.
#[derive(Debug)]
pub(crate) struct DevnetLayers {
    listen: SocketAddr,
    state: Option<PathBuf>,
    block_time: Seconds,
    finality_lag: u32,
    epoch_model: EpochChoice,
    netuid: NetUid,
    tempo: Option<u16>,
    commit_reveal: Option<bool>,
    register: Vec<String>,
    register_validator: Vec<String>,
    lines: Vec<SettingLine>,
}

/// All that `distil devnet` is told.
#[derive(Debug)]
pub(crate) struct Devnet {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// The folder that keeps the chain.
    pub(crate) state: Option<PathBuf>,
    /// From one block to the next.
    pub(crate) block_time: Seconds,
    /// How many blocks the final one is behind.
    pub(crate) finality_lag: u32,
    /// How epochs are counted.
    pub(crate) epoch_model: EpochModel,
    /// The subnet that there is.
    pub(crate) netuid: NetUid,
    /// Blocks of its epochs.
    pub(crate) tempo: Option<u16>,
    /// Whether its weights are committed first.
    pub(crate) commit_reveal: Option<bool>,
    /// Who has a miner's seat.
    pub(crate) miners: Vec<Hotkey>,
    /// Who has a validator's seat.
    pub(crate) validators: Vec<Hotkey>,
}

const SECTION: &str = "devnet";
const USUAL_PORT: u16 = 9944;
const USUAL_BLOCK_TIME: Seconds = Seconds::literal(12.0);
/// About what the real chain has.
const USUAL_FINALITY_LAG: u32 = 2;
/// What the chain itself gives a new subnet.
const USUAL_TEMPO: u16 = 360;

impl DevnetLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &DevnetArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.devnet;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let several = |id: &str, given: &Option<Vec<String>>, layers: &Layering<'_>| match given {
            Some(given) if layers.is_from_environment(id) => Some(several_in_one(given)),
            given => given.clone(),
        };
        let register = several("register", &args.register, &layers);
        let register_validator = several("register_validator", &args.register_validator, &layers);
        let usual_listen = SocketAddr::from((Ipv4Addr::LOCALHOST, USUAL_PORT));
        let usual_netuid = SubnetProfile::sn97().netuid;
        Self {
            listen: layers
                .pick("listen", "listen", args.listen, table.listen, Some(usual_listen))
                .unwrap_or(usual_listen),
            state: layers.pick("state", "state", args.state.clone(), table.state.clone(), None),
            block_time: layers
                .pick("block_time", "block-time", args.block_time, table.block_time, Some(USUAL_BLOCK_TIME))
                .unwrap_or(USUAL_BLOCK_TIME),
            finality_lag: layers
                .pick("finality_lag", "finality-lag", args.finality_lag, table.finality_lag, Some(USUAL_FINALITY_LAG))
                .unwrap_or(USUAL_FINALITY_LAG),
            epoch_model: layers
                .pick("epoch_model", "epoch-model", args.epoch_model, table.epoch_model, Some(EpochChoice::default()))
                .unwrap_or_default(),
            netuid: layers
                .pick("netuid", "netuid", args.netuid, table.netuid, Some(usual_netuid))
                .unwrap_or(usual_netuid),
            tempo: layers.pick("tempo", "tempo", args.tempo, table.tempo, Some(USUAL_TEMPO)),
            commit_reveal: layers.pick(
                "commit_reveal",
                "commit-reveal",
                args.commit_reveal,
                table.commit_reveal,
                Some(true),
            ),
            register: layers.pick("register", "register", register, table.register.clone(), None).unwrap_or_default(),
            register_validator: layers
                .pick(
                    "register_validator",
                    "register-validator",
                    register_validator,
                    table.register_validator.clone(),
                    None,
                )
                .unwrap_or_default(),
            lines: layers.into_lines(),
        }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// Checks the addresses.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting.
    pub(crate) fn decide(self) -> Result<Devnet, CommandError> {
        let (miners, validators) =
            (hotkeys("register", &self.register)?, hotkeys("register-validator", &self.register_validator)?);
        let mut seen = std::collections::BTreeSet::new();
        for hotkey in validators.iter().chain(&miners) {
            if !seen.insert(*hotkey) {
                return Err(CommandError::usage(anyhow!("{hotkey} is to be registered twice")));
            }
        }
        Ok(Devnet {
            listen: self.listen,
            state: self.state,
            block_time: self.block_time,
            finality_lag: self.finality_lag,
            epoch_model: self.epoch_model.into(),
            netuid: self.netuid,
            tempo: self.tempo,
            commit_reveal: self.commit_reveal,
            miners,
            validators,
        })
    }
}

fn hotkeys(flag: &str, given: &[String]) -> Result<Vec<Hotkey>, CommandError> {
    let hotkey = |text: &String| {
        text.parse().map_err(|error: distil_types::Error| CommandError::usage(anyhow!(error).context(flag.to_owned())))
    };
    given.iter().map(hotkey).collect()
}
