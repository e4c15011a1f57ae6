//! At which counts of channels a layer is measured.

/// Up to here kernels' tiles show, and the counts half-way between powers of two are measured as well.
const FINE: usize = 128;
/// Nobody prunes further down.
const LEAST: usize = 4;

/// Counts from about one block up to `whole` or the next rung above. They do not depend on `whole`, so that a model that has
/// been pruned finds its rungs measured.
pub(super) fn rungs(whole: usize, block: usize) -> Vec<usize> {
    let first = block.max(LEAST).min(whole.max(1)).next_power_of_two();
    let mut rungs = vec![first];
    let mut power = first;
    while rungs.last().is_some_and(|&last| last < whole) {
        let half_way = power + power / 2;
        if (2 * LEAST..FINE).contains(&power) && half_way < whole {
            rungs.push(half_way);
        }
        power *= 2;
        rungs.push(power);
    }
    rungs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rungs_are_dense_where_tiles_show() {
        assert_eq!(rungs(512, 8), [8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512]);
        assert_eq!(rungs(64, 16), [16, 24, 32, 48, 64]);
        assert_eq!(rungs(3, 8), [4]);
        assert_eq!(rungs(1, 1), [1]);
    }

    proptest! {
        #[test]
        fn what_is_left_of_a_layer_needs_no_new_rungs(whole in 8_usize..3000, left in 1_usize..3000, block in 1_usize..64) {
            prop_assume!(left >= 4 && left >= block && left <= whole);
            let (all, some) = (rungs(whole, block), rungs(left, block));
            prop_assert!(all.is_sorted() && *all.last().unwrap() >= whole);
            // But for the half-way rung that the larger one may have left out at its end.
            prop_assert!(some.iter().all(|rung| all.contains(rung)), "{some:?} of {all:?}");
        }
    }
}
