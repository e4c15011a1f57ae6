//! Steps that become one, each of which saves passes over memory forwards and backwards: what exporters write out of an
//! activation, BatchNormalization with its activation, Add with its ReLU.

use candle_core::Tensor;
use takt_ops::Activation;

use super::kernel::{Binary, Kernel, Step, Unary};

/// Fuses where nobody else uses the values between and nobody `wanted` them. `given` are the constants, by slot.
pub(super) fn fuse(steps: Vec<Step>, wanted: &[usize], given: &[Option<Tensor>]) -> Vec<Step> {
    let mut fuser = Fuser {
        uses: vec![0; given.len()],
        maker: vec![None; given.len()],
        steps: Vec::with_capacity(steps.len()),
        given,
    };
    steps.iter().flat_map(|step| step.inputs.iter().flatten()).chain(wanted).for_each(|&slot| fuser.uses[slot] += 1);
    for step in steps {
        fuser.take(step);
    }
    fuser.steps.into_iter().flatten().collect()
}

struct Fuser<'a> {
    /// So far; those that have become part of another are gone.
    steps: Vec<Option<Step>>,
    /// How often a slot is read.
    uses: Vec<usize>,
    /// Which step makes a slot.
    maker: Vec<Option<usize>>,
    given: &'a [Option<Tensor>],
}

impl Fuser<'_> {
    fn take(&mut self, mut step: Step) {
        if let Some((x, activation, parts)) = self.written_out(&step) {
            for slot in parts {
                if let Some(part) = self.maker[slot].and_then(|at| self.steps.get_mut(at)).and_then(Option::take) {
                    // What it read is read by the whole, once.
                    part.inputs.iter().flatten().filter(|&&read| read == x).for_each(|&read| self.uses[read] -= 1);
                }
            }
            self.uses[x] = self.uses[x] + 1 - step.inputs.iter().flatten().filter(|&&read| read == x).count();
            step.kernel = Kernel::Unary(Unary::Activation(activation));
            step.inputs = vec![Some(x)];
        }
        if let (Kernel::Unary(Unary::Activation(activation)), [Some(between)]) = (&step.kernel, step.inputs.as_slice())
            && self.uses[*between] == 1
            && let Some(at) = self.maker[*between]
            && let Some(Some(before)) = self.steps.get_mut(at)
            && let Some(kernel) = before_activation(&before.kernel, *activation)
        {
            before.kernel = kernel;
            before.outputs.clone_from(&step.outputs);
            step.outputs.iter().for_each(|&slot| self.maker[slot] = Some(at));
            return;
        }
        step.outputs.iter().for_each(|&slot| self.maker[slot] = Some(self.steps.len()));
        self.steps.push(Some(step));
    }

    /// The activation of which `step` is the last part, what goes into it, and the values between.
    fn written_out(&self, step: &Step) -> Option<(usize, Activation, Vec<usize>)> {
        self.gated(step).or_else(|| self.gelu(step))
    }

    /// `x * sigmoid(x)` and `x * hard_sigmoid(x)`.
    fn gated(&self, step: &Step) -> Option<(usize, Activation, Vec<usize>)> {
        let [first, second] = self.operands(step, Binary::Mul)?;
        [(first, second), (second, first)].into_iter().find_map(|(x, gate)| {
            let Kernel::Unary(Unary::Activation(curve)) = self.part(gate)?.kernel else { return None };
            let activation = match curve {
                Activation::Sigmoid => Activation::Silu,
                Activation::HardSigmoid { slope, offset } if near(slope, 1.0 / 6.0) && offset == 0.5 => {
                    Activation::HardSwish
                }
                _ => return None,
            };
            (self.part(gate)?.inputs == [Some(x)]).then(|| (x, activation, vec![gate]))
        })
    }

    /// `x * (1 + erf(x / sqrt(2))) * 0.5`, with the half at either factor or at the end.
    fn gelu(&self, step: &Step) -> Option<(usize, Activation, Vec<usize>)> {
        let mut parts = Vec::new();
        let mut factors = self.factors(step, &mut parts)?;
        let half = factors.iter().position(|&slot| self.number(slot).is_some_and(|number| number == 0.5))?;
        factors.swap_remove(half);
        let &[a, b] = factors.as_slice() else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(x, sum)| {
            let erf = self.beside(sum, Binary::Add, 1.0)?;
            let Kernel::Unary(Unary::Erf) = self.part(erf)?.kernel else { return None };
            let inside = self.part(erf)?.inputs.first().copied().flatten()?;
            let root = std::f32::consts::SQRT_2;
            let divided = self.beside(inside, Binary::Div, root);
            let of = divided.or_else(|| self.beside(inside, Binary::Mul, 1.0 / root))?;
            let between = parts.iter().copied().chain([sum, erf, inside]).collect();
            (of == x).then_some((x, Activation::Gelu, between))
        })
    }

    /// The factors of a product of three, written as two products.
    fn factors(&self, step: &Step, parts: &mut Vec<usize>) -> Option<Vec<usize>> {
        let [a, b] = self.operands(step, Binary::Mul)?;
        [(a, b), (b, a)].into_iter().find_map(|(product, other)| {
            let inner = self.operands(self.part(product)?, Binary::Mul)?;
            parts.push(product);
            Some(vec![inner[0], inner[1], other])
        })
    }

    /// The other operand of a part that is this operation with this number.
    fn beside(&self, slot: usize, function: Binary, number: f32) -> Option<usize> {
        let [a, b] = self.operands(self.part(slot)?, function)?;
        let is = |slot| self.number(slot).is_some_and(|found| near(found, number));
        match (is(a), is(b)) {
            (_, true) => Some(a),
            (true, false) if function != Binary::Div => Some(b),
            _ => None,
        }
    }

    fn operands(&self, step: &Step, function: Binary) -> Option<[usize; 2]> {
        match (&step.kernel, step.inputs.as_slice()) {
            (Kernel::Binary(found), &[Some(a), Some(b)]) if *found == function => Some([a, b]),
            _ => None,
        }
    }

    /// The step that makes a value which one other reads.
    fn part(&self, slot: usize) -> Option<&Step> {
        let step = self.maker[slot].and_then(|at| self.steps.get(at)?.as_ref())?;
        (self.uses[slot] == 1).then_some(step)
    }

    /// A constant that is a number; what has axes may be trained.
    fn number(&self, slot: usize) -> Option<f32> {
        self.given.get(slot)?.as_ref().filter(|constant| constant.rank() == 0)?.to_scalar().ok()
    }
}

/// Equal but for the digits that exporters leave out.
fn near(found: f32, number: f32) -> bool {
    (found - number).abs() <= 1e-6
}

fn before_activation(kernel: &Kernel, activation: Activation) -> Option<Kernel> {
    match *kernel {
        Kernel::BatchNorm { epsilon, activation: None, norm } => {
            Some(Kernel::BatchNorm { epsilon, activation: Some(activation), norm })
        }
        Kernel::Binary(Binary::Add) if activation == Activation::Relu => Some(Kernel::AddRelu),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
