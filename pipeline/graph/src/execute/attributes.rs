//! From a node's attributes to the parameters of the operations.

use candle_core::{Device, Tensor};
use takt_ops::{Activation, Conv2dParams, PoolParams};

use super::kernel::{Kernel, Pick, Unary};
use crate::Index;
use crate::shape::{Dim, Facts, Op, Window, axis, cuts, pads, parts, permutation, reduction_axes, sorted_axes};

/// More than any image has pixels on a side.
const MAX_LIST: usize = 1 << 20;

/// A node to be made a kernel.
pub(super) struct Source<'a> {
    pub op: Op<'a>,
    pub facts: &'a Facts,
    pub index: &'a Index<'a>,
}

type Made = Result<Kernel, String>;

impl Source<'_> {
    fn rank(&self) -> Result<usize, String> {
        self.op.input(0).rank().ok_or_else(|| "the number of its input's dimensions is not known".to_owned())
    }

    fn axis(&self, name: &str, default: i64) -> Result<usize, String> {
        axis(self.op.node.int(name).unwrap_or(default), self.rank()?)
    }

    /// A constant number at input `slot`; `None` if it is left out.
    pub fn scalar(&self, slot: usize) -> Result<Option<f32>, String> {
        let Some(name) = self.op.node.input_name(slot) else { return Ok(None) };
        let constant = self
            .index
            .constant(name)
            .ok_or_else(|| format!("found '{name}', which is computed, expected a constant"))?;
        let values = constant.f32s().map_err(|fault| format!("initialiser '{name}': {fault}"))?;
        match values.as_slice() {
            [value] => Ok(Some(*value)),
            _ => Err(format!("found {} numbers in '{name}', expected one", values.len())),
        }
    }

    pub fn conv(&self) -> Made {
        if self.rank()? != 4 {
            return Err(format!("found input {}, expected [N, C, H, W]", self.op.input(0)));
        }
        let kernel = self.op.input(1).shape.as_ref().and_then(|shape| shape.get(2..)?.iter().map(Dim::known).collect());
        let window = Window::of(self.op.node, 2, kernel)?;
        let groups = usize::try_from(self.op.node.int("group").unwrap_or(1)).ok().filter(|&groups| groups > 0);
        Ok(Kernel::Conv(Conv2dParams {
            stride: pair(&window.strides)?,
            dilation: pair(&window.dilations)?,
            padding: self.padding(&window)?,
            groups: groups.ok_or("found a group below 1")?,
        }))
    }

    pub fn pool(&self) -> Made {
        if self.rank()? != 4 {
            return Err(format!("found input {}, expected [N, C, H, W]", self.op.input(0)));
        }
        let window = Window::of(self.op.node, 2, None)?;
        let mut params = PoolParams {
            kernel: pair(&window.kernel)?,
            stride: pair(&window.strides)?,
            padding: self.padding(&window)?,
            dilation: pair(&window.dilations)?,
        };
        let count_padding = self.op.node.int("count_include_pad").unwrap_or(0) != 0;
        let average = self.op.node.is("AveragePool");
        if window.ceil {
            let before = params.padding;
            self.stretch(&mut params)?;
            if average && count_padding && before != params.padding {
                return Err("averages with ceil_mode and count_include_pad together are not supported".to_owned());
            }
        }
        Ok(if average { Kernel::AvgPool(params, count_padding) } else { Kernel::MaxPool(params) })
    }

    /// Adds padding at the end, so that the last window of `ceil_mode` fits; takes it away where none begins there.
    fn stretch(&self, params: &mut PoolParams) -> Result<(), String> {
        let output = self.op.node.output_name(0).unwrap_or_default();
        for at in 0..2 {
            let unknown = "ceil_mode needs an image of known size";
            let out = self.facts.get(output).dim(at + 2).and_then(Dim::size).ok_or(unknown)?;
            let size = self.op.input(0).dim(at + 2).and_then(Dim::size).ok_or(unknown)?;
            let reach = (params.kernel[at] - 1) * params.dilation[at] + 1;
            let needed = out.saturating_sub(1) * params.stride[at] + reach;
            let there = size + params.padding[at] + params.padding[at + 2];
            params.padding[at + 2] += needed.saturating_sub(there);
        }
        Ok(())
    }

    /// Top, left, bottom, right.
    fn padding(&self, window: &Window) -> Result<[usize; 4], String> {
        let mut padding = [0; 4];
        for at in 0..2 {
            // Explicit padding does not depend on the size.
            let size = self.op.input(0).dim(at + 2).and_then(Dim::known);
            let automatic = !matches!(self.op.node.string("auto_pad"), None | Some("" | "NOTSET" | "VALID"));
            let size = match size {
                None if automatic => return Err("auto_pad needs an image of known size".to_owned()),
                size => size.unwrap_or(0),
            };
            let (before, after) = window.padding(at, size).ok_or("found sizes that no tensor has")?;
            padding[at] = usize::try_from(before).map_err(|_| "found negative padding")?;
            padding[at + 2] = usize::try_from(after).map_err(|_| "found negative padding")?;
        }
        Ok(padding)
    }

    pub fn unary(&self) -> Result<Unary, String> {
        let node = self.op.node;
        let float = |name, default: f32| node.float(name).unwrap_or(default);
        let activation = |activation| Ok(Unary::Activation(activation));
        Ok(match node.op_type() {
            "Relu" => return activation(Activation::Relu),
            "LeakyRelu" => return activation(Activation::LeakyRelu { slope: float("alpha", 0.01) }),
            "Clip" => {
                let (low, high) = (self.scalar(1)?, self.scalar(2)?);
                let (low, high) = (low.unwrap_or(f32::NEG_INFINITY), high.unwrap_or(f32::INFINITY));
                return activation(Activation::Clamp { low, high });
            }
            "Sigmoid" => return activation(Activation::Sigmoid),
            "HardSigmoid" => {
                let (slope, offset) = (float("alpha", 0.2), float("beta", 0.5));
                return activation(Activation::HardSigmoid { slope, offset });
            }
            "HardSwish" => return activation(Activation::HardSwish),
            "Gelu" if node.string("approximate").unwrap_or("none") == "none" => return activation(Activation::Gelu),
            "Gelu" => return Err("found an approximated Gelu, expected approximate = none".to_owned()),
            "Tanh" => Unary::Tanh,
            "Erf" => Unary::Erf,
            "Sqrt" => Unary::Sqrt,
            "Exp" => Unary::Exp,
            "Log" => Unary::Log,
            "Neg" => Unary::Neg,
            "Abs" => Unary::Abs,
            "Reciprocal" => Unary::Reciprocal,
            _ => Unary::Identity,
        })
    }

    pub fn reduce_mean(&self) -> Made {
        let axes = reduction_axes(&self.op, self.rank()?)?.ok_or("its axes are computed, expected constants")?;
        Ok(Kernel::ReduceMean { axes, keep: self.op.node.int("keepdims").unwrap_or(1) != 0 })
    }

    pub fn flatten(&self) -> Made {
        let at = self.op.node.int("axis").unwrap_or(1);
        let rank = self.rank()?;
        Ok(Kernel::Flatten(if usize::try_from(at) == Ok(rank) { rank } else { axis(at, rank)? }))
    }

    pub fn reshape(&self) -> Made {
        let target = self.op.input(1).integers().ok_or("its target is computed; run the clean-up passes first")?;
        if self.op.node.int("allowzero").unwrap_or(0) != 0 && target.contains(&0) {
            return Err("found a target with 0 and allowzero, a tensor without elements".to_owned());
        }
        Ok(Kernel::Reshape(target))
    }

    pub fn squeeze(&self) -> Made {
        let axes = self.op.list("axes", 1).map_err(|()| "its axes are computed, expected constants")?;
        let shape = self.op.input(0).shape.as_deref().ok_or("the shape of its input is not known")?;
        let ones = || (0..shape.len()).filter(|&at| shape[at].known() == Some(1)).collect();
        Ok(Kernel::Squeeze(axes.map_or_else(|| Ok(ones()), |axes| sorted_axes(&axes, shape.len()))?))
    }

    pub fn unsqueeze(&self) -> Made {
        let axes = self.op.list("axes", 1).ok().flatten().ok_or("its axes are computed, expected constants")?;
        Ok(Kernel::Unsqueeze(sorted_axes(&axes, self.rank()? + axes.len())?))
    }

    pub fn transpose(&self) -> Made {
        Ok(Kernel::Transpose(permutation(&self.op, self.rank()?)?))
    }

    pub fn concat(&self) -> Made {
        Ok(Kernel::Concat(self.axis("axis", 0)?))
    }

    pub fn split(&self) -> Made {
        let axis = self.axis("axis", 0)?;
        let size = self.op.input(0).dim(axis).and_then(Dim::known);
        let parts = parts(&self.op, size)?.ok_or("its parts are not known")?;
        let parts =
            parts.into_iter().map(usize::try_from).collect::<Result<_, _>>().map_err(|_| "found a negative part")?;
        Ok(Kernel::Split { axis, parts })
    }

    pub fn slice(&self) -> Made {
        let cuts = cuts(&self.op)?.ok_or("its borders are not known; run the clean-up passes first")?;
        let mut picks = Vec::new();
        for cut in cuts {
            let sizes = (usize::try_from(cut.start), usize::try_from(cut.count()));
            let pick = match (cut.step, sizes) {
                (_, (_, Ok(0))) => return Err("found a slice of nothing".to_owned()),
                (1, (Ok(start), Ok(length))) => Pick::Range { start, length },
                (_, (_, Ok(length))) if length <= MAX_LIST => {
                    Pick::List(list(&cut.indices().filter_map(|index| u32::try_from(index).ok()).collect::<Vec<_>>())?)
                }
                _ => return Err(format!("found {} elements to pick one by one", cut.count())),
            };
            picks.push((cut.axis, pick));
        }
        Ok(Kernel::Slice(picks))
    }

    pub fn gather(&self) -> Made {
        let axis = self.axis("axis", 0)?;
        let indices = self.op.indices(1).ok_or("expected a constant list of indices")?;
        let size = self.op.input(0).dim(axis).and_then(Dim::known).ok_or("the size of its axis is not known")?;
        let indices = indices.into_iter().map(|index| u32::try_from(if index < 0 { index + size } else { index }));
        let indices = indices.collect::<Result<Vec<_>, _>>().map_err(|_| "found an index outside its axis")?;
        Ok(Kernel::Gather { axis, indices: list(&indices)? })
    }

    pub fn pad(&self) -> Made {
        let constant = matches!(self.op.node.string("mode"), None | Some("constant"));
        let value = self.scalar(2)?.unwrap_or(0.0);
        let pads = pads(&self.op, self.rank()?)?.ok_or("its pads are computed, expected constants")?;
        let size = |(before, after): (i64, i64)| Some((usize::try_from(before).ok()?, usize::try_from(after).ok()?));
        let pads = pads.into_iter().map(size).collect::<Option<Vec<_>>>();
        match pads {
            Some(pads) if constant && value == 0.0 => Ok(Kernel::Pad(pads)),
            _ => Err("expected padding with zeros, and none taken away".to_owned()),
        }
    }

    pub fn gemm(&self) -> Made {
        let float = |name| f64::from(self.op.node.float(name).unwrap_or(1.0));
        let turned = |name| self.op.node.int(name).unwrap_or(0) != 0;
        Ok(Kernel::Gemm {
            alpha: float("alpha"),
            beta: float("beta"),
            turn_a: turned("transA"),
            turn_b: turned("transB"),
        })
    }

    pub fn softmax(&self) -> Made {
        Ok(Kernel::Softmax(self.axis("axis", -1)?))
    }

    pub fn layer_norm(&self) -> Made {
        let epsilon = f64::from(self.op.node.float("epsilon").unwrap_or(1e-5));
        Ok(Kernel::LayerNorm { axis: self.axis("axis", -1)?, epsilon })
    }
}

fn pair(list: &[i64]) -> Result<[usize; 2], String> {
    match list {
        &[a, b] => Ok([
            usize::try_from(a).map_err(|_| "found a negative size")?,
            usize::try_from(b).map_err(|_| "found a negative size")?,
        ]),
        _ => Err(format!("found {} spatial axes, expected two", list.len())),
    }
}

fn list(indices: &[u32]) -> Result<Tensor, String> {
    Tensor::new(indices, &Device::Cpu).map_err(|cause| cause.to_string())
}
