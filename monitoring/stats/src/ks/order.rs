//! Sorting of samples. Radix sort of keys whose order as integers is that of the numbers: a pass over a million values
//! costs about a millisecond, comparison sorts ten times all passes.

/// Below this size the passes' tables cost more than comparisons.
const RADIX_FROM: usize = 4_096;
/// From this size on a second thread pays.
const PARALLEL_FROM: usize = 65_536;

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
const PASSES: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;

/// The values of both samples that are not NaN, as sorted keys; -0 and +0 have one key.
pub(super) fn keys(a: &[f64], b: &[f64]) -> (Vec<u64>, Vec<u64>) {
    if a.len().min(b.len()) < PARALLEL_FROM {
        return (sorted(a), sorted(b));
    }
    std::thread::scope(|scope| {
        let other = scope.spawn(|| sorted(b));
        let a = sorted(a);
        (a, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn sorted(values: &[f64]) -> Vec<u64> {
    let mut keys: Vec<u64> = values.iter().filter(|value| !value.is_nan()).map(|value| key(*value)).collect();
    if keys.len() < RADIX_FROM {
        keys.sort_unstable();
        return keys;
    }
    radix_sort(keys)
}

/// Positive numbers above negative ones, and negative ones in reverse.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    bits ^ (((bits as i64) >> 63) as u64 | 1 << 63)
}

/// From the least significant digit up; digits that all keys share take no pass.
fn radix_sort(mut keys: Vec<u64>) -> Vec<u64> {
    let mut counts = vec![[0_u32; DIGITS]; PASSES];
    for &key in &keys {
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, pass)] += 1;
        }
    }
    let mut other = vec![0; keys.len()];
    for (pass, counts) in counts.iter_mut().enumerate() {
        if counts.iter().any(|&count| count as usize == keys.len()) {
            continue;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            (*count, start) = (start, start + *count);
        }
        for &key in &keys {
            let place = &mut counts[digit(key, pass)];
            other[*place as usize] = key;
            *place += 1;
        }
        std::mem::swap(&mut keys, &mut other);
    }
    keys
}

fn digit(key: u64, pass: usize) -> usize {
    (key >> (pass as u32 * DIGIT_BITS)) as usize % DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_numbers_do() {
        let numbers = [f64::NEG_INFINITY, -1e300, -1.0, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY];
        assert!(numbers.map(key).is_sorted_by(|a, b| a < b));
        assert_eq!(key(-0.0), key(0.0));
    }

    #[test]
    fn radix_sort_sorts_whatever_the_values() {
        let mut state = 1_u64;
        let mut values: Vec<f64> = (0..20_000)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                match i % 3 {
                    0 => f64::from_bits(state),
                    1 => f64::from((state >> 60) as u8),
                    _ => -((state >> 11) as f64).sqrt(),
                }
            })
            .collect();
        let keys = sorted(&values);
        values.retain(|value| !value.is_nan());
        values.sort_unstable_by(f64::total_cmp);
        assert_eq!(keys, values.into_iter().map(key).collect::<Vec<_>>());
    }
}
