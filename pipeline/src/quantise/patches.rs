//! The inputs of a layer as columns: what each output of it is a weighted sum of, at a sample of places.

use takt_graph::onnx::NodeProto;

/// Where a layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    /// Everything: Gemm, MatMul.
    Whole,
    Conv {
        kernel: [usize; 2],
        strides: [usize; 2],
        dilations: [usize; 2],
        /// Top and left; the others follow from the output's size.
        before: [usize; 2],
        groups: usize,
    },
}

/// `[samples, width]`, rows first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Columns {
    pub values: Vec<f32>,
    pub samples: usize,
}

impl Window {
    /// `None` where padding depends on the image's size or is negative.
    pub fn of(node: &NodeProto, weight: &[i64]) -> Option<Self> {
        if !node.is("Conv") {
            return Some(Self::Whole);
        }
        let &[_, _, height, width] = weight else { return None };
        let size = |value: i64| usize::try_from(value).ok();
        let pair = |name: &str, default: i64| {
            let list = node.ints(name).unwrap_or_default();
            let at = |axis: usize| list.get(axis).copied().unwrap_or(default);
            Some([size(at(0))?, size(at(1))?])
        };
        if !matches!(node.string("auto_pad"), None | Some("" | "NOTSET")) {
            return None;
        }
        let groups = size(node.int("group").unwrap_or(1))?.max(1);
        Some(Self::Conv {
            kernel: [size(height)?, size(width)?],
            strides: pair("strides", 1)?,
            dilations: pair("dilations", 1)?,
            before: pair("pads", 0)?,
            groups,
        })
    }

    pub fn groups(&self) -> usize {
        match self {
            Self::Whole => 1,
            Self::Conv { groups, .. } => *groups,
        }
    }

    /// Appends the columns of `group` at `places`: row and column of the output of one image, `[C, H, W]`, or, of
    /// [`Self::Whole`], rows of anything whose last axis holds the features.
    pub fn gather(
        &self,
        image: &[f32],
        shape: &[usize],
        places: &[(usize, usize)],
        group: usize,
        columns: &mut Columns,
    ) {
        columns.samples += places.len();
        let (Self::Conv { kernel, strides, dilations, before, groups }, &[channels, height, width]) = (self, shape)
        else {
            let width = shape.last().copied().unwrap_or(1).max(1);
            for &(row, _) in places {
                columns.values.extend_from_slice(image.chunks(width).nth(row).unwrap_or_default());
            }
            return;
        };
        let each = channels / groups;
        for &(row, column) in places {
            for plane in image.chunks(height * width).skip(group * each).take(each) {
                for y in 0..kernel[0] {
                    let y = (row * strides[0] + y * dilations[0]).checked_sub(before[0]).filter(|&y| y < height);
                    for x in 0..kernel[1] {
                        let x = (column * strides[1] + x * dilations[1]).checked_sub(before[1]).filter(|&x| x < width);
                        let value = y.zip(x).and_then(|(y, x)| plane.get(y * width + x));
                        columns.values.push(value.copied().unwrap_or(0.0));
                    }
                }
            }
        }
    }
}

/// Places of an output of `height` x `width`, all of them or `wanted`, the same ones for the same `seed`.
pub(super) fn places(height: usize, width: usize, wanted: usize, seed: u64) -> Vec<(usize, usize)> {
    let all = height * width;
    if all <= wanted {
        return (0..all).map(|at| (at / width, at % width)).collect();
    }
    // SplitMix64 (Steele et al. 2014).
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let at = |random: u64| usize::try_from(random % all as u64).unwrap_or(0);
    (0..wanted).map(|_| at(next())).map(|at| (at / width, at % width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_a_convolution_sees() {
        let node = NodeProto::new("Conv", "c", &["x", "w"], &["y"])
            .with_ints("pads", &[1, 1, 1, 1])
            .with_ints("strides", &[2, 2])
            .with_int("group", 2);
        let window = Window::of(&node, &[2, 1, 3, 3]).unwrap();
        let image: Vec<f32> = (0..18_u8).map(f32::from).collect();
        let mut columns = Columns::default();
        window.gather(&image, &[2, 3, 3], &[(0, 0), (1, 1)], 1, &mut columns);
        assert_eq!(columns.samples, 2);
        assert_eq!(columns.values[..9], [0.0, 0.0, 0.0, 0.0, 9.0, 10.0, 0.0, 12.0, 13.0]);
        assert_eq!(columns.values[9..], [13.0, 14.0, 0.0, 16.0, 17.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn columns_of_a_matrix_product_are_rows_of_the_last_axis() {
        let window = Window::of(&NodeProto::new("MatMul", "m", &["x", "w"], &["y"]), &[2, 5]).unwrap();
        let image: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let mut columns = Columns::default();
        window.gather(&image, &[1, 2, 3, 2], &[(4, 0), (0, 0)], 0, &mut columns);
        assert_eq!(columns, Columns { values: vec![8.0, 9.0, 0.0, 1.0], samples: 2 });
    }

    #[test]
    fn padding_that_depends_on_the_image_is_declined() {
        let mut node = NodeProto::new("Conv", "c", &["x", "w"], &["y"]).with_ints("pads", &[-1, 0, 0, 0]);
        assert_eq!(Window::of(&node, &[2, 1, 3, 3]), None);
        node.remove_attribute("pads");
        assert!(Window::of(&node, &[2, 1, 3, 3]).is_some());
    }

    #[test]
    fn places_are_inside_and_the_same_each_time() {
        assert_eq!(places(2, 2, 9, 1), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        let some = places(5, 7, 12, 3);
        assert!(some.len() == 12 && some.iter().all(|&(row, column)| row < 5 && column < 7));
        assert_eq!(some, places(5, 7, 12, 3));
        assert_ne!(some, places(5, 7, 12, 4));
    }
}
