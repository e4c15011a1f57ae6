//! Evidence that adds up over time. An e-value is a number whose mean is at most 1 while nothing is wrong, so a large one is
//! evidence; e-values of panes multiply.

mod e_bh;
mod pane;

pub use e_bh::e_bh;
pub use pane::{PaneProcess, PaneTest};
