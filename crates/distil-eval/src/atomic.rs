//! Files that are there as a whole or not at all.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::EvalError;

/// The folder a path lies in; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Lets `write` make a file of another name in the same folder, syncs it and gives it its name.
///
/// If anything fails nothing is left behind, and a file that had the name stays as it was.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), EvalError> {
    let run = || -> io::Result<()> {
        let folder = parent(path);
        let staging = staging_folder(&folder)?;
        let temporary = staging.path().join("file");
        write(&temporary)?;
        File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(&folder)
    };
    run().map_err(|source| EvalError::Write { path: path.to_owned(), source })
}

/// A folder for unfinished files, with the permissions of any new folder; removed when dropped.
pub(crate) fn staging_folder(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".distil-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o777)); // the umask takes off what others may not do
    }
    builder.tempdir_in(parent)
}

/// Makes renames in a folder last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows can't open folders; there a rename is as durable as the file system makes it.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
