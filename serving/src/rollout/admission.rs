//! Whether the candidate finds room beside the stable version.

use std::path::Path;

use takt_artifact::Signature;
use takt_artifact::VersionDir;
use takt_rollout::observation::Admission;

use crate::registry::version::ServedVersion;
use crate::repository::memory::resident_bytes;

/// Holds what the candidate will need, from the size of its largest artefact, against what is available. `None` where the
/// kernel does not say what is available.
pub(super) fn admission(dir: &VersionDir, stable: &ServedVersion, headroom: u64) -> Option<Admission> {
    let available = takt_backend::memory::available()?;
    let instances = stable.config.instances.get();
    let needs = |bytes: u64| resident_bytes(bytes, &Signature::default(), None, 0, instances).unwrap_or(u64::MAX);
    let largest = dir.variants().iter().map(|variant| length(&dir.artefact(variant))).max().unwrap_or(0);
    Some(judge(needs(largest), needs(stable.artefact_bytes), available.saturating_sub(headroom)))
}

fn judge(needed: u64, stable: u64, free: u64) -> Admission {
    if needed <= free {
        Admission::Beside
    } else if needed <= free.saturating_add(stable) {
        Admission::Alone
    } else {
        Admission::None { needed, budget: free.saturating_add(stable) }
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_goes_beside_in_place_or_nowhere() {
        assert_eq!(judge(100, 100, 100), Admission::Beside);
        assert_eq!(judge(101, 100, 100), Admission::Alone);
        assert_eq!(judge(201, 100, 100), Admission::None { needed: 201, budget: 200 });
    }
}
