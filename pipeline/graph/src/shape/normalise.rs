//! Normalisation and softmax: outputs like the input.

use super::{Dim, Fact, Op, Ruled, axis};

fn like_input(op: &Op<'_>) -> Fact {
    Fact { elements: None, ..op.input(0).clone() }
}

/// `BatchNormalization`: one scale, shift, mean and variance per channel; in training mode statistics come out too.
pub(super) fn batch(op: &Op<'_>) -> Ruled {
    if let Some(shape) = op.shape(0) {
        let channels = shape.get(1).ok_or_else(|| format!("found input {}, expected [N, C, ..]", op.input(0)))?;
        for (slot, what) in [(1, "scale"), (2, "bias"), (3, "mean"), (4, "variance")] {
            let fits = match op.shape(slot) {
                Some([length]) => {
                    length.known().zip(channels.known()).is_none_or(|(length, channels)| length == channels)
                }
                Some(_) => false,
                None => true,
            };
            if !fits {
                return Err(format!(
                    "found {what} {} for {channels} channels, expected one number each",
                    op.input(slot)
                ));
            }
        }
    }
    let statistics = |slot| Fact { elements: None, ..op.input(slot).clone() };
    Ok(vec![like_input(op), statistics(3), statistics(4)])
}

/// `LayerNormalization`: over all axes from `axis` on.
pub(super) fn layer(op: &Op<'_>) -> Ruled {
    let Some(shape) = op.shape(0) else { return Ok(vec![like_input(op)]) };
    let first = axis(op.node.int("axis").unwrap_or(-1), shape.len())?;
    if let Some(scale) = op.shape(1) {
        let differ = |(scale, dim): (&Dim, &Dim)| {
            scale.known().zip(dim.known()).is_some_and(|(scale, dim)| scale != dim && scale != 1)
        };
        if scale.len() > shape.len() || scale.iter().rev().zip(shape.iter().rev()).any(differ) {
            return Err(format!("found scale {} for input {}", op.input(1), op.input(0)));
        }
    }
    let reduced = (0..shape.len()).map(|at| if at < first { shape[at].clone() } else { 1.into() }).collect::<Vec<_>>();
    let statistics = Fact::new(op.input(0).kind, reduced);
    Ok(vec![like_input(op), statistics.clone(), statistics])
}

/// `Softmax`, `LogSoftmax`.
pub(super) fn softmax(op: &Op<'_>) -> Ruled {
    if let Some(shape) = op.shape(0) {
        axis(op.node.int("axis").unwrap_or(-1), shape.len())?;
    }
    Ok(vec![like_input(op)])
}
