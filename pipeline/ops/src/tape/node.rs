//! One recorded operation.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, TensorId, Var, bail};

use crate::batch::Dims;

/// The inputs of an operation for which gradients may be wanted.
pub(crate) struct Inputs {
    tensors: Vec<Tensor>,
}

impl Inputs {
    pub fn of(tensors: &[&Tensor]) -> Self {
        Self { tensors: tensors.iter().map(|tensor| (*tensor).clone()).collect() }
    }

    /// For each input whether a gradient for it leads anywhere.
    pub fn wanted(&self) -> Vec<bool> {
        self.tensors.iter().map(Tensor::track_op).collect()
    }
}

/// Gradient of the result to gradients of the inputs, `None` where there is none. The gradient comes without graph, with
/// the logical shape of the result.
pub(crate) type Backward = Box<dyn Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync>;

/// How a result lies in memory.
pub(crate) enum Form {
    /// As its shape says.
    Contiguous(Shape),
    /// Feature maps with the images innermost, see [`crate::batch`].
    Batch(Dims),
}

/// An operation whose result is alive.
pub(crate) struct Node {
    /// Later operations have higher numbers: no node depends on one with a higher number.
    pub order: u64,
    pub inputs: Vec<Tensor>,
    pub backward: Backward,
    ids: OnceLock<[TensorId; 2]>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(ids) = self.ids.get() {
            let mut nodes = registry();
            for id in ids {
                nodes.remove(id);
            }
        }
    }
}

/// Makes the result of an operation from its elements, differentiable where an input is.
pub(crate) fn record(
    name: &'static str,
    form: Form,
    data: Vec<f32>,
    inputs: Inputs,
    backward: impl Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    let (shape, view): (Shape, fn(Tensor) -> Result<Tensor>) = match form {
        Form::Contiguous(shape) => (shape, Ok),
        Form::Batch(dims) => ((dims.c, dims.h, dims.w, dims.n).into(), |stored| stored.permute((3, 0, 1, 2))),
    };
    if !inputs.wanted().contains(&true) {
        return view(Tensor::from_vec(data, shape, &Device::Cpu)?);
    }
    static ORDER: AtomicU64 = AtomicU64::new(0);
    let order = ORDER.fetch_add(1, Ordering::Relaxed);
    let node = Node { order, inputs: inputs.tensors, backward: Box::new(backward), ids: OnceLock::new() };
    let node = Arc::new(node);
    let op = Recorded { name, node: node.clone(), result: Mutex::new(Some((data, shape))) };
    let stored = anchor()?.apply_op1(op)?;
    let result = view(stored.clone())?;
    let ids = [stored.id(), result.id()];
    let mut nodes = registry();
    for id in ids {
        nodes.insert(id, Arc::downgrade(&node));
    }
    node.ids.get_or_init(|| ids);
    Ok(result)
}

/// The operation that made `tensor`, if it is one of ours.
pub(crate) fn maker(tensor: &Tensor) -> Option<Arc<Node>> {
    registry().get(&tensor.id()).and_then(Weak::upgrade)
}

fn registry() -> MutexGuard<'static, HashMap<TensorId, Weak<Node>>> {
    static NODES: LazyLock<Mutex<HashMap<TensorId, Weak<Node>>>> = LazyLock::new(Mutex::default);
    // A map is whole after any panic of another thread: insertions and removals do not panic half way.
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The variable on which, for candle, all our results hang.
fn anchor() -> Result<&'static Tensor> {
    static ANCHOR: OnceLock<Var> = OnceLock::new();
    if ANCHOR.get().is_none() {
        // Another thread may be first; then its anchor counts.
        let _ = ANCHOR.set(Var::from_slice(&[0f32], 1, &Device::Cpu)?);
    }
    match ANCHOR.get() {
        Some(anchor) => Ok(anchor.as_tensor()),
        None => bail!("the anchor of recorded operations could not be made"),
    }
}

thread_local! {
    /// Where gradients go that candle's walk brings to our nodes; `None` outside of [`crate::backward`].
    static ARRIVED: RefCell<Option<Arrivals>> = const { RefCell::new(None) };
}

pub(crate) type Arrivals = Vec<(Arc<Node>, Tensor)>;

/// Runs candle's walk and returns with its result what it brought to our nodes.
pub(crate) fn collect<T>(walk: impl FnOnce() -> Result<T>) -> Result<(T, Arrivals)> {
    let outer = ARRIVED.replace(Some(Vec::new()));
    let result = walk();
    let arrived = ARRIVED.replace(outer).unwrap_or_default();
    Ok((result?, arrived))
}

/// What candle sees of an operation.
struct Recorded {
    name: &'static str,
    node: Arc<Node>,
    result: Mutex<Option<(Vec<f32>, Shape)>>,
}

impl CustomOp1 for Recorded {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((data, shape)) => Ok((CpuStorage::F32(data), shape)),
            None => bail!("{}: a recorded operation runs once", self.name),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        // The result as candle knows it is not yet the view that callers see.
        let viewed = self.node.ids.get().is_some_and(|[stored, viewed]| stored != viewed);
        let gradient = if viewed { gradient.permute((3, 0, 1, 2))? } else { gradient.clone() };
        ARRIVED.with_borrow_mut(|arrived| match arrived {
            Some(arrived) => {
                arrived.push((self.node.clone(), gradient));
                Ok(None)
            }
            None => bail!("{}: differentiate with takt_ops::backward(&loss) instead of loss.backward()", self.name),
        })
    }
}
