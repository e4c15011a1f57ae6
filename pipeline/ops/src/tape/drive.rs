//! The backward pass over our nodes, with candle's over the stretches between them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::node::{Arrivals, Node, collect, maker};
use crate::elementwise::sum_of;
use crate::parallel::in_pool;

/// Gradients of `loss`, a tensor of one element, for all variables it was made from.
///
/// Takes the place of [`Tensor::backward`], which stops at the operations of this crate (and says so). Operations of
/// candle may be mixed in freely. A gradient that comes from one place is moved, never copied; the gradients of variables
/// are contiguous.
///
/// # Errors
/// If `loss` has more than one element, hangs on no variable, or an operation cannot be differentiated.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
///
/// let w = Var::from_slice(&[1f32, -1., 2.], (1, 3), &Device::Cpu)?;
/// let x = Tensor::new(&[[3f32, 4., 5.]], &Device::Cpu)?;
/// let loss = takt_ops::linear(&x, &w, None)?.sqr()?.sum_all()?;
/// let gradients = takt_ops::backward(&loss)?;
/// let gradient = gradients.get(&w).ok_or_else(|| candle_core::Error::Msg("no gradient".into()))?;
/// assert_eq!(gradient.to_vec2::<f32>()?, [[54., 72., 90.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    if loss.elem_count() != 1 {
        bail!("backward: the loss has shape {:?}, expected one element", loss.dims())
    }
    if !loss.track_op() {
        bail!("backward: the loss hangs on no variable; are the weights Var, and was nothing detached?")
    }
    in_pool(|| run(loss))
}

fn run(loss: &Tensor) -> Result<GradStore> {
    let mut pass = Pass::default();
    pass.give(loss, loss.ones_like()?.contiguous()?)?;
    loop {
        let node = pass.nodes.last_key_value().map(|(order, _)| *order);
        let stretch = pass.stretches.last_key_value().map(|(&(order, _), _)| order);
        // A stretch that ends at this node, or later, may bring it more.
        if stretch.is_some() && stretch >= node.map(|order| order + 1) {
            if let Some((_, (tensor, gradient))) = pass.stretches.pop_last() {
                pass.walk(&tensor, gradient)?;
            }
        } else if let Some((_, (node, gradient))) = pass.nodes.pop_last() {
            let gradients = (node.backward)(&gradient)?;
            drop(gradient);
            for (input, gradient) in node.inputs.iter().zip(gradients) {
                if let Some(gradient) = gradient.filter(|_| input.track_op()) {
                    pass.give(input, gradient)?;
                }
            }
        } else {
            return Ok(pass.variables);
        }
    }
}

/// Gradients on their way.
#[derive(Default)]
struct Pass {
    /// Of the results of our nodes, by the nodes' order.
    nodes: BTreeMap<u64, (Arc<Node>, Tensor)>,
    /// Of tensors that candle made, by one more than the order of the last of our nodes they hang on (0: on none), and
    /// which of them.
    stretches: BTreeMap<(u64, usize), (Tensor, Tensor)>,
    /// How many stretches there have been.
    found: usize,
    variables: GradStore,
}

impl Pass {
    fn give(&mut self, tensor: &Tensor, gradient: Tensor) -> Result<()> {
        if tensor.is_variable() {
            let gradient = match self.variables.remove(tensor) {
                Some(other) => sum_of(&other, &gradient)?,
                None => gradient.contiguous()?,
            };
            self.variables.insert(tensor, gradient);
            return Ok(());
        }
        if let Some(node) = maker(tensor) {
            return self.give_node(node, gradient);
        }
        let known = self.stretches.iter_mut().find(|(_, (known, _))| known.id() == tensor.id());
        if let Some((_, (_, sum))) = known {
            *sum = sum_of(sum, &gradient)?;
            return Ok(());
        }
        let order = tensor.sorted_nodes().into_iter().filter_map(maker).map(|node| node.order + 1).max();
        self.stretches.insert((order.unwrap_or(0), self.found), (tensor.clone(), gradient));
        self.found += 1;
        Ok(())
    }

    fn give_node(&mut self, node: Arc<Node>, gradient: Tensor) -> Result<()> {
        match self.nodes.entry(node.order) {
            Entry::Vacant(entry) => {
                entry.insert((node, gradient));
            }
            Entry::Occupied(mut entry) => {
                let (_, sum) = entry.get_mut();
                *sum = sum_of(sum, &gradient)?;
            }
        }
        Ok(())
    }

    /// Lets candle differentiate from `tensor` down to our nodes and to variables.
    fn walk(&mut self, tensor: &Tensor, gradient: Tensor) -> Result<()> {
        let (store, arrived): (GradStore, Arrivals) = collect(|| tensor.apply_op1(Seed { gradient })?.backward())?;
        for (node, gradient) in arrived {
            self.give_node(node, gradient)?;
        }
        for variable in tensor.sorted_nodes().into_iter().filter(|tensor| tensor.is_variable()) {
            if let Some(gradient) = store.get(variable) {
                self.give(variable, gradient.clone())?;
            }
        }
        Ok(())
    }
}

/// A scalar whose derivative by its input is a given tensor.
struct Seed {
    gradient: Tensor,
}

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.gradient.clone()))
    }
}
