use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::checkpoint::{ByteProgress, weight_files};
use crate::error::{ModelError, Result};

/// The digest of one file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// The file's name in the model's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// SHA-256 of `config.json` and of each safetensors file that a loader reads, in this order, the shards by name.
///
/// `progress` is called after each megabyte.
///
/// # Errors
///
/// The folder has no safetensors weights, or a file cannot be read.
pub fn weights_digest(folder: &Path, progress: &mut dyn FnMut(ByteProgress)) -> Result<Vec<FileDigest>> {
    let mut files = vec![folder.join("config.json")];
    files.extend(weight_files(folder)?);
    let size = |path: &PathBuf| match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(source) => Err(ModelError::Read { path: path.clone(), source }),
    };
    let total = files.iter().map(size).sum::<Result<u64>>()?;
    let mut done = 0;
    let mut advance = |bytes: u64| {
        done += bytes;
        progress(ByteProgress { done, total });
    };
    files.iter().map(|path| file_digest(path, &mut advance)).collect()
}

fn file_digest(path: &Path, advance: &mut dyn FnMut(u64)) -> Result<FileDigest> {
    let read_error = |source| ModelError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read_error)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(read_error)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
        advance(read as u64);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(FileDigest { name, bytes, sha256: hex(&hasher.finalize()) })
}

/// SHA-256 of some bytes, in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
