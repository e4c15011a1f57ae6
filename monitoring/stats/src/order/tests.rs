use super::key::number;
use super::*;

/// Values of very different kinds, NaN among them.
fn values(n: u64) -> Vec<f64> {
    let mut state = 1_u64;
    let one = |i| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match i % 4 {
            0 => f64::from_bits(state),
            1 => f64::from((state >> 60) as u8),
            2 => -((state >> 11) as f64).sqrt(),
            _ => (state >> 11) as f64 / (1_u64 << 53) as f64,
        }
    };
    (0..n).map(one).collect()
}

#[test]
fn keys_order_as_numbers_do() {
    let numbers = [f64::NEG_INFINITY, -1e300, -1.0, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY];
    assert!(numbers.map(key).is_sorted_by(|a, b| a < b));
    assert_eq!(numbers.map(|value| number(key(value))), numbers);
    assert_eq!(key(-0.0), key(0.0));
}

#[test]
fn buckets_gather_what_sorting_would_find() {
    let values = values(100_000);
    let sorted = sorted_keys(&values);
    let buckets = Buckets::of(&[&values]);
    assert_eq!(buckets.count(&values).iter().sum::<u64>() as usize, sorted.len());
    let all: Vec<bool> = buckets.none().into_iter().map(|wanted| !wanted).collect();
    assert_eq!(buckets.gather(&values, &all), sorted);
}

#[test]
fn values_at_ranks_are_those_of_the_sorted_sample() {
    for n in [1_000, 100_000] {
        let values = values(n);
        let sorted = ascending(&values);
        let ranks = [0, 1, 1, 500, sorted.len() / 3, sorted.len() - 1];
        assert_eq!(at_ranks(&values, &ranks), ranks.map(|rank| sorted[rank]));
        assert!(at_ranks(&values, &[3, sorted.len()])[1].is_nan());
    }
}
