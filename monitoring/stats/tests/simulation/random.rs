//! Random numbers, the same on every machine.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Of mean 0 and variance 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Counts of `draws` over bins of these shares.
    pub fn counts(&mut self, shares: &[f64], draws: usize) -> Vec<f64> {
        let ends: Vec<f64> = shares
            .iter()
            .scan(0.0, |sum, share| {
                *sum += share;
                Some(*sum)
            })
            .collect();
        let mut counts = vec![0.0; shares.len()];
        for _ in 0..draws {
            let at = self.uniform();
            let bin = ends.iter().filter(|end| **end <= at).count().min(shares.len() - 1);
            counts[bin] += 1.0;
        }
        counts
    }
}

/// A stationary first-order autoregression of mean 0 and variance 1.
pub struct Autoregression {
    coefficient: f64,
    state: f64,
}

impl Autoregression {
    pub fn new(coefficient: f64, random: &mut Random) -> Self {
        Self { coefficient, state: random.normal() }
    }

    pub fn next(&mut self, random: &mut Random) -> f64 {
        let fresh = (1.0 - self.coefficient * self.coefficient).sqrt();
        self.state = self.coefficient * self.state + fresh * random.normal();
        self.state
    }
}
