//! Each map of each image times a number of its own: the end of squeeze-and-excitation (Hu et al. 2018).

use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::batch::{Batch, Dims};
use crate::elementwise::{batch_tensor, whole};
use crate::parallel::zeros;
use crate::tape::{Form, Inputs, record};

/// `x`, `[N, C, H, W]`, times `gates`, `[N, C, 1, 1]`.
///
/// # Errors
/// If shapes do not fit, or a tensor is not F32 on the CPU, or has gaps.
pub fn gate(x: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let (maps, numbers) = (Batch::of(x, "gate", "the input")?, Batch::of(gates, "gate", "the gates")?);
    let dims = maps.dims;
    if numbers.dims != (Dims { h: 1, w: 1, ..dims }) {
        bail!("gate: the input has shape {:?}, the gates {:?}, expected [N, C, 1, 1]", x.dims(), gates.dims())
    }
    let mut out = zeros(dims.elements());
    out.par_chunks_exact_mut(dims.plane())
        .zip(maps.read()?.par_chunks_exact(dims.plane()).zip(numbers.read()?.par_chunks_exact(dims.n)))
        .for_each(|(out, (x, gates))| Arch::new().dispatch(Times { out, x, gates }));
    record("gate", Form::Batch(dims), out, Inputs::of(&[x, gates]), move |gradient| {
        let gradient = Batch::of(&whole(gradient)?, "gate", "the gradient")?;
        let (x, gates, dy) = (maps.read()?, numbers.read()?, gradient.read()?);
        let (mut dx, mut dgates) = (zeros(dims.elements()), vec![0.0; dims.c * dims.n]);
        dx.par_chunks_exact_mut(dims.plane())
            .zip(dgates.par_chunks_exact_mut(dims.n))
            .zip(dy.par_chunks_exact(dims.plane()))
            .zip(x.par_chunks_exact(dims.plane()).zip(gates.par_chunks_exact(dims.n)))
            .for_each(|(((dx, dgates), dy), (x, gates))| {
                Arch::new().dispatch(Times { out: dx, x: dy, gates });
                Arch::new().dispatch(Sums { out: dgates, x, dy });
            });
        let dgates = batch_tensor(dgates, numbers.dims)?;
        Ok(vec![Some(batch_tensor(dx, dims)?), Some(dgates)])
    })
}

/// A channel times the gates of its images, which are innermost.
struct Times<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    gates: &'a [f32],
}

impl WithSimd for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let images = self.gates.len();
        for (out, x) in self.out.chunks_exact_mut(images).zip(self.x.chunks_exact(images)) {
            for ((out, x), gate) in out.iter_mut().zip(x).zip(self.gates) {
                *out = x * gate;
            }
        }
    }
}

/// For each image the sum of `x * dy` over its map.
struct Sums<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    dy: &'a [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let images = self.out.len();
        for (x, dy) in self.x.chunks_exact(images).zip(self.dy.chunks_exact(images)) {
            for ((sum, x), dy) in self.out.iter_mut().zip(x).zip(dy) {
                *sum += x * dy;
            }
        }
    }
}
