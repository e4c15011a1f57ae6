//! Accepted connections, counted per listener. One above the limit is still answered, with a refusal that says why; far above it
//! connections are closed at once.

use std::io;
use std::net::TcpListener as StdListener;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What the service knows of the connection a request came by.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Whether it came when as many were open as may be.
    surplus: bool,
    /// Connections that are open now, this one included.
    open: Arc<AtomicUsize>,
    limit: usize,
}

impl ConnectionInfo {
    /// Why requests on this connection are refused, if they are: it came when there were enough, and there still are.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let open = self.open.load(Relaxed);
        (self.surplus && open > self.limit).then(|| {
            format!(
                "the server has {open} connections, its limit is {}; share connections between threads, or raise \
                 max_connections",
                self.limit
            )
        })
    }
}

/// Accepts connections and counts them.
pub struct Connections {
    listener: TcpListener,
    open: Arc<AtomicUsize>,
    limit: usize,
}

impl Connections {
    /// Takes over a bound listener. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The socket cannot be made non-blocking.
    pub fn new(listener: StdListener, limit: usize) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, open: Arc::default(), limit })
    }
}

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let (stream, _) = match std::task::ready!(self.listener.poll_accept(context)) {
                Ok(accepted) => accepted,
                // A connection that ended before it was accepted, or no free file descriptor: not the end of serving.
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            };
            let open = self.open.fetch_add(1, Relaxed) + 1;
            let guard = OpenGuard(Arc::clone(&self.open));
            if open > self.limit.saturating_mul(2) {
                drop(guard);
                continue;
            }
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY not set");
            }
            let info = ConnectionInfo { surplus: open > self.limit, open: Arc::clone(&self.open), limit: self.limit };
            return Poll::Ready(Some(Ok(Connection { stream, info, _guard: guard })));
        }
    }
}

struct OpenGuard(Arc<AtomicUsize>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// An accepted connection.
pub struct Connection {
    stream: TcpStream,
    info: ConnectionInfo,
    _guard: OpenGuard,
}

impl Connection {
    /// How many there are beside it.
    #[must_use]
    pub fn info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
