//! Seeded random weights, the same on every machine and in every version: hence no generator from outside, whose numbers may
//! change with its version.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, neither of them.
    fn open_unit(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Normally distributed around 0 (Box and Muller 1958).
    pub fn normal(&mut self, deviation: f64, count: usize) -> Vec<f32> {
        let mut one = || {
            let (radius, angle) = ((-2.0 * self.open_unit().ln()).sqrt(), std::f64::consts::TAU * self.open_unit());
            #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
            let value = (deviation * radius * angle.cos()) as f32;
            value
        };
        (0..count).map(|_| one()).collect()
    }

    /// Evenly distributed between `-bound` and `bound`.
    pub fn uniform(&mut self, bound: f64, count: usize) -> Vec<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
        (0..count).map(|_| (bound * (2.0 * self.open_unit() - 1.0)) as f32).collect()
    }
}
