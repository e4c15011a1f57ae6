//! Matrix products.

use super::{Dim, Fact, Op, Ruled, elementwise};

/// `Gemm`: `alpha * A' * B' + beta * C`.
pub(super) fn gemm(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let (Some(a), Some(b)) = (op.shape(0), op.shape(1)) else { return Ok(vec![Fact { kind, ..Fact::default() }]) };
    let ([a0, a1], [b0, b1]) = (a, b) else {
        return Err(format!("found {} times {}, expected two matrices", op.input(0), op.input(1)));
    };
    let turned = |name| op.node.int(name).unwrap_or(0) != 0;
    let (m, k) = if turned("transA") { (a1, a0) } else { (a0, a1) };
    let (k_too, n) = if turned("transB") { (b1, b0) } else { (b0, b1) };
    fits(op, k, k_too)?;
    let shape = vec![m.clone(), n.clone()];
    if let Some(c) = op.shape(2) {
        let joined = elementwise::together(op, &shape, c)?;
        let grown =
            |(joined, dim): (&Dim, &Dim)| joined.known().zip(dim.known()).is_some_and(|(joined, dim)| joined != dim);
        if joined.len() != 2 || joined.iter().zip(&shape).any(grown) {
            return Err(format!("found C {} for a product of [{m}, {n}]", op.input(2)));
        }
    }
    Ok(vec![Fact::new(kind, shape)])
}

/// `MatMul`, with numpy's rules for stacks of matrices and for vectors.
pub(super) fn matmul(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let (Some(a), Some(b)) = (op.shape(0), op.shape(1)) else { return Ok(vec![Fact { kind, ..Fact::default() }]) };
    let (Some(k), Some(_)) = (a.last(), b.last()) else {
        return Err(format!("found {} times {}, expected at least vectors", op.input(0), op.input(1)));
    };
    fits(op, k, &b[b.len().saturating_sub(2)])?;
    let stack = |shape: &[Dim]| shape[..shape.len().saturating_sub(2)].to_vec();
    let mut shape = elementwise::together(op, &stack(a), &stack(b))?;
    shape.extend((a.len() > 1).then(|| a[a.len() - 2].clone()));
    shape.extend((b.len() > 1).then(|| b[b.len() - 1].clone()));
    Ok(vec![Fact::new(kind, shape)])
}

fn fits(op: &Op<'_>, k: &Dim, k_too: &Dim) -> Result<(), String> {
    match k.known().zip(k_too.known()) {
        Some((k, k_too)) if k != k_too => {
            Err(format!("found {} times {}, which sum over {k} and {k_too} elements", op.input(0), op.input(1)))
        }
        _ => Ok(()),
    }
}
