//! Versions that are rolled out by themselves: `on_new_version = "rollout"`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use takt_artifact::{VersionDigest, VersionDir};

use super::hub::Hands;
use crate::repository::config::OnNewVersion;

/// Which versions were looked at, so that each is looked at once for as long as its files do not change.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    seen: BTreeMap<(String, u64), Option<SystemTime>>,
}

impl Newcomers {
    /// Models whose newest version waits to be rolled out.
    pub(super) fn look(
        &mut self,
        hands: &Hands,
        busy: impl Fn(&str) -> bool,
        refused: impl Fn(&str, &VersionDigest) -> bool,
    ) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for (model, served) in hands.registry.table().snapshot().iter() {
            let Some((&newest, version)) = served.versions.iter().next_back() else { continue };
            if version.config.on_new_version != OnNewVersion::Rollout || busy(model) {
                continue;
            }
            let Some((&candidate, _)) = served.unready.range(newest + 1..).next_back() else { continue };
            let dir = hands.version_dir(model, candidate);
            let changed = std::fs::metadata(&dir).and_then(|metadata| metadata.modified()).ok();
            if self.seen.insert((model.to_string(), candidate), changed) == Some(changed) {
                continue;
            }
            let digest = VersionDir::open(dir).map(|dir| dir.digest());
            if digest.is_ok_and(|digest| !refused(model, &digest)) {
                found.push((model.to_string(), candidate));
            }
        }
        found
    }
}
