//! Where results go: standard output, and nothing else goes there.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter};

use crate::exit::CommandError;
use crate::text::is_unsafe;

/// Why a result could not be written.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// The reader of a pipe has gone. That is its right; the program ends quietly.
    ReaderGone,
    /// Anything else.
    Failed(CommandError),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Failed(CommandError::try_again(
                anyhow::Error::new(error).context("cannot write the result to standard output"),
            ))
        }
    }
}

impl From<CommandError> for OutputError {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

/// Writes one JSON document, indented, with a newline at its end.
///
/// Characters that could act on a terminal are written as JSON escapes (`\u001b` for escape), which is the same document.
pub(crate) fn write_json(out: &mut dyn Write, document: &impl Serialize) -> Result<(), OutputError> {
    // Into memory first, so a document that cannot be written leaves no half of one.
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, SafeFormatter(PrettyFormatter::new()));
    document.serialize(&mut serializer).map_err(CommandError::ours)?;
    bytes.push(b'\n');
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(())
}

/// Indented JSON in which control, direction and invisible characters are escaped.
struct SafeFormatter<'a>(PrettyFormatter<'a>);

impl Formatter for SafeFormatter<'_> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut clean_from = 0;
        for (at, character) in fragment.char_indices() {
            if is_unsafe(character) {
                writer.write_all(&fragment.as_bytes()[clean_from..at])?;
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
                clean_from = at + character.len_utf8();
            }
        }
        writer.write_all(&fragment.as_bytes()[clean_from..])
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_document_that_reads_back_and_holds_no_control_characters() {
        let document = serde_json::json!({ "name": "a\u{202e}\u{9b}\u{1b}\u{e0041}é\"" });
        let mut bytes = Vec::new();
        write_json(&mut bytes, &document).expect("memory can be written");
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        assert!(text.chars().all(|character| character == '\n' || !is_unsafe(character)), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("one document");
        assert_eq!(read, document);
    }
}
