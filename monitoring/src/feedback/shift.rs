//! Shifts: which part of the working day a moment belongs to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_artifact::fault::Fault;

use crate::events::{Name, UnixMillis};

/// When shifts begin. A shift lasts until the next begins, so the last one of a day ends on the next day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shifts {
    /// Minutes that local time is ahead of UTC. Without a time zone database on the board this is fixed: where summer time
    /// is kept, shifts begin an hour off for half the year unless it is changed.
    pub utc_offset_minutes: i32,
    /// When each shift begins, by its name: `early = "06:00"`. Empty: the line knows no shifts.
    pub starts: BTreeMap<Name, TimeOfDay>,
}

/// Hours and minutes of a day, written `"06:30"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u16,
}

/// Text that is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found '{found}', expected a time of day from 00:00 to 23:59; half past two in the afternoon is 14:30")]
pub struct BadTime {
    /// The text that was given.
    pub found: String,
}

const DAY: i128 = 24 * 60;

impl Shifts {
    /// The shift at `at`.
    #[must_use]
    pub fn at(&self, at: UnixMillis) -> Option<&Name> {
        let local = i128::from(at.0 / 60_000) + i128::from(self.utc_offset_minutes);
        let minute = local.rem_euclid(DAY);
        // The one that began last; before the first of the day it is the last of the day before.
        let since = |start: &TimeOfDay| (minute - i128::from(start.minutes)).rem_euclid(DAY);
        self.starts.iter().min_by_key(|(_, start)| since(start)).map(|(name, _)| name)
    }

    /// Everything about them that does not make sense.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(-14 * 60..=14 * 60).contains(&self.utc_offset_minutes) {
            faults.push(Fault::new(
                "utc_offset_minutes",
                self.utc_offset_minutes.to_string(),
                "-840 to 840",
                "central Europe in winter is 60",
            ));
        }
        let mut taken = BTreeMap::new();
        for (name, start) in &self.starts {
            if let Some(other) = taken.insert(start, name) {
                faults.push(Fault::new(
                    format!("starts.{name}"),
                    String::from(*start),
                    format!("another time than that of '{other}'"),
                    "two shifts cannot begin at once; correct one or leave it out",
                ));
            }
        }
        faults
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = BadTime;

    fn try_from(text: String) -> Result<Self, BadTime> {
        let number = |text: &str, most: u16| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|number| digits && *number <= most)
        };
        let parsed = text.split_once(':').and_then(|(hour, minute)| Some((number(hour, 23)?, number(minute, 59)?)));
        parsed.map(|(hour, minute)| Self { minutes: hour * 60 + minute }).ok_or(BadTime { found: text })
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        format!("{:02}:{:02}", time.minutes / 60, time.minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifts() -> Shifts {
        serde_json::from_value(serde_json::json!({
            "utc_offset_minutes": 60,
            "starts": {"early": "06:00", "late": "14:00", "night": "22:30"}
        }))
        .unwrap()
    }

    #[test]
    fn a_moment_belongs_to_the_shift_that_began_last() {
        let at = |hour: u64, minute: u64| UnixMillis((hour * 60 + minute) * 60_000);
        let shifts = shifts();
        for (hour, minute, expected) in
            [(5, 0, "early"), (12, 59, "early"), (13, 0, "late"), (21, 29, "late"), (21, 30, "night"), (4, 59, "night")]
        {
            assert_eq!(shifts.at(at(hour, minute)).unwrap().as_str(), expected, "{hour}:{minute} UTC");
        }
        assert_eq!(Shifts::default().at(at(1, 0)), None);
    }

    #[test]
    fn a_time_that_is_none_is_refused_with_an_example() {
        for bad in ["6:00", "24:00", "12:60", "noon", "", "+1:00", "12:00:00"] {
            let error = TimeOfDay::try_from(bad.to_owned()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("found '{bad}', expected a time of day")), "{error}");
        }
        assert_eq!(String::from(TimeOfDay::try_from("06:05".to_owned()).unwrap()), "06:05");
    }

    #[test]
    fn shifts_that_begin_at_once_are_a_fault() {
        let mut shifts = shifts();
        assert_eq!(shifts.faults(), []);
        shifts.starts.insert(Name::new("second").unwrap(), TimeOfDay { minutes: 360 });
        shifts.utc_offset_minutes = 3600;
        let paths: Vec<_> = shifts.faults().into_iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["utc_offset_minutes", "starts.second"]);
    }
}
