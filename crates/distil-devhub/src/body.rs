//! Bodies, streamed from memory or disk, whole or spoilt to order.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;

use crate::connection::{ConnectionHandle, Ending};
use crate::record::LoggedRequest;

/// Bytes that are read and sent at a time.
const CHUNK_BYTES: u64 = 1 << 18;

/// Where a body's bytes come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Memory(Bytes),
    /// So many blanks, then the bytes.
    BlanksThen(u64, Bytes),
    /// Part of a file.
    File(PathBuf, Range<u64>),
}

impl Source {
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::BlanksThen(blanks, bytes) => blanks + bytes.len() as u64,
            Source::File(_, range) => range.end - range.start,
        }
    }

    /// Place of the body's first byte within the file.
    fn offset_in_file(&self) -> u64 {
        match self {
            Source::File(_, range) => range.start,
            Source::Memory(_) | Source::BlanksThen(..) => 0,
        }
    }
}

/// What becomes of the connection when the bytes to send are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The answer is complete.
    Complete,
    Ends(Ending),
    StaysSilent,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) source: Source,
    /// Sends no more than this.
    pub(crate) limit_bytes: u64,
    pub(crate) after: After,
    /// Offsets within the file whose bytes are inverted.
    pub(crate) flipped: Vec<u64>,
    pub(crate) bytes_per_second: Option<u64>,
}

struct Sending {
    plan: Plan,
    file: Option<File>,
    sent: u64,
    connection: ConnectionHandle,
    logged: Arc<LoggedRequest>,
}

/// The body that carries the plan out.
pub(crate) fn body(plan: Plan, connection: ConnectionHandle, logged: Arc<LoggedRequest>) -> Body {
    let sending = Sending { plan, file: None, sent: 0, connection, logged };
    Body::from_stream(futures_util::stream::try_unfold(sending, |mut sending| async move {
        Ok::<_, io::Error>(sending.next().await?.map(|chunk| (chunk, sending)))
    }))
}

impl Sending {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let end = self.plan.limit_bytes.min(self.plan.source.size_bytes());
        if self.sent >= end {
            return match self.plan.after {
                After::Complete => Ok(None),
                After::StaysSilent => std::future::pending().await,
                After::Ends(ending) => {
                    self.connection.end(ending);
                    std::future::pending().await
                }
            };
        }
        let mut size = CHUNK_BYTES.min(end - self.sent);
        if let Some(rate) = self.plan.bytes_per_second {
            let rate = rate.max(1);
            // Twenty pieces a second, or one byte at a time.
            size = size.min((rate / 20).max(1));
            tokio::time::sleep(Duration::from_secs_f64(size as f64 / rate as f64)).await;
        }
        let mut chunk = self.read(size).await?;
        let first = self.plan.source.offset_in_file() + self.sent;
        for offset in &self.plan.flipped {
            let place = offset.checked_sub(first).and_then(|place| usize::try_from(place).ok());
            if let Some(byte) = place.and_then(|place| chunk.get_mut(place)) {
                *byte ^= 0xff;
            }
        }
        self.sent += chunk.len() as u64;
        self.logged.sent(chunk.len());
        Ok(Some(chunk.into()))
    }

    /// The next bytes, at most so many and at least one.
    async fn read(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let (sent, size_bytes) = (self.sent, size as usize);
        match &self.plan.source {
            Source::Memory(bytes) => Ok(bytes[sent as usize..][..size_bytes].to_vec()),
            Source::BlanksThen(blanks, _) if sent < *blanks => Ok(vec![b' '; size.min(blanks - sent) as usize]),
            Source::BlanksThen(blanks, bytes) => Ok(bytes[(sent - blanks) as usize..][..size_bytes].to_vec()),
            Source::File(path, range) => {
                let (file, path, place) = (self.file.take(), path.clone(), range.start + sent);
                let reading = tokio::task::spawn_blocking(move || {
                    let mut file = match file {
                        Some(file) => file,
                        None => {
                            let mut file = File::open(path)?;
                            file.seek(SeekFrom::Start(place))?;
                            file
                        }
                    };
                    let mut chunk = vec![0; size_bytes];
                    file.read_exact(&mut chunk)?;
                    Ok::<_, io::Error>((file, chunk))
                });
                let (file, chunk) = reading.await.map_err(io::Error::other)??;
                self.file = Some(file);
                Ok(chunk)
            }
        }
    }
}
