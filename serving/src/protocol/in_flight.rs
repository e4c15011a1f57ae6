//! Bounds the bytes of requests that are being received, queued or run, over all protocols together. Each protocol
//! reserves what a message says of its length before anything is allocated for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in flight of the whole server and their limit.
#[derive(Debug)]
pub struct InFlightBytes {
    used: AtomicUsize,
    limit: usize,
}

impl InFlightBytes {
    /// Nothing in flight.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    /// Bytes in flight now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Reserves `bytes`; `Err` gives what is in flight when they do not fit.
    ///
    /// # Errors
    /// The limit would be passed.
    pub fn acquire(&self, bytes: usize) -> Result<(), usize> {
        let add = |used: usize| used.checked_add(bytes).filter(|&total| total <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, add).map(|_| ())
    }

    /// Gives `bytes` back.
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Why a message of that size is refused.
    #[must_use]
    pub fn refusal(&self, bytes: usize, used: usize) -> String {
        format!(
            "a request of {bytes} bytes does not fit: {used} of at most {} bytes are in flight; send fewer at a time, or \
             raise max_in_flight_bytes",
            self.limit
        )
    }
}

/// Bytes reserved for one request, given back when it is dropped.
#[derive(Debug)]
pub struct Reserved {
    server: Arc<InFlightBytes>,
    bytes: usize,
}

impl Reserved {
    /// Nothing reserved yet.
    #[must_use]
    pub fn none(server: Arc<InFlightBytes>) -> Self {
        Self { server, bytes: 0 }
    }

    /// Reserves until `total` bytes are reserved in all.
    ///
    /// # Errors
    /// They do not fit; says why, for the client.
    pub fn grow_to(&mut self, total: usize) -> Result<(), String> {
        let more = total.saturating_sub(self.bytes);
        self.server.acquire(more).map_err(|used| self.server.refusal(total, used))?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.server.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_reserved_comes_back_when_it_ends() {
        let server = Arc::new(InFlightBytes::new(10));
        let mut first = Reserved::none(Arc::clone(&server));
        first.grow_to(4).unwrap();
        first.grow_to(8).unwrap();
        assert_eq!(server.used(), 8);
        let refused = Reserved::none(Arc::clone(&server)).grow_to(3).unwrap_err();
        assert!(refused.contains("8 of at most 10 bytes"), "{refused}");
        drop(first);
        assert_eq!(server.used(), 0);
    }
}
