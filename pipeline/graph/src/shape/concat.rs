//! Joining, cutting and padding along an axis.

use super::{Dim, Fact, Op, Ruled, axis};

pub(super) fn concat(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let at = op.node.int("axis").ok_or("found no axis")?;
    let elements = (0..op.node.input.len()).map(|slot| op.input(slot).elements.clone()).collect::<Option<Vec<_>>>();
    let shapes = (0..op.node.input.len()).map(|slot| op.shape(slot)).collect::<Option<Vec<_>>>();
    let Some((first, others)) = shapes.as_ref().and_then(|shapes| shapes.split_first()) else {
        return Ok(vec![Fact { kind, shape: None, elements: elements.map(|elements| elements.concat()) }]);
    };
    let at = axis(at, first.len())?;
    let mut shape = first.to_vec();
    let mut sum = first[at].known();
    for (slot, other) in others.iter().enumerate() {
        let differ = |place: usize| {
            let dims = first[place].known().zip(other[place].known());
            place != at && dims.is_some_and(|(first, other)| first != other)
        };
        if other.len() != first.len() || (0..first.len()).any(differ) {
            let (found, first) = (op.input(slot + 1), op.input(0));
            return Err(format!("found {found} beside {first}, expected the same but for axis {at}"));
        }
        sum = sum.zip(other[at].known()).and_then(|(sum, more)| sum.checked_add(more));
    }
    shape[at] = sum.map_or_else(|| op.unknown(), Dim::from);
    Ok(vec![Fact { kind, shape: Some(shape), elements: elements.map(|elements| elements.concat()) }])
}

/// Sizes of the parts of a `Split` whose axis has `size` elements; `None` if they are not known.
pub(crate) fn parts(op: &Op<'_>, size: Option<i64>) -> Result<Option<Vec<i64>>, String> {
    let count = i64::try_from(op.node.output.len()).unwrap_or(i64::MAX);
    let told = match op.list("split", 1) {
        Err(()) => return Ok(None),
        Ok(told) => told,
    };
    if let Some(parts) = told {
        let sum = parts.iter().try_fold(0_i64, |sum, &part| sum.checked_add(part).filter(|_| part >= 0));
        if parts.len() != op.node.output.len() || sum.zip(size).is_none_or(|(sum, size)| sum != size) && size.is_some()
        {
            let size = size.map_or_else(|| "all".to_owned(), |size| size.to_string());
            return Err(format!("found parts {parts:?} for {count} outputs of {size} elements"));
        }
        return Ok(Some(parts));
    }
    let Some(size) = size else { return Ok(None) };
    // The last part may be smaller (from operator set 18 on; before, sizes divide evenly).
    let each = (size + count - 1) / count.max(1);
    let last = size - each * (count - 1);
    if last < 0 || (op.opset < 18 && last != each) {
        return Err(format!("found {size} elements, expected some that divide into {count} parts"));
    }
    Ok(Some((0..count).map(|part| if part + 1 == count { last } else { each }).collect()))
}

pub(super) fn split(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let Some(shape) = op.shape(0) else { return Ok(vec![Fact { kind, ..Fact::default() }; op.node.output.len()]) };
    let at = axis(op.node.int("axis").unwrap_or(0), shape.len())?;
    let parts = parts(op, shape[at].known())?;
    let part = |place: usize| {
        let mut part = shape.to_vec();
        part[at] = parts.as_ref().map_or_else(|| op.unknown(), |parts| parts[place].into());
        Fact::new(kind, part)
    };
    Ok((0..op.node.output.len()).map(part).collect())
}

/// Padding before and after each axis; `None` if it is not known.
pub(crate) fn pads(op: &Op<'_>, rank: usize) -> Result<Option<Vec<(i64, i64)>>, String> {
    let Ok(pads) = op.list("pads", 1) else { return Ok(None) };
    let pads = pads.ok_or("found no pads")?;
    let axes = match op.list("axes", 3) {
        Err(()) => return Ok(None),
        Ok(None) => (0..rank).collect(),
        Ok(Some(axes)) => axes.iter().map(|&at| axis(at, rank)).collect::<Result<Vec<_>, _>>()?,
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("found {} pads for {} axes, expected two each", pads.len(), axes.len()));
    }
    let mut all = vec![(0, 0); rank];
    for (place, &at) in axes.iter().enumerate() {
        all[at] = (pads[place], pads[place + axes.len()]);
    }
    Ok(Some(all))
}

pub(super) fn pad(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let Some(shape) = op.shape(0) else { return Ok(vec![Fact { kind, ..Fact::default() }]) };
    let pads = pads(op, shape.len())?;
    let padded = |(at, dim): (usize, &Dim)| match (dim.known(), pads.as_ref().map(|pads| pads[at])) {
        (_, Some((0, 0))) => Ok(dim.clone()),
        (Some(size), Some((before, after))) => {
            let sum = size.checked_add(before).and_then(|sum| sum.checked_add(after)).filter(|&sum| sum >= 0);
            sum.map(Dim::from).ok_or_else(|| format!("found pads {before} and {after} for {size} elements"))
        }
        _ => Ok(op.unknown()),
    };
    Ok(vec![Fact::new(kind, shape.iter().enumerate().map(padded).collect::<Result<_, _>>()?)])
}
