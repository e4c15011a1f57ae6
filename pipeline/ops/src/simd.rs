//! Loops that use the vector instructions of the machine they run on.
//!
//! The build targets the baseline of the architecture; `pulp` looks once what the processor has and compiles each kernel
//! for both. A kernel is a struct whose `with_simd` is always inlined: a closure called from two places might be compiled
//! once, for the baseline.

use pulp::{Arch, Simd, WithSimd};

/// Partial sums kept side by side, so that additions do not wait for each other.
const LANES: usize = 32;

/// `out[i] = f(a[i])`.
pub(crate) fn map(out: &mut [f32], a: &[f32], f: impl Fn(f32) -> f32) {
    Arch::new().dispatch(Map { out, a, f });
}

/// `out[i] = f(a[i], b[i])`.
pub(crate) fn map2(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    Arch::new().dispatch(Map2 { out, a, b, f });
}

/// `out[i] = f(out[i], a[i])`.
pub(crate) fn update(out: &mut [f32], a: &[f32], f: impl Fn(f32, f32) -> f32) {
    Arch::new().dispatch(Update { out, a, f });
}

/// `f(&mut x[i], &mut y[i], a[i])`.
pub(crate) fn update2(x: &mut [f32], y: &mut [f32], a: &[f32], f: impl Fn(&mut f32, &mut f32, f32)) {
    Arch::new().dispatch(Update2 { x, y, a, f });
}

/// Sum of `f(a[i])`.
pub(crate) fn sum(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    Arch::new().dispatch(Sum { a, f })
}

/// Both sums of `f(a[i], b[i])`.
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> (f32, f32)) -> (f32, f32) {
    Arch::new().dispatch(Sum2 { a, b, f })
}

struct Map<'a, F> {
    out: &'a mut [f32],
    a: &'a [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (out, a) in self.out.iter_mut().zip(self.a) {
            *out = (self.f)(*a);
        }
    }
}

struct Map2<'a, F> {
    out: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> WithSimd for Map2<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, a), b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *out = (self.f)(*a, *b);
        }
    }
}

struct Update<'a, F> {
    out: &'a mut [f32],
    a: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> WithSimd for Update<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (out, a) in self.out.iter_mut().zip(self.a) {
            *out = (self.f)(*out, *a);
        }
    }
}

struct Update2<'a, F> {
    x: &'a mut [f32],
    y: &'a mut [f32],
    a: &'a [f32],
    f: F,
}

impl<F: Fn(&mut f32, &mut f32, f32)> WithSimd for Update2<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((x, y), a) in self.x.iter_mut().zip(self.y).zip(self.a) {
            (self.f)(x, y, *a);
        }
    }
}

struct Sum<'a, F> {
    a: &'a [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Sum<'_, F> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let mut sums = [0.0f32; LANES];
        let (chunks, rest) = self.a.as_chunks::<LANES>();
        for chunk in chunks {
            for (sum, a) in sums.iter_mut().zip(chunk) {
                *sum += (self.f)(*a);
            }
        }
        for (sum, a) in sums.iter_mut().zip(rest) {
            *sum += (self.f)(*a);
        }
        sums.iter().sum()
    }
}

struct Sum2<'a, F> {
    a: &'a [f32],
    b: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> (f32, f32)> WithSimd for Sum2<'_, F> {
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (f32, f32) {
        let (mut first, mut second) = ([0.0f32; LANES], [0.0f32; LANES]);
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                let (x, y) = (self.f)(a[i], b[i]);
                first[i] += x;
                second[i] += y;
            }
        }
        for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            let (x, y) = (self.f)(*a, *b);
            first[i] += x;
            second[i] += y;
        }
        (first.iter().sum(), second.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_count_every_element_once() {
        for len in [0, 1, 31, 32, 33, 100] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let expected: f32 = a.iter().sum();
            assert_eq!(sum(&a, |v| v), expected);
            assert_eq!(sum2(&a, &a, |x, y| (x, 2.0 * y)), (expected, 2.0 * expected));
        }
    }
}
