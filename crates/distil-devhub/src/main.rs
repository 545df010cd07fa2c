//! `distil-devhub`: serves the repositories of a folder as the Hugging Face Hub would.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use clap::Parser;
use distil_devhub::{DevHub, Fault, RepoKind, Visibility};

/// Serve the repositories of a folder on loopback, as the Hugging Face Hub would.
///
/// FOLDER/models/OWNER/NAME and FOLDER/datasets/OWNER/NAME are published at the start. The first line on standard
/// output is the endpoint, for HF_ENDPOINT. On SIGHUP, folders that have changed are published again, each as a new
/// commit. SIGTERM and ctrl-c stop the server.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; a loopback address, and port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A bearer token that may see private repositories and download from gated ones; may be repeated.
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// Hides a repository, as in models/OWNER/NAME; may be repeated.
    #[arg(long, value_name = "REPOSITORY")]
    private: Vec<String>,
    /// Gates a repository, as in datasets/OWNER/NAME; may be repeated.
    #[arg(long, value_name = "REPOSITORY")]
    gated: Vec<String>,
    /// Entries of a page of a file list.
    #[arg(long, value_name = "ENTRIES", default_value_t = 1000)]
    page_size: usize,
    /// Sends clients to another path of the same host for small files, as huggingface.co does.
    #[arg(long)]
    redirect_small_files: bool,
    /// Orders a fault, as in 'cut-body-after=1000;on=/cdn/;times=1'; may be repeated.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// Stops also when standard input closes.
    #[arg(long)]
    until_stdin_closes: bool,
    /// The folder that holds models/ and datasets/.
    folder: PathBuf,
}

enum Event {
    Stop,
    Reload,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Before anything is announced: whoever reads the endpoint may send a signal at once.
    let events = listen_for_events(arguments.until_stdin_closes)?;

    let hub = DevHub::start_at(arguments.listen)?;
    hub.set_page_size(arguments.page_size);
    hub.set_small_files_redirect(arguments.redirect_small_files);
    publish_all(&hub, &arguments.folder)?;
    for token in &arguments.token {
        hub.accept_token(token);
    }
    for (names, visibility) in [(&arguments.private, Visibility::Private), (&arguments.gated, Visibility::Gated)] {
        for name in names {
            let (kind, repo) = parse_repository(name)?;
            hub.set_visibility(kind, repo, visibility)?;
        }
    }
    for fault in arguments.fault {
        hub.order(fault);
    }
    say(&hub.endpoint())?;

    while let Ok(Event::Reload) = events.recv() {
        if let Err(error) = publish_all(&hub, &arguments.folder) {
            tell(&format!("{error:#}"));
        }
    }
    Ok(())
}

/// Events of signals and of standard input.
fn listen_for_events(until_stdin_closes: bool) -> Result<mpsc::Receiver<Event>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let (sender, events) = mpsc::channel();
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot take signals")?;
    let of_signals = sender.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let event = if signal == SIGHUP { Event::Reload } else { Event::Stop };
            if of_signals.send(event).is_err() {
                return;
            }
        }
    });
    if until_stdin_closes {
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while matches!(io::stdin().read(&mut buffer), Ok(1..)) {}
            // The receiver is gone only when the program ends anyway.
            let _ = sender.send(Event::Stop);
        });
    }
    Ok(events)
}

/// Publishes all folders that have changed, and says so.
fn publish_all(hub: &DevHub, folder: &Path) -> Result<()> {
    let mut found = false;
    for kind in [RepoKind::Model, RepoKind::Dataset] {
        let of_kind = folder.join(kind.plural());
        if !of_kind.is_dir() {
            continue;
        }
        found = true;
        for owner in folders(&of_kind)? {
            for name in folders(&of_kind.join(&owner))? {
                let repo = format!("{owner}/{name}");
                if let Some(commit) = hub.publish_changes(kind, &repo, &of_kind.join(&owner).join(&name))? {
                    tell(&format!("{}/{repo} {commit}", kind.plural()));
                }
            }
        }
    }
    if !found {
        bail!(
            "{} has neither a folder models nor a folder datasets: put repositories there, as in models/alice/tiny",
            folder.display()
        );
    }
    Ok(())
}

/// Names of the folders in a folder, sorted.
fn folders(parent: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(parent).with_context(|| parent.display().to_string())? {
        let entry = entry.with_context(|| parent.display().to_string())?;
        if entry.path().is_dir() {
            let name = entry.file_name().into_string();
            names.push(name.map_err(|name| anyhow::anyhow!("{}: its name is not UTF-8", parent.join(name).display()))?);
        }
    }
    names.sort();
    Ok(names)
}

fn parse_repository(text: &str) -> Result<(RepoKind, &str)> {
    match text.split_once('/') {
        Some(("models", repo)) => Ok((RepoKind::Model, repo)),
        Some(("datasets", repo)) => Ok((RepoKind::Dataset, repo)),
        _ => bail!("repository {text:?} does not begin with models/ or datasets/, as in models/alice/tiny"),
    }
}

fn say(line: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("standard output")
}

/// To standard error, which may be closed.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
