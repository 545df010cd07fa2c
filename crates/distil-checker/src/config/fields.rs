//! Reading one JSON object of a stranger's file, field by field, keeping what is wrong with each.

use std::{cell::RefCell, fmt};

use serde_json::{Map, Value};

use super::MAX_SIZE;
use crate::text::quoted;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigProblem {
    /// Where it is: `text_config.hidden_size`.
    pub(crate) field: String,
    /// Its value, shortened and printable; `None` where it is missing.
    pub(crate) found: Option<String>,
    /// What it has to be.
    pub(crate) needed: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, found, needed } = self;
        match found {
            Some(found) => write!(f, "field \"{field}\" is {found}; {needed} is needed"),
            None => write!(f, "field \"{field}\" is missing; {needed} is needed"),
        }
    }
}

pub(super) type Problems = RefCell<Vec<ConfigProblem>>;

/// The fields of one object. A getter that meets something wrong notes it and gives `None`.
pub(super) struct Fields<'a> {
    pub(super) prefix: &'static str,
    pub(super) map: &'a Map<String, Value>,
    pub(super) problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// Notes that a field is not what is needed.
    pub(super) fn wrong<T>(&self, name: &str, needed: impl Into<String>) -> Option<T> {
        let found = self.map.get(name).map(|value| match value {
            Value::String(text) => quoted(text),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            other => other.to_string(),
        });
        self.note(name, found, needed)
    }

    pub(super) fn note<T>(&self, name: &str, found: Option<String>, needed: impl Into<String>) -> Option<T> {
        let problem = ConfigProblem { field: format!("{}{name}", self.prefix), found, needed: needed.into() };
        self.problems.borrow_mut().push(problem);
        None
    }

    /// The value, with JSON's null read as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A whole number from 1 to `limit`; `default` where the field is absent.
    pub(super) fn size_or(&self, name: &str, limit: u64, default: u64) -> Option<u64> {
        let Some(value) = self.get(name) else { return Some(default) };
        match value.as_u64() {
            Some(size) if (1..=limit).contains(&size) => Some(size),
            _ => self.wrong(name, format!("a whole number from 1 to {limit}")),
        }
    }

    /// A size that has to be there.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        match self.has(name) {
            true => self.size_or(name, MAX_SIZE, 1),
            false => self.wrong(name, "a whole number"),
        }
    }

    /// A number above 0, or nothing: the outer `None` is a wrong one.
    pub(super) fn positive(&self, name: &str) -> Option<Option<f64>> {
        let Some(value) = self.get(name) else { return Some(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Some(Some(number)),
            _ => self.wrong(name, "a number above 0"),
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Option<bool> {
        match self.get(name) {
            None => Some(default),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => self.wrong(name, "true or false"),
        }
    }

    /// A text, or nothing: the outer `None` is a wrong one.
    pub(super) fn text(&self, name: &str) -> Option<Option<&'a str>> {
        match self.get(name) {
            None => Some(None),
            Some(Value::String(text)) => Some(Some(text)),
            Some(_) => self.wrong(name, "a string"),
        }
    }

    /// An object, or nothing: the outer `None` is a wrong one.
    pub(super) fn object(&self, name: &str, prefix: &'static str) -> Option<Option<Fields<'a>>> {
        match self.get(name) {
            None => Some(None),
            Some(Value::Object(map)) => Some(Some(Fields { prefix, map, problems: self.problems })),
            Some(_) => self.wrong(name, "an object"),
        }
    }
}
