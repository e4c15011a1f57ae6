//! Adtributor (Bhagwan et al., NSDI 2014): the elements of one dimension that explain the change of a total and whose
//! shares changed most surprisingly.
//!
//! For element j of a dimension with forecast F_j and actual A_j, and their totals F and A:
//!
//! - *Explanatory power*, its part of the change: `(A_j - F_j) / (A - F)`. For a ratio m1/m2 the change of the total
//!   quotient when only this element changes (section 4.3),
//!   `((A1_j - F1_j) F2 - (A2_j - F2_j) F1) / (F2 (F2 + A2_j - F2_j))`, divided by its sum over the elements.
//! - *Surprise*, the element's term of the Jensen-Shannon divergence between shares `p = F_j / F` and `q = A_j / A`:
//!   `0.5 (p ln(2p / (p + q)) + q ln(2q / (p + q)))`. For a ratio the sum of both measures' terms.

use serde::{Deserialize, Serialize};
use takt_artifact::fault::Fault;

use super::{Measure, Ratio, Sum, Table};

/// Thresholds of the search; the paper's names are T_EEP, T_EP and k.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Explanatory power above which an element is worth naming.
    pub element_power: f64,
    /// Explanatory power that a dimension's elements must have together.
    pub dimension_power: f64,
    /// Dimensions that are named at most.
    pub dimensions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { element_power: 0.1, dimension_power: 0.67, dimensions: 3 }
    }
}

/// A dimension with the elements that explain the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The dimension.
    pub dimension: String,
    /// Most surprising first.
    pub elements: Vec<Element>,
    /// What they explain of the change, 1 is all of it. Above 1 where other elements changed the other way.
    pub explanatory_power: f64,
    /// Their surprise, in nats; at most ln 2.
    pub surprise: f64,
}

/// An element and its part in the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// The element.
    pub element: String,
    /// What it explains of the change.
    pub explanatory_power: f64,
    /// Its surprise.
    pub surprise: f64,
}

/// A measure that Adtributor can explain.
pub trait Explained: Measure {
    /// Explanatory power of each element of a dimension; `None` where the total did not change or has no quotient.
    fn powers(total: &Self, elements: &[Self]) -> Option<Vec<f64>>;

    /// Surprise of an element.
    fn surprise(total: &Self, element: &Self) -> f64;
}

impl Options {
    /// Everything about them that does not make sense.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let share = |path: &str, found: f64, usual: &str| {
            let fault = || Fault::new(path, found.to_string(), "above 0, at most 1", format!("{usual} is usual"));
            (!(found > 0.0 && found <= 1.0)).then(fault)
        };
        let none = || Fault::new("dimensions", "0", "at least 1", "3 is usual");
        [
            share("element_power", self.element_power, "0.1"),
            share("dimension_power", self.dimension_power, "0.67"),
            (self.dimensions == 0).then(none),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The dimensions that explain the change of the total, most surprising first. Empty where nothing changed or no
/// dimension explains enough of it.
#[must_use]
pub fn explain<M: Explained>(table: &Table<M>, options: &Options) -> Vec<Cause> {
    let total = table.total();
    let mut causes: Vec<_> =
        (0..table.dimensions.len()).filter_map(|dimension| candidate(table, dimension, &total, options)).collect();
    // Stable: of equally surprising dimensions the first stays first.
    causes.sort_by(|a, b| b.surprise.total_cmp(&a.surprise));
    causes.truncate(options.dimensions);
    causes
}

fn candidate<M: Explained>(table: &Table<M>, at: usize, total: &M, options: &Options) -> Option<Cause> {
    let dimension = table.dimensions.get(at)?;
    let measures = table.by_element(at);
    let powers = M::powers(total, &measures)?;
    let mut elements: Vec<_> = dimension
        .elements
        .iter()
        .zip(&measures)
        .zip(powers)
        .map(|((element, measure), explanatory_power)| Element {
            element: element.clone(),
            explanatory_power,
            surprise: M::surprise(total, measure),
        })
        .collect();
    elements.sort_by(|a, b| {
        b.surprise.total_cmp(&a.surprise).then_with(|| b.explanatory_power.total_cmp(&a.explanatory_power))
    });
    let mut cause =
        Cause { dimension: dimension.name.clone(), elements: Vec::new(), explanatory_power: 0.0, surprise: 0.0 };
    for element in elements.into_iter().filter(|element| element.explanatory_power > options.element_power) {
        cause.explanatory_power += element.explanatory_power;
        cause.surprise += element.surprise;
        cause.elements.push(element);
        if cause.explanatory_power > options.dimension_power {
            return Some(cause);
        }
    }
    None
}

impl Explained for Sum {
    fn powers(total: &Self, elements: &[Self]) -> Option<Vec<f64>> {
        let change = total.actual - total.forecast;
        (change != 0.0).then(|| elements.iter().map(|element| (element.actual - element.forecast) / change).collect())
    }

    fn surprise(total: &Self, element: &Self) -> f64 {
        divergence((element.forecast, total.forecast), (element.actual, total.actual))
    }
}

impl Explained for Ratio {
    fn powers(total: &Self, elements: &[Self]) -> Option<Vec<f64>> {
        let (f1, f2) = (total.forecast.numerator, total.forecast.denominator);
        let power = |element: &Self| {
            let change1 = element.actual.numerator - element.forecast.numerator;
            let change2 = element.actual.denominator - element.forecast.denominator;
            let change = change1 * f2 - change2 * f1;
            // What was everything and is gone, as a version that was replaced: the rest has no quotient to compare with.
            if change == 0.0 { 0.0 } else { change / (f2 * (f2 + change2)) }
        };
        let powers: Vec<_> = elements.iter().map(power).collect();
        let sum: f64 = powers.iter().sum();
        (sum.is_finite() && sum != 0.0).then(|| powers.into_iter().map(|power| power / sum).collect())
    }

    fn surprise(total: &Self, element: &Self) -> f64 {
        let of = |part: fn(&Self) -> (f64, f64)| {
            let ((forecast, actual), (all_forecast, all_actual)) = (part(element), part(total));
            divergence((forecast, all_forecast), (actual, all_actual))
        };
        of(|of| (of.forecast.numerator, of.actual.numerator))
            + of(|of| (of.forecast.denominator, of.actual.denominator))
    }
}

/// The term of the Jensen-Shannon divergence of one element: part and whole, before and after. A part of nothing is none.
fn divergence(forecast: (f64, f64), actual: (f64, f64)) -> f64 {
    let share = |(part, whole): (f64, f64)| if whole > 0.0 { part / whole } else { 0.0 };
    let (p, q) = (share(forecast), share(actual));
    let term = |share: f64| if share > 0.0 { share * (2.0 * share / (p + q)).ln() } else { 0.0 };
    0.5 * (term(p) + term(q))
}
