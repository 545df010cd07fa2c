//! The Hugging Face Hub as the program uses it: made when it is first needed, from the variables that the Hub's own
//! clients read.

use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::anyhow;
use distil_hub::{Hub, HubError, HubSettings, RepoFile, Snapshot};

use crate::exit::CommandError;
use crate::progress::{Unit, WorkProgress};
use crate::settings::{Common, Origin, SettingLine};

/// The Hub, once it is needed.
#[derive(Debug, Default)]
pub(crate) struct HubAccess {
    hub: OnceLock<Hub>,
}

impl HubAccess {
    /// The client.
    ///
    /// # Errors
    ///
    /// A usage error that names the variable that cannot be used.
    pub(crate) fn get(&self) -> Result<&Hub, CommandError> {
        if let Some(hub) = self.hub.get() {
            return Ok(hub);
        }
        let hub = Hub::new(settings()?).map_err(hub_error)?;
        Ok(self.hub.get_or_init(|| hub))
    }

    /// Brings files into the cache, with a bar, and gives the folder of their commit.
    ///
    /// # Errors
    ///
    /// As [`hub_error`] has it.
    pub(crate) fn download(
        &self,
        snapshot: &Snapshot,
        wanted: &dyn Fn(&RepoFile) -> bool,
        common: Common,
        out: &mut dyn Write,
    ) -> Result<PathBuf, CommandError> {
        let hub = self.get()?;
        let mut progress = WorkProgress::new(common, Unit::Bytes, &format!("downloading {}", snapshot.repo), out);
        let began = Instant::now();
        let before = hub.traffic().bytes_received;
        let folder = hub.download(snapshot, wanted, &mut |now| {
            progress.show(now.bytes_done, now.bytes_total, began.elapsed());
        });
        progress.finish(hub.traffic().bytes_received - before, began.elapsed());
        folder.map_err(hub_error)
    }
}

fn settings() -> Result<HubSettings, CommandError> {
    HubSettings::from_environment(|name| std::env::var(name).ok()).map_err(hub_error)
}

/// What the Hub's trouble means to the caller: try again where it may be the network's or the Hub's.
pub(crate) fn hub_error(error: HubError) -> CommandError {
    let absent = error.is_absence();
    let offline = matches!(error, HubError::Offline { .. });
    let transient = error.is_transient();
    let full = matches!(error, HubError::File { .. });
    let error = anyhow!(error).context("the Hugging Face Hub could not be used");
    if offline {
        CommandError::usage(error).with_hint("unset HF_HUB_OFFLINE, or download the model first")
    } else if absent {
        CommandError::usage(error).with_hint("check the name and the revision; HF_TOKEN opens what is private or gated")
    } else if transient {
        CommandError::try_again(error).with_hint("nothing that came so far is lost: run the same command again")
    } else if full {
        CommandError::try_again(error).with_hint("make room, or let HF_HOME name a folder that can be written")
    } else {
        CommandError::usage(error)
    }
}

/// The Hub's settings for `distil config show`. A token is never shown, only that there is one.
pub(crate) fn setting_lines() -> Result<Vec<SettingLine>, CommandError> {
    let settings = settings()?;
    let origin = |names: &[&str]| {
        let set = names.iter().find(|name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty()));
        set.map_or(Origin::Default, |name| Origin::Environment((*name).to_owned()))
    };
    let line = |key: &str, value: serde_json::Value, names: &[&str]| SettingLine {
        key: format!("hub.{key}"),
        value,
        origin: origin(names),
    };
    Ok(vec![
        line("endpoint", settings.endpoint.clone().into(), &["HF_ENDPOINT"]),
        line("token", settings.token.is_some().then_some("(hidden)").into(), &["HF_TOKEN", "HF_TOKEN_PATH"]),
        line(
            "cache",
            settings.cache.display().to_string().into(),
            &["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"],
        ),
        line("offline", settings.offline.into(), &["HF_HUB_OFFLINE"]),
    ])
}
