//! Tensors of the file: elements decoded when asked for, from raw bytes or from the typed fields.

use bytes::Bytes;

use crate::onnx::TensorProto;
use crate::onnx::tensor_proto::{DataLocation, DataType};

/// Why a tensor cannot be read. The tensor's name is for the caller to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// A dimension below zero, or more elements than memory could ever hold.
    #[error("found dimensions {0:?}, expected at most 64 whole numbers from 0 whose product fits a file")]
    Dims(Vec<i64>),
    /// The element type is not in the standard.
    #[error("found element type {0}, which onnx.proto does not define")]
    Type(i32),
    /// The elements are not what the dimensions say.
    #[error("found {found} bytes for dimensions {dims:?} of {kind}, expected {expected}")]
    Size {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
        /// The dimensions.
        dims: Vec<i64>,
        /// The element type.
        kind: &'static str,
    },
    /// The elements are of another type than asked for.
    #[error("found elements of {found}, expected {expected}")]
    Expected {
        /// Element type there is.
        found: &'static str,
        /// Element types that would do.
        expected: &'static str,
    },
    /// The elements lie in another file and were not loaded.
    #[error("its elements lie in another file; load the model with Model::load")]
    External,
    /// An index or axis outside the tensor.
    #[error("axis {axis} with index {index} is outside dimensions {dims:?}")]
    Range {
        /// The axis.
        axis: usize,
        /// The index.
        index: usize,
        /// The dimensions.
        dims: Vec<i64>,
    },
}

/// More than any file we read can hold, so that products of dimensions never overflow.
const MAX_BYTES: usize = 1 << 46;

/// Bits of one element; `None` for strings and what onnx.proto does not define.
#[must_use]
pub const fn bits(kind: DataType) -> Option<usize> {
    use DataType as D;
    Some(match kind {
        D::Undefined | D::String => return None,
        D::Uint2 | D::Int2 => 2,
        D::Uint4 | D::Int4 | D::Float4e2m1 => 4,
        D::Float6e2m3 | D::Float6e3m2 => 6,
        D::Uint8 | D::Int8 | D::Bool => 8,
        D::Float8e4m3fn | D::Float8e4m3fnuz | D::Float8e5m2 | D::Float8e5m2fnuz | D::Float8e8m0 => 8,
        D::Uint16 | D::Int16 | D::Float16 | D::Bfloat16 => 16,
        D::Float | D::Int32 | D::Uint32 => 32,
        D::Int64 | D::Double | D::Uint64 | D::Complex64 => 64,
        D::Complex128 => 128,
    })
}

impl TensorProto {
    /// A tensor of 32-bit floats.
    #[must_use]
    pub fn from_f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        Self::from_bytes(name, DataType::Float, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of 64-bit integers.
    #[must_use]
    pub fn from_i64(name: &str, shape: &[usize], values: &[i64]) -> Self {
        Self::from_bytes(name, DataType::Int64, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of 32-bit integers.
    #[must_use]
    pub fn from_i32(name: &str, shape: &[usize], values: &[i32]) -> Self {
        Self::from_bytes(name, DataType::Int32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of signed bytes.
    #[must_use]
    pub fn from_i8(name: &str, shape: &[usize], values: &[i8]) -> Self {
        Self::from_bytes(name, DataType::Int8, shape, values.iter().map(|&value| value.cast_unsigned()).collect())
    }

    /// A tensor of unsigned bytes.
    #[must_use]
    pub fn from_u8(name: &str, shape: &[usize], values: &[u8]) -> Self {
        Self::from_bytes(name, DataType::Uint8, shape, values.to_vec())
    }

    /// A tensor from the little-endian bytes of its elements.
    #[must_use]
    pub fn from_bytes(name: &str, kind: DataType, shape: &[usize], data: Vec<u8>) -> Self {
        Self {
            name: Some(name.to_owned()),
            data_type: Some(kind.into()),
            dims: shape.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect(),
            raw_data: Some(data.into()),
            ..Self::default()
        }
    }

    /// The element type.
    ///
    /// # Errors
    /// onnx.proto does not define it.
    pub fn kind(&self) -> Result<DataType, TensorError> {
        let code = self.data_type.unwrap_or_default();
        DataType::try_from(code).ok().filter(|&kind| kind != DataType::Undefined).ok_or(TensorError::Type(code))
    }

    /// The dimensions; empty for a scalar.
    ///
    /// # Errors
    /// One is negative, or there would be more elements than any memory holds.
    pub fn shape(&self) -> Result<Vec<usize>, TensorError> {
        let dims = self.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<Vec<_>>>();
        let dims = dims.ok_or_else(|| TensorError::Dims(self.dims.clone()))?;
        if dims.len() > crate::shape::MAX_RANK {
            return Err(TensorError::Dims(self.dims.clone()));
        }
        let product = dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim.max(1)));
        match product {
            Some(count) if count < MAX_BYTES => Ok(dims),
            _ => Err(TensorError::Dims(self.dims.clone())),
        }
    }

    /// Number of elements.
    ///
    /// # Errors
    /// As [`Self::shape`].
    pub fn count(&self) -> Result<usize, TensorError> {
        Ok(self.shape()?.iter().product())
    }

    /// Bytes the elements take, from type and dimensions; `None` for strings.
    ///
    /// # Errors
    /// As [`Self::shape`] and [`Self::kind`].
    pub fn expected_bytes(&self) -> Result<Option<usize>, TensorError> {
        let kind = self.kind()?;
        let count = self.count()?;
        Ok(bits(kind).map(|bits| (count * bits).div_ceil(8)))
    }

    /// Holds the elements against type and dimensions.
    ///
    /// # Errors
    /// Unknown type, impossible dimensions, or too few or too many elements.
    pub fn check(&self) -> Result<(), TensorError> {
        match self.kind()? {
            DataType::String => {
                let expected = self.count()?;
                let found = self.string_data.len();
                let size = || TensorError::Size { found, expected, dims: self.dims.clone(), kind: "STRING" };
                (found == expected).then_some(()).ok_or_else(size)
            }
            _ => self.data().map(drop),
        }
    }

    /// The elements as little-endian bytes, packed as `raw_data` packs them. Not copied where they lie so.
    ///
    /// # Errors
    /// As [`Self::check`]; strings have no bytes.
    pub fn data(&self) -> Result<Bytes, TensorError> {
        if self.data_location() == DataLocation::External {
            return Err(TensorError::External);
        }
        let kind = self.kind()?;
        let Some(expected) = self.expected_bytes()? else {
            return Err(TensorError::Expected { found: kind.as_str_name(), expected: "numbers" });
        };
        let data = match &self.raw_data {
            Some(raw) if !raw.is_empty() || expected == 0 => raw.clone(),
            _ => self.typed(kind),
        };
        if data.len() != expected {
            let (found, dims) = (data.len(), self.dims.clone());
            return Err(TensorError::Size { found, expected, dims, kind: kind.as_str_name() });
        }
        Ok(data)
    }

    /// Which field holds which type: onnx.proto, `TensorProto`.
    fn typed(&self, kind: DataType) -> Bytes {
        use DataType as D;
        fn le<T: Copy, const N: usize>(values: &[T], bytes: fn(T) -> [u8; N]) -> Bytes {
            values.iter().flat_map(|&value| bytes(value)).collect()
        }
        fn low<const N: usize>(values: &[i32]) -> Bytes {
            values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(N)).collect()
        }
        match kind {
            D::Float | D::Complex64 => le(&self.float_data, f32::to_le_bytes),
            D::Double | D::Complex128 => le(&self.double_data, f64::to_le_bytes),
            D::Int64 => le(&self.int64_data, i64::to_le_bytes),
            D::Uint64 => le(&self.uint64_data, u64::to_le_bytes),
            D::Uint32 => self.uint64_data.iter().flat_map(|value| value.to_le_bytes().into_iter().take(4)).collect(),
            D::Int32 => le(&self.int32_data, i32::to_le_bytes),
            D::Int16 | D::Uint16 | D::Float16 | D::Bfloat16 => low::<2>(&self.int32_data),
            _ => low::<1>(&self.int32_data),
        }
    }

    /// The elements of a FLOAT tensor; FLOAT16, BFLOAT16 and DOUBLE are converted.
    ///
    /// # Errors
    /// As [`Self::check`], or another element type.
    pub fn f32s(&self) -> Result<Vec<f32>, TensorError> {
        let data = self.data()?;
        match self.kind()? {
            DataType::Float => Ok(read(&data, f32::from_le_bytes)),
            DataType::Float16 => Ok(read(&data, |b| half::f16::from_le_bytes(b).to_f32())),
            DataType::Bfloat16 => Ok(read(&data, |b| half::bf16::from_le_bytes(b).to_f32())),
            #[expect(clippy::cast_possible_truncation, reason = "asked for single precision")]
            DataType::Double => Ok(read(&data, |b| f64::from_le_bytes(b) as f32)),
            other => Err(TensorError::Expected { found: other.as_str_name(), expected: "floats" }),
        }
    }

    /// The elements of an integer tensor of up to 64 bits, widened; BOOL as 0 and 1.
    ///
    /// # Errors
    /// As [`Self::check`], or another element type.
    pub fn i64s(&self) -> Result<Vec<i64>, TensorError> {
        let data = self.data()?;
        match self.kind()? {
            DataType::Int64 => Ok(read(&data, i64::from_le_bytes)),
            DataType::Int32 => Ok(read(&data, |b| i64::from(i32::from_le_bytes(b)))),
            DataType::Uint32 => Ok(read(&data, |b| i64::from(u32::from_le_bytes(b)))),
            DataType::Int16 => Ok(read(&data, |b| i64::from(i16::from_le_bytes(b)))),
            DataType::Uint16 => Ok(read(&data, |b| i64::from(u16::from_le_bytes(b)))),
            DataType::Int8 => Ok(read(&data, |b| i64::from(i8::from_le_bytes(b)))),
            DataType::Uint8 | DataType::Bool => Ok(read(&data, |b: [u8; 1]| i64::from(b[0]))),
            other => Err(TensorError::Expected { found: other.as_str_name(), expected: "integers" }),
        }
    }

    /// The elements of an INT32 tensor.
    ///
    /// # Errors
    /// As [`Self::check`], or another element type.
    pub fn i32s(&self) -> Result<Vec<i32>, TensorError> {
        self.only(DataType::Int32).map(|data| read(&data, i32::from_le_bytes))
    }

    /// The elements of an INT8 tensor.
    ///
    /// # Errors
    /// As [`Self::check`], or another element type.
    pub fn i8s(&self) -> Result<Vec<i8>, TensorError> {
        self.only(DataType::Int8).map(|data| read(&data, i8::from_le_bytes))
    }

    /// The elements of a UINT8 tensor.
    ///
    /// # Errors
    /// As [`Self::check`], or another element type.
    pub fn u8s(&self) -> Result<Vec<u8>, TensorError> {
        self.only(DataType::Uint8).map(|data| data.to_vec())
    }

    fn only(&self, kind: DataType) -> Result<Bytes, TensorError> {
        let found = self.kind()?;
        match found == kind {
            true => self.data(),
            false => Err(TensorError::Expected { found: found.as_str_name(), expected: kind.as_str_name() }),
        }
    }

    /// Puts new elements in place of the old ones, whichever field held them. Type, dimensions and name stay.
    pub fn set_data(&mut self, data: impl Into<Bytes>) {
        self.raw_data = Some(data.into());
        self.float_data.clear();
        self.int32_data.clear();
        self.int64_data.clear();
        self.double_data.clear();
        self.uint64_data.clear();
        self.external_data.clear();
        self.data_location = None;
    }

    /// Keeps the given indices of `axis`, in the given order.
    ///
    /// # Errors
    /// An axis or index outside, elements that cannot be read or are smaller than a byte.
    pub fn take(&self, axis: usize, indices: &[usize]) -> Result<Self, TensorError> {
        let shape = self.shape()?;
        let data = self.data()?;
        let outside = |index| TensorError::Range { axis, index, dims: self.dims.clone() };
        let &dim = shape.get(axis).ok_or_else(|| outside(0))?;
        if let Some(&index) = indices.iter().find(|&&index| index >= dim) {
            return Err(outside(index));
        }
        let kind = self.kind()?;
        let bytes = bits(kind).filter(|bits| bits % 8 == 0).map(|bits| bits / 8);
        let expected = "elements of whole bytes";
        let bytes = bytes.ok_or(TensorError::Expected { found: kind.as_str_name(), expected })?;
        let block = shape[axis + 1..].iter().product::<usize>() * bytes;
        let outer: usize = shape[..axis].iter().product();
        let mut kept = Vec::with_capacity(outer * indices.len() * block);
        for row in 0..outer {
            for index in indices {
                let from = (row * dim + index) * block;
                kept.extend_from_slice(&data[from..from + block]);
            }
        }
        let mut taken = self.clone();
        taken.set_data(kept);
        taken.dims[axis] = i64::try_from(indices.len()).unwrap_or(i64::MAX);
        Ok(taken)
    }
}

fn read<T, const N: usize>(data: &[u8], decode: fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|&chunk| decode(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_and_raw_fields_give_the_same_elements() {
        let raw = TensorProto::from_f32("t", &[2], &[1.5, -2.0]);
        let typed = TensorProto { raw_data: None, float_data: vec![1.5, -2.0], ..raw.clone() };
        assert_eq!(raw.f32s(), typed.f32s());
        let raw = TensorProto::from_i8("t", &[3], &[1, -2, -128]);
        let typed = TensorProto { raw_data: None, int32_data: vec![1, -2, -128], ..raw.clone() };
        assert_eq!(typed.i8s().unwrap(), [1, -2, -128]);
        assert_eq!(raw.i64s(), typed.i64s());
        let halves = TensorProto { data_type: Some(10), int32_data: vec![0x3c00], raw_data: None, ..raw };
        assert_eq!(TensorProto { dims: vec![1], ..halves }.f32s().unwrap(), [1.0]);
    }

    #[test]
    fn sizes_that_do_not_match_are_told() {
        let mut tensor = TensorProto::from_f32("t", &[3], &[0.0; 2]);
        let told = tensor.check().unwrap_err().to_string();
        assert_eq!(told, "found 8 bytes for dimensions [3] of FLOAT, expected 12");
        tensor.dims = vec![i64::MAX, i64::MAX];
        assert!(matches!(tensor.check(), Err(TensorError::Dims(_))));
        tensor.dims = vec![-1];
        assert!(matches!(tensor.check(), Err(TensorError::Dims(_))));
        tensor.data_type = Some(99);
        assert_eq!(tensor.check(), Err(TensorError::Type(99)));
    }

    #[test]
    fn taking_keeps_the_order_asked_for() {
        let tensor = TensorProto::from_i64("t", &[2, 3], &[0, 1, 2, 10, 11, 12]);
        let taken = tensor.take(1, &[2, 0]).unwrap();
        assert_eq!((taken.i64s().unwrap(), taken.dims), (vec![2, 0, 12, 10], vec![2, 2]));
        assert_eq!(tensor.take(0, &[1]).unwrap().i64s().unwrap(), [10, 11, 12]);
        assert!(tensor.take(1, &[3]).is_err());
        assert!(tensor.take(2, &[0]).is_err());
    }

    #[test]
    fn elements_of_half_a_byte_are_counted_in_whole_bytes() {
        let tensor = TensorProto::from_bytes("t", DataType::Int4, &[3], vec![0x21, 0x03]);
        tensor.check().unwrap();
        assert!(tensor.take(0, &[0]).is_err());
    }
}
