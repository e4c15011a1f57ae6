//! Scores of the same frames.

use takt_stats::sequential::dkw;

use crate::random::Random;

const RUNS: usize = 4_000;
const BINS: usize = 32;

fn bin(score: f64) -> usize {
    ((score * BINS as f64) as usize).min(BINS - 1)
}

/// Whether the band ever lies wholly above `distance` while `n` frames are scored by both.
fn ever_above(n: usize, distance: f64, shift: f64, random: &mut Random) -> bool {
    let (mut a, mut b) = ([0; BINS], [0; BINS]);
    (0..n).any(|frame| {
        let score = random.uniform();
        a[bin(score)] += 1;
        b[bin((score + shift).min(1.0))] += 1;
        frame % 10 == 9 && dkw::band(&a, &b, 0.05).unwrap().lower > distance
    })
}

#[test]
fn a_band_looked_at_all_the_time_excludes_the_truth_as_rarely_as_stated() {
    let mut random = Random(91);
    // Two independent samples of the same distribution: the distance is 0, and what is seen is noise.
    let wrong = (0..RUNS)
        .filter(|_| {
            let (mut a, mut b) = ([0; BINS], [0; BINS]);
            (0..500).any(|frame| {
                a[bin(random.uniform())] += 1;
                b[bin(random.uniform())] += 1;
                frame % 10 == 9 && dkw::band(&a, &b, 0.05).unwrap().lower > 0.0
            })
        })
        .count();
    crate::at_most(0.05, wrong, RUNS, "bands without the truth");
    assert!(!ever_above(2_000, 0.15, 0.1, &mut random), "a shift by 0.1 is a distance of 0.1");
}

#[test]
fn a_large_shift_is_certain_after_some_hundred_frames() {
    let mut random = Random(92);
    assert!((0..100).all(|_| ever_above(1_500, 0.1, 0.4, &mut random)));
}
