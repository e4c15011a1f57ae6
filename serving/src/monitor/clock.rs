//! Whether the board knows what time it is. Many have no battery: they wake up in the past and learn the time later, or
//! never.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2026-01-01T00:00:00Z: no clock that is right shows an earlier time.
const BUILT: Duration = Duration::from_secs(1_767_225_600);

/// Whether the clock is known to be right. Where systemd-timesyncd keeps it, its word counts (the file `synchronized` of
/// systemd-timesyncd.service(8)); elsewhere a time after this program was written has to do.
pub(super) fn is_synchronised() -> bool {
    synchronised(SystemTime::now(), Path::new("/run/systemd/timesync"))
}

fn synchronised(now: SystemTime, timesync: &Path) -> bool {
    let plausible = now.duration_since(UNIX_EPOCH).is_ok_and(|since| since >= BUILT);
    plausible && (!timesync.is_dir() || timesync.join("synchronized").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_right_when_its_keeper_says_so_or_nobody_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let timesync = folder.path().join("timesync");
        let now = UNIX_EPOCH + BUILT + Duration::from_secs(1);
        assert!(synchronised(now, &timesync), "nobody keeps it");
        std::fs::create_dir(&timesync).unwrap();
        assert!(!synchronised(now, &timesync), "its keeper has not learned the time");
        std::fs::write(timesync.join("synchronized"), "").unwrap();
        assert!(synchronised(now, &timesync));
        assert!(!synchronised(UNIX_EPOCH, &timesync), "1970");
    }
}
