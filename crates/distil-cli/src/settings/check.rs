//! The settings of `distil check`.

use anyhow::anyhow;
use clap::ArgMatches;
use distil_types::{ModelRef, Revision, SubnetProfile};

use super::{FileSettings, Layering, ProfileChoice, SettingLine, Threads, model, several_in_one};
use crate::args::CheckArgs;
use crate::exit::CommandError;

/// What the layers together say. Something needed may still be missing; see [`CheckLayers::decide`].
#[derive(Debug)]
pub(crate) struct CheckLayers {
    model: Option<String>,
    revision: Option<Revision>,
    teacher: Option<String>,
    against: Vec<String>,
    profile: ProfileChoice,
    download: bool,
    threads: Threads,
    lines: Vec<SettingLine>,
}

/// All that `distil check` is told.
#[derive(Debug)]
pub(crate) struct Check {
    /// The model's name as given.
    pub(crate) name: String,
    /// The model, or why its name is none.
    pub(crate) model: Result<ModelRef, distil_types::Error>,
    /// Whose vocabulary and tokenizer it has to have, where the profile's teacher is not meant.
    pub(crate) teacher: Option<ModelRef>,
    /// What it may be a copy of.
    pub(crate) against: Vec<ModelRef>,
    /// The subnet's rules.
    pub(crate) profile: SubnetProfile,
    /// The weights are downloaded.
    pub(crate) download: bool,
    /// Threads to hash and compare with.
    pub(crate) threads: Threads,
}

const SECTION: &str = "check";

impl CheckLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &CheckArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.check;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let mut against = args.against.clone();
        if layers.is_from_environment("against") {
            against = against.map(|given| several_in_one(&given));
        }
        let (usual_threads, threads_origin) = Threads::usual();
        Self {
            model: layers.pick("model", "model", args.model.clone(), table.model.clone(), None),
            revision: layers.pick("revision", "revision", args.revision, table.revision, None),
            teacher: layers.pick("teacher", "teacher", args.teacher.clone(), table.teacher.clone(), None),
            against: layers.pick("against", "against", against, table.against.clone(), None).unwrap_or_default(),
            profile: layers
                .pick("profile", "profile", args.profile, table.profile, Some(ProfileChoice::Sn97))
                .unwrap_or_default(),
            download: layers
                .pick("download", "download", args.download, table.download, Some(false))
                .unwrap_or_default(),
            threads: layers
                .pick_or("threads", "threads", args.threads, table.threads, Some(usual_threads), threads_origin)
                .unwrap_or(usual_threads),
            lines: layers.into_lines(),
        }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// Checks that nothing is missing and that what the model is held against can be told.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting. A model's own name is never one: that it is none is a finding.
    pub(crate) fn decide(self) -> Result<Check, CommandError> {
        let name = self.model.ok_or_else(|| {
            CommandError::usage(anyhow!("no model to check"))
                .with_hint("give a folder or owner/repo[@revision]: distil check owner/repo")
        })?;
        let model = match ModelRef::parse(&name, std::path::Path::is_dir) {
            Ok(ModelRef::Folder(folder)) if !folder.is_dir() => {
                let what = if folder.exists() { "not a folder" } else { "no such folder" };
                return Err(CommandError::usage(anyhow!("model {name}: {what}")));
            }
            Ok(ModelRef::Hub { revision: Some(named), .. }) if self.revision.is_some_and(|other| other != named) => {
                return Err(CommandError::usage(anyhow!("{name} names another commit than --revision")));
            }
            Ok(ModelRef::Hub { repo, revision }) => Ok(ModelRef::Hub { repo, revision: revision.or(self.revision) }),
            Ok(_) if self.revision.is_some() => {
                return Err(CommandError::usage(anyhow!("model {name} is a folder, which has no --revision")));
            }
            other => other,
        };
        Ok(Check {
            name,
            model,
            teacher: self.teacher.map(|teacher| self::model("teacher", &teacher)).transpose()?,
            against: self.against.iter().map(|other| self::model("model", other)).collect::<Result<_, _>>()?,
            profile: self.profile.profile(),
            download: self.download,
            threads: self.threads,
        })
    }
}
