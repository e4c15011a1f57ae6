//! Root cause: which element of which dimension explains that a total is not what was expected.
//!
//! - [`adtributor`]: one dimension at a time, for the few dimensions of a line (Bhagwan et al., "Adtributor: Revenue
//!   Debugging in Advertising Systems", NSDI 2014). Additive measures and ratios of them.
//! - [`riskloc`]: combinations of elements over many dimensions (Kalander, "RiskLoc: Localization of Multi-dimensional Root
//!   Causes by Weighted Risk", 2022). Additive measures.
//!
//! Both take a [`Table`] of leaves, each with what was expected and what came. What they name is where the change is, not
//! why. The order of rows changes nothing, to the last bit.

pub mod adtributor;
pub mod riskloc;
mod table;
#[cfg(test)]
mod tests;

pub use table::{CauseError, Measure, Quotient, Ratio, Row, Sum, Table};
