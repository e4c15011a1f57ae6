//! Maintenance windows: when a rollout may load, and give weight. Taking back is always allowed.

use std::time::Duration;

use crate::state::UnixMillis;

const DAY: u64 = 24 * 60;
const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Times of the week; none means always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    windows: Vec<Window>,
    /// Minutes by which local time is ahead of UTC.
    utc_offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// Days on which it begins, by bit; Sunday is the lowest.
    days: u8,
    /// Minutes after midnight.
    from: u64,
    /// How many minutes it lasts; it may reach into the next day.
    length: u64,
}

impl Windows {
    /// Reads windows such as `22:00-06:00`, `sat`, or `mon,tue 01:00-04:00`.
    ///
    /// # Errors
    /// One sentence for each that cannot be read.
    pub fn parse(texts: &[String], utc_offset: i64) -> Result<Self, Vec<String>> {
        let (mut windows, mut faults) = (Vec::new(), Vec::new());
        for (at, text) in texts.iter().enumerate() {
            match parse(text) {
                Some(window) => windows.push(window),
                None => faults.push(format!(
                    "rollout.windows[{at}] is '{text}', expected times such as \"22:00-06:00\", a day such as \"sat\", or both \
                     as in \"mon,tue 01:00-04:00\""
                )),
            }
        }
        if !(-24 * 60..=24 * 60).contains(&utc_offset) {
            faults.push(format!("rollout.utc_offset_minutes is {utc_offset}, expected -1440 to 1440"));
        }
        if faults.is_empty() { Ok(Self { windows, utc_offset }) } else { Err(faults) }
    }

    /// Whether something may be tried at that moment.
    #[must_use]
    pub fn allow(&self, now: UnixMillis) -> bool {
        // 1970 began on a Thursday.
        let local = (now.0 / 60_000).saturating_add_signed(self.utc_offset);
        let (day, minute) = ((local / DAY + 4) % 7, local % DAY);
        let begins = |window: &Window, day: u64| window.days >> day & 1 == 1;
        self.windows.is_empty()
            || self.windows.iter().any(|window| {
                let today = begins(window, day) && (window.from..window.from + window.length).contains(&minute);
                let since_yesterday = begins(window, (day + 6) % 7) && minute + DAY < window.from + window.length;
                today || since_yesterday
            })
    }

    /// How long until something may be tried; zero while it may. `None` where it never may.
    #[must_use]
    pub fn opens_in(&self, now: UnixMillis) -> Option<Duration> {
        let minutes = (0..=7 * DAY).find(|minutes| self.allow(UnixMillis(now.0 + minutes * 60_000)))?;
        Some(Duration::from_secs(60 * minutes))
    }
}

fn parse(text: &str) -> Option<Window> {
    let mut parts = text.split_whitespace();
    let (first, second) = (parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let (days, times) = match (days(first), second) {
        (Some(days), times) => (days, times),
        (None, None) => (0b111_1111, Some(first)),
        (None, Some(_)) => return None,
    };
    let Some(times) = times else { return Some(Window { days, from: 0, length: DAY }) };
    let (from, until) = times.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    let length = if until > from { until - from } else { until + DAY - from };
    (from < DAY).then_some(Window { days, from, length })
}

fn days(text: &str) -> Option<u8> {
    text.split(',')
        .map(|name| NAMES.iter().position(|known| *known == name))
        .try_fold(0, |days, day| Some(days | 1 << day?))
}

/// `HH:MM`, up to 24:00.
fn minute(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2 March 2026, 00:00 UTC.
    const MONDAY: u64 = 1_772_409_600_000;

    fn windows(texts: &[&str], offset: i64) -> Windows {
        Windows::parse(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), offset).unwrap()
    }

    fn at(days: u64, hours: u64, minutes: u64) -> UnixMillis {
        UnixMillis(MONDAY + ((days * 24 + hours) * 60 + minutes) * 60_000)
    }

    #[test]
    fn without_windows_it_is_always_allowed() {
        assert!(Windows::default().allow(at(0, 12, 0)));
        assert_eq!(Windows::default().opens_in(at(0, 12, 0)), Some(Duration::ZERO));
    }

    #[test]
    fn a_night_reaches_into_the_next_day() {
        let night = windows(&["22:00-06:00"], 0);
        assert_eq!(
            [(21, 59), (22, 0), (23, 59)].map(|(hour, minute)| night.allow(at(0, hour, minute))),
            [false, true, true]
        );
        assert_eq!([(5, 59), (6, 0)].map(|(hour, minute)| night.allow(at(1, hour, minute))), [true, false]);
        let saturday_night = windows(&["sat 22:00-06:00"], 0);
        assert!(saturday_night.allow(at(5, 23, 0)) && saturday_night.allow(at(6, 5, 0)));
        assert!(!saturday_night.allow(at(6, 23, 0)) && !saturday_night.allow(at(5, 5, 0)));
    }

    #[test]
    fn days_and_local_time_count() {
        let weekend = windows(&["sat", "sun"], 0);
        assert_eq!(
            (0..7).map(|day| weekend.allow(at(day, 12, 0))).collect::<Vec<_>>(),
            [false, false, false, false, false, true, true]
        );
        let morning = windows(&["mon,tue 01:00-04:00"], 60);
        assert!(morning.allow(at(0, 0, 30)) && morning.allow(at(1, 2, 59)) && !morning.allow(at(2, 1, 0)));
        assert_eq!(morning.opens_in(at(0, 3, 0)), Some(Duration::from_secs(21 * 3600)));
    }

    #[test]
    fn what_is_no_window_is_named() {
        let texts = ["25:00-26:00", "22:00", "someday", "sat sun", "22:00-06:00"].map(str::to_owned);
        let faults = Windows::parse(&texts, 9999).unwrap_err();
        assert_eq!(faults.len(), 5);
        assert!(faults[2].starts_with("rollout.windows[2] is 'someday', expected"), "{}", faults[2]);
    }
}
