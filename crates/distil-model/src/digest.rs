use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::checkpoint::weight_files;
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
/// # Errors
///
/// The folder has no safetensors weights, or a file cannot be read.
pub fn weights_digest(folder: &Path) -> Result<Vec<FileDigest>> {
    let mut files = vec![folder.join("config.json")];
    files.extend(weight_files(folder)?);
    files.iter().map(|path| file_digest(path)).collect()
}

fn file_digest(path: &Path) -> Result<FileDigest> {
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
