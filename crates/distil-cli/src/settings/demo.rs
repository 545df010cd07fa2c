//! The settings of `distil demo`.

use std::path::PathBuf;

use clap::ArgMatches;

use super::{FileSettings, Layering, SettingLine, Threads};
use crate::args::DemoArgs;

/// All that `distil demo` is told.
#[derive(Debug)]
pub(crate) struct Demo {
    /// The folder for everything.
    pub(crate) out: Option<PathBuf>,
    /// Threads to compute with.
    pub(crate) threads: Threads,
    lines: Vec<SettingLine>,
}

impl Demo {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &DemoArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.demo;
        let mut layers = Layering::new(matches, file, Some("demo"));
        let (usual, origin) = Threads::usual();
        Self {
            out: layers.pick("out", "out", args.out.clone(), table.out.clone(), None),
            threads: layers
                .pick_or("threads", "threads", args.threads, table.threads, Some(usual), origin)
                .unwrap_or(usual),
            lines: layers.into_lines(),
        }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }
}
