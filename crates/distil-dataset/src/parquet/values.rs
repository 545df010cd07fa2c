//! Decoding the values of one page of a text column.

use std::ops::ControlFlow;

/// How the values of a data page are written, by the format's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Dictionary,
    DeltaLength,
    DeltaByteArray,
}

impl Encoding {
    pub(crate) fn from_number(number: i64) -> Result<Encoding, String> {
        match number {
            0 => Ok(Encoding::Plain),
            2 | 8 => Ok(Encoding::Dictionary),
            6 => Ok(Encoding::DeltaLength),
            7 => Ok(Encoding::DeltaByteArray),
            other => Err(format!("a page of the text column has encoding {other}, which is not one for texts")),
        }
    }
}

/// The entries of a dictionary page.
#[derive(Debug)]
pub(crate) struct Dictionary {
    bytes: Vec<u8>,
    /// Start and end of each entry.
    spans: Vec<(u32, u32)>,
}

impl Dictionary {
    pub(crate) fn parse(bytes: Vec<u8>, count: u32) -> Result<Dictionary, String> {
        // Every entry takes at least its length of four bytes.
        if u64::from(count) * 4 > bytes.len() as u64 {
            return Err(format!("a dictionary page says {count} entries but has only {} bytes", bytes.len()));
        }
        let mut spans = Vec::with_capacity(count as usize);
        let mut rest = Plain { bytes: &bytes, position: 0 };
        for _ in 0..count {
            let entry = rest.next()?;
            spans.push(((rest.position - entry.len()) as u32, rest.position as u32));
        }
        Ok(Dictionary { bytes, spans })
    }

    fn entry(&self, index: u32) -> Result<&[u8], String> {
        let (start, end) = self
            .spans
            .get(index as usize)
            .ok_or_else(|| format!("entry {index} of a dictionary of {} is referred to", self.spans.len()))?;
        Ok(&self.bytes[*start as usize..*end as usize])
    }
}

/// A data page, decompressed and taken apart.
#[derive(Debug)]
pub(crate) struct DataPage<'a> {
    /// Rows in the page, nulls included.
    pub(crate) rows: u32,
    pub(crate) encoding: Encoding,
    /// Definition levels, of a nullable column.
    pub(crate) levels: Option<&'a [u8]>,
    pub(crate) values: &'a [u8],
}

impl DataPage<'_> {
    /// Hands every row to `visit` in order, `None` for a null, until it breaks.
    pub(crate) fn visit(
        &self,
        dictionary: Option<&Dictionary>,
        mut visit: impl FnMut(u32, Option<&[u8]>) -> Result<ControlFlow<()>, String>,
    ) -> Result<(), String> {
        let mut levels = self.levels.map(|levels| Hybrid::new(levels, 1));
        let mut values = Values::new(self, dictionary)?;
        for row in 0..self.rows {
            let present = match &mut levels {
                Some(levels) => levels.next()? == 1,
                None => true,
            };
            let value = if present { Some(values.next()?) } else { None };
            if visit(row, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

enum Values<'a> {
    Plain(Plain<'a>),
    Dictionary {
        indices: Hybrid<'a>,
        dictionary: &'a Dictionary,
    },
    DeltaLength {
        lengths: std::vec::IntoIter<u32>,
        rest: &'a [u8],
    },
    DeltaByteArray {
        prefixes: std::vec::IntoIter<u32>,
        suffixes: std::vec::IntoIter<u32>,
        rest: &'a [u8],
        value: Vec<u8>,
    },
}

impl<'a> Values<'a> {
    fn new(page: &DataPage<'a>, dictionary: Option<&'a Dictionary>) -> Result<Self, String> {
        let bytes = page.values;
        Ok(match page.encoding {
            Encoding::Plain => Values::Plain(Plain { bytes, position: 0 }),
            Encoding::Dictionary => {
                let dictionary = dictionary.ok_or("a page refers to a dictionary, but the column has none")?;
                // A page of nulls may have nothing here, not even the width.
                let (width, indices) = bytes.split_first().map_or((0, bytes), |(width, rest)| (*width, rest));
                if width > 32 {
                    return Err(format!("dictionary indices of {width} bits"));
                }
                Values::Dictionary { indices: Hybrid::new(indices, width), dictionary }
            }
            Encoding::DeltaLength => {
                let (lengths, used) = delta_lengths(bytes, page.rows)?;
                Values::DeltaLength { lengths: lengths.into_iter(), rest: &bytes[used..] }
            }
            Encoding::DeltaByteArray => {
                let (prefixes, used) = delta_lengths(bytes, page.rows)?;
                let (suffixes, more) = delta_lengths(&bytes[used..], page.rows)?;
                Values::DeltaByteArray {
                    prefixes: prefixes.into_iter(),
                    suffixes: suffixes.into_iter(),
                    rest: &bytes[used + more..],
                    value: Vec::new(),
                }
            }
        })
    }

    fn next(&mut self) -> Result<&[u8], String> {
        fn take<'a>(rest: &mut &'a [u8], length: u32) -> Result<&'a [u8], String> {
            let (value, after) = rest.split_at_checked(length as usize).ok_or("a value goes beyond its page")?;
            *rest = after;
            Ok(value)
        }
        const FEWER: &str = "a page has fewer values than its header says";
        match self {
            Values::Plain(plain) => plain.next(),
            Values::Dictionary { indices, dictionary } => dictionary.entry(indices.next()?),
            Values::DeltaLength { lengths, rest } => take(rest, lengths.next().ok_or(FEWER)?),
            Values::DeltaByteArray { prefixes, suffixes, rest, value } => {
                let prefix = prefixes.next().ok_or(FEWER)? as usize;
                let suffix = take(rest, suffixes.next().ok_or(FEWER)?)?;
                if prefix > value.len() {
                    return Err("a value shares more with the one before than that has".to_owned());
                }
                value.truncate(prefix);
                value.extend_from_slice(suffix);
                Ok(value)
            }
        }
    }
}

/// Each value after its length, four bytes little endian.
struct Plain<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Plain<'a> {
    fn next(&mut self) -> Result<&'a [u8], String> {
        let beyond = || "a value goes beyond its page".to_owned();
        let rest = &self.bytes[self.position..];
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(beyond)?;
        let value = rest.get(..u32::from_le_bytes(*length) as usize).ok_or_else(beyond)?;
        self.position += 4 + value.len();
        Ok(value)
    }
}

/// Runs of one number, and numbers packed into bits: the format's "RLE / bit-packing hybrid".
struct Hybrid<'a> {
    bytes: &'a [u8],
    position: usize,
    width: u8,
    run: Run,
}

enum Run {
    Repeated { value: u32, left: u64 },
    Packed { bit: usize, left: u64 },
}

impl<'a> Hybrid<'a> {
    fn new(bytes: &'a [u8], width: u8) -> Self {
        Hybrid { bytes, position: 0, width, run: Run::Repeated { value: 0, left: 0 } }
    }

    fn next(&mut self) -> Result<u32, String> {
        const END: &str = "a page ends within its levels or indices";
        loop {
            match &mut self.run {
                Run::Repeated { value, left } if *left > 0 => {
                    *left -= 1;
                    return Ok(*value);
                }
                Run::Packed { bit, left } if *left > 0 => {
                    let value = bits(self.bytes, *bit, self.width).ok_or(END)?;
                    *left -= 1;
                    *bit += usize::from(self.width);
                    if *left == 0 {
                        self.position = bit.div_ceil(8);
                    }
                    return Ok(value);
                }
                _ => {}
            }
            if self.width == 0 && self.position >= self.bytes.len() {
                return Ok(0); // numbers of no bits need not be there
            }
            let head = varint(self.bytes, &mut self.position).ok_or(END)?;
            self.run = if head & 1 == 1 {
                Run::Packed { bit: self.position * 8, left: (head >> 1).saturating_mul(8) }
            } else {
                let size = usize::from(self.width).div_ceil(8);
                let raw = self.bytes.get(self.position..self.position + size).ok_or(END)?;
                self.position += size;
                let value = raw.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
                if self.width < 32 && value >> self.width != 0 {
                    return Err("a level or index has more bits than it may".to_owned());
                }
                Run::Repeated { value: value as u32, left: head >> 1 }
            };
        }
    }
}

/// `width` bits from bit `start` on, the lowest first.
fn bits(bytes: &[u8], start: usize, width: u8) -> Option<u32> {
    let end = start + usize::from(width);
    let raw = bytes.get(start / 8..end.div_ceil(8))?;
    let value = raw.iter().rev().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
    Some((value >> (start % 8)) as u32 & ((1u64 << width) - 1) as u32)
}

fn varint(bytes: &[u8], position: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*position)?;
        *position += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The format's DELTA_BINARY_PACKED, for lengths: at most `most` of them. Gives them and the bytes they took.
fn delta_lengths(bytes: &[u8], most: u32) -> Result<(Vec<u32>, usize), String> {
    let end = || "a page ends within its lengths".to_owned();
    let wrong = |what: &str| format!("the lengths of a page are not valid: {what}");
    let mut position = 0;
    let block = varint(bytes, &mut position).ok_or_else(end)?;
    let miniblocks = varint(bytes, &mut position).ok_or_else(end)?;
    let count = varint(bytes, &mut position).ok_or_else(end)?;
    let zigzag = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
    let mut value = zigzag(varint(bytes, &mut position).ok_or_else(end)?);
    if count > u64::from(most) {
        return Err(wrong("more of them than rows"));
    }
    if block == 0 || block > 1 << 20 || !block.is_multiple_of(128) || miniblocks == 0 || block % miniblocks != 0 {
        return Err(wrong("block sizes"));
    }
    let per_miniblock = (block / miniblocks) as usize;
    if !per_miniblock.is_multiple_of(32) {
        return Err(wrong("block sizes"));
    }
    let length = |value: i64| u32::try_from(value).map_err(|_| wrong("a length out of range"));
    let mut lengths = Vec::new();
    if count > 0 {
        lengths.push(length(value)?);
    }
    while (lengths.len() as u64) < count {
        let least = zigzag(varint(bytes, &mut position).ok_or_else(end)?);
        let widths = bytes.get(position..position + miniblocks as usize).ok_or_else(end)?;
        position += widths.len();
        for &width in widths {
            if lengths.len() as u64 == count {
                break; // what is left of the block is not written
            }
            if width > 32 {
                return Err(wrong("differences of more than 32 bits"));
            }
            let packed_size = per_miniblock * usize::from(width) / 8;
            let packed = bytes.get(position..position + packed_size).ok_or_else(end)?;
            position += packed_size;
            for index in 0..per_miniblock.min((count - lengths.len() as u64) as usize) {
                let delta = bits(packed, index * usize::from(width), width).ok_or_else(end)?;
                value = value.wrapping_add(least).wrapping_add(i64::from(delta));
                // Differences are taken modulo 2^32 by writers of 32-bit lengths.
                value = i64::from(value as i32);
                lengths.push(length(value)?);
            }
        }
    }
    Ok((lengths, position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(page: &DataPage<'_>, dictionary: Option<&Dictionary>) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut rows = Vec::new();
        page.visit(dictionary, |row, value| {
            assert_eq!(row as usize, rows.len());
            rows.push(value.map(<[u8]>::to_vec));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    #[test]
    fn plain_values_and_nulls_are_told_apart() {
        // Levels: a packed group of 8 with bits 1,0,1; values "a" and "".
        let page = DataPage {
            rows: 3,
            encoding: Encoding::Plain,
            levels: Some(&[0x03, 0b0000_0101]),
            values: &[1, 0, 0, 0, b'a', 0, 0, 0, 0],
        };
        assert_eq!(rows(&page, None).unwrap(), [Some(b"a".to_vec()), None, Some(Vec::new())]);
    }

    #[test]
    fn dictionary_indices_run_and_pack() {
        let dictionary = Dictionary::parse(vec![1, 0, 0, 0, b'x', 2, 0, 0, 0, b'y', b'z'], 2).unwrap();
        // Width 1: a run of two 1s, then a packed group.
        let page = DataPage {
            rows: 5,
            encoding: Encoding::Dictionary,
            levels: None,
            values: &[1, 0x04, 0x01, 0x03, 0b0000_0010],
        };
        let texts: Vec<_> = rows(&page, Some(&dictionary)).unwrap().into_iter().flatten().collect();
        assert_eq!(texts, [&b"yz"[..], b"yz", b"x", b"yz", b"x"]);
        assert!(rows(&page, None).unwrap_err().contains("dictionary"));
        assert!(Dictionary::parse(vec![0; 8], u32::MAX).is_err());
    }

    #[test]
    fn a_hostile_count_of_lengths_allocates_nothing() {
        // Block 128, 4 miniblocks, 2^34 lengths.
        let bytes = [0x80, 0x01, 0x04, 0x80, 0x80, 0x80, 0x80, 0x40, 0x00];
        assert!(delta_lengths(&bytes, 1000).unwrap_err().contains("more of them than rows"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(
            values in prop::collection::vec(any::<u8>(), 0..120),
            levels in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
            page_rows in 0u32..400,
            encoding in prop::sample::select(vec![0i64, 2, 6, 7, 8]),
        ) {
            let dictionary = Dictionary::parse(vec![1, 0, 0, 0, b'x', 0, 0, 0, 0], 2).unwrap();
            let encoding = Encoding::from_number(encoding).unwrap();
            let page = DataPage { rows: page_rows, encoding, levels: levels.as_deref(), values: &values };
            let _ = rows(&page, Some(&dictionary));
        }

        #[test]
        fn bits_are_what_shifts_give(bytes in prop::collection::vec(any::<u8>(), 12), start in 0usize..60, width in 0u8..=32) {
            let all = bytes.iter().rev().fold(0u128, |all, byte| all << 8 | u128::from(*byte));
            let expected = (all >> start) as u64 & ((1u64 << width) - 1);
            prop_assert_eq!(bits(&bytes, start, width), Some(expected as u32));
        }
    }
}
