//! Labels and the people who give them: whether annotators agree, what experts decide, and images to be labelled.
//!
//! ```text
//! annotations --agreement--> coefficients, batches for review
//! decisions   --decide----> rulings.json, a new version of the labelling guide
//! both        --settle----> labels --apply--> labels.csv
//! captured images --pull--> an image folder with labels.csv, to be filled in
//! ```

mod agreement;
mod annotations;
mod apply;
mod decide;
mod error;
mod pull;

pub use agreement::{Agreement, Annotator, Pair, agreement};
pub use annotations::{Annotations, read};
pub use apply::{Applied, apply, write_labels};
pub use decide::{Decided, decide, open};
pub use error::LabellingError;
pub use pull::{Pull, Pulled, pull};
