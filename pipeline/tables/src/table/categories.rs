//! How often each value of a column occurs.

use std::collections::HashMap;

use polars::prelude::{DataType, IntoLazy, SortMultipleOptions, col, len};

use super::Table;
use super::runs::Runs;
use crate::error::TableError;

/// How often the values of a column occur.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Categories {
    /// Values as texts with their counts, the most frequent first, then by name.
    pub counts: Vec<(String, u64)>,
    /// Number of values that were left out, and of their rows.
    pub others: (u64, u64),
    /// Rows without a value.
    pub missing: u64,
}

impl Table {
    /// Counts the values of a column and gives the `most` frequent ones. Takes memory for the different values, not for
    /// the rows.
    ///
    /// # Errors
    /// No such column, one of lists or records, or rows that cannot be read.
    pub fn categories(&self, column: &str, most: usize) -> Result<Categories, TableError> {
        let column = self.column(column)?;
        if let Some(files) = self.parquet.as_deref().filter(|_| matches!(column.exact.as_str(), "string" | "bool")) {
            return self.count(Runs::new(files, vec![column.clone()]), most);
        }
        let (value, count) = ("value", "count");
        let values = column.as_text().alias(value);
        let counted = self.frame().select([values]).group_by([col(value)]).agg([len().alias(count)]);
        // Sorted after it was counted: the streaming engine has no reason to hold all rows.
        let order = SortMultipleOptions::default().with_order_descending_multi([true, false]);
        let sorted = self.collect(counted)?.lazy().sort([count, value], order);
        let sorted = self.collect(sorted)?;
        let read = TableError::read(self.path());
        let pairs = || {
            let (values, counts) = (sorted.column(value)?.str()?.clone(), sorted.column(count)?.u32()?.clone());
            Ok((values, counts))
        };
        let (values, counts) = pairs().map_err(read)?;
        let mut categories = Categories::default();
        for (value, count) in values.iter().zip(counts.iter()) {
            let count = u64::from(count.unwrap_or(0));
            match value {
                None => categories.missing += count,
                Some(value) if categories.counts.len() < most => categories.counts.push((value.to_owned(), count)),
                Some(_) => categories.others = (categories.others.0 + 1, categories.others.1 + count),
            }
        }
        Ok(categories)
    }

    /// The same without the engine.
    fn count(&self, runs: Runs, most: usize) -> Result<Categories, TableError> {
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut categories = Categories::default();
        for run in runs {
            for column in run? {
                let texts = column.cast(&DataType::String).map_err(TableError::read(self.path()))?;
                for value in texts.str().map_err(TableError::read(self.path()))?.iter() {
                    match value.map(|value| (value, counts.get_mut(value))) {
                        None => categories.missing += 1,
                        Some((_, Some(count))) => *count += 1,
                        Some((value, None)) => _ = counts.insert(value.to_owned(), 1),
                    }
                }
            }
        }
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_unstable_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
        let others = counts.split_off(counts.len().min(most));
        categories.others = (others.len() as u64, others.iter().map(|(_, count)| count).sum());
        categories.counts = counts;
        Ok(categories)
    }
}
