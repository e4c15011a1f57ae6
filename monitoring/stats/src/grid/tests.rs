use super::*;

#[test]
fn a_constant_has_its_own_slot_and_bin() {
    let found = edges(&[2.5; 30], 1000, 10).unwrap();
    assert_eq!(found.slots, [2.5, 2.5_f32.next_up()]);
    assert_eq!(found.psi, [0, 1]);
}

#[test]
fn nothing_finite_makes_no_grid() {
    assert_eq!(edges(&[], 1000, 10), None);
    assert_eq!(edges(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], 1000, 10), None);
}

#[test]
fn both_zeros_are_one_atom() {
    let found = edges(&[-0.0, 0.0, 0.0, -0.0, 1.0], 4, 2).unwrap();
    assert_eq!(found.slots.first(), Some(&0.0));
    assert!(found.slots.first().unwrap().is_sign_positive());
    assert_eq!(found.slots.iter().filter(|edge| **edge == 0.0).count(), 1);
}

#[test]
fn the_largest_number_is_an_edge_without_a_successor() {
    let found = edges(&[f32::MAX; 3], 10, 10).unwrap();
    assert_eq!(found.slots, [f32::MAX]);
    assert_eq!(found.psi, [0]);
}

#[test]
fn deciles_interpolate_and_round_up() {
    let values: Vec<f32> = (0..100_u8).map(|i| f32::from(i) / 100.0).collect();
    let found = edges(&values, 1000, 10).unwrap();
    assert_eq!(found.psi.len(), 9);
    // Rank 9.9 of 0.00, 0.01, ... .
    let first = found.slots[found.psi[0]];
    assert!((first - 0.099).abs() < 1e-7);
    assert!(values.iter().all(|v| (*v >= first) == (f64::from(*v) >= 0.0989)));
}

#[test]
fn fewer_than_two_slots_count_as_two() {
    let found = edges(&[1.0, 2.0, 3.0, 4.0, 5.0], 0, 0).unwrap();
    assert_eq!(found.slots, [3.0]);
    assert_eq!(found.psi, [0]);
}

#[test]
fn every_large_value_set_keeps_slots_small() {
    let values: Vec<f32> = (0..50_000_u32).map(|i| ((i * 7919) % 50_000) as f32).collect();
    let found = edges(&values, 1000, 10).unwrap();
    assert!((990..=1010).contains(&found.slots.len()), "{}", found.slots.len());
}

#[test]
fn bins_sum_whole_slots() {
    let slots = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(bins(&slots, &[0, 2]), [1.0, 5.0, 4.0]);
    assert_eq!(bins(&slots, &[]), [10.0]);
    assert_eq!(bins(&slots, &[1, 7]), [3.0, 0.0, 0.0]);
}

#[test]
fn bounds_meet_where_slots_are_atoms() {
    let (reference, current) = ([0.0, 50.0, 50.0], [0.0, 61.0, 39.0]);
    let loose = ks_bounds(&reference, &current, |_| false).unwrap();
    let tight = ks_bounds(&reference, &current, |slot| slot == 1).unwrap();
    assert!((loose.lo - 0.11).abs() < 1e-12 && (loose.hi - 0.61).abs() < 1e-12, "{loose:?}");
    assert!((tight.lo - 0.11).abs() < 1e-12 && (tight.hi - 0.5).abs() < 1e-12, "{tight:?}");
}

#[test]
fn sides_that_do_not_belong_together_have_no_bounds() {
    assert_eq!(ks_bounds(&[1.0], &[1.0, 2.0], |_| false), None);
    assert_eq!(ks_bounds(&[1.0], &[0.0], |_| false), None);
    assert_eq!(psi(&[1.0, 2.0], &[1.0], &[0], ZeroRule::default()), None);
    assert_eq!(psi(&[1.0, 2.0], &[0.0, 0.0], &[0], ZeroRule::default()), None);
}
