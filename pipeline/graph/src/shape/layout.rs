//! The same elements under other dimensions.

use super::{Dim, Fact, Op, Ruled, axis, elementwise, reduce};

/// The output's dimensions where those of the input and the wanted ones are known. One wanted dimension may be -1; 0 copies
/// the input's, unless `allow_zero`.
pub(crate) fn reshaped(input: &[Dim], wanted: &[Dim], allow_zero: bool) -> Result<Vec<Dim>, String> {
    let shown = |dims: &[Dim]| dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let fault =
        || format!("found [{}] to be seen as [{}], which has another number of elements", shown(input), shown(wanted));
    let mut shape = Vec::new();
    let mut open = None;
    for (at, dim) in wanted.iter().enumerate() {
        match dim.known() {
            Some(0) if !allow_zero => shape.push(input.get(at).ok_or_else(fault)?.clone()),
            Some(-1) if open.is_none() => {
                open = Some(at);
                shape.push(1.into());
            }
            Some(size) if size < 0 => return Err(format!("found [{}], expected at most one -1", shown(wanted))),
            _ => shape.push(dim.clone()),
        }
    }
    let (all, there) = (Dim::product(input).ok_or_else(fault)?, Dim::product(&shape).ok_or_else(fault)?);
    match open {
        Some(at) => match (all.over(&there), all.known().zip(there.known())) {
            (Some(rest), _) => shape[at] = rest,
            (None, Some(_)) => return Err(fault()),
            (None, None) => shape[at] = Dim::symbol("?"),
        },
        None if all.known().zip(there.known()).is_some_and(|(all, there)| all != there) => return Err(fault()),
        None => {}
    }
    Ok(shape)
}

pub(super) fn reshape(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let Some(wanted) = op.input(1).elements.as_ref() else {
        let rank = op.input(1).dim(0).and_then(Dim::size).filter(|&rank| rank <= 16);
        let shape = rank.map(|rank| (0..rank).map(|_| op.unknown()).collect());
        return Ok(vec![Fact { kind, shape, elements: None }]);
    };
    let allow_zero = op.node.int("allowzero").unwrap_or(0) != 0;
    let shape = match op.shape(0) {
        Some(input) => {
            let mut shape = reshaped(input, wanted, allow_zero)?;
            shape.iter_mut().filter(|dim| **dim == Dim::symbol("?")).for_each(|dim| *dim = op.unknown());
            shape
        }
        None => wanted
            .iter()
            .map(|dim| dim.size().filter(|&size| size > 0).map_or_else(|| op.unknown(), Dim::from))
            .collect(),
    };
    let elements = op.input(0).elements.clone().filter(|_| shape.len() < 2);
    Ok(vec![Fact { kind, shape: Some(shape), elements }])
}

pub(super) fn flatten(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let Some(shape) = op.shape(0) else { return Ok(vec![Fact::new(kind, vec![op.unknown(), op.unknown()])]) };
    let at = match op.node.int("axis").unwrap_or(1) {
        at if usize::try_from(at) == Ok(shape.len()) => shape.len(),
        at => axis(at, shape.len())?,
    };
    let (rows, columns) = (Dim::product(&shape[..at]), Dim::product(&shape[at..]));
    let too_many = "found more elements than any tensor has";
    Ok(vec![Fact::new(kind, vec![rows.ok_or(too_many)?, columns.ok_or(too_many)?])])
}

/// The permutation of a `Transpose` of a value with `rank` dimensions.
pub(crate) fn permutation(op: &Op<'_>, rank: usize) -> Result<Vec<usize>, String> {
    let Some(told) = op.node.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let permutation = told.iter().map(|&at| axis(at, rank)).collect::<Result<Vec<_>, _>>()?;
    let whole = permutation.len() == rank && (0..rank).all(|at| permutation.contains(&at));
    if whole { Ok(permutation) } else { Err(format!("found perm {told:?} for {rank} dimensions")) }
}

pub(super) fn transpose(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let Some(shape) = op.shape(0) else { return Ok(vec![Fact { kind, ..Fact::default() }]) };
    let permutation = permutation(op, shape.len())?;
    Ok(vec![Fact::new(kind, permutation.into_iter().map(|at| shape[at].clone()).collect())])
}

pub(super) fn squeeze(op: &Op<'_>) -> Ruled {
    let (kind, elements) = (op.input(0).kind, op.input(0).elements.clone());
    let (Some(shape), Ok(axes)) = (op.shape(0), op.list("axes", 1)) else {
        return Ok(vec![Fact { kind, shape: None, elements }]);
    };
    let axes = match axes {
        Some(axes) => reduce::sorted(&axes, shape.len())?,
        None => (0..shape.len()).filter(|&at| shape[at].known() == Some(1)).collect(),
    };
    if let Some(at) = axes.iter().find(|&&at| shape[at].known().is_some_and(|size| size != 1)) {
        return Err(format!("found {} on axis {at} of {}, expected 1", shape[*at], op.input(0)));
    }
    let kept = (0..shape.len()).filter(|at| !axes.contains(at)).map(|at| shape[at].clone());
    Ok(vec![Fact { kind, shape: Some(kept.collect()), elements }])
}

pub(super) fn unsqueeze(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let (Some(shape), Ok(axes)) = (op.shape(0), op.list("axes", 1)) else {
        return Ok(vec![Fact { kind, ..Fact::default() }]);
    };
    let axes = axes.ok_or("found no axes")?;
    let rank = shape.len() + axes.len();
    if rank > super::MAX_RANK {
        return Err(format!("found {} axes to add", axes.len()));
    }
    let axes = reduce::sorted(&axes, rank)?;
    if axes.len() + shape.len() != rank {
        return Err(format!("found an axis twice for {}", op.input(0)));
    }
    let mut kept = shape.iter().cloned();
    let shape = (0..rank).map(|at| if axes.contains(&at) { 1.into() } else { kept.next().unwrap_or(1.into()) });
    let elements = op.input(0).elements.clone().filter(|_| rank < 2);
    Ok(vec![Fact { kind, shape: Some(shape.collect()), elements }])
}

pub(super) fn expand(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let (Some(shape), Some(wanted)) = (op.shape(0), op.input(1).elements.as_ref()) else {
        return Ok(vec![Fact { kind, ..Fact::default() }]);
    };
    let expanded = elementwise::together(op, shape, wanted)?;
    // A tensor of one element on its way to a shape that repeats it.
    let elements = match (op.input(0).elements.as_deref(), expanded.as_slice()) {
        (Some([one]), [length]) => {
            length.size().filter(|&n| n <= super::fact::MAX_ELEMENTS).map(|n| vec![one.clone(); n])
        }
        (Some(elements), _) if expanded == shape => Some(elements.to_vec()),
        _ => None,
    };
    Ok(vec![Fact { kind, shape: Some(expanded), elements }])
}
