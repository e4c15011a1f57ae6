//! Reductions over axes.

use super::{Fact, Op, Ruled, axis};

pub(crate) const REDUCTIONS: [&str; 10] = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
];

/// The axes a reduction goes over, sorted; `None` if they are not known.
pub(crate) fn axes(op: &Op<'_>, rank: usize) -> Result<Option<Vec<usize>>, String> {
    let Ok(list) = op.list("axes", 1) else { return Ok(None) };
    let all = match list {
        Some(list) if !list.is_empty() => return sorted(&list, rank).map(Some),
        _ => op.node.int("noop_with_empty_axes").unwrap_or(0) == 0,
    };
    Ok(Some(if all { (0..rank).collect() } else { Vec::new() }))
}

pub(crate) fn sorted(list: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut axes = list.iter().map(|&at| axis(at, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

pub(super) fn reduce(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let Some(shape) = op.shape(0) else { return Ok(vec![Fact { kind, ..Fact::default() }]) };
    let keep = op.node.int("keepdims").unwrap_or(1) != 0;
    let Some(axes) = axes(op, shape.len())? else {
        let shape = keep.then(|| shape.iter().map(|_| op.unknown()).collect());
        return Ok(vec![Fact { kind, shape, elements: None }]);
    };
    let reduced = shape.iter().enumerate().filter_map(|(at, dim)| match (axes.contains(&at), keep) {
        (false, _) => Some(dim.clone()),
        (true, true) => Some(1.into()),
        (true, false) => None,
    });
    Ok(vec![Fact::new(kind, reduced.collect())])
}
