//! Data: where training, calibration and evaluation images come from, and how they become batches.
//!
//! ```text
//! folder --Dataset::open--> Dataset --Partition--> splits --Images, Batches--> tensors
//! ```

mod dataset;
mod error;
mod layout;
mod load;
mod partition;
pub mod split;
pub mod surface;

pub use dataset::{Dataset, LoadOptions, Sample};
pub use error::{DataError, Faults};
pub use layout::Layout;
pub use partition::{Partition, Selection};
pub use split::Split;
