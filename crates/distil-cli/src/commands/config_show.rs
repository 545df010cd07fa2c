//! `distil config show`: each setting, its value, and where the value came from.

use std::collections::BTreeMap;
use std::io::Write;

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::exit::ExitStatus;
use crate::output::{OutputError, write_json};
use crate::settings::{Format, SettingLine};
use crate::text::visible;

/// Writes the settings, in the order of the help pages.
pub(crate) fn run(lines: &[SettingLine], format: Format, out: &mut dyn Write) -> Result<ExitStatus, OutputError> {
    match format {
        Format::Json => write_json(out, &document(lines))?,
        Format::Text => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_header(["setting", "value", "from"]);
            for line in lines {
                table.add_row([
                    line.key.clone(),
                    visible(&shown(&line.value)).to_string(),
                    visible(&line.origin.describe()).to_string(),
                ]);
            }
            writeln!(out, "{}", table.trim_fmt())?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}

/// A setting's value and origin in JSON.
#[derive(Debug, Serialize)]
struct Shown {
    value: Value,
    /// `flag`, `environment`, `file` or `default`.
    origin: &'static str,
    /// The flag, the variable or the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Debug, Serialize)]
struct Document {
    settings: BTreeMap<String, Shown>,
}

fn document(lines: &[SettingLine]) -> Document {
    let settings = lines
        .iter()
        .map(|line| {
            let from = (line.origin.layer() != "default").then(|| line.origin.describe());
            let shown = Shown { value: line.value.clone(), origin: line.origin.layer(), from };
            (line.key.clone(), shown)
        })
        .collect();
    Document { settings }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
