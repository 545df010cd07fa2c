//! The header of a safetensors file, read without the file: 8 bytes that say how long it is, then JSON that says which
//! tensors the file holds and where.
//!
//! `safetensors` itself wants the whole file, keeps the last of two tensors of one name without a word, and takes a
//! hundred megabytes of JSON. What comes from a stranger's repository is looked at more closely here: everything is
//! bounded before it is allocated, and whatever this parser takes, `safetensors` takes too.

mod json;

use std::ops::Range;

use safetensors::Dtype;
use serde::de::Deserializer as _;

use crate::text::{printable, quoted};
use json::{HeaderVisitor, RawTensor};

/// The longest header that is read: 16 MiB, enough for 100,000 tensors.
///
/// The format allows [`MAX_FORMAT_HEADER_BYTES`]. A mixture of 40 layers of 256 experts, each expert's matrices stored
/// apart, needs 5 MB.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// The longest header that the format allows.
pub const MAX_FORMAT_HEADER_BYTES: u64 = 100_000_000;

/// The longest name of a tensor, in bytes. Those of the models that are known here stay below 100.
pub const MAX_TENSOR_NAME_BYTES: usize = 512;

/// The most dimensions of a tensor. Those of the models that are known here have at most 5.
pub const MAX_DIMENSIONS: usize = 8;

const LENGTH_BYTES: u64 = 8;

/// What a safetensors file holds: its tensors, by name, with dtype, shape and place.
///
/// Every value of this type is sound: names are unique and printable, and the tensors cover the bytes after the header
/// exactly, each with as many bytes as its shape and dtype need.
///
/// ```
/// use distil_checker::SafetensorsHeader;
///
/// let json = br#"{"norm.weight":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}"#;
/// let file_bytes = 8 + json.len() as u64 + 8;
/// let first_bytes = (json.len() as u64).to_le_bytes();
/// assert_eq!(SafetensorsHeader::length(first_bytes, file_bytes)?, json.len() as u64);
///
/// let header = SafetensorsHeader::parse(json, file_bytes)?;
/// assert_eq!(header.tensors()[0].elements(), 4);
/// assert!(SafetensorsHeader::parse(json, file_bytes + 1).is_err());
/// # Ok::<(), distil_checker::HeaderError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetensorsHeader {
    header_bytes: u64,
    file_bytes: u64,
    tensors: Vec<TensorEntry>,
}

/// One tensor of a safetensors file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name as it stands in the file.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, outermost first; empty for a single element.
    pub shape: Vec<u64>,
    /// Its bytes, counted from the beginning of the file.
    pub file_range: Range<u64>,
}

impl TensorEntry {
    /// Number of elements: the product of the dimensions.
    pub fn elements(&self) -> u64 {
        // The parser has checked that this stays within 64 bits.
        self.shape.iter().product()
    }

    /// Number of bytes.
    pub fn size_bytes(&self) -> u64 {
        self.file_range.end - self.file_range.start
    }
}

impl SafetensorsHeader {
    /// The length of the JSON that follows the first 8 bytes of a file of `file_bytes`.
    ///
    /// # Errors
    ///
    /// The length is beyond the file, the format's limit or [`MAX_HEADER_BYTES`].
    pub fn length(first_bytes: [u8; 8], file_bytes: u64) -> Result<u64, HeaderError> {
        let header_bytes = u64::from_le_bytes(first_bytes);
        if file_bytes < LENGTH_BYTES {
            return Err(HeaderError::FileTooShort { file_bytes });
        }
        if header_bytes > file_bytes - LENGTH_BYTES {
            return Err(HeaderError::BeyondFile { header_bytes, file_bytes });
        }
        if header_bytes > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLong { header_bytes });
        }
        Ok(header_bytes)
    }

    /// The tensors that the JSON of a header names, in a file of `file_bytes`.
    ///
    /// # Errors
    ///
    /// It is too long, no JSON of the format, names a tensor twice, or describes tensors that do not cover the rest of
    /// the file exactly: see [`HeaderError`].
    pub fn parse(json: &[u8], file_bytes: u64) -> Result<Self, HeaderError> {
        let header_bytes = json.len() as u64;
        Self::length(header_bytes.to_le_bytes(), file_bytes)?;
        if json.first() != Some(&b'{') {
            return Err(HeaderError::Json { reason: "it does not begin with {".to_owned() });
        }
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let raw = deserializer.deserialize_map(HeaderVisitor).and_then(|raw| deserializer.end().map(|()| raw));
        let mut raw = raw.map_err(|error| HeaderError::Json { reason: printable(&error.to_string()) })?;

        // By place: tensors without bytes stand before the one that begins where they are.
        raw.sort_by_key(|tensor| tensor.offsets);
        let data_start = LENGTH_BYTES + header_bytes;
        let data_bytes = file_bytes - data_start;
        let mut next = 0;
        let mut tensors = Vec::with_capacity(raw.len());
        for tensor in raw {
            let [start, end] = tensor.offsets;
            tensor.check(next, data_bytes)?;
            next = end;
            let RawTensor { name, dtype, shape, .. } = tensor;
            tensors.push(TensorEntry { name, dtype, shape, file_range: data_start + start..data_start + end });
        }
        if next != data_bytes {
            return Err(HeaderError::TrailingBytes { tensors_end: next, data_bytes });
        }
        tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(HeaderError::DuplicateName { tensor: quoted(&pair[0].name) });
        }
        Ok(Self { header_bytes, file_bytes, tensors })
    }

    /// The tensors, in the order of their names.
    pub fn tensors(&self) -> &[TensorEntry] {
        &self.tensors
    }

    /// The tensor of this name, as it stands in the file.
    pub fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        let index = self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()?;
        Some(&self.tensors[index])
    }

    /// The length of the JSON.
    pub fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// The length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Elements of all tensors.
    pub fn elements(&self) -> u64 {
        // Each tensor's elements take at least half a byte of a file whose length is 64 bits.
        self.tensors.iter().map(TensorEntry::elements).fold(0, u64::saturating_add)
    }
}

/// Why a safetensors header is not sound.
///
/// The message does not name the file: whoever read it knows which one it was. Texts from the file are shortened and
/// made printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file ends before the length of its header does.
    #[error("the file has {file_bytes} bytes, too few for a safetensors header")]
    FileTooShort {
        /// Length of the file.
        file_bytes: u64,
    },
    /// The header claims more bytes than the file has.
    #[error(
        "its header claims {header_bytes} bytes, the whole file has {file_bytes}: damaged, cut short or no safetensors"
    )]
    BeyondFile {
        /// Length that the header claims.
        header_bytes: u64,
        /// Length of the file.
        file_bytes: u64,
    },
    /// The header is longer than what is read.
    #[error(
        "its header has {header_bytes} bytes; at most {MAX_HEADER_BYTES} are read (the format allows {MAX_FORMAT_HEADER_BYTES})"
    )]
    TooLong {
        /// Length of the header.
        header_bytes: u64,
    },
    /// The header is not JSON of the format.
    #[error("its header is not that of a safetensors file: {reason}")]
    Json {
        /// What is wrong, and where.
        reason: String,
    },
    /// Two tensors have one name.
    #[error("its header names tensor {tensor} twice")]
    DuplicateName {
        /// The name.
        tensor: String,
    },
    /// The dimensions of a tensor, or its bytes, do not fit in 64 bits.
    #[error("tensor {tensor} of shape {shape:?} has more elements than can be counted")]
    ShapeOverflow {
        /// The tensor's name.
        tensor: String,
        /// Its dimensions.
        shape: Vec<u64>,
    },
    /// A tensor's elements do not fill whole bytes.
    #[error("tensor {tensor} of shape {shape:?} and dtype {dtype} does not fill whole bytes")]
    PartialByte {
        /// The tensor's name.
        tensor: String,
        /// Its dimensions.
        shape: Vec<u64>,
        /// Its dtype.
        dtype: Dtype,
    },
    /// A tensor ends before it begins.
    #[error("tensor {tensor} has offsets {start} to {end}")]
    Reversed {
        /// The tensor's name.
        tensor: String,
        /// Where it begins, counted from the end of the header.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// A tensor's place has another length than its shape and dtype need.
    #[error("tensor {tensor} of shape {shape:?} and dtype {dtype} needs {needed} bytes; its offsets give it {found}")]
    WrongSize {
        /// The tensor's name.
        tensor: String,
        /// Its dimensions.
        shape: Vec<u64>,
        /// Its dtype.
        dtype: Dtype,
        /// Bytes that shape and dtype need.
        needed: u64,
        /// Bytes between its offsets.
        found: u64,
    },
    /// Bytes between two tensors belong to none.
    #[error("tensor {tensor} begins at {start}, though the one before it ends at {expected}: {} bytes belong to no tensor", .start - .expected)]
    Gap {
        /// The tensor after the gap.
        tensor: String,
        /// Where it begins, counted from the end of the header.
        start: u64,
        /// Where it should begin.
        expected: u64,
    },
    /// Two tensors share bytes.
    #[error("tensor {tensor} begins at {start}, though another one ends only at {expected}: they overlap")]
    Overlap {
        /// The second of them.
        tensor: String,
        /// Where it begins, counted from the end of the header.
        start: u64,
        /// Where the other one ends.
        expected: u64,
    },
    /// A tensor ends beyond the file.
    #[error("tensor {tensor} ends at {end}, but only {data_bytes} bytes follow the header: the file is cut short")]
    TensorBeyondFile {
        /// The tensor's name.
        tensor: String,
        /// Where it ends, counted from the end of the header.
        end: u64,
        /// Bytes after the header.
        data_bytes: u64,
    },
    /// The file goes on after its last tensor.
    #[error("its tensors end at {tensors_end}, but {data_bytes} bytes follow the header")]
    TrailingBytes {
        /// Where the last tensor ends, counted from the end of the header.
        tensors_end: u64,
        /// Bytes after the header.
        data_bytes: u64,
    },
}

impl RawTensor {
    fn check(&self, expected: u64, data_bytes: u64) -> Result<(), HeaderError> {
        let [start, end] = self.offsets;
        let tensor = || quoted(&self.name);
        let shape = || self.shape.clone();
        if end < start {
            return Err(HeaderError::Reversed { tensor: tensor(), start, end });
        }
        let elements = self.shape.iter().try_fold(1u64, |product, size| product.checked_mul(*size));
        let Some(bits) = elements.and_then(|elements| elements.checked_mul(self.dtype.bitsize() as u64)) else {
            return Err(HeaderError::ShapeOverflow { tensor: tensor(), shape: shape() });
        };
        if !bits.is_multiple_of(8) {
            return Err(HeaderError::PartialByte { tensor: tensor(), shape: shape(), dtype: self.dtype });
        }
        let (needed, found) = (bits / 8, end - start);
        if needed != found {
            let (shape, dtype) = (shape(), self.dtype);
            return Err(HeaderError::WrongSize { tensor: tensor(), shape, dtype, needed, found });
        }
        if end > data_bytes {
            return Err(HeaderError::TensorBeyondFile { tensor: tensor(), end, data_bytes });
        }
        match start.cmp(&expected) {
            std::cmp::Ordering::Greater => Err(HeaderError::Gap { tensor: tensor(), start, expected }),
            std::cmp::Ordering::Less => Err(HeaderError::Overlap { tensor: tensor(), start, expected }),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
