//! Features of student and teacher: which value they are, and which channels of the one answer to which of the other.

use candle_core::Tensor;
use takt_graph::execute::ExecuteError;
use takt_graph::{Model, head, shape};

use super::error::TrainError;
use crate::lineage::{Lineage, Origin};

/// A value whose channels are compared, each averaged over the image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Features {
    /// Its name in the graph.
    pub(super) tap: String,
    /// Its channels.
    pub(super) width: usize,
    /// Which of an ancestor's these are; `None` for all of its own.
    origin: Option<Origin>,
}

impl Features {
    /// Those of a model: the value `tap`, or what its last layer reads.
    pub(super) fn of(model: &Model, tap: Option<&str>) -> Result<Self, TrainError> {
        let tap = tap.or_else(|| head::features(model)).ok_or_else(|| {
            TrainError::Settings(
                "no layer was found before the output, whose input could be compared as features; name a value of the graph \
                 (tap), or leave features at 0"
                    .to_owned(),
            )
        })?;
        let facts = shape::infer(model).map_err(ExecuteError::from)?;
        let fact = facts.get(tap);
        let width = match fact.shape.as_deref() {
            Some([_, channels] | [_, channels, _, _]) => channels.size(),
            _ => None,
        };
        let width = width.ok_or_else(|| TrainError::Mismatch {
            what: "the features",
            found: format!("'{tap}' {fact}"),
            expected: "a value [batch, channels] or [batch, channels, height, width] of the graph; name another (tap)"
                .to_owned(),
        })?;
        let origin = Lineage::read(model)?.of(tap).cloned();
        if let Some(Origin { kept, .. }) = origin.as_ref().filter(|origin| origin.kept.len() != width) {
            return Err(TrainError::Mismatch {
                what: "the record of what pruning left",
                found: format!("{} channels of '{tap}'", kept.len()),
                expected: format!("the {width} that it has; prune the model anew"),
            });
        }
        Ok(Self { tap: tap.to_owned(), width, origin })
    }

    /// For each of our channels the teacher's: by what pruning kept of a common ancestor, else by place.
    pub(super) fn among(&self, teacher: &Self) -> Result<Vec<usize>, TrainError> {
        if let Some(places) = self.by_descent(teacher) {
            return Ok(places);
        }
        if self.width == teacher.width {
            return Ok((0..self.width).collect());
        }
        Err(TrainError::Mismatch {
            what: "the student's features",
            found: format!(
                "{} channels of '{}', with no record of which of the teacher's they are",
                self.width, self.tap
            ),
            expected: format!(
                "the {} of the teacher's '{}', or some of them as pruning keeps; take a student that the teacher was pruned to \
                 (prune it anew, if that was done before there were records), name values of equal width (tap, teacher_tap), or \
                 leave features at 0",
                teacher.width, teacher.tap
            ),
        })
    }

    fn by_descent(&self, teacher: &Self) -> Option<Vec<usize>> {
        let of = |side: &Self| side.origin.as_ref().map_or(side.width, |origin| origin.of);
        if of(self) != of(teacher) {
            return None;
        }
        let ours = |at: usize| self.origin.as_ref().map_or(Some(at), |origin| origin.kept.get(at).copied());
        let theirs = |index: usize| match &teacher.origin {
            None => Some(index),
            Some(origin) => origin.kept.binary_search(&index).ok(),
        };
        (0..self.width).map(|at| theirs(ours(at)?)).collect()
    }
}

/// `[batch, channels]` from a tapped value.
pub(super) fn pooled(value: &Tensor) -> candle_core::Result<Tensor> {
    if value.rank() == 4 { takt_ops::global_avg_pool(value)?.flatten_from(1) } else { Ok(value.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::network;

    fn features(width: usize, origin: Option<(usize, &[usize])>) -> Features {
        let origin = origin.map(|(of, kept)| Origin { of, kept: kept.to_vec() });
        Features { tap: "features".to_owned(), width, origin }
    }

    #[test]
    fn channels_answer_to_those_they_were_before_pruning() {
        let whole = features(6, None);
        let (child, grandchild) = (features(4, Some((6, &[0, 2, 3, 5]))), features(2, Some((6, &[2, 5]))));
        assert_eq!(child.among(&whole).unwrap(), [0, 2, 3, 5]);
        assert_eq!(grandchild.among(&whole).unwrap(), [2, 5]);
        assert_eq!(grandchild.among(&child).unwrap(), [1, 3]);
        assert_eq!(whole.among(&whole).unwrap(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn equal_widths_need_no_record_and_others_say_what_to_do() {
        let (wide, narrow) = (features(6, None), features(4, None));
        assert_eq!(narrow.among(&features(4, Some((6, &[0, 1, 2, 3])))).unwrap(), [0, 1, 2, 3]);
        let told = narrow.among(&wide).unwrap_err().to_string();
        assert!(told.contains("found 4 channels of 'features'") && told.contains("the 6 of the teacher's"), "{told}");
        assert!(told.contains("prune it anew") && told.contains("teacher_tap"), "{told}");
        let elsewhere = features(2, Some((6, &[4, 5])));
        assert!(elsewhere.among(&features(4, Some((6, &[0, 1, 2, 3])))).is_err(), "the teacher lost them");
    }

    #[test]
    fn a_value_without_channels_is_refused_and_maps_are_averaged() {
        let model = network(1);
        assert_eq!(Features::of(&model, None).unwrap(), features(32, None));
        assert_eq!(Features::of(&model, Some("conv1.act.out")).unwrap().width, 8);
        let told = Features::of(&model, Some("nowhere")).unwrap_err().to_string();
        assert!(told.contains("'nowhere'") && told.contains("[batch, channels]"), "{told}");
    }
}
