//! The classification extension: the k largest values of an output as text.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use takt_artifact::DataType;

use crate::request::NamedTensor;

/// An output whose element type has no order that classification could use.
#[derive(Debug, thiserror::Error)]
#[error("values of type {0} cannot be ranked; FP32, FP16, BF16, FP64 and integers can")]
pub struct NotNumbers(DataType);

/// The elements as f32: borrowed when they are FP32 and aligned, converted otherwise.
///
/// # Errors
/// The type is not numeric.
pub fn as_f32(datatype: DataType, data: &[u8]) -> Result<Cow<'_, [f32]>, NotNumbers> {
    fn convert<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Cow<'static, [f32]> {
        data.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect::<Vec<_>>().into()
    }
    Ok(match datatype {
        DataType::Fp32 => match bytemuck::try_cast_slice(data) {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => convert(data, f32::from_le_bytes),
        },
        DataType::Fp64 => convert(data, |bytes| f64::from_le_bytes(bytes) as f32),
        DataType::Fp16 => convert(data, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
        DataType::Bf16 => convert(data, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
        DataType::Int8 => convert(data, |bytes| f32::from(i8::from_le_bytes(bytes))),
        DataType::Uint8 => convert(data, |bytes| f32::from(u8::from_le_bytes(bytes))),
        DataType::Int16 => convert(data, |bytes| f32::from(i16::from_le_bytes(bytes))),
        DataType::Uint16 => convert(data, |bytes| f32::from(u16::from_le_bytes(bytes))),
        DataType::Int32 => convert(data, |bytes| i32::from_le_bytes(bytes) as f32),
        DataType::Uint32 => convert(data, |bytes| u32::from_le_bytes(bytes) as f32),
        DataType::Int64 => convert(data, |bytes| i64::from_le_bytes(bytes) as f32),
        DataType::Uint64 => convert(data, |bytes| u64::from_le_bytes(bytes) as f32),
        DataType::Bool | DataType::Bytes => return Err(NotNumbers(datatype)),
    })
}

/// Replaces an output by its `k` largest values per row, each `"<score>:<index>[:<label>]"`, as BYTES of shape
/// [rows, k], or [k] where the model does not batch.
///
/// # Errors
/// The output holds no numbers.
pub fn top_k(output: &NamedTensor, k: usize, labels: &[String], batches: bool) -> Result<NamedTensor, NotNumbers> {
    let values = as_f32(output.datatype, &output.data)?;
    let rows = if batches { output.shape.first().copied().unwrap_or(1) } else { 1 };
    let classes = values.len().checked_div(rows).unwrap_or(0);
    let k = k.min(classes);
    let mut data = BytesMut::new();
    for row in values.chunks_exact(classes.max(1)).take(rows) {
        let mut order: Vec<usize> = (0..classes).collect();
        // Equal values keep the order of their classes; NaN comes last.
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        order.sort_by_key(|&index| row[index].is_nan());
        for index in order.into_iter().take(k) {
            let text = match labels.get(index) {
                Some(label) => format!("{:.6}:{index}:{label}", row[index]),
                None => format!("{:.6}:{index}", row[index]),
            };
            data.put_u32_le(text.len() as u32);
            data.put_slice(text.as_bytes());
        }
    }
    let shape = if batches { vec![rows, k] } else { vec![k] };
    Ok(NamedTensor { name: output.name.clone(), datatype: DataType::Bytes, shape, data: Bytes::from(data) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(values: &[f32], shape: Vec<usize>) -> NamedTensor {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into();
        NamedTensor { name: "scores".into(), datatype: DataType::Fp32, shape, data }
    }

    fn texts(tensor: &NamedTensor) -> Vec<String> {
        let mut rest = &tensor.data[..];
        let mut texts = Vec::new();
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (text, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
            texts.push(String::from_utf8(text.to_vec()).unwrap());
            rest = tail;
        }
        texts
    }

    #[test]
    fn every_row_is_ranked_by_itself() {
        let labels = ["ok".to_owned(), "hole".to_owned()];
        let ranked = top_k(&output(&[0.25, 0.75, 0.5, 0.125], vec![2, 2]), 1, &labels, true).unwrap();
        assert_eq!(ranked.shape, [2, 1]);
        assert_eq!(texts(&ranked), ["0.750000:1:hole", "0.500000:0:ok"]);
    }

    #[test]
    fn k_above_the_number_of_classes_gives_all_of_them_and_nan_last() {
        let ranked = top_k(&output(&[f32::NAN, 1.0, 2.0], vec![3]), 9, &[], false).unwrap();
        assert_eq!(texts(&ranked), ["2.000000:2", "1.000000:1", "NaN:0"]);
    }

    #[test]
    fn integers_are_ranked_and_strings_are_refused() {
        let int =
            NamedTensor { name: "n".into(), datatype: DataType::Int8, shape: vec![1, 2], data: vec![0xff, 1].into() };
        assert_eq!(texts(&top_k(&int, 1, &[], true).unwrap()), ["1.000000:1"]);
        assert!(as_f32(DataType::Bytes, b"").is_err());
    }
}
