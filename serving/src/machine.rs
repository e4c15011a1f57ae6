//! What the kernel says of the machine's memory.

/// Bytes of memory in all, from `/proc/meminfo`; `None` where there is no such file.
#[must_use]
pub fn total_memory() -> Option<u64> {
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// Bytes that a new program can have without swapping, as the kernel estimates it (`proc(5)`, MemAvailable).
#[must_use]
pub fn available_memory() -> Option<u64> {
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

pub(crate) fn meminfo(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_whole_and_in_bytes() {
        let text = "MemTotal:       24684156 kB\nMemFree:        19000000 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), Some(24_684_156 * 1024));
        assert_eq!(meminfo(text, "MemAvailable"), Some(22_000_000 * 1024));
        assert_eq!(meminfo(text, "Mem"), None);
    }
}
