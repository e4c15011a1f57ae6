//! Data: where training, calibration and evaluation images come from, and how they become batches.
//!
//! ```text
//! folder --Dataset::open--> Dataset --Partition--> splits --Images, Batches--> tensors
//! ```

mod augment;
mod batches;
mod corrupt;
pub(crate) mod csv;
mod dataset;
mod error;
mod images;
mod inspect;
mod layout;
mod load;
mod partition;
pub mod split;
pub mod surface;
#[cfg(feature = "tables")]
mod table;
#[cfg(feature = "tables")]
mod validate;

pub use augment::{Augment, Shape, View};
pub use batches::{Batch, Batches, Batching, Tail, Views, epoch_order};
pub use corrupt::{CorruptError, Corruption};
pub use dataset::{Dataset, LoadOptions, Sample};
pub(crate) use error::quoted;
pub use error::{DataError, Faults};
pub use images::{Buffers, Images, Variation};
pub use inspect::{ImageFacts, inspect};
pub use layout::Layout;
pub use partition::{Partition, Selection};
pub use split::Split;
#[cfg(feature = "tables")]
pub(crate) use table::{Rows, Wanted};
#[cfg(feature = "tables")]
pub use validate::validate;
