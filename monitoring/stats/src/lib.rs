//! Statistics of drift and quality. Pure: numbers in, numbers out; no clock, no I/O, no knowledge of models.
//!
//! What is where:
//!
//! - [`grid`]: a fixed reference grid on which PSI is exact and the KS distance is known within certified bounds.
//! - [`proportion`]: exact bounds of a rate, and whether a rate fell by more than chance and overdispersion explain.
//! - [`verdict`]: drift, no drift or undetermined, with the sampling bound that decided; [`null`] and [`correlation`] for
//!   observations that resemble the one before.
//! - [`windows`] and [`mix`]: counters over time and over stations.
//! - [`eprocess`]: evidence over panes with a stated rate of false alarms; [`debounce`]: from panes to one alert.
//! - [`sequential`]: one version against another, judged as often as one likes with a stated rate of errors.
//! - [`psi`], [`ks`], [`distance`], [`chi_square`], [`quantile`]: raw samples, for reports.
//!
//! Functions return `None` where their input admits no answer (nothing observed, slices that do not belong together);
//! each says when. Counts are `f64` where they may be weighted; integers are exact up to 2^53.

pub mod chi_square;
pub mod correlation;
pub mod debounce;
pub mod distance;
pub mod eprocess;
pub mod grid;
pub mod ks;
pub mod mix;
pub mod noncentral;
pub mod null;
pub mod order;
pub mod proportion;
pub mod psi;
pub mod quantile;
pub mod sequential;
mod special;
pub mod verdict;
pub mod windows;
