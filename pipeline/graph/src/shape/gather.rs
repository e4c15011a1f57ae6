//! Picking elements along an axis.

use super::{Dim, Fact, Op, Ruled, axis};

/// One axis of a `Slice`, its borders within the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub axis: usize,
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

impl Cut {
    /// How many indices it keeps.
    pub fn count(self) -> i64 {
        let (length, step) = if self.step > 0 {
            (self.end.saturating_sub(self.start), self.step)
        } else {
            (self.start.saturating_sub(self.end), self.step.saturating_neg())
        };
        length.max(0).saturating_add(step - 1) / step.max(1)
    }

    /// The indices it keeps.
    pub fn indices(self) -> impl Iterator<Item = i64> {
        (0..self.count()).map(move |at| self.start + at * self.step)
    }
}

/// The axes a `Slice` cuts; `None` if that is not known.
pub(crate) fn cuts(op: &Op<'_>) -> Result<Option<Vec<Cut>>, String> {
    let (Some(shape), Ok(starts), Ok(ends)) = (op.shape(0), op.list("starts", 1), op.list("ends", 2)) else {
        return Ok(None);
    };
    let (Ok(axes), Ok(steps)) = (op.list("axes", 3), op.list("steps", 4)) else { return Ok(None) };
    let (starts, ends) = (starts.ok_or("found no starts")?, ends.ok_or("found no ends")?);
    let axes = axes.unwrap_or_else(|| (0_i64..).take(starts.len()).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() || steps.contains(&0) {
        return Err(format!(
            "found starts {starts:?}, ends {ends:?}, axes {axes:?}, steps {steps:?}, expected as many of each and no step of 0"
        ));
    }
    let mut cuts = Vec::new();
    for (place, &at) in axes.iter().enumerate() {
        let at = axis(at, shape.len())?;
        let Some(size) = shape[at].known() else { return Ok(None) };
        let step = steps[place].clamp(-size.max(1), size.max(1));
        let border = |value: i64| if value < 0 { value.saturating_add(size) } else { value };
        let (least, most) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let start = border(starts[place]).clamp(least.max(0), most.max(0));
        // A border of -1 as written means the last element; only one far below stands for "before the first".
        let end = border(ends[place]).clamp(least, most);
        cuts.push(Cut { axis: at, start, end, step });
    }
    Ok(Some(cuts))
}

pub(super) fn slice(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let Some(shape) = op.shape(0) else { return Ok(vec![Fact { kind, ..Fact::default() }]) };
    let Some(cuts) = cuts(op)? else {
        return Ok(vec![Fact::new(kind, shape.iter().map(|_| op.unknown()).collect())]);
    };
    let mut cut_shape = shape.to_vec();
    for cut in &cuts {
        cut_shape[cut.axis] = cut.count().into();
    }
    let elements = match (op.input(0).elements.as_ref(), cuts.as_slice()) {
        (Some(elements), [cut]) => pick(elements, cut.indices()),
        _ => None,
    };
    Ok(vec![Fact { kind, shape: Some(cut_shape), elements }])
}

fn pick(elements: &[Dim], indices: impl Iterator<Item = i64>) -> Option<Vec<Dim>> {
    indices.map(|index| elements.get(usize::try_from(index).ok()?).cloned()).collect()
}

pub(super) fn gather(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let (Some(shape), Some(indices)) = (op.shape(0), op.shape(1)) else {
        return Ok(vec![Fact { kind, ..Fact::default() }]);
    };
    let at = axis(op.node.int("axis").unwrap_or(0), shape.len())?;
    let known = op.input(1).integers();
    if let (Some(size), Some(known)) = (shape[at].known(), &known)
        && let Some(outside) = known.iter().find(|&&index| index < -size || index >= size)
    {
        return Err(format!("found index {outside} into {size} elements"));
    }
    let gathered = [&shape[..at], indices, &shape[at + 1..]].concat();
    let elements =
        op.input(0).elements.as_ref().zip(known).filter(|_| shape.len() == 1).and_then(|(elements, known)| {
            let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
            pick(elements, known.into_iter().map(|index| if index < 0 { index + length } else { index }))
        });
    Ok(vec![Fact { kind, shape: Some(gathered), elements }])
}
