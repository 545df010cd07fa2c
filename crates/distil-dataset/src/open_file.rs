//! A file of a corpus, opened during a draw: how many rows it has, where they are, what they hold.

use crate::{
    DatasetError,
    cache::Cache,
    corpus::Reading,
    listing::FileKind,
    parallel,
    parquet::{FooterIndex, RowGroup, RowPlace, TextChunk},
    positioned::{DiskFile, HubFile, PositionedRead},
    text_file::TextFile,
};
use std::{
    collections::BTreeMap,
    fmt,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard},
};

pub(crate) enum OpenFile {
    Parquet {
        file: Box<dyn PositionedRead>,
        footer: Mutex<FooterIndex>,
        cache: Option<Cache>,
        /// The footer came from the cache.
        cached: bool,
    },
    Text(TextFile),
}

const FOOTERS: &str = "footers";

impl OpenFile {
    pub(crate) fn open_disk(file: DiskFile, kind: FileKind) -> Result<Self, DatasetError> {
        match kind {
            FileKind::Parquet => {
                let footer = Mutex::new(FooterIndex::open(&file)?);
                Ok(OpenFile::Parquet { file: Box::new(file), footer, cache: None, cached: false })
            }
            _ => TextFile::open(file, kind).map(OpenFile::Text),
        }
    }

    pub(crate) fn open_hub(file: HubFile, cache: Option<Cache>) -> Result<Self, DatasetError> {
        let kept: Option<FooterIndex> = cache.as_ref().and_then(|cache| cache.read(FOOTERS, &footer_key(&file)));
        let kept = kept.filter(|footer| footer.fits(file.size()));
        let cached = kept.is_some();
        let footer = match kept {
            Some(footer) => footer,
            None => FooterIndex::open(&file)?,
        };
        Ok(OpenFile::Parquet { file: Box::new(file), footer: Mutex::new(footer), cache, cached })
    }

    /// For parquet: whether the footer came from the cache.
    pub(crate) fn footer_cached(&self) -> Option<bool> {
        match self {
            OpenFile::Parquet { cached, .. } => Some(*cached),
            OpenFile::Text(_) => None,
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> u64 {
        match self {
            OpenFile::Parquet { footer, .. } => lock(footer).rows,
            OpenFile::Text(text) => text.rows(),
        }
    }

    /// Finds where a row lies.
    pub(crate) fn locate(self: &Arc<Self>, file_index: usize, row: u64) -> Result<Located, DatasetError> {
        let in_group = match &**self {
            OpenFile::Parquet { file, footer, .. } => {
                let mut footer = lock(footer);
                let place = footer.find(row, &**file)?;
                Some((place, footer.groups[place.group]))
            }
            OpenFile::Text(_) => None,
        };
        Ok(Located { file_index, file: Arc::clone(self), row, in_group })
    }

    /// Keeps what was learnt of the footer.
    pub(crate) fn keep_footer(&self, groups_before: usize) -> Result<(), DatasetError> {
        if let OpenFile::Parquet { file, footer, cache: Some(cache), cached } = self {
            let footer = lock(footer);
            if !cached || footer.groups.len() > groups_before {
                cache.write(FOOTERS, &footer_key(&**file), &*footer)?;
            }
        }
        Ok(())
    }

    /// Row groups of the footer that are known.
    pub(crate) fn known_groups(&self) -> usize {
        match self {
            OpenFile::Parquet { footer, .. } => lock(footer).groups.len(),
            OpenFile::Text(_) => 0,
        }
    }

    /// Hands all documents of a parquet file to `visit` with their ids, in order, until it breaks.
    pub(crate) fn documents(
        &self,
        mut visit: impl FnMut(fmt::Arguments<'_>, Option<&[u8]>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, DatasetError> {
        let OpenFile::Parquet { file, footer, .. } = self else { unreachable!("datasets on the Hub are parquet") };
        let nullable = lock(footer).nullable;
        for number in 0.. {
            let Some(group) = lock(footer).group(number, &**file)? else { break };
            let mut chunk = TextChunk::open(&**file, number, group, nullable)?;
            let stopped = chunk.documents(|row, document| {
                visit(format_args!("{}", parquet_id(file.name(), RowPlace { group: number, row })), document)
            })?;
            if stopped.is_break() {
                return Ok(stopped);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn lock(footer: &Mutex<FooterIndex>) -> MutexGuard<'_, FooterIndex> {
    footer.lock().expect("nothing panics under the lock")
}

fn footer_key(file: &dyn PositionedRead) -> String {
    format!("{} {}", file.size(), file.name())
}

fn parquet_id(name: &str, place: RowPlace) -> String {
    format!("{name}#rg{}:r{}", place.group, place.row)
}

/// A row whose place is known.
pub(crate) struct Located {
    file_index: usize,
    file: Arc<OpenFile>,
    row: u64,
    in_group: Option<(RowPlace, RowGroup)>,
}

impl Located {
    /// How the row is named in results.
    pub(crate) fn id(&self) -> String {
        match (&*self.file, self.in_group) {
            (OpenFile::Parquet { file, .. }, Some((place, _))) => parquet_id(file.name(), place),
            (OpenFile::Text(text), _) => text.id(self.row),
            (OpenFile::Parquet { .. }, None) => unreachable!("rows of parquet are located in a group"),
        }
    }
}

/// Reads documents and gives what `take` makes of each, in the order of the rows. Rows of one row group are read
/// together, so that what they share is fetched once; different row groups by several threads.
pub(crate) fn read_documents<T: Send>(
    reading: &Reading<'_>,
    rows: &[&Located],
    take: impl Fn(&Located, Option<&[u8]>) -> Result<T, DatasetError> + Sync,
) -> Result<Vec<T>, DatasetError> {
    let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let group = row.in_group.map_or(0, |(place, _)| place.group);
        groups.entry((row.file_index, group)).or_default().push(index);
    }
    // In the order of their first rows: the first error is then the same whatever the number of threads.
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_by_key(|members| members[0]);
    let taken = parallel::map(&groups, reading.threads, |members| {
        let mut chunk = None;
        let mut taken = Vec::with_capacity(members.len());
        for &index in members {
            let row = rows[index];
            let document = match (&*row.file, row.in_group) {
                (OpenFile::Parquet { file, footer, .. }, Some((place, group))) => {
                    let chunk = match &mut chunk {
                        Some(chunk) => chunk,
                        None => {
                            let nullable = lock(footer).nullable;
                            chunk.insert(TextChunk::open(&**file, place.group, group, nullable)?)
                        }
                    };
                    chunk.document(place.row)?
                }
                (OpenFile::Text(text), _) => text.document(row.row)?,
                (OpenFile::Parquet { .. }, None) => unreachable!("rows of parquet are located in a group"),
            };
            taken.push((index, take(row, document.as_deref())?));
        }
        reading.tell_progress();
        Ok::<_, DatasetError>(taken)
    })?;
    let mut results: Vec<(usize, T)> = taken.into_iter().flatten().collect();
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
