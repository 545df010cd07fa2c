//! Where a validator's state is, for the commands that look at it or mend it.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::ArgMatches;

use super::{FileSettings, Layering};
use crate::args::StateFolderArgs;
use crate::exit::CommandError;

/// The folder of a validator's state: the flag, the environment, or what the settings file gives `validate`. There is no
/// default: a state is nothing to guess at.
pub(crate) fn state_folder(
    args: &StateFolderArgs,
    matches: &ArgMatches,
    file: &FileSettings,
) -> Result<PathBuf, CommandError> {
    Layering::new(matches, file, Some("validate"))
        .pick("state", "state", args.state.clone(), file.validate.state.clone(), None)
        .ok_or_else(|| {
            CommandError::usage(anyhow!("no folder of a validator's state is given"))
                .with_hint("give one with --state, in DISTIL_STATE, or as `state` under [validate] in distil.toml")
        })
}
