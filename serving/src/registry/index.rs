//! The repository index: every model and version with its state and the reason for it.

/// State of a version, by the protocol's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionState {
    /// Answers requests.
    Ready,
    /// Is being loaded.
    Loading,
    /// Answers what it has taken, and nothing new.
    Unloading,
    /// Is on disk and does not serve; the reason says why.
    Unavailable,
}

impl VersionState {
    /// The protocol's name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Loading => "LOADING",
            Self::Unloading => "UNLOADING",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// One line of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Model name.
    pub model: String,
    /// Version; `None` for a model that has none.
    pub version: Option<u64>,
    /// Its state.
    pub state: VersionState,
    /// Why it is in that state; empty where there is nothing to say.
    pub reason: String,
    /// Whether it was tried and refused.
    pub failed: bool,
}
