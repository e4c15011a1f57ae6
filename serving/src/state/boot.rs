//! Which boot of the machine this is: tells a process that died from a machine that lost power.

use std::sync::OnceLock;

/// The kernel's random id of this boot (`proc(5)`, `/proc/sys/kernel/random/boot_id`); empty where there is none, so
/// that every life then looks like the same boot and the stricter judgement applies.
pub(super) fn id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned())
}
