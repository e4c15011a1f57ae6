//! Tables as leaves: one per combination of elements, with what was expected and what came.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use takt_tables::{Amount, Total};

use super::{RootCauseError, Sides};
use crate::data::{Rows, Wanted};
use crate::outcomes::Detail;

/// What stands for a missing element.
const MISSING: &str = "(missing)";

/// Leaves with the totals of both sides.
pub(super) struct Leaves {
    /// Numerator and denominator expected, numerator and denominator that came.
    pub(super) rows: Vec<(Vec<String>, [f64; 4])>,
    pub(super) totals: [f64; 2],
}

/// Adds up both sides by the dimensions; nothing where it was stopped.
pub(super) fn leaves(
    sides: &Sides<'_>,
    dimensions: &[&str],
    stop: &AtomicBool,
) -> Result<Option<Leaves>, RootCauseError> {
    // Numerators and denominators of a side by their places in the leaf.
    let mut rows: BTreeMap<Vec<String>, [f64; 4]> = BTreeMap::new();
    let mut take = |path: &Path, amounts: &[&Amount], places: &[usize]| -> Result<bool, RootCauseError> {
        let wanted = Wanted { detail: Detail::Full, model: None, stop };
        let Some(opened) = Rows::open(path, &wanted)? else { return Ok(false) };
        let amounts: Vec<Amount> = amounts.iter().map(|amount| (*amount).clone()).collect();
        for Total { elements, amounts } in opened.table.totals(dimensions, &amounts)? {
            let elements = elements.into_iter().map(|element| element.unwrap_or_else(|| MISSING.to_owned())).collect();
            let leaf = rows.entry(elements).or_default();
            places.iter().zip(amounts).for_each(|(place, amount)| leaf[*place] += amount);
        }
        Ok(true)
    };
    let complete = match sides {
        Sides::Tables { reference, current, measure, per } => {
            let amounts: Vec<&Amount> = std::iter::once(*measure).chain(*per).collect();
            take(reference, &amounts, &[0, 1])? && take(current, &amounts, &[2, 3])?
        }
        Sides::Columns { data, measure: [forecast, actual], per: None } => take(data, &[forecast, actual], &[0, 2])?,
        Sides::Columns { data, measure: [forecast, actual], per: Some([before, now]) } => {
            take(data, &[forecast, before, actual, now], &[0, 1, 2, 3])?
        }
    };
    if !complete {
        return Ok(None);
    }
    let sum = |place: usize| rows.values().map(|leaf| leaf[place]).sum::<f64>();
    let is_rate = sides.measure().1;
    let total = |at: usize| if is_rate { sum(at) / sum(at + 1) } else { sum(at) };
    let totals = [total(0), total(2)];
    Ok(Some(Leaves { rows: rows.into_iter().collect(), totals }))
}
