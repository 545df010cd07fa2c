//! Connections that can be ended to order: closed once all that was written is out, or reset.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Close,
    Reset,
}

const OPEN: u8 = 0;
const CLOSE: u8 = 1;
const RESET: u8 = 2;

/// Ends its connection. The order is carried out at the next flush, after what was written before: the HTTP library
/// flushes whenever a handler or a body has nothing to give yet.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionHandle(Arc<AtomicU8>);

impl ConnectionHandle {
    pub(crate) fn end(&self, ending: Ending) {
        let order = match ending {
            Ending::Close => CLOSE,
            Ending::Reset => RESET,
        };
        self.0.store(order, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(crate) struct EndableListener(pub(crate) TcpListener);

#[derive(Debug)]
pub(crate) struct EndableStream {
    stream: TcpStream,
    ending: ConnectionHandle,
}

impl Listener for EndableListener {
    type Io = EndableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Small answers should not wait for the client's acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    let ending = ConnectionHandle(Arc::new(AtomicU8::new(OPEN)));
                    return (EndableStream { stream, ending }, address);
                }
                // The peer is gone already, or the process is out of descriptors for the moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, EndableListener>> for ConnectionHandle {
    fn connect_info(stream: IncomingStream<'_, EndableListener>) -> Self {
        stream.io().ending.clone()
    }
}

impl AsyncRead for EndableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for EndableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.ending.0.load(Ordering::SeqCst) {
            OPEN => Pin::new(&mut self.stream).poll_flush(context),
            RESET => {
                self.stream.set_zero_linger()?;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
