//! What the kernel says of this process's time.

use std::time::Duration;

/// Processor time of all threads, user and system together.
pub(super) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_this_process_passes() {
        let before = cpu_time();
        let sum = (0..20_000_000_u64).fold(0_u64, |sum, value| std::hint::black_box(sum.wrapping_add(value)));
        assert!(sum > 0 && cpu_time() > before);
    }
}
