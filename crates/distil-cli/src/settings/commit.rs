//! The settings of `distil commit`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::ArgMatches;
use distil_chain::wallet::Wallet;
use distil_types::{ModelRef, NetUid, RepoId, Revision, SubnetProfile};

use super::{FileSettings, Layering, Network, ProfileChoice, Seconds, SettingLine, missing, model};
use crate::args::CommitArgs;
use crate::exit::CommandError;

/// What the layers together say. Something needed may still be missing; see [`CommitLayers::decide`].
#[derive(Debug)]
pub(crate) struct CommitLayers {
    model: Option<String>,
    revision: Option<Revision>,
    wallet: Option<String>,
    hotkey: Option<String>,
    wallet_path: Option<PathBuf>,
    network: Network,
    netuid: NetUid,
    teacher: Option<String>,
    profile: ProfileChoice,
    reveal_after: Seconds,
    wait_reveal: bool,
    dry_run: bool,
    yes: bool,
    lines: Vec<SettingLine>,
}

/// All that `distil commit` is told.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The repository.
    pub(crate) repo: RepoId,
    /// Its commit, where it was given.
    pub(crate) revision: Option<Revision>,
    /// The wallet.
    pub(crate) wallet: Wallet,
    /// Its name.
    pub(crate) wallet_name: String,
    /// The name of the hotkey.
    pub(crate) hotkey: String,
    /// The chain.
    pub(crate) network: Network,
    /// The subnet.
    pub(crate) netuid: NetUid,
    /// Whose vocabulary and tokenizer the model has to have, where the profile's teacher is not meant.
    pub(crate) teacher: Option<ModelRef>,
    /// The subnet's rules.
    pub(crate) profile: SubnetProfile,
    /// How long the commitment stays sealed.
    pub(crate) reveal_after: Duration,
    /// Whether it is waited for the reveal.
    pub(crate) wait_reveal: bool,
    /// Nothing is sent.
    pub(crate) dry_run: bool,
    /// Nobody is asked.
    pub(crate) yes: bool,
}

const SECTION: &str = "commit";
/// 360 blocks, as Bittensor's own tools have it.
const USUAL_REVEAL_AFTER: Seconds = Seconds::literal(4320.0);

impl CommitLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &CommitArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.commit;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let usual_netuid = SubnetProfile::sn97().netuid;
        let usual_folder = Wallet::default_folder(|name| std::env::var(name).ok()).ok();
        Self {
            model: layers.pick("model", "model", args.model.clone(), table.model.clone(), None),
            revision: layers.pick("revision", "revision", args.revision, table.revision, None),
            wallet: layers.pick("wallet", "wallet", args.wallet.clone(), table.wallet.clone(), None),
            hotkey: layers.pick("hotkey", "hotkey", args.hotkey.clone(), table.hotkey.clone(), None),
            wallet_path: layers.pick(
                "wallet_path",
                "wallet-path",
                args.wallet_path.clone(),
                table.wallet_path.clone(),
                usual_folder,
            ),
            network: layers
                .pick("network", "network", args.network.clone(), table.network.clone(), Some(Network::default()))
                .unwrap_or_default(),
            netuid: layers
                .pick("netuid", "netuid", args.netuid, table.netuid, Some(usual_netuid))
                .unwrap_or(usual_netuid),
            teacher: layers.pick("teacher", "teacher", args.teacher.clone(), table.teacher.clone(), None),
            profile: layers
                .pick("profile", "profile", args.profile, table.profile, Some(ProfileChoice::Sn97))
                .unwrap_or_default(),
            reveal_after: layers
                .pick("reveal_after", "reveal-after", args.reveal_after, table.reveal_after, Some(USUAL_REVEAL_AFTER))
                .unwrap_or(USUAL_REVEAL_AFTER),
            wait_reveal: layers
                .pick("wait_reveal", "wait-reveal", args.wait_reveal, table.wait_reveal, Some(true))
                .unwrap_or(true),
            dry_run: layers.pick("dry_run", "dry-run", args.dry_run, table.dry_run, Some(false)).unwrap_or_default(),
            yes: layers.pick("yes", "yes", args.yes, table.yes, Some(false)).unwrap_or_default(),
            lines: layers.into_lines(),
        }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// Checks that nothing is missing and that the model is a repository.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting.
    pub(crate) fn decide(self) -> Result<Commit, CommandError> {
        let name =
            self.model.ok_or_else(|| missing(SECTION, "model", "no model to commit", "the repository, owner/repo,"))?;
        // A folder of that name does not matter: what is committed is on the Hub.
        let (repo, named) = match ModelRef::parse(&name, |_| false) {
            Ok(ModelRef::Hub { repo, revision }) => (repo, revision),
            Ok(_) => return Err(CommandError::usage(anyhow!("model {name} is a folder")).with_hint(ON_THE_HUB)),
            Err(error) => return Err(CommandError::usage(anyhow!(error)).with_hint(ON_THE_HUB)),
        };
        if named.is_some() && self.revision.is_some_and(|other| Some(other) != named) {
            return Err(CommandError::usage(anyhow!("{name} names another commit than --revision")));
        }
        let wallet_name = self
            .wallet
            .ok_or_else(|| missing(SECTION, "wallet", "no wallet to sign the commitment with", "the wallet's name"))?;
        let hotkey = self
            .hotkey
            .ok_or_else(|| missing(SECTION, "hotkey", "no hotkey to sign the commitment with", "the hotkey's name"))?;
        let folder = self.wallet_path.ok_or_else(|| {
            missing(SECTION, "wallet-path", "HOME is not set, so the wallets are not found", "their folder")
        })?;
        // As a shell has it, which does not look into settings files.
        let folder = match (folder.strip_prefix("~"), std::env::home_dir()) {
            (Ok(within), Some(home)) => home.join(within),
            _ => folder,
        };
        let wallet = Wallet::new(folder, &wallet_name).map_err(CommandError::usage)?;
        wallet.hotkey_file(&hotkey).map_err(CommandError::usage)?;
        Ok(Commit {
            repo,
            revision: named.or(self.revision),
            wallet,
            wallet_name,
            hotkey,
            network: self.network,
            netuid: self.netuid,
            teacher: self.teacher.map(|teacher| model("teacher", &teacher)).transpose()?,
            profile: self.profile.profile(),
            reveal_after: self.reveal_after.duration(),
            wait_reveal: self.wait_reveal,
            dry_run: self.dry_run,
            yes: self.yes,
        })
    }
}

const ON_THE_HUB: &str = "only a repository of the Hugging Face Hub can be committed: give owner/repo[@revision]";
