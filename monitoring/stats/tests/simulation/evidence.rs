//! What e-processes and e-BH promise.

use takt_stats::eprocess::{PaneProcess, PaneTest, e_bh};

use crate::random::Random;

/// The e-value of a p-value that is as small as chance makes it.
fn ln_e(random: &mut Random) -> f64 {
    0.5_f64.ln() - 0.5 * random.uniform().ln()
}

#[test]
fn false_alarms_are_as_far_apart_as_stated_but_do_come() {
    let mut random = Random(31);
    const RUNS: usize = 2_000;
    for c in [20.0, 200.0] {
        let (mut panes, mut within_1000) = (0_usize, 0);
        for _ in 0..RUNS {
            let mut process = PaneProcess::new(c);
            let run = 1 + (0..).take_while(|_| !process.update(ln_e(&mut random))).count();
            panes += run;
            within_1000 += usize::from(run <= 1_000);
        }
        let average = panes as f64 / RUNS as f64;
        assert!(average >= c, "c {c}: an alarm every {average} panes");
        if c == 20.0 {
            assert!(within_1000 > RUNS * 97 / 100, "{within_1000} of {RUNS}");
        }
    }
}

#[test]
fn panes_at_the_tolerated_distance_give_valid_p_values() {
    // The worst case of H0: values moved by tau, for which D is tau and sampling error comes on top.
    let mut random = Random(32);
    let test = PaneTest::new(0.05, 0.01, 1e9);
    const M: usize = 100;
    const PANES: usize = 4_000;
    let mut small = 0;
    for _ in 0..PANES {
        let mut values: Vec<f64> = (0..M).map(|_| random.uniform() + 0.05).collect();
        values.sort_unstable_by(f64::total_cmp);
        let apart = values.iter().enumerate().map(|(i, x)| {
            let truth = x.min(1.0);
            (truth - i as f64 / M as f64).abs().max((truth - (i + 1) as f64 / M as f64).abs())
        });
        small += usize::from(test.p_value(apart.fold(0.0, f64::max), M as f64) <= 0.05);
    }
    crate::at_most(0.05, small, PANES, "p-values of at most 0.05");
}

#[test]
fn of_the_features_named_few_are_named_wrongly() {
    let mut random = Random(33);
    const ROUNDS: usize = 4_000;
    let (mut wrong_share, mut found) = (0.0, 0);
    for _ in 0..ROUNDS {
        // Ten features with nothing wrong and two that drift.
        let e_values: Vec<f64> = (0..12).map(|i| if i < 10 { ln_e(&mut random).exp() } else { 400.0 }).collect();
        let named = e_bh(&e_values, 0.1);
        let wrong = named.iter().filter(|i| **i < 10).count();
        wrong_share += wrong as f64 / named.len().max(1) as f64;
        found += named.len() - wrong;
    }
    assert!(wrong_share / ROUNDS as f64 <= 0.1, "{}", wrong_share / ROUNDS as f64);
    assert_eq!(found, 2 * ROUNDS);
}
