//! Rows of dimensions with what was expected and what came.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// One combination of elements with its measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row<M> {
    /// One element per dimension, in the order of the table's dimensions.
    pub elements: Vec<String>,
    /// What was expected of it and what came.
    pub measure: M,
}

/// A quantity that adds up over rows: counts, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// What was expected; not negative.
    pub forecast: f64,
    /// What came; not negative.
    pub actual: f64,
}

/// A numerator over a denominator; both add up over rows, and the quotient does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quotient {
    /// Such as parts flagged; not negative.
    pub numerator: f64,
    /// Such as parts inspected; not negative.
    pub denominator: f64,
}

/// A rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// What was expected.
    pub forecast: Quotient,
    /// What came.
    pub actual: Quotient,
}

/// What rows can measure.
pub trait Measure: Copy + Default {
    /// Adds another row's.
    fn add(&mut self, other: &Self);

    /// All its numbers, in a fixed order.
    fn numbers(&self) -> impl Iterator<Item = f64>;
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CauseError {
    /// The number of dimensions makes no sense.
    #[error("dimensions: found {found}, expected 1 to {MOST_DIMENSIONS}; leave out those that cannot be the cause")]
    Dimensions {
        /// How many there are.
        found: usize,
    },
    /// Two dimensions have one name.
    #[error("dimensions: found '{name}' twice, expected each once; rename one")]
    Twice {
        /// The name.
        name: String,
    },
    /// A row has more or fewer elements than there are dimensions.
    #[error("row {row}: found {found} elements, expected {expected}, one per dimension")]
    Elements {
        /// Index of the row.
        row: usize,
        /// Its elements.
        found: usize,
        /// Dimensions of the table.
        expected: usize,
    },
    /// A measure is negative, infinite or no number.
    #[error("row {row}: found {found}, expected a finite number of at least 0; leave out rows without a value")]
    Number {
        /// Index of the row.
        row: usize,
        /// The number.
        found: String,
    },
}

/// Combinations of dimensions grow as two to their number.
const MOST_DIMENSIONS: usize = 16;

/// Leaves by their elements, each combination once.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<M> {
    pub(super) dimensions: Vec<Dimension>,
    /// Sorted by their elements.
    pub(super) leaves: Vec<Leaf<M>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dimension {
    pub(super) name: String,
    /// Sorted.
    pub(super) elements: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf<M> {
    /// Index of its element in each dimension.
    pub(super) elements: Vec<usize>,
    pub(super) measure: M,
}

impl<M: Measure> Table<M> {
    /// A table of these rows; those with equal elements are added up.
    ///
    /// # Errors
    /// No dimension or too many, one of them twice, or the first row that does not fit or holds a number that is none.
    pub fn new(dimensions: &[&str], rows: &[Row<M>]) -> Result<Self, CauseError> {
        if !(1..=MOST_DIMENSIONS).contains(&dimensions.len()) {
            return Err(CauseError::Dimensions { found: dimensions.len() });
        }
        let mut names = BTreeSet::new();
        if let Some(name) = dimensions.iter().find(|name| !names.insert(**name)) {
            return Err(CauseError::Twice { name: (*name).to_owned() });
        }
        for (row, Row { elements, measure }) in rows.iter().enumerate() {
            if elements.len() != dimensions.len() {
                return Err(CauseError::Elements { row, found: elements.len(), expected: dimensions.len() });
            }
            if let Some(found) = measure.numbers().find(|number| !(number.is_finite() && *number >= 0.0)) {
                return Err(CauseError::Number { row, found: found.to_string() });
            }
        }
        // Sorted before anything is added, so that sums do not depend on the order of rows.
        let mut sorted: Vec<_> = rows.iter().collect();
        sorted.sort_by(|a, b| a.elements.cmp(&b.elements).then_with(|| by_numbers(&a.measure, &b.measure)));
        let dimensions: Vec<_> =
            dimensions.iter().enumerate().map(|(at, name)| Dimension::of(name, &sorted, at)).collect();
        let mut leaves: Vec<Leaf<M>> = Vec::new();
        for Row { elements, measure } in sorted {
            let elements =
                elements.iter().zip(&dimensions).map(|(element, dimension)| dimension.index(element)).collect();
            match leaves.last_mut() {
                Some(leaf) if leaf.elements == elements => leaf.measure.add(measure),
                _ => leaves.push(Leaf { elements, measure: *measure }),
            }
        }
        Ok(Self { dimensions, leaves })
    }

    /// All leaves together.
    pub(super) fn total(&self) -> M {
        total(self.leaves.iter())
    }

    /// What each element of a dimension measures.
    pub(super) fn by_element(&self, dimension: usize) -> Vec<M> {
        let elements = self.dimensions.get(dimension).map_or(0, |dimension| dimension.elements.len());
        let mut sums = vec![M::default(); elements];
        for leaf in &self.leaves {
            if let Some(sum) = leaf.elements.get(dimension).and_then(|&element| sums.get_mut(element)) {
                sum.add(&leaf.measure);
            }
        }
        sums
    }
}

impl Dimension {
    fn of<M>(name: &str, rows: &[&Row<M>], at: usize) -> Self {
        let elements: BTreeSet<_> = rows.iter().filter_map(|row| row.elements.get(at)).collect();
        Self { name: name.to_owned(), elements: elements.into_iter().cloned().collect() }
    }

    fn index(&self, element: &str) -> usize {
        // It is there: the dimension was made of these rows.
        self.elements.binary_search_by(|known| known.as_str().cmp(element)).unwrap_or_default()
    }
}

impl Measure for Sum {
    fn add(&mut self, other: &Self) {
        self.forecast += other.forecast;
        self.actual += other.actual;
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        [self.forecast, self.actual].into_iter()
    }
}

impl Measure for Ratio {
    fn add(&mut self, other: &Self) {
        self.forecast.numerator += other.forecast.numerator;
        self.forecast.denominator += other.forecast.denominator;
        self.actual.numerator += other.actual.numerator;
        self.actual.denominator += other.actual.denominator;
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        let Self { forecast, actual } = self;
        [forecast.numerator, forecast.denominator, actual.numerator, actual.denominator].into_iter()
    }
}

/// All leaves together.
pub(super) fn total<'a, M: Measure + 'a>(leaves: impl Iterator<Item = &'a Leaf<M>>) -> M {
    leaves.fold(M::default(), |mut sum, leaf| {
        sum.add(&leaf.measure);
        sum
    })
}

fn by_numbers<M: Measure>(a: &M, b: &M) -> Ordering {
    a.numbers().zip(b.numbers()).map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
