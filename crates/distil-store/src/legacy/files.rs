//! The files, read within bounds, whatever they are.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::places::shown;
use crate::StoreError;

/// The most bytes of one file. The largest of the original, a prompt cache, had 2 MB.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// The most files that are looked at.
const MAX_FILES: usize = 1000;
/// Subfolders that are looked into, one level deep.
const SUBFOLDERS: [&str; 2] = ["api_cache", "prompt_cache"];

/// One file, and its content, or why it cannot be used.
pub(super) struct LegacyFile {
    /// Relative to the folder, as it is on the disk; it may not be printable.
    pub(super) name: String,
    pub(super) content: Result<Content, String>,
}

/// A document, and how many numbers in it were not finite and stand as null now.
#[derive(Debug, PartialEq)]
pub(super) struct Content {
    pub(super) document: Value,
    pub(super) not_finite: usize,
}

/// Every file of the folder, sorted by name.
pub(super) fn read(folder: &Path) -> Result<Vec<LegacyFile>, StoreError> {
    let fail = |error: std::io::Error| StoreError::CannotOpen { path: folder.to_owned(), problem: error.to_string() };
    let mut files = Vec::new();
    let mut names = list(folder).map_err(fail)?;
    names.retain(|name| {
        let is_folder = std::fs::symlink_metadata(folder.join(name)).is_ok_and(|metadata| metadata.is_dir());
        if is_folder && !SUBFOLDERS.contains(&name.as_str()) {
            files.push(LegacyFile { name: name.clone(), content: Err("it is a folder of no known use".to_owned()) });
        }
        !is_folder
    });
    for subfolder in SUBFOLDERS {
        let path = folder.join(subfolder);
        if std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            match list(&path) {
                Ok(inner) => names.extend(inner.into_iter().map(|name| format!("{subfolder}/{name}"))),
                Err(error) => files.push(LegacyFile { name: subfolder.to_owned(), content: Err(error.to_string()) }),
            }
        }
    }
    for (index, name) in names.into_iter().enumerate() {
        let content = if index >= MAX_FILES {
            Err(format!("only the first {MAX_FILES} files are looked at"))
        } else if !name.ends_with(".json") {
            Err("it is not a .json file".to_owned())
        } else {
            read_file(&folder.join(&name))
        };
        files.push(LegacyFile { name, content });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// The names in a folder, sorted; those that are no text are left out, since no file of the original has one.
fn list(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(10 * MAX_FILES) {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read_file(path: &Path) -> Result<Content, String> {
    // A pipe would block and a device never end.
    let metadata = std::fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a plain file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    parse(&bytes)
}

/// Reads JSON as Python writes it: NaN and infinities stand bare where numbers do. They become null.
pub(super) fn parse(bytes: &[u8]) -> Result<Content, String> {
    if bytes.is_empty() {
        return Err("it is empty: it was cut off while it was written".to_owned());
    }
    let (bytes, not_finite) = replace_not_finite(bytes);
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Content { document, not_finite }),
        Err(error) => Err(format!("it is not JSON: {}", shown(&error.to_string()))),
    }
}

/// Writes null for every `NaN`, `Infinity` and `-Infinity` outside of strings, and gives how many there were.
fn replace_not_finite(bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut replaced = Vec::with_capacity(bytes.len() + bytes.len() / 3);
    let (mut rest, mut in_string, mut count) = (bytes, false, 0);
    while let Some((&byte, after)) = rest.split_first() {
        let word = [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|word| rest.starts_with(word));
        match (byte, word) {
            // What is escaped cannot end the string.
            (b'\\', _) if in_string && !after.is_empty() => {
                replaced.extend([byte, after[0]]);
                rest = &after[1..];
                continue;
            }
            (b'"', _) => in_string = !in_string,
            (_, Some(word)) if !in_string => {
                replaced.extend(b"null");
                rest = &rest[word.len()..];
                count += 1;
                continue;
            }
            _ => {}
        }
        replaced.push(byte);
        rest = after;
    }
    (replaced, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn d16_corrupt_and_empty_files() {
        assert!(parse(b"").unwrap_err().contains("empty"));
        for bad in ["{", "{\"1\": 0.1", "\u{0}\u{0}", "nul", "{} {}", "{\"a\": NaNa}"] {
            assert!(parse(bad.as_bytes()).unwrap_err().contains("not JSON"), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn d1_what_is_not_finite_becomes_null_outside_of_strings() {
        let text = r#"{"1": NaN, "2": [Infinity, -Infinity, -1e5], "NaN": "NaN \"Infinity", "3": 1e999}"#;
        // Too large a number is no JSON that could be read.
        assert!(parse(text.as_bytes()).is_err());
        let content = parse(text.replace("1e999", "1e99").as_bytes()).unwrap();
        assert_eq!(content.not_finite, 3);
        assert_eq!(content.document, json!({"1": null, "2": [null, null, -1e5], "NaN": "NaN \"Infinity", "3": 1e99}));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'N'), any::<u8>()], 0..80)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_is_json_stays_what_it_is(text in "\\PC{0,20}", number in any::<i32>()) {
            let document = json!({ text.clone(): [text, number, null, true, "NaN"] });
            let content = parse(document.to_string().as_bytes()).unwrap();
            prop_assert_eq!(content, Content { document, not_finite: 0 });
        }
    }
}
