//! How long work tells how far it is. Libraries print nothing; the program turns this into a bar.

/// Who wants to know how far it is. Called from every thread.
pub trait Progress: Sync {
    /// So many things will be there at the end.
    fn begin(&self, total: u64);
    /// One more thing is there.
    fn advance(&self);
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _total: u64) {}
    fn advance(&self) {}
}
