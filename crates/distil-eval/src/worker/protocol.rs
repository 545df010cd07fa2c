//! What goes over the pipe. `PROTOCOL.md` says the same in words; every change of either is one of the other.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Blame;
use crate::{
    ModelIdentity, Work,
    cache::document::{FileEntry, Rules, Teacher, is_digest},
    record::RunEnvironment,
};

/// The version of the protocol that this release speaks.
pub const PROTOCOL_VERSION: u64 = 1;

/// The longest line that a worker may send, in bytes, its end included: some 40,000 positions of a prompt.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// The longest request, in bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 << 20;
const MAX_FILES: usize = 4200;
const MAX_ENTRIES: usize = 64;
const MAX_NAME_CHARS: usize = 255;

/// What a worker is doing. Stages come in this order, though not all of them in every pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// The model is brought to the worker's host.
    Download,
    /// What is kept of the teacher is read, for a student.
    TeacherStates,
    /// The teacher's tokenizer encodes the prompts.
    Tokenize,
    /// Digests of the model's files are taken.
    Digest,
    /// The model is loaded.
    Load,
    /// The teacher continues the prompts.
    Generate,
    /// The teacher runs over prompts and continuations.
    Forward,
    /// The student is scored.
    Score,
    /// What is kept of the teacher is written.
    KeepStates,
}

impl Stage {
    /// Who has to answer for a process that ends in this stage.
    pub fn blame(self) -> Blame {
        match self {
            Self::Download => Blame::Network,
            Self::TeacherStates | Self::KeepStates => Blame::Host,
            Self::Tokenize | Self::Digest | Self::Load | Self::Generate | Self::Forward | Self::Score => Blame::Model,
        }
    }

    /// For messages.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Download => "its download",
            Self::TeacherStates => "reading the teacher's states",
            Self::Tokenize => "tokenizing",
            Self::Digest => "taking digests",
            Self::Load => "loading the model",
            Self::Generate => "generating",
            Self::Forward => "the forward pass",
            Self::Score => "scoring",
            Self::KeepStates => "keeping the teacher's states",
        }
    }
}

/// The first line of a worker.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    pub(crate) distil_worker: u64,
    /// The release, for people.
    pub(crate) release: String,
}

/// The one line that a worker reads.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestLine {
    pub(crate) distil_worker: u64,
    /// How often signs of life are wanted.
    pub(crate) heartbeat_ms: u64,
    pub(crate) settings: SettingsEntry,
    pub(crate) model: ModelEntry,
    pub(crate) pass: PassEntry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsEntry {
    pub(crate) device: String,
    pub(crate) dtype: String,
    pub(crate) threads: usize,
    pub(crate) batch_tokens: usize,
    pub(crate) cache_budget_bytes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ModelEntry {
    Folder { name: String, path: String },
    Hub { repo: String, revision: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PassEntry {
    Teacher { cache_key: String, generation: Rules, prompts: PromptsEntry },
    Student { cache_key: String, cache_digest: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PromptsEntry {
    Continue(Vec<TextEntry>),
    Recorded(Vec<RecordedEntry>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextEntry {
    pub(crate) id: String,
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedEntry {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) prompt: Vec<u32>,
    pub(crate) continuation: Vec<u32>,
}

/// Any further line of a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Message {
    Heartbeat {
        from: Source,
    },
    Environment {
        device: String,
        dtype: String,
        threads: usize,
        kl_kernel: String,
        versions: BTreeMap<String, String>,
    },
    Progress {
        stage: Stage,
        done: Work,
        total: Work,
    },
    Teacher(Teacher),
    Prompt {
        index: usize,
        prompt: Vec<u32>,
        continuation: Vec<u32>,
    },
    Student {
        architecture: String,
        files: Vec<FileEntry>,
    },
    Kl {
        prompt: usize,
        nats: Vec<f64>,
    },
    Done {
        /// Of a teacher pass.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        cache_digest: Option<String>,
        seconds: BTreeMap<String, f64>,
        peak_rss_bytes: Option<u64>,
    },
    Failed {
        kind: FailureKind,
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        retry_after_ms: Option<u64>,
    },
    /// From the worker's host: the process that ran the pass is no more.
    Died(Death),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The worker's host is there.
    Host,
    /// So is the process that runs the pass.
    Pass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    Model,
    Absent,
    Download,
    Host,
    TeacherCacheMissing,
    Request,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Death {
    Signal(i32),
    Code(i32),
    /// It wrote a line without end, and was ended for it.
    Flood,
}

/// Reads one line's JSON. The error says where it is wrong and quotes nothing.
pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "it is not JSON",
            serde_json::error::Category::Data => "a field is not what it has to be",
            serde_json::error::Category::Io => "it can't be read",
        };
        format!("{what} (byte {} of {})", error.column(), line.len())
    })
}

/// Writes one line and sends it off.
pub(crate) fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line).map_err(io::Error::other)?;
    bytes.push(b'\n');
    out.write_all(&bytes)?;
    out.flush()
}

/// A line, or what came in its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line, without its end.
    Whole(Vec<u8>),
    /// More bytes than may be, with no end.
    TooLong,
    /// The stream is over; of a line without end nothing is kept.
    End,
}

/// Reads up to the next line's end, and never keeps more than `max_bytes`.
pub(crate) fn read_line(input: &mut impl BufRead, max_bytes: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(Line::End);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(buffer.len());
        if line.len() + taken >= max_bytes {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(&buffer[..taken]);
        input.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Line::Whole(line));
        }
    }
}

/// The beginning of a text from outside, printable.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS: usize = 600;
    // Each character is judged by itself, so that a text that is fine stays as it is.
    let printable = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        other => other.escape_debug().to_string(),
    };
    let mut shown: String = text.trim_end().chars().take(CHARS).map(printable).collect();
    if text.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn check_name(what: &str, text: &str) -> Result<(), String> {
    let fits = !text.is_empty() && text.chars().count() <= MAX_NAME_CHARS && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(format!("{what} is empty, too long or not printable")) }
}

pub(crate) fn file_entries(identity: &ModelIdentity) -> Vec<FileEntry> {
    identity.files.iter().map(FileEntry::from).collect()
}

/// A model's identity from its wire form.
pub(crate) fn identity(architecture: String, files: Vec<FileEntry>) -> Result<ModelIdentity, String> {
    check_name("the architecture", &architecture)?;
    if files.len() > MAX_FILES {
        return Err(format!("a model of {} files", files.len()));
    }
    for file in &files {
        check_name("a file's name", &file.name)?;
        if !is_digest(&file.sha256) {
            return Err("a file's digest is not 64 lower-case hex digits".to_owned());
        }
    }
    Ok(ModelIdentity { architecture, files: files.into_iter().map(Into::into).collect() })
}

/// A run's environment from its wire form.
pub(crate) fn environment(
    device: String,
    dtype: String,
    threads: usize,
    kl_kernel: String,
    versions: BTreeMap<String, String>,
) -> Result<RunEnvironment, String> {
    for (what, text) in [("the device", &device), ("the dtype", &dtype), ("the kernel", &kl_kernel)] {
        check_name(what, text)?;
    }
    if threads == 0 || versions.len() > MAX_ENTRIES {
        return Err("no threads, or too many versions".to_owned());
    }
    for (name, version) in &versions {
        check_name("a component", name)?;
        check_name("a version", version)?;
    }
    Ok(RunEnvironment { device, dtype, threads, kl_kernel, versions })
}

/// Checks the seconds of stages.
pub(crate) fn check_seconds(seconds: &BTreeMap<String, f64>) -> Result<(), String> {
    if seconds.len() > MAX_ENTRIES {
        return Err(format!("seconds of {} stages", seconds.len()));
    }
    for (name, seconds) in seconds {
        check_name("a stage", name)?;
        if !(seconds.is_finite() && *seconds >= 0.0) {
            return Err("a stage's seconds are negative or not finite".to_owned());
        }
    }
    Ok(())
}

/// The lowest KL, in nats, that rounding can give where the true one is 0.
const LOWEST_KL_NATS: f64 = -1e-6;

/// Checks the divergences of one prompt.
pub(crate) fn check_kl(nats: &[f64], positions: usize) -> Result<(), String> {
    if nats.len() != positions {
        return Err(format!("{} divergences for a prompt of {positions} positions", nats.len()));
    }
    match nats.iter().find(|kl| !(kl.is_finite() && **kl >= LOWEST_KL_NATS)) {
        Some(kl) => Err(format!("a divergence of {kl} nats")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufReader, Cursor};

    #[test]
    fn d14_lines_are_bounded_before_they_are_kept() {
        let mut input = BufReader::with_capacity(7, Cursor::new(b"short\n\nexactly8\nlonger than that\ncut".to_vec()));
        assert_eq!(read_line(&mut input, 9).unwrap(), Line::Whole(b"short".to_vec()));
        assert_eq!(read_line(&mut input, 9).unwrap(), Line::Whole(Vec::new()));
        assert_eq!(read_line(&mut input, 9).unwrap(), Line::Whole(b"exactly8".to_vec()));
        assert_eq!(read_line(&mut input, 9).unwrap(), Line::TooLong);
        let mut input = Cursor::new(b"cut".to_vec());
        assert_eq!(read_line(&mut input, 9).unwrap(), Line::End, "half a line is none");
        assert_eq!(read_line(&mut BufReader::new(io::repeat(b'x')), 1 << 16).unwrap(), Line::TooLong);
    }

    #[test]
    fn d1_divergences_that_cannot_be_are_refused() {
        assert!(check_kl(&[0.0, -1e-7, 30.0], 3).is_ok());
        for bad in [&[0.0, 0.0][..], &[0.0, 0.0, -1e-5], &[0.0, f64::NAN, 0.0], &[f64::INFINITY, 0.0, 0.0]] {
            assert!(check_kl(bad, 3).is_err(), "{bad:?}");
        }
        for text in [
            r#"{"kl":{"prompt":0,"nats":[NaN]}}"#,
            r#"{"kl":{"prompt":0,"nats":[1e999]}}"#,
            r#"{"kl":{"prompt":0,"nats":[null]}}"#,
            r#"{"kl":{"prompt":-1,"nats":[]}}"#,
            r#"{"kl":{"prompt":0,"nats":[],"more":1}}"#,
            r#"{"kl":{"prompt":0,"nats":[]},"done":{}}"#,
            r#"{"crown":{"model":"mine"}}"#,
            "",
            "{",
        ] {
            assert!(parse::<Message>(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        /// To the last bit, the sign of zero included.
        #[test]
        fn numbers_arrive_as_they_were_sent(nats in proptest::collection::vec(
            any::<f64>().prop_filter("finite", |kl| kl.is_finite()), 0..50), prompt in any::<usize>()) {
            let mut line = Vec::new();
            write_line(&mut line, &Message::Kl { prompt, nats: nats.clone() }).unwrap();
            let Line::Whole(line) = read_line(&mut line.as_slice(), MAX_MESSAGE_BYTES).unwrap() else { panic!() };
            let Message::Kl { prompt: read_prompt, nats: read } = parse(&line).unwrap() else { panic!() };
            prop_assert_eq!(read_prompt, prompt);
            let bits = |nats: &[f64]| nats.iter().map(|kl| kl.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&nats));
        }

        #[test]
        fn any_bytes_are_refused_or_read_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse::<Message>(&bytes);
            let _ = parse::<Hello>(&bytes);
            let _ = parse::<RequestLine>(&bytes);
        }

        #[test]
        fn nearly_right_json_is_refused_or_read_and_never_panics(
            text in r#"\{"(kl|prompt|done|failed|died|progress|teacher|student|heartbeat)":(\{("(prompt|nats|index|stage|done|total|from|kind|reason|signal)":(0|-1|1e9|"pass"|"load"|\[\]|\[1,2\]|null|\{\}),?){0,4}\}|"flood"|null)\}"#
        ) {
            if let Ok(message) = parse::<Message>(text.as_bytes()) {
                let written = serde_json::to_vec(&message).unwrap();
                prop_assert!(parse::<Message>(&written).is_ok());
            }
        }

        #[test]
        fn excerpts_are_short_and_printable(text in any::<String>()) {
            let shown = excerpt(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(shown.chars().count() <= 601 * 10);
        }
    }
}
