//! Which dimensions of a `Reshape` become which.

use std::ops::Range;

use crate::shape::Dim;

/// Dimensions of the input, and those of the output that have the same product.
pub(super) type Segment = (Range<usize>, Range<usize>);

/// Cuts both lists into the smallest pieces of equal products; `None` if they cannot be told to have the same.
pub(super) fn segments(from: &[Dim], to: &[Dim]) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let (mut left, mut right) = (0, 0);
    while left < from.len() && right < to.len() {
        let start = (left, right);
        let (mut a, mut b) = (from[left].clone(), to[right].clone());
        (left, right) = (left + 1, right + 1);
        while a != b {
            if smaller(&a, &b)? {
                a = a.times(from.get(left)?)?;
                left += 1;
            } else {
                b = b.times(to.get(right)?)?;
                right += 1;
            }
        }
        segments.push((start.0..left, start.1..right));
    }
    let rest_is_one = |dims: &[Dim]| dims.iter().all(|dim| dim.known() == Some(1));
    if !rest_is_one(&from[left..]) || !rest_is_one(&to[right..]) {
        return None;
    }
    match segments.last_mut() {
        Some((a, b)) => (a.end, b.end) = (from.len(), to.len()),
        None => segments.push((0..from.len(), 0..to.len())),
    }
    Some(segments)
}

fn smaller(a: &Dim, b: &Dim) -> Option<bool> {
    match (a.known(), b.known()) {
        (Some(a), Some(b)) => Some(a < b),
        _ if b.over(a).is_some() => Some(true),
        _ if a.over(b).is_some() => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(from: &[&str], to: &[&str]) -> Option<Vec<Segment>> {
        let dims = |list: &[&str]| {
            list.iter().map(|dim| dim.parse::<i64>().map_or(Dim::symbol(dim), Dim::from)).collect::<Vec<_>>()
        };
        segments(&dims(from), &dims(to))
    }

    #[test]
    fn flattening_joins_what_is_behind_the_batch() {
        assert_eq!(cut(&["n", "8", "2", "2"], &["n", "32"]).unwrap(), [(0..1, 0..1), (1..4, 1..2)]);
        assert_eq!(cut(&["n", "8", "1", "1"], &["n", "8"]).unwrap(), [(0..1, 0..1), (1..4, 1..2)]);
        assert_eq!(cut(&["n", "8"], &["n", "8", "1", "1"]).unwrap(), [(0..1, 0..1), (1..2, 1..4)]);
    }

    #[test]
    fn splitting_is_a_segment_of_its_own() {
        let split = cut(&["n", "8", "2", "2"], &["n", "2", "4", "2", "2"]).unwrap();
        assert_eq!(split, [(0..1, 0..1), (1..2, 1..3), (2..3, 3..4), (3..4, 4..5)]);
        assert_eq!(cut(&["6", "4"], &["4", "6"]).unwrap(), [(0..2, 0..2)]);
        assert_eq!(cut(&["n", "4"], &["m", "4"]), None);
    }
}
