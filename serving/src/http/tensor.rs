//! Tensor elements as JSON and as the protocol's raw bytes.

use std::fmt;

use bytes::Bytes;
use half::{bf16, f16};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;
use takt_artifact::DataType;

/// Reads the elements of `data`, nested or flat in row-major order, as raw bytes.
///
/// # Errors
/// Not an array, an element of another type, or one out of range; with its place in `data`.
pub fn from_json(datatype: DataType, data: &RawValue) -> Result<Bytes, serde_json::Error> {
    let text = data.get();
    if !text.starts_with('[') {
        return Err(serde_json::Error::custom(format!("expected an array of {datatype} elements")));
    }
    // Fewer bytes than the text has cannot be a mistake by much: an element takes two characters at least.
    let mut raw = Vec::with_capacity(text.len() / 2);
    ElementsSeed { datatype, raw: &mut raw }.deserialize(&mut serde_json::Deserializer::from_str(text))?;
    Ok(raw.into())
}

/// Appends elements to raw bytes.
struct ElementsSeed<'a> {
    datatype: DataType,
    raw: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ElementsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = match self.datatype {
            DataType::Bool => "true or false",
            DataType::Bytes => "a string",
            DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64 => "a number",
            _ => "an integer",
        };
        write!(f, "{element}, an element of type {}", self.datatype)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { datatype, raw } = self;
        while elements.next_element_seed(ElementsSeed { datatype, raw: &mut *raw })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        if self.datatype != DataType::Bool {
            return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self));
        }
        self.raw.push(u8::from(value));
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let (finite, datatype) = match self.datatype {
            DataType::Fp64 => (true, self.append(value.to_le_bytes())),
            DataType::Fp32 => ((value as f32).is_finite(), self.append((value as f32).to_le_bytes())),
            DataType::Fp16 => (f16::from_f64(value).is_finite(), self.append(f16::from_f64(value).to_le_bytes())),
            DataType::Bf16 => (bf16::from_f64(value).is_finite(), self.append(bf16::from_f64(value).to_le_bytes())),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        };
        if finite { Ok(()) } else { Err(out_of_range(value, datatype)) }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        if self.datatype != DataType::Bytes {
            return Err(E::invalid_type(serde::de::Unexpected::Str(value), &self));
        }
        let length = u32::try_from(value.len()).map_err(|_| out_of_range(value.len(), self.datatype))?;
        self.raw.extend_from_slice(&length.to_le_bytes());
        self.raw.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

impl ElementsSeed<'_> {
    fn append<const N: usize>(self, bytes: [u8; N]) -> DataType {
        self.raw.extend_from_slice(&bytes);
        self.datatype
    }

    fn integer<E: serde::de::Error>(self, value: i128) -> Result<(), E> {
        macro_rules! exactly {
            ($type:ty) => {
                <$type>::try_from(value).map(|value| self.raw.extend_from_slice(&value.to_le_bytes()))
            };
        }
        let datatype = self.datatype;
        match datatype {
            DataType::Int8 => exactly!(i8),
            DataType::Int16 => exactly!(i16),
            DataType::Int32 => exactly!(i32),
            DataType::Int64 => exactly!(i64),
            DataType::Uint8 => exactly!(u8),
            DataType::Uint16 => exactly!(u16),
            DataType::Uint32 => exactly!(u32),
            DataType::Uint64 => exactly!(u64),
            DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64 => return self.visit_f64(value as f64),
            DataType::Bool | DataType::Bytes => {
                return Err(E::invalid_type(serde::de::Unexpected::Other(&format!("the integer {value}")), &self));
            }
        }
        .map_err(|_| out_of_range(value, datatype))
    }
}

fn out_of_range<E: serde::de::Error>(value: impl fmt::Display, datatype: DataType) -> E {
    E::custom(format!("{value} is out of range for {datatype}"))
}

/// Raw bytes of a tensor, written as a flat JSON array. JSON has neither NaN nor infinities: they become `null`; a
/// client that must see them asks for binary data.
#[derive(Debug, Clone, Copy)]
pub struct Elements<'a> {
    /// Element type.
    pub datatype: DataType,
    /// Elements in the protocol's raw form.
    pub raw: &'a [u8],
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn list<S: Serializer, T: Serialize, const N: usize>(
            serializer: S,
            raw: &[u8],
            element: impl Fn([u8; N]) -> T,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(raw.as_chunks::<N>().0.iter().map(|bytes| element(*bytes)))
        }
        match self.datatype {
            DataType::Bool => list(serializer, self.raw, |[byte]| byte != 0),
            DataType::Int8 => list(serializer, self.raw, i8::from_le_bytes),
            DataType::Int16 => list(serializer, self.raw, i16::from_le_bytes),
            DataType::Int32 => list(serializer, self.raw, i32::from_le_bytes),
            DataType::Int64 => list(serializer, self.raw, i64::from_le_bytes),
            DataType::Uint8 => list(serializer, self.raw, u8::from_le_bytes),
            DataType::Uint16 => list(serializer, self.raw, u16::from_le_bytes),
            DataType::Uint32 => list(serializer, self.raw, u32::from_le_bytes),
            DataType::Uint64 => list(serializer, self.raw, u64::from_le_bytes),
            DataType::Fp16 => list(serializer, self.raw, |bytes| f16::from_le_bytes(bytes).to_f32()),
            DataType::Bf16 => list(serializer, self.raw, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            DataType::Fp32 => list(serializer, self.raw, f32::from_le_bytes),
            DataType::Fp64 => list(serializer, self.raw, f64::from_le_bytes),
            DataType::Bytes => serializer.collect_seq(strings(self.raw).map_err(S::Error::custom)?),
        }
    }
}

fn strings(mut raw: &[u8]) -> Result<Vec<&str>, &'static str> {
    let mut strings = Vec::new();
    while let Some((length, rest)) = raw.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (string, rest) = rest.split_at_checked(length).ok_or("a string is longer than the tensor")?;
        strings.push(std::str::from_utf8(string).map_err(|_| "a string is not UTF-8; ask for it as binary data")?);
        raw = rest;
    }
    Ok(strings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(datatype: DataType, json: &str) -> Result<Vec<u8>, String> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        from_json(datatype, raw).map(|bytes| bytes.to_vec()).map_err(|error| error.to_string())
    }

    fn write(datatype: DataType, raw: &[u8]) -> String {
        serde_json::to_string(&Elements { datatype, raw }).unwrap()
    }

    #[test]
    fn nested_and_flat_arrays_give_the_same_bytes() {
        assert_eq!(read(DataType::Int16, "[[1, -2], [3, 4]]"), read(DataType::Int16, "[1,-2,3,4]"));
        assert_eq!(read(DataType::Int16, "[1,-2]").unwrap(), [1, 0, 0xfe, 0xff]);
        assert_eq!(read(DataType::Bool, "[[true],[false]]").unwrap(), [1, 0]);
        assert_eq!(read(DataType::Fp32, "[1, 0.5]").unwrap(), [0, 0, 128, 63, 0, 0, 0, 63]);
        assert_eq!(read(DataType::Fp16, "[1]").unwrap(), [0, 0x3c]);
        assert_eq!(read(DataType::Bytes, r#"["ab", ""]"#).unwrap(), [2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0]);
        assert!(read(DataType::Fp32, "[]").unwrap().is_empty());
    }

    #[test]
    fn elements_that_do_not_fit_are_named_with_their_place() {
        for (datatype, json, says) in [
            (DataType::Int8, "[1,\n300]", "300 is out of range for INT8 at line 2"),
            (DataType::Uint8, "[-1]", "-1 is out of range for UINT8"),
            (DataType::Fp32, "[1e39]", "is out of range for FP32"),
            (DataType::Int32, "[1.5]", "expected an integer, an element of type INT32"),
            (DataType::Int32, "[null]", "expected an integer"),
            (DataType::Bool, "[1]", "the integer 1, expected true or false"),
            (DataType::Fp32, r#"["1"]"#, "expected a number"),
            (DataType::Bytes, "[1]", "expected a string"),
            (DataType::Fp32, "3", "expected an array of FP32 elements"),
        ] {
            let error = read(datatype, json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }

    #[test]
    fn an_array_of_absurd_depth_is_an_error() {
        let json = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(DataType::Fp32, &json).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn what_json_cannot_hold_is_null_and_strings_must_be_text() {
        let raw: Vec<u8> = [1.5, f32::NAN, f32::INFINITY].iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
        assert_eq!(write(DataType::Fp32, &raw), "[1.5,null,null]");
        let not_text = Elements { datatype: DataType::Bytes, raw: &[1, 0, 0, 0, 0xff] };
        assert!(serde_json::to_string(&not_text).unwrap_err().to_string().contains("not UTF-8"));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            ints in prop::collection::vec(any::<i64>(), 0..20),
            floats in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 0..20),
            texts in prop::collection::vec(".*", 0..5),
        ) {
            let raw: Vec<u8> = ints.iter().flat_map(|value| value.to_le_bytes()).collect();
            prop_assert_eq!(read(DataType::Int64, &write(DataType::Int64, &raw)).unwrap(), raw);
            let raw: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
            prop_assert_eq!(read(DataType::Fp32, &write(DataType::Fp32, &raw)).unwrap(), raw);
            let raw = read(DataType::Bytes, &serde_json::to_string(&texts).unwrap()).unwrap();
            prop_assert_eq!(write(DataType::Bytes, &raw), serde_json::to_string(&texts).unwrap());
        }
    }
}
