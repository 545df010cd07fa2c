//! A folder of files that are each there as a whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Component, Path},
};

use crate::{
    EvalError,
    atomic::{parent, staging_folder, sync_folder},
};

/// Tells early whether [`write_folder`] could write to `folder`, so that hours of work don't end with a full or
/// read-only disk. Makes the folders above it where they are missing, nothing else.
///
/// # Errors
/// [`EvalError::Write`] if it could not.
pub fn check_writable(folder: &Path) -> Result<(), EvalError> {
    let run = || -> io::Result<()> {
        refuse_plain_file(folder)?;
        let above = parent(folder);
        fs::create_dir_all(&above)?;
        let staging = staging_folder(&above)?;
        write_synced(&staging.path().join("probe"), b"probe")?;
        staging.close()?;
        if folder.is_dir() {
            staging_folder(folder)?.close()?;
        }
        Ok(())
    };
    run().map_err(|source| EvalError::Write { path: folder.to_owned(), source })
}

/// Writes files into a folder. All are written and synced beside it first; then a new folder appears with all of
/// them at once, and in one that is there already each file is replaced as a whole. Other files in it stay.
///
/// # Errors
/// [`EvalError::Write`] if any of it fails, with the name of the file at fault; no half-written file is left.
pub fn write_folder(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), EvalError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| EvalError::Write { path, source }
    };
    for (name, _) in files {
        let mut parts = Path::new(name).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(EvalError::Record(format!("{name:?} is not the name of a file in the folder")));
        }
    }
    refuse_plain_file(folder).map_err(failed(folder))?;
    let above = parent(folder);
    fs::create_dir_all(&above).map_err(failed(&above))?;
    let staging = staging_folder(&above).map_err(failed(folder))?;
    for (name, content) in files {
        write_synced(&staging.path().join(name), content).map_err(failed(&folder.join(name)))?;
    }
    if folder.is_dir() {
        for (name, _) in files {
            let target = folder.join(name);
            fs::rename(staging.path().join(name), &target).map_err(failed(&target))?;
        }
        sync_folder(folder).map_err(failed(folder))
    } else {
        sync_folder(staging.path()).map_err(failed(folder))?;
        fs::rename(staging.path(), folder).map_err(failed(folder))?;
        let _ = staging.keep(); // it has its lasting name now
        sync_folder(&above).map_err(failed(folder))
    }
}

fn refuse_plain_file(folder: &Path) -> io::Result<()> {
    if folder.exists() && !folder.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is a file; a folder is needed"));
    }
    Ok(())
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> (String, Vec<u8>) {
        (name.to_owned(), content.as_bytes().to_vec())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_folder_appears_with_all_files() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("runs/one");
        write_folder(&out, &[file("a", "1"), file("b", "2")]).unwrap();
        assert_eq!(names(&out), ["a", "b"]);
        assert_eq!(names(&root.path().join("runs")), ["one"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let plain = root.path().join("plain");
            fs::create_dir(&plain).unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode(&out), mode(&plain), "as readable as any new folder");
        }
    }

    #[test]
    fn files_in_a_folder_that_is_there_are_replaced() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        write_folder(&out, &[file("a", "1"), file("b", "2")]).unwrap();
        fs::write(out.join("notes"), "mine").unwrap();
        write_folder(&out, &[file("a", "3")]).unwrap();
        assert_eq!(names(&out), ["a", "b", "notes"]);
        assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "3");
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn names_can_not_leave_the_folder() {
        let root = tempfile::tempdir().unwrap();
        for name in ["../x", "a/b", "/x", "", ".", ".."] {
            let result = write_folder(&root.path().join("out"), &[file(name, "")]);
            assert!(matches!(result, Err(EvalError::Record(_))), "{name:?}");
        }
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        fs::write(&out, "mine").unwrap();
        for result in [write_folder(&out, &[file("a", "1")]), check_writable(&out)] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains("out") && message.contains("a folder is needed"), "{message}");
        }
        let below = out.join("deeper");
        assert!(matches!(check_writable(&below), Err(EvalError::Write { .. })));
        assert!(matches!(write_folder(&below, &[file("a", "1")]), Err(EvalError::Write { .. })));
        assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn the_check_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        check_writable(&root.path().join("out")).unwrap();
        assert!(names(root.path()).is_empty());
    }
}
