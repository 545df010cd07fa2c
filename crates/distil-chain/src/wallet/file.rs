//! Reading a small file that may be anything.

use super::{WalletError, WalletWarning};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// The key files of Bittensor's tools have about 600 bytes.
pub(super) const MAX_KEYFILE_BYTES: u64 = 64 * 1024;

/// A file's content, zeroized when dropped, and what to say about its permissions.
pub(super) struct Content {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) warning: Option<WalletWarning>,
}

/// Symbolic links are followed (secrets are mounted as such); what they lead to is what is checked.
pub(super) fn read(file: &Path) -> Result<Content, WalletError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => WalletError::Missing { file: file.to_owned() },
        _ => WalletError::Unreadable { file: file.to_owned(), source },
    };
    // Before it is opened: to open a pipe would wait for its other end.
    check(file, &fs::metadata(file).map_err(failed)?)?;
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    check(file, &metadata)?;

    // Room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEYFILE_BYTES as usize + 1));
    opened.take(MAX_KEYFILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_KEYFILE_BYTES {
        return Err(too_large(file, bytes.len() as u64));
    }
    Ok(Content { bytes, warning: loose_permissions(file, &metadata) })
}

fn check(file: &Path, metadata: &Metadata) -> Result<(), WalletError> {
    if !metadata.is_file() {
        return Err(WalletError::NotAFile { file: file.to_owned() });
    }
    if metadata.len() > MAX_KEYFILE_BYTES {
        return Err(too_large(file, metadata.len()));
    }
    Ok(())
}

fn too_large(file: &Path, size_bytes: u64) -> WalletError {
    WalletError::TooLarge { file: file.to_owned(), size_bytes, max_bytes: MAX_KEYFILE_BYTES }
}

#[cfg(unix)]
fn loose_permissions(file: &Path, metadata: &Metadata) -> Option<WalletWarning> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    let target = || fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    (mode & 0o077 != 0).then(|| WalletWarning::LoosePermissions { file: target(), mode })
}

#[cfg(not(unix))]
fn loose_permissions(_file: &Path, _metadata: &Metadata) -> Option<WalletWarning> {
    None
}
