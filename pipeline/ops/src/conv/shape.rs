//! What a convolution computes: shapes, checked, and which positions meet.

use candle_core::{Result, Tensor, bail};

use crate::batch::Dims;

/// Geometry of a convolution, as in ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dParams {
    /// Positions between windows: rows, columns.
    pub stride: [usize; 2],
    /// Positions between a window's taps: rows, columns.
    pub dilation: [usize; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Groups of channels that see only each other.
    pub groups: usize,
}

impl Default for Conv2dParams {
    fn default() -> Self {
        Self { stride: [1; 2], dilation: [1; 2], padding: [0; 4], groups: 1 }
    }
}

/// A convolution whose shapes fit.
#[derive(Clone, Debug)]
pub(crate) struct ConvShape {
    pub input: Dims,
    pub output: Dims,
    pub groups: usize,
    /// Taps of the window: rows, columns.
    pub kernel: [usize; 2],
    pub rows: Axis,
    pub columns: Axis,
}

impl ConvShape {
    pub fn new(input: Dims, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams) -> Result<Self> {
        let &[m, per_group, kh, kw] = weight.dims() else {
            bail!("conv2d: the weight has shape {:?}, expected [M, C/groups, kH, kW]", weight.dims())
        };
        let groups = params.groups;
        if groups == 0 || !input.c.is_multiple_of(groups) || !m.is_multiple_of(groups) || m == 0 {
            bail!("conv2d: {} input and {m} output channels cannot be divided into {groups} groups", input.c)
        }
        if per_group != input.c / groups {
            bail!(
                "conv2d: the weight has shape {:?}, expected [{m}, {}, kH, kW] for an input of {} channels in {groups} groups",
                weight.dims(),
                input.c / groups,
                input.c
            )
        }
        if let Some(bias) = bias.filter(|bias| bias.dims() != [m]) {
            bail!("conv2d: the bias has shape {:?}, expected [{m}]", bias.dims())
        }
        let [top, left, bottom, right] = params.padding;
        let [stride, dilation] = [params.stride, params.dilation];
        let rows = Axis::new("conv2d", "row", input.h, kh, stride[0], dilation[0], [top, bottom])?;
        let columns = Axis::new("conv2d", "column", input.w, kw, stride[1], dilation[1], [left, right])?;
        let output = Dims { n: input.n, c: m, h: rows.output(), w: columns.output() };
        Ok(Self { input, output, groups, kernel: [kh, kw], rows, columns })
    }

    /// Taps of the window.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Input channels of a group.
    pub fn group_inputs(&self) -> usize {
        self.input.c / self.groups
    }

    /// Output channels of a group.
    pub fn group_outputs(&self) -> usize {
        self.output.c / self.groups
    }

    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.group_inputs() == 1 && self.group_outputs() == 1
    }
}

/// Which tap of a window reads which position, along rows or columns, for each output position. Padding is left out.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    input: usize,
    windows: Vec<Vec<Meeting>>,
}

/// A tap and the input position it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meeting {
    pub tap: usize,
    pub at: usize,
}

impl Axis {
    pub fn new(
        op: &str,
        name: &str,
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: [usize; 2],
    ) -> Result<Self> {
        /// Far beyond any image, and far from overflow.
        const LIMIT: usize = 1 << 24;
        if kernel == 0 || stride == 0 || dilation == 0 {
            bail!("{op}: along the {name}s kernel {kernel}, stride {stride}, dilation {dilation}: expected at least 1")
        }
        if [input, kernel, stride, dilation, padding[0], padding[1]].into_iter().any(|extent| extent > LIMIT) {
            bail!("{op}: along the {name}s an extent is larger than {LIMIT}")
        }
        let window = (kernel - 1) * dilation + 1;
        let padded = input + padding[0] + padding[1];
        if window > padded {
            bail!("{op}: a window of {window} {name}s does not fit an input of {padded} with its padding")
        }
        let window_at = |start: usize| {
            let taps = (0..kernel).map(|tap| (tap, start + tap * dilation));
            let inside = taps.filter(|(_, at)| (padding[0]..padding[0] + input).contains(at));
            inside.map(|(tap, at)| Meeting { tap, at: at - padding[0] }).collect()
        };
        Ok(Self { input, windows: (0..=padded - window).step_by(stride).map(window_at).collect() })
    }

    pub fn output(&self) -> usize {
        self.windows.len()
    }

    /// What the window at an output position reads.
    pub fn window(&self, output: usize) -> &[Meeting] {
        self.windows.get(output).map_or(&[], Vec::as_slice)
    }

    /// The same meetings seen from the input: the outputs that each input position reaches, and by which tap.
    pub fn transposed(&self) -> Self {
        let mut windows = vec![Vec::new(); self.input];
        for (output, window) in self.windows.iter().enumerate() {
            for meeting in window {
                windows[meeting.at].push(Meeting { tap: meeting.tap, at: output });
            }
        }
        windows.iter_mut().for_each(|window| window.sort_by_key(|meeting| meeting.tap));
        Self { input: self.output(), windows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_left_out_of_windows() -> Result<()> {
        let axis = Axis::new("op", "row", 4, 3, 1, 1, [1, 1])?;
        assert_eq!(axis.output(), 4);
        assert_eq!(axis.window(0), [Meeting { tap: 1, at: 0 }, Meeting { tap: 2, at: 1 }]);
        assert_eq!(axis.window(3).len(), 2);
        assert_eq!(axis.window(1).len(), 3);
        Ok(())
    }

    #[test]
    fn a_transposed_axis_has_the_same_meetings() -> Result<()> {
        let axis = Axis::new("op", "row", 7, 3, 2, 2, [1, 2])?;
        let back = axis.transposed();
        assert_eq!(back.output(), 7);
        for output in 0..axis.output() {
            for meeting in axis.window(output) {
                assert!(back.window(meeting.at).contains(&Meeting { tap: meeting.tap, at: output }));
            }
        }
        assert_eq!(format!("{:?}", back.transposed()), format!("{axis:?}"));
        Ok(())
    }
}
