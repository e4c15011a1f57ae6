//! The client's deadline, taken down when the call arrives. Outside of our layers the transport keeps a timer of its own
//! and would answer CANCELLED; ours begins no later, and is looked at first.

use std::time::{Duration, Instant};

use http::HeaderMap;

/// When the client of a call stops waiting; an extension of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// From the `grpc-timeout` header (gRPC over HTTP/2, "Timeout"), counted from `now`.
    #[must_use]
    pub fn of(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let text = headers.get("grpc-timeout")?.to_str().ok()?;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let value: u64 = digits.parse().ok()?;
        let timeout = match unit {
            "H" => Duration::from_secs(value.checked_mul(3600)?),
            "M" => Duration::from_secs(value.checked_mul(60)?),
            "S" => Duration::from_secs(value),
            "m" => Duration::from_millis(value),
            "u" => Duration::from_micros(value),
            "n" => Duration::from_nanos(value),
            _ => return None,
        };
        now.checked_add(timeout).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grpc_timeout_header_becomes_a_deadline() {
        let now = Instant::now();
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            Deadline::of(&headers, now).map(|Deadline(at)| at - now)
        };
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("2S"), Some(Duration::from_secs(2)));
        for not_a_timeout in ["x", "", "5", "m", "99999999999999999999S", "-1S"] {
            assert_eq!(of(not_a_timeout), None, "{not_a_timeout}");
        }
        assert_eq!(Deadline::of(&HeaderMap::new(), now), None);
    }
}
