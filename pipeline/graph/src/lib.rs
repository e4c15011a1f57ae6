//! The ONNX graph as the one model representation of the pipeline.
//!
//! A [`Model`] is what the file says, and nothing else: what we do not understand is kept and written back. On it work
//! [`shape`] inference with a symbolic batch, [`patch`]es that a pass proposes and a driver checks, the [`clean`]-up passes,
//! structural pruning by dependency groups ([`channels`]), costs per node ([`cost`]), where a classifier ends ([`head`]), the
//! built-in architectures ([`arch`]) and the executor on candle tensors ([`execute`]).
//!
//! ```no_run
//! use takt_graph::{Model, channels, clean};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut model = Model::load("classifier.onnx")?;
//! clean::clean(&mut model)?;
//! let groups = channels::groups(&model)?;
//! let selection = channels::Selection::new().drop_units(0, [3, 7]);
//! channels::prune(&mut model, &groups, &selection)?;
//! model.save("smaller.onnx")?;
//! # Ok(())
//! # }
//! ```

pub mod arch;
pub mod channels;
pub mod check;
pub mod clean;
pub mod cost;
pub mod execute;
pub mod external;
pub mod graph;
pub mod head;
mod load;
mod model;
pub mod node;
pub mod onnx;
pub mod patch;
mod random;
mod save;
pub mod shape;
pub mod tensor;

pub use external::ExternalError;
pub use graph::{Fresh, Index};
pub use load::LoadError;
pub use model::{Model, OPSETS};
pub use save::{SaveError, Weights};
pub use tensor::TensorError;
