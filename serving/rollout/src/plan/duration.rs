//! Durations as people write them: `90s`, `10m`, `1h30m`, `2d`.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A sequence of whole numbers with units `d`, `h`, `m`, `s` or `ms`. `None` for anything else, and beyond 10,000 days.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = rest[..end].trim();
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        millis = number.checked_mul(*size).and_then(|part| millis.checked_add(part))?;
        rest = &rest[end..];
    }
    (!text.trim().is_empty() && millis <= 10_000 * 86_400_000).then(|| Duration::from_millis(millis))
}

/// The same, written: the two largest units that are not zero.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        if millis >= size && parts.len() < 2 {
            parts.push(format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_in_many_ways() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("2d", 172_800), (" 1h 5s ", 3_605)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "10", "m", "-5m", "1.5h", "5 minutes", "99999999999999999999s", "5mm", "999999d", "é5m"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_told_in_two_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (5_400, "1h30m"), (90_061, "1d1h")] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
        }
    }
}
