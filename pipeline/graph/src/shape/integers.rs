//! Arithmetic on shapes on their way through the graph.

use super::{Dim, Op};

/// Elements of the result of `Add`, `Sub`, `Mul`, `Div` on integers; `None` where they cannot be told.
pub(super) fn binary(op: &Op<'_>) -> Option<Vec<Dim>> {
    let (left, right) = (op.input(0).elements.as_ref()?, op.input(1).elements.as_ref()?);
    let length = if left.len() == 1 { right.len() } else { left.len() };
    if ![1, length].contains(&left.len()) || ![1, length].contains(&right.len()) {
        return None;
    }
    let pick = |list: &[Dim], at: usize| if list.len() == 1 { list[0].clone() } else { list[at].clone() };
    (0..length).map(|at| number(op, &pick(left, at), &pick(right, at))).collect()
}

fn number(op: &Op<'_>, left: &Dim, right: &Dim) -> Option<Dim> {
    let known = left.known().zip(right.known());
    match (op.node.op_type(), known) {
        ("Mul", _) => left.times(right),
        ("Div", None) => Some(left.over(right).unwrap_or_else(|| op.unknown())),
        ("Div", Some((left, right))) => left.checked_div(right).map(Dim::from),
        ("Add", Some((left, right))) => left.checked_add(right).map(Dim::from),
        ("Sub", Some((left, right))) => left.checked_sub(right).map(Dim::from),
        ("Min", Some((left, right))) => Some(left.min(right).into()),
        ("Max", Some((left, right))) => Some(left.max(right).into()),
        ("Mod", Some((left, right))) => left.checked_rem_euclid(right).map(Dim::from),
        ("Add" | "Sub" | "Min" | "Max" | "Mod", None) => Some(op.unknown()),
        _ => None,
    }
}
