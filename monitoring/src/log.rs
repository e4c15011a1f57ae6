//! The prediction log: one compact record per [`Outcome`](crate::events::Outcome) in checksummed segment files of bounded
//! size and age.
//!
//! ```text
//! <dir>/0000000017.seg     sealed: complete, on the disk (fsync), never written again
//! <dir>/0000000018.open    being written, without fsync
//!
//! segment = header, frame...
//! header  = "takt-seg", kind u16, schema u16, created u64 (ms since 1970), crc32c of these u32       24 bytes
//! frame   = payload's length u32, crc32c of length and payload u32, payload                          little-endian
//! ```
//!
//! Within a segment a name is written once and referred to by number after that, so a record is some sixty bytes and four
//! more per feature. Such a reference cannot be resolved when an earlier frame is gone: a torn tail or a flipped byte costs
//! the rest of its segment and nothing else. There is no fsync but when a segment is sealed: a killed process loses what
//! [`Writer::tick`] had not yet handed to the system, a power cut at most the open segment.
//!
//! The feedback store keeps its records in segments of the same kind.

mod error;
mod frame;
mod limits;
mod outcome;
mod read;
mod segments;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

pub use error::LogError;
pub use limits::Limits;
pub use read::{Damage, Reader, Skipped};
pub use segments::Stats;
pub use writer::Writer;

pub(crate) use frame::{Codec, Kind};
pub(crate) use outcome::{arm, arm_byte, verdict, verdict_byte};
pub(crate) use read::Records;
pub(crate) use segments::Segments;
pub(crate) use wire::{BadRecord, Input, Output, Texts};
