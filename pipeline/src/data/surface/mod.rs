//! Seeded images of surface defects, for demonstrations and benchmarks.
//!
//! Textured surfaces with one of five defects or none, in the manner of the DAGM 2007 set (Wieler and Hahn, "Weakly
//! Supervised Learning for Industrial Optical Inspection", 2007), which is itself synthetic. A [`Plan`] decides every
//! byte: the same plan gives the same files on every machine, processor and number of threads, and an interrupted run
//! goes on where it stopped.
//!
//! ```text
//! <out>/dataset.json                    the plan, written first
//! <out>/<split>/<label>/<file>.jpg      the images
//! <out>/labels.csv                      one row per image, written last: where it is, the data set is complete
//! ```
//!
//! How an image comes to be: the plan lists [`Scene`]s (what is seen, where and when); [`render()`] draws a scene's
//! background, defect and harmless marks as reflectance, and looks at it through the station's camera.
//!
//! **Reproducible bit by bit.** Images are made with `+ - * /`, `sqrt`, `floor`, comparisons and integers alone, all
//! of which IEEE 754 defines exactly; Rust never contracts a multiplication and an addition by itself. Sine comes from
//! our own polynomial (the platforms' differ in the last bit), randomness from our own small generator (the
//! distributions of the `rand` crate may change with its version), JPEG from an encoder that computes in integers.

mod background;
mod camera;
mod defect;
mod distractor;
mod field;
mod generate;
mod image;
mod noise;
mod plan;
mod product;
mod render;
mod scene;
mod settings;
mod write;

pub use generate::{GenerateError, Summary, generate};
pub use image::{EncodeError, Image};
pub use plan::{Counts, Knobs, Plan, PlanError};
pub use render::render;
pub use scene::{Label, Scene, Shift};
pub use settings::{CountSettings, KnobSettings, Settings, SettingsError};
pub use write::LabelFile;

pub use super::split::Split;
pub use crate::progress::{Progress, Silent};
