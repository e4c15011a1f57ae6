//! Dividing samples into splits: seeded, every class in proportion, and whole groups together.
//!
//! Images of one product, part or station resemble each other. If some of them train a model and others judge it, the
//! judgement is of memory and not of skill; so a group named by metadata columns goes to one split as a whole.

use std::collections::BTreeMap;

use super::dataset::Dataset;
use super::error::{DataError, quoted};
use super::split::Split;
use crate::rng::Rng;

/// Which samples are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those that belong to no split yet.
    Unassigned,
    /// Those of one split, which is given to several.
    Split(Split),
    /// All, whatever they were marked as.
    All,
}

/// How to divide.
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    /// Which samples.
    pub from: Selection,
    /// Shares of the splits; they are divided by their sum.
    pub shares: Vec<(Split, f64)>,
    /// Metadata columns whose values, taken together, name a group that stays whole; empty where images are independent.
    pub group_by: Vec<String>,
    /// Start of all randomness.
    pub seed: u64,
}

impl Partition {
    /// Marks the samples with their splits. The same data, shares and seed give the same splits.
    ///
    /// # Errors
    /// Shares that are none, an unknown column, or fewer groups than splits.
    pub fn apply(&self, data: &mut Dataset) -> Result<(), DataError> {
        self.check()?;
        let chosen = |split: Option<Split>| match self.from {
            Selection::Unassigned => split.is_none(),
            Selection::Split(from) => split == Some(from),
            Selection::All => true,
        };
        let samples = data.samples.iter().enumerate();
        let indices: Vec<usize> = samples.filter(|(_, s)| chosen(s.split)).map(|(index, _)| index).collect();
        if indices.is_empty() {
            return Err(refusal(format!("no image is there to divide ({:?}); see which splits are given", self.from)));
        }
        let splits =
            if self.group_by.is_empty() { self.by_class(data, &indices) } else { self.by_group(data, &indices)? };
        for (index, split) in indices.into_iter().zip(splits) {
            data.samples[index].split = Some(split);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), DataError> {
        let bad = self.shares.iter().find(|(_, share)| !(share.is_finite() && *share > 0.0));
        if let Some((split, share)) = bad {
            return Err(refusal(format!("the share of {split} is {share}, expected a number above 0, such as 0.7")));
        }
        let mut splits: Vec<Split> = self.shares.iter().map(|(split, _)| *split).collect();
        splits.sort_unstable();
        splits.dedup();
        if splits.len() != self.shares.len() || splits.len() < 2 {
            let found = quoted(&self.shares.iter().map(|(split, _)| split.name()).collect::<Vec<_>>());
            return Err(refusal(format!("shares are given for {found}, expected two different splits or more")));
        }
        Ok(())
    }

    /// Each class by itself, shuffled and cut: exact to one image.
    fn by_class(&self, data: &Dataset, indices: &[usize]) -> Vec<Split> {
        let mut splits = vec![self.shares[0].0; indices.len()];
        for class in 0..data.classes.len() {
            let of_class = (0..indices.len()).filter(|i| data.samples[indices[*i]].label == class);
            let mut members: Vec<usize> = of_class.collect();
            shuffle(&mut members, &mut Rng::new(self.seed, &[0x7061, class as u64]));
            let mut rest = members.as_slice();
            for ((split, _), count) in self.shares.iter().zip(self.cut(members.len())) {
                let (mine, others) = rest.split_at(count);
                mine.iter().for_each(|i| splits[*i] = *split);
                rest = others;
            }
        }
        splits
    }

    /// `total` by shares, largest remainders first; none is left empty while another has two.
    fn cut(&self, total: usize) -> Vec<usize> {
        let sum: f64 = self.shares.iter().map(|(_, share)| share).sum();
        let exact: Vec<f64> = self.shares.iter().map(|(_, share)| share / sum * total as f64).collect();
        let mut counts: Vec<usize> = exact.iter().map(|x| x.floor() as usize).collect();
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
        let missing = total.saturating_sub(counts.iter().sum());
        order.iter().cycle().take(missing).for_each(|i| counts[*i] += 1);
        while let Some(empty) = counts.iter().position(|count| *count == 0) {
            let Some(richest) = (0..counts.len()).max_by_key(|i| counts[*i]).filter(|i| counts[*i] > 1) else { break };
            counts[richest] -= 1;
            counts[empty] += 1;
        }
        counts
    }

    /// Groups from the largest to the smallest, each to the split that lacks its classes most.
    fn by_group(&self, data: &Dataset, indices: &[usize]) -> Result<Vec<Split>, DataError> {
        let groups = self.groups(data, indices)?;
        let classes = data.classes.len();
        let mut count = vec![0.0_f64; classes];
        indices.iter().for_each(|i| count[data.samples[*i].label] += 1.0);
        let sum: f64 = self.shares.iter().map(|(_, share)| share).sum();
        let mut lacking: Vec<Vec<f64>> =
            self.shares.iter().map(|(_, share)| count.iter().map(|n| share / sum * n).collect()).collect();
        let mut splits = vec![self.shares[0].0; indices.len()];
        let mut empty = self.shares.len();
        let mut used = vec![false; self.shares.len()];
        for (position, members) in groups.iter().enumerate() {
            let mut have = vec![0.0_f64; classes];
            members.iter().for_each(|i| have[data.samples[indices[*i]].label] += 1.0);
            // Rare classes weigh as much as frequent ones.
            let gain = |split: usize| -> f64 {
                let classes = (0..classes).filter(|c| count[*c] > 0.0);
                classes.map(|c| have[c] * lacking[split][c] / (count[c] * count[c])).sum()
            };
            // The last groups are kept for splits that have none yet.
            let only_empty = groups.len() - position <= empty;
            let open = (0..used.len()).filter(|split| !only_empty || !used[*split]);
            let best = open.max_by(|a, b| gain(*a).total_cmp(&gain(*b)).then(b.cmp(a))).unwrap_or(0);
            empty -= usize::from(!used[best]);
            used[best] = true;
            for (lack, have) in lacking[best].iter_mut().zip(&have) {
                *lack -= have;
            }
            members.iter().for_each(|i| splits[*i] = self.shares[best].0);
        }
        Ok(splits)
    }

    /// Positions within `indices` by group; largest first, equals in an order of the seed's.
    fn groups(&self, data: &Dataset, indices: &[usize]) -> Result<Vec<Vec<usize>>, DataError> {
        let column = |name: &String| {
            let expected = quoted(&data.columns);
            data.column(name)
                .ok_or_else(|| refusal(format!("there is no column '{name}', expected some of {expected}")))
        };
        let columns = self.group_by.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let mut groups: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
        for (position, index) in indices.iter().enumerate() {
            let metadata = &data.samples[*index].metadata;
            let key = columns.iter().map(|c| metadata.get(*c).map_or("", String::as_str)).collect();
            groups.entry(key).or_default().push(position);
        }
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        if groups.len() < self.shares.len() {
            return Err(refusal(format!(
                "{} has {} different values, expected at least {}, one per split; group by a column with more, or ask \
                 for fewer splits",
                quoted(&self.group_by),
                groups.len(),
                self.shares.len()
            )));
        }
        shuffle(&mut groups, &mut Rng::new(self.seed, &[0x7067]));
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        Ok(groups)
    }
}

/// Puts the items into a random order (Fisher and Yates, 1938; Durstenfeld, 1964).
pub(super) fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        let other = rng.below(u32::try_from(last + 1).unwrap_or(u32::MAX)) as usize;
        items.swap(last, other);
    }
}

fn refusal(reason: String) -> DataError {
    DataError::Partition { reason }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::data::{Layout, Sample};

    fn data(samples: impl IntoIterator<Item = (usize, String)>) -> Dataset {
        let sample = |(index, (label, group)): (usize, (usize, String))| Sample {
            path: PathBuf::from(format!("{index}.jpg")),
            label,
            split: None,
            metadata: vec![group],
        };
        Dataset {
            root: PathBuf::new(),
            layout: Layout::Labels,
            classes: vec!["ok".to_owned(), "dent".to_owned()],
            columns: vec!["product".to_owned()],
            samples: samples.into_iter().enumerate().map(sample).collect(),
        }
    }

    fn partition(group_by: &[&str]) -> Partition {
        Partition {
            from: Selection::Unassigned,
            shares: vec![(Split::Train, 0.7), (Split::Validation, 0.1), (Split::Test, 0.2)],
            group_by: group_by.iter().map(ToString::to_string).collect(),
            seed: 5,
        }
    }

    #[test]
    fn every_class_is_divided_by_the_shares() {
        let mut data = data((0..100).map(|i| (usize::from(i % 10 == 0), String::new())));
        partition(&[]).apply(&mut data).unwrap();
        assert_eq!(data.counts(Some(Split::Train)), [63, 7]);
        assert_eq!(data.counts(Some(Split::Validation)), [9, 1]);
        assert_eq!(data.counts(Some(Split::Test)), [18, 2]);
    }

    #[test]
    fn a_rare_class_reaches_every_split() {
        let mut data = data((0..50).map(|i| (usize::from(i < 3), String::new())));
        partition(&[]).apply(&mut data).unwrap();
        for split in [Split::Train, Split::Validation, Split::Test] {
            assert_eq!(data.counts(Some(split))[1], 1, "{split}");
        }
    }

    #[test]
    fn one_split_can_be_divided_and_the_others_stay() {
        let mut data = data((0..20).map(|i| (i % 2, String::new())));
        for (index, sample) in data.samples.iter_mut().enumerate() {
            sample.split = Some(if index < 10 { Split::Train } else { Split::Test });
        }
        let shares = vec![(Split::Train, 0.8), (Split::Validation, 0.2)];
        let from = Selection::Split(Split::Train);
        Partition { from, shares, ..partition(&[]) }.apply(&mut data).unwrap();
        assert_eq!(data.counts(Some(Split::Train)), [4, 4]);
        assert_eq!(data.counts(Some(Split::Validation)), [1, 1]);
        assert_eq!(data.counts(Some(Split::Test)), [5, 5]);
    }

    #[test]
    fn what_cannot_be_divided_says_why() {
        let mut data = data((0..9).map(|i| (i % 2, format!("P{}", i % 2))));
        let mut message = |change: fn(&mut Partition)| {
            let mut partition = partition(&["product"]);
            change(&mut partition);
            partition.apply(&mut data).unwrap_err().to_string()
        };
        assert!(message(|_| ()).contains("'product' has 2 different values, expected at least 3"));
        assert!(
            message(|p| p.group_by = vec!["line".to_owned()]).contains("no column 'line', expected some of 'product'")
        );
        assert!(message(|p| p.shares[1].1 = 0.0).contains("share of validation is 0"));
        assert!(message(|p| p.shares[1].0 = Split::Train).contains("two different splits"));
        assert!(message(|p| p.from = Selection::Split(Split::Test)).contains("no image is there to divide"));
    }

    proptest! {
        // Each case divides hundreds of samples twice.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn groups_stay_whole_no_split_is_empty_and_shares_are_met_nearly(
            labels in prop::collection::vec((0_usize..2, 0_u32..40), 400..600),
            seed in any::<u64>(),
        ) {
            let samples = labels.iter().map(|(label, group)| (*label, format!("P{group}")));
            let mut divided = data(samples);
            let partition = Partition { seed, ..partition(&["product"]) };
            partition.apply(&mut divided).unwrap();
            let mut groups: BTreeMap<&str, BTreeSet<Option<Split>>> = BTreeMap::new();
            for sample in &divided.samples {
                groups.entry(&sample.metadata[0]).or_default().insert(sample.split);
            }
            prop_assert!(groups.values().all(|splits| splits.len() == 1));
            for (split, share) in &partition.shares {
                let (have, all) = (divided.counts(Some(*split)), divided.counts(None));
                for (have, all) in have.iter().zip(all) {
                    // A group is about a fortieth of a class; greedy filling stays within two or three of them.
                    prop_assert!((*have as f64 / all as f64 - share).abs() < 0.09, "{split}: {have} of {all}");
                }
            }
            let mut again = data(labels.iter().map(|(label, group)| (*label, format!("P{group}"))));
            partition.apply(&mut again).unwrap();
            prop_assert_eq!(again, divided);
        }

        #[test]
        fn without_groups_counts_are_exact_to_one_image(count in 3_usize..300, seed in any::<u64>()) {
            let mut data = data((0..count).map(|_| (0, String::new())));
            Partition { seed, ..partition(&[]) }.apply(&mut data).unwrap();
            let counts = [Split::Train, Split::Validation, Split::Test].map(|split| data.counts(Some(split))[0]);
            prop_assert_eq!(counts.iter().sum::<u64>(), count as u64);
            prop_assert!(counts.iter().all(|n| *n > 0));
            if count >= 20 {
                for (n, share) in counts.iter().zip([0.7, 0.1, 0.2]) {
                    prop_assert!((*n as f64 - share * count as f64).abs() <= 1.0);
                }
            }
        }
    }
}
