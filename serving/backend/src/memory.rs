//! What the kernel says of memory: the machine's and this process's.

use std::fs;

/// Bytes of memory that the machine has in all; `None` where there is no `/proc/meminfo`.
#[must_use]
pub fn total() -> Option<u64> {
    read("/proc/meminfo", "MemTotal")
}

/// Bytes that a new program can have without swapping, as the kernel estimates it (`proc(5)`, MemAvailable).
#[must_use]
pub fn available() -> Option<u64> {
    read("/proc/meminfo", "MemAvailable")
}

/// Bytes of this process that are resident; `None` where there is no `/proc/self/status`.
#[must_use]
pub fn resident() -> Option<u64> {
    read("/proc/self/status", "VmRSS")
}

fn read(path: &str, field: &str) -> Option<u64> {
    bytes(&fs::read_to_string(path).ok()?, field)
}

/// Bytes that a line `field: number kB` says, as in `/proc/meminfo` (`proc(5)`).
#[must_use]
pub fn bytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_whole_and_in_bytes() {
        let text = "MemTotal:       24684156 kB\nMemFree:        19000000 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(bytes(text, "MemTotal"), Some(24_684_156 * 1024));
        assert_eq!(bytes(text, "MemAvailable"), Some(22_000_000 * 1024));
        assert_eq!(bytes(text, "Mem"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_less_than_the_machine() {
        let (own, all) = (resident().unwrap(), total().unwrap());
        assert!(own > 100_000 && own < all && available().unwrap() < all, "{own} of {all}");
    }
}
