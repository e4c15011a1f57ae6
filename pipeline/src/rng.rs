//! Pseudo-random numbers that are the same on every machine and in every release.
//!
//! xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), seeded through
//! SplitMix64 as its authors advise.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream that belongs to `seed` and `path`. Different paths give unrelated streams, so that a change in how
    /// many numbers one part draws leaves every other part as it was.
    pub(crate) fn new(seed: u64, path: &[u64]) -> Self {
        let mut mixed = split_mix(seed);
        for word in path {
            mixed = split_mix(mixed ^ split_mix(*word));
        }
        let state = std::array::from_fn(|_| {
            mixed = split_mix(mixed);
            mixed
        });
        Self { state }
    }

    /// 64 uniform bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let (c_next, d_next) = (c ^ a, d ^ b);
        self.state = [a ^ d_next, b ^ c_next, c_next ^ (b << 17), d_next.rotate_left(45)];
        a.wrapping_add(d).rotate_left(23).wrapping_add(a)
    }

    /// Uniform in [0, 1), with 24 bits.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 16_777_216.0
    }

    /// Uniform in [low, high).
    pub(crate) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// In [low, high), low values more often (density falls as 1 / sqrt).
    pub(crate) fn mostly_low(&mut self, low: f32, high: f32) -> f32 {
        let unit = self.unit();
        low + (high - low) * unit * unit
    }

    /// Uniform in 0..n; the bias of n / 2^32 does not matter here.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// -1 or 1.
    pub(crate) fn sign(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// Mean 0, variance 1, nearly normal: the sum of four uniform numbers (Irwin-Hall), cut at 3.46.
    pub(crate) fn normal(&mut self) -> f32 {
        let bits = self.bits();
        let lanes = (0..4).map(|lane| (bits >> (16 * lane)) as u16);
        let sum: i32 = lanes.map(i32::from).sum();
        const SQRT_3: f32 = 1.732_050_8;
        (sum - 131_070) as f32 / 65_536.0 * SQRT_3
    }
}

fn split_mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference algorithm, statement by statement.
    fn reference(state: &mut [u64; 4]) -> u64 {
        let result = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    #[test]
    fn numbers_follow_the_reference_algorithm() {
        let mut rng = Rng::new(7, &[1, 2]);
        let mut state = rng.state;
        for _ in 0..1000 {
            assert_eq!(rng.bits(), reference(&mut state));
        }
    }

    #[test]
    fn split_mix_gives_the_published_first_output() {
        // First output for the seed 0 of Vigna's splitmix64.c.
        assert_eq!(split_mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn streams_of_different_paths_differ() {
        let first = |path: &[u64]| Rng::new(7, path).bits();
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1]), first(&[1, 0]));
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut rng = Rng::new(1, &[]);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(rng.normal())).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 1e5;
        // Four standard errors of 100,000 draws.
        assert!(mean.abs() < 0.013, "{mean}");
        assert!((variance - 1.0).abs() < 0.015, "{variance}");
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let mut rng = Rng::new(3, &[]);
        let mut seen = [0_u32; 5];
        (0..1000).for_each(|_| seen[rng.below(5) as usize] += 1);
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    }
}
