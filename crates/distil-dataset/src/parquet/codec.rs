//! Undoing the compression of a page into exactly as many bytes as its header promises.

use std::io::Read;

/// How a column chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Uncompressed,
    Snappy,
    Gzip,
    Brotli,
    Zstd,
    Lz4Raw,
}

impl Codec {
    /// By its number in the format.
    ///
    /// # Errors
    /// Names the compression if it isn't one of ours.
    pub(crate) fn from_number(number: i64) -> Result<Codec, String> {
        match number {
            0 => Ok(Codec::Uncompressed),
            1 => Ok(Codec::Snappy),
            2 => Ok(Codec::Gzip),
            4 => Ok(Codec::Brotli),
            6 => Ok(Codec::Zstd),
            7 => Ok(Codec::Lz4Raw),
            3 => Err("the text column is compressed with LZO, which is not supported".to_owned()),
            5 => Err("the text column is compressed with the deprecated LZ4; write it with LZ4_RAW, zstd or snappy"
                .to_owned()),
            other => Err(format!("the text column has the unknown compression {other}")),
        }
    }

    /// The original of `input`, which has `size` bytes, no more and no fewer.
    ///
    /// Not more than `size` bytes (and the decoder's own tables) are allocated, whatever the input is.
    pub(crate) fn decompress(self, input: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let wrong = |what: &str| format!("a page can't be decompressed: {what}");
        let output = match self {
            Codec::Uncompressed => {
                if input.len() != size {
                    return Err(wrong(&format!("{} bytes where {size} were promised", input.len())));
                }
                input.to_vec()
            }
            Codec::Snappy => {
                let length = snap::raw::decompress_len(input).map_err(|error| wrong(&error.to_string()))?;
                if length != size {
                    return Err(wrong(&format!("it holds {length} bytes, its header says {size}")));
                }
                let mut output = vec![0; size];
                let written = snap::raw::Decoder::new()
                    .decompress(input, &mut output)
                    .map_err(|error| wrong(&error.to_string()))?;
                output.truncate(written);
                output
            }
            Codec::Gzip => {
                bounded(flate2::bufread::MultiGzDecoder::new(input), size).map_err(|e| wrong(&e.to_string()))?
            }
            Codec::Brotli => {
                bounded(brotli_decompressor::Decompressor::new(input, 4096), size).map_err(|e| wrong(&e.to_string()))?
            }
            Codec::Zstd => zstd::bulk::decompress(input, size).map_err(|error| wrong(&error.to_string()))?,
            Codec::Lz4Raw => {
                let mut output = vec![0; size];
                let written =
                    lz4_flex::block::decompress_into(input, &mut output).map_err(|error| wrong(&error.to_string()))?;
                output.truncate(written);
                output
            }
        };
        if output.len() != size {
            return Err(wrong(&format!("it holds {} bytes or more, its header says {size}", output.len())));
        }
        Ok(output)
    }
}

/// At most one byte more than `size`, so that a longer text is seen and not stored.
fn bounded(reader: impl Read, size: usize) -> std::io::Result<Vec<u8>> {
    let mut output = Vec::new();
    reader.take(size as u64 + 1).read_to_end(&mut output)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    const ALL: [Codec; 6] =
        [Codec::Uncompressed, Codec::Snappy, Codec::Gzip, Codec::Brotli, Codec::Zstd, Codec::Lz4Raw];

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_ends_at_the_promised_size() {
        let zeros = vec![0; 64 << 20];
        let bombs = [
            (Codec::Gzip, gzip(&zeros)),
            (Codec::Zstd, zstd::bulk::compress(&zeros, 1).unwrap()),
            (Codec::Snappy, snap::raw::Encoder::new().compress_vec(&zeros).unwrap()),
            (Codec::Lz4Raw, lz4_flex::block::compress(&zeros)),
        ];
        for (codec, bomb) in bombs {
            assert_eq!(codec.decompress(&bomb, zeros.len()).unwrap(), zeros, "{codec:?}");
            for promised in [0, 1000, zeros.len() - 1, zeros.len() + 1] {
                assert!(codec.decompress(&bomb, promised).is_err(), "{codec:?} {promised}");
            }
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        assert!(Codec::from_number(5).unwrap_err().contains("LZ4_RAW"));
        assert!(Codec::from_number(3).unwrap_err().contains("LZO"));
        assert!(Codec::from_number(-1).unwrap_err().contains("-1"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_promised_size_or_an_error(
            input in prop::collection::vec(any::<u8>(), 0..200), size in 0usize..4000, codec in 0usize..6,
        ) {
            if let Ok(output) = ALL[codec].decompress(&input, size) {
                prop_assert_eq!(output.len(), size);
            }
        }
    }
}
