//! Times as people write them.

use toml::value::{Datetime, Offset};

/// Microseconds since 1970 of a date, or of a date and time, with an offset or in UTC (RFC 3339, as TOML writes it);
/// `None` where it is neither.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    microseconds(&text.trim().parse().ok()?)
}

/// Microseconds since 1970; a time of day without a date is none.
pub(crate) fn microseconds(time: &Datetime) -> Option<i64> {
    let date = time.date?;
    let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let seconds = time
        .time
        .map_or(0, |time| i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + time.second.map_or(0, i64::from));
    let fraction = time.time.and_then(|time| time.nanosecond).map_or(0, |nanoseconds| i64::from(nanoseconds) / 1000);
    let offset = match time.offset {
        Some(Offset::Custom { minutes }) => i64::from(minutes) * 60,
        Some(Offset::Z) | None => 0,
    };
    Some((days * 86_400 + seconds - offset) * 1_000_000 + fraction)
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_leap_days_and_offsets() {
        let at = |text: &str| microseconds(&text.parse().unwrap());
        assert_eq!(at("1970-01-01"), Some(0));
        assert_eq!(at("2000-02-29"), Some(11_016 * 86_400_000_000));
        assert_eq!(at("2026-03-01T00:00:00.25Z"), Some(20_513 * 86_400_000_000 + 250_000));
        assert_eq!(at("1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(at("1969-12-31"), Some(-86_400_000_000));
        assert_eq!(at("12:00:00"), None);
    }

    #[test]
    fn a_text_that_is_no_time_is_none() {
        assert_eq!(parse_time(" 1970-01-01T00:00:01Z "), Some(1_000_000));
        assert_eq!(["yesterday", "", "12:00:00", "2026-13-01"].map(parse_time), [None; 4]);
    }
}
