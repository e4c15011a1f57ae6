//! Bounds the bytes of requests in flight, from each message's length prefix, before anything is allocated for it.
//!
//! A layer around the service reads the five-byte prefix of every gRPC message ("Length-Prefixed-Message" in gRPC over
//! HTTP/2) as it passes. A message that does not fit is refused with RESOURCE_EXHAUSTED. The bytes of a call are given
//! back when its response has been sent, those of a stream message when it has been answered.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tower::{Layer, Service};

use super::deadline::Deadline;
use crate::protocol::connections::ConnectionInfo;
use crate::protocol::in_flight::InFlightBytes;

/// Bytes of one call, message by message; given back at the latest when the call is over.
#[derive(Debug)]
pub struct CallBytes {
    server: Arc<InFlightBytes>,
    largest_message: usize,
    messages: Mutex<VecDeque<usize>>,
}

impl CallBytes {
    fn acquire(&self, bytes: usize) -> Result<(), Status> {
        if bytes > self.largest_message {
            return Err(Status::resource_exhausted(format!(
                "a message of {bytes} bytes is above the limit of {}; send smaller batches, or raise max_message_bytes",
                self.largest_message
            )));
        }
        self.server.acquire(bytes).map_err(|used| Status::resource_exhausted(self.server.refusal(bytes, used)))?;
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push_back(bytes);
        Ok(())
    }

    /// The oldest message of a stream has been answered.
    pub fn release_oldest(&self) {
        let oldest = self.messages.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        self.server.release(oldest.unwrap_or(0));
    }
}

impl Drop for CallBytes {
    fn drop(&mut self) {
        let left: usize = self.messages.lock().unwrap_or_else(PoisonError::into_inner).iter().sum();
        self.server.release(left);
    }
}

/// Wraps services with the bound.
#[derive(Clone)]
pub struct InFlightLayer {
    /// Bound of the whole server.
    pub server: Arc<InFlightBytes>,
    /// Bound of one message in bytes.
    pub largest_message: usize,
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlightService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InFlightService { inner, layer: self.clone() }
    }
}

/// A service whose request bodies are metered.
#[derive(Clone)]
pub struct InFlightService<S> {
    inner: S,
    layer: InFlightLayer,
}

impl<S, B, R> Service<http::Request<B>> for InFlightService<S>
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error = Status> + Send + 'static,
    R: Body<Data = Bytes, Error = Status> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let connection = request.extensions().get::<ConnectionInfo>();
        if let Some(refusal) = connection.and_then(ConnectionInfo::refusal) {
            return Box::pin(async { Ok(Status::resource_exhausted(refusal).into_http()) });
        }
        let InFlightLayer { server, largest_message } = self.layer.clone();
        let call = Arc::new(CallBytes { server, largest_message, messages: Mutex::default() });
        let mut request = request.map(|body| {
            tonic::body::Body::new(MeteredBody {
                inner: Box::pin(body),
                prefix: Prefix::default(),
                call: Arc::clone(&call),
            })
        });
        request.extensions_mut().insert(Arc::clone(&call));
        if let Some(deadline) = Deadline::of(request.headers(), Instant::now()) {
            request.extensions_mut().insert(deadline);
        }
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| tonic::body::Body::new(HeldBody { inner: Box::pin(body), _call: call })))
        })
    }
}

/// Follows message boundaries through a request body.
#[derive(Debug, Default)]
struct Prefix {
    header: [u8; 5],
    seen: usize,
    left: usize,
}

impl Prefix {
    /// Lengths of the messages that begin within `data`.
    fn advance(&mut self, mut data: &[u8], mut begins: impl FnMut(usize) -> Result<(), Status>) -> Result<(), Status> {
        while !data.is_empty() {
            if self.left > 0 {
                let skip = self.left.min(data.len());
                self.left -= skip;
                data.advance(skip);
                continue;
            }
            self.header[self.seen] = data.get_u8();
            self.seen += 1;
            if self.seen == self.header.len() {
                let [_, a, b, c, d] = self.header;
                self.seen = 0;
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                begins(self.left)?;
            }
        }
        Ok(())
    }
}

struct MeteredBody<B> {
    inner: Pin<Box<B>>,
    prefix: Prefix,
    call: Arc<CallBytes>,
}

impl<B: Body<Data = Bytes, Error = Status>> Body for MeteredBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let frame = std::task::ready!(this.inner.as_mut().poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refused) = this.prefix.advance(data, |bytes| this.call.acquire(bytes))
        {
            return Poll::Ready(Some(Err(refused)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response body that keeps the call's bytes counted until it has been sent.
struct HeldBody<B> {
    inner: Pin<Box<B>>,
    _call: Arc<CallBytes>,
}

impl<B: Body<Data = Bytes, Error = Status>> Body for HeldBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner.as_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(chunks: &[&[u8]]) -> Vec<usize> {
        let mut prefix = Prefix::default();
        let mut found = Vec::new();
        for chunk in chunks {
            prefix
                .advance(chunk, |length| {
                    found.push(length);
                    Ok(())
                })
                .unwrap();
        }
        found
    }

    #[test]
    fn message_lengths_are_read_wherever_the_frames_are_cut() {
        let stream = [0, 0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(lengths(&[&stream[..16]]), [3, 0]);
        for cut in 1..15 {
            assert_eq!(lengths(&[&stream[..cut], &stream[cut..16]]), [3, 0], "cut at {cut}");
        }
    }

    #[test]
    fn bytes_above_the_limit_are_refused_and_come_back_with_the_call() {
        let server = Arc::new(InFlightBytes::new(10));
        let call = CallBytes { server: Arc::clone(&server), largest_message: 20, messages: Mutex::default() };
        call.acquire(4).unwrap();
        call.acquire(6).unwrap();
        let refused = call.acquire(1).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("10 of at most 10"), "{refused}");
        let refused = call.acquire(21).unwrap_err();
        assert!(refused.message().contains("21 bytes") && refused.message().contains("limit of 20"), "{refused}");
        call.release_oldest();
        assert_eq!(server.used(), 6);
        drop(call);
        assert_eq!(server.used(), 0);
    }
}
