use crate::{
    DatasetError, DrawRequest, Drawn, Progress, PromptSource, Sampler, Share,
    cache::Cache,
    listing::{self, FileKind, ListedFile},
    meter::Meter,
    open_file::OpenFile,
    positioned::{DiskFile, HubFile},
    text::excerpt,
    {distil, reference},
};
use distil_hub::{Hub, HubError, RepoAt, RepoFile, RepoKind, Traffic};
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A source, opened: the list of its files with their sizes.
pub struct Corpus {
    source: PromptSource,
    files: Vec<ListedFile>,
    place: Place,
    listing: Share,
    listing_cached: bool,
}

enum Place {
    /// The file, or the folder that the files lie in.
    Disk {
        root: PathBuf,
        is_folder: bool,
    },
    Hub {
        hub: Hub,
        at: RepoAt,
        entries: Vec<RepoFile>,
        cache: Option<Cache>,
    },
}

impl std::fmt::Debug for Corpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Corpus").field("source", &self.source).field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl Corpus {
    /// Lists the files of a source.
    ///
    /// `hub` is called for a source on the Hub only. In `cache`, a folder that is made if need be, the lists and footers
    /// of such sources are kept, so that later draws move fewer bytes; what is drawn does not depend on it.
    ///
    /// # Errors
    /// [`DatasetError::Hub`], [`DatasetError::Read`] or [`DatasetError::Write`] if something can't be reached;
    /// [`DatasetError::NoDocuments`] if there is no file to draw from.
    pub fn open(
        source: &PromptSource,
        hub: impl FnOnce() -> Result<Hub, HubError>,
        cache: Option<&Path>,
    ) -> Result<Corpus, DatasetError> {
        let mut corpus = match source {
            PromptSource::Path(root) => Corpus {
                source: source.clone(),
                files: listing::list_disk(root)?,
                place: Place::Disk { root: root.clone(), is_folder: root.is_dir() },
                listing: Share::default(),
                listing_cached: false,
            },
            PromptSource::Hub { repo, revision, folder } => {
                let at = RepoAt { kind: RepoKind::Dataset, repo: repo.clone(), revision: *revision };
                Self::open_hub(source, hub()?, at, folder, cache)?
            }
        };
        if corpus.files.iter().all(|file| file.size == 0) {
            return Err(DatasetError::NoDocuments {
                source_name: excerpt(&source.to_string()),
                wanted: match source {
                    PromptSource::Hub { .. } => "parquet files below its folder (data, if none is named)",
                    PromptSource::Path(_) => "parquet, .jsonl, .txt or .json files that are not empty",
                },
            });
        }
        corpus.files.shrink_to_fit();
        Ok(corpus)
    }

    fn open_hub(
        source: &PromptSource,
        hub: Hub,
        at: RepoAt,
        folder: &str,
        cache: Option<&Path>,
    ) -> Result<Corpus, DatasetError> {
        const KIND: &str = "listings";
        let cache = cache.map(|root| Cache::new(root, &hub, &at));
        let before = hub.traffic();
        let kept: Option<Vec<RepoFile>> = cache.as_ref().and_then(|cache| cache.read(KIND, folder));
        let listing_cached = kept.is_some();
        let entries = match kept {
            Some(entries) => entries,
            None => {
                let mut entries = hub.tree(&at, folder)?;
                let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                entries.retain(|file| file.path.starts_with(&prefix) && file.path.ends_with(".parquet"));
                entries.sort_by(|a, b| a.path.cmp(&b.path));
                if let Some(cache) = &cache {
                    cache.write(KIND, folder, &entries)?;
                }
                entries
            }
        };
        let files = entries
            .iter()
            .map(|file| ListedFile { path: file.path.clone(), size: file.size, kind: FileKind::Parquet })
            .collect();
        let listing = moved(before, hub.traffic());
        let place = Place::Hub { hub, at, entries, cache };
        Ok(Corpus { source: source.clone(), files, place, listing, listing_cached })
    }

    /// The source.
    pub fn source(&self) -> &PromptSource {
        &self.source
    }

    /// Number of files.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Bytes of all files together.
    pub fn size_bytes(&self) -> u128 {
        self.files.iter().map(|file| u128::from(file.size)).sum()
    }

    /// Draws prompts. The same corpus and request give the same prompts on every machine, whatever the number of
    /// threads and whatever is in the cache.
    ///
    /// `progress` is called from any of the threads.
    ///
    /// # Errors
    /// [`DatasetError::TooFewDocuments`] or [`DatasetError::PoolTooSmall`] if the corpus does not give so many prompts;
    /// [`DatasetError::Budget`] if a source on the Hub would have to move more than
    /// [`BYTES_PER_PROMPT`](crate::BYTES_PER_PROMPT) bytes for each (at least for 40); others if something can't be
    /// read. After an error that [is transient](DatasetError::is_transient) the same draw may be tried again.
    pub fn draw(
        &self,
        request: &DrawRequest,
        threads: NonZeroUsize,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Drawn, DatasetError> {
        const MAX_COUNT: usize = 100_000;
        if !(1..=MAX_COUNT).contains(&request.count) {
            return Err(DatasetError::Request {
                field: "count",
                value: request.count.to_string(),
                requirement: "from 1 to 100,000 prompts can be drawn",
            });
        }
        let before = self.network();
        let reading =
            Reading { corpus: self, meter: Arc::new(Meter::new(request.count, self.listing.bytes)), threads, progress };
        let mut drawn = match request.sampler {
            Sampler::Distil => distil::draw(&reading, request)?,
            Sampler::Reference => reference::draw(&reading, request)?,
        };
        drawn.traffic.listing = self.listing;
        drawn.traffic.listing_cached = self.listing_cached;
        drawn.traffic.footers = reading.meter.footers();
        drawn.traffic.data = reading.meter.data();
        drawn.traffic.network = moved(before, self.network());
        drawn.traffic.network.requests += self.listing.requests;
        drawn.traffic.network.bytes += self.listing.bytes;
        Ok(drawn)
    }

    fn network(&self) -> Traffic {
        match &self.place {
            Place::Disk { .. } => Traffic::default(),
            Place::Hub { hub, .. } => hub.traffic(),
        }
    }
}

fn moved(before: Traffic, after: Traffic) -> Share {
    Share { requests: after.requests - before.requests, bytes: after.bytes_received - before.bytes_received }
}

/// A corpus while prompts are drawn from it.
pub(crate) struct Reading<'a> {
    corpus: &'a Corpus,
    pub(crate) meter: Arc<Meter>,
    pub(crate) threads: NonZeroUsize,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Reading<'_> {
    pub(crate) fn source(&self) -> &PromptSource {
        &self.corpus.source
    }

    pub(crate) fn files(&self) -> &[ListedFile] {
        &self.corpus.files
    }

    pub(crate) fn tell_progress(&self) {
        (self.progress)(self.meter.progress());
    }

    /// Opens a file by its place in the list.
    pub(crate) fn open(&self, index: usize) -> Result<OpenFile, DatasetError> {
        let listed = &self.corpus.files[index];
        let meter = Arc::clone(&self.meter);
        match &self.corpus.place {
            Place::Disk { root, is_folder } => {
                let path = if *is_folder { root.join(&listed.path) } else { root.clone() };
                OpenFile::open_disk(DiskFile::open(&listed.path, path, listed.size, meter)?, listed.kind)
            }
            Place::Hub { hub, at, entries, cache } => {
                OpenFile::open_hub(HubFile::new(hub.clone(), at.clone(), entries[index].clone(), meter), cache.clone())
            }
        }
    }
}
