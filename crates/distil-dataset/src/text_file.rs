//! Documents in files of text: lines of JSON, a list in JSON, paragraphs, or the whole.

use crate::{
    DatasetError,
    listing::FileKind,
    positioned::{DiskFile, PositionedRead, Purpose},
};
use bytes::Bytes;
use serde::Deserialize;

/// The largest document that is read.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;
/// The largest .json file: it is read as a whole.
const MAX_JSON_BYTES: u64 = 256 << 20;
/// Files with more documents are refused.
const MAX_DOCUMENTS: usize = 10_000_000;
/// Files are looked through in pieces of this size.
const BLOCK_BYTES: u64 = 1 << 20;

/// A file of text with the places of its documents.
pub(crate) struct TextFile {
    file: DiskFile,
    documents: Documents,
}

enum Documents {
    Whole,
    Lines(Vec<Span>),
    Paragraphs(Vec<Span>),
    List(Vec<Option<String>>),
}

/// A stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
    /// Number of its first line, from 1.
    line: u64,
}

/// What a line or an element of a list may be.
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonDocument {
    Text(Option<String>),
    Object {
        // Without this, an object that has no text would pass as one with null.
        #[serde(deserialize_with = "Option::deserialize")]
        text: Option<String>,
    },
}

impl JsonDocument {
    fn into_text(self) -> Option<String> {
        match self {
            JsonDocument::Text(text) | JsonDocument::Object { text } => text,
        }
    }

    /// The same words wherever one is expected and something else is found.
    const EXPECTED: &str = "a string, or an object with a string \"text\", is needed";
}

impl TextFile {
    /// Finds the documents of a file.
    pub(crate) fn open(file: DiskFile, kind: FileKind) -> Result<Self, DatasetError> {
        let documents = match kind {
            FileKind::WholeText => Documents::Whole,
            FileKind::JsonLines => Documents::Lines(find_spans(&file, false)?),
            FileKind::Paragraphs => Documents::Paragraphs(find_spans(&file, true)?),
            FileKind::Json => Documents::List(read_list(&file)?),
            FileKind::Parquet => unreachable!("parquet is read elsewhere"),
        };
        Ok(TextFile { file, documents })
    }

    /// Number of documents.
    pub(crate) fn rows(&self) -> u64 {
        match &self.documents {
            Documents::Whole => 1,
            Documents::Lines(spans) | Documents::Paragraphs(spans) => spans.len() as u64,
            Documents::List(list) => list.len() as u64,
        }
    }

    /// How a document is named.
    pub(crate) fn id(&self, row: u64) -> String {
        let name = self.file.name();
        match &self.documents {
            Documents::Whole => name.to_owned(),
            Documents::Lines(spans) => format!("{name}#L{}", spans[row as usize].line),
            Documents::Paragraphs(_) => format!("{name}#P{}", row + 1),
            Documents::List(_) => format!("{name}#{row}"),
        }
    }

    /// The bytes of a document; `None` for a null.
    pub(crate) fn document(&self, row: u64) -> Result<Option<Bytes>, DatasetError> {
        let wrong = |problem: String| DatasetError::Document { place: self.id(row), problem };
        let read = |start: u64, end: u64| {
            if end - start > MAX_DOCUMENT_BYTES {
                return Err(wrong(format!("it has {} bytes, more than {MAX_DOCUMENT_BYTES}", end - start)));
            }
            self.file.read(start..end, Purpose::Data)
        };
        match &self.documents {
            Documents::Whole => read(0, self.file.size()).map(Some),
            Documents::Paragraphs(spans) => read(spans[row as usize].start, spans[row as usize].end).map(Some),
            Documents::List(list) => {
                Ok(list[row as usize].as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes())))
            }
            Documents::Lines(spans) => {
                let line = read(spans[row as usize].start, spans[row as usize].end)?;
                match serde_json::from_slice::<JsonDocument>(&line) {
                    Ok(document) => Ok(document.into_text().map(Bytes::from)),
                    Err(error) if error.is_data() => Err(wrong(JsonDocument::EXPECTED.to_owned())),
                    Err(error) => Err(wrong(format!("it is not valid JSON: {error}"))),
                }
            }
        }
    }
}

/// The lines that are not blank; with `join`, those that follow each other directly are one span.
fn find_spans(file: &DiskFile, join: bool) -> Result<Vec<Span>, DatasetError> {
    let mut spans: Vec<Span> = Vec::new();
    let mut end_line = |start: u64, end: u64, line: u64| {
        match spans.last_mut() {
            Some(last) if join && last.end == start => last.end = end,
            _ => spans.push(Span { start, end, line }),
        }
        if spans.len() > MAX_DOCUMENTS {
            return Err(DatasetError::Document {
                place: file.name().to_owned(),
                problem: format!("it has more than {MAX_DOCUMENTS} documents"),
            });
        }
        Ok(())
    };
    let (mut start, mut line, mut blank) = (0, 1, true);
    let mut at = 0;
    while at < file.size() {
        let block = file.read(at..file.size().min(at + BLOCK_BYTES), Purpose::Data)?;
        for byte in block.iter() {
            at += 1;
            match byte {
                b'\n' => {
                    if !blank {
                        end_line(start, at, line)?;
                    }
                    (start, line, blank) = (at, line + 1, true);
                }
                _ => blank &= byte.is_ascii_whitespace(),
            }
        }
    }
    if !blank {
        end_line(start, at, line)?;
    }
    Ok(spans)
}

fn read_list(file: &DiskFile) -> Result<Vec<Option<String>>, DatasetError> {
    let wrong = |problem: String| DatasetError::Document { place: file.name().to_owned(), problem };
    if file.size() > MAX_JSON_BYTES {
        return Err(wrong(format!("it has {} bytes, more than {MAX_JSON_BYTES}: write it as .jsonl", file.size())));
    }
    let bytes = file.read(0..file.size(), Purpose::Data)?;
    let list: Vec<JsonDocument> = serde_json::from_slice(&bytes).map_err(|error| {
        // The error's own words may hold all of a long text.
        let place = format!("(line {}, column {})", error.line(), error.column());
        wrong(match error.is_data() {
            true => format!("a list is needed, and of each element {} {place}", JsonDocument::EXPECTED),
            false => format!("it is not valid JSON {place}"),
        })
    })?;
    Ok(list.into_iter().map(JsonDocument::into_text).collect())
}
