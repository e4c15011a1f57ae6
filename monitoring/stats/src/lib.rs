//! Statistics of drift and quality. Pure: numbers in, numbers out; no clock, no I/O, no knowledge of models.
//!
//! - [`grid`]: a fixed reference grid on which PSI is exact and the KS distance is known within certified bounds.
//! - [`proportion`]: exact bounds of a rate, and whether a rate fell by more than chance and overdispersion explain.
//! - [`verdict`]: drift, no drift or undetermined, with the sampling bound that decided.
//!
//! Functions return `None` where their input admits no answer (nothing observed, slices that do not belong together);
//! each says when. Counts are `f64` where they may be weighted; integers are exact up to 2^53.

pub mod chi_square;
pub mod correlation;
pub mod grid;
pub mod noncentral;
pub mod null;
pub mod proportion;
pub mod psi;
mod quantile;
mod special;
pub mod verdict;
