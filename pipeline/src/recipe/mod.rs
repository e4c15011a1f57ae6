//! A pipeline as a file: stages in TOML, and from them a [plan](crate::run) to run.
//!
//! ```toml
//! schema = 1
//! name = "screws"
//!
//! [[stage]]
//! name = "teacher"
//! kind = "train"
//! data = "./images"                          # a path, relative to this file, has a '/' or a '.'
//! start = { architecture = { name = "resnet18", width = 1.0, size = 64 } }
//! settings = { epochs = 20 }
//!
//! [[stage]]
//! name = "small"
//! kind = "prune"
//! data = "./images"
//! model = "teacher"                          # the stage of that name
//! cut = { keep = 0.2 }
//! ```
//!
//! Kinds and their keys are the fields of [`Spec`]'s variants; `docs/pipeline.md` lists them with their defaults.

mod error;
mod faults;
mod from;
mod parse;
mod spec;
mod step;
#[cfg(test)]
mod tests;

pub use error::{RecipeError, RecipeFault, RecipeFaults};
pub use from::From;
pub use parse::Recipe;
pub use spec::{Evaluate, Generate, Package, Prune, Quantise, Spec, Start, Train, Validate};
pub use step::Machine;
