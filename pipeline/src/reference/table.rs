//! The reference of a table whose columns are features.

use std::collections::BTreeSet;
use std::path::Path;

use takt_artifact::profile::Profile;
use takt_monitoring::drift::{Learner, Row};
use takt_monitoring::events::UnixMillis;
use takt_monitoring::features::{VISION_LEN, VISION_NAMES};
use takt_tables::Table;

use super::error::ReferenceError;
use super::{Of, RULE, finish};

/// Makes the reference of a table with columns such as `brightness` or `top_probability`, and perhaps `station`, `product`
/// and `class`.
///
/// # Errors
/// A table that cannot be read or has no feature, a class that is not known, or too few rows.
pub fn of_table(path: &Path, model: &str, of: &Of<'_>) -> Result<Profile, ReferenceError> {
    let table = Table::open(path)?;
    let features: Vec<(usize, &str)> =
        VISION_NAMES.into_iter().enumerate().filter(|(_, name)| table.column(name).is_ok()).collect();
    if features.is_empty() {
        return Err(ReferenceError::NoFeature { path: path.to_owned() });
    }
    let texts = |name: &str| match table.column(name) {
        Ok(_) => table.texts_of(name).map(Vec::into_iter),
        Err(_) => Ok(Vec::new().into_iter()),
    };
    let (mut stations, mut products, classes) = (texts("station")?, texts("product")?, texts("class")?);
    let labels: Vec<String> = match of.classes {
        [] => classes.clone().flatten().collect::<BTreeSet<_>>().into_iter().collect(),
        given => given.to_vec(),
    };
    let class = |label: String| {
        let known = labels.iter().position(|known| *known == label);
        known.ok_or_else(|| ReferenceError::Classes { path: path.to_owned(), found: format!("class '{label}' came") })
    };
    let mut classes = classes;
    let mut learner = Learner::new(RULE);
    let names: Vec<&str> = features.iter().map(|(_, name)| *name).collect();
    for batch in table.numbers(&names)? {
        let batch = batch?;
        for row in 0..batch.rows() {
            let mut values = [f32::NAN; VISION_LEN];
            for ((at, _), column) in features.iter().zip(&batch.columns) {
                values[*at] = single(column[row]);
            }
            let class = classes.next().flatten().map(class).transpose()?;
            let (station, product) = (stations.next().flatten(), products.next().flatten());
            learner.observe(UnixMillis::default(), Row { product, station, values, class });
        }
    }
    finish(&learner, model, &labels, None, of)
}

#[expect(clippy::cast_possible_truncation, reason = "features are kept in single precision")]
const fn single(value: f64) -> f32 {
    value as f32
}
