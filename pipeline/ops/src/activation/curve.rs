//! The functions and their slopes, and the loops over them.
//!
//! All is inlined into the loops, so that each is compiled to vectors as a whole: a function of its own would be compiled once,
//! for the baseline (see [`crate::simd`]). Choices are by `if` with both sides cheap, which become selections.

use std::f32::consts::FRAC_1_SQRT_2;

use pulp::{Arch, Simd, WithSimd};

use super::exp::{exp, sigmoid};

/// A differentiable function of one number. NaN gives NaN, as it must not go unnoticed.
pub(crate) trait Curve: Copy + Send + Sync {
    fn value(self, x: f32) -> f32;

    /// `gradient` times the slope at `x`.
    fn pull(self, x: f32, gradient: f32) -> f32;
}

/// Binds the curve of an `Option<Activation>` to a name in an expression, which is compiled once for each.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $body:expr) => {{
        use $crate::activation::curve;
        match $activation {
            None => {
                let $curve = curve::Identity;
                $body
            }
            Some($crate::Activation::Relu) => {
                let $curve = curve::Relu;
                $body
            }
            Some($crate::Activation::Clamp { low, high }) => {
                let $curve = curve::Clamp { low, high };
                $body
            }
            Some($crate::Activation::LeakyRelu { slope }) => {
                let $curve = curve::LeakyRelu { slope };
                $body
            }
            Some($crate::Activation::Sigmoid) => {
                let $curve = curve::Sigmoid;
                $body
            }
            Some($crate::Activation::Silu) => {
                let $curve = curve::Silu;
                $body
            }
            Some($crate::Activation::HardSigmoid { slope, offset }) => {
                let $curve = curve::HardSigmoid { slope, offset };
                $body
            }
            Some($crate::Activation::HardSwish) => {
                let $curve = curve::HardSwish;
                $body
            }
            Some($crate::Activation::Gelu) => {
                let $curve = curve::Gelu;
                $body
            }
        }
    }};
}
pub(crate) use with_curve;

/// `out[i] = curve(x[i])`.
pub(crate) fn values(out: &mut [f32], x: &[f32], curve: impl Curve) {
    Arch::new().dispatch(Values { out, x, curve });
}

/// `out[i] = gradient[i] * curve'(x[i])`.
pub(crate) fn pulls(out: &mut [f32], x: &[f32], gradient: &[f32], curve: impl Curve) {
    Arch::new().dispatch(Pulls { out, x, gradient, curve });
}

/// `max(v, 0)` that lets NaN through.
pub(crate) fn positive(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}

#[inline(always)]
fn clamp(v: f32, low: f32, high: f32) -> f32 {
    let v = if v < low { low } else { v };
    if v > high { high } else { v }
}

/// A curve behind a straight line: `curve(factor * x + offset)`, and its slope by that, without the line's.
#[derive(Clone, Copy)]
pub(crate) struct Behind<C> {
    pub factor: f32,
    pub offset: f32,
    pub curve: C,
}

impl<C: Curve> Curve for Behind<C> {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        self.curve.value(self.factor * x + self.offset)
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        self.curve.pull(self.factor * x + self.offset, gradient)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Curve for Identity {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn pull(self, _: f32, gradient: f32) -> f32 {
        gradient
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Relu;

impl Curve for Relu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        if x > 0.0 { gradient } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Clamp {
    pub low: f32,
    pub high: f32,
}

impl Curve for Clamp {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        clamp(x, self.low, self.high)
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        if (x > self.low) & (x < self.high) { gradient } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct LeakyRelu {
    pub slope: f32,
}

impl Curve for LeakyRelu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        if x < 0.0 { self.slope * x } else { x }
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        if x > 0.0 { gradient } else { self.slope * gradient }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl Curve for Sigmoid {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        sigmoid(x)
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        let s = sigmoid(x);
        gradient * s * (1.0 - s)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        let s = sigmoid(x);
        gradient * (s + x * s * (1.0 - s))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct HardSigmoid {
    pub slope: f32,
    pub offset: f32,
}

impl Curve for HardSigmoid {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        clamp(self.slope * x + self.offset, 0.0, 1.0)
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        let line = self.slope * x + self.offset;
        if (line > 0.0) & (line < 1.0) { self.slope * gradient } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct HardSwish;

impl Curve for HardSwish {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * clamp(x * (1.0 / 6.0) + 0.5, 0.0, 1.0)
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        let inside = x * (1.0 / 3.0) + 0.5;
        let slope = if x > -3.0 { inside } else { 0.0 };
        gradient * if x < 3.0 { slope } else { 1.0 }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl Gelu {
    /// Share of the standard normal distribution below `x`, and `exp(-x^2 / 2)`. The error function is that of Abramowitz and
    /// Stegun 1964, 7.1.26: a polynomial in `1 / (1 + p x)`.
    #[inline(always)]
    fn below(x: f32) -> (f32, f32) {
        const P: f32 = 0.327_591_1;
        const A: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
        let bell = exp(-0.5 * x * x);
        let t = 1.0 / (1.0 + P * FRAC_1_SQRT_2 * x.abs());
        let [a1, a2, a3, a4, a5] = A;
        let tail = 0.5 * bell * t * (a1 + t * (a2 + t * (a3 + t * (a4 + t * a5))));
        (if x < 0.0 { tail } else { 1.0 - tail }, bell)
    }
}

impl Curve for Gelu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * Self::below(x).0
    }

    #[inline(always)]
    fn pull(self, x: f32, gradient: f32) -> f32 {
        /// `1 / sqrt(2 pi)`.
        const HEIGHT: f32 = 0.398_942_3;
        let (below, bell) = Self::below(x);
        gradient * (below + x * HEIGHT * bell)
    }
}

struct Values<'a, C> {
    out: &'a mut [f32],
    x: &'a [f32],
    curve: C,
}

impl<C: Curve> WithSimd for Values<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (out, x) in self.out.iter_mut().zip(self.x) {
            *out = self.curve.value(*x);
        }
    }
}

struct Pulls<'a, C> {
    out: &'a mut [f32],
    x: &'a [f32],
    gradient: &'a [f32],
    curve: C,
}

impl<C: Curve> WithSimd for Pulls<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, x), gradient) in self.out.iter_mut().zip(self.x).zip(self.gradient) {
            *out = self.curve.pull(*x, *gradient);
        }
    }
}
