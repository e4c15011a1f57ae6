//! What is measured about every prediction, by name and order. An [`Outcome`](crate::events::Outcome) carries numbers
//! only; this is what they are.

use crate::events::FeatureList;

/// Features of a classifier on images: eight figures of the image, three of the answer.
pub const VISION: FeatureList = FeatureList(1);

/// How many features [`VISION`] has.
pub const VISION_LEN: usize = IMAGE_LEN + 3;

/// How many of them describe the image; the others describe the answer. A request with tensors has none of the first,
/// a model without a decision none of the second.
pub const IMAGE_LEN: usize = 8;

/// Names of [`VISION`], in its order.
pub const VISION_NAMES: [&str; VISION_LEN] = [
    "brightness",
    "contrast",
    "sharpness",
    "image_entropy",
    "noise",
    "saturated",
    "black",
    "colourfulness",
    "top_probability",
    "score_entropy",
    "margin",
];

/// Name of the categorical feature beside a list: the class that was found.
pub const CLASS: &str = "class";

/// Values of [`VISION`]; NaN where one was not measured.
pub type Vision = [f32; VISION_LEN];

/// Names of a list's features, in its order; `None` for a list that a later release added.
#[must_use]
pub fn names(list: FeatureList) -> Option<&'static [&'static str]> {
    match list {
        FeatureList::NONE => Some(&[]),
        VISION => Some(&VISION_NAMES),
        _ => None,
    }
}
