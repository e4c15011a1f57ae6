//! What was measured about an image or an answer.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which features, in which order. A list never changes its meaning: other features are another list. Names live with
/// what computes the features, so an outcome carries numbers only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureList(pub u16);

impl FeatureList {
    /// Nothing was measured.
    pub const NONE: Self = Self(0);
}

/// The values of a feature list. NaN means missing, in JSON `null`; infinities are `"inf"` and `"-inf"` there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Which features these are.
    pub list: FeatureList,
    /// One value per feature of the list.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub values: Vec<f32>,
}

impl Features {
    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl PartialEq for Features {
    /// By bits, so that a missing value equals a missing value.
    fn eq(&self, other: &Self) -> bool {
        let bits = |v: &f32| {
            if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }
        };
        self.list == other.list && self.values.iter().map(bits).eq(other.values.iter().map(bits))
    }
}

fn write<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let mut seq = serializer.serialize_seq(Some(values.len()))?;
    for &value in values {
        match value {
            f32::INFINITY => seq.serialize_element("inf")?,
            f32::NEG_INFINITY => seq.serialize_element("-inf")?,
            value if value.is_nan() => seq.serialize_element(&())?,
            value => seq.serialize_element(&value)?,
        }
    }
    seq.end()
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    struct Values;

    impl<'de> Visitor<'de> for Values {
        type Value = Vec<f32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of numbers, null, \"inf\" and \"-inf\"")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<f32>, A::Error> {
            // A list claims its own length: at most this much is believed beforehand.
            let mut values = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(256));
            while let Some(Value(value)) = seq.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_seq(Values)
}

struct Value(f32);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number, null, \"inf\" or \"-inf\"")]
        enum Raw {
            Number(f32),
            Infinite(Infinite),
            Missing(()),
        }
        #[derive(Deserialize)]
        enum Infinite {
            #[serde(rename = "inf")]
            Positive,
            #[serde(rename = "-inf")]
            Negative,
        }
        Ok(Self(match Raw::deserialize(deserializer)? {
            Raw::Number(value) => value,
            Raw::Infinite(Infinite::Positive) => f32::INFINITY,
            Raw::Infinite(Infinite::Negative) => f32::NEG_INFINITY,
            Raw::Missing(()) => f32::NAN,
        }))
    }
}
