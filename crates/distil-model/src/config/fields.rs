//! Reading one JSON object of a stranger's file, field by field.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{ModelError, Result};

/// A configuration file larger than this is refused before it is read.
const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// No size in a configuration may be above this; the largest real one is a vocabulary of some 262,000.
const MAX_SIZE: u64 = 1 << 24;

pub(super) fn read_json(path: &Path) -> Result<Map<String, Value>> {
    let bytes = read_bounded(path, MAX_CONFIG_BYTES)?;
    let config_error = |reason: String| ModelError::Config { path: path.to_owned(), reason };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(config_error("is not a JSON object".into())),
        Err(error) => Err(config_error(format!("is not valid JSON: {error}"))),
    }
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    let read_error = |source| ModelError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read_error)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() as u64 > limit {
        return Err(ModelError::Config { path: path.to_owned(), reason: format!("is larger than {limit} bytes") });
    }
    Ok(bytes)
}

/// The fields of one JSON object, with errors that name the file and the field.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    pub(super) prefix: &'static str,
    pub(super) map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn error(&self, name: &str, expected: &str) -> ModelError {
        let found = match self.map.get(name) {
            None => "is missing".to_owned(),
            Some(value) => format!("is {}", shorten(&value.to_string())),
        };
        let reason = format!("field \"{}{name}\" {found}; expected {expected}", self.prefix);
        ModelError::Config { path: self.path.to_owned(), reason }
    }

    /// The value, with JSON's null read as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn size_up_to(&self, name: &str, limit: u64) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64() {
            Some(size) if (1..=limit).contains(&size) => Ok(Some(size as usize)),
            _ => Err(self.error(name, &format!("a whole number from 1 to {limit}"))),
        }
    }

    pub(super) fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        self.size_up_to(name, MAX_SIZE)
    }

    pub(super) fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| self.error(name, "a whole number"))
    }

    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(self.error(name, "a number above 0")),
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.error(name, "true or false")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(name, "a string")),
        }
    }

    pub(super) fn object(&self, name: &str, prefix: &'static str) -> Result<Option<Fields<'a>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields { path: self.path, prefix, map })),
            Some(_) => Err(self.error(name, "an object")),
        }
    }
}

/// Cuts what is quoted from a stranger's file to a length and makes it printable.
pub(crate) fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}
