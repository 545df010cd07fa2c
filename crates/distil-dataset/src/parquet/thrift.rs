//! Thrift's compact protocol, as far as parquet files use it, read from bytes that may be anything.
//!
//! Nothing is allocated here but what [`Reader::bytes`] borrows; nesting is bounded, and every turn of every loop takes
//! at least one byte, so no input makes it run longer than it is.

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ThriftError {
    /// The bytes end before the value does; with more of them it may be readable.
    Incomplete,
    /// No further bytes can make it valid.
    Invalid(&'static str),
}

type Result<T> = std::result::Result<T, ThriftError>;

/// Structures within structures.
const MAX_DEPTH: u32 = 16;

/// Type of a value, as the protocol numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    True,
    False,
    I8,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List,
    Set,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn from_nibble(nibble: u8) -> Result<Kind> {
        Ok(match nibble {
            1 => Kind::True,
            2 => Kind::False,
            3 => Kind::I8,
            4 => Kind::I16,
            5 => Kind::I32,
            6 => Kind::I64,
            7 => Kind::Double,
            8 => Kind::Binary,
            9 => Kind::List,
            10 => Kind::Set,
            11 => Kind::Map,
            12 => Kind::Struct,
            13 => Kind::Uuid,
            _ => return Err(ThriftError::Invalid("a value of unknown type")),
        })
    }
}

/// A field of a structure: its number and the type of the value that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) id: i16,
    pub(crate) kind: Kind,
}

/// A place in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, position: 0, depth: 0 }
    }

    /// Bytes taken so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.position).ok_or(ThriftError::Incomplete)?;
        self.position += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::Invalid("a number of more than 64 bits"))
    }

    /// An integer of a field of type I16, I32 or I64.
    pub(crate) fn integer(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A string of bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length =
            usize::try_from(self.varint()?).map_err(|_| ThriftError::Invalid("a string longer than memory"))?;
        let end = self.position.checked_add(length).ok_or(ThriftError::Invalid("a string longer than memory"))?;
        let bytes = self.bytes.get(self.position..end).ok_or(ThriftError::Incomplete)?;
        self.position = end;
        Ok(bytes)
    }

    /// The head of a list: type and number of its elements, which follow.
    pub(crate) fn list(&mut self) -> Result<(Kind, u64)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Ok((Kind::from_nibble(head & 15)?, count))
    }

    /// The head of a list of structures: their number.
    pub(crate) fn structures(&mut self) -> Result<u64> {
        match self.list()? {
            (Kind::Struct, count) => Ok(count),
            (_, 0) => Ok(0),
            _ => Err(ThriftError::Invalid("a list of something else than structures")),
        }
    }

    /// Next field of a structure whose last field was `last` (0 at its start); `None` at its end.
    pub(crate) fn field(&mut self, last: i16) -> Result<Option<Field>> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let id = match head >> 4 {
            0 => i16::try_from(self.integer()?).map_err(|_| ThriftError::Invalid("a field number out of range"))?,
            delta => last.checked_add(i16::from(delta)).ok_or(ThriftError::Invalid("a field number out of range"))?,
        };
        Ok(Some(Field { id, kind: Kind::from_nibble(head & 15)? }))
    }

    /// Reads a structure: `take` is given each field and reads its value or returns false, by which it is skipped.
    pub(crate) fn structure(&mut self, mut take: impl FnMut(&mut Reader<'a>, Field) -> Result<bool>) -> Result<()> {
        self.nested(|reader| {
            let mut last = 0;
            while let Some(field) = reader.field(last)? {
                if !take(reader, field)? {
                    reader.skip(field.kind)?;
                }
                last = field.id;
            }
            Ok(())
        })
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(ThriftError::Invalid("structures nested too deeply"));
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// Passes over the value of a field.
    pub(crate) fn skip(&mut self, kind: Kind) -> Result<()> {
        match kind {
            Kind::True | Kind::False => Ok(()), // the value is the type
            _ => self.skip_element(kind),
        }
    }

    /// Passes over an element of a list, set or map, where booleans take a byte.
    fn skip_element(&mut self, kind: Kind) -> Result<()> {
        match kind {
            Kind::True | Kind::False | Kind::I8 => self.byte().map(drop),
            Kind::I16 | Kind::I32 | Kind::I64 => self.varint().map(drop),
            Kind::Double => self.advance(8),
            Kind::Uuid => self.advance(16),
            Kind::Binary => self.bytes().map(drop),
            Kind::Struct => self.structure(|_, _| Ok(false)),
            Kind::List | Kind::Set => self.nested(|reader| {
                let (element, count) = reader.list()?;
                (0..count).try_for_each(|_| reader.skip_element(element))
            }),
            Kind::Map => self.nested(|reader| {
                let count = reader.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = reader.byte()?;
                let (key, value) = (Kind::from_nibble(kinds >> 4)?, Kind::from_nibble(kinds & 15)?);
                (0..count).try_for_each(|_| {
                    reader.skip_element(key)?;
                    reader.skip_element(value)
                })
            }),
        }
    }

    fn advance(&mut self, count: usize) -> Result<()> {
        if self.bytes.len() - self.position < count {
            return Err(ThriftError::Incomplete);
        }
        self.position += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_strings_and_lists_are_read() {
        // Field 1: i32 -3; field 2: "ab"; field 20 (long form): list of two i64; stop.
        let bytes = [0x15, 0x05, 0x18, 0x02, b'a', b'b', 0x09, 0x28, 0x26, 0x02, 0x04, 0x00];
        let mut seen = Vec::new();
        let mut reader = Reader::new(&bytes);
        reader
            .structure(|reader, field| {
                match field.id {
                    1 => seen.push(reader.integer()?.to_string()),
                    2 => seen.push(String::from_utf8_lossy(reader.bytes()?).into_owned()),
                    _ => {
                        seen.push(format!("{field:?}"));
                        return Ok(false);
                    }
                }
                Ok(true)
            })
            .unwrap();
        assert_eq!(seen, ["-3", "ab", "Field { id: 20, kind: List }"]);
        assert_eq!(reader.position(), bytes.len());
    }

    #[test]
    fn a_deep_nest_and_a_long_number_are_refused() {
        let deep = [0x1c; 40];
        assert!(matches!(Reader::new(&deep).structure(|_, _| Ok(false)), Err(ThriftError::Invalid(_))));
        let long = [0xff; 12];
        assert!(matches!(Reader::new(&long).integer(), Err(ThriftError::Invalid(_))));
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Reader::new(&longest).integer().unwrap(), i64::MIN);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Reader::new(&bytes);
            let _ = reader.structure(|_, _| Ok(false));
            prop_assert!(reader.position() <= bytes.len());
        }

        #[test]
        fn what_is_cut_is_incomplete_not_invalid(cut in 0usize..11) {
            let bytes = [0x15, 0x05, 0x18, 0x02, b'a', b'b', 0x09, 0x28, 0x26, 0x02, 0x04, 0x00];
            prop_assert_eq!(Reader::new(&bytes[..cut]).structure(|_, _| Ok(false)), Err(ThriftError::Incomplete));
        }
    }
}
