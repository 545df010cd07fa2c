//! Small files read whole, within a bound.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Reads a text file of at most `max_bytes`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> anyhow::Result<String> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let kind = file.metadata().with_context(|| format!("cannot look at {shown}"))?;
    if kind.is_dir() {
        bail!("{shown} is a folder, not a file");
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that grows, or a pipe without a length, is caught as well.
    file.take(max_bytes + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > max_bytes {
        bail!("{shown} is larger than {max_bytes} bytes");
    }
    String::from_utf8(bytes).with_context(|| format!("{shown} is not text in UTF-8"))
}
