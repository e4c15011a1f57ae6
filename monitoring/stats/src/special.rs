//! Special functions that the tests and intervals rest on, accurate to about 1e-13 also for counts of millions, where
//! differences of logarithms of gamma functions would lose half the digits.

mod beta;
mod gamma;
mod normal;
mod solve;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use beta::beta_lower;
pub(crate) use beta::{Tail, beta_quantile, binomial_term, student_upper};
pub(crate) use gamma::{gamma_lower, gamma_upper, poisson};
pub(crate) use normal::normal_upper;
pub(crate) use solve::increasing;
