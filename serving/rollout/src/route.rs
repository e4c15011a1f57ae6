//! Which version answers. A unit's hash decides, so that all views of a part go one way, on every device and after every
//! restart.

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use takt_artifact::share::TrafficShare;

mod stations;
#[cfg(test)]
mod tests;

pub use stations::{Draw, draw};

/// Who may answer a client during a rollout. (Monitoring's `Arm` also knows shadows, which answer nobody.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The version in service.
    Stable,
    /// The candidate.
    Canary,
}

/// The key of a rollout's hash: random, so that no two rollouts try their candidates on the same parts, and secret enough that
/// nobody chooses part ids for a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt([u64; 2]);

/// Text that is no salt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found '{found}', expected a routing salt of 32 hexadecimal digits")]
pub struct BadSalt {
    /// The text that was given.
    pub found: String,
}

/// Routes units while a share is in force. Cheap to copy; a unit costs one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Router {
    salt: Salt,
    share: TrafficShare,
    shadow: TrafficShare,
}

/// What a hash is for. Different purposes must not choose the same units.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Route,
    Shadow,
    Station,
    Thin,
    Restart,
}

impl Salt {
    /// From 128 random bits.
    #[must_use]
    pub const fn new(random: u128) -> Self {
        Self([(random >> 64) as u64, random as u64])
    }

    /// Another salt that follows from this one and `text`, for a rollout that starts anew.
    #[must_use]
    pub fn next(self, text: &str) -> Self {
        let first = self.hash(Purpose::Restart, text.as_bytes());
        let second = Self([self.0[1], first]).hash(Purpose::Restart, text.as_bytes());
        Self([first, second])
    }

    /// Numbers in `[0, 1)` that follow from the salt and `serial`, for thinning counts reproducibly.
    pub(crate) fn uniforms(self, serial: u64) -> impl FnMut() -> f64 {
        let mut count = 0_u64;
        move || {
            count += 1;
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&serial.to_le_bytes());
            bytes[8..].copy_from_slice(&count.to_le_bytes());
            (self.hash(Purpose::Thin, &bytes) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// SipHash-1-3 (Aumasson and Bernstein 2012): keyed, and the same on every machine.
    fn hash(self, purpose: Purpose, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0] ^ purpose as u64, self.0[1]);
        hasher.write(bytes);
        hasher.finish()
    }
}

impl Router {
    /// With the canary's share of units, and the share of the others of which a copy goes to the candidate.
    #[must_use]
    pub const fn new(salt: Salt, share: TrafficShare, shadow: TrafficShare) -> Self {
        Self { salt, share, shadow }
    }

    /// The canary's share in force, to be kept with each outcome as its `rho`.
    #[must_use]
    pub const fn share(&self) -> TrafficShare {
        self.share
    }

    /// Who answers this unit, a part id or a request id. A share that rises takes units from stable and gives none back.
    #[must_use]
    pub fn arm(&self, unit: &[u8]) -> Arm {
        match self.share {
            TrafficShare::NONE => Arm::Stable,
            TrafficShare::ALL => Arm::Canary,
            share if falls_within(self.salt.hash(Purpose::Route, unit), share) => Arm::Canary,
            _ => Arm::Stable,
        }
    }

    /// Whether a copy of this unit goes to the candidate. Independent of who answers it.
    #[must_use]
    pub fn shadowed(&self, unit: &[u8]) -> bool {
        self.shadow != TrafficShare::NONE && falls_within(self.salt.hash(Purpose::Shadow, unit), self.shadow)
    }
}

/// Whether a hash, as a fraction of all hashes, lies below the share.
fn falls_within(hash: u64, share: TrafficShare) -> bool {
    let millionth = (u128::from(hash) * 1_000_000) >> 64;
    millionth < u128::from(share.millionths())
}

impl TryFrom<String> for Salt {
    type Error = BadSalt;

    fn try_from(text: String) -> Result<Self, BadSalt> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = hex.then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        bits.map(Self::new).ok_or(BadSalt { found: text })
    }
}

impl From<Salt> for String {
    fn from(Salt([high, low]): Salt) -> Self {
        format!("{high:016x}{low:016x}")
    }
}
