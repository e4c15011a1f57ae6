//! How feature maps lie in memory: channel, row, column, image ("CHWN"), the image innermost.
//!
//! A training batch is a multiple of a vector's width; a map's width, at the end of a network, is 2. With the images side
//! by side every position of every map is whole vectors: a window that moves by any stride or dilation reads them
//! unchanged, the padding of one position is skipped for all images at once, each channel is one run for the statistics of
//! batch normalisation, and no step of a network needs another order. (The layout of cuda-convnet, Krizhevsky 2012.)
//!
//! To the outside a tensor keeps its logical shape `[N, C, H, W]`: like PyTorch's memory formats, only the strides tell.
//! Contiguous tensors are brought into this order when an operation meets one.

use candle_core::{CpuStorage, DType, Device, Result, Storage, StorageRef, Tensor, bail};
use rayon::prelude::*;

/// Shape of a batch of feature maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Dims {
    /// Elements of one channel, over all images.
    pub fn plane(&self) -> usize {
        self.h * self.w * self.n
    }

    pub fn elements(&self) -> usize {
        self.c * self.plane()
    }
}

/// A batch of feature maps in the order described above.
#[derive(Clone)]
pub(crate) struct Batch {
    tensor: Tensor,
    pub dims: Dims,
}

impl Batch {
    /// Views `tensor`, `[N, C, H, W]`, or brings it into our order.
    ///
    /// # Errors
    /// If the tensor has another rank or element type, is empty, is not on the processor, or is neither contiguous nor in
    /// our order.
    pub fn of(tensor: &Tensor, op: &'static str, what: &'static str) -> Result<Self> {
        let &[n, c, h, w] = tensor.dims() else {
            bail!("{op}: {what} has shape {:?}, expected [N, C, H, W]", tensor.dims())
        };
        let dims = Dims { n, c, h, w };
        check(tensor, op, what)?;
        if dims.elements() == 0 {
            bail!("{op}: {what} has shape {:?}: it is empty", tensor.dims())
        }
        if in_order(tensor) {
            return Ok(Self { tensor: tensor.detach(), dims });
        }
        if !tensor.is_contiguous() {
            bail!(
                "{op}: {what} of shape {:?} has strides {:?}; call contiguous() on it first",
                tensor.dims(),
                tensor.stride()
            )
        }
        let data = Data::of(tensor)?;
        let mut ordered = crate::parallel::zeros(dims.elements());
        transpose(&data, &mut ordered, n, c * h * w);
        Ok(Self { tensor: Tensor::from_vec(ordered, (c, h, w, n), &Device::Cpu)?, dims })
    }

    pub fn read(&self) -> Result<Data<'_>> {
        Data::of(&self.tensor)
    }
}

/// Refuses what our kernels cannot read.
pub(crate) fn check(tensor: &Tensor, op: &'static str, what: &'static str) -> Result<()> {
    if tensor.dtype() != DType::F32 {
        bail!("{op}: {what} is {:?}, expected F32; convert it with to_dtype", tensor.dtype())
    }
    if !tensor.device().is_cpu() {
        bail!("{op}: {what} is on {:?}, expected the CPU; move it with to_device", tensor.device().location())
    }
    Ok(())
}

/// Whether the tensor, `[N, C, H, W]`, lies as CHWN. Extents of one may have any stride.
pub(crate) fn in_order(tensor: &Tensor) -> bool {
    let (&[n, c, h, w], &[sn, sc, sh, sw]) = (tensor.dims(), tensor.stride()) else { return false };
    [(n, sn, 1), (w, sw, n), (h, sh, w * n), (c, sc, h * w * n)]
        .iter()
        .all(|(extent, stride, expected)| *extent <= 1 || stride == expected)
}

/// The elements of a tensor that lies in memory without gaps.
pub(crate) struct Data<'a> {
    storage: StorageRef<'a>,
    start: usize,
    len: usize,
}

impl<'a> Data<'a> {
    /// The caller has made sure that `tensor` has no gaps and is on the processor.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let data = Self { storage, start: layout.start_offset(), len: tensor.elem_count() };
        match data.slice() {
            Some(_) => Ok(data),
            None => bail!("a tensor of shape {:?} is not F32 on the CPU, or has gaps", tensor.dims()),
        }
    }

    fn slice(&self) -> Option<&[f32]> {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => data.get(self.start..self.start + self.len),
            _ => None,
        }
    }
}

impl std::ops::Deref for Data<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.slice().unwrap_or_default()
    }
}

/// Writes `from`, `[rows, columns]`, as `[columns, rows]`.
pub(crate) fn transpose(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    /// Columns whose lines are in the cache while all rows are read.
    const BLOCK: usize = 64;
    if rows == 1 || columns == 1 {
        to.copy_from_slice(from);
        return;
    }
    to.par_chunks_mut(BLOCK * rows).enumerate().for_each(|(block, to)| {
        for (row, from) in from.chunks_exact(columns).enumerate() {
            let from = &from[block * BLOCK..];
            for (to, value) in to.chunks_exact_mut(rows).zip(from) {
                to[row] = *value;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_matrix_transposed_is_itself() {
        for (rows, columns) in [(1, 5), (5, 1), (3, 7), (16, 200), (65, 130)] {
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let (mut to, mut back) = (vec![0.0; from.len()], vec![0.0; from.len()]);
            transpose(&from, &mut to, rows, columns);
            assert_eq!(to[rows * (columns - 1)], from[columns - 1]);
            transpose(&to, &mut back, columns, rows);
            assert_eq!(from, back);
        }
    }

    #[test]
    fn the_order_is_seen_in_the_strides() -> Result<()> {
        let contiguous = Tensor::zeros((2, 3, 4, 5), DType::F32, &Device::Cpu)?;
        assert!(!in_order(&contiguous));
        assert!(in_order(&Tensor::zeros((3, 4, 5, 2), DType::F32, &Device::Cpu)?.permute((3, 0, 1, 2))?));
        assert!(in_order(&contiguous.narrow(0, 0, 1)?), "one image has one order");
        assert!(Batch::of(&contiguous.transpose(1, 2)?, "op", "x").is_err());
        Ok(())
    }
}
