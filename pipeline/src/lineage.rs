//! Which channels of the model that pruning began with a pruned one still has.
//!
//! Indices are those of the first model, however often its descendants were pruned: any two of a family can be compared channel by
//! channel. Kept in the ONNX file's `metadata_props`, as the [card](crate::card).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::Kept;

use crate::card::{CardError, entry, put};

const KEPT: &str = "takt.kept";
/// The axis of channels, of values `[batch, channels, ...]`.
const CHANNELS: usize = 1;

/// Values by name, and the channels they kept; those that are not here kept all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage(BTreeMap<String, Origin>);

/// Where the channels of a value come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// How many channels there were.
    pub of: usize,
    /// Those that are left, in order.
    pub kept: Vec<usize>,
}

/// Values with the same channels, as the file has them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    of: usize,
    kept: Vec<usize>,
    values: Vec<String>,
}

impl Lineage {
    /// What a model says of itself; nothing for one that was never pruned.
    ///
    /// # Errors
    /// The entry cannot be read.
    pub fn read(model: &Model) -> Result<Self, CardError> {
        let entries: Vec<Entry> = entry(model, KEPT)?.unwrap_or_default();
        let mut all = BTreeMap::new();
        for Entry { of, kept, values } in entries {
            if !kept.is_sorted_by(|a, b| a < b) || kept.last().is_none_or(|&last| last >= of) {
                return Err(bad(format!("the channels of '{}' are not in order below {of}", values.join("', '"))));
            }
            let origin = Origin { of, kept };
            all.extend(values.into_iter().map(|value| (value, origin.clone())));
        }
        Ok(Self(all))
    }

    /// What `model` will say once no more than `kept` is left of it.
    ///
    /// # Errors
    /// What it says now cannot be read.
    pub fn after(model: &Model, kept: &Kept<'_>) -> Result<Self, CardError> {
        let mut all = Self::read(model)?.0;
        let initialised = |value: &str| model.graph().initializer_named(value).is_some();
        for value in kept.values() {
            let (Some(left), Some(of)) = (kept.indices(value, CHANNELS), kept.extent(value, CHANNELS)) else {
                continue;
            };
            if initialised(value) {
                continue;
            }
            let origin = match all.get(value) {
                Some(before) if before.kept.len() != of => {
                    return Err(bad(format!("'{value}' has {of} channels, and {} are listed", before.kept.len())));
                }
                Some(before) => {
                    let at = left.iter().filter_map(|&index| before.kept.get(index).copied());
                    Origin { of: before.of, kept: at.collect() }
                }
                None => Origin { of, kept: left },
            };
            all.insert(value.to_owned(), origin);
        }
        Ok(Self(all))
    }

    /// Writes it into the model.
    ///
    /// # Errors
    /// None in practice: names and numbers can be written.
    pub fn write(&self, model: &mut Model) -> Result<(), CardError> {
        let mut alike: BTreeMap<&Origin, Vec<String>> = BTreeMap::new();
        for (value, origin) in &self.0 {
            alike.entry(origin).or_default().push(value.clone());
        }
        let entries =
            alike.into_iter().map(|(origin, values)| Entry { of: origin.of, kept: origin.kept.clone(), values });
        put(model, KEPT, &entries.collect::<Vec<_>>())
    }

    /// Where the channels of a value come from; `None` if it kept all.
    #[must_use]
    pub fn of(&self, value: &str) -> Option<&Origin> {
        self.0.get(value)
    }
}

/// Takes the record out of a model that nobody will learn from.
pub fn forget(model: &mut Model) {
    model.remove_metadata(KEPT);
}

const fn bad(reason: String) -> CardError {
    CardError::Entry { key: KEPT, reason }
}

#[cfg(test)]
mod tests {
    use takt_graph::channels::{self, Selection};

    use super::*;
    use crate::testing::network;

    /// Without those units of every group.
    fn without(model: &mut Model, units: &[usize]) -> Lineage {
        let groups = channels::groups(model).unwrap();
        let all = 0..groups.groups.len();
        let selection = all.fold(Selection::new(), |all, group| all.drop_units(group, units.iter().copied()));
        let lineage = Lineage::after(model, &channels::kept(&groups, &selection).unwrap()).unwrap();
        channels::prune(model, &groups, &selection).unwrap();
        lineage.write(model).unwrap();
        lineage
    }

    #[test]
    fn indices_are_those_of_the_first_model_after_any_number_of_cuts() {
        let mut model = network(1);
        assert_eq!(Lineage::read(&model), Ok(Lineage::default()));
        without(&mut model, &[0, 2]);
        let lineage = without(&mut model, &[1]);
        let stem = lineage.of("conv1.out").unwrap();
        assert_eq!((stem.of, stem.kept.as_slice()), (8, [1, 4, 5, 6, 7].as_slice()));
        let features = lineage.of("features").unwrap();
        assert_eq!((features.of, features.kept[..3].to_vec()), (32, vec![1, 4, 5]));
        assert_eq!(lineage.of("logits"), None, "outputs are never pruned");

        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path().join("m.onnx")).unwrap();
        let mut read = Model::load(folder.path().join("m.onnx")).unwrap();
        assert_eq!(Lineage::read(&read), Ok(lineage));
        forget(&mut read);
        assert_eq!(Lineage::read(&read), Ok(Lineage::default()));
    }

    #[test]
    fn a_record_that_makes_no_sense_is_named() {
        let mut model = network(1);
        for spoilt in [r#"[{"of":8,"kept":[1,8],"values":["a"]}]"#, r#"[{"of":8,"kept":[2,1],"values":["a"]}]"#, "{}"] {
            model.set_metadata(KEPT, spoilt);
            let told = Lineage::read(&model).unwrap_err().to_string();
            assert!(told.contains("'takt.kept' cannot be read"), "{told}");
        }
    }
}
