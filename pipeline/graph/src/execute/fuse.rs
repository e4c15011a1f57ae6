//! BatchNormalization with its ReLU, and Add with its ReLU, become one step, which saves a pass over memory forwards and
//! backwards.

use super::kernel::{Binary, Kernel, Step, Unary};

/// Fuses where the value between has one user and nobody `wanted` it.
pub(super) fn fuse(steps: Vec<Step>, wanted: &[usize], slots: usize) -> Vec<Step> {
    let mut uses = vec![0_usize; slots];
    steps.iter().flat_map(|step| step.inputs.iter().flatten()).chain(wanted).for_each(|&slot| uses[slot] += 1);
    let mut maker: Vec<Option<usize>> = vec![None; slots];
    let mut fused: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        if let (Kernel::Unary(Unary::Relu), [Some(between)]) = (&step.kernel, step.inputs.as_slice())
            && uses[*between] == 1
            && let Some(before) = maker[*between].and_then(|at| fused.get_mut(at))
            && let Some(kernel) = with_relu(&before.kernel)
        {
            before.kernel = kernel;
            let at = maker[*between];
            before.outputs.clone_from(&step.outputs);
            step.outputs.iter().for_each(|&slot| maker[slot] = at);
            continue;
        }
        step.outputs.iter().for_each(|&slot| maker[slot] = Some(fused.len()));
        fused.push(step);
    }
    fused
}

fn with_relu(kernel: &Kernel) -> Option<Kernel> {
    match *kernel {
        Kernel::BatchNorm { epsilon, relu: false, norm } => Some(Kernel::BatchNorm { epsilon, relu: true, norm }),
        Kernel::Binary(Binary::Add) => Some(Kernel::AddRelu),
        _ => None,
    }
}
